// Drag a split along the sorted second eigenvector: both sides, both escape probabilities and the NCut follow at once.
// The data come through model.get(name), so the module serves as an anywidget as it serves inside an HTML output.

const STYLE = `
/* the theme lays HTML outputs on a light ground, also on a dark page; this figure needs none */
.cell_output .text_html:has(.walkcut-cut) { background: none !important; color: inherit !important; }
.walkcut-cut { --a: #0072b2; --b: #c04f00; --line: #6b7280; color: inherit; max-width: 46rem; margin: 0.5rem 0;
  font: inherit; text-align: left; }
html[data-theme="dark"] .walkcut-cut, body[data-jp-theme-light="false"] .walkcut-cut { --a: #56b4e9; --b: #f0a14a; --line: #9aa4b2; }
.walkcut-cut .drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0.75rem; }
.walkcut-cut canvas { display: block; width: 100%; height: auto; box-sizing: border-box; border: 1px solid var(--line);
  border-radius: 2px; cursor: pointer; touch-action: pan-y; }
.walkcut-cut svg { display: block; width: 100%; height: auto; cursor: ew-resize; touch-action: pan-y; user-select: none; }
.walkcut-cut svg:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.walkcut-cut text { fill: currentColor; font-size: 12px; }
.walkcut-cut .buttons { display: flex; flex-wrap: wrap; gap: 0.5rem; margin: 0.6rem 0 0; }
.walkcut-cut button { font: inherit; color: inherit; background: transparent; border: 1.5px solid var(--line);
  border-radius: 0.4rem; min-height: 44px; padding: 0 0.8rem; cursor: pointer; }
.walkcut-cut button:hover { border-color: currentColor; }
.walkcut-cut button:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.walkcut-cut .facts { margin: 0.5rem 0 0; min-height: 4.5em; font-variant-numeric: tabular-nums; }
.walkcut-cut .facts b:nth-of-type(1) { color: var(--a); }
.walkcut-cut .facts b:nth-of-type(2) { color: var(--b); }
`;

const LEVELS = 65535;
const words = (base64) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
};

