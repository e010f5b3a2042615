"""How long the explorers compute for one event of a pointer, and how soon the front page stands, in Chromium.

    python tests/bench_explorers.py [_build/html/book/intro.html]

Not a test: times depend on the machine. The pictures have 32 x 32 patches; attention takes 16 steps. For each explorer
the median and the ninth decile of the times of its script are printed, over drags that choose another patch at every
event; at 60 frames a second there are 16.7 ms for one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from explorers import page
from selenium import webdriver

from walkcut.attention import AttentionMaps
from walkcut.threshold import prune
from walkcut.tree import partition
from walkcut.walk import Walk
from walkcut.widgets.attention import attention_explorer
from walkcut.widgets.criteria import criteria_explorer
from walkcut.widgets.cut import cut_explorer, sweeps
from walkcut.widgets.graphs import graph_explorer
from walkcut.widgets.inline import Figure
from walkcut.widgets.toy import toy_walk
from walkcut.widgets.tree import method_explorer, tree_explorer

# Press in each drawing, then drag along its diagonal; handlers run inside dispatchEvent, and reading a pixel or a box
# afterwards makes the browser finish what they ordered.
EVENTS = """
const times = [];
const slider = document.querySelector('input[aria-label="Steps of the walk"]');
if (slider) { slider.value = 16; slider.dispatchEvent(new Event('input', { bubbles: true })); }
for (const node of document.querySelectorAll('canvas, svg')) {
  node.setPointerCapture = () => {};
  node.hasPointerCapture = () => true;
  const box = node.getBoundingClientRect();
  for (let i = 0; i < 32; i += 1) {
    const place = { clientX: box.x + box.width * (i + 0.5) / 32, clientY: box.y + box.height * (i + 0.5) / 32 };
    const options = { bubbles: true, pointerId: 1, buttons: 1, ...place };
    const event = new PointerEvent(i ? 'pointermove' : 'pointerdown', options);
    const start = performance.now();
    node.dispatchEvent(event);
    times.push(performance.now() - start);
  }
}
return times;
"""


def explorers(grid: tuple[int, int] = (32, 32)) -> dict[str, Figure]:
    """All of them on one random walk that stays near."""
    rng, n, (y, x) = np.random.default_rng(0), grid[0] * grid[1], np.indices(grid).reshape(2, -1)
    scores = 2 * rng.random((n, n)) - 0.2 * np.hypot(y[:, None] - y, x[:, None] - x)
    P = torch.from_numpy(np.exp(scores) / np.exp(scores).sum(1, keepdims=True)).float()
    walk, image = Walk(P, grid), rng.integers(0, 256, (256, 256, 3), np.uint8)
    graph = walk.reversible()
    tree, vectors = partition(graph, grid), sweeps(graph)
    stops = {name: prune(tree, name, walk) for name in ("half-life", "gap", "stability")}
    return {
        "attention, 16 steps": attention_explorer(image, AttentionMaps({grid: P})),
        "cut": cut_explorer(image, grid, *vectors),
        "tree": tree_explorer(image, tree, 0.5),
        "method": method_explorer(image, tree, 0.5, walk, vectors[0][0], (1, 1)),
        "criteria": criteria_explorer(image, tree, stops, {}, 1.0),
        "graphs": graph_explorer(image, grid, {"W": {1: graph.W.numpy()}, "P": {1: P.numpy()}}, ["W"], every=4),
        "toy": toy_walk(),
    }


def main(front: str | None) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in explorers().items():
            browser.get(page(figure, Path(folder)))
            size = len(figure.data) / 1e6
            # a figure may use idle moments to be quicker later: at once, and after a while
            for moment in ("at once", "later"):
                times = np.array(browser.execute_script(EVENTS))
                median, most = np.quantile(times, [0.5, 0.9])
                print(f"{name:20} {size:.2f} MB {moment:8} median {median:5.1f} ms, nine in ten below {most:5.1f} ms")
                time.sleep(15 if "steps" in name and moment == "at once" else 0)
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
