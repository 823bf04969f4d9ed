"use strict";
(() => {
  // Tables: a header's button sorts by its column; numbers come from data-value, everything else is text.
  const key = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  const compare = (a, b) => {
    const [left, right] = [typeof a === "number", typeof b === "number"];
    if (left && right) return a - b;
    if (left !== right) return left ? -1 : 1;
    return a.localeCompare(b);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => sign * compare(key(a, column), key(b, column)));
        body.append(...rows);
      });
    });
  }

  // Theme: what the system asks for, until the button is used.
  const root = document.documentElement;
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const button = document.getElementById("theme");
  button.hidden = false;

  // Maps. Colours of classes: Okabe and Ito's, told apart by most colour-blind readers, and two more.
  const CLASSES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d31", "#f0e442", "#7f7f7f", "#6a3d9a"];
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const ramp = (part) => {
    const place = part * (RAMP.length - 1);
    const low = Math.min(Math.floor(place), RAMP.length - 2);
    const mixed = RAMP[low].map((v, i) => Math.round(v + (RAMP[low + 1][i] - v) * (place - low)));
    return `rgb(${mixed.join(",")})`;
  };
  const element = (name, parent, text) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const colouring = (data, name) => {
    if (name === "") return { colour: (i) => CLASSES[data.is_target[i] ? 4 : 0], entries: [["background", CLASSES[0]], ["target", CLASSES[4]]] };
    const attribute = data.attributes.find((a) => a.name === name);
    const values = data.values[name];
    const undefinedColour = "#9aa4af";
    if (attribute.kind === "class") {
      const entries = attribute.classes.map((label, i) => [label, CLASSES[i % CLASSES.length]]);
      return { colour: (i) => (values[i] === null ? undefinedColour : entries[values[i]][1]), entries: [...entries, ["not defined", undefinedColour]] };
    }
    const known = values.filter((v) => v !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const part = (v) => (high > low ? (v - low) / (high - low) : 0.5);
    const entries = [0, 0.25, 0.5, 0.75, 1].map((p) => [(low + p * (high - low)).toPrecision(3), ramp(p)]);
    return { colour: (i) => (values[i] === null ? undefinedColour : ramp(part(values[i]))), entries: [...entries, ["not defined", undefinedColour]] };
  };
  const draw = (canvas, points, data, colour) => {
    const size = 2 * 170;
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d");
    const ends = [0, 1].map((axis) => points.map((p) => p[axis])).map((v) => [Math.min(...v), Math.max(...v)]);
    const place = (value, [low, high]) => 12 + (size - 24) * (high > low ? (value - low) / (high - low) : 0.5);
    points.forEach((point, i) => {
      context.beginPath();
      context.arc(place(point[0], ends[0]), size - place(point[1], ends[1]), 4.5, 0, 2 * Math.PI);
      context.globalAlpha = 0.85;
      if (data.is_target[i]) {
        context.fillStyle = colour(i);
        context.fill();
      } else {
        context.strokeStyle = colour(i);
        context.lineWidth = 2;
        context.stroke();
      }
    });
  };
  for (const block of document.querySelectorAll("details.maps")) {
    const data = JSON.parse(block.querySelector('script[type="application/json"]').textContent);
    const select = block.querySelector("select");
    const option = (value, text) => { element("option", select, text).value = value; };
    option("", "background or target");
    for (const attribute of data.attributes) option(attribute.name, `${attribute.name.replaceAll("_", " ")} (${attribute.space})`);
    const canvases = [];
    for (const [method, spaces] of Object.entries(data.methods)) {
      const figure = element("figure", block.querySelector(".plots"));
      const pair = element("div", figure);
      pair.className = "pair";
      for (const space of ["common", "salient"]) {
        const canvas = element("canvas", pair);
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `Map of the ${space} space of ${method}`);
        canvases.push([canvas, spaces[space].points]);
      }
      const shares = ["common", "salient"].map((s) => `${s} ${Math.round(100 * (spaces[s].explained[0] + spaces[s].explained[1]))} %`);
      element("figcaption", figure, `${method}: common left, salient right. Variance shown: ${shares.join(", ")}.`);
    }
    const redraw = () => {
      const { colour, entries } = colouring(data, select.value);
      const legend = block.querySelector(".legend");
      legend.replaceChildren();
      for (const [label, fill] of entries) {
        const item = element("li", legend);
        element("span", item).style.background = fill;
        item.append(label);
      }
      for (const [canvas, points] of canvases) draw(canvas, points, data, colour);
    };
    select.addEventListener("change", redraw);
    block.addEventListener("toggle", () => { if (block.open) redraw(); });
  }
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; });
})();
