// Choose two patches of the photograph and see where walkers from each of them are after k steps; follow one from either.

const STYLE = `
& .buttons { gap: 0.25rem 0.9rem; }
& .buttons b { margin-right: 0.2rem; }
& label { display: inline-flex; align-items: center; gap: 0.4rem; min-height: 44px; cursor: pointer; }
& .steps { display: flex; flex-wrap: wrap; flex: 1 1 19rem; }
& .steps span { min-width: 6.5em; font-variant-numeric: tabular-nums; font-weight: 600; }
& .steps input { flex: 1 1 12rem; height: 44px; accent-color: var(--a); cursor: pointer; }
& input[type="radio"] { width: 1.1rem; height: 1.1rem; accent-color: var(--a); }
& .three { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 0.75rem; }
@media (max-width: 600px) {
  & .three { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  & .panel:first-child { grid-column: 1 / -1; }
}
& canvas { border-color: currentColor; cursor: crosshair; touch-action: pan-y; }
& .panel p { font-size: 0.9em; line-height: 1.35; margin: 0.25rem 0 0; font-variant-numeric: tabular-nums; }
& .panel + .panel p { min-height: 4em; }
& .panel:first-child p { min-height: 2.7em; }
& .facts { min-height: 3em; }
`;

const LONGEST = 16; // one place further on the slider is "forever"
const AT_ONCE = 4 * 2 ** 20; // products between two frames: a few milliseconds
const DARKEST = 215; // of 255: where no walker is, the picture can still be made out
const NAMES = ["A", "B"];
const RINGS = ["#56b4e9", "#e69f00"];

// The law mu after one step more: mu P, eight rows at a time, because memory is slower than arithmetic.
function onward(P, mu) {
  const n = mu.length;
  const next = new Float32Array(n);
  let row = 0;
  for (; row + 8 <= n; row += 8) {
    const [a, b, c, d, e, f, g, h] = mu.subarray(row, row + 8);
    if (a + b + c + d + e + f + g + h === 0) continue;
    for (let to = 0, i = row * n; to < n; to += 1, i += 1) {
      next[to] += a * P[i] + b * P[i + n] + c * P[i + 2 * n] + d * P[i + 3 * n]
        + e * P[i + 4 * n] + f * P[i + 5 * n] + g * P[i + 6 * n] + h * P[i + 7 * n];
    }
  }
  for (; row < n; row += 1) for (let to = 0; to < n; to += 1) next[to] += mu[row] * P[row * n + to];
  return next;
}

// From a walk's matrix, in idle moments, those of two and of four steps at once; `powers` gets them when they are whole.
function warm(powers, n) {
  const idle = window.requestIdleCallback ?? ((act) => setTimeout(() => act({ timeRemaining: () => 5 }), 20));
  const square = (k) => {
    const [P, Q] = [powers[k], new Float32Array(n * n)];
    let row = 0;
    const some = (deadline) => {
      do {
        Q.set(onward(P, P.subarray(row * n, (row + 1) * n)), row * n);
        row += 1;
      } while (row < n && deadline.timeRemaining() > 3);
      if (row < n) idle(some);
      else {
        powers[2 * k] = Q;
        if (k < 2) square(2 * k);
      }
    };
    idle(some);
  };
  square(1);
}

// Take a walk, whose entry k is the law after k steps, to `steps` of them, by the longest strides that are there but by
// at most so many; how many it took. It has arrived when the entry is there.
function advance(powers, walk, steps, most) {
  let taken = 0;
  for (; !walk[steps] && taken < most; taken += 1) {
    const at = walk.findLastIndex((law, k) => law && k < steps);
    const stride = [4, 2, 1].find((length) => powers[length] && at + length <= steps);
    walk[at + stride] = onward(powers[stride], walk[at]);
  }
  return taken;
}

