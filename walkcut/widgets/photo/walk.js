// The random walk that attention takes over the picture, as `walkcut.walk` makes it ready to be cut. A matrix (n, n) is a
// Float32Array, row by row.

const CLOSED = 1e-12; // a smaller probability does not connect patches
const TELEPORT = 1e-6; // restart probability that makes the stationary law of a reducible walk unique

// For each of `size` new places along a side: two of `old` ones and the share of the second, bilinear.
function between(old, size) {
  return Array.from({ length: size }, (_, i) => {
    const at = Math.max(((i + 0.5) * old) / size - 0.5, 0);
    const low = Math.min(Math.floor(at), old - 1);
    return [low, Math.min(low + 1, old - 1), at - low];
  });
}

// Maps (rows, columns, c) at another size, bilinear.
function bilinear(maps, [rows, columns], c, [height, width]) {
  const found = new Float32Array(height * width * c);
  const across = between(columns, width);
  between(rows, height).forEach(([top, bottom, down], y) => {
    across.forEach(([left, right, over], x) => {
      const corners = [[top, left], [top, right], [bottom, left], [bottom, right]].map(([r, s]) => (r * columns + s) * c);
      const shares = [(1 - down) * (1 - over), (1 - down) * over, down * (1 - over), down * over];
      for (let i = 0; i < c; i += 1) {
        let sum = 0;
        for (let k = 0; k < 4; k += 1) sum += shares[k] * maps[corners[k] + i];
        found[(y * width + x) * c + i] = sum;
      }
    });
  });
  return found;
}

// One row-stochastic matrix on the finest grid: keys of a coarse one are spread bilinearly, its queries repeated; grids
// weigh as many patches as they have.
function aggregate(means) {
  const [h, w] = means[0].grid;
  const n = h * w;
  const P = new Float32Array(n * n);
  const patches = means.reduce((sum, { grid }) => sum + grid[0] * grid[1], 0);
  for (const { grid: [rows, columns], matrix } of means) {
    const many = rows * columns;
    const spread = Array.from({ length: many }, (_, i) => {
      const row = bilinear(matrix.subarray(i * many, (i + 1) * many), [rows, columns], 1, [h, w]);
      const total = row.reduce((sum, value) => sum + value, 0);
      return row.map((value) => ((value / total) * many) / patches);
    });
    for (let i = 0; i < n; i += 1) {
      const parent = Math.floor((Math.floor(i / w) * rows) / h) * columns + Math.floor(((i % w) * columns) / w);
      const row = spread[parent];
      for (let j = 0; j < n; j += 1) P[i * n + j] += row[j];
    }
  }
  return P;
}

// Equation `eq-walk-prior`: how near two rows, or two columns, of a grid are.
const nearness = (side, longest, sigma) => Array.from({ length: side }, (_, i) =>
  Array.from({ length: side }, (_, j) => Math.exp(-0.5 * ((i - j) / (sigma * longest)) ** 2)));

// The walk that is cut: no rests, so many walkers agree (equation `eq-walk-agree`), near patches come first.
function prepared(P, [h, w], inflation, sigma) {
  const n = h * w;
  const [nearY, nearX] = [h, w].map((side) => nearness(side, Math.max(h, w), sigma));
  const found = new Float32Array(n * n);
  for (let i = 0; i < n; i += 1) {
    const row = P.subarray(i * n, (i + 1) * n);
    let top = 0;
    for (let j = 0; j < n; j += 1) if (j !== i) top = Math.max(top, row[j]);
    let total = 0;
    for (let j = 0; j < n; j += 1) {
      const step = top > 0 ? (j === i ? 0 : row[j] / top) : Number(j === i); // who is never left keeps the rest
      const near = nearY[Math.floor(i / w)][Math.floor(j / w)] * nearX[i % w][j % w];
      total += found[i * n + j] = step ** inflation * near;
    }
    for (let j = 0; j < n; j += 1) found[i * n + j] /= total;
  }
  return found;
}

// The stationary law, equation `eq-walk-stationary`, exactly: states are taken out one by one, and what led through them
// is led past them, without a subtraction (Grassmann, Taksar & Heyman 1985). A walk with several closed classes has many
// laws; then it is that of the walk that restarts anywhere with a small probability.
function stationary(P, n, teleport = 0) {
  const A = Float64Array.from(P, (p) => (1 - teleport) * p + teleport / n);
  for (let last = n - 1; last > 0; last -= 1) {
    const row = A.subarray(last * n, last * n + last);
    const out = row.reduce((sum, p) => sum + p, 0);
    if (out <= CLOSED && !teleport) return stationary(P, n, TELEPORT);
    for (let i = 0; i < last; i += 1) {
      const share = (A[i * n + last] /= out);
      if (share) for (let j = 0; j < last; j += 1) A[i * n + j] += share * row[j];
    }
  }
  const law = new Float64Array(n);
  law[0] = 1;
  let total = 1;
  for (let state = 1; state < n; state += 1) {
    for (let i = 0; i < state; i += 1) law[state] += law[i] * A[i * n + state];
    total += law[state];
  }
  return law.map((share) => share / total);
}

// The graph whose walk flows alike: W = (diag(pi) P + P^T diag(pi)) / 2, equation `eq-walk-reversible`.
function reversible(P, n) {
  const law = stationary(P, n);
  const W = new Float32Array(n * n);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) W[i * n + j] = (law[i] * P[i * n + j] + law[j] * P[j * n + i]) / 2;
  }
  return W;
}

// What distance alone explains, `walkcut.null.SpatialNull`: a step from i to j has the chance u_i u_j f(j - i), with f from
// all pairs of patches at one displacement in this very picture, and u such that nobody is where the law does not say.
// Equation `eq-stop-flow`.
function spatialNull(P, [h, w], law) {
  const n = h * w;
  const across = 2 * w - 1;
  const place = Int32Array.from(law, (_, i) => Math.floor(i / w) * across + (i % w));
  const middle = (h - 1) * across + w - 1; // where nobody has moved
  const [seen, expected] = [0, 1].map(() => new Float64Array((2 * h - 1) * across));
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      const shift = middle + place[j] - place[i];
      seen[shift] += law[i] * P[i * n + j];
      expected[shift] += law[i] * law[j];
    }
  }
  const f = seen.map((share, shift) => (share + seen[2 * middle - shift]) / 2 / Math.max(expected[shift], 1e-300));
  let u = Float64Array.from(law);
  for (let round = 0; round < 100; round += 1) {
    const sums = u.map((own, i) => own * u.reduce((sum, other, j) => sum + other * f[middle + place[j] - place[i]], 0));
    if (sums.reduce((off, sum, i) => off + Math.abs(sum - law[i]), 0) < 1e-9) break;
    u = u.map((own, i) => own * Math.sqrt(law[i] / Math.max(sums[i], 1e-300)));
  }
  return (i, j) => u[i] * u[j] * f[middle + place[j] - place[i]];
}
