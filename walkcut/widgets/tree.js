// One slider prunes a tree of cuts; a block of the tree lights up its region, a point of the picture its block.
// The data come through model.get(name), so the module serves as an anywidget as it serves inside an HTML output.

const STYLE = `
/* the theme lays HTML outputs on a light ground, also on a dark page; this figure needs none */
.cell_output .text_html:has(.walkcut-tree) { background: none !important; color: inherit !important; }
.walkcut-tree { --line: #6b7280; --low: #b6bcc6; --edge: #ffffff; color: inherit; max-width: 46rem; margin: 0.5rem 0;
  font: inherit; text-align: left; }
html[data-theme="dark"] .walkcut-tree, body[data-jp-theme-light="false"] .walkcut-tree { --line: #9aa4b2; --low: #59616d; --edge: #14181e; }
.walkcut-tree .drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0.75rem; }
.walkcut-tree canvas { display: block; width: 100%; height: auto; box-sizing: border-box; border: 1px solid var(--line);
  border-radius: 2px; cursor: pointer; touch-action: pan-y; }
.walkcut-tree svg { display: block; width: 100%; height: auto; cursor: pointer; touch-action: pan-y; user-select: none; }
.walkcut-tree svg:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.walkcut-tree text { fill: currentColor; font-size: 12px; }
.walkcut-tree .level { display: flex; flex-wrap: wrap; align-items: center; gap: 0.3rem 0.75rem; margin: 0 0 0.6rem; }
.walkcut-tree label { flex: 1 1 14rem; display: flex; align-items: center; gap: 0.6rem; min-height: 44px; }
.walkcut-tree input { flex: 1; min-width: 6rem; height: 44px; accent-color: #0072b2; cursor: pointer; }
.walkcut-tree output { font-variant-numeric: tabular-nums; font-weight: 600; min-width: 6.5em; }
.walkcut-tree .facts { margin: 0.5rem 0 0; min-height: 4.5em; font-variant-numeric: tabular-nums; }
`;

const LEVELS = 65535;
const COLOURS = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [70, 70, 70]];
const BOX = { left: 30, right: 354, top: 22, bottom: 244 }; // in the units of the drawing

const words = (base64) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
};

