// A thin client: what the camera sees goes to the gateway, what it answers is drawn over it.

import { canEncode, Encoder } from "./h264.js";
import { captureJpeg } from "./jpeg.js";
import { describePipeline, Link } from "./link.js";
import { Meters } from "./meters.js";
import { colourOf, Overlay } from "./overlay.js";
import { eachFrame, playCamera, playFile, showPicture } from "./sources.js";
import { keepToken, knownToken } from "./token.js";
import { Trails } from "./trails.js";

// One on its way while the other is worked on; more would only make boxes older. Where the network
// looks at some frames only, those behind one that it looks at are answered as soon as it is.
const IN_FLIGHT = 2;
const RETRY_MS = 2000;
// Of a message, for what stands before the frame.
const HEADER_ROOM = 200;

const byId = (id) => document.getElementById(id);
const [stage, video, picture, trouble, conf] =
  ["stage", "video", "picture", "trouble", "conf"].map(byId);
const trails = new Trails();
const overlay = new Overlay(byId("boxes"), trails);
const meters = new Meters({
  rate: byId("rate"), latency: byId("latency"), latencyP95: byId("latency-p95"),
  up: byId("up"), down: byId("down"), frameSize: byId("frame-size"),
  lookedAt: byId("looked-at"), dropped: byId("dropped"),
});

let pipeline = null;
let link = null;
let source = null; // {element, stop(), send()}
let capturing = false;
let renewing = false;
const encoder = new Encoder(
  (packet, capturedMs) => {
    // The encoder may give a packet after somebody chose pictures.
    if (source && link.codec === "h264" && link.open) sendBytes(packet, capturedMs);
  },
  (sentence) => say(`${sentence}.`),
);

function say(sentence) {
  trouble.hidden = !sentence;
  trouble.textContent = sentence ?? "";
}

async function begin() {
  const token = knownToken();
  try {
    pipeline = await describePipeline(token);
  } catch (error) {
    byId("state").textContent = "not connected";
    byId("token-form").hidden = error.status !== "token";
    say(`${error.message}.`);
    if (error.status !== "token") setTimeout(begin, RETRY_MS);
    return;
  }
  byId("token-form").hidden = true;
  byId("pipeline").textContent = pipeline.pipeline;
  conf.value = pipeline.conf;
  showConf();
  listClasses(pipeline.labels);
  const video264 = pipeline.codecs.includes("h264") && await canEncode();
  byId("codec").replaceChildren(new Option("JPEG", "jpeg"));
  if (video264) byId("codec").append(new Option("H.264", "h264"));
  say(null);
  connect("jpeg");
}

function connect(codec) {
  link?.close();
  meters.reset();
  encoder.restart();
  link = new Link(knownToken(), codec, {
    state: (text) => { byId("state").textContent = text; },
    trouble: say,
    answer: takeAnswer,
    open: () => { say(null); trails.clear(); encoder.restart(); source?.send(); },
  }, pipeline.detect_fps ? { detect_fps: "auto" } : {});
}

// Have a link for frames of a codec; pictures never go as video.
function useCodec(codec) {
  if (link && link.codec !== codec) connect(codec);
}

function takeAnswer(answer) {
  if (!source || answer.capturedMs === undefined) return;
  meters.answered(answer.capturedMs, answer.looked_at ?? true);
  if (answer.error) {
    if (answer.status === "waiting_for_key_frame" || answer.status === "corrupt_packet") {
      encoder.restart();
    }
    overlay.clear();
    say(`${answer.error}.`);
    return;
  }
  say(null);
  if (answer.status === "not_looked_at") return; // what was found last stays
  trails.follow(answer);
  overlay.show(answer);
  if (answer.detections.some(isUnlisted)) renewClasses();
  countClasses(answer.detections);
}

// Whether the pipeline has other classes than it said: it has another version since.
function isUnlisted({ class: index, label }) {
  return label !== (pipeline.labels[index] ?? String(index));
}

async function renewClasses() {
  if (renewing) return;
  renewing = true;
  try {
    pipeline = await describePipeline(knownToken());
    listClasses(pipeline.labels);
  } catch {
    // The next answer asks again.
  } finally {
    renewing = false;
  }
}

