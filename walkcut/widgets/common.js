// What the figures share; put in front of each of them, so that every figure stays one module that imports nothing.
// The data come through model.get(name), so a figure serves as an anywidget as it serves inside an HTML output.

const LEVELS = 65535; // the largest number of two bytes
const COLOURS = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [70, 70, 70]];

// & stands for the figure's own class
const COMMON_STYLE = `
/* the theme lays HTML outputs on a light ground, also on a dark page; these figures need none */
.cell_output .text_html:has(&) { background: none !important; color: inherit !important; }
& { --a: #0072b2; --b: #c04f00; --line: #6b7280; color: inherit; max-width: 46rem; margin: 0.5rem 0; font: inherit; text-align: left; }
html[data-theme="dark"] &, body[data-jp-theme-light="false"] & { --a: #56b4e9; --b: #f0a14a; --line: #9aa4b2; }
& .drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0.75rem; }
& canvas, & svg { display: block; width: 100%; height: auto; }
& canvas { box-sizing: border-box; border: 1px solid var(--line); border-radius: 2px; }
& canvas:focus-visible, & svg:focus-visible, & button:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
& text { fill: currentColor; font-size: 12px; }
& .facts { margin: 0.5rem 0 0; font-variant-numeric: tabular-nums; }
`;

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

function words(base64) {
  const low = bytes(base64); // low byte first
  return Array.from({ length: low.length / 2 }, (_, i) => low[2 * i] + 256 * low[2 * i + 1]);
}

// Of patches in an order: the place of each patch.
function places(order) {
  const found = [];
  order.forEach((patch, place) => { found[patch] = place; });
  return found;
}

const clamp = (value, high) => Math.max(0, Math.min(high, value));

function set(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
}

function make(name, attributes = {}, parent = null, text = "") {
  const svg = name === "svg" || parent instanceof SVGElement;
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  set(node, attributes);
  if (text) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

// The element that holds a figure, with its style.
function frame(el, name, style, attributes = {}) {
  const root = make("section", { class: `walkcut-${name}`, ...attributes }, el);
  make("style", {}, root, (COMMON_STYLE + style).replaceAll("&", `.walkcut-${name}`));
  return root;
}

function load(model, draw) {
  const picture = new Image();
  picture.onload = () => draw();
  picture.src = model.get("photo");
  return picture;
}

// Lay a colour, [red, green, blue, alpha], over each patch of a canvas.
function tint(canvas, [rows, columns], colour) {
  const small = new ImageData(columns, rows);
  for (let patch = 0; patch < rows * columns; patch += 1) small.data.set(colour(patch), 4 * patch);
  const stamp = make("canvas", { width: columns, height: rows });
  stamp.getContext("2d").putImageData(small, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(stamp, 0, 0, canvas.width, canvas.height);
}

// The picture in grey under the colours of its patches, and a line between neighbours of different parts.
function paint(canvas, picture, [rows, columns], colour, part) {
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.filter = "grayscale(1)"; // where it is not supported the picture keeps its colours
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  tint(canvas, [rows, columns], colour);
  const [dx, dy] = [canvas.width / columns, canvas.height / rows];
  context.beginPath();
  for (let patch = 0; patch < rows * columns; patch += 1) {
    const [r, c] = [Math.floor(patch / columns), patch % columns];
    if (c + 1 < columns && part(patch + 1) !== part(patch)) {
      context.moveTo((c + 1) * dx, r * dy);
      context.lineTo((c + 1) * dx, (r + 1) * dy);
    }
    if (r + 1 < rows && part(patch + columns) !== part(patch)) {
      context.moveTo(c * dx, (r + 1) * dy);
      context.lineTo((c + 1) * dx, (r + 1) * dy);
    }
  }
  context.strokeStyle = "white";
  context.lineWidth = 2;
  context.stroke();
}

function ring(canvas, [rows, columns], [row, column]) {
  const context = canvas.getContext("2d");
  const [dx, dy] = [canvas.width / columns, canvas.height / rows];
  for (const [colour, thick] of [["black", 5], ["white", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.strokeRect(column * dx, row * dy, dx, dy);
  }
}

// How far across and down an element a pointer is, from 0 to 1 inside it.
function within(event, node) {
  const box = node.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

// Row and column of the patch under a pointer.
function pointed(event, canvas, [rows, columns]) {
  const [across, down] = within(event, canvas);
  return [clamp(Math.floor(down * rows), rows - 1), clamp(Math.floor(across * columns), columns - 1)];
}

// Move `at`, the row and column of a block of every x every patches: point at a canvas, or use arrow keys on the first one.
function chooser(canvases, [rows, columns], every, at, draw) {
  const [down, across] = [Math.ceil(rows / every), Math.ceil(columns / every)];
  const choose = (row, column) => {
    [at[0], at[1]] = [clamp(row, down - 1), clamp(column, across - 1)];
    draw();
  };
  for (const canvas of canvases) {
    const point = (event) => choose(...pointed(event, canvas, [rows, columns]).map((index) => Math.floor(index / every)));
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointermove", point);
  }
  set(canvases[0], { role: "slider", tabindex: 0, "aria-label": "Patch of the photograph. Arrow keys choose another.",
    "aria-valuemin": 1, "aria-valuemax": down * across });
  canvases[0].addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(at[0] + step[0], at[1] + step[1]);
  });
}
