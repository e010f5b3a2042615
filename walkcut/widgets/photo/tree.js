// Cut, then cut the parts; where to stop; labels. The tree is that of `walkcut.tree`, array by array.

const MEMORYLESS = 1; // NCut of every cut of a walk that forgets where it was: no reason to split
const ROUNDING = 1e-6; // an NCut below it is a cut between components
const SHARE = 0.75; // of what the null says, the most that a split may cost

// The graph among some of its nodes: what leads out of them is forgotten. Equation `eq-tree-restrict`.
function subgraph({ W, n }, nodes) {
  const m = nodes.length;
  const found = new Float32Array(m * m);
  for (let i = 0; i < m; i += 1) for (let j = 0; j < m; j += 1) found[i * m + j] = W[nodes[i] * n + nodes[j]];
  return { W: found, n: m };
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

// The recursion, until regions are small or no cut is better than that of a walk without memory.
function partition(graph, tell = () => {}) {
  const { n } = graph;
  const smallest = Math.max(2, Math.floor(n / 256));
  const degrees = degreesOf(graph);
  const total = sum(degrees) || 1;
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const tree = { order, start: [], stop: [], left: [], right: [], ncut: [], volume: [], inside: [] };
  const add = (start, stop, region) => {
    const volume = order.subarray(start, stop).reduce((share, patch) => share + degrees[patch] / total, 0);
    const row = { start, stop, left: -1, right: -1, ncut: Infinity, volume, inside: sum(degreesOf(region)) / total };
    for (const [name, value] of Object.entries(row)) tree[name].push(value);
    return tree.start.length - 1;
  };
  const waiting = [[add(0, n, graph), graph]];
  let settled = 0;
  while (waiting.length) {
    const [node, region] = waiting.pop();
    const [start, stop] = [tree.start[node], tree.stop[node]];
    const split = region.n < 2 * smallest ? null : bestCut(region);
    if (!split || split.ncut >= MEMORYLESS) {
      settled += region.n;
      tell(settled / n);
      continue;
    }
    tree.ncut[node] = split.ncut > ROUNDING ? split.ncut : 0;
    const here = order.slice(start, stop);
    split.order.forEach((place, i) => { order[start + i] = here[place]; });
    const middle = start + split.size;
    const sides = [[start, middle, split.order.subarray(0, split.size)], [middle, stop, split.order.subarray(split.size)]];
    [tree.left[node], tree.right[node]] = sides.map(([from, to, nodes]) => {
      const part = subgraph(region, nodes);
      const child = add(from, to, part);
      waiting.push([child, part]);
      return child;
    });
  }
  return tree;
}

// The threshold from which on a node is split, the largest NCut on its path from the root: equation `eq-tree-needed`.
function needed(tree) {
  const found = [...tree.ncut];
  tree.left.forEach((left, node) => {
    if (left < 0) return;
    for (const child of [left, tree.right[node]]) found[child] = Math.max(found[child], found[node]);
  });
  return found;
}

// Nodes that are segments when those marked are split, from the root down: equation `eq-tree-pruning`.
function below(tree, split) {
  const leaves = [];
  const visit = (node) => {
    if (!split[node] || tree.left[node] < 0) leaves.push(node);
    else { visit(tree.left[node]); visit(tree.right[node]); }
  };
  visit(0);
  return leaves.sort((a, b) => a - b);
}

// The thresholds at which segments are split, ascending, and how many there are from then on.
function levelsOf(tree) {
  const values = needed(tree).filter((value) => value <= 2);
  return [...new Set(values)].sort((a, b) => a - b).map((level) => [level, 1 + values.filter((value) => value <= level).length]);
}

const leavesAt = (tree, threshold) => below(tree, needed(tree).map((value) => value <= threshold));

// NCut of each split inside its node, equation `eq-stop-price`, from the chance flow(i, j) of each step.
function splitPrices(tree, flow) {
  const { order } = tree;
  const starts = tree.start.filter((_, node) => tree.left[node] < 0).sort((a, b) => a - b);
  const many = starts.length;
  const leafOf = new Int32Array(order.length);
  starts.forEach((start, leaf) => leafOf.fill(leaf, start)); // of a place in the order
  const sums = Array.from({ length: many + 1 }, () => new Float64Array(many + 1)); // of all leaves before
  order.forEach((i, from) => order.forEach((j, to) => { sums[leafOf[from] + 1][leafOf[to] + 1] += flow(i, j); }));
  for (let a = 1; a <= many; a += 1) {
    for (let b = 1; b <= many; b += 1) sums[a][b] += sums[a - 1][b] + sums[a][b - 1] - sums[a - 1][b - 1];
  }
  const inside = tree.start.map((start, node) => {
    const [low, high] = [leafOf[start], leafOf[tree.stop[node] - 1] + 1];
    return sums[high][high] - sums[low][high] - sums[high][low] + sums[low][low];
  });
  return inside.map((stays, node) => {
    if (tree.left[node] < 0) return Infinity;
    const sides = [inside[tree.left[node]], inside[tree.right[node]]];
    const crossing = Math.max(stays - sides[0] - sides[1], 0) / 2;
    return sides.reduce((price, side) => price + crossing / Math.max(side + crossing, 1e-300), 0);
  });
}

// The criterion that chooses where to stop, equation `eq-stop-null`: a split is kept that attention's own walk crosses less
// than three quarters as often as distance alone explains.
function nullKeeps(tree, own, grid) {
  const n = grid[0] * grid[1];
  const law = stationary(own, n);
  const walk = splitPrices(tree, (i, j) => law[i] * own[i * n + j]);
  const expected = splitPrices(tree, spatialNull(own, grid, law));
  return below(tree, walk.map((price, node) => price < SHARE * expected[node]));
}

// Segments of patches, 0 for the largest, then by size.
function labelsOf(tree, leaves) {
  const labels = new Int32Array(tree.order.length);
  const size = (node) => tree.stop[node] - tree.start[node];
  [...leaves].sort((a, b) => size(b) - size(a) || a - b).forEach((node, label) => {
    for (let i = tree.start[node]; i < tree.stop[node]; i += 1) labels[tree.order[i]] = label;
  });
  return labels;
}
