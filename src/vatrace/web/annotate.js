// Trace valence, arousal or another dimension with the mouse, keys or a gamepad while a recording plays; traces are saved as they grow.
"use strict";

const colour = inColour;
const invited = document.querySelector("meta[name=rater]")?.content; // the rater's name; raters see only their own traces
const clock = seconds => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const ENDS = { valence: ["pleasant", "unpleasant"], arousal: ["excited", "calm"] };
const STEP = 0.05, KEY_SPEED = 0.8, STICK_SPEED = 1.2; // seconds between samples; how fast keys and stick move the value, per second
const WHEEL_STEP = 0.1; // how far one notch of the wheel moves the value
const COUNTDOWN = 3, DEAD_ZONE = 0.1; // seconds; how far a stick at rest may be off its centre
const MAX_IDLE = 5, PRACTICE = 20, MAX_DELAY = 2; // seconds without input that are reported, of practice, and of the longest delay in it
const MAX_FILL = 5; // seconds of the longest gap that can be filled without tracing it; the server knows the same
const TOUCH = matchMedia("(hover: none)").matches;
const FIRST_INPUT = {
  mouse: TOUCH ? "Touch the bar to begin" : "Move the pointer onto the bar to begin", keys: "Press ↑ or ↓ to begin", gamepad: "Move the stick to begin" };
const KEYS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]; // the last two only for both dimensions at once
const PEOPLE = 8; // colours of people
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
let media = null, state = null, revealed = false, redraw = null;
let value = 0, across = 0, samples = []; // across: valence, while both are traced; samples: time, value, across
let phase = "idle"; // then "countdown", "waiting" for the first input, "tracing"
let task = null; // what is being traced, by whom and how, as it was when the countdown began
let counting = null, pointer = null; // the countdown's timer; where the pointer is on the bar, or null while it isn't
let held = false, moved = [0, 0], source = ""; // whether the button is down; corrections of the model's trace; where values come from
let until = null, idle = null, idles = [], input = 0; // where a part ends; time without input, now and in the last trace; its latest input
let begun = 0; // when the practice began
const pressed = new Set();

function complain(text) {
  element("complaints").replaceChildren(...(text ? [make("li", { textContent: text })] : []));
}

function dimensions() { // what is chosen; "" if it has no valid name
  const chosen = element("dimension").value;
  if (chosen === "named") return [element("other").checkValidity() ? element("other").value : ""];
  return chosen === "both" ? ["valence", "arousal"] : [chosen];
}

function place(next, beside = across) {
  const bounded = phase === "idle" ? element("scale").value === "bounded" : task.bounded;
  const kept = number => bounded ? Math.min(Math.max(number, -1), 1) : number;
  value = kept(next);
  across = kept(beside);
  if (bounded) element("mark").style.top = `${50 - 50 * value}%`;
  if (bounded && dimensions().length > 1) element("mark").style.left = `${50 + 50 * across}%`;
  element("bar").setAttribute("aria-valuenow", value.toFixed(2));
}

function choose() {
  const chosen = element("dimension").value, both = chosen === "both", named = chosen === "named";
  element("named").hidden = !named;
  element("other").required = named;
  element("scale").disabled = both;
  if (both) element("scale").value = "bounded";
  const endless = element("scale").value === "unbounded";
  element("assisted").disabled = named || endless;
  if (element("assisted").disabled) element("assisted").checked = false;
  const [top, bottom] = ENDS[both ? "arousal" : chosen] ?? ["high", "low"];
  const labels = { top, bottom, left: both ? "unpleasant" : "", right: both ? "pleasant" : "" };
  for (const [name, text] of Object.entries(labels)) element("bar").querySelector(`.${name}`).textContent = text;
  element("bar").classList.toggle("endless", endless);
  element("stage").classList.toggle("wide", both);
  element("mark").hidden = endless;
  element("mark").style.left = "";
  element("bar").setAttribute("aria-label", both ? "Arousal (and valence, from left to right)" : named ? element("other").value || "Value" : chosen);
  FIRST_INPUT.keys = both ? "Press an arrow key to begin" : "Press ↑ or ↓ to begin";
  place(0, 0);
  drawPast();
  suggest();
}

