// Where pictures come from: a camera, a video file, a picture file. Each is shown in the stage.

const CAMERA = {
  audio: false,
  video: {
    facingMode: "environment",
    width: { ideal: 1280 },
    height: { ideal: 720 },
    frameRate: { ideal: 30 },
  },
};

const CAMERA_TROUBLE = {
  NotAllowedError: "this page may not use the camera; allow it in the browser's settings",
  NotFoundError: "this device has no camera",
  NotReadableError: "the camera cannot be used; another program may have it",
};

// Play a camera in a <video>; resolves with a function that stops it.
export async function playCamera(video) {
  if (!navigator.mediaDevices) {
    throw new Error("browsers give their camera only to pages with TLS, or from this machine");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(CAMERA);
  } catch (error) {
    throw new Error(CAMERA_TROUBLE[error.name] ?? `the camera cannot be used: ${error.message}`);
  }
  video.srcObject = stream;
  video.controls = false;
  await video.play();
  return () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

// Play a video file in a <video>, again and again; resolves with a function that stops it.
export async function playFile(video, file) {
  const address = URL.createObjectURL(file);
  video.src = address;
  video.loop = true;
  video.controls = true;
  const stop = () => {
    video.pause();
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(address);
  };
  try {
    await video.play();
  } catch (error) {
    stop();
    if (error.name === "AbortError") throw new Error("the video was stopped before it began");
    throw new Error(`this browser cannot play ${file.name}`);
  }
  return stop;
}

// Show a picture file in an <img>; resolves with a function that takes it away.
// A picture that the browser cannot show is sent all the same: the server says what it is.
export async function showPicture(image, file) {
  const address = URL.createObjectURL(file);
  image.src = address;
  try {
    await image.decode();
  } catch {
    // The boxes, or the server's sentence, come without a picture behind them.
  }
  return () => {
    image.removeAttribute("src");
    URL.revokeObjectURL(address);
  };
}

// Call onFrame for each frame that the video shows; returns a function that ends it.
export function eachFrame(video, onFrame) {
  let handle;
  const byVideo = "requestVideoFrameCallback" in video;
  const again = () => {
    handle = byVideo ? video.requestVideoFrameCallback(next) : requestAnimationFrame(next);
  };
  let shown = -1;
  function next() {
    again();
    if (!byVideo && video.currentTime === shown) return;
    shown = video.currentTime;
    if (video.videoWidth) onFrame();
  }
  again();
  return () => (byVideo ? video.cancelVideoFrameCallback(handle) : cancelAnimationFrame(handle));
}
