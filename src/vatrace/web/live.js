// Sends frames and audio to the server; receives values and draws them.
"use strict";

const SPAN = 30, PICTURES = 10, WIDTH = 480; // seconds shown, frames per second, and their width in pixels
const START = 3, PATIENCE = 8; // seconds until values come without a face; seconds to wait for the last values
const mirror = element("mirror"), canvas = document.createElement("canvas");
const colour = inColour;
const FULL = { valence: "Valence", arousal: "Arousal" }, MODALITIES = ["face", "voice", "words"];
const TAIL = 8, FACE_AGE = 1; // seconds of the tail in the plane, and for which the box of a face is shown
const FLOOR = -60; // dB at which the level meter begins
let session = null, preview = null, values = [], charts = [], recent = [], filled = 0, face = null, film = null;
let said = new Map(), warnings = new Set(); // the words by their start, and what was wrong in this session

function complain(text) {
  element("complaints").replaceChildren(make("li", { textContent: text }));
}

function build(width) {
  const axis = baseAxis();
  element("charts").replaceChildren();
  charts = ["valence", "arousal"].map(name => {
    const place = element("charts").appendChild(make("section", { className: "chart" })), line = colour(name);
    place.append(make("h2", { textContent: FULL[name] }));
    const options = {
      width, height: 180, legend: { show: false }, cursor: { y: false, points: { show: false }, drag: { x: false } }, padding: [8, 12, 0, 0],
      scales: { x: { time: false }, y: { range: [-1, 1] } },
      axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map(tick => `${tick} s`) }, { ...axis, size: 50, splits: () => [-1, -0.5, 0, 0.5, 1] }],
      series: [{}, { stroke: line, width: 2, points: { show: false } }, { width: 0, points: { show: false } }, { width: 0, points: { show: false } }],
      bands: [{ series: [3, 2], fill: line + "2e" }],
    };
    const chart = new uPlot(options, [[], [], [], []], place);
    readable(chart, `${FULL[name]} in the past ${SPAN} s`, i => `${recent[i].time.toFixed(1)} s · ${name} ${told(recent[i], name)}`);
    return chart;
  });
  drawTraces();
  drawPlane();
  return charts;
}

function told(value, name) { // a value with its interval, or that there is none
  if (!value.supported) return "–";
  const k = name === "valence" ? 0 : 1;
  return signed(value[name]) + (value.low ? ` (${signed(value.low[k])} to ${signed(value.high[k])})` : "");
}

const table = tableOnRequest(`the past ${SPAN} s`, () => Math.ceil(recent.length / 10), () => [
  ["time", i => `${recent[10 * i].time.toFixed(1)} s`], ["valence", i => told(recent[10 * i], "valence")], ["arousal", i => told(recent[10 * i], "arousal")],
  ["detected", i => MODALITIES.filter(name => recent[10 * i].presence[name]).join(", ") || "nothing"]]);

function drawTraces() {
  const now = values.at(-1)?.time ?? 0;
  recent = values.slice(-SPAN * 10);
  charts.forEach((chart, k) => {
    const name = ["valence", "arousal"][k], rows = recent.map(value => value.supported ? value[name] : null);
    chart.setData([recent.map(value => value.time), rows, ...["low", "high"].map(end => recent.map(v => v.supported && v[end] ? v[end][k] : null))], false);
    chart.setScale("x", { min: Math.max(now - SPAN, 0), max: Math.max(now, SPAN) });
  });
}

