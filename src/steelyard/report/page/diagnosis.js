"use strict";
// The pictures of a diagnosis: recall against the ratio of the classes, and the map of the regimes.
plot("curve", () => {
  const t = theme(), c = DATA.curve, p = c.point;
  const line = (name, values, hue, dash, width = 2) => ({
    type: "scatter", mode: "lines", name, x: c.eta, y: values.map((v) => (v === null ? null : 100 * v)), line: { color: hue, width, dash },
    text: values.map((v, i) => `${name}<br>ratio ${ratio(c.eta[i])}<br>recall ${percent(v)}`), hoverinfo: "text",
  });
  const bars = p.low === null || p.high === null ? undefined : { type: "data", symmetric: false, array: [100 * (p.high - p.recall)], arrayminus: [100 * (p.recall - p.low)], color: t.ink, thickness: 1.6, width: 5 };
  const mark = { type: "scatter", mode: "markers", name: "your data", x: [p.eta], y: [100 * p.recall], error_y: bars, marker: { size: 12, color: t.ink }, text: [`your data: ratio ${ratio(p.eta)}<br>recall ${percent(p.recall)}${p.low === null ? "" : ` (${percent(p.low)} to ${percent(p.high)})`}${p.held_out === null ? "" : `<br>on rows held out ${percent(p.held_out)}`}`], hoverinfo: "text" };
  const after = { type: "scatter", mode: "markers", name: "your data, adjusted", x: [p.eta], y: [100 * p.adjusted], marker: { size: 11, color: t.card, line: { color: colour(GREEN), width: 2.5 } }, text: [`your data, adjusted<br>recall ${percent(p.adjusted)}`], hoverinfo: "text", showlegend: false };
  const held = p.held_out === null ? [] : [{ type: "scatter", mode: "markers", name: "on rows held out", x: [p.eta], y: [100 * p.held_out], marker: { size: 10, symbol: "x-thin", color: t.ink, line: { width: 2, color: t.ink } }, hoverinfo: "skip" }];
  const own = c.measured === null ? [] : [
    { type: "scatter", mode: "markers", name: "measured", x: c.measured.eta, y: c.measured.recall.map((v) => 100 * v), error_y: { type: "data", symmetric: false, array: c.measured.recall.map((v, i) => 100 * (c.measured.high[i] - v)), arrayminus: c.measured.recall.map((v, i) => 100 * (v - c.measured.low[i])), color: t.few, thickness: 1.2, width: 4 }, marker: { size: 9, symbol: "square", color: t.few }, text: c.measured.recall.map((v, i) => `measured with ${count(c.measured.rows)} rows, ratio ${ratio(c.measured.eta[i])}<br>recall ${percent(v)} (${percent(c.measured.low[i])} to ${percent(c.measured.high[i])} in ${c.measured.draws} draws)<br>predicted for so many rows ${percent(c.measured.predicted[i])}`), hoverinfo: "text" },
    ...(c.measured.predicted.some((v) => v !== null) ? [{ type: "scatter", mode: "lines", name: "predicted for these", x: c.measured.eta, y: c.measured.predicted.map((v) => (v === null ? null : 100 * v)), line: { color: t.few, width: 1.3, dash: "dot" }, hoverinfo: "skip" }] : []),
  ];
  const traces = [
    line("best possible", c.limit, t.soft, "dot", 1.6),
    line("these rows", c.recall, colour(BLUE), "solid"),
    line("these rows, adjusted", c.adjusted, colour(GREEN), "dash"),
    ...own, ...held, after, mark,
  ];
  return { traces, frame: { showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } }, xaxis: { title: "majority rows to one minority row (eta)", type: "log", dtick: 1 }, yaxis: { title: `found of ${short(c.minority)} (recall), %`, range: [-3, 103] }, margin: { l: 56, r: 14, t: c.measured === null ? 66 : 84, b: 46 } } };
});

plot("map", () => {
  const t = theme(), m = DATA.map;
  const widest = Math.max(3.3, ...m.places.map((p) => Math.log10(p.eta) + 0.4));
  const half = m.half.length ? [{ type: "scatter", mode: "lines", x: m.half, y: m.delta, line: { color: t.ink, width: 1.4, dash: "dot" }, hoverinfo: "skip", showlegend: false }] : [];
  const top = m.delta[m.delta.length - 1], at = (v) => Math.min(v, top);
  const marks = {
    type: "scatter", mode: "markers", x: m.places.map((p) => Math.max(Math.log10(p.eta), 0)), y: m.places.map((p) => at(p.delta)), showlegend: false,
    marker: { size: m.places.length > 20 ? 8 : 13, color: m.places.map((p) => colour(REGIMES[p.regime])), line: { color: t.ink, width: 1.6 } },
    error_y: m.places.length > 20 ? undefined : { type: "data", symmetric: false, array: m.places.map((p) => (p.high === null ? top : Math.max(p.high - p.delta, 0))), arrayminus: m.places.map((p) => Math.max(p.delta - (p.low ?? 0), 0)), color: t.soft, thickness: 1.2, width: 4 },
    hovertext: m.places.map((p) => `<b>${esc(p.name)}</b>: ${p.regime}<br>ratio ${ratio(p.eta)}<br>separability ${figure(p.delta)}${p.low === null ? "" : ` (${figure(p.low)} to ${p.high === null ? "∞" : figure(p.high)})`}<br>recall ${percent(p.recall)}`), hoverinfo: "text",
  };
  return { traces: [...regimeAreas(m), ...half, marks], frame: regimeFrame(m, widest) };
});

draw();
document.body.dataset.ready = "true";