// Send bytes as a frame, unless they are more than the gateway takes.
function sendBytes(bytes, capturedMs) {
  const most = pipeline.max_message_bytes - HEADER_ROOM;
  if (bytes.length > most) {
    say(`This frame has ${bytes.length} bytes and the gateway takes ${most}.`);
    return;
  }
  const asked = { conf: Number(conf.value) };
  if (link.codec !== "jpeg") asked.timestamp = Math.round(capturedMs * 1000);
  meters.frameBytes = link.send(asked, bytes, capturedMs);
}

async function sendVideoFrame() {
  // A frame that finds the line busy is dropped: the next one is newer.
  const most = link?.codec === "h264" && pipeline.detect_fps ? pipeline.in_flight : IN_FLIGHT;
  if (
    capturing || !link?.open || link.socket.bufferedAmount
    || link.waiting.size + encoder.waiting >= most
  ) {
    meters.dropped();
    return;
  }
  capturing = true;
  const capturedMs = performance.now();
  const maxSide = Number(byId("side").value);
  try {
    if (link.codec === "h264") {
      encoder.encode(video, maxSide, capturedMs);
      return;
    }
    const asked = link;
    const jpeg = await captureJpeg(video, maxSide);
    // Meanwhile somebody may have stopped the source, or chosen video for another link.
    if (source && link === asked && link.open) sendBytes(jpeg, capturedMs);
  } catch (error) {
    say(`${error.message}.`);
  } finally {
    capturing = false;
  }
}

async function start(element, open, makeSend) {
  stop();
  byId("invitation").hidden = true;
  element.hidden = false;
  byId("stop").disabled = false;
  try {
    const close = await open();
    source = { element, ...makeSend() };
    source.stop = () => { source.end?.(); close(); };
    overlay.cover(element);
    source.send();
  } catch (error) {
    stop();
    say(`${error.message}.`);
  }
}

function startVideo(open) {
  useCodec(byId("codec").value);
  return start(video, open, () => ({ send: () => {}, end: eachFrame(video, sendVideoFrame) }));
}

function startFile(file) {
  if (!file) return;
  if (file.type.startsWith("video/")) {
    startVideo(() => playFile(video, file));
    return;
  }
  useCodec("jpeg");
  // As the file is: the server reads it, and turns it upright as the browser does.
  const reading = file.arrayBuffer();
  const send = async () => {
    const bytes = new Uint8Array(await reading);
    if (source?.send === send && link?.open) sendBytes(bytes, performance.now());
  };
  start(picture, () => showPicture(picture, file), () => ({ send }));
}

function stop() {
  source?.stop();
  source = null;
  video.hidden = picture.hidden = true;
  byId("invitation").hidden = false;
  byId("stop").disabled = true;
  encoder.close();
  trails.clear();
  overlay.clear();
  meters.reset();
  say(null);
}

function listClasses(labels) {
  byId("classes").replaceChildren(...labels.map((label, index) => {
    const item = document.createElement("li");
    const swatch = document.createElement("canvas");
    swatch.width = swatch.height = 1;
    const context = swatch.getContext("2d");
    context.fillStyle = colourOf(index);
    context.fillRect(0, 0, 1, 1);
    item.append(swatch, label, document.createElement("span"));
    return item;
  }));
}

function countClasses(detections) {
  const counts = new Map();
  for (const { class: index } of detections) counts.set(index, (counts.get(index) ?? 0) + 1);
  [...byId("classes").children].forEach((item, index) => {
    item.classList.toggle("found", counts.has(index));
    item.lastChild.textContent = counts.get(index) ?? "";
  });
}

function showConf() {
  byId("conf-value").textContent = Number(conf.value).toFixed(2);
}

byId("camera").onclick = () => startVideo(() => playCamera(video));
byId("stop").onclick = stop;
byId("file").onchange = (event) => {
  startFile(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
};
conf.oninput = () => {
  showConf();
  if (source?.element === picture) source.send();
};
byId("codec").onchange = (event) => { if (source?.element === video) useCodec(event.target.value); };
byId("token-form").onsubmit = (event) => {
  event.preventDefault();
  keepToken(byId("token").value.trim());
  begin();
};
stage.ondragover = (event) => {
  event.preventDefault();
  stage.classList.add("dropping");
};
stage.ondragleave = () => stage.classList.remove("dropping");
stage.ondrop = (event) => {
  event.preventDefault();
  stage.classList.remove("dropping");
  startFile(event.dataTransfer.files[0]);
};
new ResizeObserver(() => { if (source) overlay.cover(source.element); }).observe(stage);
video.onresize = () => { if (source) overlay.cover(source.element); };
setInterval(() => meters.show(source ? link : null), 500);

begin();
