// Where does each criterion stop? Buttons show its segments, a slider those of a constant threshold; curves are scores.

const STYLE = `
& label { flex: 1 1 14rem; display: flex; align-items: center; gap: 0.6rem; min-height: 44px; }
& input { flex: 1; min-width: 6rem; height: 44px; accent-color: var(--a); cursor: pointer; }
& svg { cursor: pointer; touch-action: pan-y; }
& .facts { min-height: 3em; }
& [aria-label="Criterion"] button { border-bottom: 4px solid var(--own, var(--line)); } /* the colour of its curve, if it has one */
& [aria-label="Criterion"] button[aria-pressed="true"] { background: transparent; color: inherit;
  border-color: var(--own, currentColor); box-shadow: inset 0 0 0 2px var(--own, currentColor); }
& input.unused { opacity: 0.3; }
& output { min-width: 4.5em; font-variant-numeric: tabular-nums; }
`;

const STROKES = ["var(--a)", "var(--b)", "#009e73", "#cc79a7"];
const DASHES = ["none", "7 3", "2 3", "8 3 2 3"];
const BOX = { left: 12, right: 348, top: 32, bottom: 208 }; // in the units of the drawing

function render({ model, el }) {
  const grid = model.get("grid");
  const [height, width] = model.get("size");
  const order = words(model.get("order"));
  const nodes = Object.fromEntries(Object.entries(model.get("nodes")).map(([key, [start, stop, colour, since, until]]) =>
    [key, { start, stop, colour: COLOURS[colour % COLOURS.length], since, until }]));
  const [levels, criteria, curves, highest] = ["levels", "criteria", "curves", "highest"].map((name) => model.get(name));
  let chosen = criteria[0]; // or null: the constant of the slider
  let threshold = chosen.threshold ?? highest / 2;

  const root = frame(el, "criteria", STYLE, { "aria-label": "Criteria on one tree" });
  const pressed = choices(root, "Criterion", criteria.map(({ name }) => name), (i) => {
    chosen = criteria[i];
    threshold = chosen.threshold ?? threshold;
    draw();
  });
  curves.forEach(({ criterion }, i) => {
    const at = criteria.findIndex(({ name }) => name === criterion);
    if (at >= 0) root.querySelectorAll("[aria-label=Criterion] button")[at].style.setProperty("--own", STROKES[i % 4]);
  });
  const row = make("div", { class: "buttons" }, root);
  const label = make("label", {}, row, "Or a constant");
  const slider = make("input", { type: "range", min: 0, max: highest, step: 0.005 }, label);
  const shown = make("output", { "aria-hidden": "true" }, label); // the slider itself says it aloud
  const constant = (value) => { [chosen, threshold] = [null, value]; draw(); };
  slider.addEventListener("input", () => constant(Number(slider.value)));
  const finest = Math.round(highest / 0.005);
  player(root, row, "pruning", { last: finest, at: () => Math.round(finest * (1 - threshold / highest)),
    stride: Math.round(finest / 20) || 1, go: (moment) => constant(highest * (1 - moment / finest)), wait: () => 9000 / finest });
  const drawings = make("div", { class: "drawings" }, root);
  const canvas = make("canvas", { width, height, role: "img" }, drawings);
  const bottom = BOX.bottom + 42 + 18 * curves.length;
  const chart = make("svg", { viewBox: `0 0 360 ${bottom}`, role: "img" }, drawings);
  const facts = make("p", { class: "facts", "aria-live": "polite" }, root);

  const x = (value) => BOX.left + (Math.min(value, highest) / highest) * (BOX.right - BOX.left);
  const y = (value) => BOX.bottom - value * (BOX.bottom - BOX.top);
  for (let tick = 0; tick <= highest + 1e-9; tick += 0.1) {
    make("line", { x1: x(tick), x2: x(tick), y1: BOX.top - 4, y2: BOX.bottom + 4, stroke: "var(--line)", opacity: 0.3 }, chart);
    make("text", { x: x(tick), y: BOX.bottom + 18, "text-anchor": "middle" }, chart, tick.toFixed(1));
  }
  make("text", { x: (BOX.left + BOX.right) / 2, y: BOX.bottom + 34, "text-anchor": "middle" }, chart, "threshold on NCut");
  if (curves.length) make("text", { x: BOX.left, y: 13 }, chart, "each score, between its smallest and its largest value");
  const best = curves.map(({ name, values }, i) => {
    const stroke = { stroke: STROKES[i % 4], "stroke-dasharray": DASHES[i % 4], "stroke-width": 2.2, fill: "none" };
    const path = values.map((value, k) => `${k ? "H" + x(levels[k - 1]) + "V" : "M" + x(0) + " "}${y(value)}`).join("");
    make("path", { d: path + "H" + x(highest), ...stroke }, chart);
    const top = values.indexOf(1); // dots in one place lie in one another
    if (top >= 0) make("circle", { cx: x(top ? levels[top - 1] : 0), cy: y(1), r: 4 + 2.5 * (curves.length - 1 - i), fill: STROKES[i % 4] }, chart);
    const row = BOX.bottom + 54 + 18 * i;
    make("line", { x1: BOX.left, x2: BOX.left + 34, y1: row - 4, y2: row - 4, ...stroke }, chart);
    make("text", { x: BOX.left + 42, y: row }, chart, name);
    return top < 0 ? `${name} is flat` : `${name} is largest at ${(top ? levels[top - 1] : 0).toFixed(3)}`;
  });
  chart.setAttribute("aria-label", `Scores along the threshold: ${best.join("; ")}.`);
  const line = make("line", { y1: BOX.top - 6, y2: BOX.bottom + 4, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "6 4" }, chart);

  const picture = load(model, draw);
  const owner = order.map(() => null); // patch -> its segment

  function draw() {
    const parts = chosen ? chosen.leaves
      : Object.keys(nodes).filter((key) => nodes[key].since <= threshold && nodes[key].until > threshold);
    for (const key of parts) for (let place = nodes[key].start; place < nodes[key].stop; place += 1) owner[order[place]] = key;
    paint(canvas, picture, grid, (patch) => [...nodes[owner[patch]].colour, 140], (patch) => owner[patch]);
    const byThreshold = !chosen || chosen.threshold !== null;
    set(line, { visibility: byThreshold ? "visible" : "hidden", x1: x(threshold), x2: x(threshold) });
    slider.value = threshold;
    slider.classList.toggle("unused", !byThreshold);
    shown.textContent = byThreshold ? threshold.toFixed(3) : "not used";
    pressed(criteria.indexOf(chosen));
    const many = `${parts.length} segment${parts.length > 1 ? "s" : ""}`;
    facts.textContent = !chosen ? `Constant ${threshold.toFixed(3)}: ${many}.`
      : byThreshold ? `${chosen.name} stops at ${threshold.toFixed(3)}: ${many}.`
        : `${chosen.name} stops at ${many}. It does not go by a threshold.`;
    slider.setAttribute("aria-valuetext", facts.textContent);
    canvas.setAttribute("aria-label", `The picture in ${many}. ${facts.textContent}`);
    report(model, { criterion: chosen?.name ?? "constant", threshold: byThreshold ? threshold : null, segments: parts.length });
  }

  follow(chart, (event) => {
    const [across] = within(event, chart);
    constant(highest * clamp((across * 360 - BOX.left) / (BOX.right - BOX.left), 1));
  });
  draw();
}

export default { render };
