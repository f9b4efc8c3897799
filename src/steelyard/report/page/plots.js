"use strict";
// Sizes, groups, classes, cost and learning curves.
const GROUPS = [["many", "Many"], ["medium", "Medium"], ["few", "Few"]];
const groupOf = DATA.counts.map((_, c) => (GROUPS.find(([g]) => DATA.groups[g].includes(c)) ?? [""])[0]);
const groupLabel = (c) => (GROUPS.find(([g]) => g === groupOf[c]) ?? ["", "no group"])[1];
const bySize = DATA.counts.map((_, c) => c).sort((a, b) => DATA.counts[b] - DATA.counts[a] || a - b);
// A class without rows has no place on a logarithmic axis: it stands at a half.
const place = (n) => Math.max(n, 0.5);

function logAxis(values, from) {
  const top = Math.max(1, ...values), zero = values.some((n) => n === 0);
  const decades = Math.log10(top / (from ?? 1));
  const steps = decades <= 1.6 ? [1, 2, 5] : decades <= 3.2 ? [1, 3] : [1];
  const ticks = [];
  for (let e = 0; 10 ** e <= top * 1.01; e++) for (const m of steps) if (m * 10 ** e <= top * 1.01) ticks.push(m * 10 ** e);
  return { type: "log", tickvals: zero ? [0.5, ...ticks] : ticks, ticktext: (zero ? ["0"] : []).concat(ticks.map(count)) };
}

plot("sizes", () => {
  const t = theme(), few = bySize.length <= 24;
  const traces = [["", "No group", t.soft], ...GROUPS.map(([g, label]) => [g, label, t[g]])].flatMap(([g, label, fill]) => {
    const at = bySize.flatMap((c, i) => (groupOf[c] === g ? [i] : []));
    if (!at.length) return [];
    const text = at.map((i) => `<b>${esc(DATA.classes[bySize[i]])}</b><br>${count(DATA.counts[bySize[i]])} training rows · ${label}`);
    return [{ type: "bar", name: label, x: at, y: at.map((i) => place(DATA.counts[bySize[i]])), base: 0.4, hovertext: text, hoverinfo: "text", textposition: "none", marker: { color: fill, line: { width: 0 } } }];
  });
  // A bar with a base is drawn from it by its length.
  for (const trace of traces) { trace.y = trace.y.map((y) => y - 0.4); }
  const room = Math.floor((byId("sizes").clientWidth - 80) / (bySize.length * 8)), flat = room >= 8 || bySize.every((c) => DATA.classes[c].length <= room);
  const x = { tickangle: flat ? 0 : -40, title: few ? "class, largest first" : "classes, largest first", tickvals: few ? bySize.map((_, i) => i) : undefined, ticktext: shortAll(bySize.map((c) => DATA.classes[c]), flat ? Math.min(22, room) : 12, bySize), showgrid: false };
  if (!few) { delete x.tickvals; delete x.ticktext; delete x.tickangle; }
  const low = DATA.counts.some((n) => n < 1) ? 0.4 : 0.7;
  return { traces, frame: { barmode: "overlay", bargap: bySize.length > 200 ? 0 : 0.14, xaxis: x, yaxis: { ...logAxis(DATA.counts), title: "training rows", range: [Math.log10(low), Math.log10(Math.max(...DATA.counts) * 1.15)] }, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 1, xanchor: "right" }, margin: { l: 56, r: 14, t: 26, b: 46 } } };
});

