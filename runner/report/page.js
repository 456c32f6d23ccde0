"use strict";
const root = document.documentElement;
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});

const text = (row, column) => row.cells[column].textContent.trim();
const number = (said) => Number.parseFloat(said.replaceAll(",", ""));

// By numbers where all cells begin with one; empty cells come last, either way.
function order(rows, column, down) {
  const filled = rows.filter((row) => text(row, column) !== "");
  const empty = rows.filter((row) => text(row, column) === "");
  const numbers = filled.every((row) => Number.isFinite(number(text(row, column))));
  const compare = numbers
    ? (a, b) => number(text(a, column)) - number(text(b, column))
    : (a, b) => text(a, column).localeCompare(text(b, column), undefined, { numeric: true });
  filled.sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
  return [...filled, ...empty];
}

for (const block of document.querySelectorAll(".table")) {
  const table = block.querySelector("table");
  const body = table.tBodies[0];
  const given = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    // Up, down, and as it was.
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const next = now === "ascending" ? "descending" : now === "descending" ? null : "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) heading.setAttribute("aria-sort", next);
      body.append(...(next ? order(given, column, next === "descending") : given));
    });
  });
  const tools = block.querySelector(".tools");
  if (!tools) continue;
  tools.hidden = false;
  const words = tools.querySelector("input");
  const kind = tools.querySelector("select");
  const shown = tools.querySelector("output");
  const filter = () => {
    const wanted = words.value.toLowerCase();
    for (const row of given) {
      const named = row.textContent.toLowerCase().includes(wanted);
      row.hidden = !named || (kind && kind.value !== "*" && row.dataset.kind !== kind.value);
    }
    shown.textContent = `${given.filter((row) => !row.hidden).length} / ${given.length}`;
  };
  words.addEventListener("input", filter);
  if (kind) kind.addEventListener("change", filter);
  filter();
}
