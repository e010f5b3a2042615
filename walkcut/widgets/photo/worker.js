// The whole method for one picture, beside the page, so that the page stays awake. It is told
//   { encoder }                             once: weights in base64, and where to read them
//   { file, longest, show }                 a picture: it answers { progress }, then { seen }
//   { prune: { threshold, parts, asked } }  where to stop, null for the criterion: it answers { labels }
// and answers { fault } with one sentence where something is wrong. What is thrown elsewhere the page hears as an error.

let encoder = null;
let seen = null; // the picture, its walk, its tree

class PhotoError extends Error {} // what the reader can do something about

self.onmessage = async ({ data }) => {
  try {
    if (data.encoder) encoder = unpacked(data.encoder);
    if (data.file) await look(data);
    if (data.prune) answer(data.prune);
  } catch (error) {
    fault(error);
  }
};

function fault(error) {
  const known = error instanceof PhotoError;
  const memory = error instanceof RangeError;
  self.postMessage({
    fault: known ? error.message
      : memory ? "This browser has not enough memory for the picture: reduce it first, or use walkcut segment."
        : `Something went wrong in this page (${error.message ?? error}): reload it, or use walkcut segment.`,
  });
}

function unpacked({ base64, tensors, ...header }) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return { ...header, weights: weightsFrom(tensors, bytes.buffer) };
}

// The pixels of a file, upright, on white; a side beyond `MAX_SIDE` is reduced, as `walkcut.images.read_image` does.
async function read(file) {
  if (!file.size) throw new PhotoError("This file is empty (0 bytes): get a whole copy of the picture.");
  if (!self.createImageBitmap || !self.OffscreenCanvas) throw new PhotoError("This browser is too old for this page: update it, or use walkcut segment.");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }); // upright, as every browser has it by now
  } catch {
    throw new PhotoError("This file is no picture that the browser can read, or it is damaged: choose a JPEG, PNG, GIF, BMP or WebP file.");
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new PhotoError(`This picture has more than ${MAX_PIXELS / 1e6} million pixels: reduce it first.`);
  const scale = Math.min(1, (2 * MAX_SIDE) / Math.max(width, height)); // the browser's own filter, down to twice the size
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, w, h);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, w, h);
  bitmap.close();
  return atMost(withoutAlpha(context.getImageData(0, 0, w, h)), MAX_SIDE);
}

function withoutAlpha({ data, width, height }) {
  const pixels = new Uint8ClampedArray(3 * width * height);
  for (let i = 0; i < pixels.length; i += 1) pixels[i] = data[4 * Math.floor(i / 3) + (i % 3)];
  return { width, height, pixels };
}

const progress = (text, share) => self.postMessage({ progress: { text, share } });

async function look({ file, longest, show }) {
  progress("reading the picture", 0);
  const picture = await read(file);
  const found = segmented(picture, longest, encoder, progress);
  const shown = atMost(picture, show);
  seen = { ...found, shown };
  const { grid, tree } = found;
  const pixels = opaque(shown);
  const { height, width } = shown;
  self.postMessage({ seen: { grid, levels: levelsOf(tree), size: [picture.height, picture.width], height, width, pixels } }, [pixels.buffer]);
}

function opaque({ pixels, width, height }) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < pixels.length; i += 1) data[4 * Math.floor(i / 3) + (i % 3)] = pixels[i];
  return data;
}

// Attention, walk, cut, tree, and where the criterion stops: `walkcut.segment` up to the pixels.
function segmented(picture, longest, { noise, seed, spatialPrior, inflation, ...rest }, tell = () => {}) {
  const grid = gridOf(picture.height, picture.width, longest);
  const [h, w] = grid;
  const latent = noisy(resize(picture, [2 * h, 2 * w]), noise, seed);
  const means = attend(latent, grid, rest, (done) => tell("the denoiser looks", 0.02 + 0.7 * done));
  tell("walking", 0.74);
  const own = aggregate(means);
  const P = prepared(own, grid, inflation, spatialPrior);
  const W = reversible(P, h * w);
  tell("cutting", 0.82);
  const tree = partition({ W, n: h * w }, (done) => tell("cutting", 0.82 + 0.16 * done));
  return { grid, P, tree, kept: nullKeeps(tree, own, grid), listens: listener(picture, grid) };
}

function answer({ threshold, parts, asked }) {
  const { P, grid, tree, kept, listens, shown } = seen;
  const leaves = threshold === null ? kept : leavesAt(tree, threshold);
  const shape = [shown.height, shown.width];
  const patches = labelsOf(tree, leaves);
  let labels = pixelsOf(P, grid, patches, listens, shape);
  if (parts) labels = connectedParts(labels, shape, Math.floor(labels.length / 512));
  labels = withoutGaps(labels);
  self.postMessage({ labels, patches, asked, segments: leaves.length }, [labels.buffer]);
}