function enter(next, prompt = "") {
  phase = next;
  element("prompt").textContent = prompt;
  element("prompt").hidden = !prompt;
  element("play").textContent = phase === "idle" ? "Play and trace" : "Stop";
  element("practise").disabled = phase !== "idle";
}

function toggle() {
  if (phase !== "idle") stop();
  else if (media && ready(element("annotator")) && (element("dimension").value !== "named" || ready(element("other")))) countDown(COUNTDOWN);
}

const ready = field => field.reportValidity() && field.value;

function countDown(seconds, practice = false) {
  if (phase === "idle") {
    media?.pause();
    complain("");
    task = {
      annotator: element("annotator").value, device: element("device").value, dimensions: dimensions(), practice,
      bounded: element("scale").value === "bounded", assisted: element("assisted").checked && !practice };
    if (task.assisted && !revealed) {
      revealed = true;
      draw();
    }
    pressed.clear();
    document.activeElement?.blur();
    element("bar").focus({ preventScroll: true }); // a button or a list would capture the keys
    element("bar").scrollIntoView({ block: "nearest" });
  }
  if (seconds > 0) {
    enter("countdown", String(seconds));
    counting = setTimeout(() => countDown(seconds - 1, practice), 1000);
    return;
  }
  enter("waiting", FIRST_INPUT[task.device]);
  const given = { mouse: pointer !== null, keys: pressed.size > 0, gamepad: false }; // already on the bar, or held, during the countdown
  if (given[task.device]) begin();
}

async function begin() { // the first input has come
  samples = [];
  idles = [];
  idle = null;
  moved = [0, 0];
  source = "";
  noted();
  enter("tracing");
  if (!task.bounded) place(0, 0);
  else if (task.device === "mouse" && pointer) place(...pointer);
  if (task.practice) {
    begun = performance.now();
    element("target").hidden = false;
    return;
  }
  if (until !== null && media.currentTime >= until) until = null; // the user has moved elsewhere
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
  const traced = phase === "tracing", practice = task?.practice;
  enter("idle");
  media?.pause();
  element("target").hidden = true;
  until = null;
  if (!traced) return;
  if (practice) {
    judge();
    return;
  }
  if (idle) idles.push([idle.start, samples.at(-1)?.[0] ?? idle.start]);
  await save();
  samples = [];
  await refresh();
}

function sticks() {
  const axes = (navigator.getGamepads?.() ?? []).find(Boolean)?.axes ?? [];
  const [x, y] = [axes[0] ?? 0, axes[1] ?? 0].map(tilt => Math.abs(tilt) > DEAD_ZONE ? tilt : 0);
  return [-y, x];
}

function noted() { // there has been input
  input = performance.now();
}

function now() { // seconds into the recording, or into the practice
  return task.practice ? (performance.now() - begun) / 1000 : media.currentTime;
}

function tick(seconds) {
  const [up, right] = phase !== "idle" && task.device === "gamepad" ? sticks() : [0, 0];
  if (phase === "waiting" && (up || right)) begin();
  if (phase !== "tracing" || (!task.practice && (media.paused || media.ended))) return;
  const time = now();
  if (up || right || pressed.size) noted();
  const speed = task.device === "keys" ? KEY_SPEED * seconds : STICK_SPEED * seconds;
  const steps = task.device === "keys"
    ? [pressed.has("ArrowUp") - pressed.has("ArrowDown"), pressed.has("ArrowRight") - pressed.has("ArrowLeft")] : [up, right];
  const pair = task.dimensions.length > 1;
  if (task.assisted) follow(time, steps.map(step => step * speed));
  else if (task.device !== "mouse") place(value + steps[0] * speed, pair ? across + steps[1] * speed : 0);
  watch(time);
  if (task.practice) {
    const [height, width] = target(time);
    element("target").style.top = `${50 - 50 * height}%`;
    element("target").style.left = pair ? `${50 + 50 * width}%` : "";
    samples.push([time, value, across]);
    if (!task.bounded) drawPast();
    if (time >= PRACTICE) stop();
    return;
  }
  if (samples.length && time < samples.at(-1)[0]) save(); // the user moved back during playback
  if (!samples.length || time > samples.at(-1)[0]) samples.push([time, value, across]);
  if (samples.length >= 1 / STEP) save();
  if (!task.bounded) drawPast();
  if (until !== null && time >= until) stop();
}

