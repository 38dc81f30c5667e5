// Sends frames and audio to the server; receives values and draws them.
"use strict";

const SPAN = 30, PICTURES = 10, WIDTH = 480; // seconds shown, frames per second, and their width in pixels
const START = 3, PATIENCE = 8; // seconds until values come without a face; seconds to wait for the last values
const element = id => document.getElementById(id);
const mirror = element("mirror"), canvas = document.createElement("canvas");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
let session = null, values = [], charts = [];

function complain(text) {
  element("complaints").replaceChildren(Object.assign(document.createElement("li"), { textContent: text }));
}

function build() {
  const grid = { stroke: colour("line"), width: 1 }, axis = { stroke: colour("soft"), grid, ticks: grid };
  charts.forEach(chart => chart.destroy());
  charts = ["valence", "arousal"].map(name => {
    const place = element("charts"), line = colour(name);
    place.append(Object.assign(document.createElement("h2"), { textContent: name }));
    const options = {
      width: Math.max(place.clientWidth, 300), height: 190, legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false }, y: { range: [-1, 1] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(tick => `${tick} s`) }, { ...axis, size: 50 }],
      series: [{}, { stroke: line, width: 2 }, { width: 0 }, { width: 0 }],
      bands: [{ series: [3, 2], fill: line + "2e" }],
    };
    return new uPlot(options, [[], [], [], []], place);
  });
}

function draw(delay, pace) {
  const now = values.at(-1).time, recent = values.slice(-SPAN * 10);
  charts.forEach((chart, k) => {
    const name = ["valence", "arousal"][k], rows = recent.map(value => value.supported ? value[name] : null);
    chart.setData([recent.map(value => value.time), rows, recent.map(v => v.low?.[k] ?? null), recent.map(v => v.high?.[k] ?? null)], false);
    chart.setScale("x", { min: Math.max(now - SPAN, 0), max: Math.max(now, SPAN) });
  });
  const latest = values.at(-1), present = ["face", "voice", "words"].filter(name => latest.presence[name]);
  element("values").replaceChildren(...[
    `valence ${signed(latest.valence)}`, `arousal ${signed(latest.arousal)}`, present.join(", ") || "nothing detected",
    `delay ${delay.toFixed(2)} s`, pace.note,
    latest.person > 1 && `now following person ${latest.person}: the previous one was away for too long`,
    latest.others && (latest.others === 1 ? "another person is in view" : `${latest.others} other people are in view`),
  ].filter(Boolean).map(text => Object.assign(document.createElement("div"), { textContent: text })));
}

async function devices() {
  const video = { width: { ideal: 640 }, height: { ideal: 480 } };
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  for (const wish of [{ video, audio }, { video }, { audio }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(wish);
    } catch (error) {
      if (error.name !== "NotFoundError") throw error;
    }
  }
  throw new Error("no camera or microphone found");
}

