"use strict";
// The plots of one fitted model.
const BLUE = { light: "#0072b2", dark: "#4aa8e0" };
const hue = () => colour(BLUE);

plot("confusion", () => {
  const t = theme(), labels = DATA.classes, n = labels.length;
  const z = DATA.confusion.map((row, i) => row.map((v) => (DATA.supports[i] ? (100 * v) / DATA.supports[i] : null)));
  const text = z.map((row, i) => row.map((v, j) => `true: ${esc(labels[i])}<br>decided: ${esc(labels[j])}<br><b>${v === null ? "no test rows" : v.toFixed(1) + " %"}</b> (${count(DATA.confusion[i][j])} rows)`));
  const at = labels.map((_, i) => i), named = shortAll(labels, 14, null);
  const axis = { tickvals: at, ticktext: named, showgrid: false, ticks: "" };
  const strong = dark() ? "#10161c" : "#ffffff";
  const annotations = n > 14 ? [] : z.flatMap((row, i) => row.flatMap((v, j) => (v === null || v < 0.05 ? [] : [{ x: j, y: i, text: v.toFixed(n <= 5 ? 1 : 0), showarrow: false, font: { size: 12.5, color: v > 60 ? strong : t.ink } }])));
  const trace = { type: "heatmap", x: at, y: at, z, zmin: 0, zmax: 100, hovertext: text, hoverinfo: "text", colorscale: [[0, t.card], [1, t.heat]], showscale: n > 14, xgap: 1, ygap: 1, colorbar: { thickness: 10, outlinewidth: 0, ticksuffix: " %", len: 0.6 } };
  return { traces: [trace], frame: { annotations, xaxis: { ...axis, title: "decided class", range: [-0.5, n - 0.5] }, yaxis: { ...axis, title: "true class", range: [n - 0.5, -0.5] }, margin: { l: 60, r: 10, t: 8, b: 60 } } };
});

plot("reliability", () => {
  const t = theme(), { confidence, accuracy, count: rows } = DATA.reliability;
  const kept = rows.map((_, i) => i).filter((i) => rows[i] > 0), total = rows.reduce((a, b) => a + b, 0);
  const honest = { type: "scatter", mode: "lines", x: [0, 100], y: [0, 100], line: { color: t.soft, width: 1, dash: "dot" }, hoverinfo: "skip" };
  const curve = { type: "scatter", mode: "lines+markers", x: kept.map((i) => 100 * confidence[i]), y: kept.map((i) => 100 * accuracy[i]), line: { color: hue(), width: 1.8 }, marker: { color: hue(), opacity: 0.85, size: kept.map((i) => 4 + 22 * Math.sqrt(rows[i] / total)), line: { width: 0 } }, text: kept.map((i) => `mean confidence ${percent(confidence[i])}<br>right ${percent(accuracy[i])}<br>${count(rows[i])} rows`), hoverinfo: "text" };
  const least = Math.min(50, ...kept.map((i) => 100 * confidence[i]));
  return { traces: [honest, curve], frame: { xaxis: { title: "confidence, %", range: [Math.max(-3, least - 4), 103] }, yaxis: { title: "right, %", range: [-3, 103] } } };
});

plot("curve", () => {
  const t = theme(), { recall, precision, threshold, at } = DATA.curve, base = 100 * DATA.prevalence;
  const words = (i) => `threshold ${threshold[i].toPrecision(3)}<br>recall ${percent(recall[i])}<br>precision ${percent(precision[i])}`;
  const line = { type: "scatter", mode: "lines", x: recall.map((v) => 100 * v), y: precision.map((v) => 100 * v), line: { color: hue(), width: 2 }, text: recall.map((_, i) => words(i)), hoverinfo: "text" };
  const guess = { type: "scatter", mode: "lines", x: [0, 100], y: [base, base], line: { color: t.soft, width: 1, dash: "dot" }, hoverinfo: "skip" };
  const mark = at ? [{ type: "scatter", mode: "markers", x: [100 * at.recall], y: [100 * at.precision], marker: { size: 12, color: t.few }, hovertext: [`in use<br>recall ${percent(at.recall)}<br>precision ${percent(at.precision)}`], hoverinfo: "text" }] : [];
  return { traces: [guess, line, ...mark], frame: { xaxis: { title: `found of ${short(DATA.positive)} (recall), %`, range: [-2, 102] }, yaxis: { title: "right among them (precision), %", range: [-2, 102] } } };
});

plot("importance", () => {
  const rows = DATA.importance.slice(0, 20).reverse();
  const trace = { type: "bar", orientation: "h", x: rows.map((r) => r.drop), y: rows.map((_, i) => i), marker: { color: hue() }, error_x: { type: "data", symmetric: false, array: rows.map((r) => r.high - r.drop), arrayminus: rows.map((r) => r.drop - r.low), thickness: 1.4, width: 0, color: theme().soft }, hovertext: rows.map((r) => `<b>${esc(r.column)}</b><br>${r.drop.toFixed(4)} (${r.low.toFixed(4)} to ${r.high.toFixed(4)})`), hoverinfo: "text" };
  return { traces: [trace], frame: { xaxis: { title: `${DATA.importanceMetric} lost` }, yaxis: { tickvals: rows.map((_, i) => i), ticktext: rows.map((r) => short(r.column, 28)), showgrid: false }, margin: { l: 60, r: 14, t: 8, b: 46 } } };
});

draw();
document.body.dataset.ready = "true";