function follow(time, steps) { // the model's trace, as far as it isn't corrected
  const names = task.dimensions.length > 1 ? ["arousal", "valence"] : task.dimensions;
  const { model } = state.traces, at = Math.min(Math.round(time * (model.time.length / state.duration)), model.time.length - 1);
  const base = names.map(name => model[name][at] ?? 0);
  moved = moved.map((already, k) => already + steps[k]);
  const correcting = task.device === "mouse" ? held && pointer : moved.some(Boolean);
  const next = correcting ? "corrected" : "model";
  if (source && next !== source) save();
  source = next;
  if (task.device === "mouse") place(...(correcting ? pointer : [base[0], base[1] ?? 0]));
  else place(base[0] + moved[0], (base[1] ?? 0) + moved[1]);
}

function watch(time) { // report that there has been no input for some time
  if (task.assisted) return;
  const seconds = (performance.now() - input) / 1000;
  if (!idle && seconds >= MAX_IDLE) {
    idle = { start: Math.max(time - seconds * (task.practice ? 1 : media.playbackRate), 0) };
    element("prompt").textContent = `No input for ${MAX_IDLE} s. Is your value still right?`;
    element("prompt").hidden = false;
  } else if (idle && seconds < MAX_IDLE) {
    idles.push([idle.start, time]);
    idle = null;
    element("prompt").hidden = true;
  }
}

const target = time => [0.6 * Math.sin(2 * Math.PI * time / 7) + 0.3 * Math.sin(2 * Math.PI * time / 3.1), // of the practice
  0.6 * Math.cos(2 * Math.PI * time / 6) + 0.3 * Math.sin(2 * Math.PI * time / 2.7)];

function judge() { // how well the practice went
  const pair = task.dimensions.length > 1, mean = list => list.reduce((sum, item) => sum + item, 0) / list.length;
  const late = samples.filter(([time]) => time >= MAX_DELAY);
  if (late.length < 5 / STEP) {
    element("saved").textContent = "Practice stopped. Nothing was saved.";
    return;
  }
  const off = delay => mean(late.map(([time, high, wide]) => {
    const [height, width] = target(time - delay);
    return task.bounded ? (Math.abs(high - height) + (pair ? Math.abs(wide - width) : 0)) / (pair ? 2 : 1) : -(high - middle) * height;
  }));
  const middle = mean(late.map(sample => sample[1]));
  const delays = Array.from({ length: MAX_DELAY / STEP + 1 }, (_, k) => k * STEP);
  const best = delays.reduce((found, delay) => off(delay) < off(found) ? delay : found, 0);
  const error = task.bounded ? `${off(0).toFixed(2)} from the target on average, and ` : "";
  element("saved").textContent = `Practice: your value was ${error}${best.toFixed(1)} s behind it. Nothing was saved.`;
}

let saving = Promise.resolve();

function parts(sent) { // the messages with these samples
  return task.dimensions.map((dimension, k) => {
    const column = task.dimensions.length > 1 && k === 0 ? 2 : 1;
    return { dimension, samples: sent.map(sample => [sample[0], sample[column]]), source, bounded: task.bounded };
  });
}

