"use strict";
// The points of a labelled cloud in space.
plot("cloud", () => {
  const t = theme();
  const traces = DATA.groups.map((g) => ({ type: "scatter3d", mode: "markers", name: esc(g.name), x: g.x, y: g.y, z: g.z, marker: { size: 1.6, color: g.colour, line: { width: 0 } }, text: g.sure.map((p) => `${esc(g.name)}, ${percent(p, 0)} sure`), hoverinfo: "text" }));
  const axis = { color: t.soft, gridcolor: t.grid, showbackground: false, title: { text: "" }, ticksuffix: " m" };
  return { traces, frame: { showlegend: true, legend: { itemsizing: "constant", font: { color: t.ink } }, dragmode: "turntable", margin: { l: 0, r: 0, t: 0, b: 0 }, scene: { aspectmode: "data", xaxis: axis, yaxis: axis, zaxis: axis, camera: { eye: { x: 1.3, y: -1.5, z: 0.5 } } } } };
});

draw();
document.body.dataset.ready = "true";
