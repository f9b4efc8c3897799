"use strict";
// Pictures that a task or a method handed over: bars of one run, or of all methods side by side.
const MOST_BARS = 40; // categories; beyond them bars would be hairs, and points are drawn
const shown = (panel, v) => (v === null || v === undefined ? "–" : panel.percent ? percent(v) : String(Number(v.toPrecision(3))));
const titled = (panel) => panel.label + (panel.percent ? ", %" : "");

// A label in lines of so many letters; the last one is cut.
function wrapped(text, letters, lines = 3) {
  const parts = [""];
  for (const word of text.split(" ")) {
    if (parts.at(-1) && (parts.at(-1) + " " + word).length > letters) parts.push(word);
    else parts[parts.length - 1] = (parts.at(-1) + " " + word).trim();
  }
  const kept = parts.length > lines ? [...parts.slice(0, lines - 1), parts.slice(lines - 1).join(" ")] : parts;
  return kept.map((part) => short(part, Math.max(letters, 6))).join("<br>");
}

// Panels below each other over the same categories, with an axis and a dotted line each.
function stacked(id, x, categories, panels) {
  const t = theme(), n = panels.length, gap = n > 1 ? 0.08 : 0, span = (1 - gap * (n - 1)) / n, many = categories.length;
  const room = Math.floor((byId(id).clientWidth - 80) / (many * 7)), flat = room >= 8;
  const every = Math.ceil(many / MOST_BARS), at = categories.map((_, i) => i).filter((i) => i % every === 0);
  const names = flat ? categories.map((name) => wrapped(name, room)) : shortAll(categories, 14, null);
  const frame = { shapes: [], margin: { l: 64, r: 14, t: 40, b: 56 }, bargap: 0, barmode: "overlay" };
  frame.xaxis = { title: x, tickvals: at, ticktext: at.map((i) => names[i]), tickangle: flat ? 0 : -40, showgrid: false, range: [-0.5, many - 0.5], anchor: n > 1 ? "y" + n : "y" };
  panels.forEach((panel, i) => {
    const key = i ? String(i + 1) : "", top = 1 - i * (span + gap);
    frame["yaxis" + key] = { title: titled(panel), rangemode: "tozero", domain: [Math.max(0, top - span), top], nticks: n > 1 ? 5 : 8 };
    if (panel.level !== null) frame.shapes.push({ type: "line", xref: "x", yref: "y" + key, x0: -0.5, x1: many - 0.5, y0: (panel.percent ? 100 : 1) * panel.level, y1: (panel.percent ? 100 : 1) * panel.level, line: { color: t.soft, width: 1.2, dash: "dot" } });
  });
  return frame;
}

// One of so many bars at each category; points where there are too many.
function barsOf(panel, place, values, j, n, look) {
  const scale = panel.percent ? 100 : 1, width = 0.82 / n, x = values.map((_, i) => i + (j - (n - 1) / 2) * width);
  const y = values.map((v) => (v === null ? null : scale * v)), axes = { xaxis: "x", yaxis: "y" + (place ? place + 1 : "") };
  const common = { name: esc(look.name), x, y, ...axes, hoverinfo: "text", legendgroup: look.name, showlegend: place === 0 && look.name !== "" };
  if (values.length > MOST_BARS) return { ...common, type: "scatter", mode: "markers", text: look.text, error_y: look.error, marker: { color: look.colour, size: 6, symbol: look.symbol ?? "circle" } };
  return { ...common, type: "bar", width: width * (n > 1 ? 0.92 : 0.8), hovertext: look.text, textposition: "none", error_y: look.error, marker: { color: look.colour, ...look.marker } };
}

const legend = (t) => ({ orientation: "h", y: 1.02, yanchor: "bottom", x: 0, xanchor: "left", font: { size: 12, color: t.ink } });

// One run: series of a figure are shades of one colour, in their order.
function barsOfRun(id, figure, view) {
  const t = theme(), traces = [], frame = stacked(id, figure.x, view.categories, view.panels), many = view.categories.length;
  view.panels.forEach((panel, place) => {
    const n = panel.series.length, axes = { xaxis: "x", yaxis: "y" + (place ? place + 1 : "") };
    panel.series.forEach((one, j) => {
      const said = (v, i) => `<b>${esc(view.categories[i])}</b>${one.name ? "<br>" + esc(one.name) : ""}<br>${esc(panel.label)}: ${shown(panel, v)}${one.expected ? "<br>expected " + shown(panel, one.expected[i]) : ""}`;
      const trace = barsOf(panel, place, one.values, j, n, { name: one.name, colour: see(t.heat, n > 1 ? 0.22 + (0.78 * j) / (n - 1) : 0.85), text: one.values.map(said) });
      traces.push(trace);
      if (!one.expected) return;
      const size = Math.max(5, ((byId(id).clientWidth - 80) / many) * (0.82 / n) * 0.62);
      traces.push({ type: "scatter", mode: "markers", name: "expected", legendgroup: "expected", legendrank: 2000, showlegend: place === 0 && !traces.some((other) => other.name === "expected"), x: trace.x, y: one.expected.map((v) => (v === null ? null : (panel.percent ? 100 : 1) * v)), ...axes, hoverinfo: "skip", marker: { symbol: "line-ew", size, color: t.few, line: { width: 2.4, color: t.few } } });
    });
  });
  const named = traces.filter((trace) => trace.showlegend).length;
  return { traces, frame: { ...frame, showlegend: named > 1 && named <= 13, legend: { ...legend(t), itemsizing: "constant" } } };
}

