// Where the objects of a stream have been in the last second.

const LENGTH_US = 1e6;

export class Trails {
  constructor() {
    this.clear();
  }

  // Take an answer to a frame of video: of each box of a track, the middle of its lower edge.
  follow({ timestamp, detections }) {
    if (timestamp === undefined) return;
    for (const { track_id: id, box: [x1, , x2, y2] } of detections) {
      if (id === undefined) continue;
      if (!this.points.has(id)) this.points.set(id, []);
      this.points.get(id).push([(x1 + x2) / 2, y2, timestamp]);
    }
    for (const [id, points] of this.points) {
      const kept = points.filter(([, , when]) => timestamp - when <= LENGTH_US);
      if (kept.length) this.points.set(id, kept);
      else this.points.delete(id);
    }
  }

  // Each track's id and its points, the oldest first.
  paths() {
    return this.points.entries();
  }

  clear() {
    this.points = new Map();
  }
}
