"use strict";
// The pictures of trained models: recall and what it was lost to, geometry beside SELI, weights, spectra.
const MODELS = DATA.models, CLASSES = DATA.classes, COUNTS = DATA.counts;
const chosen = () => MODELS.find((m) => m.name === byId("model").value) ?? MODELS[0];
const LEGEND = { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } };
const place = (n) => Math.max(n, 0.5);
const hundred = (v) => (v === null || v === undefined ? null : 100 * v);
const bySize = COUNTS.map((_, c) => c).sort((a, b) => COUNTS[b] - COUNTS[a] || a - b);
// Ticks of a logarithmic axis that reads well: few, and each with its number.
function logTicks(high) {
  const decades = Math.log10(Math.max(high, 2)), steps = decades <= 1.6 ? [1, 2, 5] : decades <= 3.2 ? [1, 3] : [1], ticks = [];
  for (let e = 0; 10 ** e <= high * 2; e++) for (const m of steps) ticks.push(m * 10 ** e);
  return { type: "log", tickvals: ticks, ticktext: ticks.map((v) => count(v)) };
}
const sizeAxis = { title: "training rows of the class (log scale)", ...logTicks(Math.max(...COUNTS)) };
const who = (c) => `<b>${esc(CLASSES[c])}</b> · ${count(COUNTS[c])} training rows`;
const nothing = (words) => ({ traces: [], frame: { xaxis: { visible: false }, yaxis: { visible: false }, annotations: [{ text: words, x: 0.5, y: 0.5, xref: "paper", yref: "paper", showarrow: false, font: { size: 14, color: theme().soft } }] } });

plot("map", () => {
  const t = theme(), m = DATA.map, top = m.delta[m.delta.length - 1];
  const marks = [...(DATA.inputs ? [["the inputs", DATA.inputs, t.ink, "diamond"]] : []), ...MODELS.filter((one) => one.embeddings).map((one) => [one.name, one.embeddings, colour(one), one.symbol])].map(([name, found, hue, symbol]) => {
    const p = found.places.find((one) => one.class === found.class);
    return { name, p, hue, symbol };
  });
  const widest = Math.max(3.3, ...marks.map(({ p }) => Math.log10(p.eta) + 0.4));
  const drawn = marks.map(({ name, p, hue, symbol }) => ({
    type: "scatter", mode: "markers", name: short(name, 24), x: [Math.max(Math.log10(p.eta), 0)], y: [Math.min(p.delta, top)],
    marker: { size: 13, color: hue, symbol, line: { color: t.ink, width: 1.4 } },
    error_y: p.low === null ? undefined : { type: "data", symmetric: false, array: [p.high === null ? top : Math.max(p.high - p.delta, 0)], arrayminus: [Math.max(p.delta - p.low, 0)], color: hue, thickness: 1.3, width: 4 },
    hovertext: [`<b>${esc(name)}</b>: ${p.regime}<br>${esc(CLASSES[p.class])} against ${esc(CLASSES[p.confuser])}<br>ratio ${ratio(p.eta)}<br>separability ${figure(p.delta)}<br>predicted recall ${percent(p.recall)}, adjusted ${percent(p.adjusted)}`], hoverinfo: "text",
  }));
  return { traces: [...regimeAreas(m), ...drawn], frame: { ...regimeFrame(m, widest), legend: { orientation: "v", x: 1.01, y: 1, font: { size: 12 } } } };
});