function render({ model, el }) {
  const [height, width] = model.get("size");
  const colours = bytes(model.get("colours"));
  const grids = model.get("grids").map((grid) => {
    const n = grid.shape[0] * grid.shape[1];
    const law = words(grid.law);
    const total = law.reduce((sum, value) => sum + value, 0);
    return { ...grid, n, powers: { 1: stochastic(grid, n) }, law: Float32Array.from(law, (value) => value / total) };
  });
  let grid = grids[0];
  let steps = 1;
  let heat = false;
  let active = 0; // the patch that the photograph moves
  const spots = [[0.3, 0.3], [0.7, 0.7]]; // of both patches, as shares of height and width
  const walks = []; // of each patch: the number it began at, and where its walkers are after so many steps, where known
  let waiting = false; // for the next frame
  let trails = null; // or the patches that one walker from either has come by

  const patch = (which) => spots[which].map((share, axis) => clamp(Math.floor(share * grid.shape[axis]), grid.shape[axis] - 1));
  const number = (which) => patch(which)[0] * grid.shape[1] + patch(which)[1];
  const place = (index) => [Math.floor(index / grid.shape[1]), index % grid.shape[1]];

  const root = frame(el, "attention", STYLE, { "aria-label": "Where walkers go" });
  const radios = (title, names, act) => {
    const group = make("div", { class: "buttons", role: "radiogroup", "aria-label": title }, root);
    make("b", {}, group, title);
    const name = `walkcut-${Math.random().toString(36).slice(2)}`;
    names.forEach((text, index) => {
      const label = make("label", {}, group);
      const input = make("input", { type: "radio", name, ...(index ? {} : { checked: "" }) }, label);
      label.append(text);
      input.addEventListener("change", () => { act(index); draw(); });
    });
  };
  if (grids.length > 1) {
    radios(grids[0].name ? "Seen by" : "Patches", grids.map(({ name, shape }) => name || `${shape[0]} × ${shape[1]}`), (index) => {
      grid = grids[index];
      walks.length = 0;
      trails = null;
    });
  }
  radios("Show", ["the picture, dimmed", "colours"], (index) => { heat = index === 1; });
  const row = make("div", { class: "buttons" }, root);
  const label = make("label", { class: "steps" }, row);
  const shown = make("span", {}, label);
  const slider = make("input", { type: "range", min: 1, max: LONGEST + 1, step: 1, value: 1, "aria-label": "Steps of the walk" }, label);
  slider.addEventListener("input", () => {
    steps = Number(slider.value);
    draw();
  });
  const odds = random(1);
  player(root, row, "walk", { last: LONGEST, at: () => steps - 1, wait: () => 600, go: (moment) => {
    if (!trails || moment === 0) trails = [0, 1].map(wander);
    steps = moment + 1;
    slider.value = steps;
    draw();
  } });
  const ready = () => {
    if (!grid.warm) warm(grid.powers, grid.n);
    grid.warm = true;
  };
  for (const touched of ["pointerover", "focusin", "input"]) root.addEventListener(touched, ready);
  const three = make("div", { class: "three" }, root);
  const panel = (title) => {
    const figure = make("div", { class: "panel" }, three);
    return { canvas: make("canvas", { width, height, role: "img" }, figure), said: make("p", {}, figure, title) };
  };
  const photo = panel("The photograph: drag A or B.");
  const maps = NAMES.map(() => panel(""));
  const facts = make("p", { class: "facts", "aria-live": "polite" }, root);
  const picture = load(model, draw);

  const choose = (which) => (row, column) => {
    const before = number(which);
    spots[which] = [(row + 0.5) / grid.shape[0], (column + 0.5) / grid.shape[1]];
    if (number(which) === before) return;
    trails = null;
    draw();
  };
  follow(photo.canvas, (event, first) => {
    const to = pointed(event, photo.canvas, grid.shape);
    const far = (which) => Math.hypot(...patch(which).map((index, axis) => index - to[axis]));
    if (first) active = far(1) < far(0) ? 1 : 0;
    choose(active)(...to);
  });
  maps.forEach(({ canvas }, which) => chooser(canvas, `Patch ${NAMES[which]}.`, () => grid.shape, () => patch(which), choose(which)));

  // One walker, who draws every patch from the row of the one before.
  function wander(which) {
    const trail = [number(which)];
    while (trail.length <= LONGEST) {
      let left = odds();
      const from = trail.at(-1) * grid.n;
      const next = grid.powers[1].subarray(from, from + grid.n).findIndex((share) => (left -= share) < 0);
      trail.push(next < 0 ? trail.at(-1) : next); // rounding can leave nothing to draw
    }
    return trail;
  }

  // The photograph, bright where the rows might have sent the two walkers last, and the ways that they took.
  function showWalkers() {
    const took = Math.min(steps, LONGEST);
    const rows = trails.map((trail) => {
      const row = grid.powers[1].subarray(trail[took - 1] * grid.n, (trail[took - 1] + 1) * grid.n);
      const most = row.reduce((high, share) => Math.max(high, share), 0);
      return (to) => row[to] / most;
    });
    tint(photo.canvas, grid.shape, (to) => [0, 0, 0, DARKEST * (1 - Math.sqrt(Math.max(rows[0](to), rows[1](to))))]);
    const context = photo.canvas.getContext("2d");
    const unit = width / (photo.canvas.clientWidth || width);
    trails.forEach((trail, which) => {
      const spot = (step) => place(trail[step]).map((at, axis) => ((at + 0.5) * [height, width][axis]) / grid.shape[axis]);
      for (let step = 1; step <= took; step += 1) {
        const [[y, x], [down, across]] = [spot(step - 1), spot(step)];
        context.globalAlpha = Math.max(0.15, 0.6 ** (took - step)); // the last step is what counts
        for (const [colour, thick] of [["black", 5], [RINGS[which], 2.5]]) {
          [context.strokeStyle, context.fillStyle, context.lineWidth] = [colour, colour, thick * unit];
          context.beginPath();
          context.moveTo(x, y);
          context.lineTo(across, down);
          context.stroke();
          context.beginPath();
          context.arc(across, down, (step === took ? thick + 2 : thick / 2) * unit, 0, 2 * Math.PI);
          context.fill();
        }
      }
    });
  }

  // Python measured how far 1, 2, 4, 8 and 16 steps stray, and the strays of several add up at most
  const error = (k) => grid.errors.reduce((sum, stray, bit) => sum + ((k >> bit) & 1) * stray, 0);

  // where the walkers of a patch are now, if they are there yet
  const law = (which) => (steps > LONGEST ? grid.law : walks[which]?.laws[steps]);
  const moved = (which) => walks[which]?.from !== number(which);

  // Take as many strides as fit between two frames. Walkers from a patch that was left are let arrive and shown before
  // others set out: so the figure keeps up with a pointer that never rests.
  function walkOn() {
    let most = Math.max(1, Math.floor(AT_ONCE / grid.n ** 2));
    const arrived = law(0) && law(1);
    for (const which of [0, 1]) {
      if (!walks[which] || (arrived && moved(which))) {
        walks[which] = { from: number(which), laws: [new Float32Array(grid.n)] };
        walks[which].laws[0][number(which)] = 1;
      }
      if (!law(which)) most -= advance(grid.powers, walks[which].laws, steps, most);
    }
  }

  function mark(canvas, which, [row, column]) {
    const context = canvas.getContext("2d");
    const unit = width / (canvas.clientWidth || width); // a pixel of the page
    const [x, y] = [((column + 0.5) * width) / grid.shape[1], ((row + 0.5) * height) / grid.shape[0]];
    for (const [colour, thick] of [["black", 4], [RINGS[which], 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick * unit;
      context.beginPath();
      context.arc(x, y, 6 * unit, 0, 2 * Math.PI);
      context.stroke();
    }
    context.font = `bold ${14 * unit}px sans-serif`;
    context.lineWidth = 3 * unit;
    context.strokeStyle = "black";
    const beside = x > width - 24 * unit ? x - 19 * unit : x + 9 * unit;
    const under = clamp(y + 5 * unit, height - 3 * unit);
    context.strokeText(NAMES[which], beside, Math.max(under, 14 * unit));
    context.fillStyle = RINGS[which];
    context.fillText(NAMES[which], beside, Math.max(under, 14 * unit));
  }

  function show(which) {
    const { canvas, said } = maps[which];
    const [mu, from] = [law(which), walks[which].from];
    const most = mu.reduce((high, share) => Math.max(high, share), 0);
    const least = mu.reduce((low, share) => Math.min(low, share), 1);
    canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
    tint(canvas, grid.shape, (to) => {
      const share = mu[to] / most;
      if (!heat) return [0, 0, 0, DARKEST * (1 - Math.sqrt(share))]; // the root, because a screen shows half the number as far less light
      const level = 3 * Math.round(255 * share);
      return [...colours.subarray(level, level + 3), 255];
    });
    mark(canvas, which, place(from));
    const peak = mu.indexOf(most);
    const told = (index) => `row ${place(index)[0] + 1}, column ${place(index)[1] + 1}`;
    const times = (share) => `${(share * grid.n).toFixed(share * grid.n < 10 ? 1 : 0)}×`;
    const text = `: most of all at ${told(peak)}, ${times(most)} the even share; least ${times(least)}.`;
    said.replaceChildren(make("b", {}, null, `From ${NAMES[which]}`), text);
    set(canvas, { "aria-valuemax": grid.n, "aria-valuenow": from + 1, "aria-valuetext": `${told(from)}${text}` });
    return { patch: place(from), peak, most: most * grid.n };
  }

  function compare() {
    const found = [0, 1].map(show);
    const apart = law(0).reduce((sum, share, to) => sum + Math.abs(share - law(1)[to]), 0) / 2;
    const forever = steps > LONGEST;
    facts.textContent = forever ? "In the long run a walker has forgotten where it began: this is the stationary law, and A and B agree."
      : `${(100 * apart).toFixed(1)}% of A's walkers would have to move to stand as B's do. ` +
        `Stored to a byte, these shares are off by at most ${(100 * error(steps)).toFixed(1)}% of the walkers in all.`;
    photo.canvas.setAttribute("aria-label", `The photograph with the patches A and B. ${facts.textContent}`);
    report(model, { grid: grid.shape, steps: forever ? null : steps, patches: found.map((one) => one.patch), peaks: found.map((one) => one.peak), apart, trails });
  }

  // The patches at once, and where the walkers are as soon as they are there.
  function draw() {
    if (waiting) return;
    shown.textContent = steps > LONGEST ? "forever" : `${steps} step${steps > 1 ? "s" : ""}`;
    set(slider, { "aria-valuetext": shown.textContent });
    photo.canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
    if (trails) showWalkers();
    for (const which of [0, 1]) mark(photo.canvas, which, patch(which));
    photo.said.textContent = trails ? "One walker from either: bright is where its row may send it, the dot where it went." : "The photograph: drag A or B.";
    walkOn();
    if (law(0) && law(1)) compare();
    waiting = ![0, 1].every((which) => law(which) && !moved(which));
    if (waiting) requestAnimationFrame(() => { waiting = false; draw(); });
  }
  draw();
}

export default { render };
