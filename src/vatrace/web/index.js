// The list of recordings: upload them, follow their progress, find, open, download and delete their results.
"use strict";

const FIRST = 40, MORE = 80; // results drawn at once, so that the page appears quickly, and whenever their end comes near
const BUSY = 700, IDLE = 3000; // ms between two questions to the server while something is in progress, and otherwise
const LABELS = { csv: "Table of the trace", parquet: "Table of the trace", json: "Everything", turns: "Who speaks when", elan: "ELAN annotations",
  textgrid: "Praat TextGrid", vtt: "Subtitles", png: "Figure", html: "Report", overlay: "Video with the trace" };
const TRANSCRIPT = /\.(srt|vtt|ass|ssa)$/i;
const PEOPLE = Object.fromEntries([...document.querySelectorAll("#people option")].map(({ value, text }) => [value, text]));
const uploads = []; // in the order in which they came; one is sent at a time
const selected = new Set(), unfolded = new Set(); // ids: of results that are chosen, and of those whose notes are open
let state = { jobs: [], downloads: [], models: {} }, limit = FIRST, tag = "", timer = null;

const svg = (tag, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const icon = name => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#icon-${name}` }));
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const stem = name => name.replace(/\.[^.]*$/, "");

function complain(text) {
  element("complaints").append(make("li", { textContent: text }));
}

// Options

function options(place) { // as the server takes them
  const used = [...place.querySelectorAll("input[type=checkbox]")].filter(box => box.checked).map(box => box.name);
  const chosen = name => place.querySelector(`[id$="${name}"]`).value;
  const people = chosen("people");
  return { people: people === "clicked" ? "main" : people, language: chosen("language"), rate: chosen("rate"), modalities: used.join(), model: chosen("model") };
}

function deviations(job) { // the options of a job that aren't the usual ones, in words
  return [
    job.person ? "the person whose face was clicked" : job.people !== "main" && PEOPLE[job.people],
    job.options.modalities.length < 3 && `only ${job.options.modalities.join(" and ")}`, job.options.language !== "auto" && `language: ${job.options.language}`,
    job.options.model && `model ${job.options.model.split(/[\\/]/).at(-1)}`, job.options.rate !== 10 && `${job.options.rate} rows per second`, job.transcript && `words from ${job.transcript}`].filter(Boolean);
}

// Uploads

function take(files) {
  element("complaints").replaceChildren();
  const how = options(element("how")), asks = element("people").value === "clicked";
  if (!how.modalities) return complain("Choose at least one of face, voice and words.");
  const all = [...files], texts = all.filter(file => TRANSCRIPT.test(file.name)), used = new Set(), taken = [];
  for (const file of all) {
    const transcript = TRANSCRIPT.test(file.name) ? null : texts.find(text => stem(text.name) === stem(file.name));
    if (transcript) used.add(transcript);
    taken.push({ file, transcript, how, share: 0, request: null });
  }
  const wanted = taken.filter(upload => !used.has(upload.file));
  if (asks) asked.push(...wanted);
  else queue(wanted);
  askNext();
}

function queue(more) {
  uploads.push(...more);
  if (!uploads.some(upload => upload.request)) sendNext();
  draw();
}

function send(address, file, upload) { // the answer, or null if it failed, which the page then says
  return new Promise(resolve => {
    const request = upload.request = new XMLHttpRequest();
    request.upload.onprogress = event => {
      upload.share = event.loaded / Math.max(event.total, 1);
      draw();
    };
    request.onload = () => {
      const answer = JSON.parse(request.responseText);
      if (request.status < 300) return resolve(answer);
      complain(answer.detail ?? `${file.name}: the server refused it`);
      resolve(null);
    };
    request.onabort = () => resolve(null);
    request.onerror = () => {
      complain(`${file.name}: the upload failed. Is the server still running?`);
      resolve(null);
    };
    request.open("POST", address);
    request.send(file);
  });
}

async function sendNext() {
  const upload = uploads[0];
  if (!upload) return;
  const { file, transcript, how } = upload, more = transcript ? { transcript: transcript.name } : {};
  const job = await send(`jobs?${new URLSearchParams({ name: file.name, ...how, ...more })}`, file, upload);
  if (job && transcript) await send(`jobs/${job.id}/transcript?${new URLSearchParams({ file: transcript.name })}`, transcript, upload);
  const place = uploads.indexOf(upload);
  if (place >= 0) uploads.splice(place, 1);
  refresh();
  sendNext();
}

function cancelUpload(upload) {
  if (upload.request) upload.request.abort();
  else uploads.splice(uploads.indexOf(upload), 1);
  draw();
}

// State

async function refresh() {
  clearTimeout(timer);
  try {
    const response = await fetch("jobs", tag ? { headers: { "If-None-Match": tag } } : {});
    if (response.status !== 304) {
      tag = response.headers.get("ETag") ?? "";
      const before = new Set(state.jobs.filter(job => job.state === "done").map(job => job.id)), first = !state.downloads.length;
      state = await response.json();
      if (first) offerModels();
      const done = state.jobs.filter(job => job.state === "done" && !before.has(job.id));
      if (done.length && !first) element("news").textContent = `Finished: ${done.map(job => job.name).join(", ")}`;
      for (const id of selected) if (!state.jobs.some(job => job.id === id)) selected.delete(id);
      draw();
    }
    document.body.classList.remove("gone");
  } catch {
    document.body.classList.add("gone"); // the next refresh tries again
  }
  const busy = uploads.length || state.jobs.some(job => ["waiting", "running"].includes(job.state));
  clearTimeout(timer);
  timer = setTimeout(refresh, busy ? BUSY : IDLE);
}

function offerModels() {
  element("model").append(...Object.keys(state.models).map(name => make("option", { value: name, textContent: name })));
  element("model-choice").hidden = !Object.keys(state.models).length;
}

async function remove(jobs) {
  const done = jobs.filter(job => job.state === "done");
  const what = jobs.length === 1 ? jobs[0].name : `${jobs.length} recordings`;
  if (done.length && !confirm(`Delete ${what}, with traces and annotations?`)) return;
  for (const job of jobs) await fetch(`jobs/${job.id}`, { method: "DELETE" });
  refresh();
}

function share(job) { // of the whole work; faces and voice are processed at the same time
  const parts = Object.entries(job.stages).filter(([name]) => name !== "fusion");
  const weights = parts.map(([name]) => name === "report" ? 0.2 : 1);
  const total = weights.reduce((sum, weight) => sum + weight, parts.some(([name]) => name === "report") ? 0 : 0.2);
  return parts.reduce((sum, [, part], i) => sum + weights[i] * part, 0) / total;
}

function timeLeft(job) {
  const done = share(job), passed = Date.now() / 1000 - job.started;
  if (done < 0.1 || passed < 3) return "";
  const left = passed * (1 - done) / done;
  return left < 60 ? `about ${Math.max(5 * Math.ceil(left / 5), 5)} s left` : `about ${Math.round(left / 60)} min left`;
}

// Drawing

function stage(name, share) {
  return make("label", {}, name, make("progress", { max: 1, value: share }));
}

const MAX_SHOWN = 2, MAX_LENGTH = 160; // more notes, or more characters, are collapsed

function notes(job) {
  const items = make("ul", {}, ...job.notes.map(note => make("li", { textContent: note })));
  if (job.notes.length <= MAX_SHOWN && job.notes.join("").length <= MAX_LENGTH) return make("div", { className: "notes" }, items);
  const summary = make("summary", { textContent: job.notes.length > 1 ? `${job.notes.length} notes` : "1 note" });
  const details = make("details", { className: "notes", open: unfolded.has(job.id) }, summary, items);
  details.addEventListener("toggle", () => { unfolded[details.open ? "add" : "delete"](job.id); });
  return details;
}

function path(values) { // a line through the known values; a value alone is a short dash
  let drawn = "", before = false;
  values.forEach((value, i) => {
    if (value !== null) {
      const y = (50 * (1 - Math.min(Math.max(value, -1), 1))).toFixed(1), width = 100 / values.length;
      drawn += before ? `L${((i + 0.5) * width).toFixed(1)} ${y}` : `M${(i * width).toFixed(1)} ${y}L${((i + 0.5) * width).toFixed(1)} ${y}`;
    }
    before = value !== null;
  });
  return drawn;
}

function traces(job) {
  const lines = ["valence", "arousal"].map(name => svg("path", { class: name, d: path(job.sketch[name] ?? []) }));
  const words = ["valence", "arousal"].filter(name => job.facts[name] != null).map(name => `${name} ${signed(job.facts[name])}`);
  const label = `Traces of ${job.name}${words.length ? `; means: ${words.join(", ")}` : ""}`;
  const drawing = svg("svg", { class: "sketch", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { class: "zero", d: "M0 50H100" }), ...lines);
  const means = words.map(word => make("span", { textContent: word.replace(" ", " mean ") }));
  return make("div", { className: "traces" }, drawing, make("div", { className: "means" }, ...means));
}

function picture(job) {
  if (job.has_thumb) return make("img", { className: "thumb", alt: "", loading: "lazy", src: `jobs/${job.id}/thumb` });
  return make("div", { className: "thumb" }, icon(job.kind.startsWith("audio") ? "live" : job.state === "failed" ? "warning" : "recordings"));
}

function facts(job) {
  const parts = [];
  if (job.state === "done") {
    parts.push(make("span", {}, icon("time"), ` ${clock(job.duration)}`));
    parts.push(make("span", {}, icon("people"), ` ${job.num_people === 1 ? "1 person" : `${job.num_people} people`}`));
    const shares = ["face", "voice", "words"].filter(name => job.facts[name] > 0).map(name => `${name} ${Math.round(100 * job.facts[name])} %`);
    parts.push(make("span", { textContent: shares.join(" · ") || "no face, voice or words" }));
  }
  parts.push(...deviations(job).map(text => make("span", { textContent: text })));
  parts.push(...job.flags.map(flag => make("span", { className: "flag" }, icon("flag"), flag)));
  return make("div", { className: "facts" }, ...parts);
}

function menu(job) {
  const links = state.downloads.map(kind => make("a", { href: `jobs/${job.id}/download/${kind}`, download: "" },
    LABELS[kind] ?? kind, make("span", { textContent: kind })));
  const summary = make("summary", { className: "button", ariaLabel: `Download results of ${job.name}` }, icon("download"), "Download", icon("down"));
  const details = make("details", { className: "menu" }, summary, make("div", {}, ...links));
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    for (const other of document.querySelectorAll(".menu[open]")) if (other !== details) other.open = false;
    details.classList.toggle("up", details.getBoundingClientRect().bottom + details.lastChild.offsetHeight > innerHeight - 8);
  });
  return details;
}