plot("eta", () => {
  const t = theme(), m = chosen(), at = m.classes.map((c) => c.eta);
  const spread = (c) => (c.recall === null || c.low === null ? [0, 0] : [100 * (c.high - c.recall), 100 * (c.recall - c.low)]);
  const words = m.classes.map((c, i) => `${who(i)}<br>recall ${percent(c.recall)}${c.low === null ? "" : ` (${percent(c.low)} to ${percent(c.high)})`}, ${count(c.test_rows)} test rows<br>predicted ${percent(c.expected)}, adjusted ${percent(c.expected_adjusted)}<br>training rows ${percent(c.train_recall)}`);
  const many = at.length > 40, line = [...bySize].reverse().filter((c) => m.classes[c].expected !== null).sort((a, b) => at[a] - at[b]);
  const traces = [
    { type: "scatter", mode: "markers", name: "training rows", x: at, y: m.classes.map((c) => hundred(c.train_recall)), marker: { symbol: "x-thin", size: many ? 5 : 9, color: t.soft, line: { width: 1.6, color: t.soft } }, text: words, hoverinfo: "text" },
    { type: "scatter", mode: line.length > 1 && !many ? "lines+markers" : "markers", name: "predicted", x: line.map((c) => at[c]), y: line.map((c) => hundred(m.classes[c].expected)), line: { color: colour(GREEN), width: 1.4, dash: "dot" }, marker: { size: many ? 4 : 8, color: t.card, line: { color: colour(GREEN), width: 1.8 } }, text: line.map((c) => words[c]), hoverinfo: "text" },
    { type: "scatter", mode: "markers", name: "measured", x: at, y: m.classes.map((c) => hundred(c.recall)), error_y: { type: "data", symmetric: false, array: m.classes.map((c) => spread(c)[0]), arrayminus: m.classes.map((c) => spread(c)[1]), color: see(colour(m), 0.5), thickness: 1.2, width: 3, visible: !many }, marker: { size: many ? 5 : 10, color: colour(m), symbol: m.symbol }, text: words, hoverinfo: "text" },
  ];
  return { traces, frame: { showlegend: true, legend: LEGEND, xaxis: { title: "rows of the largest class to one of this class (eta)", ...logTicks(Math.max(...at)) }, yaxis: { title: "recall, %", range: [-3, 105] }, margin: { l: 56, r: 14, t: 40, b: 46 } } };
}, ["model"]);

plot("lost", () => {
  const t = theme(), m = chosen(), few = bySize.length <= 24;
  const parts = [["shift", "back with a shift", colour(GREEN)], ["rows", "lost on new rows", t.few], ["fit", "never learnt", t.soft]];
  const traces = parts.map(([key, name, hue]) => ({
    type: "bar", name, x: bySize.map((_, i) => i), y: bySize.map((c) => hundred(m.classes[c].lost[key])), marker: { color: hue },
    hovertext: bySize.map((c) => `${who(c)}<br>${name}: ${percent(m.classes[c].lost[key])}<br>recall ${percent(m.classes[c].recall)}`), hoverinfo: "text", textposition: "none",
  }));
  const x = few ? { tickvals: bySize.map((_, i) => i), ticktext: shortAll(bySize.map((c) => CLASSES[c]), 12, bySize) } : {};
  return { traces, frame: { barmode: "relative", bargap: 0.15, showlegend: true, legend: { ...LEGEND, traceorder: "normal" }, xaxis: { title: "class, largest first", showgrid: false, ...x }, yaxis: { title: "points of recall" }, margin: { l: 56, r: 14, t: 40, b: 46 } } };
}, ["model"]);

const SIDES = [["classifier", "classifier", BLUE, "circle"], ["means", "class means", GREEN, "square"]];
// A number of each class against its size, with SELI's as a line.
function againstSize(key, title, range) {
  const m = chosen(), order = [...bySize].reverse().filter((c) => COUNTS[c] > 0);
  if (!m.grams) return nothing("no geometry was measured");
  const traces = SIDES.flatMap(([side, name, hue, symbol]) => {
    const ideal = DATA.ideal[side][key], own = m.grams[side]?.[key];
    const line = { type: "scatter", mode: "lines", name: `${name}, SELI`, x: order.map((c) => COUNTS[c]), y: order.map((c) => ideal[c]), line: { color: colour(hue), width: 1.5, dash: side === "means" ? "dash" : "solid" }, hoverinfo: "skip" };
    if (!own) return [line];
    return [line, { type: "scatter", mode: "markers", name, x: COUNTS.map(place), y: own, marker: { color: colour(hue), symbol, size: COUNTS.length > 60 ? 4 : 9, opacity: COUNTS.length > 60 ? 0.5 : 0.9 }, text: COUNTS.map((_, c) => `${who(c)}<br>${name}: ${figure(own[c])}<br>SELI: ${figure(ideal[c])}`), hoverinfo: "text" }];
  });
  return { traces, frame: { showlegend: true, legend: LEGEND, xaxis: sizeAxis, yaxis: { title, ...range }, margin: { l: 56, r: 14, t: 56, b: 46 } } };
}
plot("norms", () => againstSize("norms", "norm", { rangemode: "tozero" }), ["model"]);
plot("angles", () => againstSize("nearest", "cosine with the nearest class", {}), ["model"]);

