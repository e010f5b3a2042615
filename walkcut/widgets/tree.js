// One slider prunes a tree of cuts; a block of the tree lights up its region, a point of the picture its block.

const STYLE = `
& { --low: #b6bcc6; --edge: #ffffff; }
html[data-theme="dark"] &, body[data-jp-theme-light="false"] & { --low: #59616d; --edge: #14181e; }
& canvas, & svg { cursor: pointer; touch-action: pan-y; }
& svg { user-select: none; }
& .level { display: flex; flex-wrap: wrap; align-items: center; gap: 0.3rem 0.75rem; margin: 0 0 0.6rem; }
& label { flex: 1 1 14rem; display: flex; align-items: center; gap: 0.6rem; min-height: 44px; }
& input { flex: 1; min-width: 6rem; height: 44px; accent-color: #0072b2; cursor: pointer; }
& output { font-variant-numeric: tabular-nums; font-weight: 600; min-width: 6.5em; }
& .facts { min-height: 4.5em; }
`;

const BOX = { left: 30, right: 354, top: 22, bottom: 244 }; // in the units of the drawing

function render({ model, el }) {
  const grid = model.get("grid");
  const [height, width] = model.get("size");
  const n = grid[0] * grid[1];
  const [order, start, stop, left, right] = ["order", "start", "stop", "left", "right"].map((name) => words(model.get(name)));
  const rank = places(order);
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

  const root = frame(el, "tree", STYLE, { "aria-label": "Prune a tree of cuts" });
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
  const outline = make("rect", { fill: "none", stroke: "currentColor", "stroke-width": 3, visibility: "hidden" }, chart);
  const line = make("line", { x1: BOX.left, x2: BOX.right, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "6 4" }, chart);

  const picture = load(model, draw);
  const segments = () => nodes.filter((node) => from[node] <= threshold && until[node] > threshold);
  const inside = (node, place) => node >= 0 && start[node] <= place && place < stop[node];
  const owner = new Array(n).fill(0); // patch -> its segment

  function draw() {
    const parts = segments();
    for (const node of parts) for (let place = start[node]; place < stop[node]; place += 1) owner[order[place]] = node;
    const tinge = (patch) => (chosen < 0 || inside(chosen, rank[patch]) ? [...COLOURS[colour[owner[patch]]], 140] : [20, 20, 20, 190]);
    paint(canvas, picture, grid, tinge, (patch) => owner[patch]);
    for (const node of nodes) {
      const above = until[node] > threshold; // as in the book's figures: grey below the line
      const segment = above ? parts.find((part) => inside(part, start[node])) : -1;
      blocks[node].setAttribute("fill", above ? `rgb(${COLOURS[colour[segment]].join(" ")})` : "var(--low)");
    }
    set(line, { y1: y(threshold), y2: y(threshold) });
    outline.setAttribute("visibility", chosen < 0 ? "hidden" : "visible");
    if (chosen >= 0) for (const name of ["x", "y", "width", "height"]) outline.setAttribute(name, blocks[chosen].getAttribute(name));
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

  function choose(node) {
    if (node === chosen) return;
    chosen = node;
    draw();
  }
  slider.addEventListener("input", () => { threshold = Number(slider.value); draw(); });

  const block = (event) => {
    const [px, py] = within(event, chart).map((share, i) => share * [360, 262][i]);
    return nodes.findLast((node) => x[node] <= px && px < x[node] + at(wide[node]) && y(until[node]) <= py && py <= y(from[node])) ?? -1;
  };
  const under = (event) => {
    const [row, column] = pointed(event, canvas, grid);
    return owner[row * grid[1] + column];
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
    const beside = (step) => { // the nearest node on the same height of the drawing
      const seen = nodes.filter((node) => from[node] <= from[here] && until[node] > from[here] && blocks[node].getAttribute("height") > 0)
        .sort((a, b) => x[a] - x[b]);
      return seen[clamp(seen.indexOf(here) + step, seen.length - 1)] ?? here;
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
