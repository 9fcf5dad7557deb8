// Boxes on a canvas that lies over what is shown.

// Far apart for most eyes, on pictures of any brightness (after Okabe and Ito).
const COLOURS = [
  "#e69f00", "#56b4e9", "#00c78c", "#f0e442", "#3d8bff", "#ff6b35", "#e08fc0", "#ffffff",
];

// Of a class, or of a track.
export function colourOf(number) {
  return COLOURS[number % COLOURS.length];
}

export class Overlay {
  // trails: of the tracks, drawn below the boxes.
  constructor(canvas, trails) {
    this.canvas = canvas;
    this.trails = trails;
    this.answer = null;
  }

  // Lay the canvas over an element, pixel by pixel of the screen.
  cover(element) {
    const { offsetLeft: left, offsetTop: top, offsetWidth: width, offsetHeight: height } = element;
    const { style } = this.canvas;
    style.left = `${left}px`;
    style.top = `${top}px`;
    style.width = `${width}px`;
    style.height = `${height}px`;
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    this.draw();
  }

  show(answer) {
    this.answer = answer;
    this.draw();
  }

  clear() {
    this.show(null);
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.answer) return;
    const { width, height, detections } = this.answer;
    const scaleX = this.canvas.width / width;
    const scaleY = this.canvas.height / height;
    // Smaller on a phone, where a picture is small and its boxes are close together.
    const fontSize = Math.round(Math.min(13 * devicePixelRatio, Math.max(16, this.canvas.width / 70)));
    context.font = `600 ${fontSize}px system-ui, sans-serif`;
    context.textBaseline = "top";
    context.lineWidth = Math.max(2, Math.round(2 * devicePixelRatio));
    for (const [trackId, points] of this.trails.paths()) {
      context.strokeStyle = colourOf(trackId);
      context.beginPath();
      for (const [x, y] of points) context.lineTo(x * scaleX, y * scaleY);
      context.stroke();
    }
    const drawn = detections.map(({ box: [x1, y1, x2, y2], label, score, class: index, track_id: id }) => ({
      colour: colourOf(id ?? index),
      text: `${id === undefined ? "" : `#${id} `}${label} ${score.toFixed(2)}`,
      box: [x1 * scaleX, y1 * scaleY, (x2 - x1) * scaleX, (y2 - y1) * scaleY],
    })).reverse(); // the best last, on top of the others
    for (const each of drawn) this.drawLabel(context, fontSize, each);
    // After the labels, so that none hides another's box.
    for (const { colour, box } of drawn) {
      context.strokeStyle = colour;
      context.strokeRect(...box);
    }
  }

  drawLabel(context, fontSize, { colour, text, box: [left, top] }) {
    const width = context.measureText(text).width + fontSize / 2;
    const height = fontSize * 1.25;
    const x = Math.max(0, Math.min(left, this.canvas.width - width));
    const y = top >= height ? top - height : top;
    context.fillStyle = colour;
    context.fillRect(x, y, width, height);
    context.fillStyle = "#000";
    context.fillText(text, x + fontSize / 4, y + fontSize * 0.15);
  }
}
