// Tables are sorted by a click on a heading, and the evidence of claims is printed unfolded.
"use strict";
(() => {
  const SECONDS = {s: 1, min: 60, h: 3600, days: 86400};

  // The number that a cell begins with, durations in seconds; null for any other text.
  const numberIn = text => {
    const found = /^([-+]?[\d.]+(?:e[-+]?\d+)?)(?: (s|min|h|days)$)?/i.exec(text.replace("−", "-"));
    return found ? Number(found[1]) * (SECONDS[found[2]] || 1) : null;
  };

  const isBefore = (a, b) => a.localeCompare(b, undefined, {numeric: true});

  // Cells without a number, such as an undefined coefficient, stay at the end in either order.
  const sorted = (rows, place, direction) => {
    const cells = rows.map(row => row.cells[place].textContent.trim());
    const numbers = cells.map(numberIn);
    const byNumber = numbers.some(number => number !== null);
    const order = rows.map((_, index) => index).sort((i, j) => {
      if (!byNumber) return direction * isBefore(cells[i], cells[j]);
      if (numbers[i] === null || numbers[j] === null) {
        return (numbers[i] === null) - (numbers[j] === null);
      }
      return direction * (numbers[i] - numbers[j]);
    });
    return order.map(index => rows[index]);
  };

  const makeSortable = table => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const headings = [...table.tHead.rows[0].cells];
    if (original.length < 2) return;
    headings.forEach((heading, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const was = heading.getAttribute("aria-sort");
        headings.forEach(other => other.removeAttribute("aria-sort"));
        if (was === "descending") {  // a third click brings the original order back
          body.append(...original);
          return;
        }
        heading.setAttribute("aria-sort", was ? "descending" : "ascending");
        body.append(...sorted(original, place, was ? -1 : 1));
      });
    });
  };

  document.querySelectorAll("table").forEach(makeSortable);

  const opened = [];
  window.addEventListener("beforeprint", () => {
    opened.push(...document.querySelectorAll(".claims details:not([open])"));
    opened.forEach(one => { one.open = true; });
  });
  window.addEventListener("afterprint", () => {
    opened.splice(0).forEach(one => { one.open = false; });
  });
})();