function button(word, symbol, job, onclick) {
  return make("button", { type: "button", ariaLabel: `${word} ${job.name}`, onclick }, icon(symbol), word);
}

function result(job) {
  const done = job.state === "done", link = done ? make("a", { href: `jobs/${job.id}/page`, textContent: job.name }) : job.name;
  const box = make("input", { type: "checkbox", checked: selected.has(job.id), ariaLabel: `Select ${job.name}`, disabled: !done && job.state !== "failed" });
  box.addEventListener("change", () => {
    selected[box.checked ? "add" : "delete"](job.id);
    drawChosen();
  });
  const about = make("div", { className: "about" }, make("div", { className: "name" }, link), facts(job));
  if (!done) about.append(make("div", { className: "message", textContent: job.message }));
  if (job.notes.length) about.append(notes(job));
  const actions = make("div", { className: "actions" });
  if (done) {
    actions.append(make("a", { className: "button primary", href: `jobs/${job.id}/page`, ariaLabel: `Open report of ${job.name}` }, icon("report"), "Open report"),
      menu(job));
    if (/^(audio|video)/.test(job.kind)) {
      actions.append(make("a", { className: "button", href: `jobs/${job.id}/annotate`, ariaLabel: `Annotate ${job.name}` }, icon("annotate"), "Annotate"));
    }
  }
  if (job.can_repeat) actions.append(button("Predict again", "redo", job, () => openAgain(job)));
  actions.append(button("Delete", "delete", job, () => remove([job])));
  return make("li", { className: `card job ${job.state}` }, box, picture(job), about, done ? traces(job) : make("div", { className: "traces" }), actions);
}