function save() {
  if (samples.length < 2 || task.practice) return saving;
  const sent = samples, { annotator } = task, messages = parts(sent), names = task.dimensions.join(" and ");
  samples = sent.slice(-1); // the next part continues from here
  saving = saving.then(async () => {
    for (const message of messages) {
      const response = await fetch(`annotations/${annotator}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(message) });
      if (!response.ok) throw new Error((await response.json()).detail);
    }
    element("saved").textContent = `Saved ${names} up to ${sent.at(-1)[0].toFixed(1)} s as ${annotator}.`;
  }).catch(error => complain(`Not saved: ${error.message}. Is the server still running?`));
  return saving;
}

async function refresh() {
  const wanted = invited ? ["annotations"] : ["annotations", "../../agreement"];
  const [here, all] = await Promise.all(wanted.map(async address => (await fetch(address)).json()));
  state = here;
  draw();
  list();
  if (invited) return;
  suggest();
  table("agreement", here);
  table("project-agreement", all);
  element("overall").textContent = together(here.overall);
  element("project").textContent = `All recordings (${all.num_recordings} with annotations)`;
  element("project-overall").textContent = together(all.overall);
}

function together(found) {
  if (!found) return "With a second annotator, the agreement of all annotators is shown here.";
  const pairs = ["valence", "arousal"].filter(name => found.pairs[name] !== null).map(name =>
    `${name} ${found.pairs[name].toFixed(2)} between pairs, ${found.others[name].toFixed(2)} with the mean of the others`);
  return `${found.num_annotators} annotators: ${pairs.join("; ") || "they have traced nothing in common"}.`;
}

const title = column => column.replace("_unbounded", " (without ends)");

function table(id, { agreement, dimensions }) {
  const columns = dimensions.filter(name => agreement.some(row => row[name] !== null));
  const head = make("tr", {}, ...["annotator", "with", ...columns.map(title)].map((text, i) => make("th", { textContent: text, scope: "col", className: i < 2 ? "text" : "" })));
  const rows = agreement.map(row => make("tr", {}, make("th", { textContent: row.one, scope: "row" }), make("td", { className: "text", textContent: row.other }),
    ...columns.map(name => make("td", { textContent: row[name] === null ? "" : `${row[name].toFixed(2).replace("-", "−")} (${row[`${name}_seconds`].toFixed(0)} s)` }))));
  element(id).tHead.replaceChildren(head);
  element(id).tBodies[0].replaceChildren(...rows);
  element(id).hidden = !rows.length;
}

function list() { // what could be better in the own trace, and how
  const own = element("annotator").value, columns = Object.entries(state.gaps[own] ?? {});
  const items = columns.flatMap(([column, found]) => found.map(gap => {
    const { start, end, kind } = gap, where = `${title(column)}: ${kind}, ${clock(start)} to ${clock(end)}`;
    const item = make("li", {}, make("span", { textContent: where }));
    item.append(make("button", { textContent: "Trace it", ariaLabel: `Trace ${where}`, onclick: () => again(column, start, end) }));
    if (end - start <= MAX_FILL) item.append(make("button", { textContent: "Fill it", ariaLabel: `Fill ${where}`, onclick: () => fill(column, start) }));
    return item;
  }));
  const [column] = task ? task.dimensions : [];
  if (column && own === task.annotator) {
    items.push(...idles.map(([start, end]) => {
      const where = `${task.dimensions.join(" and ")}: no input, ${clock(start)} to ${clock(end)}`;
      return make("li", {}, make("span", { textContent: where }), make("button", { textContent: "Trace it again", ariaLabel: `Trace again ${where}`,
        onclick: () => again(task.dimensions.length > 1 ? "both" : column + (task.bounded ? "" : "_unbounded"), start, end) }));
    }));
  }
  for (const column of state.sources[own] ?? []) {
    items.push(make("li", { textContent: `${title(column)}: some values come from the model, or were filled; they are marked in the file` }));
  }
  element("gaps").replaceChildren(...items);
  element("repair").hidden = !items.length;
}

async function fill(column, start) { // a straight line, marked as filled
  const response = await fetch(`annotations/${element("annotator").value}/fill`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ column, start }) });
  complain(response.ok ? "" : (await response.json()).detail);
  await refresh();
}

function select(column) { // the dimension and the scale of a column
  const name = column.replace("_unbounded", "");
  const known = ["valence", "arousal", "both"].includes(name);
  element("dimension").value = known ? name : "named";
  if (!known) element("other").value = name;
  element("scale").value = column === name ? "bounded" : "unbounded";
  choose();
}

function again(column, start, end) { // trace one part, up to its end
  if (phase !== "idle") return;
  select(column);
  media.currentTime = start;
  toggle();
  if (phase !== "idle") until = end;
}

function go(column, start, end) { // show where the next part is
  select(column);
  media.currentTime = start;
  until = end;
  element("saved").textContent = `Ready at ${clock(start)}: press “Play and trace” to rate up to ${clock(end)}.`;
  element("play").focus();
}

async function suggest() {
  const annotator = element("annotator").value, [dimension] = dimensions();
  const asked = !invited && media && ENDS[dimension] && element("annotator").checkValidity() && element("scale").value === "bounded";
  const found = asked ? await (await fetch(`../../next?${new URLSearchParams({ annotator, dimension })}`)).json() : [];
  const here = location.pathname.split("/").at(-2), chosen = element("dimension").value;
  element("suggestions").hidden = !found.length;
  element("parts").replaceChildren(...found.map(({ id, name, start, end, half_width: width }) => {
    const text = `${clock(start)} to ${clock(end)}${id === here ? "" : ` of ${name}`}`;
    const link = id === here ? make("button", { className: "link", textContent: text, onclick: () => go(chosen, start, end) })
      : make("a", { textContent: text, href: `../${id}/annotate#${chosen},${start},${end}` });
    return make("li", {}, link, make("span", { textContent: `${dimension} ± ${width.toFixed(2)}` }));
  }));
}

function shown(dimension) { // the model's trace stays hidden until nearly all is traced, so that it influences nobody
  const own = state.traces[element("annotator").value];
  return revealed || (own?.[dimension]?.filter(v => v !== null).length ?? 0) > 0.9 * state.duration * 10;
}

function draw() {
  element("hiding").hidden = Boolean(invited) || revealed || ["valence", "arousal"].every(shown);
  if (redraw) redraw();
  else redraw = drawnIn(element("charts"), build);
}

function build(width) {
  const axis = baseAxis(), open = new Set([...element("charts").querySelectorAll("details[open]")].map(table => table.dataset.column));
  element("charts").replaceChildren();
  return state.dimensions.flatMap(dimension => {
    const names = Object.keys(state.traces).filter(name => state.traces[name][dimension]?.some(v => v !== null) && (name !== "model" || shown(dimension)));
    const all = [...new Set(names.flatMap(name => state.traces[name].time))].sort((a, b) => a - b);
    const columns = names.map(name => {
      const found = new Map(state.traces[name].time.map((time, i) => [time, state.traces[name][dimension][i]]));
      return all.map(time => found.get(time) ?? null);
    });
    const section = element("charts").appendChild(make("section", { className: "chart" }));
    section.append(make("h3", { textContent: title(dimension) }));
    if (!names.length) {
      section.append(make("p", { className: "hint", textContent: "Nothing has been traced yet." }));
      return [];
    }
    const series = names.map((name, i) => ({ label: name, points: { show: false }, ...(name === "model" ? { stroke: colour("soft"), width: 1 }
      : { stroke: colour(`person-${i % PEOPLE + 1}`), width: 2, dash: DASHES[(i / PEOPLE | 0) % 4] }) }));
    section.append(legend(series));
    const options = {
      width, height: 180, legend: { show: false }, cursor: { y: false, points: { show: false } }, padding: [8, 12, 0, 0],
      scales: { x: { time: false, range: [0, state.duration] }, y: dimension.endsWith("_unbounded") ? {} : { range: [-1, 1] } },
      axes: [{ ...axis, space: 64, size: 28, values: (_, ticks) => ticks.map(tick => `${tick} s`) }, { ...axis, size: 50 }], series: [{}, ...series],
    };
    const chart = new uPlot(options, [all, ...columns], section);
    const said = (column, i) => column[i] === null ? "–" : signed(column[i]);
    readable(chart, `${title(dimension)} over time`, i => [clock(all[i]), ...names.map((name, k) => `${name} ${said(columns[k], i)}`)].join(" · "));
    chart.over.addEventListener("click", () => { if (media) media.currentTime = chart.posToVal(chart.cursor.left, "x"); });
    const table = tableOnRequest(title(dimension), () => all.length, () => [["time", i => clock(all[i])], ...names.map((name, k) => [name, i => said(columns[k], i)])]);
    table.dataset.column = dimension;
    table.open = open.has(dimension);
    section.append(table);
    return chart;
  });
}

const past = []; // the unbounded trace so far

function drawPast() { // the bar of an unbounded trace: all of it, as high as the bar
  const canvas = element("past"), box = element("bar").getBoundingClientRect(), scale = devicePixelRatio;
  canvas.hidden = element("scale").value === "bounded";
  if (canvas.hidden) return;
  canvas.width = box.width * scale;
  canvas.height = box.height * scale;
  if (phase !== "tracing") past.length = 0;
  else past.push([now(), value]);
  const values = past.map(([, height]) => height), low = Math.min(-1, ...values), high = Math.max(1, ...values);
  const x = time => (time - past[0][0]) / Math.max(past.at(-1)[0] - past[0][0], 5) * (canvas.width - 12 * scale);
  const y = height => (0.05 + 0.9 * (high - height) / (high - low)) * canvas.height;
  const pen = canvas.getContext("2d");
  pen.lineWidth = scale;
  pen.strokeStyle = colour("edge");
  pen.strokeRect(0, y(0), canvas.width, 0);
  if (!past.length) return;
  pen.strokeStyle = pen.fillStyle = colour("ink");
  pen.lineWidth = 2 * scale;
  pen.beginPath();
  for (const [time, height] of past) pen.lineTo(x(time), y(height));
  pen.stroke();
  pen.beginPath();
  pen.arc(x(past.at(-1)[0]), y(value), 5 * scale, 0, 7);
  pen.fill();
}

// Invitations

const refused = async response => complain(response.ok ? "" : (await response.json()).detail);

async function showInvitations() {
  const { network, recordings, invitations } = await (await fetch("../../invitations")).json();
  const here = location.pathname.split("/").at(-2);
  element("reach").textContent = network ? `It works in your network, at ${network}; the connection isn't encrypted.`
    : "It works on this machine only; start vatrace serve with --host for your network.";
  element("num-recordings").textContent = String(recordings.length);
  element("choices").replaceChildren(...recordings.map(({ id, name }) =>
    make("label", {}, make("input", { type: "checkbox", value: id, checked: id === here }), ` ${name}`)));
  element("invitations").replaceChildren(...invitations.map(({ annotator, address, recordings: named }) => {
    const link = make("input", { value: address, readOnly: true, ariaLabel: `Address for ${annotator}` });
    link.addEventListener("focus", () => link.select());
    const copy = make("button", { type: "button", textContent: "Copy", ariaLabel: `Copy the address for ${annotator}` });
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(address);
      copy.textContent = "Copied";
    });
    const withdraw = make("button", { type: "button", textContent: "Withdraw", ariaLabel: `Withdraw the invitation of ${annotator}` });
    withdraw.addEventListener("click", async () => {
      await refused(await fetch(`../../invitations/${encodeURIComponent(annotator)}`, { method: "DELETE" }));
      showInvitations();
    });
    const what = named.length === 1 ? named[0] : `${named.length} recordings`;
    return make("li", {}, make("b", { textContent: annotator }), make("span", { className: "what", textContent: what, title: named.join("\n") }), link, copy, withdraw);
  }));
}

