// A picture of your own: drop it, paste it or choose it, and it is segmented in the page, by a worker. What the worker needs, weights
// and all, is one script that is loaded when the first picture is chosen. Nothing leaves the machine.

const STYLE = `
& .drop { display: block; border: 2px dashed var(--line); border-radius: 0.5rem; padding: 0.75rem 1rem; }
& .drop.over { border-color: #e69f00; border-style: solid; }
& input[type=file] { display: block; font: inherit; color: inherit; max-width: 100%; min-height: 44px; padding: 5px 0; box-sizing: border-box; }
& ::file-selector-button { font: inherit; color: inherit; background: transparent; border: 1.5px solid var(--line); border-radius: 0.4rem;
  min-height: 34px; padding: 0 0.8rem; margin-right: 0.6rem; cursor: pointer; }
& .samples button { padding: 3px; line-height: 0; }
& .samples img { height: 56px; width: auto; display: block; border-radius: 0.2rem; margin: 0; }
& .state { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; min-height: 48px; margin: 0.5rem 0; }
& .state p { margin: 0; }
& .state .fault { font-weight: 600; color: var(--b); }
& progress { width: 12rem; max-width: 100%; height: 1rem; accent-color: #0072b2; }
& .result canvas { width: auto; max-width: 100%; max-height: 75vh; }
& .slider { display: block; margin: 0.6rem 0 0; }
& input[type=range] { width: 100%; min-height: 32px; margin: 0; accent-color: #0072b2; }
& [hidden] { display: none !important; }
`;

const GLOBAL = "walkcutEncoder"; // what the script leaves behind
const SHOWN = 720; // pixels of the longer side, at most, at which segments are shown
const MANY = 40; // segments at most at the end of the slider
const NAMES = { colours: "segments in colours", borders: "borders alone", picture: "picture alone" };
const VIEWS = Object.keys(NAMES);
const plural = (count, name) => `${count} ${name}${count === 1 ? "" : "s"}`;

// The script that computes, once: for `file:` pages too, where nothing can be fetched.
let loading = null;
function fetched(address) {
  loading ??= new Promise((done, fail) => {
    const script = make("script", { src: address });
    script.onload = () => (globalThis[GLOBAL] ? done(globalThis[GLOBAL]) : fail(new Error("it is damaged")));
    script.onerror = () => fail(new Error("it is missing"));
    document.head.append(script);
  }).catch((error) => {
    loading = null; // the next picture tries again
    throw new Error(`What computes could not be loaded from ${address} (${error.message}): reload the page, or use walkcut segment.`);
  });
  return loading;
}

// A worker, and the one picture that it knows. It answers through `hear`, by the kind of answer.
function start({ encoder, worker: source }, hear) {
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(address);
  worker.onmessage = ({ data }) => { for (const [kind, value] of Object.entries(data)) hear[kind]?.(value, data); };
  worker.onerror = (event) => {
    event.preventDefault();
    hear.fault(`Something went wrong in this page (${event.message || "its worker did not start"}): reload it, or use walkcut segment.`);
  };
  worker.postMessage({ encoder });
  return worker;
}

// The colour of a segment: those of the other figures first, then ever other hues.
function hue(segment) {
  if (segment < COLOURS.length) return COLOURS[segment];
  const turn = (segment * 0.381966) % 1;
  return [0, 1, 2].map((i) => Math.round(140 + 100 * Math.cos(2 * Math.PI * (turn - i / 3))));
}

// The picture under its segments' colours, or with borders alone: white lines, black beside them.
function drawn({ pixels, width, height }, labels, view) {
  const data = new Uint8ClampedArray(pixels);
  if (view === "picture" || !labels) return new ImageData(data, width, height);
  const border = (at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    return (x + 1 < width && labels[at] !== labels[at + 1]) || (y + 1 < height && labels[at] !== labels[at + width]);
  };
  const colours = Array.from({ length: 1 + labels.reduce((most, label) => Math.max(most, label), 0) }, (_, i) => hue(i));
  for (let at = 0; at < labels.length; at += 1) {
    const here = border(at);
    const beside = !here && ((at % width > 0 && border(at - 1)) || (at >= width && border(at - width)));
    for (let i = 0; i < 3; i += 1) {
      const mixed = view === "colours" ? 0.5 * data[4 * at + i] + 0.5 * colours[labels[at]][i] : data[4 * at + i];
      data[4 * at + i] = here ? 255 : beside ? 0 : mixed;
    }
  }
  return new ImageData(data, width, height);
}

