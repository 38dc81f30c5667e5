// The charts of an evaluation.
"use strict";

const DASH = [4, 4], HEIGHT = { density: 320, line: 190, points: 220 };
const MAX_SQUARE = 400; // pixels: label and prediction have the same unit
const number = value => value === null ? "–" : (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);

function cells(spec) { // paints how many steps are in each cell, behind the line of the means, and the line of equality
  return u => {
    const { ctx } = u, num = spec.cells.length, most = Math.max(1, ...spec.cells.flat()), edge = i => -1 + 2 * i / num;
    ctx.save();
    ctx.fillStyle = inColour(spec.colour);
    spec.cells.forEach((column, i) => column.forEach((count, k) => {
      if (!count) return;
      ctx.globalAlpha = 0.15 + 0.85 * Math.log1p(count) / Math.log1p(most);
      const [left, right] = [edge(i), edge(i + 1)].map(value => Math.round(u.valToPos(value, "x", true)));
      const [bottom, top] = [edge(k), edge(k + 1)].map(value => Math.round(u.valToPos(value, "y", true)));
      ctx.fillRect(left, top, right - left, bottom - top);
    }));
    ctx.globalAlpha = 1;
    ctx.strokeStyle = inColour("soft");
    ctx.setLineDash(DASH.map(length => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(u.valToPos(-1, "x", true), u.valToPos(-1, "y", true));
    ctx.lineTo(u.valToPos(1, "x", true), u.valToPos(1, "y", true));
    ctx.stroke();
    ctx.restore();
  };
}

function drawChart(place, spec) { // at first, and again in another theme or width
  const section = place.appendChild(document.createElement("section")), heading = section.appendChild(document.createElement("h3"));
  section.className = "chart";
  heading.textContent = spec.title;
  const lines = section.appendChild(document.createElement("div")), density = spec.kind === "density";
  const steps = i => density ? spec.cells[i].reduce((sum, count) => sum + count, 0) : null;
  const text = i => [`${spec.x_name.replace(" in s", "")} ${number(spec.x[i])}${/ in s$/.test(spec.x_name) ? " s" : ""}`,
    ...spec.series.map(({ label, values }) => `${label} ${number(values[i])}`), ...(density ? [`${steps(i)} steps`] : [])].join(" · ");
  drawnIn(lines, width => {
    lines.replaceChildren();
    const axis = { ...baseAxis(), labelFont: "12px system-ui", labelSize: 18 }, ends = [spec.x[0], spec.x.at(-1)];
    const series = spec.series.map(({ label, colour }) => ({ label, stroke: inColour(colour), width: 2, points: { show: spec.kind === "points" || spec.x.length === 1, size: 7, fill: inColour(colour) } }));
    lines.append(legend(series));
    const chart = new uPlot({
      width: density ? Math.min(width, MAX_SQUARE) : width, height: density ? Math.min(width, HEIGHT.density) : HEIGHT[spec.kind], legend: { show: false }, padding: [8, 12, 0, 0],
      cursor: { y: false, drag: { x: !density, y: false }, points: { show: false } },
      scales: { x: { time: false, range: density ? [-1, 1] : (_, min, max) => max > min ? [min, max] : [ends[0] - 0.5, ends[1] + 0.5] }, y: spec.y ? { range: spec.y } : {} },
      axes: [{ ...axis, space: 56, size: 28, labelGap: 0, label: spec.x_name }, { ...axis, size: 48, ...(spec.y_name ? { label: spec.y_name } : {}) }],
      series: [{}, ...series], hooks: density ? { drawAxes: [cells(spec)] } : {},
    }, [spec.x, ...spec.series.map(({ values }) => values)], lines);
    readable(chart, spec.title, text);
    return [chart];
  });
  section.append(tableOnRequest(spec.title, () => spec.x.length, () => [[spec.x_name, i => number(spec.x[i])],
    ...spec.series.map(({ label, values }) => [label, i => number(values[i])]), ...(density ? [["steps", i => String(steps(i))]] : [])]));
}

for (const place of document.querySelectorAll(".charts")) {
  for (const spec of JSON.parse(place.querySelector("script").textContent)) drawChart(place, spec);
}
