// What the figures share; put in front of each of them, so that every figure stays one module that imports nothing.
// The data come through model.get(name), and what the reader selects goes back through `report`: a figure serves as an
// anywidget as it serves inside an HTML output.

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
& canvas:focus-visible, & svg:focus-visible, & button:focus-visible, & input:focus-visible, & select:focus-visible {
  outline: 3px solid #e69f00; outline-offset: 2px; }
& svg:focus:not(:focus-visible) { outline: none; } /* Chromium rings a drawing that a mouse has pressed */
& svg { user-select: none; }
& button, & select { font: inherit; color: inherit; background: transparent; border: 1.5px solid var(--line); border-radius: 0.4rem;
  min-height: 44px; padding: 0 0.8rem; cursor: pointer; }
& button:hover { border-color: currentColor; }
& button[aria-pressed="true"] { background: #0072b2; border-color: #0072b2; color: #ffffff; }
& option { color: #111827; background: #ffffff; }
& .buttons { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem; margin: 0.5rem 0; }
& text { fill: currentColor; font-size: 12px; }
& .facts { margin: 0.5rem 0 0; font-variant-numeric: tabular-nums; }
& .play { min-width: 8.8rem; } /* whatever it says now */
`;

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

function words(base64) {
  const low = bytes(base64); // low byte first
  return Array.from({ length: low.length / 2 }, (_, i) => low[2 * i] + 256 * low[2 * i + 1]);
}

// A small seeded generator (mulberry32), so that a page shows the same walk to every reader.
function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
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
  edges(canvas, [rows, columns], part, [["white", 2]]);
}

// A line between neighbours of different parts, in each colour and width.
function edges(canvas, [rows, columns], part, strokes) {
  const context = canvas.getContext("2d");
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
  for (const [colour, thick] of strokes) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.stroke();
  }
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

// Call `act` where a pointer goes down, and while it stays down; it then belongs to the node, even outside it.
function follow(node, act) {
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    act(event, true);
  });
  node.addEventListener("pointermove", (event) => { if (node.hasPointerCapture(event.pointerId)) act(event, false); });
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

// Make a canvas choose a patch, or a block of every x every: press or drag, or use the arrow keys.
// `grid` and `place` give rows and columns, and the row and column of the choice, as they are now.
function chooser(canvas, label, grid, place, choose, every = 1) {
  const move = (...to) => choose(...to.map((index, axis) => clamp(index, Math.ceil(grid()[axis] / every) - 1)));
  follow(canvas, (event) => move(...pointed(event, canvas, grid()).map((index) => Math.floor(index / every))));
  set(canvas, { role: "slider", tabindex: 0, "aria-label": `${label} Arrow keys choose another.`, "aria-valuemin": 1 });
  canvas.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    move(place()[0] + step[0], place()[1] + step[1]);
  });
}

// A row of buttons of which one is pressed; the function that is returned shows which.
function choices(parent, label, names, choose) {
  const group = make("div", { class: "buttons", role: "group", "aria-label": label }, parent);
  const buttons = names.map((name, i) => {
    const button = make("button", { type: "button" }, group, name);
    button.addEventListener("click", () => choose(i));
    return button;
  });
  return (pressed) => buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === pressed));
}

// A button that plays a figure's moments 0, 1, ..., `last`, each for `wait(moment)` milliseconds; `at` says which one is
// shown, `go` shows another. Nothing moves before a press. The first begins at 0 and later ones where the figure is; after
// the end it begins anew. Whatever else the reader uses in `root` pauses it. Arrow keys on the button go `stride` moments back or
// on, and where less motion is wanted a press does no more.
function player(root, parent, name, { last, at, go, wait, stride = 1 }) {
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const button = make("button", { type: "button", class: "play", title: "Left and right arrow keys go one step back or on." }, parent);
  let begun = false; // and not at the end
  let frame = 0; // that is asked for while it plays
  let due = 0; // when the next moment is

  function tell() {
    button.textContent = still.matches ? `Next step: ${name}` : `${frame ? "Pause" : "Play"} ${name}`;
    for (const node of root.querySelectorAll("[aria-live], output")) { // where it stops is said aloud, moments are not
      node.setAttribute("aria-live", frame ? "off" : "polite");
      if (!frame) node.replaceChildren(...node.childNodes);
    }
  }
  function show(moment) {
    begun = moment < last;
    go(clamp(moment, last));
  }
  function pause() {
    if (!frame) return;
    cancelAnimationFrame(frame);
    frame = 0;
    tell();
  }
  function play(now) {
    if (!button.offsetParent) { pause(); return; } // another eye is shown
    const before = at();
    let moment = before;
    for (due = Math.max(due, now - 100); now >= due && moment < last; due += wait(moment)) moment += 1;
    if (moment > before) show(moment);
    if (begun) frame = requestAnimationFrame(play);
    else pause();
  }
  button.addEventListener("click", () => {
    if (frame) { pause(); return; }
    const fresh = !begun;
    if (fresh) show(0);
    if (still.matches) {
      if (!fresh) show(at() + stride);
      return;
    }
    due = performance.now() + wait(at());
    frame = requestAnimationFrame(play);
    tell();
  });
  button.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -stride, ArrowRight: stride }[event.key];
    if (!step) return;
    event.preventDefault();
    pause();
    show(at() + step);
  });
  const used = ({ target, key }) => target !== button && key !== "Tab" && target.closest("button, input, select, label, canvas, svg");
  for (const kind of ["pointerdown", "click", "keydown", "input"]) root.addEventListener(kind, (event) => { if (used(event)) pause(); }, true);
  still.addEventListener("change", () => { pause(); tell(); });
  tell();
}

// A figure as several eyes have it, or as one: with several, a button for each, and what is selected says by which.
function byEye(render) {
  return ({ model, el }) => {
    const eyes = model.get("eyes");
    if (!eyes) { render({ model, el }); return; }
    const root = frame(el, "eyes", "", { "aria-label": "Two eyes on one photograph" });
    const press = choices(root, "Seen by", eyes.map(([name]) => name), show);
    const rooms = eyes.map(() => make("div", {}, root));
    const told = []; // what each figure has reported last
    function show(which) {
      const [eye, state] = eyes[which];
      rooms.forEach((room, i) => { room.hidden = i !== which; });
      press(which);
      const set = (name, value) => { told[which] = [name, { ...value, eye }]; model.set(...told[which]); };
      const own = { get: (name) => state[name], set, save_changes: () => model.save_changes() };
      if (!told[which]) render({ model: own, el: rooms[which] }); // drawn when it is first seen, as wide as it is then
      else { model.set(...told[which]); model.save_changes(); }
    }
    show(0);
  };
}

// What the reader has selected: Python reads it from an anywidget as `selected`.
function report(model, selected) {
  model.set("selected", selected);
  model.save_changes();
}

// Rows of bytes, cube roots of where they lie between the row's lowest and highest value, as rows that sum to one.
function stochastic({ rows, low, high }, n) {
  const stored = bytes(rows);
  const P = new Float32Array(n * n);
  const cubes = Float64Array.from({ length: 256 }, (_, byte) => (byte / 255) ** 3);
  for (let row = 0; row < n; row += 1) {
    const [least, span] = [low[row], high[row] - low[row]];
    let total = 0;
    for (let i = row * n; i < (row + 1) * n; i += 1) total += P[i] = least + span * cubes[stored[i]];
    for (let i = row * n; i < (row + 1) * n; i += 1) P[i] /= total;
  }
  return P;
}
