// Walkers on the running toy graph: two triangles joined by a bridge. Every edge can be weighed, taken away or put in, and
// the triangles can be twisted.

const PLACES = [[50, 40], [50, 160], [130, 100], [230, 100], [310, 40], [310, 160]];
const NODES = PLACES.length;
const PAIRS = PLACES.flatMap((_, i) => PLACES.slice(i + 1).map((_, j) => [i, i + 1 + j])); // all fifteen
// the arrows show the way in which a positive twist pushes
const TRIANGLES = [[[0, 1], [1, 2], [2, 0]], [[3, 4], [4, 5], [5, 3]]];
const pair = (i, j) => PAIRS.findIndex(([a, b]) => a === Math.min(i, j) && b === Math.max(i, j));
const BRIDGE = pair(2, 3);

const STYLE = `
& { --face: #ffffff; --mark: #111827; margin: 0; font-size: 0.95rem; line-height: 1.4; }
html[data-theme="dark"] &, body[data-jp-theme-light="false"] & { --face: #1b2028; --mark: #f3f4f6; }
& svg { overflow: visible; }
& .node { cursor: pointer; outline: none; }
& .node text { font-size: 15px; font-weight: 600; text-anchor: middle; dominant-baseline: central; }
& .node:focus-visible circle { stroke: var(--mark); stroke-width: 5; }
& .walker { opacity: 0.75; stroke: var(--face); stroke-width: 0.6; transition: transform 0.35s ease-in-out; }
& .controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1.25rem; margin: 0.6rem 0; align-items: center; }
& button { min-width: 5rem; }
& .hit { stroke: transparent; stroke-width: 18; cursor: pointer; }
& label { display: grid; grid-template-columns: auto 3.2rem; column-gap: 0.5rem; flex: 1 1 14rem; }
& label output { text-align: right; font-variant-numeric: tabular-nums; }
& input { grid-column: 1 / -1; width: 100%; min-height: 32px; accent-color: var(--a); }
& .facts { margin: 0.3rem 0 0; min-height: 4.4em; font-variant-numeric: normal; }
@media (prefers-reduced-motion: reduce) { & .walker { transition: none; } }
`;

// Transition matrix, stationary law, flow over the middle and number of components. A twist adds one and the same current all
// round a triangle, as strong as its lightest edge allows, so that the law stays where it was.
function chain(weights, twist) {
  const flow = PLACES.map(() => new Array(NODES).fill(0));
  PAIRS.forEach(([i, j], e) => { flow[i][j] = flow[j][i] = weights[e]; });
  for (const triangle of TRIANGLES) {
    const current = twist * Math.min(...triangle.map(([i, j]) => weights[pair(i, j)]));
    for (const [i, j] of triangle) { flow[i][j] += current; flow[j][i] -= current; }
  }
  const degrees = flow.map((row) => row.reduce((sum, x) => sum + x, 0));
  const volume = degrees.reduce((sum, x) => sum + x, 0);
  const group = PLACES.map((_, i) => i);
  for (const _ of PLACES) PAIRS.forEach(([i, j], e) => { if (weights[e] > 0) group[i] = group[j] = Math.min(group[i], group[j]); });
  const crossing = PAIRS.reduce((sum, [i, j], e) => sum + (i < 3 && j >= 3 ? weights[e] : 0), 0);
  const side = (from) => degrees.slice(from, from + 3).reduce((sum, x) => sum + x, 0);
  return {
    P: flow.map((row, i) => row.map((x, j) => (degrees[i] ? x / degrees[i] : Number(i === j)))), // who is cut off stays
    law: degrees.map((d) => (volume ? d / volume : 1 / NODES)),
    ncut: crossing ? crossing / side(0) + crossing / side(3) : 0,
    parts: new Set(group).size,
  };
}

// Largest modulus of an eigenvalue other than the 1 of the stationary law: the growth of (P - 1 law')^n, n = 2^20.
function slowest({ P, law }) {
  let M = P.map((row) => row.map((x, j) => x - law[j]));
  let logarithm = 0;
  for (let doubling = 0; doubling < 20; doubling += 1) {
    const square = M.map((row) => row.map((_, j) => row.reduce((sum, x, m) => sum + x * M[m][j], 0)));
    const size = Math.max(...square.flat().map(Math.abs));
    logarithm = 2 * logarithm + Math.log(size);
    M = square.map((row) => row.map((x) => x / size));
  }
  return Math.min(1, Math.exp(logarithm / 2 ** 20));
}

