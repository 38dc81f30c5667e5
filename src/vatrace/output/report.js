// The traces of one recording follow the playback; a click on a trace jumps to that time.
"use strict";

document.documentElement.classList.add("scripted");
const view = JSON.parse(document.getElementById("view").textContent);
const media = document.querySelector("video, audio");
const slider = document.getElementById("time");
const words = [...document.querySelectorAll(".transcript span")];
const LEFT = 56; // width of the vertical axes in pixels, the same for all charts
let charts = [];

const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const clock = seconds => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

function options(title, height, scale, axis, series, more) {
  const grid = { stroke: colour("line"), width: 1 };
  const base = { stroke: colour("soft"), grid, ticks: grid, font: "12px system-ui" };
  return {
    width: 600, height, legend: { show: false }, padding: [8, 12, 0, 0],
    cursor: { sync: { key: "time" }, drag: { x: true, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false, range: (_, min, max) => [min, max < view.trace.time.at(-1) ? max : view.duration] }, y: { range: scale } },
    axes: [{ ...base, size: 28, values: (_, ticks) => ticks.map(t => clock(t).replace(/\.0$/, "")) },
           { ...base, size: LEFT, ...axis }],
    series: [{}, ...series], ...more, title: undefined,
  };
}

function traceChart(name) {
  const rows = view.trace, line = colour(name);
  const data = [rows.time, rows[name], rows[name].map((value, i) => rows.supported[i] ? value : null)];
  const series = [{ stroke: line + "55", width: 1 }, { stroke: line, width: 2 }];
  const more = {};
  if (rows[name + "_low"]) {
    data.push(rows[name + "_high"], rows[name + "_low"]);
    series.push({ width: 0, points: { show: false } }, { width: 0, points: { show: false } });
    more.bands = [{ series: [3, 4], fill: line + "2e" }];
  }
  if (rows.time.length === 1) series[0].points = series[1].points = { show: true, size: 8 };
  return [options(name, 190, [-1, 1], { splits: () => [-1, -0.5, 0, 0.5, 1] }, series, more), data];
}

function presenceChart() {
  const names = Object.keys(view.presence);
  const draw = u => names.forEach((name, row) => {
    u.ctx.fillStyle = colour(name);
    const top = u.valToPos(names.length - row - 0.65, "y", true), bottom = u.valToPos(names.length - row - 1.35, "y", true);
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    u.ctx.clip();
    for (const [start, end] of view.presence[name]) {
      const left = u.valToPos(start, "x", true);
      u.ctx.fillRect(left, top, Math.max(u.valToPos(end, "x", true) - left, 1), bottom - top);
    }
    u.ctx.restore();
  });
  const axis = { splits: () => names.map((_, i) => i), values: (_, rows) => rows.map(i => names[names.length - 1 - i]),
                 grid: { show: false }, ticks: { show: false } };
  const data = [view.trace.time, view.trace.time.map(() => null)];
  return [options("presence", 110, [-0.6, names.length - 0.4], axis, [{}], { hooks: { draw: [draw] } }), data];
}

function sharesChart() {
  const names = Object.keys(view.shares), sums = view.trace.time.map(() => 0);
  const none = view.trace.time.map((_, i) => names.every(name => view.shares[name][i] === null));
  const layers = names.map(name => view.shares[name].map((share, i) => none[i] ? null : sums[i] += share ?? 0));
  const series = names.map(name => ({ fill: colour(name), width: 0, points: { show: false } }));
  const axis = { splits: () => [0, 0.5, 1], values: (_, ticks) => ticks.map(t => `${100 * t} %`) };
  return [options("shares", 110, [0, 1], axis, series.reverse(), {}), [view.trace.time, ...layers.reverse()]];
}

