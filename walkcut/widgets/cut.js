// Drag a split along a sorted eigenvector, or let it sweep: both sides, both escape probabilities and the NCut follow at once.

const STYLE = `
& canvas { cursor: pointer; touch-action: pan-y; }
& svg { cursor: ew-resize; touch-action: pan-y; }
& .facts { min-height: 4.5em; }
& .facts b:nth-of-type(1) { color: var(--a); }
& .facts b:nth-of-type(2) { color: var(--b); }
`;

// Left, right, and the heights of both panels, in the units of the drawing.
const BOX = { left: 40, right: 352, y: [24, 114], price: [146, 266] };

function render({ model, el }) {
  const grid = model.get("grid");
  const [height, width] = model.get("size");
  const n = grid[0] * grid[1];
  const vectors = model.get("vectors").map((vector) => {
    const [y, leaving, entering] = ["y", "leaving", "entering"].map((name) => words(vector[name]).map((value) => value / LEVELS));
    return { ...vector, y, leaving, entering, price: leaving.map((value, i) => value + entering[i]), rank: places(words(vector.order)) };
  });
  let now = vectors[0];
  let split = Math.max(1, Math.round(n / 20)); // a crumb to begin with: the reader finds the best one
  let sweeping = false; // the prices behind the split are not known yet

  const root = frame(el, "cut", STYLE, { "aria-label": "Drag a cut along the second eigenvector" });
  const pressed = vectors.length > 1
    ? choices(root, "Eigenvector", vectors.map((_, i) => `${["second", "third", "fourth", "fifth", "sixth"][i] ?? `${i + 2}th`} eigenvector`), take) : null;
  const drawings = make("div", { class: "drawings" }, root);
  const canvas = make("canvas", { width, height, role: "img" }, drawings);
  const chart = make("svg", { viewBox: "0 0 360 290", role: "slider", tabindex: "0", "aria-valuemin": 1, "aria-valuemax": n - 1,
    "aria-label": "Number of patches on the first side. Arrow keys move the cut." }, drawings);
  const facts = make("p", { class: "facts", "aria-live": "polite" }, root);

  const at = (place) => BOX.left + ((place - 0.5) / (n - 1)) * (BOX.right - BOX.left); // x of a number of patches
  const high = ([top, bottom], share) => bottom - share * (bottom - top);
  const top = Math.max(1, ...vectors.flatMap(({ price }) => price));
  // Prices are drawn by their logarithm, or valleys near zero would all look alike; an escape far below any price lies on the floor.
  const least = Math.max(1e-4, Math.min(0.5, ...vectors.flatMap(({ price }) => price)) / 6);
  const priced = (value) => high(BOX.price, Math.log(Math.max(value, least) / least) / Math.log(top / least));
  const points = (values, place, shift) => values.map((value, i) => `${at(i + shift).toFixed(1)},${place(value).toFixed(1)}`);

  make("text", { x: BOX.left, y: 14 }, chart, "patches, sorted by y");
  make("text", { x: BOX.left, y: 136 }, chart, "NCut (line), its two escapes (thin), by logarithm");
  for (const box of [BOX.y, BOX.price]) {
    make("line", { x1: BOX.left, x2: BOX.left, y1: box[0], y2: box[1], stroke: "var(--line)" }, chart);
  }
  const zero = make("line", { x1: BOX.left, x2: BOX.right, stroke: "var(--line)", "stroke-dasharray": "2 4" }, chart);
  const nought = make("text", { x: BOX.left - 6, "text-anchor": "end" }, chart, "0");
  make("line", { x1: BOX.left, x2: BOX.right, y1: BOX.price[1], y2: BOX.price[1], stroke: "var(--line)" }, chart);
  for (const tick of [1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001].filter((value) => value > least)) {
    const line = priced(tick);
    make("line", { x1: BOX.left, x2: BOX.right, y1: line, y2: line, stroke: "var(--line)", opacity: 0.35 }, chart);
    make("text", { x: BOX.left - 6, y: line + 4, "text-anchor": "end" }, chart, String(tick));
  }
  const sides = ["--a", "--b"].map((colour) => make("path", { fill: "none", stroke: `var(${colour})`, "stroke-width": 3.5 }, chart));
  const curves = [["var(--a)", 1.2, "5 3"], ["var(--b)", 1.2, "5 2 1 2"], ["currentColor", 2, "none"]].map(([stroke, thick, dash]) =>
    make("path", { fill: "none", stroke, "stroke-width": thick, "stroke-dasharray": dash }, chart));
  const triangle = make("path", { fill: "currentColor" }, chart);
  const dot = make("circle", { r: 4, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }, chart);
  const mark = make("text", { y: BOX.price[1] + 23 }, chart);
  const bar = make("path", { stroke: "currentColor", "stroke-width": 2 }, chart);
  const grips = [0, 1].map(() => make("circle", { r: 6, fill: "currentColor" }, chart));

  const picture = load(model, draw);

  // what changes with the eigenvector alone
  function take(index) {
    now = vectors[index];
    pressed?.(index);
    const at0 = high(BOX.y, now.zero);
    set(zero, { y1: at0, y2: at0 });
    nought.setAttribute("y", at0 + 4);
    now.curves ??= [now.leaving, now.entering, now.price].map((values) => points(values, priced, 1));
    now.points ??= points(now.y, (value) => high(BOX.y, value), 0.5);
    choose(split);
  }

  // Which split is the cheapest, of all or of those that were swept; the triangle is there.
  function cheapest() {
    const found = now.price.slice(0, split).reduce((least, value, i, all) => (value < all[least] ? i : least), 0);
    const best = sweeping && split < now.best ? found + 1 : now.best;
    const x = at(best);
    triangle.setAttribute("d", `M${x - 6},${BOX.price[1] + 12}L${x},${BOX.price[1] + 3}L${x + 6},${BOX.price[1] + 12}Z`);
    set(dot, { cx: x, cy: priced(now.price[best - 1]) });
    mark.textContent = sweeping ? "best so far" : "best";
    const room = sweeping ? 34 : 12; // for half of these words
    set(mark, { x: Math.max(BOX.left + room - 12, Math.min(BOX.right - room, x)), "text-anchor": "middle" });
    return best;
  }

  function draw() {
    const { y, leaving, entering, price, rank } = now;
    const best = cheapest();
    now.curves.forEach((curve, i) => curves[i].setAttribute("d", `M${(sweeping ? curve.slice(0, split) : curve).join("L")}`));
    const side = (patch) => (rank[patch] < split ? 0 : 1);
    paint(canvas, picture, grid, (patch) => [...COLOURS[side(patch)], 135], side);
    const x = at(split);
    bar.setAttribute("d", [BOX.y, BOX.price].map(([from, to]) => `M${x},${from - 2}V${to}`).join(""));
    grips.forEach((grip) => grip.setAttribute("cx", x));
    grips[0].setAttribute("cy", high(BOX.y, y[split - 1]));
    grips[1].setAttribute("cy", priced(price[split - 1]));
    sides[0].setAttribute("d", `M${now.points.slice(0, split).join("L")}`);
    sides[1].setAttribute("d", `M${now.points.slice(split).join("L")}`);
    const percent = (value) => `${(100 * value).toFixed(1)}%`;
    const [out, back, sum] = [leaving[split - 1], entering[split - 1], price[split - 1]];
    const most = price[best - 1];
    const [own, other] = sweeping ? ["the best so far", "The best so far"] : ["the best of all splits", "The best split"];
    const verdict = split === best ? `This is ${own}.` : `${other}, at ${best}, costs ${most.toFixed(3)}.`;
    facts.replaceChildren();
    make("b", {}, facts, `${split} patch${split > 1 ? "es" : ""} (blue)`);
    facts.append(` lose${split > 1 ? "" : "s"} ${percent(out)} of the walkers at each step, `);
    make("b", {}, facts, `${n - split} (orange)`);
    facts.append(` lose${n - split > 1 ? "" : "s"} ${percent(back)}. `);
    make("strong", {}, facts, `NCut ${sum.toFixed(3)}.`);
    facts.append(` ${verdict}`);
    canvas.setAttribute("aria-label", `The photograph with both sides of the cut. ${facts.textContent}`);
    set(chart, { "aria-valuenow": split, "aria-valuetext": `${split} patches, NCut ${sum.toFixed(3)}` });
    report(model, { vector: vectors.indexOf(now), split, ncut: sum, leaving: out, entering: back, best });
  }

  function choose(size, sweep = false) {
    sweeping = sweep;
    split = Math.max(1, Math.min(n - 1, Math.round(size)));
    draw();
  }

  follow(chart, (event) => choose(0.5 + ((within(event, chart)[0] * 360 - BOX.left) / (BOX.right - BOX.left)) * (n - 1)));
  follow(canvas, (event) => { // a patch of the picture: the split just behind it in the order
    const [row, column] = pointed(event, canvas, grid);
    choose(1 + now.rank[row * grid[1] + column]);
  });
  chart.addEventListener("keydown", (event) => {
    const far = Math.max(1, Math.round(n / 20));
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -far, PageUp: far, Home: -n, End: n };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(split + steps[event.key]);
  });
  const buttons = make("div", { class: "buttons", role: "group", "aria-label": "Splits, one after another or by a rule" });
  facts.before(buttons);
  // a moment for each split, and one for the verdict
  player(root, buttons, "sweep", { last: n - 1, at: () => split - 1, stride: Math.max(1, Math.round(n / 24)),
    go: (moment) => (moment < n - 1 ? choose(moment + 1, true) : choose(now.best)), wait: (moment) => (moment < n - 2 ? 9000 / n : 1200) });
  const rules = { "best split": () => now.best, "by sign": () => now.sign, "by halves": () => Math.floor(n / 2), "a crumb": () => 1 };
  for (const [name, size] of Object.entries(rules)) {
    make("button", { type: "button" }, buttons, name).addEventListener("click", () => choose(size()));
  }
  take(0);
}

export default { render };
