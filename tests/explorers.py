"""What the tests of the interactive figures share."""

import base64
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import torch

from walkcut.criteria import Pruning, prune
from walkcut.graph import Graph
from walkcut.null import SplitPrices
from walkcut.tree import PartitionTree, partition
from walkcut.walk import Walk
from walkcut.widgets.inline import Figure


def state(figure: Figure) -> dict:
    """What Python hands to the page."""
    return json.loads(re.search(r"^const state = (.*);$", figure.data, re.M)[1])


def words(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<u2")


def stored_tree(found: dict) -> list[tuple[int, int, float, float]]:
    """Of each node of a stored tree: start, stop, and from which threshold until which it is a segment."""
    start, stop, left, right, ncut = (
        words(found[name]).tolist() for name in ("start", "stop", "left", "right", "ncut")
    )
    since, until = [0.0] * len(start), [np.inf] * len(start)
    for node in range(len(start)):  # parents come first
        if left[node] != 65535:
            until[node] = max(2 * ncut[node] / 65535, since[node])
            since[left[node]] = since[right[node]] = until[node]
    return list(zip(start, stop, since, until, strict=True))


def _pairs() -> Graph:
    W = np.kron(np.eye(4), np.ones((2, 2)))
    for i, tie in ((1, 0.2), (3, 0.05), (5, 0.3)):
        W[i, i + 1] = W[i + 1, i] = tie
    return Graph(torch.from_numpy(W))


def four_pairs() -> PartitionTree:
    """The tree of four pairs in a row, weakly tied, the middle tie weakest."""
    return partition(_pairs(), (2, 4), smallest=1)


def four_stops() -> dict[str, Pruning]:
    """Where criteria stop in the tree of four pairs."""
    graph, tree = _pairs(), four_pairs()
    prices = SplitPrices.of(tree, Walk(graph.W / graph.degrees[:, None], (2, 4)))
    return {name: prune(tree, name, graph, prices) for name in ("spatial-null", "half-life", "gap", "stability")}


def same(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two label maps cut alike, whatever the numbers."""
    pairs = np.unique(np.stack([mine.ravel(), theirs.ravel()]), axis=1).shape[1]
    return pairs == len(np.unique(mine)) == len(np.unique(theirs))


def page(figure: Figure, folder: Path, theme: str = "light") -> str:
    """Address of a page of its own for a figure, in a folder; it is read as a file."""
    path = folder / f"{figure.name}-{theme}.html"
    look = "background: white; color: black" if theme == "light" else "background: #14181e; color: #dddddd"
    path.write_text(
        f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>a figure</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"></head>'
        f'<body style="{look}; margin: 8px">{figure.data}</body></html>',
        encoding="utf-8",
    )
    return path.as_uri()


# Of everything that takes the focus: a name for a screen reader, a ring that is seen, and a size that a finger finds.
FOCUS = """
const nodes = [...document.querySelectorAll('button, input, select, [tabindex]')];
return nodes.filter((node) => !node.closest('[hidden]')).map((node) => {
  node.focus({ focusVisible: true });
  const style = getComputedStyle(node.matches('.node') ? node.querySelector('circle') : node);
  const box = (node.closest('label') ?? node).getBoundingClientRect();
  const name = node.getAttribute('aria-label') ?? (node.closest('label') ?? node).textContent.trim();
  const ring = style.outlineStyle !== 'none' || parseFloat(style.strokeWidth) >= 5;
  return { name, ring, high: box.height, wide: box.width };
});
"""


def forget(chromium: object) -> None:
    """Leave the page, and empty the logs: the browser is shared, and what another test asked for is not this one's."""
    chromium.get("about:blank")
    chromium.get_log("browser"), chromium.get_log("performance")


def fits_every_screen(chromium: object) -> None:
    """On a phone, a tablet and a desk: nothing is wider than the screen."""
    for width in (390, 700, 1400):
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        page_width, screen = chromium.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert page_width <= screen == width
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def can_be_reached(chromium: object) -> None:
    """Whatever takes the focus has a name, a ring, and a size that a finger finds."""
    found = chromium.execute_script(FOCUS)
    assert found
    for node in found:
        assert node["name"], node
        assert node["ring"], node
        assert min(node["high"], node["wide"]) >= 24, node  # WCAG 2.2, 2.5.8


# Wait until the page is there and its formulas are typeset: a busy machine may be asked before MathJax's script ran.
TYPESET = """
const typeset = async () => {
  const soon = () => document.querySelector('script[src*=mathjax]') && !window.MathJax?.startup?.promise;
  while (document.readyState !== 'complete' || soon()) await new Promise(next => setTimeout(next, 20));
  await window.MathJax?.startup?.promise;
};
"""

# axe-core on the page as it stands, in the theme that is named: rules of WCAG 2.1, levels A and AA.
AXE = (
    TYPESET
    + """
const [theme, done] = arguments;
document.documentElement.dataset.theme = document.documentElement.dataset.mode = theme;
(async () => {
  await typeset();
  await Promise.all(document.getAnimations().map(animation => animation.finished.catch(() => null)));
  const found = await axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations']});
  done({rules: found.passes.length, faults: found.violations.map(fault => ({
    rule: fault.id, impact: fault.impact, count: fault.nodes.length,
    first: fault.nodes.slice(0, 5).map(node => node.html.slice(0, 200) + ' ' + node.failureSummary),
  }))});
})().catch(error => done({rules: 0, faults: [{rule: String(error), impact: 'critical'}]}));
"""
)


def axe_core() -> str:
    """axe-core itself, which comes with a package: nothing is fetched."""
    package = importlib.util.find_spec("selenium_axe_python")
    return Path(package.origin).with_name("axe-core").joinpath("axe.min.js").read_text(encoding="utf-8")


def faults(chromium: object, axe: str, theme: str) -> dict:
    """What axe-core finds on the page that is open: how many rules were kept, and the grave faults."""
    chromium.execute_script(axe)
    found = chromium.execute_async_script(AXE, theme)
    found["faults"] = [fault for fault in found["faults"] if fault["impact"] in ("serious", "critical")]
    return found
