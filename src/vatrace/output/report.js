// The traces of one recording follow the playback; a click on a trace jumps to that time.
"use strict";

document.documentElement.classList.add("scripted");
const view = JSON.parse(document.getElementById("view").textContent);
const media = document.querySelector("video, audio");
const slider = document.getElementById("time");
const words = [...document.querySelectorAll(".transcript span")];
const frames = [...document.querySelectorAll(".face")];
const LEFT = view.speakers.length ? 68 : 56; // width of the vertical axes in pixels, the same for all charts
const LONGEST = 11; // letters of a name that fit there
let charts = [], chosen = 0, person = view.people[0];

const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const clock = seconds => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

function options(title, height, scale, axis, series, more) {
  const grid = { stroke: colour("line"), width: 1 };
  const base = { stroke: colour("soft"), grid, ticks: grid, font: "12px system-ui" };
  return {
    width: 600, height, legend: { show: false }, padding: [8, 12, 0, 0],
    cursor: { sync: { key: "time" }, drag: { x: true, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false, range: (_, min, max) => [min, max < view.time.at(-1) ? max : view.duration] }, y: { range: scale } },
    axes: [{ ...base, size: 28, values: (_, ticks) => ticks.map(t => clock(t).replace(/\.0$/, "")) },
           { ...base, size: LEFT, ...axis }],
    series: [{}, ...series], ...more, title: undefined,
  };
}

function traceChart(name) {
  const rows = person.trace, line = colour(name);
  const data = [view.time, rows[name], rows[name].map((value, i) => rows.supported[i] ? value : null)];
  const series = [{ stroke: line + "55", width: 1 }, { stroke: line, width: 2 }];
  const more = {};
  if (rows[name + "_low"]) {
    data.push(rows[name + "_high"], rows[name + "_low"]);
    series.push({ width: 0, points: { show: false } }, { width: 0, points: { show: false } });
    more.bands = [{ series: [3, 4], fill: line + "2e" }];
  }
  if (view.time.length === 1) series[0].points = series[1].points = { show: true, size: 8 };
  return [options(name, 190, [-1, 1], { splits: () => [-1, -0.5, 0, 0.5, 1] }, series, more), data];
}

function hatching(line) { // a pattern of slanted lines, in pixels of the screen
  const tile = document.createElement("canvas"), size = 8;
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = line;
  pen.lineWidth = 2;
  for (const x of [-size, 0, size]) {
    pen.moveTo(x, size);
    pen.lineTo(x + size, 0);
  }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

function barsChart(bars) { // rows of bars: each with a name, a fill, and spans of time
  const draw = u => bars.forEach(({ fill, spans }, row) => {
    u.ctx.fillStyle = fill;
    const top = u.valToPos(bars.length - row - 0.65, "y", true), bottom = u.valToPos(bars.length - row - 1.35, "y", true);
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    u.ctx.clip();
    for (const [start, end] of spans) {
      const left = u.valToPos(start, "x", true);
      u.ctx.fillRect(left, top, Math.max(u.valToPos(end, "x", true) - left, 1), bottom - top);
    }
    u.ctx.restore();
  });
  const short = name => name.length > LONGEST ? name.slice(0, LONGEST - 1) + "…" : name;
  const axis = { splits: () => bars.map((_, i) => i), values: (_, rows) => rows.map(i => short(bars[bars.length - 1 - i].name)),
                 grid: { show: false }, ticks: { show: false } };
  const data = [view.time, view.time.map(() => null)];
  return [options("bars", 36 + 25 * bars.length, [-0.6, bars.length - 0.4], axis, [{}], { hooks: { draw: [draw] } }), data];
}

function presenceChart() {
  return barsChart(Object.entries(person.presence).map(([name, spans]) => ({ name, fill: colour(name), spans })));
}

function turnsChart() {
  return barsChart(view.speakers.map((speaker, row) => {
    const line = colour(speaker.colour);
    return { name: speaker.title, fill: speaker.hatched ? hatching(line) : line, spans: view.turns.filter(turn => turn[2] === row) };
  }));
}

function sharesChart() {
  const names = Object.keys(person.shares), sums = view.time.map(() => 0);
  const none = view.time.map((_, i) => names.every(name => person.shares[name][i] === null));
  const layers = names.map(name => person.shares[name].map((share, i) => none[i] ? null : sums[i] += share ?? 0));
  const series = names.map(name => ({ fill: colour(name), width: 0, points: { show: false } }));
  const axis = { splits: () => [0, 0.5, 1], values: (_, ticks) => ticks.map(t => `${100 * t} %`) };
  return [options("shares", 110, [0, 1], axis, series.reverse(), {}), [view.time, ...layers.reverse()]];
}

function build() {
  const { min, max } = charts[0]?.scales.x ?? {};
  charts.forEach(chart => chart.destroy());
  const place = document.getElementById("charts");
  place.replaceChildren();
  const whose = view.speakers.length || view.people.length > 1 ? ` of ${person.title}` : "";
  const kinds = [["Valence" + whose, () => traceChart("valence")], ["Arousal" + whose, () => traceChart("arousal")]];
  if (view.turns.length) kinds.push(["Who speaks", turnsChart]);
  kinds.push(["Detected" + whose, presenceChart]);
  if (person.shares) kinds.push(["Contribution (from bottom to top: face, voice, words)", sharesChart]);
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
  if (max < view.duration || min > 0) charts.forEach(chart => chart.setScale("x", { min, max })); // as it was zoomed
  show(now());
}

function choose(index) { // the person whose trace, words and numbers are shown
  chosen = index;
  person = view.people[index];
  for (const part of document.querySelectorAll("[data-person]")) {
    const own = Number(part.dataset.person) === index;
    if (part.matches(".pick")) part.setAttribute("aria-pressed", own);
    if (part.matches(".face, .transcript p")) part.classList.toggle("chosen", own);
    if (part.matches("g, div")) part.classList.toggle("away", !own);
  }
  build();
}

const now = () => media ? media.currentTime : Number(slider.value);

function seek(time) {
  time = Math.min(Math.max(time, 0), view.duration);
  if (media) media.currentTime = time;
  slider.value = time;
  show(time);
}

function rowAt(time) { // the last row at or before a time
  let low = 0, high = view.time.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (view.time[middle] <= time + 1e-6) low = middle; else high = middle;
  }
  return low;
}