function active(job, place) {
  const running = job.state === "running", left = running ? timeLeft(job) : place ? `waiting, ${place} before it` : "waiting";
  const about = make("div", { className: "about" }, make("div", { className: "name", textContent: job.name }), facts(job));
  if (running) about.append(make("div", { className: "stages" }, ...Object.entries(job.stages).map(([name, part]) => stage(name, part))));
  about.append(make("div", { className: "message", textContent: left || "started" }));
  return make("li", { className: "card job active" }, make("div", { className: "thumb" }, icon("time")), about,
    make("div", { className: "actions" }, button("Cancel", "close", job, () => remove([job]))));
}

function sending(upload) {
  const about = make("div", { className: "about" }, make("div", { className: "name", textContent: upload.file.name }),
    make("div", { className: "stages" }, upload.request ? stage("uploading", upload.share) : "waits to be uploaded"));
  return make("li", { className: "card job active" }, make("div", { className: "thumb" }, icon("upload")), about,
    make("div", { className: "actions" }, button("Cancel", "close", { name: upload.file.name }, () => cancelUpload(upload))));
}

const SORTS = {
  added: job => job.id, latest: job => job.id, name: job => job.name, duration: job => -job.duration, valence: job => -(job.facts.valence ?? -2),
  arousal: job => -(job.facts.arousal ?? -2), flags: job => -job.flags.length };

