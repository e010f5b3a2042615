// Tables of numbers. A table (n, c) is a Float32Array, row by row; sums are taken in double precision.

// X W^T for X (n, k) and W (m, k), both parts of longer rows: what is computed sixteen sums at a time reads each number
// only once for four of them. `to` says where the result begins in `out`, and how long its rows are.
function products(X, W, n, k, m, { x = [0, k], w = [0, k], out = new Float32Array(n * m), to = [0, m] } = {}) {
  for (let i = 0; i < n; i += 4) {
    for (let j = 0; j < m; j += 4) {
      if (i + 4 <= n && j + 4 <= m) sixteen(X, W, k, x[0] + i * x[1], x[1], w[0] + j * w[1], w[1], out, to[0] + i * to[1] + j, to[1]);
      else {
        for (let r = i; r < Math.min(i + 4, n); r += 1) {
          for (let c = j; c < Math.min(j + 4, m); c += 1) {
            let sum = 0;
            for (let l = 0; l < k; l += 1) sum += X[x[0] + r * x[1] + l] * W[w[0] + c * w[1] + l];
            out[to[0] + r * to[1] + c] = sum;
          }
        }
      }
    }
  }
  return out;
}

function sixteen(X, W, k, x0, xs, w0, ws, out, o, os) {
  let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, p = 0, q = 0, r = 0, s = 0, t = 0, u = 0, v = 0, z = 0;
  const [x1, x2, x3] = [x0 + xs, x0 + 2 * xs, x0 + 3 * xs];
  const [w1, w2, w3] = [w0 + ws, w0 + 2 * ws, w0 + 3 * ws];
  for (let l = 0; l < k; l += 1) {
    const wa = W[w0 + l], wb = W[w1 + l], wc = W[w2 + l], wd = W[w3 + l];
    const xa = X[x0 + l], xb = X[x1 + l], xc = X[x2 + l], xd = X[x3 + l];
    a += xa * wa; b += xa * wb; c += xa * wc; d += xa * wd;
    e += xb * wa; f += xb * wb; g += xb * wc; h += xb * wd;
    p += xc * wa; q += xc * wb; r += xc * wc; s += xc * wd;
    t += xd * wa; u += xd * wb; v += xd * wc; z += xd * wd;
  }
  out[o] = a; out[o + 1] = b; out[o + 2] = c; out[o + 3] = d; o += os;
  out[o] = e; out[o + 1] = f; out[o + 2] = g; out[o + 3] = h; o += os;
  out[o] = p; out[o + 1] = q; out[o + 2] = r; out[o + 3] = s; o += os;
  out[o] = t; out[o + 1] = u; out[o + 2] = v; out[o + 3] = z;
}

// Each row of a table (n, c) plus `bias` (c,), in its place.
function shift(table, bias) {
  for (let i = 0; i < table.length; i += 1) table[i] += bias[i % bias.length];
  return table;
}

function add(table, other) {
  for (let i = 0; i < table.length; i += 1) table[i] += other[i];
  return table;
}

// Rows (n, m) to probabilities, in their place.
function softmax(rows, m) {
  for (let start = 0; start < rows.length; start += m) {
    let [top, total] = [-Infinity, 0];
    for (let i = start; i < start + m; i += 1) top = Math.max(top, rows[i]);
    for (let i = start; i < start + m; i += 1) total += rows[i] = Math.exp(rows[i] - top);
    for (let i = start; i < start + m; i += 1) rows[i] /= total;
  }
  return rows;
}

// Numbers of mean 0 and variance 1 within each block of rows and channels, then scaled and shifted channel by channel.
function standardised(table, channels, [rows, width], scale, bias, eps) {
  const found = new Float32Array(table.length);
  const n = table.length / channels;
  for (let row = 0; row < n; row += rows) {
    for (let channel = 0; channel < channels; channel += width) {
      let [sum, squares] = [0, 0];
      for (let r = row; r < row + rows; r += 1) {
        for (let c = channel; c < channel + width; c += 1) sum += table[r * channels + c];
      }
      const mean = sum / (rows * width);
      for (let r = row; r < row + rows; r += 1) {
        for (let c = channel; c < channel + width; c += 1) squares += (table[r * channels + c] - mean) ** 2;
      }
      const root = 1 / Math.sqrt(squares / (rows * width) + eps);
      for (let r = row; r < row + rows; r += 1) {
        for (let c = channel; c < channel + width; c += 1) {
          found[r * channels + c] = (table[r * channels + c] - mean) * root * scale[c] + bias[c];
        }
      }
    }
  }
  return found;
}

function silu(table) {
  for (let i = 0; i < table.length; i += 1) table[i] /= 1 + Math.exp(-table[i]);
  return table;
}

// Abramowitz & Stegun 7.1.26; off by at most 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-x * x);
  return x < 0 ? tail - 1 : 1 - tail;
}

// Half of each row times the other half, let through as far as a normal variable lies below it: (n, 2c) to (n, c).
function gated(table, c) {
  const found = new Float32Array(table.length / 2);
  for (let i = 0; i < found.length; i += 1) {
    const at = 2 * i - (i % c);
    const gate = table[at + c];
    found[i] = table[at] * 0.5 * gate * (1 + erf(gate * Math.SQRT1_2));
  }
  return found;
}

// 3x3 neighbourhoods of a picture (rows, columns, c), zeros outside, every `stride` pixels: (n, 9c).
function neighbourhoods(table, [rows, columns], c, stride) {
  const [down, across] = [Math.ceil(rows / stride), Math.ceil(columns / stride)];
  const found = new Float32Array(down * across * 9 * c);
  for (let patch = 0; patch < down * across; patch += 1) {
    for (let side = 0; side < 9; side += 1) {
      const row = stride * Math.floor(patch / across) + Math.floor(side / 3) - 1;
      const column = stride * (patch % across) + (side % 3) - 1;
      if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
      const from = (row * columns + column) * c;
      found.set(table.subarray(from, from + c), (patch * 9 + side) * c);
    }
  }
  return found;
}
