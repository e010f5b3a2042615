"""How long the explorers compute for one event of a pointer, and how soon the front page stands, in Chromium.

    python tests/bench_explorers.py [_build/html/book/intro.html]

Not a test: times depend on the machine. The pictures have 32 x 32 patches; attention takes 16 steps. Drags choose
another patch at every event and leave the page two frames, of 16.7 ms, before the next; printed are the median and the
ninth decile of the time that each event's script takes, and of the time of script in a frame where there is any.
Attention is measured without idle moments, as if a reader dragged at once, and after them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from explorers import page
from selenium import webdriver

from walkcut.capture import AttentionMaps
from walkcut.criteria import prune
from walkcut.null import SplitPrices
from walkcut.tree import partition
from walkcut.walk import Walk
from walkcut.widgets.explorers import (
    attention_explorer,
    criteria_explorer,
    cut_explorer,
    graph_explorer,
    method_explorer,
    toy_walk,
    tree_explorer,
)
from walkcut.widgets.inline import Figure

# Press in each drawing, then drag along its diagonal; handlers run inside dispatchEvent. What a figure leaves for the
# next frame is timed there.
EVENTS = """
const done = arguments[0];
const [events, frames] = [[], []];
const timed = (act, times) => {
  const start = performance.now();
  act();
  times.push(performance.now() - start);
};
const ask = window.requestAnimationFrame.bind(window);
const frame = () => new Promise((act) => ask(act));
window.requestAnimationFrame = (act) => ask((now) => timed(() => act(now), frames));
const slider = document.querySelector('input[aria-label="Steps of the walk"]');
if (slider) { slider.value = 16; slider.dispatchEvent(new Event('input', { bubbles: true })); }
for (let i = 0; i < 10; i += 1) await frame();
frames.length = 0;
for (const node of document.querySelectorAll('canvas, svg')) {
  node.setPointerCapture = () => {};
  node.hasPointerCapture = () => true;
  const box = node.getBoundingClientRect();
  for (let i = 0; i < 32; i += 1) {
    const place = { clientX: box.x + box.width * (i + 0.5) / 32, clientY: box.y + box.height * (i + 0.5) / 32 };
    const options = { bubbles: true, pointerId: 1, buttons: 1, ...place };
    timed(() => node.dispatchEvent(new PointerEvent(i ? 'pointermove' : 'pointerdown', options)), events);
    await frame();
    await frame();
  }
}
done([events, frames]);
"""
WARM = "document.querySelector('section').dispatchEvent(new Event('pointerover', { bubbles: true }))"
COLD = "window.requestIdleCallback = () => {}"


def explorers(grid: tuple[int, int] = (32, 32)) -> dict[str, Figure]:
    """All of them on one random walk that stays near."""
    rng, n, (y, x) = np.random.default_rng(0), grid[0] * grid[1], np.indices(grid).reshape(2, -1)
    scores = 2 * rng.random((n, n)) - 0.2 * np.hypot(y[:, None] - y, x[:, None] - x)
    P = torch.from_numpy(np.exp(scores) / np.exp(scores).sum(1, keepdims=True)).float()
    walk, image = Walk(P, grid), rng.integers(0, 256, (256, 256, 3), np.uint8)
    graph = walk.reversible()
    tree = partition(graph, grid)
    found = SimpleNamespace(image=image, tree=tree, walk=walk, graph=graph)
    prices = SplitPrices.of(tree, walk)
    stops = {name: prune(tree, name, graph, prices) for name in ("spatial-null", "gap", "stability")}
    return {
        "attention, 16 steps": attention_explorer(image, AttentionMaps({grid: P})),
        "cut": cut_explorer(image, grid, graph),
        "tree": tree_explorer(image, tree, 0.5),
        "method": method_explorer(found, 0.5, (1, 1)),
        "criteria": criteria_explorer(image, tree, stops, 1.0),
        "graphs": graph_explorer(image, walk, {"W": graph}, every=4),
        "toy": toy_walk(),
    }


def report(name: str, moment: str, size: int, events: list[float], frames: list[float]) -> None:
    said = [
        f"{what}: median {np.median(times):4.1f} ms, nine in ten below {np.quantile(times, 0.9):4.1f} ms"
        for what, times in (("event", events), ("frame", frames))
        if times
    ]
    print(f"{name:20} {moment:7} {size / 1e6:.2f} MB", *said, sep="  ")


def main(front: str | None) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    browser.set_script_timeout(120)
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in explorers().items():
            idle = [("no idle", COLD, 0), ("idle", WARM, 15)] if name.startswith("attention") else [("", "", 0)]
            for moment, script, seconds in idle:
                browser.get(page(figure, Path(folder)))
                browser.execute_script(script)
                time.sleep(seconds)
                report(name, moment, len(figure.data), *browser.execute_async_script(f"(async () => {{{EVENTS}}})()"))
    if front:
        for _ in range(3):
            browser.get("about:blank")
            browser.get(Path(front).resolve().as_uri())
            timing = (
                "const t = performance.getEntriesByType('navigation')[0]; return [t.domInteractive, t.loadEventEnd]"
            )
            ready, loaded = browser.execute_script(timing)
            print(f"front page: figure stands after {ready:.0f} ms, everything is loaded after {loaded:.0f} ms")
    browser.quit()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
