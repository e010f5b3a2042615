// What a function of Python shows at each place of its controls, recorded: move a control, see the frame.

const STYLE = `
& { width: fit-content; margin-inline: auto; } /* a figure, above the middle of its caption */
& .controls { display: flex; flex-wrap: wrap; align-items: center; gap: 0 1.5rem; max-width: 600px; padding: 0 5px; margin-bottom: 0.25rem; }
& label { flex: 1 1 15rem; font-variant-numeric: tabular-nums; }
& input { display: block; width: 100%; min-height: 32px; margin: 0; accent-color: var(--a); cursor: pointer; }
& .ticks { display: flex; justify-content: space-between; margin-top: 3px; font-size: 0.8em; }
& .ticks span { width: 16px; display: flex; justify-content: center; } /* as wide as the slider's thumb */
& .group { display: flex; flex-wrap: wrap; align-items: center; gap: 0 0.6rem; }
& img { display: block; padding: 0 !important; background: white; } /* the theme frames it on a dark page */
`;

function render({ model, el }) {
  const controls = model.get("controls").map(([name, values, value, slides]) => ({ name, values, at: values.indexOf(value), slides }));
  const frames = model.get("frames"); // the last control changes fastest
  const root = frame(el, "frames", STYLE, { "aria-label": "A figure with controls" });
  const panel = make("div", { class: "controls" }, root);
  const shown = make("div", { "aria-live": "polite" }, root);

  function slider(control) {
    const label = make("label", {}, panel);
    const text = make("span", {}, label);
    const input = make("input", { type: "range", min: 0, max: control.values.length - 1, step: 1, value: control.at }, label);
    const ticks = make("span", { class: "ticks", "aria-hidden": "true" }, label);
    for (const value of control.values) make("span", {}, ticks, value);
    input.addEventListener("input", () => { control.at = Number(input.value); draw(); });
    return () => {
      text.textContent = `${control.name} = ${control.values[control.at]}`;
      input.setAttribute("aria-valuetext", text.textContent);
    };
  }

  function choice(control) {
    const group = make("div", { class: "group" }, panel, control.name);
    const press = choices(group, control.name, control.values, (i) => { control.at = i; draw(); });
    return () => press(control.at);
  }

  const tell = controls.filter(({ values }) => values.length > 1).map((control) => (control.slides ? slider : choice)(control));

  function draw() {
    tell.forEach((now) => now());
    shown.innerHTML = frames[controls.reduce((place, { values, at }) => place * values.length + at, 0)];
    report(model, Object.fromEntries(controls.map(({ name, values, at }) => [name, values[at]])));
  }

  draw();
}

export default { render };