async function invite() {
  const which = element("invite").elements.which.value, boxes = [...element("choices").querySelectorAll("input")];
  const chosen = boxes.filter(box => which === "all" || (which === "some" ? box.checked : box.value === location.pathname.split("/").at(-2)));
  if (!chosen.length) return complain("Choose at least one recording.");
  const response = await fetch("../../invitations", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ annotator: element("rater").value, recordings: chosen.map(box => box.value) }) });
  await refused(response);
  if (response.ok) element("rater").value = "";
  showInvitations();
}

async function open() {
  if (invited) for (const part of document.querySelectorAll(".owner")) part.hidden = true;
  const about = await (await fetch("about")).json();
  element("name").textContent = about.name;
  document.title = `${about.name} · Annotate · vatrace`;
  if (!/^(audio|video)/.test(about.kind)) {
    complain("Only video and audio recordings can be annotated.");
    element("play").disabled = element("practise").disabled = true;
    return;
  }
  media = document.createElement(about.kind.startsWith("audio") ? "audio" : "video");
  media.controls = true;
  media.src = "copy";
  for (const name of ["pause", "ended"]) media.addEventListener(name, () => { if (phase === "tracing" && !task.practice) stop(); });
  media.addEventListener("play", () => { if (phase !== "tracing" && phase !== "idle") stop(); });
  media.addEventListener("seeking", () => { if (task) save(); });
  media.addEventListener("seeked", () => { samples = []; });
  element("media").append(media);
  element("annotator").value = invited ?? localStorage.getItem("annotator") ?? "";
  element("annotator").readOnly = Boolean(invited);
  choose();
  await refresh();
  if (!invited) showInvitations();
  const [column, start, end] = decodeURIComponent(location.hash.slice(1)).split(",");
  if (end > 0) go(column, Number(start), Number(end));
}

