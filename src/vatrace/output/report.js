// The traces of one recording follow the playback; a click on a trace jumps to that time.
"use strict";

document.documentElement.classList.add("scripted");
const view = JSON.parse(element("view").textContent);
const media = document.querySelector("video, audio");
const slider = element("time");
const words = [...document.querySelectorAll(".transcript span")];
const frames = [...document.querySelectorAll(".face")];
const LEFT = view.speakers.length ? 68 : 56; // width of the vertical axes in pixels, the same for all charts
const LONGEST = 11; // letters of a name that fit there
let charts = [], chosen = 0, person = view.people[0];

const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const clock = seconds => `${Math.floor(seconds / 60 + 1e-9)}:${((seconds + 1e-9) % 60).toFixed(1).padStart(4, "0")}`;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds between two ticks
const MAX_ROWS = 200; // of the table that stands for the charts

function options(title, height, scale, axis, series, more) {
  const grid = { stroke: colour("line"), width: 1 };
  const base = { stroke: colour("soft"), grid, ticks: grid, font: "12px system-ui" };
  return {
    width: 600, height, legend: { show: false }, padding: [8, 12, 0, 0],
    cursor: { sync: { key: "time" }, drag: { x: true, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false, range: (_, min, max) => [min, max < view.time.at(-1) ? max : view.duration] }, y: { range: scale } },
    axes: [{ ...base, size: 28, space: 64, incrs: STEPS, values: (_, ticks) => ticks.map(t => clock(t).replace(/\.0$/, "")) },
           { ...base, size: LEFT, ...axis }],
    series: [{}, ...series], ...more, title: undefined,
  };
}

function alone(u, series) { // the values without a neighbour, which a line can't show
  const values = u.data[series];
  return values.flatMap((value, i) => value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? [i] : []);
}

