"""Named settings: which walk, which graph, which sub-walk, where to stop, and how patches become pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from walkcut.affinity import from_divergence, from_features, from_rows
from walkcut.attention import AttentionMaps, Features
from walkcut.backbone import Backbone
from walkcut.errors import InputError
from walkcut.graph import Affinity
from walkcut.noise import NOISES
from walkcut.refine import PIXELS
from walkcut.walk import Walk, aggregate, check_steps, check_walkers

# What is cut, made from a walk; "features" takes those of a layer instead.
GRAPHS: dict[str, Callable[[Walk], Affinity]] = {
    "reversible": lambda walk: walk.reversible(),
    "average": lambda walk: walk.averaged(),
    "direct": lambda walk: walk.direct(),
    "rows-dot": lambda walk: from_rows(walk, "dot"),
    "rows-cosine": lambda walk: from_rows(walk, "cosine"),
    "divergence": from_divergence,
}
SUBWALKS = ("restrict", "renormalise")


@dataclass(frozen=True)
class Preset:
    """Settings of the method, under one name.

    Attributes
    ----------
    name : str
    graph : str
        One of `GRAPHS`, or "features": cosine^10 of what the encoder's last self-attention passes on.
    steps : int
        k >= 1: the walk takes k steps at once.
    subwalk : str
        What a region is: "restrict" forgets what leads out of it, "renormalise" holds the walker inside (see
        `walkcut.walk.Held`; for the reversible form).
    criterion : str
        Where to stop, a name that `walkcut.threshold` knows.
    locality : "auto", None or float
        Width of the prior on distance; "auto" is the model's.
    inflation : "auto" or float
        How many walkers must agree on a step, see `walkcut.walk.Walk.inflated`; "auto" is the model's, 1 none.
    pixels : str
        How segments of patches become segments of pixels, one of `walkcut.refine.PIXELS`: "bilinear", or with borders
        moved to the picture's own edges.
    noise : str
        How a latent model is shown a picture, see `walkcut.noise.views`. The embedded denoiser always takes noisy
        passes: an inversion would cost it minutes on a CPU.
    reconstruction : str
        What of a published method is not public, and was filled in here.
    """

    name: str
    graph: str = "reversible"
    steps: int = 1
    subwalk: str = "restrict"
    criterion: str = "auto"
    locality: float | str | None = "auto"
    inflation: float | str = "auto"
    pixels: str = "bilinear"
    noise: str = "forward"
    reconstruction: str = ""

    def __post_init__(self) -> None:
        if self.graph not in (*GRAPHS, "features"):
            raise InputError(f"There is no graph {self.graph!r}: choose from {', '.join(GRAPHS)}, features.")
        if self.subwalk not in SUBWALKS:
            raise InputError(f"There is no sub-walk {self.subwalk!r}: choose from {', '.join(SUBWALKS)}.")
        if self.subwalk == "renormalise" and self.graph != "reversible":
            raise InputError(f"Only the reversible form can renormalise its regions, not the graph {self.graph!r}.")
        number = isinstance(self.locality, Real) and not isinstance(self.locality, bool) and self.locality > 0
        if not (self.locality in ("auto", None) or number):
            raise InputError(f"The prior on distance is 'auto', None or a positive width, not {self.locality!r}.")
        if self.inflation != "auto":
            check_walkers(self.inflation)
        if self.pixels not in PIXELS:
            raise InputError(f"Patches do not become pixels by {self.pixels!r}: choose from {', '.join(PIXELS)}.")
        if self.noise not in NOISES:
            raise InputError(f"There is no noise {self.noise!r}: choose from {', '.join(NOISES)}.")
        check_steps(self.steps)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("walkcut", pixels="pamr"),
        Preset(
            "paper-v1",
            graph="direct",
            steps=2,
            criterion="gap",
            locality=None,
            inflation=1.0,
            noise="inversion",
            reconstruction="arXiv 2412.04678, first version: attention of 10 of 50 denoising steps after an inversion, "
            "NCut directly on P, k steps, a dynamic threshold. Ours: which ten (every fifth), k = 2, the rule for the "
            "threshold (the widest gap between the tree's NCut values), weights of resolutions by number of patches; "
            "for the embedded denoiser one noisy pass instead of inversion.",
        ),
        Preset(
            "paper-v2",
            graph="rows-cosine",
            steps=2,
            criterion="gap",
            locality=None,
            inflation=1.0,
            noise="inversion",
            reconstruction="arXiv 2412.04678, second version: NCut on the similarity of self-attention features, k "
            "steps, an automatic threshold. Ours: features are rows of P^k and similarity is their cosine; the rest as "
            "in paper-v1.",
        ),
    )
}


def find_preset(preset: str | Preset) -> Preset:
    """A preset by its name, or as it is."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise InputError(f"There is no preset {preset!r}: choose from {', '.join(PRESETS)}.")
    return PRESETS[preset]


def noise_for(preset: str | Preset, backbone: Backbone) -> str:
    """How a backbone is shown a picture under a preset."""
    return find_preset(preset).noise if backbone.vae is not None else "forward"


def walk_for(preset: str | Preset, backbone: Backbone, attention: AttentionMaps) -> Walk:
    """The walk that a preset takes over a picture: aggregated, then as `prepared` has it."""
    return prepared(preset, backbone, aggregate(attention))


def prepared(preset: str | Preset, backbone: Backbone, walk: Walk) -> Walk:
    """A walk made ready to be cut: so many walkers agree on a jump, near patches come first, k steps at once."""
    preset = find_preset(preset)
    sigma = backbone.locality if preset.locality == "auto" else preset.locality
    walkers = inflation_for(preset, backbone)
    walk = walk if walkers == 1 else walk.jumps().inflated(walkers)
    return (walk.local(sigma) if sigma else walk).power(preset.steps)


def inflation_for(preset: str | Preset, backbone: Backbone) -> float:
    """How many walkers must agree under a preset."""
    chosen = find_preset(preset).inflation
    return backbone.inflation if chosen == "auto" else chosen


def graph_for(preset: str | Preset, walk: Walk, features: Features | None = None) -> Affinity:
    """The graph that a preset cuts.

    Parameters
    ----------
    preset : str or Preset
    walk : Walk
        From `walk_for`: its steps are taken already.
    features : Features, optional
        From `walkcut.attention.features`, for the graph "features" alone; brought to the walk's grid.

    Returns
    -------
    Affinity
        Ready for `walkcut.tree.partition`.
    """
    preset = find_preset(preset)
    if preset.graph == "features":
        if features is None:
            raise InputError("The graph 'features' needs features: give those of walkcut.attention.features.")
        return from_features(features.resized(walk.grid))
    if preset.subwalk == "renormalise":
        return walk.held()
    return GRAPHS[preset.graph](walk)
