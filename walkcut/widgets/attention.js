// Point at a patch of the photograph and see where it looks.

const STYLE = `
& fieldset { border: 0; margin: 0 0 0.5rem; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; }
& legend { float: left; padding: 0; margin: 0 1rem 0 0; font-size: inherit; font-weight: 600; width: auto; }
& label { display: inline-flex; align-items: center; gap: 0.4rem; min-height: 1.75rem; cursor: pointer; }
& .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 0.75rem; }
& canvas { border-color: currentColor; cursor: crosshair; touch-action: pan-y; }
& .scale { display: flex; align-items: center; gap: 0.5rem; margin-top: 0.4rem; font-variant-numeric: tabular-nums; }
& .ramp { flex: 1; height: 0.7rem; border: 1px solid currentColor; }
& p { margin: 0.4rem 0 0; min-height: 3em; }
`;

function render({ model, el }) {
  const queries = model.get("queries");
  const [rows, columns] = queries;
  const [height, width] = model.get("size");
  const colours = bytes(model.get("colours"));
  const grids = model.get("grids").map((grid) => ({ ...grid, rows: bytes(grid.rows) }));
  let grid = grids[0];
  const at = [Math.floor(rows / 2), Math.floor(columns / 2)];

  const root = frame(el, "attention", STYLE);
  const choices = make("fieldset", {}, root);
  make("legend", {}, choices, "Grid");
  const name = `walkcut-grid-${Math.random().toString(36).slice(2)}`;
  grids.forEach((option, index) => {
    const label = make("label", {}, choices);
    const input = make("input", { type: "radio", name, ...(index ? {} : { checked: "" }) }, label);
    label.append(`${option.shape[0]} × ${option.shape[1]} patches`);
    input.addEventListener("change", () => { grid = option; draw(); });
  });
  const pair = make("div", { class: "pair" }, root);
  const photo = make("canvas", { width, height }, pair);
  const right = make("div", {}, pair);
  const map = make("canvas", { width, height, role: "img" }, right);
  const scale = make("div", { class: "scale" }, right);
  const low = make("span", {}, scale);
  const stops = [0, 64, 128, 192, 255].map((i) => `rgb(${colours.subarray(3 * i, 3 * i + 3).join(" ")})`);
  make("div", { class: "ramp", style: `background: linear-gradient(to right, ${stops.join(", ")})` }, scale);
  const high = make("span", {}, scale);
  const said = make("p", {}, root);
  const picture = load(model, draw);

  function draw() {
    const [h, w] = grid.shape;
    const query = at[0] * columns + at[1];
    const row = grid.rows.subarray(query * h * w, (query + 1) * h * w);
    photo.getContext("2d").drawImage(picture, 0, 0, width, height);
    tint(map, grid.shape, (patch) => [...colours.subarray(3 * row[patch], 3 * row[patch] + 3), 255]);
    for (const canvas of [photo, map]) ring(canvas, queries, at);

    const best = grid.peak[query];
    const times = (value) => `${value.toFixed(value < 10 ? 1 : 0)}×`;
    [low.textContent, high.textContent] = [times(grid.low[query]), times(grid.high[query])];
    const share = (a, b) => `${Math.round(100 * (a + 0.5) / b)}%`;
    const here = `${share(at[0], rows)} down and ${share(at[1], columns)} across`;
    const there = `${share(Math.floor(best / w), h)} down and ${share(best % w, w)} across`;
    said.textContent = `The patch ${here} looks most at ${there}: ${high.textContent} the even share. Least: ${low.textContent}.`;
    map.setAttribute("aria-label", `Heat map. ${said.textContent}`);
    set(photo, { "aria-valuenow": query + 1, "aria-valuetext": said.textContent });
  }

  chooser([photo, map], queries, 1, at, draw);
}

export default { render };
