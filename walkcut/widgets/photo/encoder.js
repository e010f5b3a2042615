// The denoiser's encoder, as far as attention is read: where do patches look? Layers bear the names that diffusers gives
// them, so that each can be found in the weights. What depends on the timestep and on the prompt alone, which is empty, was
// folded into biases when the weights were written (walkcut/widgets/photo.py).

// Weights by name from their bytes: halves or singles, little-endian.
function weightsFrom(tensors, buffer) {
  const found = {};
  for (const [name, kind, offset, count] of tensors) {
    found[name] = kind === "f4" ? new Float32Array(buffer, offset, count) : Float32Array.from(new Uint16Array(buffer, offset, count), half);
  }
  return found;
}

function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

// Attention of a picture that `noisy` made: a list of { grid, weight, matrix }, the mean over heads of each grid.
// `tell` hears which share of the work is done.
function attend(latent, grid, encoder, tell = () => {}, hear = () => {}) {
  const { levels, groups, weights } = encoder;
  const last = levels.length - 1;
  const means = [];
  let shape = grid;
  let table = convolved(latent, shape, 12, weights, "conv_in");
  levels.forEach((level, place) => {
    const block = `down_blocks.${place}`;
    table = resnet(table, shape, level, groups, weights, `${block}.resnets.0`);
    tell((place + 0.3) / levels.length);
    const share = (done) => tell((place + 0.3 + 0.7 * done) / levels.length);
    const { mean, after } = transformer(table, shape, level, groups, weights, `${block}.attentions.0`, place === last, share, hear);
    means.push({ grid: shape, matrix: mean });
    if (place === last) return;
    table = convolved(after, shape, level.channels, weights, `${block}.downsamplers.0.conv`, 2);
    shape = shape.map((side) => Math.ceil(side / 2));
  });
  return means;
}

function convolved(table, shape, channels, weights, name, stride = 1) {
  const around = neighbourhoods(table, shape, channels, stride);
  const bias = weights[`${name}.bias`];
  return shift(products(around, weights[`${name}.weight`], around.length / (9 * channels), 9 * channels, bias.length), bias);
}

function linear(table, channels, weights, name) {
  const W = weights[`${name}.weight`];
  const bias = weights[`${name}.bias`];
  const found = products(table, W, table.length / channels, channels, W.length / channels);
  return bias ? shift(found, bias) : found;
}

const grouped = (table, channels, groups, weights, name, eps) =>
  standardised(table, channels, [table.length / channels, channels / groups], weights[`${name}.weight`], weights[`${name}.bias`], eps);

const layered = (table, channels, weights, name) =>
  standardised(table, channels, [1, channels], weights[`${name}.weight`], weights[`${name}.bias`], 1e-5);

function resnet(table, shape, { channels, enters }, groups, weights, name) {
  const first = convolved(silu(grouped(table, enters, groups, weights, `${name}.norm1`, 1e-5)), shape, enters, weights, `${name}.conv1`);
  const second = convolved(silu(grouped(first, channels, groups, weights, `${name}.norm2`, 1e-5)), shape, channels, weights, `${name}.conv2`);
  return add(second, enters === channels ? table : linear(table, enters, weights, `${name}.conv_shortcut`));
}

// What a transformer passes on, and the weighted mean of the attention of its layers; of the last level, only the mean.
function transformer(table, shape, level, groups, weights, name, last, share, hear) {
  const { channels, heads, read } = level;
  const n = table.length / channels;
  const mean = new Float32Array(n * n);
  const total = read.flat().reduce((sum, weight) => sum + weight, 0);
  let hidden = linear(grouped(table, channels, groups, weights, `${name}.norm`, 1e-6), channels, weights, `${name}.proj_in`);
  for (let layer = 0; layer < read.length; layer += 1) {
    const block = `${name}.transformer_blocks.${layer}`;
    const done = last && layer === read.length - 1; // nobody asks what the last layer passes on
    const entering = layered(hidden, channels, weights, `${block}.norm1`);
    const looked = selfAttention(entering, n, channels, heads, weights, `${block}.attn1`, done, (head, A) => {
      const weight = read[layer][head] / total;
      if (weight) for (let i = 0; i < A.length; i += 1) mean[i] += weight * A[i]; // equation `eq-att-mean`
      hear(`${block}.attn1`, head, A);
    });
    share((layer + 0.5) / read.length);
    if (done) return { mean };
    add(hidden, looked);
    const wide = linear(layered(hidden, channels, weights, `${block}.norm3`), channels, weights, `${block}.ff.net.0.proj`);
    add(hidden, linear(gated(wide, 4 * channels), 4 * channels, weights, `${block}.ff.net.2`));
    share((layer + 1) / read.length);
  }
  return { mean, after: last ? null : add(linear(hidden, channels, weights, `${name}.proj_out`), table) };
}

// Each head's A = softmax(Q K^T / sqrt(d)), equation `eq-att-softmax`, goes to `see`; the result is what heads hand on.
function selfAttention(table, n, channels, heads, weights, name, done, see) {
  const d = channels / heads;
  const query = linear(table, channels, weights, `${name}.to_q`).map((value) => value / Math.sqrt(d));
  const key = linear(table, channels, weights, `${name}.to_k`);
  const value = done ? null : products(weights[`${name}.to_v.weight`], table, channels, channels, n); // (channels, n): transposed
  const mixed = new Float32Array(n * channels);
  for (let head = 0; head < heads; head += 1) {
    const part = [head * d, channels];
    const A = softmax(products(query, key, n, d, n, { x: part, w: part }), n);
    see(head, A);
    if (!done) products(A, value, n, n, d, { w: [head * d * n, n], out: mixed, to: part });
  }
  return done ? null : linear(mixed, channels, weights, `${name}.to_out.0`);
}
