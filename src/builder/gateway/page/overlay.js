// Boxes on a canvas that lies over what is shown.

// Far apart for most eyes, on pictures of any brightness (after Okabe and Ito).
const COLOURS = [
  "#e69f00", "#56b4e9", "#00c78c", "#f0e442", "#3d8bff", "#ff6b35", "#e08fc0", "#ffffff",
];

export function colourOf(classIndex) {
  return COLOURS[classIndex % COLOURS.length];
}

export class Overlay {
  constructor(canvas) {
    this.canvas = canvas;
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
    const fontSize = Math.round(13 * devicePixelRatio);
    context.lineWidth = Math.max(2, Math.round(2 * devicePixelRatio));
    context.font = `600 ${fontSize}px system-ui, sans-serif`;
    context.textBaseline = "top";
    // The best last, on top of the others.
    for (const { box, label, score, class: classIndex } of [...detections].reverse()) {
      const [x1, y1, x2, y2] = [box[0] * scaleX, box[1] * scaleY, box[2] * scaleX, box[3] * scaleY];
      const text = `${label} ${score.toFixed(2)}`;
      const textWidth = context.measureText(text).width + fontSize / 2;
      const textHeight = fontSize * 1.25;
      const textTop = y1 >= textHeight ? y1 - textHeight : y1;
      context.strokeStyle = context.fillStyle = colourOf(classIndex);
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
      context.fillRect(x1, textTop, textWidth, textHeight);
      context.fillStyle = "#000";
      context.fillText(text, x1 + fontSize / 4, textTop + fontSize * 0.15);
    }
  }
}