function build() {
  charts.forEach(chart => chart.destroy());
  const place = document.getElementById("charts");
  place.replaceChildren();
  const kinds = [["Valence", () => traceChart("valence")], ["Arousal", () => traceChart("arousal")],
                 ["Detected", presenceChart]];
  if (view.shares) kinds.push(["Contribution (from bottom to top: face, voice, words)", sharesChart]);
  charts = kinds.map(([title, make]) => {
    const section = place.appendChild(document.createElement("section"));
    section.className = "chart";
    section.appendChild(document.createElement("h2")).textContent = title;
    const [opts, data] = make();
    const chart = new uPlot({ ...opts, width: Math.max(section.clientWidth, 200) }, data, section);
    const line = chart.over.appendChild(document.createElement("div"));
    line.className = "at";
    chart.over.addEventListener("click", () => seek(chart.posToVal(chart.cursor.left, "x")));
    chart.hooks.setScale = [() => show(now())];
    return chart;
  });
  new ResizeObserver(() => charts.forEach(chart => chart.setSize({
    width: Math.max(place.clientWidth, 200), height: chart.height }))).observe(place);
  show(now());
}

const now = () => media ? media.currentTime : Number(slider.value);

function seek(time) {
  time = Math.min(Math.max(time, 0), view.duration);
  if (media) media.currentTime = time;
  slider.value = time;
  show(time);
}

function rowAt(time) { // the last row at or before a time
  let low = 0, high = view.trace.time.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (view.trace.time[middle] <= time + 1e-6) low = middle; else high = middle;
  }
  return low;
}

function frame(time) { // around the face that is followed
  const mark = document.getElementById("face");
  if (!mark) return;
  const { step, rows } = view.boxes, box = rows[Math.min(Math.floor(time / step + 1e-6), rows.length - 1)];
  mark.hidden = !box;
  if (!box) return;
  const [left, top, right, bottom] = box;
  Object.assign(mark.style, {
    left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` });
}

let said = null;

function show(time) {
  slider.value = time;
  for (const chart of charts) {
    const { min, max } = chart.scales.x, line = chart.over.querySelector(".at");
    line.style.display = time < min || time > max ? "none" : "";
    line.style.left = `${chart.valToPos(time, "x")}px`;
  }
  const rows = view.trace, i = rowAt(time), lines = [`<b>time</b> ${clock(time)}`];
  for (const name of ["valence", "arousal"]) {
    const band = rows[name + "_low"] ? ` (${signed(rows[name + "_low"][i])} to ${signed(rows[name + "_high"][i])})` : "";
    lines.push(`<b>${name}</b> ${signed(rows[name][i])}${band}`);
  }
  if (!rows.supported[i]) lines.push("no face, voice or words detected");
  document.getElementById("values").innerHTML = lines.join("<br>");
  frame(time);
  const dot = document.querySelector(".dot");
  dot.setAttribute("cx", 100 * rows.valence[i]);
  dot.setAttribute("cy", -100 * rows.arousal[i]);
  const word = words.findLast(span => span.dataset.start <= time && time < span.dataset.end) || null;
  if (word !== said) {
    said?.classList.remove("said");
    word?.classList.add("said");
    said = word;
  }
}

function follow() {
  show(now());
  if (media && !media.paused && !media.ended) requestAnimationFrame(follow);
}

slider.addEventListener("input", () => seek(Number(slider.value)));
media?.addEventListener("play", follow);
media?.addEventListener("seeked", follow);
for (const span of words) span.addEventListener("click", () => seek(Number(span.dataset.start)));
for (const link of document.querySelectorAll(".transcript a")) {
  link.addEventListener("click", event => {
    event.preventDefault();
    seek(Number(link.dataset.start));
  });
}
document.addEventListener("keydown", event => {
  if (event.target.closest("input, video, audio, a, button") || event.ctrlKey || event.metaKey || event.altKey) return;
  const ways = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key === " " && media) {
    if (media.paused) media.play(); else media.pause();
  } else if (event.key in ways) {
    seek(now() + ways[event.key] * (event.shiftKey ? 10 : 1));
  } else return;
  event.preventDefault();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
build();
