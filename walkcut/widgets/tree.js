// One slider prunes a tree of cuts; a block of the tree lights up its region, a point of the picture its block. The tree grows
// again, cut by cut, as a recursion makes it. With a walk and an eigenvector beside it, it is the whole method in one figure.

const STYLE = `
& { --low: #b6bcc6; --edge: #ffffff; }
html[data-theme="dark"] &, body[data-jp-theme-light="false"] & { --low: #59616d; --edge: #14181e; }
& canvas, & svg { cursor: pointer; touch-action: pan-y; }
& .level { display: flex; flex-wrap: wrap; align-items: center; gap: 0.3rem 0.75rem; margin: 0 0 0.6rem; }
& label { flex: 1 1 14rem; display: flex; align-items: center; gap: 0.6rem; min-height: 44px; }
& label.truth { flex: 0 0 auto; cursor: pointer; }
& input[type="range"] { flex: 1; min-width: 6rem; height: 44px; accent-color: var(--a); cursor: pointer; }
& input[type="checkbox"] { width: 1.25rem; height: 1.25rem; accent-color: var(--a); }
& output { font-variant-numeric: tabular-nums; font-weight: 600; min-width: 10.5em; }
& .facts { min-height: 3em; }
& .steps { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(9rem, 22%), 1fr)); gap: 0.5rem; margin-bottom: 0.4rem; }
& .panel p { margin: 0.1rem 0 0; font-size: 0.9em; line-height: 1.3; }
`;

// A tree of cuts as Python stores it: parents come before their children.
function readTree(model) {
  const [start, stop, left, right] = ["start", "stop", "left", "right"].map((name) => words(model.get(name)));
  const ncut = words(model.get("ncut")).map((value) => (2 * value) / LEVELS);
  const order = words(model.get("order"));
  const nodes = start.map((_, node) => node);
  const leaf = (node) => left[node] === LEVELS;
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
  // crumbs are drawn wider than they are, so that a finger finds them; across and wide are shares of the drawing
  const wide = nodes.map(() => 0);
  for (const node of [...nodes].reverse()) {
    wide[node] = leaf(node) ? stop[node] - start[node] + order.length / 100 : wide[left[node]] + wide[right[node]];
  }
  const across = nodes.map(() => 0);
  for (const node of nodes) {
    if (!leaf(node)) [across[left[node]], across[right[node]]] = [across[node], across[node] + wide[left[node]] / wide[0]];
  }
  const rank = places(order);
  const inside = (node, place) => start[node] <= place && place < stop[node];
  const owned = (parts) => { // the owner of each patch
    const owner = order.map(() => 0);
    for (const node of parts) for (let place = start[node]; place < stop[node]; place += 1) owner[order[place]] = node;
    return owner;
  };
  const growth = [...splits].sort((a, b) => left[a] - left[b]); // branch by branch: children are numbered as a recursion comes to them
  return { rank, start, stop, left, right, ncut, nodes, leaf, parent, from, until, colour, splits, growth, inside,
    across, wide: wide.map((amount) => amount / wide[0]),
    // the segments at a threshold
    prune(threshold) {
      const parts = nodes.filter((node) => from[node] <= threshold && until[node] > threshold);
      return { parts, owner: owned(parts), there: () => true };
    },
    // those after so many cuts, and which nodes there are by then
    grow(count) {
      const made = new Set(growth.slice(0, count));
      const there = (node) => node === 0 || made.has(parent[node]);
      const parts = nodes.filter((node) => there(node) && !made.has(node));
      return { parts, owner: owned(parts), there };
    } };
}

