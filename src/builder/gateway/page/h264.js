// Video frames as packets of H.264, where the browser has an encoder (WebCodecs).

import { fitted } from "./jpeg.js";

// High profile, level 4.0: 1080p at 30 frames a second.
const CODEC = "avc1.640028";
const BITS_PER_PIXEL = 0.08;
const FRAME_RATE = 30;
// Whoever lost a packet sees nothing until the next one.
const KEY_FRAME_EVERY_MS = 2000;

function settings(width, height) {
  return {
    codec: CODEC,
    width,
    height,
    framerate: FRAME_RATE,
    bitrate: Math.round(width * height * FRAME_RATE * BITS_PER_PIXEL),
    latencyMode: "realtime", // no frame waits for a later one
    avc: { format: "annexb" }, // what the server takes: start codes, parameter sets in the stream
  };
}

export async function canEncode() {
  if (!("VideoEncoder" in globalThis)) return false;
  try {
    return (await VideoEncoder.isConfigSupported(settings(1280, 720))).supported;
  } catch {
    return false;
  }
}

export class Encoder {
  // onPacket(bytes, capturedMs), onTrouble(sentence)
  constructor(onPacket, onTrouble) {
    this.onPacket = onPacket;
    this.onTrouble = onTrouble;
    this.canvas = document.createElement("canvas");
    this.keyFrameAt = 0; // when the next is due; 0 for at once
  }

  // Frames that were given to it and have not begun yet.
  get waiting() {
    return this.encoder?.encodeQueueSize ?? 0;
  }

  // Make the next frame one at which a decoder can begin.
  restart() {
    this.keyFrameAt = 0;
  }

  encode(video, maxSide, capturedMs) {
    // Colours have half the pixels each way, so both sides are even.
    const [width, height] = fitted(video.videoWidth, video.videoHeight, maxSide).map((side) => side & ~1);
    if (this.canvas.width !== width || this.canvas.height !== height || !this.encoder) {
      this.begin(width, height);
    }
    this.canvas.getContext("2d", { alpha: false }).drawImage(video, 0, 0, width, height);
    const keyFrame = capturedMs >= this.keyFrameAt;
    if (keyFrame) this.keyFrameAt = capturedMs + KEY_FRAME_EVERY_MS;
    const frame = new VideoFrame(this.canvas, { timestamp: Math.round(capturedMs * 1000) });
    this.encoder.encode(frame, { keyFrame });
    frame.close();
  }

  begin(width, height) {
    this.close();
    this.canvas.width = width;
    this.canvas.height = height;
    this.encoder = new VideoEncoder({
      output: (chunk) => {
        const bytes = new Uint8Array(chunk.byteLength);
        chunk.copyTo(bytes);
        this.onPacket(bytes, chunk.timestamp / 1000);
      },
      error: (error) => {
        this.encoder = null;
        this.onTrouble(`the browser's encoder failed: ${error.message}`);
      },
    });
    this.encoder.configure(settings(width, height));
    this.restart();
  }

  close() {
    if (this.encoder && this.encoder.state !== "closed") this.encoder.close();
    this.encoder = null;
  }
}