export default {
  render({ model, el }) {
    const draw = random(model.get("seed"));
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const weights = PAIRS.map(([i, j]) => Number((i < 3) === (j < 3)));
    weights[BRIDGE] = model.get("bridge");
    let twist = model.get("twist");
    let edge = BRIDGE; // the one that can be weighed
    let home = 0;
    let walk = chain(weights, twist);
    let walkers = [];
    let visits = [];
    let steps = 0;
    let since = ""; // what the steps are counted from
    let timer = null;

    const root = frame(el, "toy", STYLE, { "aria-label": "Walkers on the toy graph" });
    const drawings = make("div", { class: "drawings" }, root);
    const controls = make("div", { class: "controls" }, root);
    const sliders = make("div", { class: "controls" }, root);
    const facts = make("p", { class: "facts", "aria-live": "polite" }, root);

    const graph = make("svg", { viewBox: "0 0 360 200", role: "group",
      "aria-label": "Graph of six nodes: choose one to release the walkers there, or an edge to weigh it" }, drawings);
    const ends = ([i, j]) => ({ x1: PLACES[i][0], y1: PLACES[i][1], x2: PLACES[j][0], y2: PLACES[j][1] });
    const lines = PAIRS.map((nodes) => make("line", ends(nodes), graph));
    PAIRS.forEach((nodes, e) => make("line", { class: "hit", ...ends(nodes) }, graph).addEventListener("click", () => {
      choose(e);
      weigh.input.focus();
    }));
    const arrows = TRIANGLES.map((triangle) => triangle.map(([i, j]) => {
      const [dx, dy] = [PLACES[j][0] - PLACES[i][0], PLACES[j][1] - PLACES[i][1]];
      const turn = (Math.atan2(dy, dx) * 180) / Math.PI;
      const [x, y] = [(PLACES[i][0] + PLACES[j][0]) / 2, (PLACES[i][1] + PLACES[j][1]) / 2];
      return make("path", { d: "M-7,-7 L8,0 L-7,7 Z", fill: "var(--line)", "pointer-events": "none",
        transform: `translate(${x} ${y}) rotate(${turn})` }, graph);
    }));
    const nodes = PLACES.map(([x, y], i) => {
      const node = make("g", { class: "node", role: "button", tabindex: "0",
        "aria-label": `Release the walkers at node ${i}` }, graph);
      make("circle", { cx: x, cy: y, r: 25, fill: "var(--face)", stroke: colour(i), "stroke-width": 3 }, node);
      make("text", { x, y }, node, String(i));
      node.addEventListener("click", () => release(i));
      node.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); release(i); }
      });
      return node;
    });
    const dots = Array.from({ length: model.get("walkers") }, () => {
      const [angle, radius] = [draw() * 2 * Math.PI, 11 + 11 * Math.sqrt(draw())];
      const dot = make("circle", { class: "walker", r: 3.2, "pointer-events": "none" }, graph);
      dot.shift = [radius * Math.cos(angle), radius * Math.sin(angle)];
      return dot;
    });

    const chart = make("svg", { viewBox: "0 0 360 200", role: "img" }, drawings);
    make("text", { x: 6, y: 14 }, chart, "share of visits (bars), stationary law (marks)");
    make("line", { x1: 6, x2: 354, y1: 172, y2: 172, stroke: "var(--line)" }, chart);
    const bars = PLACES.map((_, i) => make("rect", { x: 14 + 58 * i, width: 42, fill: colour(i) }, chart));
    const marks = PLACES.map((_, i) => make("line", { x1: 8 + 58 * i, x2: 62 + 58 * i, stroke: "var(--mark)",
      "stroke-width": 3 }, chart));
    PLACES.forEach((_, i) => make("text", { x: 35 + 58 * i, y: 190, "text-anchor": "middle" }, chart, String(i)));

    function colour(i) { return i < 3 ? "var(--a)" : "var(--b)"; }
    function button(text, action) {
      const made = make("button", { type: "button" }, controls, text);
      made.addEventListener("click", action);
      return made;
    }
    button("One step", () => { pause(); advance(1); tell(); });
    const play = button("", () => {
      if (still.matches) { advance(50); tell(); } else if (timer) { pause(); tell(); } else start();
    });
    button("Start again", () => release(home));
    const label = make("div", { class: "controls" }, sliders);
    const choice = make("select", { "aria-label": "Edge to weigh" }, label);
    PAIRS.forEach(([i, j], e) => make("option", { value: e }, choice, `edge ${i}–${j}`));
    choice.addEventListener("change", () => choose(Number(choice.value)));
    const weigh = slider("its weight", 2, weights[edge], (value) => { weights[edge] = value; });
    const toggle = make("button", { type: "button" }, label);
    toggle.addEventListener("click", () => weigh.change(weights[edge] ? 0 : 1));
    slider("twist of the triangles", 0.9, twist, (value) => { twist = value; });

    function choose(e) {
      edge = e;
      weigh.show(weights[edge]);
      paint();
      tell();
    }
    function slider(text, max, value, action) {
      const label = make("label", {}, sliders);
      make("span", {}, label, text);
      const shown = make("output", {}, label, value.toFixed(2));
      const input = make("input", { type: "range", min: 0, max, step: 0.05, value, "aria-label": text }, label);
      const show = (value) => { input.value = value; shown.textContent = value.toFixed(2); };
      const change = (value) => {
        show(value);
        action(value);
        walk = chain(weights, twist);
        visits = new Array(NODES).fill(0); // a new walk has a new history; the walkers stay where they are
        steps = 0;
        since = "since the change";
        paint();
        tell();
      };
      input.addEventListener("input", () => change(Number(input.value)));
      return { input, show, change };
    }

    function release(i) {
      home = i;
      since = `from node ${i}`;
      walkers = dots.map(() => i);
      visits = new Array(NODES).fill(0);
      steps = 0;
      paint();
      tell();
    }
    function advance(count) {
      for (let n = 0; n < count; n += 1) {
        walkers = walkers.map((i) => {
          let left = draw();
          const next = walk.P[i].findIndex((p) => (left -= p) < 0);
          return next < 0 ? i : next; // rounding can leave nothing to draw
        });
        walkers.forEach((i) => { visits[i] += 1; });
        steps += 1;
      }
      paint();
    }
    function start() {
      facts.setAttribute("aria-live", "off"); // a screen reader is told where it ends, not of every step
      timer = setInterval(() => { if (el.isConnected) { advance(1); tell(); } else pause(); }, 450);
      name();
    }
    function pause() {
      clearInterval(timer);
      timer = null;
      facts.setAttribute("aria-live", "polite");
      name();
    }
    function name() { play.textContent = still.matches ? "50 steps" : timer ? "Pause" : "Play"; }
    function paint() {
      lines.forEach((line, e) => set(line, {
        "stroke-width": weights[e] ? 1.5 + 5 * weights[e] : 1.5, opacity: weights[e] ? (e === edge ? 0.95 : 0.55) : e === edge ? 0.9 : 0.25,
        "stroke-dasharray": weights[e] ? "none" : "2 5", stroke: e === edge ? "#e69f00" : "var(--line)",
      }));
      arrows.forEach((three, t) => three.forEach((arrow) =>
        arrow.setAttribute("opacity", TRIANGLES[t].every(([i, j]) => weights[pair(i, j)]) ? twist : 0)));
      choice.value = edge;
      toggle.textContent = weights[edge] ? "Take it away" : "Put it in";
      dots.forEach((dot, n) => {
        const [x, y] = PLACES[walkers[n]];
        dot.setAttribute("fill", colour(home));
        dot.style.transform = `translate(${x + dot.shift[0]}px, ${y + dot.shift[1]}px)`;
      });
      const total = visits.reduce((sum, n) => sum + n, 0);
      const tall = (share) => Math.min(145, 300 * share);
      bars.forEach((bar, i) => {
        const height = tall(total ? visits[i] / total : 0);
        set(bar, { y: 172 - height, height });
        set(marks[i], { y1: 172 - tall(walk.law[i]), y2: 172 - tall(walk.law[i]) });
      });
    }
    function tell() {
      const total = visits.reduce((sum, n) => sum + n, 0);
      const shares = visits.map((n) => (total ? n / total : 0));
      const rho = slowest(walk);
      const where = walkers.filter((i) => i >= 3).length;
      const cut = `NCut between 0, 1, 2 and 3, 4, 5: ${walk.ncut.toFixed(3)}`;
      const memory = walk.parts > 1
        ? `The graph falls into ${walk.parts} parts: no single stationary law (the marks show one of many).`
        : rho > 1 - 1e-9 ? `${cut}; the walk is periodic and never settles.`
          : `${cut}; relaxation time ${(1 / (1 - rho)).toFixed(1)} steps.`;
      facts.textContent = `${steps} steps ${since}: ${walkers.length - where} of ${walkers.length} walkers are now in ` +
        `0, 1, 2 and ${where} in 3, 4, 5. ${memory}`;
      const said = shares.map((share, i) => `node ${i}: ${share.toFixed(2)} against ${walk.law[i].toFixed(2)}`);
      chart.setAttribute("aria-label", `Share of visits against the stationary law. ${said.join("; ")}.`);
      report(model, { weights: [...weights], twist, edge: PAIRS[edge], steps, visits: [...visits], law: walk.law, ncut: walk.ncut });
    }
    still.addEventListener("change", () => { pause(); });
    name();
    release(0);
  },
};