element("invite").addEventListener("submit", event => {
  event.preventDefault();
  invite();
});
element("invite").addEventListener("change", () => { element("choices").hidden = element("invite").elements.which.value !== "some"; });
for (const id of ["annotator", "dimension", "other", "device", "scale", "speed", "assisted"]) {
  element(id).addEventListener("change", () => { if (phase !== "idle") stop(); }); // a trace has one annotator and one device
}
element("annotator").addEventListener("change", () => {
  localStorage.setItem("annotator", element("annotator").value);
  if (state) {
    draw();
    list();
    suggest();
  }
});
for (const id of ["dimension", "other", "scale"]) {
  element(id).addEventListener("change", () => {
    until = null;
    task = phase === "idle" ? null : task;
    choose();
  });
}
element("play").addEventListener("click", toggle);
element("practise").addEventListener("click", () => {
  if (phase === "idle" && (element("dimension").value !== "named" || ready(element("other")))) countDown(COUNTDOWN, true);
});
element("reveal").addEventListener("click", () => {
  revealed = true;
  draw();
});

function point(event) { // on the way from the bar to a button, the value stays as it was
  const box = element("bar").getBoundingClientRect(), before = pointer;
  pointer = [1 - 2 * (event.clientY - box.top) / box.height, 2 * (event.clientX - box.left) / box.width - 1];
  held = event.buttons > 0;
  if (phase === "waiting" && task.device === "mouse") begin();
  else if (phase === "tracing" && task.device === "mouse" && !task.assisted) {
    noted();
    if (task.bounded) place(...pointer);
    else if (before) place(value + pointer[0] - before[0]);
  }
}

