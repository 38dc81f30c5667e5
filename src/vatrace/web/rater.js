// The recordings that a rater was invited to rate, and how much of each is traced.
"use strict";

const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function card({ id, name, duration, traced }) {
  const parts = Object.entries(traced).map(([dimension, share]) => `${dimension.replace("_unbounded", " (without ends)")} ${Math.round(100 * share)} %`);
  const facts = make("div", { className: "facts" }, make("span", { textContent: clock(duration) }),
    ...(parts.length ? ["traced:", ...parts] : ["not traced yet"]).map(text => make("span", { textContent: text })));
  const link = make("a", { className: parts.length ? "button" : "button primary", href: `jobs/${id}/annotate`, textContent: parts.length ? "Go on" : "Rate", ariaLabel: `Rate ${name}` });
  return make("li", { className: "card" }, make("div", { className: "about" }, make("div", { className: "name", textContent: name }), facts), link);
}

async function open() {
  element("rater").textContent = document.querySelector("meta[name=rater]").content;
  const response = await fetch("recordings"), found = await response.json();
  if (!response.ok) {
    element("complaints").replaceChildren(make("li", { textContent: found.detail }));
    return;
  }
  element("recordings").replaceChildren(...found.map(card));
  element("nothing").hidden = found.length > 0;
}

open();