plot("groups", () => {
  const board = DATA.board[state.epoch] ?? {};
  const roomy = byId("groups").clientWidth > 560;
  const sized = (g) => `${DATA.groups[g].length} class${DATA.groups[g].length === 1 ? "" : "es"}`;
  const groups = GROUPS.filter(([g]) => DATA.groups[g].length && board[g + "_recall"]).map(([g, label]) => [g + "_recall", label, sized(g)]);
  const bars = [...(board.balanced_accuracy ? [["balanced_accuracy", "All classes", "balanced accuracy"]] : []), ...groups];
  const traces = visible().map((m) => {
    const values = bars.map(([name]) => board[name][m.name] ?? [null, null, null]);
    const scaled = values.map(([v]) => (v === null ? null : 100 * v));
    const gap = (from, to) => (from === null || to === null || from === undefined ? 0 : 100 * (to - from));
    return {
      type: "bar", name: esc(m.name), x: bars.map((_, i) => i), y: scaled, textposition: "none",
      hovertext: values.map(([v, lo, hi], i) => `<b>${esc(m.name)}</b><br>${bars[i][1]} (${bars[i][2]}): ${percent(v)}` + (lo === null ? "" : `<br>95 % interval ${percent(lo)} to ${percent(hi)}`)),
      hoverinfo: "text",
      error_y: { type: "data", symmetric: false, array: values.map(([v, , hi]) => gap(v, hi)), arrayminus: values.map(([v, lo]) => gap(lo, v)), thickness: 1.2, width: 2.5, color: dark() ? "#8a93a0" : theme().soft, visible: values.some(([, lo]) => lo !== null) },
      marker: { color: colour(m), opacity: m.control ? 0.62 : 1, line: { width: m.control ? 1 : 0, color: colour(m) }, pattern: m.control ? { shape: "/", size: 6, solidity: 0.28, fillmode: "overlay", fgcolor: theme().card, fgopacity: 0.9 } : { shape: "" } },
    };
  });
  return { traces, frame: { barmode: "group", bargap: 0.18, bargroupgap: 0.06, xaxis: { tickvals: bars.map((_, i) => i), ticktext: bars.map(([, label, more]) => (roomy ? `${label}<br>(${more})` : label)), tickangle: 0, showgrid: false, range: [-0.5, bars.length - 0.5] }, yaxis: { title: "recall, %", rangemode: "tozero" } } };
}, ["methods", "epoch"]);

plot("recall", () => {
  const kind = byId("per-class")?.value ?? "recall";
  const many = DATA.counts.length > 60;
  const traces = visible().flatMap((m) => {
    const values = m.perClass[kind];
    if (!values) return [];
    const [x, y] = m.trend[kind];
    const scaled = (list) => list.map((v) => (v === null ? null : 100 * v));
    return [
      { type: "scatter", mode: "lines", x, y: scaled(y), line: { color: ink(m), width: m.control ? 1.7 : 2.2, dash: m.dash }, hoverinfo: "skip", connectgaps: true },
      { type: "scatter", mode: "markers", x: DATA.counts.map(place), y: scaled(values), text: values.map((v, c) => `<b>${esc(DATA.classes[c])}</b> · ${count(DATA.counts[c])} training rows · ${groupLabel(c)}<br>${esc(m.name)}: ${kind} ${percent(v)}`), hoverinfo: "text", marker: { color: colour(m), size: many ? 3.5 : 8, symbol: m.symbol + (m.control && !many ? "-open" : ""), opacity: many ? 0.28 : strength(m), line: { width: m.control && !many ? 1.4 : 0 } } },
    ];
  });
  const low = Math.min(...DATA.counts.map(place)), high = Math.max(...DATA.counts, 1), pad = (high / low) ** 0.03 * 1.05;
  return { traces, frame: { xaxis: { ...logAxis(DATA.counts, low), title: "training rows of the class (log scale)", range: [Math.log10(low / pad), Math.log10(high * pad)] }, yaxis: { title: kind.replace("f1", "F1") + ", %", range: [-3, 103] } } };
}, ["methods"]);
byId("per-class")?.addEventListener("change", () => draw("methods"));

