// Draws the figures when they come into view, saves them, and sorts the tables. It fetches nothing.
(() => {
  "use strict";
  document.documentElement.classList.add("live-page");

  const button = (text, title, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", act);
    return made;
  };

  // ---- Figures ----
  const specOf = (figure) => JSON.parse(figure.querySelector("script.spec").textContent);
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: 1 };

  const draw = async (figure) => {
    const spec = specOf(figure);
    spec.width = "container";
    const holder = figure.querySelector(".live");
    try {
      figure.classList.add("drawn");
      await window.vegaEmbed(holder, spec, options);
    } catch (problem) {
      // The still picture stays: a figure that cannot move is better than none.
      figure.classList.remove("drawn");
      holder.replaceChildren();
      console.error(problem);
    }
  };

  const inPlainColours = (spec) => {
    const style = getComputedStyle(document.documentElement);
    const text = JSON.stringify(spec).replace(/var\((--[a-z-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
    return { ...JSON.parse(text), background: style.getPropertyValue("--card").trim() };
  };

  const save = async (figure, kind) => {
    const holder = document.createElement("div");
    const { view } = await window.vegaEmbed(holder, inPlainColours(specOf(figure)), options);
    const address =
      kind === "svg"
        ? "data:image/svg+xml;charset=utf-8," + encodeURIComponent(await view.toSVG())
        : await view.toImageURL("png", 2);
    view.finalize();
    const link = document.createElement("a");
    link.href = address;
    link.download = `${figure.dataset.name}.${kind}`;
    link.click();
  };

  const figures = document.querySelectorAll("figure.chart");
  if (figures.length && window.vegaEmbed) {
    const seen = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          seen.unobserve(target);
          draw(target);
        }
      },
      { rootMargin: "400px" },
    );
    for (const figure of figures) {
      const query = figure.querySelector(".query");
      for (const kind of ["svg", "png"]) {
        const made = button(kind.toUpperCase(), "Save this figure", () => save(figure, kind));
        figure.querySelector(".tools").insertBefore(made, query);
      }
      seen.observe(figure);
    }
  }

  // ---- Tables ----
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.querySelector(".missing")) return null;
    const data = cell.querySelector("data");
    return data ? Number(data.value) : cell.textContent.trim();
  };

  const sort = (table, column) => {
    const heading = table.tHead.rows[0].cells[column];
    const before = heading.getAttribute("aria-sort");
    const numeric = !heading.classList.contains("text");
    // Numbers start with the largest, texts with A; the third click restores the order of the page.
    const order = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
    const next = order[(order.indexOf(before) + 1) % 3];
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    if (next) heading.setAttribute("aria-sort", next);
    const sign = next === "descending" ? -1 : 1;
    const rows = [...table.tBodies[0].rows];
    rows.forEach((row, place) => (row.dataset.place ??= place));
    const plain = (one, other) => Number(one.dataset.place) - Number(other.dataset.place);
    rows.sort((one, other) => {
      if (!next) return plain(one, other);
      const [first, second] = [valueOf(one, column), valueOf(other, column)];
      if (first === null || second === null) return (first === null) - (second === null) || plain(one, other);
      const compared =
        typeof first === "number" && typeof second === "number"
          ? first - second
          : String(first).localeCompare(String(second), "en", { numeric: true });
      return sign * compared || plain(one, other);
    });
    table.tBodies[0].append(...rows);
  };

  for (const table of document.querySelectorAll("table")) {
    if (!table.tHead || table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const made = button("", "Sort by this column", () => sort(table, column));
      made.className = "sort";
      made.append(...heading.childNodes);
      heading.append(made);
    });
  }
})();
