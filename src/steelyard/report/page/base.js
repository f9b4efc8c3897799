"use strict";
// What all scripts share: the data, the theme, the state, and one way to draw.
const DATA = JSON.parse(document.getElementById("data").textContent);
const METHODS = DATA.methods;
const byId = (id) => document.getElementById(id);
const state = {
  epoch: DATA.epoch,
  shown: new Set(METHODS.flatMap((m, i) => (DATA.shown.includes(m.name) ? [i] : []))),
  print: false,
};
const darkness = window.matchMedia("(prefers-color-scheme: dark)");
const dark = () => darkness.matches && !state.print;

// Plotly reads a little markup in labels and hover texts; names are not markup.
const esc = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const short = (text, most = 18) => esc(text.length > most ? text.slice(0, most - 1) + "…" : text);
// Short names of classes on an axis; where cutting makes two of them equal, their numbers tell them apart.
function shortAll(names, most, numbers) {
  const cut = names.map((name) => short(name, most));
  if (!numbers || new Set(cut).size === new Set(names).size) return cut;
  return names.map((name, i) => `${numbers[i]} ` + short(name, Math.max(4, most - 3)));
}
const percent = (x, digits = 1) => (x === null || x === undefined ? "–" : (100 * x).toFixed(digits) + " %");
const count = (n) => n.toLocaleString("en");
const colour = (method) => (dark() ? method.dark : method.light);
const strength = (method) => (method.control ? 0.66 : 1);
function see(hex, alpha) {
  const n = parseInt(hex.slice(1), 16);
  return `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${alpha})`;
}
// The colour of a line: lighter for controls. (An opacity of the whole trace would tint its box on some screens.)
const ink = (method) => see(colour(method), strength(method));

function theme() {
  const css = getComputedStyle(document.documentElement);
  const light = { ink: "#1d2126", soft: "#5a626c", line: "#e4e2dd", grid: "#ecebe7", card: "#ffffff", many: "#5d7fa3", medium: "#93a9bd", few: "#c4925a", heat: "#0b4f80" };
  if (state.print) return { ...light, sans: css.getPropertyValue("--sans") };
  const names = [...Object.keys(light), "sans"];
  return Object.fromEntries(names.map((name) => [name, css.getPropertyValue("--" + name).trim()]));
}

function layout(extra = {}) {
  const t = theme();
  const axis = { gridcolor: t.grid, linecolor: t.line, zeroline: false, tickcolor: t.line, automargin: true, title: { font: { size: 12.5, color: t.soft }, standoff: 10 } };
  const own = { ...extra };
  const base = {
    font: { family: t.sans, size: 12, color: t.soft },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 14, t: 10, b: 46 },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: t.card, bordercolor: t.line, font: { family: t.sans, size: 12.5, color: t.ink }, align: "left" },
    dragmode: false,
  };
  for (const key of Object.keys(own)) {
    if (/^[xy]axis/.test(key)) {
      const title = typeof own[key].title === "string" ? { ...axis.title, text: own[key].title } : axis.title;
      own[key] = { ...axis, ...own[key], title };
    }
  }
  return { xaxis: { ...axis }, yaxis: { ...axis }, ...base, ...own };
}

const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset" };
const plots = [];
// A plot: the id of its box, a function that gives its traces and layout, and what it depends on.
function plot(id, make, depends = []) {
  if (byId(id)) plots.push({ id, make, depends });
}
// What draws itself, without Plotly.
function painting(id, paint, depends = []) {
  if (byId(id)) plots.push({ id, paint, depends });
}
function draw(reason) {
  for (const { id, make, paint, depends } of plots) {
    if (reason && !depends.includes(reason)) continue;
    if (paint) { paint(byId(id)); continue; }
    const { traces, frame } = make();
    Plotly.react(byId(id), traces, layout(frame), CONFIG);
  }
}
const visible = () => METHODS.flatMap((m, i) => (state.shown.has(i) ? [m] : []));

darkness.addEventListener("change", () => draw());
for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(event, () => { state.print = printing; draw(); });
}