function matrix(values, limit, id) {
  const t = theme(), labels = DATA.pictured.map((c) => CLASSES[c]), n = labels.length, at = labels.map((_, i) => i);
  const text = values.map((row, i) => row.map((v, j) => `${who(DATA.pictured[i])}<br>${who(DATA.pictured[j])}<br><b>${figure(v)}</b>`));
  const ticks = n <= 24 ? at : at.filter((i) => i % Math.ceil(n / 10) === 0), named = shortAll(labels, 10, DATA.pictured);
  const axis = { tickvals: ticks, ticktext: ticks.map((i) => named[i]), showgrid: false, ticks: "" };
  const scale = [[0, t.few], [0.5, dark() ? "#23282e" : "#f6f5f2"], [1, t.heat]];
  const trace = { type: "heatmap", x: at, y: at, z: values, zmin: -limit, zmax: limit, hovertext: text, hoverinfo: "text", colorscale: scale, xgap: n <= 24 ? 1 : 0, ygap: n <= 24 ? 1 : 0, colorbar: { thickness: 10, outlinewidth: 0, len: 0.7 }, hoverongaps: false };
  return { traces: [trace], frame: { xaxis: { ...axis, range: [-0.5, n - 0.5], tickangle: byId(id).clientWidth / n < 46 ? -40 : 0 }, yaxis: { ...axis, range: [n - 0.5, -0.5] }, margin: { l: 60, r: 10, t: 8, b: 60 } } };
}
for (const [side] of SIDES) {
  const largest = (rows) => Math.max(0, ...rows.flat().filter((v) => v !== null).map(Math.abs));
  const gram = () => chosen().grams?.[side]?.gram;
  const limit = () => Math.max(largest(DATA.ideal[side].gram), gram() ? largest(gram()) : 0) || 1;
  plot(side, () => (gram() ? matrix(gram(), limit(), side) : nothing("was not measured")), ["model"]);
  plot(`${side}-ideal`, () => matrix(DATA.ideal[side].gram, limit(), side), ["model"]);
}

plot("weights", () => {
  const t = theme(), m = chosen();
  if (!m.weights) return nothing("this method weights no rows");
  const { epochs, classes } = m.weights, rows = bySize.map((c) => classes[c]);
  const logs = rows.flat().filter((w) => w > 0).map((w) => Math.abs(Math.log2(w))), limit = Math.min(Math.max(0.5, ...logs), 6);
  const z = rows.map((row) => row.map((w) => (w === null ? null : w > 0 ? Math.log2(w) : -limit)));
  const text = rows.map((row, i) => row.map((w, k) => `${who(bySize[i])}<br>epoch ${epochs[k]}<br>mean weight ${figure(w)}`));
  const unit = [0.25, 0.5, 1, 2].find((s) => limit / s <= 4.2) ?? 4, marks = [];
  for (let v = -Math.floor(limit / unit) * unit; v <= limit; v += unit) marks.push(v);
  const bar = { thickness: 10, outlinewidth: 0, len: 0.9, tickvals: marks, ticktext: marks.map((v) => figure(2 ** v, 2) + "×") };
  const trace = { type: "heatmap", x: epochs, y: rows.map((_, i) => i), z, zmin: -limit, zmax: limit, hovertext: text, hoverinfo: "text", colorscale: [[0, t.many], [0.5, dark() ? "#23282e" : "#f6f5f2"], [1, t.few]], colorbar: bar, ygap: rows.length <= 24 ? 1 : 0, hoverongaps: false };
  const at = rows.map((_, i) => i), ticks = rows.length <= 24 ? at : at.filter((i) => i % Math.ceil(rows.length / 12) === 0);
  const named = shortAll(bySize.map((c) => CLASSES[c]), 14, bySize);
  return { traces: [trace], frame: { xaxis: { title: "epoch", showgrid: false, dtick: epochs.length <= 12 ? 1 : undefined }, yaxis: { title: "class, largest at the top", tickvals: ticks, ticktext: ticks.map((i) => named[i]), range: [rows.length - 0.5, -0.5], showgrid: false, ticks: "" }, margin: { l: 60, r: 8, t: 10, b: 46 } } };
}, ["model"]);

