// Draws the points of each sweep on the page as the reader chooses them.
//
// Names and values are anybody's: they enter the page as text content only, and the plotting
// library, which takes <b> and the like in a text for formatting, gets them through plotText.
"use strict";
(() => {
  const MOST_LEVELS = 8;  // different numbers that are told apart one by one; more are a scale
  const MOST_PANELS = 12;
  const MOST_LISTED = 24;  // entries of a legend
  const LONGEST = 60;  // letters of a text within the plot; the whole text is below it on a click
  const NARROW = 560;
  const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star"];
  const VIRIDIS = [
    [68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
    [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37],
  ];

  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const isPrinted = matchMedia("print");

  const plotText = text => {
    const shown = String(text);
    const short = shown.length > LONGEST ? `${shown.slice(0, LONGEST - 1)}…` : shown;
    return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  };

  const told = value => value === null ? "none" : String(value);

  const element = (tag, text, ...children) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  };

  // A color of the scale: its dark end is not used on dark ground, its light end not on light.
  const shade = (share, dark) => {
    const [low, high] = dark ? [0.4, 1] : [0, 0.8];
    const at = (low + share * (high - low)) * (VIRIDIS.length - 1);
    const below = Math.min(Math.floor(at), VIRIDIS.length - 2);
    const mixed = VIRIDIS[below].map(
      (part, k) => Math.round(part + (at - below) * (VIRIDIS[below + 1][k] - part)));
    return `rgb(${mixed.join(",")})`;
  };

  const ordered = values => [...new Set(values)].sort((a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number") return a - b;
    return a.localeCompare(b, undefined, {numeric: true});
  });

  const extent = values => {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return [low, high];
  };

  // Sorts rows into panels: by value, numbers of many values into four parts of equal size.
  const panelsOf = (column, rows) => {
    if (!column || !rows.length) return [{title: "", holds: () => true}];
    const levels = ordered(rows.map(row => column.values[row]));
    const equals = level => ({
      title: `${column.name} = ${told(level)}`,
      holds: row => column.values[row] === level,
    });
    if (levels.length <= MOST_PANELS) return levels.map(equals);
    if (!column.number) {
      const kept = levels.slice(0, MOST_PANELS - 1);
      const rest = new Set(levels.slice(MOST_PANELS - 1));
      const others = `${rest.size} other values of ${column.name}`;
      return [...kept.map(equals), {title: others, holds: row => rest.has(column.values[row])}];
    }
    const numbers = rows.map(row => column.values[row]).filter(value => value !== null);
    numbers.sort((a, b) => a - b);
    const rough = value => Number(value.toPrecision(3));
    const edges = [0, 1, 2, 3, 4].map(k => numbers[Math.round(k * (numbers.length - 1) / 4)]);
    return [0, 1, 2, 3].map(k => ({
      title: `${column.name} ${rough(edges[k])} to ${rough(edges[k + 1])}`,
      holds: row => {
        const value = column.values[row];
        return value !== null && (k === 0 || value > edges[k]) && value <= edges[k + 1];
      },
    })).filter(panel => rows.some(panel.holds));
  };

  // Sorts rows by color: one group for each value, or a single one with a scale of numbers.
  const colorsOf = (column, allRows, rows, dark) => {
    if (!column) return [{name: "", holds: () => true, color: PALETTE[0], symbol: SYMBOLS[0]}];
    const levels = ordered(allRows.map(row => column.values[row]));
    const group = (level, color, symbol) => ({
      name: told(level), holds: row => column.values[row] === level, color, symbol});
    if (!column.number) {
      return levels.map((level, k) => group(
        level, PALETTE[k % PALETTE.length],
        SYMBOLS[Math.floor(k / PALETTE.length) % SYMBOLS.length]));
    }
    const numbers = levels.filter(level => level !== null);
    const without = levels.length > numbers.length ? [group(null, "#888888", "circle-open")] : [];
    if (numbers.length <= MOST_LEVELS) {
      const share = k => k / Math.max(1, numbers.length - 1);
      const groups = numbers.map((level, k) => group(level, shade(share(k), dark), SYMBOLS[0]));
      return [...groups, ...without];
    }
    const found = extent(rows.map(row => column.values[row]));
    const [low, high] = found[0] < found[1] ? found : [found[0] - 0.5, found[0] + 0.5];
    const scale = VIRIDIS.map((_, k) => k / (VIRIDIS.length - 1)).map(at => [at, shade(at, dark)]);
    const holds = row => column.values[row] !== null;
    return [{name: "", holds, symbol: SYMBOLS[0], scale, low, high}, ...without];
  };

  // Returns a function from a row to the diameter of its point.
  const sizesOf = (column, rows) => {
    if (!column) return () => 9;
    const levels = column.number ? [] : ordered(rows.map(row => column.values[row]));
    const rank = new Map(levels.map((level, k) => [level, k]));
    const amount = row => column.number ? column.values[row] : rank.get(column.values[row]);
    const [low, high] = extent(rows.map(amount));
    return row => {
      const value = amount(row);
      if (value === null) return 4;
      const share = high > low ? (value - low) / (high - low) : 0.5;
      return Math.sqrt(36 + share * (22 ** 2 - 36));  // areas grow evenly
    };
  };

  class Explorer {
    constructor(place) {
      this.place = place;
      this.data = JSON.parse(place.querySelector("script").textContent);
      this.plot = place.querySelector(".plot");
      this.controls = place.querySelector("form").elements;
      this.rows = this.data.run.map((_, row) => row);
      this.fill();
      place.hidden = false;
      this.draw();
      this.plot.on("plotly_click", event => this.choose(event.points[0].customdata));
      place.addEventListener("input", event => {
        if (["x", "y"].includes(event.target.name)) this.suggestDiagonal();
        this.draw();
      });
      place.querySelector("form").addEventListener("submit", event => event.preventDefault());
      isDark.addEventListener("change", () => this.draw());
      isPrinted.addEventListener("change", () => this.draw());
      new ResizeObserver(() => {
        if (this.plot.clientWidth !== this.width) this.draw();
      }).observe(this.plot);
    }

    fill() {
      const {columns, axes, start, epochs} = this.data;
      const swept = columns.flatMap((_, k) => axes.includes(k) ? [k] : []);
      const of = wanted => columns.flatMap((column, k) => wanted(column) ? [k] : []);
      const groups = {
        "swept": swept,
        "other settings": of(c => c.group === "settings").filter(k => !axes.includes(k)),
        "progress": of(c => c.group === "progress"),
        "metrics": of(c => c.group === "metrics" && !c.name.includes("/")),
        "metrics by part": of(c => c.group === "metrics" && c.name.includes("/")),
      };
      const offer = (name, chosen, wanted, none) => {
        const select = this.controls[name];
        if (none) select.append(new Option(none, ""));
        for (const [title, places] of Object.entries(groups)) {
          const options = places.filter(k => wanted(columns[k]))
            .map(k => new Option(columns[k].name, k, false, k === chosen));
          if (!options.length) continue;
          const group = element("optgroup", "", ...options);
          group.label = title;
          select.append(group);
        }
      };
      offer("x", start.x, column => column.number);
      offer("y", start.y, column => column.number);
      for (const name of ["color", "size", "panel"]) {
        offer(name, name === "color" ? start.color : null, () => true, "none");
      }
      this.suggestDiagonal();
      const slider = this.controls.epoch;
      slider.max = epochs.length - 1;
      slider.value = epochs.length - 1;
      for (const one of this.place.querySelectorAll(".by-epoch")) one.hidden = epochs.length < 2;
    }

    // The line y = x says something where both estimate the same, not of any two columns.
    suggestDiagonal() {
      const {x, y, diagonal} = this.data.start;
      const shown = [this.controls.x, this.controls.y].map(one => Number(one.value));
      this.controls.diagonal.checked = diagonal && shown.includes(x) && shown.includes(y);
    }

    column(name) {
      const chosen = this.controls[name].value;
      return chosen === "" ? null : this.data.columns[chosen];
    }

    // Draws all anew: what is there is replaced, not added to.
    draw() {
      const {controls, data} = this;
      const [x, y, color, size, panel] = ["x", "y", "color", "size", "panel"].map(
        name => this.column(name));
      const isTime = column => column !== null && column.group === "progress" && column.number;
      const overTime = [x, y].some(isTime);
      const needsAll = overTime || isTime(panel);
      const atAll = needsAll || controls.all.checked || data.epochs.length < 2;
      const epoch = Number(controls.epoch.value);
      controls.epoch.disabled = atAll;
      controls.all.disabled = needsAll;
      const label = atAll && data.epochs.length > 1 ? "all" : `${data.epochs[epoch]}`;
      controls.told.value = label;
      controls.epoch.setAttribute("aria-valuetext", label);

      const lines = {x: controls.logx.checked, y: controls.logy.checked};
      const there = row => x.values[row] !== null && y.values[row] !== null;
      const fits = row => (!lines.x || x.values[row] > 0) && (!lines.y || y.values[row] > 0);
      const now = atAll ? this.rows : this.rows.filter(row => data.epoch[row] === epoch);
      const measured = now.filter(there);
      const rows = measured.filter(fits);
      const always = this.rows.filter(there).filter(fits);
      const steady = controls.steady.checked;

      const look = this.look();
      const compared = steady ? always : rows;
      const panels = panelsOf(panel, compared);
      const colors = colorsOf(color, this.rows, compared, look.dark);
      const sizeOf = sizesOf(size, compared);
      const traces = [];
      const listed = new Set();
      panels.forEach((one, k) => {
        const axes = {xaxis: `x${k ? k + 1 : ""}`, yaxis: `y${k ? k + 1 : ""}`};
        const inside = rows.filter(one.holds);
        // Without a trace, if only an empty one, there would be no panel.
        traces.push({...axes, uid: `courses${k}`, ...this.courses(overTime ? inside : [], x, y, look)});
        colors.forEach((group, g) => {
          const own = inside.filter(group.holds);
          if (!own.length) return;
          if (size) own.sort((a, b) => sizeOf(b) - sizeOf(a));  // small ones are not hidden
          traces.push({
            ...axes, uid: `points${k}-${g}`,
            ...this.points(own, {x, y, color, size, group, sizeOf, look}),
            legendgroup: group.name,
            showlegend: !group.scale && !listed.has(group.name),
          });
          listed.add(group.name);
        });
      });
      const layout = this.layout({x, y, color, panels, colors, lines, look, compared});
      Plotly.react(this.plot, traces, layout, {
        displaylogo: false, doubleClick: "reset",
        // Named one by one: by itself the library offers to send the plot to its makers.
        modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
      });
      this.say({rows, measured, now, size, color, colors, label});
    }

    look() {
      const style = getComputedStyle(document.documentElement);
      const of = name => style.getPropertyValue(`--${name}`).trim();
      this.width = this.plot.clientWidth;
      return {
        dark: isDark.matches && !isPrinted.matches,
        narrow: this.width < NARROW,
        text: of("text"), soft: of("soft"), line: of("line"), back: of("back"), card: of("card"),
      };
    }

    points(rows, {x, y, color, size, group, sizeOf, look}) {
      const scaled = {color: rows.map(row => color?.values[row]), coloraxis: "coloraxis"};
      return {
        type: "scatter", mode: "markers", name: plotText(group.name),
        x: rows.map(row => x.values[row]), y: rows.map(row => y.values[row]),
        customdata: rows, hoverinfo: "text", cliponaxis: false,
        text: rows.map(row => this.hover(row, [x, y, color, size])),
        marker: {
          ...(group.scale ? scaled : {color: group.color}), symbol: group.symbol, size: rows.map(sizeOf),
          opacity: 0.85, line: {width: 0.6, color: look.soft},
        },
      };
    }

    // A thin line through the points of each run.
    courses(rows, x, y, look) {
      const byRun = new Map();
      for (const row of rows) {
        const run = this.data.run[row];
        if (!byRun.has(run)) byRun.set(run, []);
        byRun.get(run).push(row);
      }
      const joined = [null, ...byRun.values()].flatMap(own => own ? [...own, null] : [null]);
      const along = column => joined.map(row => row === null ? null : column.values[row]);
      return {
        type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false,
        x: along(x), y: along(y), line: {width: 0.7, color: look.soft},
      };
    }

    // The epoch of a row; where trainings end at epochs of their own, with its number.
    when(row) {
      const {columns, epochs, epoch} = this.data;
      const label = epochs[epoch[row]];
      const number = columns.find(column => column.group === "progress").values[row];
      return label === "end" ? `${number}, its last` : label;
    }

    hover(row, shown) {
      const {columns, axes, names, run} = this.data;
      const swept = axes.map(k => columns[k]);
      const rest = [...new Set(shown)].filter(column => column && !swept.includes(column));
      const line = column => `${plotText(column.name)} = ${plotText(told(column.values[row]))}`;
      return [
        `<b>${plotText(names[run[row]])}</b>`,
        ...swept.slice(0, MOST_PANELS).map(line),
        `epoch ${plotText(this.when(row))}`,
        ...rest.filter(column => column.group !== "progress").map(line),
      ].join("<br>");
    }

    layout({x, y, color, panels, colors, lines, look, compared}) {
      const most = look.narrow ? 1 : Math.max(1, Math.floor(this.width / 280));
      const down = Math.ceil(panels.length / most);
      const across = Math.ceil(panels.length / down);
      const each = down > 1 ? 210 : (look.narrow ? 330 : 400);
      const isListed = color !== null && colors.length <= MOST_LISTED;
      const [top, bottom] = [30, look.narrow && color ? 120 : 56];
      const height = down * each + top + bottom;
      const gap = {x: 0.05, y: down > 1 ? 44 / (height - top - bottom) : 0};
      const layout = {
        // Zoom, and what the legend hides, stay while the epoch changes.
        uirevision: ["x", "y", "color", "panel", "logx", "logy"].map(
          name => this.controls[name].checked ?? this.controls[name].value).join(),
        width: this.width, height, margin: {l: 64, r: 16, t: top, b: bottom},
        paper_bgcolor: look.back, plot_bgcolor: look.back, hovermode: "closest",
        font: {color: look.text, size: 13, family: getComputedStyle(document.body).fontFamily},
        hoverlabel: {
          align: "left", bgcolor: look.card, bordercolor: look.soft, font: {color: look.text},
        },
        modebar: {color: look.line, activecolor: look.soft, bgcolor: "rgba(0,0,0,0)"},
        showlegend: isListed, annotations: [], shapes: [],
        legend: {
          title: {text: color ? plotText(color.name) : ""}, itemsizing: "constant",
          ...(look.narrow ? {orientation: "h", y: -60 / (height - top - bottom), yanchor: "top"} : {}),
        },
      };
      const scaled = colors.find(group => group.scale);
      if (scaled) {
        layout.coloraxis = {
          cmin: scaled.low, cmax: scaled.high, colorscale: scaled.scale,
          colorbar: {
            title: {text: plotText(color.name), side: look.narrow ? "top" : "right"},
            orientation: look.narrow ? "h" : "v", thickness: 12, outlinewidth: 0, yanchor: "top",
            ...(look.narrow
              ? {y: -70 / (height - top - bottom)}
              : {y: 1, lenmode: "pixels", len: Math.min(height - top - bottom, 340)}),
          },
        };
      }
      const range = (column, log) => {
        const within = extent(compared.map(row => column.values[row]));
        if (within[0] > within[1]) return null;
        const [low, high] = within.map(value => log ? Math.log10(value) : value);
        const edge = 0.06 * (high - low) || 0.06 * Math.abs(low) || 0.5;
        return [low - edge, high + edge];
      };
      const ranges = {x: range(x, lines.x), y: range(y, lines.y)};
      const decades = name => ranges[name] ? ranges[name][1] - ranges[name][0] : 0;
      const axis = name => ({
        type: lines[name] ? "log" : "linear", range: ranges[name] || [0, 1], gridcolor: look.line,
        zerolinecolor: look.line, linecolor: look.soft, tickcolor: look.soft, ticks: "outside",
        showline: true, automargin: true, exponentformat: "power", minexponent: 4,
        ...(lines[name] && decades(name) > 1 && decades(name) < 5 ? {dtick: "D2"} : {}),
      });
      // The frame is that of the points: the line crosses it, or is outside.
      const ends = ["x", "y"].flatMap(
        name => (ranges[name] || []).map(end => lines[name] ? 10 ** end : end));
      const diagonal = this.controls.diagonal.checked && ends.length ? extent(ends) : null;
      panels.forEach((panel, k) => {
        const [column, row] = [k % across, Math.floor(k / across)];
        const wide = (1 - gap.x * (across - 1)) / across;
        const high = (1 - gap.y * (down - 1)) / down;
        const left = column * (wide + gap.x);
        const upper = 1 - row * (high + gap.y);
        const suffix = k ? k + 1 : "";
        const isLowest = k + across >= panels.length;
        layout[`xaxis${suffix}`] = {
          ...axis("x"), domain: [left, left + wide], anchor: `y${suffix}`,
          ...(k ? {matches: "x"} : {}), showticklabels: isLowest,
          title: {text: isLowest ? plotText(x.name) : "", standoff: 8},
        };
        layout[`yaxis${suffix}`] = {
          ...axis("y"), domain: [Math.max(0, upper - high), upper], anchor: `x${suffix}`,
          ...(k ? {matches: "y"} : {}), showticklabels: column === 0,
          title: {text: column === 0 ? plotText(y.name) : "", standoff: 8},
        };
        if (panel.title) {
          layout.annotations.push({
            text: plotText(panel.title), showarrow: false, xref: "paper", yref: "paper",
            x: left, y: upper, xanchor: "left", yanchor: "bottom", font: {size: 12},
          });
        }
        if (diagonal) {
          layout.shapes.push({
            type: "line", layer: "below", xref: `x${suffix}`, yref: `y${suffix}`,
            x0: diagonal[0], y0: diagonal[0], x1: diagonal[1], y1: diagonal[1],
            line: {color: look.soft, width: 1, dash: "dash"},
          });
        }
      });
      return layout;
    }

    // Says below the plot what it does not show by itself.
    say({rows, measured, now, size, color, colors, label}) {
      const lacking = now.length - measured.length;
      const beyond = measured.length - rows.length;
      const parts = [
        `${rows.length} point${rows.length === 1 ? "" : "s"}`,
        this.data.epochs.length > 1 ? (label === "all" ? "all epochs" : `epoch: ${label}`) : "",
        lacking ? `${lacking} without a value` : "",
        beyond ? `${beyond} not above zero, which a logarithmic axis has no place for` : "",
        size ? `larger points: larger ${size.name}` : "",
        color && colors.length > MOST_LISTED
          ? `${colors.length} values of ${color.name}: hover tells them` : "",
      ];
      this.place.querySelector(".status").textContent = `${parts.filter(Boolean).join("; ")}.`;
    }

    // Shows the run of a point below the plot.
    choose(row) {
      const {ids, names, run, columns, axes, links} = this.data;
      const [id, name] = [ids[run[row]], names[run[row]]];
      const shown = [...new Set([
        ...axes.map(k => columns[k]), this.column("x"), this.column("y"), this.column("color"),
        this.column("size"), this.column("panel")])].filter(Boolean);
      const facts = shown.filter(column => column.name !== "epoch").map(
        column => [column.name, told(column.values[row])]);
      facts.push(["epoch", this.when(row)]);
      const list = element("dl", "");
      for (const [term, value] of facts) list.append(element("dt", term), element("dd", value));
      const where = element("p", "");
      if (id && links.address) {
        const link = element("a", "Open the run in MLflow");
        link.href = links.address + encodeURIComponent(id);
        link.target = "_blank";
        link.rel = "noopener noreferrer";
        where.append(link);
      } else if (id) {
        where.append("Run id ", element("code", id));
        if (links.command) {
          where.append(". ", element("code", links.command), " opens the sweep in MLflow.");
        }
      }
      const box = this.place.querySelector(".chosen");
      box.replaceChildren(element("strong", name), list, where);
      box.hidden = false;
    }
  }

  for (const place of document.querySelectorAll(".explorer")) new Explorer(place);
})();