function shown() { // the results that match the search, sorted
  const wanted = element("search").value.toLowerCase().split(/\s+/).filter(Boolean), by = element("sort").value, key = SORTS[by];
  const found = state.jobs.filter(job => {
    if (job.state !== "done" && job.state !== "failed") return false;
    const text = [job.name, job.message, ...job.notes, ...job.flags].join(" ").toLowerCase();
    return wanted.every(word => text.includes(word));
  });
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  found.sort((a, b) => compare(key(a), key(b)) || (a.id < b.id ? -1 : 1));
  return by === "latest" ? found.reverse() : found;
}

const cards = new Map(); // by id: the job as drawn, and its card; an unchanged card is kept, so that nothing moves under the pointer

function fill(list, wanted) {
  if (wanted.length !== list.children.length || wanted.some((item, i) => list.children[i] !== item)) list.replaceChildren(...wanted);
}

function card(job, draw) {
  const key = JSON.stringify(job);
  if (cards.get(job.id)?.key !== key) {
    const item = draw();
    item.dataset.id = job.id;
    cards.set(job.id, { key, item });
  }
  return cards.get(job.id).item;
}

function draw() {
  const waiting = state.jobs.filter(job => ["waiting", "running"].includes(job.state)).reverse(); // the first that came first
  const going = [...waiting.map((job, i) => active(job, i)), ...uploads.map(sending)];
  const focused = document.activeElement?.closest?.("#queue .job") && document.activeElement.ariaLabel;
  element("queue").replaceChildren(...going);
  if (focused) [...element("queue").querySelectorAll("button")].find(other => other.ariaLabel === focused)?.focus();
  element("progress").hidden = !going.length;
  const found = shown(), known = state.jobs.filter(job => job.state === "done" || job.state === "failed").length;
  fill(element("jobs"), found.slice(0, limit).map(job => card(job, () => result(job))));
  element("results").hidden = !known;
  element("nothing-found").hidden = found.length > 0;
  element("count").textContent = found.length === known ? String(known) : `${found.length} of ${known}`;
  element("nothing").hidden = known + going.length > 0;
  drawChosen();
}

