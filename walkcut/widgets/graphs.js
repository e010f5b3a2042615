// Point at a patch of the photograph and see its row in several graphs, each normalised to sum to one.
// The data come through model.get(name), so the module serves as an anywidget as it serves inside an HTML output.

const STYLE = `
/* the theme lays HTML outputs on a light ground, also on a dark page; this figure needs none */
.cell_output .text_html:has(.walkcut-graphs) { background: none !important; color: inherit !important; }
.walkcut-graphs { color: inherit; text-align: left; font: inherit; max-width: 46rem; margin: 0.5rem 0; }
.walkcut-graphs .sliders { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 0.25rem 1.25rem; margin-bottom: 0.6rem; }
.walkcut-graphs label { display: block; font-variant-numeric: tabular-nums; }
.walkcut-graphs input { display: block; width: 100%; min-height: 44px; margin: 0; accent-color: #0072b2; cursor: pointer; }
.walkcut-graphs .panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(12.5rem, 45%), 1fr)); gap: 0.75rem; }
.walkcut-graphs .panel { min-width: 0; }
.walkcut-graphs canvas { display: block; width: 100%; height: auto; box-sizing: border-box; border: 1px solid currentColor;
  border-radius: 2px; cursor: crosshair; touch-action: pan-y; }
.walkcut-graphs canvas:focus-visible, .walkcut-graphs input:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.walkcut-graphs .panel p { margin: 0.25rem 0 0; line-height: 1.35; font-size: 0.9em; font-variant-numeric: tabular-nums; }
`;

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const clamp = (value, high) => Math.max(0, Math.min(high, value));

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const [rows, columns] = model.get("grid");
  const [height, width] = model.get("size");
  const every = model.get("every");
  const n = rows * columns;
  const [down, across] = [Math.ceil(rows / every), Math.ceil(columns / every)];
  const colours = bytes(model.get("colours"));
  const graphs = model.get("graphs").map((graph) => ({
    ...graph,
    rows: Object.fromEntries(Object.entries(graph.rows).map(([k, data]) => [k, bytes(data)])),
    steps: Object.keys(graph.rows).map(Number).sort((a, b) => a - b),
  }));
  const steps = [...new Set(graphs.flatMap((graph) => graph.steps))].sort((a, b) => a - b);
  let at = [Math.floor(down / 2), Math.floor(across / 2)];

  const panel = (title) => {
    const canvas = element("canvas", { width, height });
    canvas.setAttribute("role", "img");
    const said = element("p");
    const node = element("div", { className: "panel" }, canvas, said);
    return { canvas, said, node, title };
  };
  const photo = panel("the photograph");
  photo.canvas.tabIndex = 0;
  photo.canvas.setAttribute("role", "slider");
  photo.canvas.setAttribute("aria-label", "Patch of the photograph. Arrow keys choose another.");
  photo.canvas.setAttribute("aria-valuemin", 1);
  photo.canvas.setAttribute("aria-valuemax", down * across);
  photo.said.append(element("b", { textContent: "the photograph" }), element("br"), "choose a patch");
  const maps = graphs.map((graph) => panel(graph.name));
  const slider = (max, value) => element("input", { type: "range", min: 0, max, step: 1, value });
  const walker = slider(steps.length - 1, 0);
  const power = slider(29, 0);
  const [walkerText, powerText] = [element("span"), element("span")];
  const sliders = element("div", { className: "sliders" });
  if (steps.length > 1) sliders.append(element("label", {}, walkerText, walker));
  if (graphs.some((graph) => graph.powered)) sliders.append(element("label", {}, powerText, power));
  el.append(element("div", { className: "walkcut-graphs" },
    element("style", { textContent: STYLE }), sliders,
    element("div", { className: "panels" }, photo.node, ...maps.map((map) => map.node))));

  const picture = new Image();
  picture.onload = () => draw();
  picture.src = model.get("photo");
  const stamp = element("canvas", { width: columns, height: rows });

  function ring(canvas) {
    const context = canvas.getContext("2d");
    const [dy, dx] = [height / rows, width / columns];
    for (const [colour, thick] of [["black", 5], ["white", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.strokeRect(at[1] * every * dx, at[0] * every * dy, dx, dy);
    }
  }

  // the row of the chosen patch, as shares; bytes are square roots of weights
  function shares(graph, k, alpha) {
    const query = at[0] * across + at[1];
    const row = graph.rows[k].subarray(query * n, (query + 1) * n);
    const weights = Float64Array.from(row, (byte) => (byte / 255) ** (2 * alpha));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => (total ? weight / total : 0));
  }

  function show(map, graph) {
    const wanted = steps[Number(walker.value)];
    const k = Math.max(graph.steps[0], ...graph.steps.filter((step) => step <= wanted));
    const alpha = graph.powered ? Number(power.value) + 1 : 1;
    const row = shares(graph, k, alpha);
    const high = row.reduce((most, share) => Math.max(most, share), 0);
    const entropy = row.reduce((sum, share) => (share ? sum - share * Math.log(share) : sum), 0);
    const small = new ImageData(columns, rows);
    row.forEach((share, j) => {
      const level = 3 * Math.round(255 * (high ? share / high : 0));
      small.data.set([...colours.subarray(level, level + 3), 255], 4 * j);
    });
    stamp.getContext("2d").putImageData(small, 0, 0);
    const context = map.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(stamp, 0, 0, width, height);
    ring(map.canvas);
    const setting = [graph.steps.length > 1 ? `k\u00a0=\u00a0${k}` : "", graph.powered ? `α\u00a0=\u00a0${alpha}` : ""].filter(Boolean).join(", ");
    const spread = `spread over ${(100 * Math.exp(entropy) / n).toFixed(1)}% of the patches`;
    map.said.replaceChildren(element("b", { textContent: graph.name }), setting ? ` (${setting})` : "", element("br"), spread);
    map.canvas.setAttribute("aria-label", `${graph.name} ${setting}: ${spread}`);
    return `${graph.name}: ${spread}`;
  }

  function draw() {
    photo.canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
    ring(photo.canvas);
    walkerText.textContent = `steps of the walk: k = ${steps[Number(walker.value)]}`;
    powerText.textContent = `exponent of the others: α = ${Number(power.value) + 1}`;
    walker.setAttribute("aria-valuetext", walkerText.textContent);
    power.setAttribute("aria-valuetext", powerText.textContent);
    const said = graphs.map((graph, i) => show(maps[i], graph)).join("; ");
    photo.canvas.setAttribute("aria-valuenow", at[0] * across + at[1] + 1);
    photo.canvas.setAttribute("aria-valuetext", `Row ${at[0] * every + 1}, column ${at[1] * every + 1}. ${said}`);
  }

  function choose(y, x) {
    at = [clamp(y, down - 1), clamp(x, across - 1)];
    draw();
  }

  for (const { canvas } of [photo, ...maps]) {
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const [y, x] = [(event.clientY - box.top) / box.height * rows, (event.clientX - box.left) / box.width * columns];
      choose(Math.floor(y / every), Math.floor(x / every));
    };
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointermove", point);
  }
  photo.canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(at[0] + step[0], at[1] + step[1]);
  });
  for (const input of [walker, power]) input.addEventListener("input", draw);
  draw();
}

export default { render };
