"""Variants of the method that one chapter or one ablation uses; the core never imports them.

Here they register their names where the core offers one, so that settings and the command line know them. What they
name is imported when it is asked for.
"""

import json
from pathlib import Path

from walkcut.recipe import PRESETS, Preset
from walkcut.registry import CRITERIA, GRAPHS, PIXELS, RECORDERS

GRAPHS |= {
    "average": "walkcut.lab.graphs:averaged",
    "direct": "walkcut.lab.directed:direct",
    "rows-dot": "walkcut.lab.graphs:rows_dot",
    "rows-cosine": "walkcut.lab.graphs:from_rows",
    "divergence": "walkcut.lab.graphs:from_divergence",
    "features": "walkcut.lab.graphs:features",
    "renormalised": "walkcut.lab.subwalk:renormalised",
}
RECORDERS["features"] = "walkcut.lab.recorders:LayerFeatures"
CRITERIA |= {
    "stability": "walkcut.lab.criteria:stability",
    "gap": "walkcut.lab.criteria:largest_gap",
    "half-life": "walkcut.lab.criteria:half_life",
    "eigengap": "walkcut.lab.criteria:eigengap",
    "map-equation": "walkcut.lab.criteria:map_equation",
    "region-map": "walkcut.lab.criteria:region_map",
}
PIXELS["random-walker"] = "walkcut.lab.refine:random_walk_labels"

# Reconstructions of the paper's two versions
_TOLD = json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))
PRESETS |= {name: Preset(name, **told) for name, told in _TOLD.items()}
