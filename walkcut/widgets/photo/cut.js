// The second eigenvector of a graph and the best split along it, as `walkcut.ncut` finds them. A graph is { W, n }.

const TOLERANCE = 1e-9; // |M x - mu x| at which Lanczos stops
const BASIS = 300; // vectors at most; then the vector is taken as it is: its sweep is still a valid cut
const SAME = 1e-6; // entries whose magnitudes are this near count as equal

// Row sums of W.
function degreesOf({ W, n }) {
  return Float64Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let j = i * n; j < (i + 1) * n; j += 1) sum += W[j];
    return sum;
  });
}

const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i]; return sum; };
const less = (a, b, share) => { for (let i = 0; i < a.length; i += 1) a[i] -= share * b[i]; };

// The smallest y but for the constant one with (D - W) y = lambda D y: equations `eq-ncut-relaxed`, `eq-ncut-symmetric`.
// Lanczos on M + 1, M = D^-1/2 W D^-1/2, with the known vector D^1/2 1 moved out of its way, and every vector kept
// orthogonal to all before it.
function secondEigenvector({ W, n }, degrees) {
  const root = degrees.map(Math.sqrt);
  const norm = Math.sqrt(dot(root, root));
  const first = root.map((value) => value / norm);
  const scaled = new Float64Array(n);
  const product = (x) => {
    for (let i = 0; i < n; i += 1) scaled[i] = x[i] / root[i];
    const after = Float64Array.from({ length: n }, (_, i) => {
      let sum = 0;
      for (let j = 0, at = i * n; j < n; j += 1, at += 1) sum += W[at] * scaled[j];
      return sum / root[i] + x[i];
    });
    less(after, first, 3 * dot(first, x));
    return after;
  };
  // any start will do that favours no patch: the fractional parts of multiples of the golden ratio
  let vector = Float64Array.from({ length: n }, (_, i) => (((i + 1) * 0.6180339887498949) % 1) - 0.5);
  let length = Math.sqrt(dot(vector, vector));
  const basis = [];
  const [alpha, beta] = [[], []];
  let top;
  for (let step = 1; ; step += 1) {
    vector = vector.map((value) => value / length);
    basis.push(vector);
    const next = product(vector);
    alpha.push(dot(vector, next));
    for (let twice = 0; twice < 2; twice += 1) for (const old of basis) less(next, old, dot(old, next));
    length = Math.sqrt(dot(next, next));
    const end = step === Math.min(n, BASIS) || length < 1e-12;
    if (end || step % 4 === 0) {
      top = largestPair(alpha, beta);
      if (end || length * Math.abs(top.vector[step - 1]) < TOLERANCE) break;
    }
    beta.push(length);
    vector = next;
  }
  const y = new Float64Array(n);
  basis.forEach((old, k) => less(y, old, -top.vector[k]));
  y.forEach((value, i) => { y[i] = value / root[i]; });
  const largest = y.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const sign = Math.sign(y.find((value) => Math.abs(value) >= (1 - SAME) * largest));
  // patches that are alike are equal, and keep their order
  return { value: Math.max(2 - top.value, 0), y: y.map((value) => (sign * Math.round((value / largest) * 1e9)) / 1e9) };
}

// The largest eigenvalue of a symmetric matrix of three diagonals, by bisection, and its vector by inverse iteration: a
// little above the largest eigenvalue, elimination needs no exchanges.
function largestPair(alpha, beta) {
  const n = alpha.length;
  const off = (i) => (i >= 0 && i < n - 1 ? beta[i] : 0);
  const above = (x) => { // whether all eigenvalues lie below x
    let pivot = 1;
    for (let i = 0; i < n; i += 1) {
      pivot = x - alpha[i] - (i ? off(i - 1) ** 2 / pivot : 0);
      if (pivot <= 0) return false;
    }
    return true;
  };
  let low = Math.max(...alpha);
  let high = Math.max(...alpha.map((a, i) => a + Math.abs(off(i - 1)) + Math.abs(off(i)))) + 1e-9;
  for (let half = 0; half < 60; half += 1) {
    const middle = (low + high) / 2;
    if (above(middle)) high = middle; else low = middle;
  }
  const shift = high + 1e-14;
  const pivots = [];
  for (let i = 0; i < n; i += 1) pivots.push(Math.max(shift - alpha[i] - (i ? off(i - 1) ** 2 / pivots[i - 1] : 0), 1e-300));
  let vector = new Array(n).fill(1);
  for (let again = 0; again < 4; again += 1) {
    for (let i = 1; i < n; i += 1) vector[i] += (off(i - 1) / pivots[i - 1]) * vector[i - 1];
    for (let i = n - 1; i >= 0; i -= 1) vector[i] = (vector[i] + off(i) * (vector[i + 1] ?? 0)) / pivots[i];
    const norm = Math.hypot(...vector);
    vector = vector.map((value) => value / norm);
  }
  return { value: high, vector };
}

// The best of all splits of the patches sorted by `values`, in one pass: equation `eq-ncut-sweep`.
function bestSplit({ W, n }, degrees, values) {
  const order = Int32Array.from({ length: n }, (_, i) => i).sort((a, b) => values[a] - values[b] || a - b);
  const place = new Int32Array(n);
  order.forEach((node, i) => { place[node] = i; });
  const total = degrees.reduce((sum, degree) => sum + degree, 0);
  let [inside, volume, best] = [0, 0, { ncut: Infinity }];
  for (let size = 1; size < n; size += 1) {
    const node = order[size - 1];
    let before = 0;
    for (let j = 0, at = node * n; j < n; j += 1, at += 1) if (place[j] < size - 1) before += W[at];
    inside += W[node * n + node] + 2 * before;
    volume += degrees[node];
    const cut = Math.max(volume - inside, 0);
    const ncut = cut / Math.max(volume, 1e-300) + cut / Math.max(total - volume, 1e-300);
    if (ncut < best.ncut) best = { ncut, size };
  }
  return { order, ...best };
}

// Eigenvector and split in one; patches without an edge are cut off first, at no cost.
function bestCut(graph) {
  const { n } = graph;
  const degrees = degreesOf(graph);
  const alone = degrees.filter((degree) => degree <= 0).length;
  if (alone) {
    const order = Int32Array.from({ length: n }, (_, i) => i).sort((a, b) => (degrees[b] <= 0) - (degrees[a] <= 0) || a - b);
    return { order, size: alone === n ? Math.floor(n / 2) : alone, ncut: 0 };
  }
  const { value, y } = secondEigenvector(graph, degrees);
  return { ...bestSplit(graph, degrees, y), value };
}