// From the most to the least rows, through the colours of many-shot and few-shot classes.
const mixed = (share) => { const part = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16), t = theme(); return `rgb(${[0, 1, 2].map((i) => Math.round(part(t.many, i) + share * (part(t.few, i) - part(t.many, i)))).join(",")})`; };
plot("spectra", () => {
  const m = chosen();
  if (!m.curvature) return nothing("no curvature was measured");
  const parts = m.curvature.map((part, i) => ({ part, share: m.curvature.length > 1 ? i / (m.curvature.length - 1) : 0 }));
  const size = (name) => COUNTS[CLASSES.indexOf(name)] ?? 0;
  const ordered = [...parts].sort((a, b) => size(b.part.name) - size(a.part.name)).map((one, i, all) => ({ ...one, share: all.length > 1 ? i / (all.length - 1) : 0 }));
  const peak = Math.max(...ordered.flatMap(({ part }) => part.spectrum.density));
  const traces = ordered.map(({ part, share }) => ({ type: "scatter", mode: "lines", name: short(part.name, 16), x: part.spectrum.value, y: part.spectrum.density.map((v) => Math.max(v, peak * 1e-9)), line: { color: mixed(share), width: 1.6 }, text: part.spectrum.value.map((v) => `<b>${esc(part.name)}</b><br>eigenvalue ${figure(v)}`), hoverinfo: "text" }));
  return { traces, frame: { showlegend: ordered.length <= 12, legend: LEGEND, xaxis: { title: "eigenvalue" }, yaxis: { title: "density (log scale)", type: "log", range: [Math.log10(peak) - 7, Math.log10(peak) + 0.3], exponentformat: "power", dtick: 1 }, margin: { l: 60, r: 14, t: 56, b: 46 } } };
}, ["model"]);

plot("lambda", () => {
  const m = chosen();
  if (!m.curvature) return nothing("no curvature was measured");
  const by = m.curvature.every((part) => CLASSES.includes(part.name));
  const x = m.curvature.map((part, i) => (by ? place(COUNTS[CLASSES.indexOf(part.name)]) : i));
  const high = m.curvature.map((part) => part.intervals.lambda_max[1]);
  const trace = { type: "scatter", mode: "markers", x, y: m.curvature.map((part) => part.lambda_max), error_y: { type: "data", symmetric: false, array: m.curvature.map((part, i) => (high[i] === null ? 0 : high[i] - part.lambda_max)), arrayminus: x.map(() => 0), color: see(colour(m), 0.5), thickness: 1.2, width: 3 }, marker: { size: 10, color: colour(m), symbol: m.symbol }, text: m.curvature.map((part, i) => `<b>${esc(part.name)}</b>, ${count(part.rows)} rows<br>largest eigenvalue ${figure(part.lambda_max)} (to ${figure(high[i])})<br>smallest ${figure(part.lambda_min)}<br>trace ${figure(part.trace)} (${figure(part.intervals.trace[0])} to ${figure(part.intervals.trace[1])})`), hoverinfo: "text" };
  const axis = by ? sizeAxis : { tickvals: x, ticktext: m.curvature.map((part) => short(part.name, 14)) };
  return { traces: [trace], frame: { xaxis: axis, yaxis: { title: "largest eigenvalue", rangemode: "tozero" } } };
}, ["model"]);

const named = () => document.querySelectorAll(".picked").forEach((cell) => { cell.textContent = chosen().name; });
byId("model").addEventListener("change", () => { named(); draw("model"); });
named();
draw();
document.body.dataset.ready = "true";
