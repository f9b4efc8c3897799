"use strict";
// The leaderboard: sorting, the two epochs, what the cells show; the method chips; the copy button.
const boards = [...document.querySelectorAll(".board")];

function sortBoards(key, descending) {
  for (const board of boards) {
    const heads = [...board.querySelectorAll("thead th")];
    const column = heads.findIndex((head) => head.querySelector("button")?.dataset.key === key);
    if (column < 0) continue;
    const differences = document.body.classList.contains("show-difference");
    const body = board.querySelector("tbody");
    const text = key === "method";
    const value = (row) => {
      const cell = row.cells[column];
      const raw = differences && cell.dataset.d !== undefined ? cell.dataset.d : cell.dataset.v;
      return text ? raw : raw === "" ? null : Number(raw);
    };
    const rows = [...body.rows].map((row) => [value(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is missing stays at the end
      const order = text ? a.localeCompare(b) : a - b;
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
    heads.forEach((head, i) => {
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", i === column ? (descending ? "descending" : "ascending") : "none");
    });
  }
}

for (const button of document.querySelectorAll(".board thead button")) {
  button.addEventListener("click", () => {
    const now = button.closest("th").getAttribute("aria-sort");
    const lowFirst = "low" in button.dataset || ["rank", "method"].includes(button.dataset.key);
    sortBoards(button.dataset.key, now === "none" ? !lowFirst : now === "ascending");
  });
}

for (const input of document.querySelectorAll("input[name=epoch]")) {
  input.addEventListener("change", () => {
    state.epoch = input.value;
    document.body.dataset.epoch = input.value;
    for (const board of boards) board.hidden = board.dataset.epoch !== input.value;
    draw("epoch");
  });
}
for (const input of document.querySelectorAll("input[name=value]")) {
  input.addEventListener("change", () => document.body.classList.toggle("show-difference", input.value === "difference"));
}
byId("extra")?.addEventListener("change", (event) => document.body.classList.toggle("show-extra", event.target.checked));

const chips = [...document.querySelectorAll(".chip[data-method]")];
function paintChips() {
  for (const chip of chips) chip.setAttribute("aria-pressed", state.shown.has(Number(chip.dataset.method)));
  draw("methods");
}
for (const chip of chips) {
  chip.addEventListener("click", () => {
    const index = Number(chip.dataset.method);
    state.shown.has(index) ? state.shown.delete(index) : state.shown.add(index);
    paintChips();
  });
}
for (const chip of document.querySelectorAll(".chip[data-all]")) {
  chip.addEventListener("click", () => {
    state.shown = new Set(chip.dataset.all === "1" ? METHODS.keys() : []);
    paintChips();
  });
}

byId("copy")?.addEventListener("click", async (event) => {
  const source = byId(event.target.dataset.copy);
  let done = true;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Some browsers refuse the clipboard to a page from a disk: select the text and use the older way.
    getSelection().selectAllChildren(source);
    done = document.execCommand("copy");
  }
  event.target.textContent = done ? "Copied" : "Selected";
  setTimeout(() => { event.target.textContent = "Copy"; }, 1600);
});
