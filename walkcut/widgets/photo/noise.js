// The noise that the denoiser is shown: torch's own, number by number, because other noise cuts elsewhere.

// The Mersenne twister (Matsumoto & Nishimura 1998): a function that gives the next 32 bits.
function twister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i += 1) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let next = 624;
  return () => {
    if (next === 624) {
      for (let i = 0; i < 624; i += 1) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      next = 0;
    }
    let y = state[next];
    next += 1;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// torch.randn on the CPU, for a multiple of 16 numbers: in blocks of 16, eight pairs of uniform numbers become eight
// pairs of normal ones (Box & Muller 1958).
function randn(count, seed) {
  const draw = twister(seed);
  const found = Float32Array.from({ length: count }, () => (draw() % 2 ** 24) / 2 ** 24);
  for (let block = 0; block < count; block += 16) {
    for (let i = block; i < block + 8; i += 1) {
      const radius = Math.sqrt(-2 * Math.log(1 - found[i]));
      const angle = 2 * Math.PI * found[i + 8];
      found[i] = radius * Math.cos(angle);
      found[i + 8] = radius * Math.sin(angle);
    }
  }
  return found;
}

// Of a picture of two by two pixels a patch: (patches, 12) numbers in -1..1, a little noise on them. Equation `eq-att-forward`.
function noisy({ height, width, pixels }, [keep, add], seed) {
  const [rows, columns] = [height / 2, width / 2];
  const noise = randn(12 * rows * columns, seed); // (12, rows, columns)
  const latent = new Float32Array(rows * columns * 12);
  for (let patch = 0; patch < rows * columns; patch += 1) {
    const [row, column] = [Math.floor(patch / columns), patch % columns];
    for (let channel = 0; channel < 12; channel += 1) {
      const [colour, dy, dx] = [Math.floor(channel / 4), (channel >> 1) % 2, channel % 2];
      const value = pixels[((2 * row + dy) * width + 2 * column + dx) * 3 + colour] / 127.5 - 1;
      latent[patch * 12 + channel] = keep * value + add * noise[channel * rows * columns + patch];
    }
  }
  return latent;
}