// Names beside the points, where there is room: right, left, above, below, best clear of all bars; or else only on hover.
function labelled(points, width, height) {
  const taken = points.map(({ px, py }) => [px - 7, py - 7, px + 7, py + 7]);
  const bars = points.map(({ px, top, bottom }) => [px - 2, top, px + 2, bottom]);
  const misses = (box) => ([a, b, c, d]) => box[2] < a || box[0] > c || box[3] < b || box[1] > d;
  return points.map(({ px, py, name }, own) => {
    const w = Math.min(name.length, 18) * 6.7 + 6, h = 14;
    const options = { "middle right": [px + 8, py - h / 2], "middle left": [px - 8 - w, py - h / 2], "top center": [px - w / 2, py - 10 - h], "bottom center": [px - w / 2, py + 10] };
    const free = Object.entries(options).map(([side, [x, y]]) => [side, [x, y, x + w, y + h]]).filter(([, box]) =>
      box[0] > -4 && box[2] < width + 4 && box[1] > -4 && box[3] < height + 4 && taken.every(misses(box)));
    const clear = free.find(([, box]) => bars.every((bar, i) => i === own || misses(box)(bar))) ?? free[0];
    if (!clear) return null;
    taken.push(clear[1]);
    return clear[0];
  });
}

plot("cost", () => {
  const name = byId("cost-metric")?.value ?? DATA.metric, spec = DATA.metrics[name];
  const values = (DATA.board[state.epoch] ?? {})[name] ?? {};
  const rows = visible().filter((m) => values[m.name] && DATA.cost[m.name] !== null && DATA.cost[m.name] !== undefined);
  const xs = rows.map((m) => DATA.cost[m.name]), ys = rows.map((m) => spec.scale * values[m.name][0]);
  const ends = rows.flatMap((m) => values[m.name].map((v, i) => spec.scale * (v ?? values[m.name][0])));
  const span = (list, share) => { const lo = Math.min(...list), hi = Math.max(...list), pad = (hi - lo || 0.1 * Math.abs(hi) || 1) * share; return [lo - pad, hi + pad]; };
  const xr = rows.length ? span([...xs, 1], 0.16) : [0.5, 2], yr = rows.length ? span(ends, 0.08) : [0, 100];
  const box = byId("cost"), width = Math.max(150, box.clientWidth - 84), height = Math.max(150, box.clientHeight - 60);
  const down = (y) => (1 - (y - yr[0]) / (yr[1] - yr[0])) * height;
  const limit = (m, i, which) => down(spec.scale * (values[m.name][which] ?? ys[i] / spec.scale));
  const sides = labelled(rows.map((m, i) => ({ name: m.name, px: ((xs[i] - xr[0]) / (xr[1] - xr[0])) * width, py: down(ys[i]), top: limit(m, i, 2), bottom: limit(m, i, 1) })), width, height);
  const digits = spec.scale === 100 ? 1 : 3;
  const traces = rows.map((m, i) => {
    const [v, lo, hi] = values[m.name];
    const has = lo !== null && hi !== null;
    return {
      type: "scatter", mode: sides[i] ? "markers+text" : "markers", x: [xs[i]], y: [ys[i]], text: [short(m.name)], textposition: sides[i] ?? "middle right", textfont: { color: theme().ink, size: 12 }, cliponaxis: false,
      hovertext: [`<b>${esc(m.name)}</b><br>${spec.label} ${ys[i].toFixed(digits)}` + (has ? ` (${(spec.scale * lo).toFixed(digits)} to ${(spec.scale * hi).toFixed(digits)})` : "") + `<br>cost ${xs[i].toFixed(2)}×`], hoverinfo: "text",
      error_y: { type: "data", symmetric: false, array: [has ? spec.scale * (hi - v) : 0], arrayminus: [has ? spec.scale * (v - lo) : 0], visible: has, thickness: 1.2, width: 3, color: see(colour(m), 0.6) },
      marker: { size: 11, color: colour(m), symbol: m.symbol + (m.control ? "-open" : ""), line: { width: m.control ? 2 : 0 } },
    };
  });
  return { traces, frame: { xaxis: { title: "training time of a step, ce = 1", range: xr, ticksuffix: "×" }, yaxis: { title: spec.label + (spec.scale === 100 ? ", %" : ""), range: yr } } };
}, ["methods", "epoch"]);
byId("cost-metric")?.addEventListener("change", () => draw("epoch"));

