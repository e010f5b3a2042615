// Cut, then cut the parts; where to stop; labels. The tree is that of `walkcut.tree`, array by array.

const MEMORYLESS = 1; // NCut of every cut of a walk that forgets where it was: no reason to split
const ROUNDING = 1e-6; // an NCut below it is a cut between components
const TIE = 1e-12; // a split that gains no more is not taken

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

// The criterion that chooses where to stop, equation `eq-stop-stability`: walkers are found in the segment where they were
// more often than chance has it. The best of all prunings, from the leaves to the root: equation `eq-stop-best`.
function stability(tree, maxNcut) {
  const best = tree.inside.map((stays, node) => stays - tree.volume[node] ** 2);
  const taken = best.map(() => false);
  for (let node = best.length - 1; node >= 0; node -= 1) {
    if (!(tree.ncut[node] < maxNcut)) continue;
    const value = best[tree.left[node]] + best[tree.right[node]];
    if (value > best[node] + TIE) [best[node], taken[node]] = [value, true];
  }
  return below(tree, taken);
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
