// Trace valence or arousal with the mouse, keys or a gamepad while a recording plays; traces are saved as they grow.
"use strict";

const element = id => document.getElementById(id);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const ENDS = { valence: ["pleasant", "unpleasant"], arousal: ["excited", "calm"] };
const STEP = 0.05, KEY_SPEED = 0.8, STICK_SPEED = 1.2; // seconds between samples; how fast keys and stick move the value, per second
const COUNTDOWN = 3, DEAD_ZONE = 0.1; // seconds; how far a stick at rest may be off its centre
const FIRST_INPUT = {
  mouse: matchMedia("(hover: none)").matches ? "Touch the bar to begin" : "Move the pointer onto the bar to begin", keys: "Press ↑ or ↓ to begin", gamepad: "Move the stick to begin" };
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
let media = null, value = 0, samples = [], state = null, revealed = false, charts = [];
let phase = "idle"; // then "countdown", "waiting" for the first input, "tracing"
let task = null; // what is being traced: annotator, dimension and device, as they were when the countdown began
let counting = null, pointer = null; // the countdown's timer; how high the pointer is, or null while it isn't on the bar
const pressed = new Set();

function complain(text) {
  element("complaints").replaceChildren(...(text ? [Object.assign(document.createElement("li"), { textContent: text })] : []));
}

function place(next) {
  value = Math.min(Math.max(next, -1), 1);
  element("mark").style.top = `${50 - 50 * value}%`;
  element("bar").setAttribute("aria-valuenow", value.toFixed(2));
}

function choose() {
  const [top, bottom] = ENDS[element("dimension").value];
  element("bar").querySelector(".top").textContent = top;
  element("bar").querySelector(".bottom").textContent = bottom;
  place(0);
}

function enter(next, prompt = "") {
  phase = next;
  element("prompt").textContent = prompt;
  element("prompt").hidden = !prompt;
  element("play").textContent = phase === "idle" ? "Play and trace" : "Stop";
}

function toggle() {
  if (phase !== "idle") stop();
  else if (media && element("annotator").reportValidity() && element("annotator").value) countDown(COUNTDOWN);
}

function countDown(seconds) {
  if (phase === "idle") {
    media.pause();
    task = Object.fromEntries(["annotator", "dimension", "device"].map(id => [id, element(id).value]));
    pressed.clear();
    document.activeElement?.blur();
    element("bar").focus({ preventScroll: true }); // a button or a list would capture the keys
  }
  if (seconds > 0) {
    enter("countdown", String(seconds));
    counting = setTimeout(() => countDown(seconds - 1), 1000);
    return;
  }
  enter("waiting", FIRST_INPUT[task.device]);
  const ready = { mouse: pointer !== null, keys: pressed.size > 0, gamepad: false }; // already on the bar, or held, during the countdown
  if (ready[task.device]) begin();
}

async function begin() { // the first input has come
  samples = [];
  enter("tracing");
  if (task.device === "mouse") place(pointer);
  media.playbackRate = Number(element("speed").value);
  try {
    await media.play();
  } catch (error) {
    if (phase === "tracing") complain(`The browser doesn't play this recording: ${error.message}`);
    stop();
  }
}

async function stop() {
  clearTimeout(counting);
  const traced = phase === "tracing";
  enter("idle");
  media.pause();
  if (!traced) return;
  await save();
  samples = [];
  await refresh();
}

function stick() {
  const tilt = navigator.getGamepads().find(Boolean)?.axes[1] ?? 0;
  return Math.abs(tilt) > DEAD_ZONE ? tilt : 0;
}

function tick(seconds) {
  if (phase === "waiting" && task.device === "gamepad" && stick()) begin();
  if (phase !== "tracing" || media.paused || media.ended) return;
  if (task.device === "keys") place(value + KEY_SPEED * seconds * (pressed.has("ArrowUp") - pressed.has("ArrowDown")));
  if (task.device === "gamepad") place(value - STICK_SPEED * seconds * stick());
  const time = media.currentTime;
  if (samples.length && time < samples.at(-1)[0]) save(); // the user moved back during playback
  if (!samples.length || time > samples.at(-1)[0]) samples.push([time, value]);
  if (samples.length >= 1 / STEP) save();
}

let saving = Promise.resolve();