for (const name of ["pointerenter", "pointermove", "pointerdown", "pointerup"]) element("bar").addEventListener(name, point);
element("bar").addEventListener("pointerleave", event => {
  if (phase === "tracing") point(event); // beyond the upper end is +1
  pointer = null;
  held = false;
});
element("bar").addEventListener("wheel", event => {
  if (phase === "idle" || task.device !== "mouse" || task.bounded) return;
  event.preventDefault();
  noted();
  if (phase === "waiting") begin();
  else if (phase === "tracing") place(value - WHEEL_STEP * Math.sign(event.deltaY));
}, { passive: false });
addEventListener("keydown", event => {
  const active = phase !== "idle", written = event.target.closest?.("input:not([type=checkbox])");
  if (event.key === " " && !written && (active || !event.target.closest?.("select, button, video, audio, a, summary, input"))) {
    if (!event.repeat) toggle();
  } else if (active && task.device === "keys" && KEYS.slice(0, 2 * task.dimensions.length).includes(event.key)) {
    pressed.add(event.key);
    if (phase === "waiting") begin();
  } else if (active && task.assisted && event.key.toLowerCase() === "m") {
    moved = [0, 0];
  } else return;
  event.preventDefault();
  event.stopPropagation();
}, true); // before a list, a button or the player gets the key
addEventListener("keyup", event => pressed.delete(event.key));
addEventListener("blur", () => pressed.clear());
addEventListener("pagehide", () => {
  if (samples.length < 2 || !task || task.practice) return;
  for (const message of parts(samples)) {
    navigator.sendBeacon(`annotations/${task.annotator}`, new Blob([JSON.stringify(message)], { type: "application/json" }));
  }
});
let last = performance.now();
setInterval(() => {
  const time = performance.now();
  tick((time - last) / 1000);
  last = time;
}, 1000 * STEP);
open();