function make(name, attributes = {}, parent = null, text = "") {
  const svg = ["svg", "g", "line", "rect", "text", "title"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function render({ model, el }) {
  const [rows, columns] = model.get("grid");
  const [height, width] = model.get("size");
  const n = rows * columns;
  const [order, start, stop, left, right] = ["order", "start", "stop", "left", "right"].map((name) => words(model.get(name)));
  const ncut = words(model.get("ncut")).map((value) => (2 * value) / LEVELS);
  const highest = model.get("highest");
  const nodes = start.map((_, node) => node);
  const leaf = (node) => left[node] === LEVELS;
  let threshold = model.get("threshold");
  let chosen = -1;

  // parents come before their children: one pass down, one pass up
  const parent = nodes.map(() => -1);
  const from = nodes.map(() => 0); // the threshold from which on a node is a part
  const until = ncut.slice(); // and from which on it is split
  const colour = nodes.map(() => 0);
  for (const node of nodes) {
    if (leaf(node)) until[node] = Infinity;
    else {
      if (parent[node] >= 0) until[node] = Math.max(until[node], until[parent[node]]);
      for (const child of [left[node], right[node]]) { parent[child] = node; from[child] = until[node]; }
    }
  }
  let used = 1; // the larger part keeps its parent's colour, the other takes the next one
  const splits = nodes.filter((node) => !leaf(node)).sort((a, b) => until[a] - until[b] || a - b);
  for (const node of splits) {
    const [a, b] = [left[node], right[node]];
    const [large, small] = stop[a] - start[a] >= stop[b] - start[b] ? [a, b] : [b, a];
    [colour[large], colour[small]] = [colour[node], used % COLOURS.length];
    used += 1;
  }
  // crumbs are drawn wider than they are, so that a finger finds them
  const wide = nodes.map(() => 0);
  for (const node of [...nodes].reverse()) {
    wide[node] = leaf(node) ? stop[node] - start[node] + n / 100 : wide[left[node]] + wide[right[node]];
  }
  const x = nodes.map(() => BOX.left);
  for (const node of nodes) {
    if (!leaf(node)) [x[left[node]], x[right[node]]] = [x[node], x[node] + at(wide[left[node]])];
  }
  function at(amount) { return (amount / wide[0]) * (BOX.right - BOX.left); }
  const y = (value) => BOX.bottom - (Math.min(value, highest) / highest) * (BOX.bottom - BOX.top);

  const root = make("section", { class: "walkcut-tree", "aria-label": "Prune a tree of cuts" }, el);
  make("style", {}, root, STYLE);
  const level = make("div", { class: "level" }, root);
  const label = make("label", {}, level, "Threshold");
  const slider = make("input", { type: "range", min: 0, max: highest, step: 0.005, value: threshold }, label);
  const count = make("output", {}, level);
  const drawings = make("div", { class: "drawings" }, root);
  const canvas = make("canvas", { width, height, role: "img" }, drawings);
  const chart = make("svg", { viewBox: "0 0 360 262", role: "group", tabindex: "0", "aria-roledescription": "tree",
    "aria-label": "The tree. Arrow keys move along its branches: up to a part, down to the whole, left and right to neighbours." }, drawings);
  const facts = make("p", { class: "facts", "aria-live": "polite" }, root);

  make("text", { x: 4, y: 13 }, chart, "NCut");
  for (let tick = 0; tick <= highest + 1e-9; tick += 0.2) {
    make("line", { x1: BOX.left - 4, x2: BOX.right, y1: y(tick), y2: y(tick), stroke: "var(--line)", opacity: 0.35 }, chart);
    make("text", { x: BOX.left - 7, y: y(tick) + 4, "text-anchor": "end" }, chart, tick.toFixed(1));
  }
  make("text", { x: (BOX.left + BOX.right) / 2, y: 258, "text-anchor": "middle" }, chart, "patches");
  const blocks = nodes.map((node) => make("rect", { x: x[node], width: Math.max(at(wide[node]), 0.5), y: y(until[node]),
    height: Math.max(y(from[node]) - y(until[node]), 0), stroke: "var(--edge)", "stroke-width": 0.7 }, chart));
  const frame = make("rect", { fill: "none", stroke: "currentColor", "stroke-width": 3, visibility: "hidden" }, chart);
  const line = make("line", { x1: BOX.left, x2: BOX.right, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "6 4" }, chart);

  const picture = new Image();
  picture.onload = () => draw();
  picture.src = model.get("photo");
  const stamp = document.createElement("canvas");
  [stamp.width, stamp.height] = [columns, rows];

  const segments = () => nodes.filter((node) => from[node] <= threshold && until[node] > threshold);
  const inside = (node, place) => node >= 0 && start[node] <= place && place < stop[node];
  const owner = new Array(n).fill(0); // patch -> its segment

  function draw() {
    const parts = segments();
    for (const node of parts) for (let place = start[node]; place < stop[node]; place += 1) owner[order[place]] = node;
    paint();
    for (const node of nodes) {
      const above = until[node] > threshold; // as in the book's figures: grey below the line
      const segment = above ? parts.find((part) => inside(part, start[node])) : -1;
      blocks[node].setAttribute("fill", above ? `rgb(${COLOURS[colour[segment]].join(" ")})` : "var(--low)");
    }
    line.setAttribute("y1", y(threshold));
    line.setAttribute("y2", y(threshold));
    frame.setAttribute("visibility", chosen < 0 ? "hidden" : "visible");
    if (chosen >= 0) for (const name of ["x", "y", "width", "height"]) frame.setAttribute(name, blocks[chosen].getAttribute(name));
    count.textContent = `${threshold.toFixed(3)}: ${parts.length} segment${parts.length > 1 ? "s" : ""}`;
    slider.value = threshold;
    slider.setAttribute("aria-valuetext", count.textContent);
    tell(parts);
  }

  function tell(parts) {
    const share = (node) => `${(100 * (stop[node] - start[node]) / n).toFixed(0)}% of the picture`;
    if (chosen < 0) {
      const next = splits.find((node) => until[node] > threshold);
      facts.textContent = next === undefined ? "Every split in the drawing is taken. Point at a block or at the picture."
        : `The next split comes at ${until[next].toFixed(3)}. Point at a block, or at the picture, to see a region.`;
    } else {
      const own = leaf(chosen) ? `It is cut by no threshold up to ${highest.toFixed(2)}.`
        : ncut[chosen] < until[chosen] ? `Its own cut costs ${ncut[chosen].toFixed(3)}, less than a cut above it: it comes at ${until[chosen].toFixed(3)} with that one.`
          : `Its own cut costs ${ncut[chosen].toFixed(3)}.`;
      const since = chosen === 0 ? "The whole picture." : `This region, ${share(chosen)}, appears at ${from[chosen].toFixed(3)}.`;
      facts.textContent = `${since} ${own}`;
    }
    canvas.setAttribute("aria-label", `The photograph in ${parts.length} segments. ${facts.textContent}`);
  }

  function paint() {
    const small = new ImageData(columns, rows);
    order.forEach((patch, place) => {
      const lit = chosen < 0 || inside(chosen, place);
      small.data.set(lit ? [...COLOURS[colour[owner[patch]]], 140] : [20, 20, 20, 190], 4 * patch);
    });
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

  function border(context) {
    const [dx, dy] = [width / columns, height / rows];
    context.beginPath();
    for (let patch = 0; patch < n; patch += 1) {
      const [r, c] = [Math.floor(patch / columns), patch % columns];
      if (c + 1 < columns && owner[patch + 1] !== owner[patch]) {
        context.moveTo((c + 1) * dx, r * dy);
        context.lineTo((c + 1) * dx, (r + 1) * dy);
      }
      if (r + 1 < rows && owner[patch + columns] !== owner[patch]) {
        context.moveTo(c * dx, (r + 1) * dy);
        context.lineTo((c + 1) * dx, (r + 1) * dy);
      }
    }
    context.strokeStyle = "white";
    context.lineWidth = 2;
    context.stroke();
  }

  function choose(node) {
    if (node === chosen) return;
    chosen = node;
    draw();
  }
  slider.addEventListener("input", () => { threshold = Number(slider.value); draw(); });

  const block = (event) => {
    const box = chart.getBoundingClientRect();
    const [px, py] = [((event.clientX - box.left) / box.width) * 360, ((event.clientY - box.top) / box.height) * 262];
    return nodes.findLast((node) => x[node] <= px && px < x[node] + at(wide[node]) && y(until[node]) <= py && py <= y(from[node])) ?? -1;
  };
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (share, many) => Math.max(0, Math.min(many - 1, Math.floor(share * many)));
    return owner[cell((event.clientY - box.top) / box.height, rows) * columns + cell((event.clientX - box.left) / box.width, columns)];
  };
  for (const [node, find] of [[chart, block], [canvas, under]]) {
    node.addEventListener("pointerdown", (event) => choose(find(event)));
    node.addEventListener("pointermove", (event) => choose(find(event)));
    node.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") choose(-1); });
  }
  chart.addEventListener("focus", () => { if (chart.matches(":focus-visible")) choose(Math.max(chosen, 0)); });
  chart.addEventListener("blur", () => choose(-1));
  chart.addEventListener("keydown", (event) => {
    const here = Math.max(chosen, 0);
    const beside = (places) => { // the nearest node on the same height of the drawing
      const seen = nodes.filter((node) => from[node] <= from[here] && until[node] > from[here] && blocks[node].getAttribute("height") > 0)
        .sort((a, b) => x[a] - x[b]);
      return seen[Math.max(0, Math.min(seen.length - 1, seen.indexOf(here) + places))] ?? here;
    };
    const moves = {
      ArrowUp: () => (leaf(here) ? here : left[here]), ArrowDown: () => Math.max(parent[here], 0),
      ArrowLeft: () => beside(-1), ArrowRight: () => beside(1), Home: () => 0, Escape: () => -1,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(moves[event.key]());
  });
  draw();
}

export default { render };
