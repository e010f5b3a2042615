// Point at a patch of the photograph and see where it looks.
// The data come through model.get(name), so the module serves as an anywidget as it serves inside an HTML output.

const STYLE = `
/* the theme lays HTML outputs on a light ground, also on a dark page; this figure needs none */
.cell_output .text_html:has(.walkcut-attention) { background: none !important; color: inherit !important; }
.walkcut-attention { color: inherit; text-align: left; font: inherit; max-width: 46rem; margin: 0.5rem 0; }
.walkcut-attention fieldset { border: 0; margin: 0 0 0.5rem; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; }
.walkcut-attention legend { float: left; padding: 0; margin: 0 1rem 0 0; font-size: inherit; font-weight: 600; width: auto; }
.walkcut-attention label { display: inline-flex; align-items: center; gap: 0.4rem; min-height: 1.75rem; cursor: pointer; }
.walkcut-attention .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 0.75rem; }
.walkcut-attention canvas { display: block; width: 100%; height: auto; box-sizing: border-box; border: 1px solid currentColor;
  border-radius: 2px; cursor: crosshair; touch-action: pan-y; }
.walkcut-attention canvas:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.walkcut-attention .scale { display: flex; align-items: center; gap: 0.5rem; margin-top: 0.4rem; font-variant-numeric: tabular-nums; }
.walkcut-attention .ramp { flex: 1; height: 0.7rem; border: 1px solid currentColor; }
.walkcut-attention p { margin: 0.4rem 0 0; min-height: 3em; }
`;

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const clamp = (value, high) => Math.max(0, Math.min(high, value));

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const [rows, columns] = model.get("queries");
  const [height, width] = model.get("size");
  const colours = bytes(model.get("colours"));
  const grids = model.get("grids").map((grid) => ({ ...grid, rows: bytes(grid.rows) }));
  let grid = grids[0];
  let at = [Math.floor(rows / 2), Math.floor(columns / 2)];

  const photo = element("canvas", { width, height, tabIndex: 0 });
  photo.setAttribute("role", "slider");
  photo.setAttribute("aria-label", "Patch of the photograph. Arrow keys choose another.");
  photo.setAttribute("aria-valuemin", 1);
  photo.setAttribute("aria-valuemax", rows * columns);
  const map = element("canvas", { width, height });
  map.setAttribute("role", "img");
  const ends = [element("span"), element("span")];
  const ramp = element("div", { className: "ramp" });
  const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${colours.subarray(3 * i, 3 * i + 3).join(" ")})`);
  ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const said = element("p");
  const name = `walkcut-grid-${Math.random().toString(36).slice(2)}`;
  const choices = grids.map((option, index) => {
    const input = element("input", { type: "radio", name, checked: index === 0 });
    input.addEventListener("change", () => { grid = option; draw(); });
    return element("label", {}, input, `${option.shape[0]} × ${option.shape[1]} patches`);
  });
  el.append(element("div", { className: "walkcut-attention" },
    element("style", { textContent: STYLE }),
    element("fieldset", {}, element("legend", { textContent: "Grid" }), ...choices),
    element("div", { className: "pair" }, photo,
      element("div", {}, map, element("div", { className: "scale" }, ends[0], ramp, ends[1]))),
    said));

  const picture = new Image();
  picture.onload = () => draw();
  picture.src = model.get("photo");

  function ring(context) {
    const box = [at[1] * width / columns, at[0] * height / rows, width / columns, height / rows];
    for (const [colour, thick] of [["black", 5], ["white", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.strokeRect(...box);
    }
  }

  function draw() {
    const [h, w] = grid.shape;
    const query = at[0] * columns + at[1];
    const row = grid.rows.subarray(query * h * w, (query + 1) * h * w);
    const small = new ImageData(w, h);
    row.forEach((value, j) => small.data.set([...colours.subarray(3 * value, 3 * value + 3), 255], 4 * j));
    const stamp = element("canvas", { width: w, height: h });
    stamp.getContext("2d").putImageData(small, 0, 0);
    const [left, right] = [photo.getContext("2d"), map.getContext("2d")];
    left.drawImage(picture, 0, 0, width, height);
    right.imageSmoothingEnabled = false;
    right.drawImage(stamp, 0, 0, width, height);
    ring(left);
    ring(right);

    const best = grid.peak[query];
    const times = (value) => `${value.toFixed(value < 10 ? 1 : 0)}×`;
    const [low, high] = [grid.low[query], grid.high[query]];
    ends[0].textContent = times(low);
    ends[1].textContent = times(high);
    const share = (a, b) => `${Math.round(100 * (a + 0.5) / b)}%`;
    const here = `${share(at[0], rows)} down and ${share(at[1], columns)} across`;
    const there = `${share(Math.floor(best / w), h)} down and ${share(best % w, w)} across`;
    const text = `The patch ${here} looks most at ${there}: ${times(high)} the even share. Least: ${times(low)}.`;
    said.textContent = text;
    map.setAttribute("aria-label", `Heat map. ${text}`);
    photo.setAttribute("aria-valuenow", query + 1);
    photo.setAttribute("aria-valuetext", text);
  }

  function choose(y, x) {
    at = [clamp(y, rows - 1), clamp(x, columns - 1)];
    draw();
  }

  for (const canvas of [photo, map]) {
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      choose(Math.floor((event.clientY - box.top) / box.height * rows), Math.floor((event.clientX - box.left) / box.width * columns));
    };
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointermove", point);
  }
  photo.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(at[0] + step[0], at[1] + step[1]);
  });
}

export default { render };
