"use strict";
// What rows weigh: by group and by class over the epochs, and as a learned function of the loss.
const brief = (v) => String(Number(v.toPrecision(2)));
const weightText = (w) => (w === null || w === undefined ? "–" : w >= 100 ? w.toFixed(0) : w >= 0.1 || w === 0 ? w.toFixed(2) : w.toPrecision(2));

// A weight below this is as good as none; how far below would only flatten what matters.
const LEAST_WEIGHT = 0.02;

// Ratios are what counts in weights: a logarithmic axis around 1, with ticks that read as weights.
function weightAxis(values) {
  const low = Math.max(LEAST_WEIGHT, Math.min(0.8, ...values)), high = Math.max(1.25, ...values), decades = Math.log10(high / low);
  const steps = decades < 0.8 ? [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8] : decades < 2.2 ? [1, 2, 5] : decades < 3.5 ? [1, 3] : [1];
  const tickvals = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) for (const m of steps) tickvals.push(m * 10 ** e);
  const pad = 0.04 * decades;
  return { title: "mean weight (log scale)", type: "log", range: [Math.log10(low) - pad, Math.log10(high) + pad], tickvals, ticktext: tickvals.map(brief) };
}

plot("weights", () => {
  const t = theme(), wide = byId("weights").clientWidth > 640;
  const groups = GROUPS.filter(([g]) => METHODS.some((m) => m.weights[g]));
  const n = groups.length, gap = 0.035, span = wide ? (1 - gap * (n - 1)) / n : 1, rows = 0.08, tall = wide ? 1 : (1 - rows * (n - 1)) / n;
  const legend = { orientation: "h", y: 1.06, yanchor: "bottom", x: 1, xanchor: "right", font: { size: 12, color: t.ink } };
  const frame = { annotations: [], shapes: [], showlegend: wide, legend, margin: { l: 56, r: 14, t: wide ? 48 : 22, b: 46 } }, traces = [];
  const values = visible().flatMap((m) => groups.flatMap(([g]) => { const c = m.weights[g]; return c ? [...c.mean, ...(c.low ?? []), ...(c.high ?? [])] : []; })).filter((v) => v !== null);
  groups.forEach(([g, label], i) => {
    const key = i ? String(i + 1) : "", axes = { xaxis: "x" + key, yaxis: "y" + key };
    const x0 = wide ? i * (span + gap) : 0, y1 = wide ? 1 : 1 - i * (tall + rows), bottom = wide || i === n - 1;
    const sizes = DATA.groups[g].length;
    frame["xaxis" + key] = { ...epochAxis(), nticks: 6, anchor: "y" + key, domain: [x0, x0 + span], ...(wide ? {} : { matches: i ? "x" : undefined }) };
    if (!bottom) { frame["xaxis" + key].showticklabels = false; frame["xaxis" + key].title = ""; }
    if (wide && n > 1) frame["xaxis" + key].tickvals = frame["xaxis" + key].tickvals.filter((_, k, all) => all.length <= 6 || k % 2 === 0);
    frame["yaxis" + key] = { ...weightAxis(values), anchor: "x" + key, domain: [y1 - tall, y1], matches: i ? "y" : undefined };
    if (wide && i) frame["yaxis" + key].showticklabels = false;
    if (i !== (wide ? 0 : Math.floor((n - 1) / 2))) frame["yaxis" + key].title = "";
    frame.annotations.push({ text: `<span style="color:${t.ink}"><b>${label}</b></span>  ${sizes} class${sizes === 1 ? "" : "es"}`, x: x0, y: y1, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", yshift: 3, showarrow: false, font: { size: 12.5, color: t.soft } });
    frame.shapes.push({ type: "line", xref: `x${key} domain`, yref: "y" + key, x0: 0, x1: 1, y0: 1, y1: 1, line: { color: t.soft, width: 1, dash: "dot" } });
    for (const m of visible()) {
      if (!m.weights[g]) continue;
      const lifted = Object.fromEntries(Object.entries(m.weights[g]).map(([name, list]) => [name, list.map((v) => (v === null ? null : Math.max(v, 1e-6)))]));
      const drawn = lineAndBand(m, lifted, axes, 1, (v) => `${label}: mean weight ${weightText(v)}`);
      drawn.forEach((trace, k) => { trace.showlegend = k === drawn.length - 1 && g === GROUPS.find(([name]) => m.weights[name])[0]; trace.name = esc(m.name); trace.legendgroup = m.name; });
      traces.push(...drawn);
    }
  });
  return { traces, frame };
}, ["methods"]);

const weighted = METHODS.filter((m) => m.classWeights);
plot("class-weights", () => {
  const t = theme(), { labels, long, blocks } = DATA.confusion;
  const m = weighted.find((each) => each.name === byId("weights-method").value) ?? weighted[0];
  const { epochs, rows } = m.classWeights, n = labels.length;
  const logs = rows.flat().filter((w) => w > 0).map((w) => Math.abs(Math.log2(w)));
  const limit = Math.min(Math.max(0.5, ...logs), -Math.log2(LEAST_WEIGHT));
  const z = rows.map((row) => row.map((w) => (w === null ? null : w > 0 ? Math.log2(w) : -limit)));
  const text = rows.map((row, i) => row.map((w, k) => `<b>${esc(long[i])}</b><br>${esc(m.name)}, epoch ${epochs[k]}${stageOf(m, epochs[k])}<br>mean weight ${weightText(w)}`));
  const unit = [0.25, 0.5, 1, 2, 4].find((s) => limit / s <= 4.2) ?? 8, marks = [];
  for (let v = -Math.floor(limit / unit) * unit; v <= limit; v += unit) marks.push(v);
  const scale = [[0, t.many], [0.5, dark() ? "#23282e" : "#f6f5f2"], [1, t.few]];
  const bar = { thickness: 10, outlinewidth: 0, len: 0.9, tickvals: marks, ticktext: marks.map((v) => brief(2 ** v) + "×"), title: { text: "weight", font: { size: 12, color: t.soft }, side: "top" } };
  const trace = { type: "heatmap", x: epochs, y: labels.map((_, i) => i), z, zmin: -limit, zmax: limit, hovertext: text, hoverinfo: "text", colorscale: scale, colorbar: bar, ygap: n <= 24 ? 1 : 0, hoverongaps: false };
  const at = labels.map((_, i) => i), ticks = n <= 24 ? at : at.filter((i) => i % Math.ceil(n / 12) === 0);
  const named = shortAll(labels, 14, blocks ? null : bySize);
  const last = epochs.at(-1), x = { ...epochAxis(), range: [0.5, last + 0.5], showgrid: false };
  return { traces: [trace], frame: { xaxis: x, yaxis: { title: blocks ? "block of classes (rows of its largest)" : "class, largest at the top", tickvals: ticks, ticktext: ticks.map((i) => named[i]), range: [n - 0.5, -0.5], showgrid: false, ticks: "" }, margin: { l: 60, r: 8, t: 10, b: 46 } } };
}, ["class-weights"]);

if (weighted.length && byId("weights-method")) {
  const placed = [...document.querySelectorAll(".board:not([hidden]) tbody th.name")].map((cell) => cell.dataset.v);
  // What moves most is worth a look first: tables of fixed weights are as plain as they sound.
  const moved = (m) => Math.max(...m.classWeights.rows.map((row) => { const w = row.filter((v) => v > 0); return w.length ? Math.log2(Math.max(...w) / Math.min(...w)) : 0; }));
  const rank = (m) => (placed.includes(m.name) ? placed.indexOf(m.name) : placed.length);
  const first = [...weighted].sort((a, b) => a.control - b.control || (moved(b) > 0.1) - (moved(a) > 0.1) || rank(a) - rank(b))[0];
  byId("weights-method").value = first.name;
  byId("weights-method").addEventListener("change", () => draw("class-weights"));
}

plot("learned", () => {
  const t = theme(), dashes = ["solid", "dash", "dot", "dashdot", "longdash"];
  const traces = visible().flatMap((m) => m.learned.flatMap((line, k) => {
    const name = esc(m.name) + (line.label ? " · " + short(line.label, 28) : ""), dash = dashes[k % dashes.length];
    const hover = (what, xs, ys) => xs.map((x, i) => `<b>${esc(m.name)}</b>${line.label ? "<br>" + esc(line.label) : ""}<br>${what}<br>loss ${x.toFixed(2)}: weight ${weightText(ys[i])}`);
    const single = line.seeds.length < 2 ? [] : line.seeds.map((s) => ({ type: "scatter", mode: "lines", x: s.loss, y: s.weight, line: { color: see(colour(m), 0.28), width: 1, dash }, text: hover(`seed ${s.seed}`, s.loss, s.weight), hoverinfo: "text", showlegend: false }));
    const mean = { type: "scatter", mode: "lines", name, x: line.loss, y: line.weight, line: { color: colour(m), width: 2.4, dash }, text: hover(line.seeds.length < 2 ? `seed ${line.seeds[0].seed}` : `mean over ${line.seeds.length} seeds`, line.loss, line.weight), hoverinfo: "text" };
    return [...single, mean];
  }));
  return { traces, frame: { xaxis: { title: "loss of a row", rangemode: "tozero" }, yaxis: { title: "weight", rangemode: "tozero" }, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, xanchor: "left", font: { size: 12, color: t.ink } }, margin: { l: 56, r: 14, t: 40, b: 46 } } };
}, ["methods"]);