function render({ model, el }) {
  let [worker, seen, labels, name] = [null, null, null, ""];
  let [view, parts, threshold, since] = [VIEWS[0], false, null, 0]; // no threshold: where the criterion stops
  let [asked, waiting] = [0, false];

  const root = frame(el, "photo", STYLE, { "aria-label": "Segment a picture of your own" });
  const drop = make("label", { class: "drop" }, root, "Drop or paste a picture here, or choose a file. It stays on your machine.");
  const input = make("input", { type: "file", accept: "image/*" }, drop);
  const samples = make("div", { class: "buttons samples", role: "group", "aria-label": "Or one of the book's samples" }, root);
  for (const { name: which, title, thumbnail, size: [height, width] } of model.get("samples")) {
    const button = make("button", { type: "button", "aria-label": title, title }, samples);
    make("img", { src: thumbnail, alt: title, width, height }, button);
    button.addEventListener("click", () => { input.value = ""; begin(title, ({ samples: all }) => new Blob([bytes(all[which])])); });
  }
  const state = make("div", { class: "state" }, root);
  const said = make("p", { role: "status" }, state);
  const bar = make("progress", { max: 1, value: 0, "aria-label": "Progress" }, state);
  const cancel = make("button", { type: "button" }, state, "Cancel");
  const result = make("div", { class: "result" }, root);
  const canvas = make("canvas", { role: "img", "aria-label": "No picture yet" }, result);
  const pressed = choices(result, "What is shown", VIEWS.map((key) => NAMES[key]), (i) => { view = VIEWS[i]; paintView(); });
  const slide = make("label", { class: "slider" }, result, "Threshold: every cut that costs at most so much is made");
  const slider = make("input", { type: "range", min: 0, max: 1, value: 0, step: 1, "aria-label": "Threshold of NCut" }, slide);
  const facts = make("p", { class: "facts", "aria-live": "polite" }, result);
  const tools = make("div", { class: "buttons" }, result);
  const auto = make("button", { type: "button" }, tools, "Where the criterion stops");
  const apart = make("button", { type: "button", "aria-pressed": false }, tools, "Parts: pieces that do not touch");
  const save = make("button", { type: "button" }, tools, "Save what is shown");

  const working = () => root.getAttribute("aria-busy") === "true";
  const busy = (now) => {
    if (!now && document.activeElement === cancel) input.focus(); // the focus is not lost with the button
    bar.hidden = cancel.hidden = !now;
    root.setAttribute("aria-busy", now);
  };
  const tell = (text, fault = false) => {
    if (said.textContent !== text) said.textContent = text; // a screen reader need not hear the same twice
    said.classList.toggle("fault", fault);
  };
  // half-way between two levels of the tree, so that rounding decides nothing
  const at = (place) => (place ? (seen.levels[place - 1][0] + (seen.levels[place]?.[0] ?? 2)) / 2 : 0);

  function stop() {
    if (worker) worker.onmessage = worker.onerror = null; // what is on its way is not heard any more
    worker?.terminate();
    worker = null;
    waiting = false;
  }

  function fail(sentence) {
    stop();
    busy(false);
    result.hidden = true;
    tell(sentence, true);
    report(model, { state: "fault", fault: sentence });
  }

  const hear = {
    progress: ({ text, share }) => { tell(`${text[0].toUpperCase()}${text.slice(1)} …`); bar.value = share; },
    fault: fail,
    seen: (found) => {
      [seen, labels, threshold] = [found, null, null];
      set(canvas, { width: found.width, height: found.height });
      slider.max = Math.max(1, found.levels.filter(([, segments]) => segments <= MANY).length);
      result.hidden = false;
      ask();
    },
    labels: (found, { patches, asked: number, segments }) => {
      waiting = false;
      labels = found;
      root.found = { labels: found, patches }; // for whoever looks from outside: a test, a console
      show(segments);
      if (number < asked) send();
    },
  };

  // A picture: `blob` makes it from what the script holds.
  async function begin(title, blob) {
    if (working() || waiting) stop(); // the last one is given up
    [name, since] = [title, performance.now()];
    const mine = since;
    result.hidden = true;
    busy(true);
    bar.value = 0;
    tell("Loading the denoiser …");
    report(model, { state: "busy" });
    try {
      const script = await fetched(model.get("script"));
      if (mine !== since) return; // another picture was chosen meanwhile, or none
      worker ??= start(script, hear);
      worker.postMessage({ file: blob(script), longest: model.get("grid"), show: SHOWN });
    } catch (error) {
      if (mine === since) fail(error.message);
    }
  }

  // One question is on its way at a time; the last one counts.
  function ask() {
    asked += 1;
    if (!waiting) send();
  }
  function send() {
    waiting = true;
    worker.postMessage({ prune: { threshold, parts, asked } });
  }

  function show(segments) {
    const first = working();
    busy(false);
    if (threshold === null) slider.value = seen.levels.filter(([, many]) => many <= segments).length; // the nearest that it has
    const count = new Set(labels).size;
    const price = threshold === null ? "The criterion “spatial-null” stops at" : `Up to an NCut of ${threshold.toFixed(3)}:`;
    facts.textContent = `${price} ${plural(segments, "segment")}${parts ? `, in ${plural(count, "part")}` : ""}.`;
    slider.setAttribute("aria-valuetext", `${threshold === null ? "chosen by the criterion" : threshold.toFixed(3)}, ${plural(segments, "segment")}`);
    apart.setAttribute("aria-pressed", parts);
    auto.setAttribute("aria-pressed", threshold === null);
    if (first) {
      const [height, width] = seen.size;
      const seconds = ((performance.now() - since) / 1000).toFixed(1);
      tell(`${name} \u2014 ${width} by ${height} pixels, seen as ${seen.grid[1]} by ${seen.grid[0]} patches, in ${seconds}\u00a0s.`);
    }
    paintView();
    const { grid, size } = seen;
    report(model, { state: "done", name, grid, size, segments, count, threshold, view });
  }

  function paintView() {
    pressed(VIEWS.indexOf(view));
    if (!seen) return;
    canvas.getContext("2d").putImageData(drawn(seen, labels, view), 0, 0);
    canvas.setAttribute("aria-label", `${name}, ${NAMES[view]}. ${facts.textContent}`);
  }

  function give(files) {
    const [file] = files;
    if (file) begin(file.name, () => file);
    else tell("Nothing that was dropped is a file: save the picture on your machine first, then drop it here.", true);
  }

  input.addEventListener("click", () => { input.value = ""; }); // so that the same file can be chosen again
  input.addEventListener("change", () => { if (input.files.length) give(input.files); });
  // anywhere on the page: a picture that misses the figure would take the page's place
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    give(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) give(event.clipboardData.files); });
  cancel.addEventListener("click", () => {
    since = 0;
    input.value = "";
    stop();
    busy(false);
    tell("Cancelled. Choose another picture.");
    report(model, { state: "cancelled" });
  });
  slider.addEventListener("input", () => { threshold = at(slider.valueAsNumber); ask(); });
  auto.addEventListener("click", () => { threshold = null; ask(); });
  apart.addEventListener("click", () => { parts = !parts; ask(); });
  save.addEventListener("click", () => canvas.toBlob((blob) => {
    const address = URL.createObjectURL(blob);
    make("a", { href: address, download: "segments.png" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }));

  result.hidden = true;
  busy(false);
  pressed(0);
  tell("Nothing is chosen yet.");
  report(model, { state: "ready" });
}

export default { render };
