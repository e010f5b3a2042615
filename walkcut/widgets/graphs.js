// Point at a patch of the photograph and see its row in several graphs, each normalised to sum to one.

const STYLE = `
& .sliders { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 0.25rem 1.25rem; margin-bottom: 0.6rem; }
& label { display: block; font-variant-numeric: tabular-nums; }
& input { display: block; width: 100%; min-height: 44px; margin: 0; accent-color: var(--a); cursor: pointer; }
& .panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(12.5rem, 45%), 1fr)); gap: 0.75rem; }
& .panel { min-width: 0; }
& canvas { border-color: currentColor; cursor: crosshair; touch-action: pan-y; }
& .panel p { margin: 0.25rem 0 0; line-height: 1.35; font-size: 0.9em; font-variant-numeric: tabular-nums; }
`;

function render({ model, el }) {
  const grid = model.get("grid");
  const [rows, columns] = grid;
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
  const at = [Math.floor(down / 2), Math.floor(across / 2)];

  const root = frame(el, "graphs", STYLE);
  const sliders = make("div", { class: "sliders" }, root);
  const slider = (max, shown) => {
    const label = make("label", {}, shown ? sliders : null);
    const text = make("span", {}, label);
    const input = make("input", { type: "range", min: 0, max, step: 1, value: 0 }, label);
    input.addEventListener("input", draw);
    return { input, tell: (said) => { text.textContent = said; input.setAttribute("aria-valuetext", said); } };
  };
  const walker = slider(steps.length - 1, steps.length > 1);
  const power = slider(29, graphs.some((graph) => graph.powered));
  const panels = make("div", { class: "panels" }, root);
  const panel = () => {
    const node = make("div", { class: "panel" }, panels);
    return { canvas: make("canvas", { width, height, role: "img" }, node), said: make("p", {}, node) };
  };
  const title = ({ said }, name, ...rest) => said.replaceChildren(make("b", {}, null, name), ...rest);
  const photo = panel();
  title(photo, "the photograph", make("br"), "choose a patch");
  const maps = graphs.map(panel);
  const picture = load(model, draw);
  const mark = (canvas) => ring(canvas, grid, [at[0] * every, at[1] * every]);

  // the row of the chosen patch, as shares; bytes are square roots of weights
  function shares(graph, k, alpha) {
    const query = at[0] * across + at[1];
    const row = graph.rows[k].subarray(query * n, (query + 1) * n);
    const weights = Float64Array.from(row, (byte) => (byte / 255) ** (2 * alpha));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => (total ? weight / total : 0));
  }

  function show(map, graph) {
    const wanted = steps[Number(walker.input.value)];
    const k = Math.max(graph.steps[0], ...graph.steps.filter((step) => step <= wanted));
    const alpha = graph.powered ? Number(power.input.value) + 1 : 1;
    const row = shares(graph, k, alpha);
    const high = row.reduce((most, share) => Math.max(most, share), 0);
    const entropy = row.reduce((sum, share) => (share ? sum - share * Math.log(share) : sum), 0);
    tint(map.canvas, grid, (patch) => {
      const level = 3 * Math.round(255 * (high ? row[patch] / high : 0));
      return [...colours.subarray(level, level + 3), 255];
    });
    mark(map.canvas);
    const setting = [graph.steps.length > 1 ? `k\u00a0=\u00a0${k}` : "", graph.powered ? `α\u00a0=\u00a0${alpha}` : ""].filter(Boolean).join(", ");
    const spread = `spread over ${(100 * Math.exp(entropy) / n).toFixed(1)}% of the patches`;
    title(map, graph.name, setting ? ` (${setting})` : "", make("br"), spread);
    map.canvas.setAttribute("aria-label", `${graph.name} ${setting}: ${spread}`);
    return `${graph.name}: ${spread}`;
  }

  function draw() {
    photo.canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
    mark(photo.canvas);
    walker.tell(`steps of the walk: k = ${steps[Number(walker.input.value)]}`);
    power.tell(`exponent of the others: α = ${Number(power.input.value) + 1}`);
    const said = graphs.map((graph, i) => show(maps[i], graph)).join("; ");
    set(photo.canvas, { "aria-valuenow": at[0] * across + at[1] + 1,
      "aria-valuemax": down * across, "aria-valuetext": `Row ${at[0] * every + 1}, column ${at[1] * every + 1}. ${said}` });
    report(model, { patch: at.map((index) => index * every), steps: steps[Number(walker.input.value)], power: Number(power.input.value) + 1 });
  }

  const choose = (row, column) => { [at[0], at[1]] = [row, column]; draw(); };
  chooser(photo.canvas, "Patch of the photograph.", () => grid, () => at, choose, every);
  for (const { canvas } of maps) follow(canvas, (event) => choose(...pointed(event, canvas, grid).map((index) => Math.floor(index / every))));
  draw();
}

export default { render };