function save() {
  if (samples.length < 2) return saving;
  const sent = samples, { annotator, dimension } = task;
  samples = sent.slice(-1); // the next part continues from here
  saving = saving.then(async () => {
    const response = await fetch(`annotations/${annotator}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ dimension, samples: sent }) });
    if (!response.ok) throw new Error((await response.json()).detail);
    element("saved").textContent = `Saved ${dimension} up to ${sent.at(-1)[0].toFixed(1)} s as ${annotator}.`;
  }).catch(error => complain(`Not saved: ${error.message}. Is the server still running?`));
  return saving;
}

async function refresh() {
  state = await (await fetch("annotations")).json();
  draw();
  const rows = state.agreement.map(row => {
    const cells = [row.one, row.other, ...["valence", "arousal"].map(name =>
      row[name] === null ? "" : `${row[name].toFixed(2)} (${row[`${name}_seconds`].toFixed(0)} s)`)];
    const line = document.createElement("tr");
    line.append(...cells.map(text => Object.assign(document.createElement("td"), { textContent: text })));
    return line;
  });
  element("agreement").tBodies[0].replaceChildren(...rows);
}

function shown(dimension) { // the model's trace stays hidden until nearly all is traced, so that it influences nobody
  const own = state.traces[element("annotator").value];
  return revealed || (own?.[dimension].filter(v => v !== null).length ?? 0) > 0.9 * state.duration * 10;
}

function draw() {
  charts.forEach(chart => chart.destroy());
  element("charts").replaceChildren();
  const grid = { stroke: colour("line"), width: 1 }, axis = { stroke: colour("soft"), grid, ticks: grid };
  charts = ["valence", "arousal"].map(dimension => {
    const names = Object.keys(state.traces).filter(name => name !== "model" || shown(dimension));
    const all = [...new Set(names.flatMap(name => state.traces[name].time))].sort((a, b) => a - b);
    const columns = names.map(name => {
      const found = new Map(state.traces[name].time.map((time, i) => [time, state.traces[name][dimension][i]]));
      return all.map(time => found.get(time) ?? null);
    });
    const section = element("charts").appendChild(document.createElement("section"));
    section.append(Object.assign(document.createElement("h2"), { textContent: dimension }));
    const series = names.map((name, i) => name === "model" ? { label: name, stroke: colour("soft"), width: 1 }
      : { label: name, stroke: colour(["valence", "arousal", "face", "voice", "words"][i % 5]), width: 2, dash: DASHES[(i / 5 | 0) % 4] });
    const options = {
      width: Math.max(element("charts").clientWidth, 300), height: 180,
      scales: { x: { time: false, range: [0, state.duration] }, y: { range: [-1, 1] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map(tick => `${tick} s`) }, { ...axis, size: 50 }], series: [{ label: "time" }, ...series],
    };
    const chart = new uPlot(options, [all, ...columns], section);
    chart.over.addEventListener("click", () => { media.currentTime = chart.posToVal(chart.cursor.left, "x"); });
    return chart;
  });
}

async function open() {
  const about = await (await fetch("about")).json();
  element("name").textContent = about.name;
  document.title = `${about.name} · Annotate · vatrace`;
  if (!/^(audio|video)/.test(about.kind)) {
    complain("Only video and audio recordings can be annotated.");
    element("play").disabled = true;
    return;
  }
  media = document.createElement(about.kind.startsWith("audio") ? "audio" : "video");
  media.controls = true;
  media.src = "copy";
  for (const name of ["pause", "ended"]) media.addEventListener(name, () => { if (phase === "tracing") stop(); });
  media.addEventListener("play", () => { if (phase !== "tracing" && phase !== "idle") stop(); });
  media.addEventListener("seeking", save);
  media.addEventListener("seeked", () => { samples = []; });
  element("media").append(media);
  element("annotator").value = localStorage.getItem("annotator") ?? "";
  choose();
  await refresh();
}

for (const id of ["annotator", "dimension", "device", "speed"]) {
  element(id).addEventListener("change", () => { if (phase !== "idle") stop(); }); // a trace has one annotator and one device
}
element("annotator").addEventListener("change", () => {
  localStorage.setItem("annotator", element("annotator").value);
  if (state) draw();
});
element("dimension").addEventListener("change", choose);
element("play").addEventListener("click", toggle);
element("reveal").addEventListener("click", () => {
  revealed = true;
  draw();
});

function point(event) { // on the way from the bar to a button, the value stays as it was
  const box = element("bar").getBoundingClientRect();
  pointer = 1 - 2 * (event.clientY - box.top) / box.height;
  if (phase === "waiting" && task.device === "mouse") begin();
  else if (phase === "tracing" && task.device === "mouse") place(pointer);
}

for (const name of ["pointerenter", "pointermove", "pointerdown"]) element("bar").addEventListener(name, point);
element("bar").addEventListener("pointerleave", event => {
  if (phase === "tracing") point(event); // beyond the upper end is +1
  pointer = null;
});
addEventListener("keydown", event => {
  const active = phase !== "idle", written = event.target.closest?.("input");
  if (event.key === " " && !written && (active || !event.target.closest?.("select, button, video, audio, a"))) {
    if (!event.repeat) toggle();
  } else if (active && task.device === "keys" && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    pressed.add(event.key);
    if (phase === "waiting") begin();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}, true); // before a list, a button or the player gets the key
addEventListener("keyup", event => pressed.delete(event.key));
addEventListener("blur", () => pressed.clear());
addEventListener("pagehide", () => {
  if (samples.length > 1) {
    const content = JSON.stringify({ dimension: task.dimension, samples });
    navigator.sendBeacon(`annotations/${task.annotator}`, new Blob([content], { type: "application/json" }));
  }
});
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  tick((now - last) / 1000);
  last = now;
}, 1000 * STEP);
open();