// All methods: the same bars and colours as above.
function barsOfMethods(id, figure) {
  const t = theme(), traces = [], frame = stacked(id, figure.x, figure.categories, figure.panels);
  const drawn = visible().filter((m) => figure.methods[m.name]);
  figure.panels.forEach((panel, place) => drawn.forEach((m, j) => {
    const { mean, low, high } = figure.methods[m.name][place], scale = panel.percent ? 100 : 1;
    const text = mean.map((v, i) => `<b>${esc(m.name)}</b><br>${esc(figure.categories[i])}<br>${esc(panel.label)}: ${shown(panel, v)}${low ? `<br>seeds ${shown(panel, low[i])} to ${shown(panel, high[i])}` : ""}`);
    const reach = (from, to) => mean.map((_, i) => (from[i] === null || to[i] === null ? 0 : scale * (to[i] - from[i])));
    const error = low ? { type: "data", symmetric: false, array: reach(mean, high), arrayminus: reach(low, mean), thickness: 1.2, width: 0, color: dark() ? "#8a93a0" : t.soft } : undefined;
    const marker = { opacity: m.control ? 0.62 : 1, line: { width: m.control ? 1 : 0, color: colour(m) }, pattern: m.control ? { shape: "/", size: 6, solidity: 0.28, fillmode: "overlay", fgcolor: t.card, fgopacity: 0.9 } : { shape: "" } };
    traces.push(barsOf(panel, place, mean, j, drawn.length, { name: m.name, colour: colour(m), text, error, marker, symbol: m.symbol + (m.control ? "-open" : "") }));
  }));
  return { traces, frame: { ...frame, showlegend: drawn.length > 1, legend: legend(t) } };
}

// The same numbers as a table.
function tabulate(id, categories, columns) {
  const cell = (tag, text, scope) => { const made = document.createElement(tag); made.textContent = text; if (scope) made.scope = scope; return made; };
  const head = document.createElement("thead"), body = document.createElement("tbody"), first = document.createElement("tr");
  first.append(cell("th", "", "col"), ...columns.map((column) => cell("th", column.name, "col")));
  head.append(first);
  categories.forEach((name, i) => {
    const row = document.createElement("tr"), label = cell("th", name, "row");
    label.className = "name";
    row.append(label, ...columns.map((column) => cell("td", column.values[i])));
    body.append(row);
  });
  byId(id).replaceChildren(head, body);
}
// The panel is named only where there are several.
const headed = (panels, panel, name) => (panels.length > 1 || !name ? [titled(panel), name].filter(Boolean).join(": ") : name);
const columnsOfRun = ({ panels }) => panels.flatMap((panel) => panel.series.map((one) => ({
  name: headed(panels, panel, one.name),
  values: one.values.map((v, i) => shown(panel, v) + (one.expected && one.expected[i] !== null ? ` (expected ${shown(panel, one.expected[i])})` : "")),
})));
const columnsOfMethods = ({ panels, methods }) => panels.flatMap((panel, place) => Object.entries(methods).map(([method, own]) => {
  const { mean, low, high } = own[place];
  return { name: headed(panels, panel, method), values: mean.map((v, i) => shown(panel, v) + (low ? ` (${shown(panel, low[i])} to ${shown(panel, high[i])})` : "")) };
}));

// Which run is shown: by method, and by seed where there are several.
function chosenView(id, views) {
  const method = byId(id + "-method"), seed = byId(id + "-seed");
  if (!method) return views[0];
  return views.find((view) => view.method === method.value && String(view.seed) === seed.value) ?? views[0];
}
function picking(id, views) {
  const method = byId(id + "-method"), seed = byId(id + "-seed");
  if (!method) return;
  const fill = () => {
    const before = seed.value, own = views.filter((view) => view.method === method.value).map((view) => String(view.seed));
    seed.replaceChildren(...own.map((value) => new Option(value, value)));
    seed.value = own.includes(before) ? before : own[0];
    seed.parentElement.hidden = !views.some((view) => view.method === method.value && view.seed !== views.find((other) => other.method === method.value).seed);
  };
  fill();
  method.addEventListener("change", () => { fill(); draw(id); });
  seed.addEventListener("change", () => draw(id));
}

DATA.figures.forEach((figure, place) => {
  const id = "own-" + place;
  if (figure.views) picking(id, figure.views);
  if (figure.form === "methods") {
    plot(id, () => barsOfMethods(id, figure), ["methods"]);
    tabulate(id + "-table", figure.categories, columnsOfMethods(figure));
  } else if (figure.form === "bars") {
    plot(id, () => {
      const view = chosenView(id, figure.views);
      tabulate(id + "-table", view.categories, columnsOfRun(view));
      return barsOfRun(id, figure, view);
    }, [id]);
  }
});
