"use strict";
// Confusion and calibration; then everything is drawn.
const confused = METHODS.filter((m) => m.confusion);

function heat(side) {
  const t = theme(), { labels, long, blocks } = DATA.confusion;
  const method = confused.find((m) => m.name === byId(`confusion-method-${side}`).value) ?? confused[0];
  const n = labels.length, z = method.confusion.map((row) => row.map((v) => (v === null ? null : v / 10)));
  const text = z.map((row, i) => row.map((v, j) => `true: ${esc(long[i])}<br>predicted: ${esc(long[j])}<br><b>${v === null ? "no test rows" : v.toFixed(1) + " %"}</b>`));
  const at = labels.map((_, i) => i);
  const numbers = n <= 14 && byId(`confusion-${side}`).clientWidth / n > 30;
  const ticks = n <= 24 ? at : at.filter((i) => i % Math.ceil(n / 12) === 0);
  const room = Math.floor((byId(`confusion-${side}`).clientWidth - 180) / (n * 8)), flat = room >= 8 || labels.every((name) => name.length <= room);
  const named = shortAll(labels, flat ? Math.max(4, Math.min(20, room)) : 12, blocks ? null : bySize);
  const axis = { tickvals: ticks, ticktext: ticks.map((i) => named[i]), showgrid: false, ticks: "" };
  const trace = { type: "heatmap", x: at, y: at, z, zmin: 0, zmax: 100, hovertext: text, hoverinfo: "text", colorscale: [[0, t.card], [1, t.heat]], showscale: !numbers, xgap: n <= 24 ? 1 : 0, ygap: n <= 24 ? 1 : 0, colorbar: { thickness: 10, outlinewidth: 0, ticksuffix: " %", len: 0.6 } };
  const strong = dark() ? "#10161c" : "#ffffff";
  const annotations = numbers ? z.flatMap((row, i) => row.flatMap((v, j) => (v === null || v < 0.5 ? [] : [{ x: j, y: i, text: v.toFixed(n <= 5 ? 1 : 0), showarrow: false, font: { size: 11.5, color: v > 60 ? strong : t.ink } }]))) : [];
  const what = blocks ? "block of classes (rows of its largest)" : "class";
  return { traces: [trace], frame: { annotations, xaxis: { ...axis, title: "predicted " + what, tickangle: flat ? 0 : -40, range: [-0.5, n - 0.5] }, yaxis: { ...axis, title: "true " + what, range: [n - 0.5, -0.5] }, margin: { l: 60, r: 10, t: 8, b: 60 } } };
}

if (confused.length) {
  // Side by side: plain cross-entropy and what came first.
  const ranked = [...document.querySelectorAll(".board:not([hidden]) tbody th.name")].map((cell) => cell.dataset.v);
  const base = confused.find((m) => m.name === "ce") ?? confused[0];
  const other = ranked.map((name) => confused.find((m) => m.name === name)).find((m) => m && m !== base) ?? confused.find((m) => m !== base) ?? base;
  [base, other].forEach((method, side) => {
    const pick = byId(`confusion-method-${side}`);
    pick.value = method.name;
    plot(`confusion-${side}`, () => heat(side), ["confusion-" + side]);
    pick.addEventListener("change", () => draw("confusion-" + side));
  });
}

plot("reliability", () => {
  const t = theme();
  const honest = { type: "scatter", mode: "lines", x: [0, 100], y: [0, 100], line: { color: t.soft, width: 1, dash: "dot" }, hoverinfo: "skip" };
  const traces = visible().filter((m) => m.reliability).map((m) => {
    const { confidence, accuracy, share } = m.reliability;
    return { type: "scatter", mode: "lines+markers", x: confidence.map((v) => 100 * v), y: accuracy.map((v) => 100 * v), line: { color: ink(m), width: 1.8, dash: m.dash }, marker: { color: ink(m), symbol: m.symbol, opacity: 0.85, size: share.map((v) => 4 + 22 * Math.sqrt(v)), line: { width: 0 } }, text: confidence.map((v, i) => `<b>${esc(m.name)}</b><br>mean confidence ${percent(v)}<br>right ${percent(accuracy[i])}<br>${percent(share[i])} of the rows`), hoverinfo: "text" };
  });
  const least = Math.min(100 / Math.max(2, DATA.counts.length), ...METHODS.flatMap((m) => (m.reliability ? m.reliability.confidence.map((v) => 100 * v) : [])));
  return { traces: [honest, ...traces], frame: { xaxis: { title: "confidence, %", range: [Math.max(-3, Math.min(least, 50) - 4), 103] }, yaxis: { title: "right, %", range: [-3, 103] } } };
}, ["methods"]);

plot("ece", () => {
  const values = (DATA.board[state.epoch] ?? {}).ece ?? {};
  const rows = visible().filter((m) => values[m.name]).sort((a, b) => values[b.name][0] - values[a.name][0]);
  const traces = rows.map((m, i) => {
    const [v, lo, hi] = values[m.name], has = lo !== null && hi !== null;
    return { type: "scatter", mode: "markers", x: [100 * v], y: [i], hovertext: [`<b>${esc(m.name)}</b><br>ECE ${percent(v)}` + (has ? `<br>95 % interval ${percent(lo)} to ${percent(hi)}` : "")], hoverinfo: "text", error_x: { type: "data", symmetric: false, array: [has ? 100 * (hi - v) : 0], arrayminus: [has ? 100 * (v - lo) : 0], visible: has, thickness: 1.6, width: 0, color: colour(m) }, marker: { size: 11, color: colour(m), symbol: m.symbol + (m.control ? "-open" : ""), line: { width: m.control ? 2 : 0 } } };
  });
  return { traces, frame: { xaxis: { title: "ECE, %", rangemode: "tozero" }, yaxis: { tickvals: rows.map((_, i) => i), ticktext: rows.map((m) => short(m.name, 22)), range: [-0.6, Math.max(rows.length, 1) - 0.4], showgrid: false } } };
}, ["methods", "epoch"]);

draw();
document.body.dataset.ready = "true";
