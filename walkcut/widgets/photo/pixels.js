// From patches to pixels, as `walkcut.pixels` and `walkcut.refine` do it. Masks are (height, width, segments).

const STAY = 0.5; // probability that a walker stays, when it is asked in which segment it is
const PIXELS_PER_PATCH = 4; // along a side, at which borders are refined
const ITERATIONS = 10;
const DILATIONS = [1, 2, 4, 8];
const SHARPNESS = 0.1; // of a difference, in units of the local standard deviation
const AROUND = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];

// In which segment is a walker after its next step? (n, segments), equation `eq-pixels-soft`.
function softMembership(P, labels, segments) {
  const n = labels.length;
  const found = new Float32Array(n * segments);
  for (let i = 0; i < n; i += 1) {
    found[i * segments + labels[i]] += STAY;
    for (let j = 0; j < n; j += 1) found[i * segments + labels[j]] += (1 - STAY) * P[i * n + j];
  }
  return found;
}

// Each pixel to the segment it belongs to most, up-sampled bilinearly from masks: equation `eq-pixels-up`.
function pixelLabels(masks, shape, segments, [height, width]) {
  const labels = new Int32Array(height * width);
  const down = between(shape[0], height);
  const size = shape[1] * segments;
  const strip = new Float32Array(size);
  down.forEach(([top, bottom, share], y) => {
    for (let i = 0; i < size; i += 1) strip[i] = (1 - share) * masks[top * size + i] + share * masks[bottom * size + i];
    const row = bilinear(strip, [1, shape[1]], segments, [1, width]);
    for (let x = 0; x < width; x += 1) {
      let best = 0;
      for (let s = 1; s < segments; s += 1) if (row[x * segments + s] > row[x * segments + best]) best = s;
      labels[y * width + x] = best;
    }
  });
  return labels;
}

const clip = (value, high) => Math.max(0, Math.min(high, value));

// The pixels around each pixel, at all distances, the border repeated outwards: (pixels, neighbours).
function neighbours([height, width]) {
  const steps = DILATIONS.flatMap((far) => AROUND.map(([y, x]) => [far * y, far * x]));
  const found = new Int32Array(height * width * steps.length);
  let at = 0;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      for (const [dy, dx] of steps) found[at++] = clip(y + dy, height - 1) * width + clip(x + dx, width - 1);
    }
  }
  return found;
}

// How much each pixel listens to each neighbour, (pixels, neighbours): equation `eq-pixels-pamr` (Araslanov & Roth 2020).
function listening({ height, width, pixels }, ends) {
  const many = DILATIONS.length * AROUND.length;
  const found = new Float32Array(ends.length);
  const samples = many + DILATIONS.length; // the pixel itself counts once for each distance
  for (let pixel = 0; pixel < height * width; pixel += 1) {
    const scores = found.subarray(pixel * many, (pixel + 1) * many);
    for (let colour = 0; colour < 3; colour += 1) {
      const own = pixels[pixel * 3 + colour] / 255;
      let [total, squares] = [0, 0]; // of differences from the pixel's own colour
      for (let k = 0; k < many; k += 1) {
        const difference = pixels[ends[pixel * many + k] * 3 + colour] / 255 - own;
        total += difference;
        squares += difference ** 2;
      }
      const sigma = Math.sqrt(Math.max(squares - total ** 2 / samples, 0) / (samples - 1));
      const scale = 3 * (1e-8 + SHARPNESS * sigma);
      for (let k = 0; k < many; k += 1) scores[k] -= Math.abs(pixels[ends[pixel * many + k] * 3 + colour] / 255 - own) / scale;
    }
  }
  return softmax(found, many);
}

// What is asked of a picture once, however often its segments change: at so many pixels a patch, who listens to whom.
function listener(picture, grid) {
  const small = atMost(picture, PIXELS_PER_PATCH * Math.max(...grid));
  const ends = neighbours([small.height, small.width]);
  return { shape: [small.height, small.width], ends, shares: listening(small, ends) };
}

// Masks after some steps towards those of neighbours that look alike: equation `eq-pixels-steps`.
function refine({ ends, shares }, masks, segments) {
  const many = DILATIONS.length * AROUND.length;
  let seen = masks;
  for (let again = 0; again < ITERATIONS; again += 1) {
    const next = new Float32Array(seen.length);
    for (let edge = 0; edge < ends.length; edge += 1) {
      const from = Math.floor(edge / many) * segments;
      const to = ends[edge] * segments;
      for (let s = 0; s < segments; s += 1) next[from + s] += shares[edge] * seen[to + s];
    }
    seen = next;
  }
  return seen;
}

// Segments of pixels (height, width) from segments of patches.
function pixelsOf(P, grid, labels, listens, shape) {
  const segments = 1 + labels.reduce((most, label) => Math.max(most, label), 0);
  const masks = bilinear(softMembership(P, labels, segments), grid, segments, listens.shape);
  return pixelLabels(refine(listens, masks, segments), listens.shape, segments, shape);
}

// Connected pieces of segments, numbered row by row; small ones join the nearest that is large enough.
function connectedParts(labels, [height, width], smallest) {
  const pieces = new Int32Array(labels.length).fill(-1);
  const sizes = [];
  for (let seed = 0; seed < labels.length; seed += 1) {
    if (pieces[seed] >= 0) continue;
    const stack = [seed];
    pieces[seed] = sizes.length;
    let size = 0;
    while (stack.length) {
      const at = stack.pop();
      const [y, x] = [Math.floor(at / width), at % width];
      size += 1;
      for (const [next, inside] of [[at - width, y > 0], [at + width, y < height - 1], [at - 1, x > 0], [at + 1, x < width - 1]]) {
        if (!inside || pieces[next] >= 0 || labels[next] !== labels[seed]) continue;
        pieces[next] = sizes.length;
        stack.push(next);
      }
    }
    sizes.push(size);
  }
  return sizes.every((size) => size < smallest) ? pieces : joined(pieces, [height, width], (piece) => sizes[piece] >= smallest);
}

// Each pixel of a piece that is not kept, given to the piece of the nearest pixel of one that is.
function joined(pieces, [height, width], kept) {
  const nearest = new Int32Array(pieces.length).fill(-1); // row of the nearest kept pixel in the same column
  for (let x = 0; x < width; x += 1) {
    for (const rows of [Array.from({ length: height }, (_, y) => y), Array.from({ length: height }, (_, y) => height - 1 - y)]) {
      let last = -1;
      for (const y of rows) {
        const at = y * width + x;
        if (kept(pieces[at])) last = y;
        if (last >= 0 && (nearest[at] < 0 || Math.abs(y - last) < Math.abs(y - nearest[at]))) nearest[at] = last;
      }
    }
  }
  return pieces.map((piece, at) => {
    if (kept(piece)) return piece;
    const [y, x] = [Math.floor(at / width), at % width];
    let [best, found] = [Infinity, piece];
    for (let far = 0; far * far < best && far < width; far += 1) {
      for (const column of far ? [x - far, x + far] : [x]) {
        const row = column >= 0 && column < width ? nearest[y * width + column] : -1;
        if (row < 0 || far ** 2 + (y - row) ** 2 >= best) continue;
        best = far ** 2 + (y - row) ** 2;
        found = pieces[row * width + column];
      }
    }
    return found;
  });
}

// The same segments, numbered without gaps in the order of their labels.
function withoutGaps(labels) {
  const numbers = new Map([...new Set(labels)].sort((a, b) => a - b).map((label, number) => [label, number]));
  return labels.map((label) => numbers.get(label));
}
