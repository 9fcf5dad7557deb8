// Video frames as JPEG files.

const QUALITY = 0.8;
const canvas = document.createElement("canvas");

// Width and height with the longest side at most maxSide; 0 leaves them alone.
export function fitted(width, height, maxSide) {
  const scale = maxSide ? Math.min(1, maxSide / Math.max(width, height)) : 1;
  return [Math.max(2, Math.round(width * scale)), Math.max(2, Math.round(height * scale))];
}

// The frame that a <video> shows, as the bytes of a JPEG file (Uint8Array).
export async function captureJpeg(video, maxSide) {
  const [width, height] = fitted(video.videoWidth, video.videoHeight, maxSide);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(video, 0, 0, width, height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  if (!blob) throw new Error("the browser made no JPEG of a frame");
  return new Uint8Array(await blob.arrayBuffer());
}