// What a figure of the whole method shows before its segments: photograph, walk, cut. Returns how to draw them.
function steps(model, parent, grid, [width, height], picture) {
  const [rows, columns] = grid;
  const n = rows * columns;
  const P = stochastic(model.get("walk"), n);
  const [colours, hues] = ["colours", "hues"].map((name) => bytes(model.get(name)));
  const place = [...model.get("patch")];
  const panel = (title) => {
    const figure = make("div", { class: "panel" }, parent);
    const canvas = make("canvas", { width, height, role: "img" }, figure);
    make("p", {}, figure, title);
    return canvas;
  };
  const [photo, walk, cut] = ["1. photograph: choose a patch", "2. walk: the next step from it", "3. cut: second eigenvector"].map(panel);
  const choose = (row, column) => { [place[0], place[1]] = [row, column]; show(); };
  chooser(photo, "Patch of the photograph.", () => grid, () => place, choose);
  follow(walk, (event) => choose(...pointed(event, walk, grid)));

  function show() {
    const query = place[0] * columns + place[1];
    const row = P.subarray(query * n, (query + 1) * n);
    const most = row.reduce((high, share) => Math.max(high, share), 0);
    photo.getContext("2d").drawImage(picture, 0, 0, width, height);
    tint(walk, grid, (patch) => {
      const level = 3 * Math.round((255 * row[patch]) / most);
      return [...colours.subarray(level, level + 3), 255];
    });
    tint(cut, grid, (patch) => [...hues.subarray(3 * patch, 3 * patch + 3), 255]);
    for (const canvas of [photo, walk]) ring(canvas, grid, place);
    const peak = row.indexOf(most);
    const said = `From row ${place[0] + 1}, column ${place[1] + 1}, the likeliest next step is to row ${Math.floor(peak / columns) + 1}, ` +
      `column ${(peak % columns) + 1}: ${(most * n).toFixed(1)} times the even share.`;
    set(photo, { "aria-valuemax": n, "aria-valuenow": query + 1, "aria-valuetext": said });
    walk.setAttribute("aria-label", `Where a walker goes next. ${said}`);
    cut.setAttribute("aria-label", "The patches coloured by the second eigenvector of the walk.");
  }
  return show;
}

// Covering of a truth (one number for each patch) by the owners of the patches.
function covering(truth, owner) {
  const [sizes, areas, both] = [new Map(), new Map(), new Map()];
  const more = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
  truth.forEach((label, patch) => {
    more(sizes, label);
    more(areas, owner[patch]);
    more(both, `${label} ${owner[patch]}`);
  });
  const best = new Map();
  for (const [pair, overlap] of both) {
    const [label, part] = pair.split(" ").map(Number);
    const iou = overlap / (sizes.get(label) + areas.get(part) - overlap);
    best.set(label, Math.max(best.get(label) ?? 0, iou));
  }
  return [...best].reduce((sum, [label, iou]) => sum + sizes.get(label) * iou, 0) / truth.length;
}

