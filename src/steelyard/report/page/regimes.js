"use strict";
// What the pages of a diagnosis share: colours, numbers, and the map of the regimes.
const BLUE = { light: "#0072b2", dark: "#4aa8e0" }, GREEN = { light: "#1b7f5c", dark: "#58c79b" };
const REGIMES = {
  Normal: { light: "#4f8f6b", dark: "#63b487" },
  Mild: { light: "#c9a227", dark: "#dcbb4e" },
  Extreme: { light: "#c8702d", dark: "#e0904f" },
  Catastrophic: { light: "#a93636", dark: "#d96a6a" },
};
const figure = (x, digits = 3) => (x === null || x === undefined ? "–" : x.toLocaleString("en", { maximumSignificantDigits: digits }));
const ratio = (x) => `${figure(x)} to 1`;
const REGIME_NAMES = ["Normal", "Mild", "Extreme", "Catastrophic"];

// The regimes of the best possible classifier as areas: the logarithm of the ratio against the separability.
function regimeAreas(m) {
  const edges = [m.delta.map(() => 0), ...REGIME_NAMES.slice(0, 3).map((name) => m.limits[name].map((v) => (v === null ? 9 : Math.min(v, 9)))), m.delta.map(() => 9)];
  return REGIME_NAMES.map((name, i) => ({
    type: "scatter", mode: "lines", x: [...edges[i], ...[...edges[i + 1]].reverse()], y: [...m.delta, ...[...m.delta].reverse()],
    fill: "toself", fillcolor: see(colour(REGIMES[name]), 0.2), line: { width: 0 }, hoverinfo: "skip", name, showlegend: true,
  }));
}

function regimeFrame(m, widest) {
  const ticks = [0, 1, 2, 3, 4, 5, 6].filter((v) => v <= widest), top = m.delta[m.delta.length - 1];
  return { showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } }, xaxis: { title: "rows of the other class to one of this class (eta)", range: [-0.08, widest], tickvals: ticks, ticktext: ticks.map((v) => count(10 ** v)) }, yaxis: { title: "separability (delta)", range: [0, top] }, margin: { l: 56, r: 14, t: 30, b: 46 } };
}
