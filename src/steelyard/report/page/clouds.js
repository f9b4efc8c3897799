"use strict";
// Points in space, on three canvases that turn together: true classes, decided classes, errors. No WebGL is needed, so they print.
const SHADES = 10;

function classesOf(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Uint16Array(bytes.buffer);
}
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
// A colour in steps towards the ground: points far away are paler.
function shades(hex, ground, most = 0.55) {
  const [from, to] = [rgb(hex), rgb(ground)];
  return Array.from({ length: SHADES }, (_, k) => `rgb(${from.map((v, i) => Math.round(v + (to[i] - v) * most * (k / (SHADES - 1)))).join(",")})`);
}

const between = (hex, ground, share) => "#" + rgb(hex).map((v, i) => Math.round(v + share * (rgb(ground)[i] - v)).toString(16).padStart(2, "0")).join("");

// Where the points are on a picture, the farthest first.
function projected(cloud, turn, tilt) {
  const n = cloud.x.length, c = Math.cos(turn), s = Math.sin(turn), ct = Math.cos(tilt), st = Math.sin(tilt);
  const right = new Float32Array(n), up = new Float32Array(n), depth = new Float32Array(n), order = new Uint32Array(n);
  for (let i = 0; i < n; i++) {
    const away = s * cloud.x[i] + c * cloud.y[i];
    right[i] = c * cloud.x[i] - s * cloud.y[i];
    up[i] = ct * cloud.z[i] + st * away;
    depth[i] = ct * away - st * cloud.z[i];
    order[i] = i;
  }
  order.sort((a, b) => depth[b] - depth[a]);
  return { right, up, depth, order };
}

// Layers of points, each over those before it; in a layer the nearer ones hide those behind them.
function paintPoints(canvas, cloud, seen, tilt, layers) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d"), { across, height: high } = cloud, tall = high * Math.cos(tilt) + across * Math.abs(Math.sin(tilt));
  const scale = Math.min((width - 16) / Math.max(across, 1e-6), (height - 16) / Math.max(tall, 1e-6)) * ratio;
  const size = Math.max(1, Math.round(ratio * Math.min(4, Math.max(1.6, 120 / Math.sqrt(seen.order.length))))), near = seen.depth[seen.order.at(-1)], span = Math.max(seen.depth[seen.order[0]] - near, 1e-6);
  for (const { order, colours } of layers) {
    for (const i of order) {
      pen.fillStyle = colours(i)[Math.min(SHADES - 1, Math.floor(((seen.depth[i] - near) / span) * SHADES))];
      pen.fillRect(Math.round(canvas.width / 2 + seen.right[i] * scale), Math.round(canvas.height / 2 - seen.up[i] * scale), size, size);
    }
  }
}

DATA.figures.forEach((figure, place) => {
  if (figure.form !== "cloud") return;
  const id = "own-" + place, turned = { turn: -0.6, tilt: 0.22 };
  const clouds = figure.clouds.map((cloud) => ({ ...cloud, true: classesOf(cloud.true), across: 2 * cloud.x.reduce((most, x, i) => Math.max(most, Math.hypot(x, cloud.y[i])), 0), height: cloud.z.reduce((most, z) => Math.max(most, 2 * Math.abs(z)), 0) })), decided = new Map();
  painting(id, (box) => {
    const t = theme(), view = chosenView(id, figure.views), cloud = clouds[view.cloud];
    if (!decided.has(view)) decided.set(view, classesOf(view.decided));
    const said = decided.get(view), seen = projected(cloud, turned.turn, turned.tilt), palette = figure.colours.map((hex) => shades(hex, t.card));
    const pale = shades(between(t.soft, t.card, 0.72), t.card, 0.4), errors = seen.order.filter((i) => said[i] !== cloud.true[i]), right = seen.order.filter((i) => said[i] === cloud.true[i]);
    const [first, second, third] = box.querySelectorAll("canvas"), of = (classes) => [{ order: seen.order, colours: (i) => palette[classes[i]] }];
    paintPoints(first, cloud, seen, turned.tilt, of(cloud.true));
    paintPoints(second, cloud, seen, turned.tilt, of(said));
    // Errors lie over what is right: in the middle of a crown nobody would see them.
    paintPoints(third, cloud, seen, turned.tilt, [{ order: right, colours: () => pale }, { order: errors, colours: (i) => palette[cloud.true[i]] }]);
    byId(id + "-said").textContent = `${view.method}, seed ${view.seed}: ${count(errors.length)} of the ${count(said.length)} points shown are decided wrongly (${percent(errors.length / said.length)}).` + (cloud.whole > said.length ? ` They are an even choice of ${count(cloud.whole)}.` : "");
  }, [id]);

  const turn = (across, up) => {
    turned.turn += across;
    turned.tilt = Math.max(-1.5, Math.min(1.5, turned.tilt + up));
    draw(id);
  };
  const steps = { ArrowLeft: [0.12, 0], ArrowRight: [-0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] };
  for (const canvas of byId(id).querySelectorAll("canvas")) {
    canvas.addEventListener("keydown", (event) => {
      if (!steps[event.key]) return;
      event.preventDefault();
      turn(...steps[event.key]);
    });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) turn(event.movementX * 0.01, event.movementY * 0.01); });
  }
  new ResizeObserver(() => draw(id)).observe(byId(id));
});