function drawChosen() {
  const chosen = state.jobs.filter(job => selected.has(job.id)), found = shown();
  const done = (chosen.length ? chosen : found).filter(job => job.state === "done");
  element("all").checked = found.length > 0 && found.every(job => selected.has(job.id));
  element("all").indeterminate = chosen.length > 0 && !element("all").checked;
  element("chosen").textContent = chosen.length ? `${chosen.length} selected` : "Select all";
  element("zip").lastChild.textContent = chosen.length ? " Download selected as ZIP" : " Download all as ZIP";
  element("zip").href = `results.zip?ids=${done.map(job => job.id).join()}`;
  element("zip").hidden = !done.length;
  element("delete").hidden = !chosen.length;
}

// A dialog for one recording: predict again with other options, or click a face before the first time

let repeated = null, clicked = null; // the job to predict again, or null while a face is asked for; the click
const asked = []; // uploads for which a face is to be clicked

function openDialog(title, action, kind, address) {
  clicked = null;
  const seen = kind === "video" || kind === "image";
  element("again-title").textContent = title;
  element("again-go").textContent = action;
  element("again-how").hidden = element("again-words").hidden = !repeated;
  element("again-file").value = "";
  element("again-wrong").textContent = "";
  element("click-hint").hidden = !seen;
  element("pick-face").replaceChildren();
  if (seen) {
    const view = kind === "video" ? make("video", { src: address, controls: true, muted: true }) : make("img", { src: address, alt: "The picture" });
    view.addEventListener("click", pick);
    view.addEventListener("error", () => wrong("This browser can't show the recording. Predict it first; then “Predict again” shows a copy in which you can click the face."));
    element("pick-face").append(view);
  }
  if (!element("again").open) element("again").showModal();
}

const wrong = text => { element("again-wrong").textContent = text; };

function openAgain(job) {
  repeated = job;
  const form = element("how").querySelector(".controls").cloneNode(true);
  for (const part of form.querySelectorAll("[id]")) part.id = `again-${part.id}`;
  form.querySelector("option[value=clicked]").remove();
  element("again-how").replaceChildren(...form.children);
  if (job.picture || job.options.person) element("again-people").querySelector("option[value=main]").textContent = "the person in the picture";
  for (const name of ["people", "language", "rate"]) element(`again-${name}`).value = { people: job.people, ...job.options }[name];
  element("again-model").value = Object.keys(state.models).find(name => state.models[name] === job.options.model) ?? "";
  for (const box of element("again-how").querySelectorAll("input[type=checkbox]")) box.checked = job.options.modalities.includes(box.name);
  const [keep] = element("again-transcript").options;
  keep.textContent = job.transcript ? `from ${job.transcript}` : "as before";
  keep.hidden = keep.disabled = !job.transcript && !job.options.transcript;
  element("again-transcript").value = keep.hidden ? "none" : "keep";
  element("again-file").hidden = true;
  openDialog(`Predict ${job.name} again`, "Predict again", job.state === "done" ? job.kind.split("/")[0] : "", `jobs/${job.id}/copy`);
}

let shownFile = "";

function askNext() { // show the next recording whose face is to be clicked
  URL.revokeObjectURL(shownFile);
  const [upload] = asked;
  if (!upload) return element("again").close();
  const kind = upload.file.type.split("/")[0];
  if (kind !== "video" && kind !== "image") {
    queue([asked.shift()]);
    askNext();
    return;
  }
  repeated = null;
  shownFile = URL.createObjectURL(upload.file);
  openDialog(`Whom to follow in ${upload.file.name}?`, "Predict", kind, shownFile);
}