function drawPlane() { // valence from left to right, arousal from bottom to top
  if (!element("plane").clientWidth) return; // the style isn't loaded yet
  const canvas = element("plane"), scale = devicePixelRatio, side = canvas.width = canvas.height = canvas.clientWidth * scale;
  const pen = canvas.getContext("2d"), margin = 22 * scale, x = value => side / 2 + value * (side / 2 - margin), y = value => side - x(value);
  pen.strokeStyle = colour("line");
  pen.lineWidth = scale;
  pen.beginPath();
  pen.arc(side / 2, side / 2, side / 2 - margin, 0, 7);
  for (const [one, other] of [[[-1, 0], [1, 0]], [[0, -1], [0, 1]]]) {
    pen.moveTo(x(one[0]), y(one[1]));
    pen.lineTo(x(other[0]), y(other[1]));
  }
  pen.stroke();
  pen.fillStyle = colour("soft");
  pen.font = `${12 * scale}px system-ui`;
  pen.textAlign = "center";
  pen.fillText("excited", side / 2, 14 * scale);
  pen.fillText("calm", side / 2, side - 6 * scale);
  pen.textAlign = "left";
  pen.fillText("unpleasant", margin + 6 * scale, side / 2 - 6 * scale);
  pen.textAlign = "right";
  pen.fillText("pleasant", side - margin - 6 * scale, side / 2 - 6 * scale);
  const latest = values.at(-1);
  if (!latest) return;
  if (latest.low && latest.supported) {
    pen.fillStyle = colour("accent") + "22";
    pen.fillRect(x(latest.low[0]), y(latest.high[1]), x(latest.high[0]) - x(latest.low[0]), y(latest.low[1]) - y(latest.high[1]));
  }
  const tail = values.slice(-TAIL * 10);
  pen.strokeStyle = pen.fillStyle = colour("accent");
  pen.lineWidth = 3 * scale;
  pen.lineCap = "round";
  tail.slice(1).forEach((value, i) => {
    if (!value.supported || !tail[i].supported) return;
    pen.globalAlpha = (i + 1) / tail.length;
    pen.beginPath();
    pen.moveTo(x(tail[i].valence), y(tail[i].arousal));
    pen.lineTo(x(value.valence), y(value.arousal));
    pen.stroke();
  });
  pen.globalAlpha = 1;
  if (!latest.supported) return;
  pen.beginPath();
  pen.arc(x(latest.valence), y(latest.arousal), 7 * scale, 0, 7);
  pen.fill();
}

function drawFace() { // the box of the face, and the line of the eyes
  const canvas = element("overlay"), pen = canvas.getContext("2d");
  canvas.width = mirror.videoWidth || 4; // the same proportions as the picture, so that both fit in the same way
  canvas.height = mirror.videoHeight || 3;
  if (!session || !face || (performance.now() - session.began) / 1000 - face.time > FACE_AGE) return;
  const path = points => {
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(x * canvas.width, y * canvas.height);
  };
  for (const [stroke, width] of [[colour("box-edge"), 5], [colour("box"), 2.5]]) {
    pen.strokeStyle = stroke;
    pen.lineWidth = width * canvas.width / 480;
    pen.lineJoin = pen.lineCap = "round";
    path(face.corners);
    pen.closePath();
    pen.stroke();
    path(face.eyes);
    pen.stroke();
  }
}

function show(delay, pace) {
  const latest = values.at(-1);
  drawTraces();
  if (latest.time - filled >= 1 || latest.time < filled) { // not more often, so that it can be read
    table.fill();
    filled = latest.time;
  }
  drawPlane();
  for (const item of element("presence").children) item.classList.toggle("on", latest.presence[item.dataset.name]);
  element("numbers").hidden = element("delay").hidden = false;
  ["valence", "arousal"].forEach((name, k) => { element("numbers").children[k].textContent = `${name} ${latest.supported ? signed(latest[name]) : "–"}`; });
  element("delay").textContent = `delay ${delay.toFixed(1)} s`;
  if (pace.note) warnings.add(pace.note);
  element("notes").textContent = [
    !latest.supported && "nothing detected", pace.note,
    latest.person > 1 && `now following person ${latest.person}: the previous one was away for too long`,
    latest.others && (latest.others === 1 ? "another person is in view" : `${latest.others} other people are in view`),
  ].filter(Boolean).join("\n");
}

async function devices() { // the chosen camera and microphone, or those that there are
  const [camera, microphone] = ["camera", "microphone"].map(id => element(id).value);
  const exactly = id => id ? { deviceId: { exact: id } } : {};
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, ...exactly(camera) };
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false, ...exactly(microphone) };
  const wishes = [{ video, audio }, { video }, { audio }].filter(wish =>
    !(wish.video && camera === "none") && !(wish.audio && microphone === "none")
    && !(camera && camera !== "none" && !wish.video) && !(microphone && microphone !== "none" && !wish.audio)); // a chosen one is needed
  for (const wish of wishes) {
    try {
      return await navigator.mediaDevices.getUserMedia(wish);
    } catch (error) {
      if (error.name !== "NotFoundError" && error.name !== "OverconstrainedError") throw error;
    }
  }
  throw new Error(camera === "none" && microphone === "none" ? "choose at least one" : "no camera or microphone found");
}

