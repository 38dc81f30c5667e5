// The queue: upload recordings, follow their progress, open their reports, delete them.
"use strict";

const list = document.getElementById("jobs"), complaints = document.getElementById("complaints");
const uploads = new Map(); // uploads in progress: name, share and request, by a running number
let number = 0, shown = null;

const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};

function complain(text) {
  complaints.append(make("li", { textContent: text }));
}

function upload(file) {
  const request = new XMLHttpRequest(), key = number++;
  uploads.set(key, { name: file.name, share: 0, request });
  const done = () => {
    uploads.delete(key);
    refresh();
  };
  request.upload.onprogress = event => {
    uploads.get(key).share = event.loaded / Math.max(event.total, 1);
    draw();
  };
  request.onload = () => {
    if (request.status !== 201) complain(JSON.parse(request.responseText).detail ?? `${file.name}: the server refused it`);
    done();
  };
  request.onabort = done;
  request.onerror = () => {
    complain(`${file.name}: the upload failed. Is the server still running?`);
    done();
  };
  request.open("POST", `jobs?name=${encodeURIComponent(file.name)}&people=${document.getElementById("people").value}`);
  request.send(file);
  draw();
}

let state = { jobs: [], downloads: [] };

async function refresh() {
  try {
    state = await (await fetch("jobs")).json();
    document.body.classList.remove("gone");
    draw();
  } catch {
    document.body.classList.add("gone"); // the next refresh tries again
  }
}

function look(job) {
  shown = job.id;
  document.getElementById("report").hidden = false;
  document.getElementById("frame").src = `jobs/${job.id}/page`;
  document.getElementById("report").scrollIntoView({ behavior: "smooth" });
}

async function remove(job) {
  if (job.state === "done" && !confirm(`Delete ${job.name}, its trace and its annotations?`)) return;
  await fetch(`jobs/${job.id}`, { method: "DELETE" });
  if (shown === job.id) {
    document.getElementById("report").hidden = true;
    document.getElementById("frame").removeAttribute("src");
  }
  refresh();
}

function stage(name, share) {
  return make("label", {}, name, make("progress", { max: 1, value: share }));
}

const PEOPLE = Object.fromEntries([...document.querySelectorAll("#people option")].map(({ value, text }) => [value, text]));
const MAX_SHOWN = 2, MAX_LENGTH = 160; // more notes, or more characters, are collapsed
const unfolded = new Set(); // the recordings whose notes have been opened

function notes(job) {
  const items = make("ul", {}, ...job.notes.map(note => make("li", { textContent: note })));
  if (job.notes.length <= MAX_SHOWN && job.notes.join("").length <= MAX_LENGTH) return make("div", { className: "notes" }, items);
  const summary = make("summary", { textContent: job.notes.length > 1 ? `${job.notes.length} notes` : "1 note" });
  const details = make("details", { className: "notes", open: unfolded.has(job.id) }, summary, items);
  details.addEventListener("toggle", () => { unfolded[details.open ? "add" : "delete"](job.id); });
  return details;
}

function row(job) {
  const head = make("div", { className: "head" }, make("span", { className: "name", textContent: job.name }));
  if (job.people !== "main") head.append(make("span", { className: "message", textContent: PEOPLE[job.people] }));
  const item = make("li", { className: job.state }, head);
  item.dataset.id = job.id;
  if (job.state === "done") {
    head.append(make("button", { textContent: "Open report", onclick: () => look(job) }));
    head.append(make("a", { textContent: "Annotate", href: `jobs/${job.id}/annotate` }));
  }
  const word = job.state === "done" || job.state === "failed" ? "Delete" : "Cancel";
  head.append(make("button", { textContent: word, onclick: () => remove(job) }));
  if (job.state === "waiting") item.append(make("div", { className: "message", textContent: "waiting" }));
  if (job.message) item.append(make("div", { className: "message", textContent: job.message }));
  if (job.notes.length) item.append(notes(job));
  if (job.state === "running") {
    item.append(make("div", { className: "stages" }, ...Object.entries(job.stages).map(([name, share]) => stage(name, share))));
  }
  if (job.state === "done") {
    const links = state.downloads.map(kind => make("a", {
      textContent: kind, href: `jobs/${job.id}/download/${kind}`, download: "" }));
    item.append(make("div", { className: "downloads" }, "Download:", ...links));
  }
  return item;
}

const rows = new Map(); // by id: the job as drawn, and its row; an unchanged row is kept, so that nothing moves under the pointer

function draw() {
  const sending = [...uploads.values()].map(({ name, share, request }) => {
    const head = make("div", { className: "head" }, make("span", { className: "name", textContent: name }),
      make("button", { textContent: "Cancel", onclick: () => request.abort() }));
    return make("li", {}, head, make("div", { className: "stages" }, stage("uploading", share)));
  });
  const items = state.jobs.filter(job => job.state !== "uploading").map(job => {
    const key = JSON.stringify(job);
    if (rows.get(job.id)?.key !== key) rows.set(job.id, { key, item: row(job) });
    return rows.get(job.id).item;
  });
  const wanted = [...sending, ...items];
  if (sending.length || wanted.length !== list.children.length || wanted.some((item, i) => list.children[i] !== item)) {
    list.replaceChildren(...wanted);
  }
  document.getElementById("nothing").hidden = wanted.length > 0;
}

function take(files) {
  complaints.replaceChildren();
  for (const file of files) upload(file);
}

const input = document.getElementById("files"), drop = document.getElementById("drop");
input.addEventListener("change", () => {
  take(input.files);
  input.value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, event => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
  });
}
drop.addEventListener("drop", event => take(event.dataTransfer.files));
refresh();
setInterval(refresh, 700);