function pick(event) { // the place on the picture, without the bars beside it
  const view = event.currentTarget, box = view.getBoundingClientRect(), place = element("pick-face");
  const [width, height] = [view.videoWidth ?? view.naturalWidth, view.videoHeight ?? view.naturalHeight];
  const scale = Math.min(box.width / width, box.height / height);
  const x = (event.clientX - box.left - (box.width - scale * width) / 2) / (scale * width);
  const y = (event.clientY - box.top - (box.height - scale * height) / 2) / (scale * height);
  if (x < 0 || x > 1 || y < 0 || y > 1 || (view.tagName === "VIDEO" && event.clientY > box.bottom - 40)) return; // the controls
  event.preventDefault();
  view.pause?.();
  clicked = { time: view.currentTime ?? 0, x, y };
  const mark = place.querySelector("i") ?? place.appendChild(make("i"));
  Object.assign(mark.style, { left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px` });
}

async function go() {
  if (!repeated) {
    if (!clicked) return wrong("Click a face first.");
    const upload = asked.shift();
    queue([{ ...upload, how: { ...upload.how, ...clicked } }]);
    askNext();
    return;
  }
  const how = options(element("again-how")), transcript = element("again-transcript").value, [file] = element("again-file").files;
  if (!how.modalities) return wrong("Choose at least one of face, voice and words.");
  if (transcript === "other" && !file) return wrong("Choose the transcript.");
  element("again").close();
  element("complaints").replaceChildren();
  const response = await fetch(`jobs/${repeated.id}/again?${new URLSearchParams({ ...how, ...clicked, transcript })}`, { method: "POST" });
  const answer = await response.json();
  if (!response.ok) complain(answer.detail);
  else if (transcript === "other") await send(`jobs/${answer.id}/transcript?${new URLSearchParams({ file: file.name })}`, file, {});
  refresh();
}

// Input

const input = element("files"), drop = element("drop");
input.addEventListener("change", () => {
  take(input.files);
  input.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, event => { // everywhere on the page
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
  });
}
addEventListener("drop", event => { if (event.dataTransfer.files.length) take(event.dataTransfer.files); });
element("how").addEventListener("submit", event => event.preventDefault());
element("again-cancel").addEventListener("click", () => element("again").close());
element("again").addEventListener("close", () => { // also by Escape
  if (!repeated) asked.length = 0;
  element("pick-face").replaceChildren();
});
element("again-go").addEventListener("click", go);
element("again-transcript").addEventListener("change", event => { element("again-file").hidden = event.target.value !== "other"; });
element("search").addEventListener("input", () => {
  limit = FIRST;
  draw();
});
element("sort").value = localStorage.getItem("sort") ?? "added";
element("sort").addEventListener("change", () => {
  localStorage.setItem("sort", element("sort").value);
  limit = FIRST;
  draw();
});
element("all").addEventListener("change", event => {
  for (const job of shown()) selected[event.target.checked ? "add" : "delete"](job.id);
  for (const box of element("jobs").querySelectorAll("input[type=checkbox]")) box.checked = selected.has(box.closest("li").dataset.id);
  drawChosen();
});
element("delete").addEventListener("click", () => remove(state.jobs.filter(job => selected.has(job.id))));
addEventListener("scroll", () => { // more results when the end comes near
  if (limit < state.jobs.length && scrollY + 2 * innerHeight > document.documentElement.scrollHeight) {
    limit += MORE;
    draw();
  }
}, { passive: true });
addEventListener("click", event => {
  for (const open of document.querySelectorAll(".menu[open]")) if (!open.contains(event.target) || event.target.closest("a")) open.open = false;
});
addEventListener("keydown", event => {
  const open = event.key === "Escape" && document.querySelector(".menu[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});
refresh();