async function listDevices() { // browsers tell the names only once the page may use the devices
  const found = await navigator.mediaDevices?.enumerateDevices() ?? [];
  for (const [id, kind] of [["camera", "videoinput"], ["microphone", "audioinput"]]) {
    const chosen = element(id).value, named = found.filter(device => device.kind === kind && device.label && device.deviceId !== "default");
    const options = [["", "default"], ...named.map(device => [device.deviceId, device.label]), ["none", "none"]];
    element(id).replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
    element(id).value = options.some(([value]) => value === chosen) ? chosen : "";
  }
}

async function open() { // open the devices, and show the picture and the level
  const stream = await devices(), context = new AudioContext();
  preview = { stream, context, timer: null };
  listDevices();
  if (stream.getVideoTracks().length) {
    mirror.srcObject = stream;
    mirror.play();
  }
  if (stream.getAudioTracks().length) {
    const analyser = new AnalyserNode(context, { fftSize: 2048 }), samples = new Float32Array(2048);
    context.createMediaStreamSource(stream).connect(analyser);
    context.resume();
    preview.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const loudness = 10 * Math.log10(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length + 1e-12);
      element("level").value = Math.min(Math.max(1 - loudness / FLOOR, 0), 1);
      element("level").textContent = `${loudness.toFixed(0)} dB`;
    }, 100);
  }
  return preview;
}

function shut() { // the camera and the microphone
  if (!preview) return;
  clearInterval(preview.timer);
  preview.stream.getTracks().forEach(track => track.stop());
  preview.context.close();
  preview = null;
  mirror.srcObject = null;
  element("level").value = 0;
}

async function test() {
  element("complaints").replaceChildren();
  shut();
  element("test").disabled = true;
  try {
    await open();
    element("notes").textContent = "Not started. Speak, and see whether the level moves.";
  } catch (error) {
    complain(`Can't use the camera or microphone: ${error.message}`);
  }
  element("test").disabled = false;
}

async function start() {
  element("complaints").replaceChildren();
  for (const id of ["start", "test", "camera", "microphone", "filming"]) element(id).disabled = true;
  element("notes").textContent = "Starting …";
  element("saving").hidden = true;
  try {
    const { stream, context } = preview ?? await open(), socket = new WebSocket(new URL("live/stream", location.href.replace(/^http/, "ws")));
    socket.binaryType = "arraybuffer";
    session = { stream, context, socket, began: null, timer: null, recorder: null };
    values = [];
    said = new Map();
    element("words").textContent = "Words appear here as they are spoken.";
    warnings = new Set();
    film = face = null;
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
  if (stream.getVideoTracks().length) session.timer = setInterval(picture, 1000 / PICTURES);
  if (element("filming").checked) record(stream);
  element("stop").disabled = false;
  element("notes").textContent = stream.getVideoTracks().length ? `Looking for a face, for at most ${START} s …` : "Listening …";
}

function record(stream) { // the film stays in this page until it is saved
  const parts = [], recorder = session.recorder = new MediaRecorder(stream);
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    film = new Blob(parts, { type: recorder.mimeType.split(";")[0] });
    offer();
  };
  recorder.start(1000);
}

function offer() { // what can be saved
  element("saving").hidden = !values.length && !film;
  element("save").disabled = element("save-json").disabled = !values.length;
  element("save-film").hidden = element("add-film").hidden = !film;
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
  drawFace();
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
    for (const word of message.words) said.set(word.start, word);
    element("words").classList.toggle("hint", !said.size);
    if (said.size) element("words").textContent = [...said.values()].slice(-30).map(word => word.text).join(" ");
    face = message.face;
    if (message.values.length) {
      if (element("saving").hidden) offer();
      show((performance.now() - session.began) / 1000 - values.at(-1).time, message.pace);
    }
    if (message.done) stop();
  }
}

