"""Variants of the method that one chapter or one ablation uses; the core never imports them.

Here they register their names where the core offers one, so that settings and the command line know them. What they
name is imported when it is asked for.
"""

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

_PAPER = {
    "steps": 2,
    "threshold": "gap",
    "jump_chain": False,
    "inflation": 1.0,
    "spatial_prior": None,
    "noise": "inversion",
}
PRESETS["paper-v1"] = Preset(
    "paper-v1",
    _PAPER | {"graph": "direct"},
    "arXiv 2412.04678, first version: attention of 10 of 50 denoising steps after an inversion, NCut directly on P, k "
    "steps, a dynamic threshold. Ours: which ten (every fifth), k = 2, the rule for the threshold (the widest gap "
    "between the tree's NCut values), weights of resolutions by number of patches; for the embedded denoiser one noisy "
    "pass instead of inversion.",
)
PRESETS["paper-v2"] = Preset(
    "paper-v2",
    _PAPER | {"graph": "rows-cosine"},
    "arXiv 2412.04678, second version: NCut on the similarity of self-attention features, k steps, an automatic "
    "threshold. Ours: features are rows of P^k and similarity is their cosine; the rest as in paper-v1.",
)