function traceChart(name) {
  const rows = person.trace, line = colour(name);
  const data = [view.time, rows[name], rows[name].map((value, i) => rows.supported[i] ? value : null)];
  const points = { show: false, filter: alone, size: 6, fill: line, stroke: line };
  const series = [{ stroke: line + "55", width: 1, points }, { stroke: line, width: 2, points }];
  const more = {};
  if (rows[name + "_low"]) {
    data.push(rows[name + "_high"], rows[name + "_low"]);
    series.push({ width: 0, points: { show: false } }, { width: 0, points: { show: false } });
    more.bands = [{ series: [3, 4], fill: line + "2e" }];
  }
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

function contributing() { // the modalities whose contribution is known at some time
  return Object.keys(person.shares ?? {}).filter(name => person.shares[name].some(share => share !== null));
}

function sharesChart() {
  const names = contributing(), sums = view.time.map(() => 0);
  const none = view.time.map((_, i) => names.every(name => person.shares[name][i] === null));
  const layers = names.map(name => person.shares[name].map((share, i) => none[i] ? null : sums[i] += share ?? 0));
  const series = names.map(name => ({ fill: colour(name), width: 0, points: { show: false } }));
  const axis = { splits: () => [0, 0.5, 1], values: (_, ticks) => ticks.map(t => `${100 * t} %`) };
  return [options("shares", 110, [0, 1], axis, series.reverse(), {}), [view.time, ...layers.reverse()]];
}

function build() {
  const { min, max } = charts[0]?.scales.x ?? {};
  charts.forEach(chart => chart.destroy());
  const place = element("charts");
  place.replaceChildren();
  const whose = view.speakers.length || view.people.length > 1 ? ` of ${person.title}` : "";
  const kinds = [["Valence" + whose, () => traceChart("valence")], ["Arousal" + whose, () => traceChart("arousal")]];
  if (view.turns.length) kinds.push(["Who speaks", turnsChart]);
  kinds.push(["Detected" + whose.replace("of", "for"), presenceChart]);
  const names = contributing();
  if (names.length) kinds.push([`Contribution (from bottom to top: ${names.join(", ")})`, sharesChart]);
  charts = kinds.map(([title, make]) => {
    const section = place.appendChild(document.createElement("section"));
    section.className = "chart";
    section.appendChild(document.createElement("h2")).textContent = title;
    const [opts, data] = make();
    const chart = new uPlot({ ...opts, width: Math.max(section.clientWidth, 200) }, data, section);
    const about = { role: "slider", tabindex: 0, "aria-label": `${title}, over time`, "aria-valuemin": 0, "aria-valuemax": view.duration };
    for (const [name, value] of Object.entries(about)) chart.root.setAttribute(name, value);
    const line = chart.over.appendChild(document.createElement("div"));
    line.className = "at";
    chart.over.addEventListener("click", () => seek(chart.posToVal(chart.cursor.left, "x")));
    chart.hooks.setScale = [() => show(now())];
    return chart;
  });
  if (max < view.duration || min > 0) charts.forEach(chart => chart.setScale("x", { min, max })); // as it was zoomed
  show(now());
  drawTable();
}

function drawTable() { // the charts as text, if it was asked for: means over equal parts if there are many rows
  const place = element("table");
  if (!place.closest("details").open) return;
  const rows = person.trace, length = view.time.length, step = Math.max(1, Math.ceil(length / MAX_ROWS));
  const mean = (values, i) => {
    const known = values.slice(i, i + step).filter(value => value !== null);
    return known.length ? signed(known.reduce((sum, value) => sum + value, 0) / known.length) : "";
  };
  const band = name => rows[name + "_low"] ? i => `${mean(rows[name + "_low"], i)} to ${mean(rows[name + "_high"], i)}` : null;
  const columns = [["time", i => clock(view.time[i])]];
  for (const name of ["valence", "arousal"]) {
    columns.push([name, i => mean(rows[name], i)]);
    if (band(name)) columns.push(["90 % interval", band(name)]);
  }
  const end = i => view.time[i + step] ?? view.duration;
  columns.push(["detected", i => Object.keys(person.presence).filter(
    name => person.presence[name].some(([from, to]) => from < end(i) && to > view.time[i])).join(", ") || "nothing"]);
  const line = (tag, texts) => {
    const made = document.createElement("tr");
    made.append(...texts.map(text => make(tag, { textContent: text })));
    return made;
  };
  place.tHead.replaceChildren(line("th", columns.map(([name]) => name)));
  for (const cell of place.tHead.rows[0].cells) cell.scope = "col";
  const drawn = [];
  for (let i = 0; i < length; i += step) drawn.push(line("td", columns.map(([, text]) => text(i))));
  place.tBodies[0].replaceChildren(...drawn);
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
  for (const chart of charts) {
    chart.root.setAttribute("aria-valuenow", time.toFixed(1));
    chart.root.setAttribute("aria-valuetext", lines.map(line => line.join(" ")).join(", "));
  }
  element("values").replaceChildren(...lines.map(([name, text]) => {
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
  const row = view.time[1] - view.time[0] || 0, ways = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10, ",": -row, ".": row };
  const ends = { Home: 0, End: view.duration }, onChart = event.target.closest(".chart");
  if (!onChart && /^(Home|End|Page|ArrowUp|ArrowDown)/.test(event.key)) return; // they scroll the page
  if (event.key === " " && media) {
    if (media.paused) media.play(); else media.pause();
  } else if (event.key in ways) {
    seek(now() + ways[event.key] * (event.shiftKey ? 10 : 1));
  } else if (event.key in ends) {
    seek(ends[event.key]);
  } else if (view.people.length > 1 && /^[1-9]$/.test(event.key) && view.people[event.key - 1]) {
    choose(event.key - 1);
  } else return;
  event.preventDefault();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
element("table").closest("details").addEventListener("toggle", drawTable);
new ResizeObserver(([{ target }]) => charts.forEach(chart => chart.setSize({
  width: Math.max(target.clientWidth, 200), height: chart.height }))).observe(element("charts"));
choose(0);