function end() { // the camera and the microphone stop at once; the values of what they have sent still come
  const { socket, timer, began, recorder } = session ?? {};
  if (!began || socket.readyState !== WebSocket.OPEN) {
    stop();
    return;
  }
  clearInterval(timer);
  if (recorder?.state === "recording") recorder.stop();
  shut();
  element("stop").disabled = true;
  socket.send(JSON.stringify({ end: (performance.now() - began) / 1000 }));
  const ending = session;
  setTimeout(() => { if (session === ending) stop(); }, 1000 * PATIENCE);
}

function stop() {
  for (const id of ["start", "test", "camera", "microphone", "filming"]) element(id).disabled = false;
  element("stop").disabled = true;
  if (session) {
    const { socket, timer, recorder } = session;
    session = null;
    clearInterval(timer);
    if (recorder?.state === "recording") recorder.stop();
    socket.onclose = null;
    socket.close();
    element("notes").textContent = "Stopped.";
  } else {
    element("notes").textContent = "Not started.";
  }
  shut();
  face = null;
  drawFace();
  element("delay").hidden = element("numbers").hidden = true;
  for (const item of element("presence").children) item.classList.remove("on");
}

function download(content, name) {
  const link = make("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

function save() {
  const header = ["time", "valence", "arousal", ...MODALITIES, "valence_low", "valence_high", "arousal_low", "arousal_high", "supported", "late", "person", "others"];
  const rows = values.map(v => [v.time.toFixed(1), v.valence.toFixed(4), v.arousal.toFixed(4), ...MODALITIES.map(name => +v.presence[name]),
    ...[0, 1].flatMap(k => [v.low, v.high].map(end => end?.[k].toFixed(4) ?? "")), +v.supported, v.late.join("+"), v.person, v.others]);
  download(new Blob([[header, ...rows].map(row => row.join(",")).join("\n") + "\n"], { type: "text/csv" }), "live.csv");
}

function saveJson() { // with the keys of a recording's JSON
  const column = read => values.map(value => { const cell = read(value); return typeof cell === "number" ? Number(cell.toFixed(4)) : cell; });
  const columns = { time: column(v => v.time), valence: column(v => v.valence), arousal: column(v => v.arousal) };
  for (const name of MODALITIES) columns[name] = column(v => +v.presence[name]);
  if (values.every(v => v.low)) {
    ["valence", "arousal"].forEach((name, k) => {
      columns[`${name}_low`] = column(v => v.low[k]);
      columns[`${name}_high`] = column(v => v.high[k]);
    });
  }
  columns.supported = column(v => +v.supported);
  for (const name of ["face", "voice"]) columns[`${name}_late`] = column(v => +v.late.includes(name));
  columns.followed = column(v => v.person);
  columns.others = column(v => v.others);
  const content = {
    source: "live", rate: 10, person: "1", ...columns, transcript: [...said.values()], words_left_out: 0, words_unused: 0,
    notes: ["made live, by the causal model", ...warnings], turns: [], languages: [], made_by: {} };
  download(new Blob([JSON.stringify(content) + "\n"], { type: "application/json" }), "live.json");
}

const filmName = () => `live-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${film.type.endsWith("mp4") ? "mp4" : "webm"}`;

async function analyse() { // like any recording, by the model for whole recordings
  element("add-film").disabled = true;
  const name = filmName();
  const response = await fetch(`jobs?${new URLSearchParams({ name })}`, { method: "POST", body: film });
  if (response.ok) element("said").textContent = `${name} is in Recordings now.`;
  else complain((await response.json()).detail);
  element("add-film").disabled = false;
}

element("start").addEventListener("click", start);
element("stop").addEventListener("click", end);
element("save").addEventListener("click", save);
element("save-json").addEventListener("click", saveJson);
element("save-film").addEventListener("click", () => download(film, filmName()));
element("add-film").addEventListener("click", analyse);
element("test").addEventListener("click", test);
for (const id of ["camera", "microphone"]) {
  element(id).addEventListener("change", () => { if (preview && !session) test(); }); // show the one that is chosen now
}
element("charts").after(table);
drawnIn(element("charts"), build);
listDevices().catch(() => {});
addEventListener("pagehide", stop);
