"use strict";
// Sort the rows by the column whose heading is clicked: numbers by value, texts by letter, empty cells last.
const body = document.querySelector("#recordings tbody");
const headings = [...document.querySelectorAll("#recordings thead th")];
for (const [column, heading] of headings.entries()) {
  heading.querySelector("button")?.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.sort ?? "";
    const isNumber = heading.dataset.kind === "number";
    const compare = (a, b) => isNumber ? a - b : a.localeCompare(b, undefined, { numeric: true });
    const rows = [...body.rows].sort((first, second) => {
      const [a, b] = [key(first), key(second)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return down ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
  });
}
