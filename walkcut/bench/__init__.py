"""The benchmark: data sets, measures, baselines and a runner that survives being killed.

The core of `walkcut` never imports this package.
"""

from pathlib import Path

# Where the committed results lie, for the tables and figures of the book: `results` beside this file is a link to
# book/results, which travels into an installed package as a folder; where links are not kept, the folder itself.
_BESIDE = Path(__file__).with_name("results")
RESULTS = _BESIDE if _BESIDE.is_dir() else Path(__file__).parents[2] / "book" / "results"
