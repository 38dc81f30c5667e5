// What the charts of all pages have in common: they follow the theme and their width, arrow keys read them, and tables replace them.
"use strict";

const MAX_TABLE = 200; // rows of a table; beyond that, some are left out
const themed = []; // functions that draw charts again, in the colours of the theme

const inColour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// Draws with `build(width)` now, and again when the theme or the width of `place` changes. `build` returns the charts it drew.
function drawnIn(place, build) {
  let charts = [], width = 0;
  const draw = () => {
    width = place.clientWidth;
    const focused = charts.findIndex(chart => chart.root.contains(document.activeElement)), at = charts[focused]?.reading;
    charts.forEach(chart => chart.destroy());
    charts = build(Math.max(width, 200));
    if (focused >= 0 && charts[focused]) {
      charts[focused].root.focus({ preventScroll: true });
      charts[focused].read?.(at);
    }
  };
  themed.push(draw);
  new ResizeObserver(() => { if (place.clientWidth !== width) draw(); }).observe(place);
  draw();
  return draw;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => themed.forEach(draw => draw()));

const baseAxis = () => {
  const grid = { stroke: inColour("line"), width: 1 };
  return { stroke: inColour("soft"), grid, ticks: grid, font: "12px system-ui" };
};

// Lets arrow keys, Home and End go from point to point, and shows and announces what `text(i)` says of the point i.
function readable(chart, title, text) {
  const { root } = chart, line = document.createElement("p"), times = () => chart.data[0], rest = "\u00a0";
  line.className = "reading hint";
  line.textContent = rest;
  root.append(line);
  for (const [name, value] of Object.entries({ role: "slider", tabindex: 0, "aria-label": title, "aria-valuemin": 0 })) root.setAttribute(name, value);
  const say = i => {
    const known = i !== null && i >= 0 && i < times().length;
    line.textContent = known ? text(i) : rest;
    root.setAttribute("aria-valuemax", Math.max(times().length - 1, 0));
    root.setAttribute("aria-valuenow", known ? i : 0);
    root.setAttribute("aria-valuetext", known ? text(i) : times().length ? `${times().length} points; read them with the arrow keys` : "empty");
    chart.reading = known ? i : null;
  };
  chart.read = i => {
    say(i ?? null);
    if (chart.reading !== null) chart.setCursor({ left: chart.valToPos(times()[i], "x"), top: 10 }, false);
  };
  root.addEventListener("keydown", event => {
    const last = times().length - 1, at = chart.reading ?? -1, far = event.shiftKey ? 10 : 1;
    const next = { ArrowRight: at + far, ArrowUp: at + far, ArrowLeft: at - far, ArrowDown: at - far, PageUp: at + 10, PageDown: at - 10, Home: 0, End: last }[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey || last < 0) return;
    event.preventDefault();
    event.stopPropagation();
    chart.read(Math.min(Math.max(next, 0), last));
  });
  chart.over.addEventListener("mousemove", () => say(chart.cursor.idx ?? null));
  chart.over.addEventListener("mouseleave", () => say(null));
  say(null);
}

// A table on request: `columns` is called when it is opened, and gives [name, text(i)] for each column.
function tableOnRequest(name, num, columns) {
  const head = make("thead", {}), body = make("tbody", {});
  const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `Table: ${name}` }, make("table", {}, head, body));
  const details = make("details", { className: "table" }, make("summary", { textContent: "Show as a table", ariaLabel: `Show as a table: ${name}` }), scroll);
  const fill = () => {
    if (!details.open) return;
    const found = columns(), rows = num(), step = Math.max(1, Math.ceil(rows / MAX_TABLE));
    head.replaceChildren(make("tr", {}, ...found.map(([title]) => make("th", { scope: "col", textContent: title }))));
    const drawn = [];
    for (let i = 0; i < rows; i += step) drawn.push(make("tr", {}, ...found.map(([, text]) => make("td", { textContent: text(i) }))));
    body.replaceChildren(...drawn);
  };
  details.addEventListener("toggle", fill);
  details.fill = fill;
  return details;
}

// A line above a chart that says which line is which.
function legend(series) {
  const list = document.createElement("p");
  list.className = "legend";
  for (const { label, stroke, dash } of series) {
    const key = list.appendChild(document.createElement("span"));
    key.className = dash?.length ? "key dashed" : "key";
    key.textContent = label;
    key.style.setProperty("--key", stroke);
  }
  return list;
}