// Which stage an epoch belongs to, in hover texts, where a method has several.
const stageOf = (m, epoch) => (m.curves.stages?.length > 1 ? ` · stage ${esc(m.curves.stages.filter(([start]) => start <= epoch).at(-1)[1])}` : "");

function epochAxis() {
  const last = Math.max(1, ...METHODS.map((m) => m.curves.epochs ?? 0)), step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((s) => last / s <= 12) ?? 1000;
  const tickvals = [1, ...Array.from({ length: Math.floor(last / step) }, (_, i) => (i + 1) * step).filter((e) => e > 1 && (step === 1 || e > step / 2))];
  return { title: "epoch", range: last > 1 ? [1 - 0.01 * last, last * 1.01] : [0, 2], tickvals };
}

// A method's curve over the epochs: the mean over seeds as a line, from the lowest to the highest seed as a band.
function lineAndBand(m, curve, axes, scale, words) {
  const x = curve.mean.map((_, i) => i + 1);
  const text = curve.mean.map((v, i) => `<b>${esc(m.name)}</b><br>epoch ${i + 1}${stageOf(m, i + 1)}<br>${words(v)}`);
  const line = { type: "scatter", mode: x.length > 1 ? "lines" : "markers", x, y: curve.mean.map((v) => (v === null ? null : scale * v)), ...axes, line: { color: ink(m), width: 2, dash: m.dash }, marker: { color: colour(m) }, text, hoverinfo: "text" };
  if (!curve.low || x.length < 2) return [line];
  const kept = x.map((_, i) => i).filter((i) => curve.low[i] !== null && curve.high[i] !== null);
  const edge = [...kept, ...kept.slice().reverse()];
  const band = { type: "scatter", mode: "lines", x: edge.map((i) => x[i]), y: edge.map((i, k) => scale * (k < kept.length ? curve.high : curve.low)[i]), ...axes, fill: "toself", fillcolor: see(colour(m), m.control ? 0.09 : 0.15), line: { width: 0 }, hoverinfo: "skip" };
  return [band, line];
}

plot("curves", () => {
  const panels = [["train_loss", "training loss", 1, "y"], ["valid_balanced_accuracy", "validation balanced acc., %", 100, "y2"], ["valid_loss", "validation loss", 1, "y2"]];
  const has = (key) => METHODS.some((m) => m.curves[key]);
  const chosen = panels.filter(([key]) => has(key)).slice(0, 2);
  const traces = visible().flatMap((m) => chosen.flatMap(([key, label, scale], panel) => {
    const curve = m.curves[key];
    if (!curve) return [];
    const unit = scale === 100 ? " %" : "", digits = scale === 100 ? 1 : 3;
    const words = (v) => `${label.replace(", %", "")} ${v === null ? "–" : (scale * v).toFixed(digits) + unit}`;
    return lineAndBand(m, curve, { yaxis: panel ? "y2" : "y" }, scale, words);
  }));
  const two = chosen.length > 1;
  // Losses that differ by a factor of twenty, between methods or in time, need a logarithmic scale.
  const losses = visible().flatMap((m) => m.curves.train_loss?.mean ?? []).filter((v) => v !== null);
  const log = losses.length > 0 && Math.min(...losses) > 0 && Math.max(...losses) > 20 * Math.min(...losses);
  const loss = chosen[0]?.[0] === "train_loss" && log ? { title: "training loss (log scale)", type: "log", dtick: 1, tickformat: "~g" } : { title: chosen[0]?.[1] ?? "", type: "linear" };
  const frame = { xaxis: { ...epochAxis(), anchor: two ? "y2" : "y" }, yaxis: { ...loss, domain: two ? [0.54, 1] : [0, 1] } };
  if (two) frame.yaxis2 = { title: chosen[1][1], domain: [0, 0.46] };
  return { traces, frame };
}, ["methods"]);