function frame(time) { // draws the boxes around the faces
  const speaker = view.turns.findLast(turn => turn[0] <= time && time < turn[1]);
  for (const mark of frames) {
    const { boxes, title } = view.people[mark.dataset.person], rows = boxes?.rows ?? [];
    const box = rows[Math.min(Math.floor(time / boxes?.step + 1e-6), rows.length - 1)];
    mark.hidden = !box;
    if (!box) continue;
    const [left, top, right, bottom] = box;
    Object.assign(mark.style, {
      left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` });
    mark.classList.toggle("speaks", speaker !== undefined && view.speakers[speaker[2]].title === title);
  }
  return speaker && view.speakers[speaker[2]].title;
}

let said = null;

function show(time) {
  slider.value = time;
  for (const chart of charts) {
    const { min, max } = chart.scales.x, line = chart.over.querySelector(".at");
    line.style.display = time < min || time > max ? "none" : "";
    line.style.left = `${chart.valToPos(time, "x")}px`;
  }
  const rows = person.trace, i = rowAt(time), lines = [["time", clock(time)]], speaker = frame(time);
  if (view.speakers.length || view.people.length > 1) lines.unshift(["person", person.title.replace(/^Person /, "")]);
  for (const name of ["valence", "arousal"]) {
    const band = rows[name + "_low"] ? ` (${signed(rows[name + "_low"][i])} to ${signed(rows[name + "_high"][i])})` : "";
    lines.push([name, signed(rows[name][i]) + band]);
  }
  if (view.turns.length) lines.push(["speaker", { several: "several people" }[speaker] ?? speaker ?? "nobody"]);
  if (!rows.supported[i]) lines.push(["", "no face, voice or words detected"]);
  document.getElementById("values").replaceChildren(...lines.map(([name, text]) => {
    const line = document.createElement("div");
    if (name) line.appendChild(document.createElement("b")).textContent = name;
    line.append(` ${text}`);
    return line;
  }));
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
for (const part of document.querySelectorAll("button[data-person]")) {
  part.addEventListener("click", () => choose(Number(part.dataset.person)));
  part.addEventListener("mousedown", event => event.preventDefault()); // the keys go on moving in time
}
for (const link of document.querySelectorAll(".transcript a")) {
  link.addEventListener("click", event => {
    event.preventDefault();
    seek(Number(link.dataset.start));
  });
}
document.addEventListener("keydown", event => {
  const inside = event.target.closest("input, video, audio, a, button");
  if (inside && (!inside.matches(".pick") || event.key === " ") || event.ctrlKey || event.metaKey || event.altKey) return;
  const ways = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key === " " && media) {
    if (media.paused) media.play(); else media.pause();
  } else if (event.key in ways) {
    seek(now() + ways[event.key] * (event.shiftKey ? 10 : 1));
  } else if (view.people.length > 1 && /^[1-9]$/.test(event.key) && view.people[event.key - 1]) {
    choose(event.key - 1);
  } else return;
  event.preventDefault();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
new ResizeObserver(([{ target }]) => charts.forEach(chart => chart.setSize({
  width: Math.max(target.clientWidth, 200), height: chart.height }))).observe(document.getElementById("charts"));
choose(0);
