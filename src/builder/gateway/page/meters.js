// What the last seconds were like: rate, latency, bytes.

const WINDOW_MS = 3000;

export class Meters {
  constructor(elements) {
    this.elements = elements;
    this.answers = []; // [when, latency, looked at] of the window, milliseconds
    this.drops = []; // when, likewise
    this.marks = []; // [when, sent bytes, received bytes] of the link, likewise
    this.frameBytes = 0;
  }

  answered(capturedMs, lookedAt) {
    const now = performance.now();
    this.answers.push([now, now - capturedMs, lookedAt]);
  }

  dropped() {
    this.drops.push(performance.now());
  }

  // Show the numbers; link may be null.
  show(link) {
    const now = performance.now();
    const begin = now - WINDOW_MS;
    this.answers = this.answers.filter(([when]) => when >= begin);
    this.drops = this.drops.filter((when) => when >= begin);
    if (link) this.marks.push([now, link.sentBytes, link.receivedBytes]);
    this.marks = this.marks.filter(([when]) => when >= begin);
    const latencies = this.answers.map(([, latency]) => latency).sort((a, b) => a - b);
    const at = (part) => latencies[Math.min(latencies.length - 1, Math.floor(part * latencies.length))];
    const [first, last] = [this.marks[0], this.marks.at(-1)];
    const megabits = (column) =>
      first && last[0] > first[0] ? ((last[column] - first[column]) * 8) / 1e3 / (last[0] - first[0]) : null;
    const span = latencies.length > 1 ? this.answers.at(-1)[0] - this.answers[0][0] : 0;
    this.put("rate", span ? ((latencies.length - 1) * 1000) / span : null, 1);
    const looks = this.answers.filter(([, , lookedAt]) => lookedAt).length;
    this.put("lookedAt", span ? (looks * 1000 * (1 - 1 / latencies.length)) / span : null, 1);
    this.put("dropped", link && span ? (this.drops.length * 1000) / WINDOW_MS : null, 1);
    this.put("latency", at(0.5), 0);
    this.put("latencyP95", at(0.95), 0);
    this.put("up", megabits(1), 2);
    this.put("down", megabits(2), 2);
    this.put("frameSize", this.frameBytes / 1000 || null, 1);
  }

  put(name, value, digits) {
    this.elements[name].textContent = value == null ? "–" : value.toFixed(digits);
  }

  reset() {
    this.answers = [];
    this.drops = [];
    this.marks = [];
    this.frameBytes = 0;
  }
}