function make(name, attributes = {}, parent = null, text = "") {
  const svg = ["svg", "g", "line", "circle", "rect", "text", "path"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// Left, right, and the heights of both panels, in the units of the drawing.
const BOX = { left: 34, right: 352, y: [24, 114], price: [146, 266] };

function render({ model, el }) {
  const [rows, columns] = model.get("grid");
  const [height, width] = model.get("size");
  const n = rows * columns;
  const order = words(model.get("order"));
  const y = words(model.get("y")).map((value) => value / LEVELS);
  const leaving = words(model.get("leaving")).map((value) => value / LEVELS);
  const entering = words(model.get("entering")).map((value) => value / LEVELS);
  const price = leaving.map((value, i) => value + entering[i]);
  const rank = new Array(n); // patch -> its place in the order
  order.forEach((patch, place) => { rank[patch] = place; });
  const best = model.get("best");
  let split = Math.max(1, Math.round(n / 20)); // a crumb to begin with: the reader finds the best one

  const root = make("section", { class: "walkcut-cut", "aria-label": "Drag a cut along the second eigenvector" }, el);
  make("style", {}, root, STYLE);
  const drawings = make("div", { class: "drawings" }, root);
  const canvas = make("canvas", { width, height, role: "img" }, drawings);
  const chart = make("svg", { viewBox: "0 0 360 290", role: "slider", tabindex: "0", "aria-valuemin": 1, "aria-valuemax": n - 1,
    "aria-label": "Number of patches on the first side. Arrow keys move the cut." }, drawings);
  const buttons = make("div", { class: "buttons" }, root);
  const facts = make("p", { class: "facts", "aria-live": "polite" }, root);

  const at = (place) => BOX.left + ((place - 0.5) / (n - 1)) * (BOX.right - BOX.left); // x of a number of patches
  const high = ([top, bottom], share) => bottom - share * (bottom - top);
  const top = Math.max(1, ...price);
  const path = (values, box, most, shift) =>
    values.map((value, i) => `${i ? "L" : "M"}${at(i + shift).toFixed(1)},${high(box, value / most).toFixed(1)}`).join("");

  make("text", { x: BOX.left, y: 14 }, chart, "patches, sorted by y");
  make("text", { x: BOX.left, y: 136 }, chart, "NCut (line), its two escapes (thin)");
  for (const box of [BOX.y, BOX.price]) {
    make("line", { x1: BOX.left, x2: BOX.left, y1: box[0], y2: box[1], stroke: "var(--line)" }, chart);
  }
  const zero = high(BOX.y, model.get("zero"));
  make("line", { x1: BOX.left, x2: BOX.right, y1: zero, y2: zero, stroke: "var(--line)", "stroke-dasharray": "2 4" }, chart);
  make("text", { x: BOX.left - 6, y: zero + 4, "text-anchor": "end" }, chart, "0");
  for (const tick of [0, 0.5, 1]) {
    const line = high(BOX.price, tick / top);
    make("line", { x1: BOX.left, x2: BOX.right, y1: line, y2: line, stroke: "var(--line)", opacity: tick ? 0.35 : 1 }, chart);
    make("text", { x: BOX.left - 6, y: line + 4, "text-anchor": "end" }, chart, String(tick));
  }
  const sides = ["--a", "--b"].map((colour) => make("path", { fill: "none", stroke: `var(${colour})`, "stroke-width": 3.5 }, chart));
  make("path", { d: path(leaving, BOX.price, top, 1), fill: "none", stroke: "var(--a)", "stroke-width": 1.2, "stroke-dasharray": "5 3" }, chart);
  make("path", { d: path(entering, BOX.price, top, 1), fill: "none", stroke: "var(--b)", "stroke-width": 1.2, "stroke-dasharray": "5 2 1 2" }, chart);
  make("path", { d: path(price, BOX.price, top, 1), fill: "none", stroke: "currentColor", "stroke-width": 2 }, chart);
  const peak = high(BOX.price, price[best - 1] / top);
  make("path", { d: `M${at(best) - 6},${BOX.price[1] + 12}L${at(best)},${BOX.price[1] + 3}L${at(best) + 6},${BOX.price[1] + 12}Z`,
    fill: "currentColor" }, chart);
  make("circle", { cx: at(best), cy: peak, r: 4, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }, chart);
  make("text", { x: at(best), y: BOX.price[1] + 23, "text-anchor": "middle" }, chart, "best");
  const bar = make("path", { stroke: "currentColor", "stroke-width": 2 }, chart);
  const grips = [0, 1].map(() => make("circle", { r: 6, fill: "currentColor" }, chart));

  const picture = new Image();
  picture.onload = () => draw();
  picture.src = model.get("photo");
  const stamp = document.createElement("canvas");
  [stamp.width, stamp.height] = [columns, rows];

  function tint() {
    const colours = [[0, 114, 178], [213, 94, 0]];
    const small = new ImageData(columns, rows);
    rank.forEach((place, patch) => small.data.set([...colours[place < split ? 0 : 1], 135], 4 * patch));
    stamp.getContext("2d").putImageData(small, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.filter = "grayscale(1)"; // where it is not supported the picture keeps its colours
    context.drawImage(picture, 0, 0, width, height);
    context.filter = "none";
    context.imageSmoothingEnabled = false;
    context.drawImage(stamp, 0, 0, width, height);
    border(context);
  }

  // a line between neighbours on different sides
  function border(context) {
    const [dx, dy] = [width / columns, height / rows];
    context.beginPath();
    for (let patch = 0; patch < n; patch += 1) {
      const [r, c] = [Math.floor(patch / columns), patch % columns];
      const first = rank[patch] < split;
      if (c + 1 < columns && (rank[patch + 1] < split) !== first) {
        context.moveTo((c + 1) * dx, r * dy);
        context.lineTo((c + 1) * dx, (r + 1) * dy);
      }
      if (r + 1 < rows && (rank[patch + columns] < split) !== first) {
        context.moveTo(c * dx, (r + 1) * dy);
        context.lineTo((c + 1) * dx, (r + 1) * dy);
      }
    }
    context.strokeStyle = "white";
    context.lineWidth = 2;
    context.stroke();
  }

  function draw() {
    tint();
    const x = at(split);
    bar.setAttribute("d", [BOX.y, BOX.price].map(([from, to]) => `M${x},${from - 2}V${to}`).join(""));
    grips.forEach((grip) => grip.setAttribute("cx", x));
    grips[0].setAttribute("cy", high(BOX.y, y[split - 1]));
    grips[1].setAttribute("cy", high(BOX.price, price[split - 1] / top));
    sides[0].setAttribute("d", path(y.slice(0, split), BOX.y, 1, 0.5));
    sides[1].setAttribute("d", path(y.slice(split), BOX.y, 1, split + 0.5));
    const percent = (value) => `${(100 * value).toFixed(1)}%`;
    const [out, back, sum] = [leaving[split - 1], entering[split - 1], price[split - 1]];
    const most = price[best - 1];
    const verdict = split === best ? "This is the best of all splits." : `The best split, at ${best}, costs ${most.toFixed(3)}.`;
    facts.replaceChildren();
    make("b", {}, facts, `${split} patch${split > 1 ? "es" : ""} (blue)`);
    facts.append(` lose${split > 1 ? "" : "s"} ${percent(out)} of the walkers at each step, `);
    make("b", {}, facts, `${n - split} (orange)`);
    facts.append(` lose${n - split > 1 ? "" : "s"} ${percent(back)}. `);
    make("strong", {}, facts, `NCut ${sum.toFixed(3)}.`);
    facts.append(` ${verdict}`);
    canvas.setAttribute("aria-label", `The photograph with both sides of the cut. ${facts.textContent}`);
    chart.setAttribute("aria-valuenow", split);
    chart.setAttribute("aria-valuetext", `${split} patches, NCut ${sum.toFixed(3)}`);
  }

  function choose(size) {
    split = Math.max(1, Math.min(n - 1, Math.round(size)));
    draw();
  }

  // while a finger or a button is down the pointer belongs to the drawing, even outside it
  function follow(node, size) {
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      choose(size(event, node.getBoundingClientRect()));
    });
    node.addEventListener("pointermove", (event) => {
      if (node.hasPointerCapture(event.pointerId)) choose(size(event, node.getBoundingClientRect()));
    });
  }
  follow(chart, (event, box) => {
    const x = ((event.clientX - box.left) / box.width) * 360;
    return 0.5 + ((x - BOX.left) / (BOX.right - BOX.left)) * (n - 1);
  });
  follow(canvas, (event, box) => { // a patch of the picture: the split just behind it in the order
    const cell = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    const row = cell((event.clientY - box.top) / box.height, rows);
    return 1 + rank[row * columns + cell((event.clientX - box.left) / box.width, columns)];
  });
  chart.addEventListener("keydown", (event) => {
    const far = Math.max(1, Math.round(n / 20));
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -far, PageUp: far, Home: -n, End: n };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(split + steps[event.key]);
  });
  const choices = { "best split": best, "by sign": model.get("sign"), "by halves": Math.floor(n / 2), "a crumb": 1 };
  for (const [name, size] of Object.entries(choices)) {
    make("button", { type: "button" }, buttons, name).addEventListener("click", () => choose(size));
  }
  draw();
}

export default { render };
