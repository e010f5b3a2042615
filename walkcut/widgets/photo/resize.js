// Sizes, and pictures made smaller or larger: the integers of Pillow's bicubic filter, so that the denoiser is shown the
// same bytes as by `walkcut.images.resize_image`. A canvas would smooth otherwise.

const PRECISION = 2 ** 22; // Pillow computes with weights of 22 binary places
const MAX_PIXELS = 100_000_000; // as `walkcut.images` for arrays: a larger file is refused, a longer side reduced
const MAX_SIDE = 2048;

// Python's round: halves go to the even neighbour.
function evenly(x) {
  const low = Math.floor(x);
  const above = x - low;
  return above < 0.5 || (above === 0.5 && low % 2 === 0) ? low : low + 1;
}

// Patches (rows, columns) of the fine grid, `longest` on the longer side; even, so that both grids align. A long panorama
// gets more, as by `walkcut.backbone.Backbone.grid`.
function gridOf(height, width, longest) {
  const shorter = Math.min(height, width);
  const longer = Math.max(height, width);
  const room = Math.min(longest * (shorter / longer) ** 0.5, shorter);
  const narrow = shorter * (longest / longer) < 2 && room >= 2;
  const scale = narrow ? Math.min(4, room) / shorter : longest / longer;
  return [height, width].map((side) => Math.max(evenly((side * scale) / 2), 1) * 2);
}

function cubic(x) { // Keys' kernel with a = -1/2
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

// For each of `size` new pixels: the first old one that it hears, and whole weights of it and the next ones.
function taps(old, size) {
  const scale = old / size;
  const stretch = Math.max(scale, 1); // where the picture shrinks, the kernel's support is stretched
  return Array.from({ length: size }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - 2 * stretch + 0.5), 0);
    const last = Math.min(Math.trunc(centre + 2 * stretch + 0.5), old);
    const heard = Array.from({ length: last - first }, (_, j) => cubic((j + first - centre + 0.5) / stretch));
    const total = heard.reduce((sum, weight) => sum + weight, 0);
    return [first, heard.map((weight) => Math.trunc((weight / total) * PRECISION + (weight < 0 ? -0.5 : 0.5)))];
  });
}

// One side of a picture (outer, old, inner) to a new length, rounded to bytes.
function resizeSide(pixels, outer, old, inner, size) {
  const found = new Uint8ClampedArray(outer * size * inner);
  taps(old, size).forEach(([first, heard], i) => {
    for (let o = 0; o < outer; o += 1) {
      for (let c = 0; c < inner; c += 1) {
        let sum = PRECISION / 2;
        for (let j = 0; j < heard.length; j += 1) sum += heard[j] * pixels[(o * old + first + j) * inner + c];
        found[(o * size + i) * inner + c] = Math.floor(sum / PRECISION);
      }
    }
  });
  return found;
}

// A picture { height, width, pixels: bytes (height, width, 3) } at another size: along one side, then along the other, the
// longer loss first, as Pillow 13 has it; bytes are rounded in between.
function resize({ height, width, pixels }, [rows, columns]) {
  const across = (of, high) => (width === columns ? of : resizeSide(of, high, width, 3, columns));
  const down = (of, wide) => (height === rows ? of : resizeSide(of, 1, height, wide * 3, rows));
  const tall = height > rows && height - rows > 2 * (width - columns);
  const found = tall ? across(down(pixels, width), rows) : down(across(pixels, height), columns);
  return { height: rows, width: columns, pixels: found };
}

// No side longer than `most`, in proportion.
function atMost(picture, most) {
  const scale = most / Math.max(picture.height, picture.width);
  return scale >= 1 ? picture : resize(picture, [picture.height, picture.width].map((side) => Math.max(1, evenly(side * scale))));
}