async function start() {
  element("complaints").replaceChildren();
  element("start").disabled = true;
  element("values").textContent = "Starting …";
  try {
    const stream = await devices();
    const context = new AudioContext(), socket = new WebSocket(new URL("live/stream", location.href.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    session = { stream, context, socket, began: null, timer: null };
    values = [];
    await context.audioWorklet.addModule("assets/tap.js");
    socket.onclose = stop;
    socket.onmessage = ({ data }) => take(JSON.parse(data));
  } catch (error) {
    complain(`Can't use the camera or microphone: ${error.message}`);
    stop();
  }
}

function begin() { // the server is ready: this moment is second 0
  const { stream, context, socket } = session;
  const absent = [!stream.getVideoTracks().length && "face", !stream.getAudioTracks().length && "voice"].filter(Boolean);
  socket.send(JSON.stringify({ rate: context.sampleRate, absent }));
  session.began = performance.now();
  if (stream.getAudioTracks().length) {
    const tap = new AudioWorkletNode(context, "tap", { numberOfInputs: 1, numberOfOutputs: 0 });
    context.createMediaStreamSource(stream).connect(tap);
    let lead = null; // seconds until the first audio from the microphone
    tap.port.onmessage = ({ data }) => {
      if (!session) return;
      if (lead === null) {
        lead = Math.max((performance.now() - session.began) / 1000 - data.length / context.sampleRate, 0);
        send(2, null, new Uint8Array(new Float32Array(Math.round(lead * context.sampleRate)).buffer));
      }
      send(2, null, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    };
    context.resume();
  }
  if (stream.getVideoTracks().length) {
    mirror.srcObject = stream;
    mirror.play();
    session.timer = setInterval(picture, 1000 / PICTURES);
  }
  element("stop").disabled = false;
  element("values").textContent = stream.getVideoTracks().length ? `Looking for a face, for at most ${START} s …` : "Listening …";
}

function send(kind, time, content) {
  const { socket } = session ?? {};
  if (socket?.readyState !== WebSocket.OPEN || (kind === 1 && socket.bufferedAmount > 500_000)) return;
  const head = time === null ? 1 : 9, message = new Uint8Array(head + content.length);
  message[0] = kind;
  if (time !== null) new DataView(message.buffer).setFloat64(1, time, true);
  message.set(content, head);
  socket.send(message);
}

function picture() {
  if (!mirror.videoWidth) return;
  const time = (performance.now() - session.began) / 1000;
  canvas.width = WIDTH;
  canvas.height = Math.round(WIDTH * mirror.videoHeight / mirror.videoWidth);
  canvas.getContext("2d").drawImage(mirror, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(async blob => send(1, time, new Uint8Array(await blob.arrayBuffer())), "image/jpeg", 0.85);
}

function take(message) {
  if (message.error) {
    complain(message.error);
    stop();
  } else if (message.problem) {
    complain(message.problem);
  } else if (message.ready) {
    begin();
  } else {
    for (const value of message.values) value.supported = Object.values(value.presence).some(Boolean);
    values.push(...message.values);
    element("words").textContent = message.words.join(" ");
    if (values.length) {
      element("save").disabled = false;
      draw((performance.now() - session.began) / 1000 - values.at(-1).time, message.pace);
    }
    if (message.done) stop();
  }
}

function end() { // the camera and the microphone stop at once; the values of what they have sent still come
  const { stream, socket, timer, began } = session ?? {};
  if (!began || socket.readyState !== WebSocket.OPEN) {
    stop();
    return;
  }
  clearInterval(timer);
  stream.getTracks().forEach(track => track.stop());
  mirror.srcObject = null;
  element("stop").disabled = true;
  socket.send(JSON.stringify({ end: (performance.now() - began) / 1000 }));
  const ending = session;
  setTimeout(() => { if (session === ending) stop(); }, 1000 * PATIENCE);
}

function stop() {
  if (!session) {
    element("start").disabled = false;
    return;
  }
  const { stream, context, socket, timer } = session;
  session = null;
  clearInterval(timer);
  stream.getTracks().forEach(track => track.stop());
  context.close();
  socket.onclose = null;
  socket.close();
  mirror.srcObject = null;
  element("start").disabled = false;
  element("stop").disabled = true;
}

function save() {
  const names = ["face", "voice", "words"];
  const header = ["time", "valence", "arousal", ...names, "valence_low", "valence_high", "arousal_low", "arousal_high", "supported", "late", "person", "others"];
  const rows = values.map(v => [v.time.toFixed(1), v.valence.toFixed(4), v.arousal.toFixed(4), ...names.map(name => +v.presence[name]),
    ...[0, 1].flatMap(k => [v.low, v.high].map(end => end?.[k].toFixed(4) ?? "")), +v.supported, v.late.join("+"), v.person, v.others]);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[header, ...rows].map(row => row.join(",")).join("\n") + "\n"], { type: "text/csv" }));
  link.download = "live.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

element("start").addEventListener("click", start);
element("stop").addEventListener("click", end);
element("save").addEventListener("click", save);
addEventListener("pagehide", stop);
build();