function render({ model, el }) {
  const grid = model.get("grid");
  const [height, width] = model.get("size");
  const n = grid[0] * grid[1];
  const highest = model.get("highest");
  const whole = model.get("walk") != null; // the whole method: four pictures, and a low, wide tree below them
  const truth = model.get("truth") == null ? null : words(model.get("truth"));
  const BOX = { left: 30, right: whole && (el.clientWidth || 700) > 520 ? 714 : 354, top: whole ? 10 : 22, bottom: whole ? 132 : 244 }; // in units of the drawing
  const sheet = [BOX.right + 6, BOX.bottom + 18];
  const tree = readTree(model);
  const { nodes, from, until, start, stop, left, parent, colour, leaf, growth } = tree;
  let threshold = model.get("threshold");
  let grown = null; // so many cuts are made; or null: all of them, and the threshold prunes
  let chosen = -1;

  const span = BOX.right - BOX.left;
  const x = tree.across.map((share) => BOX.left + span * share);
  const y = (value) => BOX.bottom - (Math.min(value, highest) / highest) * (BOX.bottom - BOX.top);

  const root = frame(el, "tree", STYLE, { "aria-label": whole ? "The method on one photograph" : "Prune a tree of cuts" });
  const picture = load(model, () => { showSteps?.(); draw(); });
  const top = whole ? make("div", { class: "steps" }, root) : null;
  const showSteps = whole ? steps(model, top, grid, [width, height], picture) : null;
  const level = make("div", { class: "level" }, root);
  const label = make("label", {}, level, "Threshold");
  const slider = make("input", { type: "range", min: 0, max: highest, step: 0.005, value: threshold }, label);
  const count = make("output", {}, level);
  const check = truth ? make("input", { type: "checkbox" }, make("label", { class: "truth" }, level, "Show the truth")) : null;
  check?.addEventListener("change", () => draw());
  const plays = make("div", { class: "level" }, root);
  // large regions are looked at for longer; the threshold falls evenly, so that a wide gap between prices takes its time
  const pace = growth.map((node) => Math.sqrt(stop[node] - start[node]));
  const slow = 9000 / pace.reduce((sum, share) => sum + share, 0);
  player(root, plays, "growth", { last: growth.length, at: () => grown ?? growth.length, go: grow, wait: (moment) => (moment ? slow * pace[moment - 1] : 700) });
  const finest = Math.round(highest / 0.005);
  player(root, plays, "pruning", { last: finest, at: () => Math.round(finest * (1 - threshold / highest)), stride: Math.round(finest / 20) || 1,
    go: (moment) => prune(highest * (1 - moment / finest)), wait: () => 9000 / finest });
  const cuts = make("input", { type: "range", min: 0, max: growth.length, step: 1 }, make("label", {}, plays, "Cuts made"));
  const drawings = whole ? root : make("div", { class: "drawings" }, root);
  const holder = whole ? make("div", { class: "panel" }, top) : drawings;
  const canvas = make("canvas", { width, height, role: "img" }, holder);
  if (whole) make("p", {}, holder, "4. segments at the threshold");
  const chart = make("svg", { viewBox: `0 0 ${sheet.join(" ")}`, role: "group", tabindex: "0", "aria-roledescription": "tree",
    "aria-label": "The tree. Arrow keys move along its branches: up to a part, down to the whole, left and right to neighbours." }, drawings);
  const facts = make("p", { class: "facts", "aria-live": "polite" }, root);

  if (!whole) make("text", { x: 4, y: BOX.top - 9 }, chart, "NCut");
  for (let tick = 0; tick <= highest + 1e-9; tick += 0.2) {
    make("line", { x1: BOX.left - 4, x2: BOX.right, y1: y(tick), y2: y(tick), stroke: "var(--line)", opacity: 0.35 }, chart);
    make("text", { x: BOX.left - 7, y: y(tick) + 4, "text-anchor": "end" }, chart, tick.toFixed(1));
  }
  make("text", { x: (BOX.left + BOX.right) / 2, y: sheet[1] - 4, "text-anchor": "middle" }, chart, whole ? "the tree: patches, and the NCut that splits them" : "patches");
  const blocks = nodes.map((node) => make("rect", { x: x[node], width: Math.max(span * tree.wide[node], 0.5), y: y(until[node]),
    height: Math.max(y(from[node]) - y(until[node]), 0), stroke: "var(--edge)", "stroke-width": 0.7 }, chart));
  const outline = make("rect", { fill: "none", stroke: "currentColor", "stroke-width": 3, visibility: "hidden" }, chart);
  const line = make("line", { x1: BOX.left, x2: BOX.right, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "6 4" }, chart);
  let owner = new Array(n).fill(0); // patch -> its segment
  let reach = until; // where the block of each node ends: a part that grows is open above

  function draw() {
    const now = grown === null ? tree.prune(threshold) : tree.grow(grown);
    const parts = now.parts;
    owner = now.owner;
    reach = until.map((value, node) => (!now.there(node) ? -1 : grown !== null && parts.includes(node) ? Infinity : value));
    const lit = (patch) => chosen < 0 || tree.inside(chosen, tree.rank[patch]);
    paint(canvas, picture, grid, (patch) => (lit(patch) ? [...COLOURS[colour[owner[patch]]], 140] : [20, 20, 20, 190]), (patch) => owner[patch]);
    if (check?.checked) edges(canvas, grid, (patch) => truth[patch], [["black", 5], ["#f0e442", 2.5]]);
    if (grown) { // the region that was cut last, and where
      const [a, b] = [left, tree.right].map((side) => side[growth[grown - 1]]);
      edges(canvas, grid, (patch) => (owner[patch] === a ? 1 : owner[patch] === b ? 2 : 0), [["black", 6], ["white", 3]]);
    }
    for (const node of nodes) {
      const above = grown === null ? until[node] > threshold : reach[node] === Infinity; // as in the book's figures: grey below the line
      const segment = above ? parts.find((part) => tree.inside(part, start[node])) : -1;
      set(blocks[node], { y: y(reach[node]), height: Math.max(y(from[node]) - y(reach[node]), 0),
        fill: above ? `rgb(${COLOURS[colour[segment]].join(" ")})` : "var(--low)" });
    }
    set(line, { y1: y(threshold), y2: y(threshold), visibility: grown === null ? "visible" : "hidden" });
    outline.setAttribute("visibility", chosen < 0 ? "hidden" : "visible");
    if (chosen >= 0) for (const name of ["x", "y", "width", "height"]) outline.setAttribute(name, blocks[chosen].getAttribute(name));
    const match = truth ? covering(truth, owner) : null;
    count.textContent = `${grown === null ? `${threshold.toFixed(3)}: ` : ""}${parts.length} segment${parts.length > 1 ? "s" : ""}` +
      (truth ? `, covering of the truth ${match.toFixed(3)}` : "");
    slider.value = threshold;
    if (grown === null) slider.setAttribute("aria-valuetext", count.textContent);
    cuts.value = grown ?? growth.length;
    cuts.setAttribute("aria-valuetext", `${cuts.value} of ${growth.length} cuts`);
    tell(parts);
    const sizes = parts.map((node) => stop[node] - start[node]);
    report(model, { threshold, segments: parts.length, sizes, region: chosen < 0 ? null : [start[chosen], stop[chosen]], covering: match, grown });
  }

  function tell(parts) {
    const share = (node) => `${(100 * (stop[node] - start[node]) / n).toFixed(0)}% of the picture`;
    if (chosen < 0 && grown !== null) {
      const node = growth[grown - 1];
      facts.textContent = node === undefined ? "Nothing is cut yet."
        : `Cut ${grown} of ${growth.length} up to ${highest.toFixed(2)}: ${share(node)} for an NCut of ${tree.ncut[node].toFixed(3)}` +
          (tree.ncut[node] < until[node] ? `, less than a cut above it: it waits for ${until[node].toFixed(3)}.` : ".");
    } else if (chosen < 0) {
      const next = tree.splits.find((node) => until[node] > threshold);
      facts.textContent = next === undefined ? "Every split in the drawing is taken. Point at a block or at the picture."
        : `The next split comes at ${until[next].toFixed(3)}. Point at a block, or at the picture, to see a region.`;
    } else {
      const own = leaf(chosen) ? `It is cut by no threshold up to ${highest.toFixed(2)}.`
        : tree.ncut[chosen] < until[chosen] ? `Its own cut costs ${tree.ncut[chosen].toFixed(3)}, less than a cut above it: it comes at ${until[chosen].toFixed(3)} with that one.`
          : `Its own cut costs ${tree.ncut[chosen].toFixed(3)}.`;
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
  function prune(value) {
    [threshold, grown] = [value, null];
    draw();
  }
  function grow(count) { // the whole tree is what the highest threshold shows
    if (count === growth.length) { prune(highest); return; }
    grown = count;
    draw();
  }
  slider.addEventListener("input", () => prune(Number(slider.value)));
  cuts.addEventListener("input", () => grow(Number(cuts.value)));

  const block = (event) => {
    const [px, py] = within(event, chart).map((share, i) => share * sheet[i]);
    return nodes.findLast((node) => x[node] <= px && px < x[node] + span * tree.wide[node] && y(reach[node]) <= py && py <= y(from[node])) ?? -1;
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
      ArrowUp: () => (leaf(here) || reach[left[here]] < 0 ? here : left[here]), ArrowDown: () => Math.max(parent[here], 0),
      ArrowLeft: () => beside(-1), ArrowRight: () => beside(1), Home: () => 0, Escape: () => -1,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(moves[event.key]());
  });
  showSteps?.();
  draw();
}

export default { render: byEye(render) };
