"""What a run measures, on which pictures: told by the command line, recorded, and what files are named by.

Nothing here takes long to import: names are those of `walkcut.bench.tasks`, `semantic` and `ablate`.
"""

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from shlex import quote
from typing import Any

from walkcut.app.options import OPTIONS, list_of
from walkcut.recipe import whole
from walkcut.registry import NOISES

METHODS = (
    *("walkcut", "paper-v1", "paper-v2", "diffseg", "diffcut", "diffcut-pamr", "autosc", "kmeans-features", "maskcut"),
    *("sklearn-spectral", "slic-ncut", "mean-shift", "felzenszwalb", "kmeans"),
)
DATASETS = (
    *("scenes-seeds", "scenes-families", "bsds500-train", "bsds500-val", "bsds500-test"),
    *("coco-stuff-27", "cityscapes-27", "ade20k-150", "camvid-11", "folder"),
)
ABLATIONS = ("graph", "steps", "resolutions", "layers", "heads", "timesteps", "prior", "inflation", "pixels")
# How each paper shows a picture to its model, beside the sides that walkcut.bench.semantic knows
PROTOCOLS: dict[str, dict[str, Any]] = {
    "diffseg": {"noise": "none", "timesteps": (300,)},
    "diffcut": {"noise": "forward", "timesteps": (50,)},
    "walkcut": {"noise": "inversion"},
}
EYE = METHODS[:10]  # that start from what an eye sees; the others see the picture alone
RESULTS = Path("walkcut-results")  # of whoever measures; those of the book lie in walkcut.bench.RESULTS
COARSE = ("ablate", "ladder", "models")  # tasks on 32 patches along the longer side
LONGEST = 24  # letters that a list takes in a file's name


_thresholds = list_of(float, lambda x: 0 < x <= 2, "numbers in (0, 2], as in 0.2,0.4,0.6")
_timesteps = list_of(int, lambda t: 0 <= t <= 999, "whole numbers from 0 to 999, as in 10,100", once=False)
_models = list_of(str, bool, "models")
_classes = list_of(str, bool, "names of classes, as in sky,road,tree")
_values = list_of(int, lambda value: 0 <= value <= 255, "whole numbers from 0 to 255, as in 0,255")
_named = list_of(str, METHODS.__contains__, f"some of {','.join(METHODS)}, or say all, or eye")


def _methods(text: str) -> tuple[str, ...]:
    return {"all": METHODS, "eye": EYE}.get(text) or _named(text)


def _option(default: Any, help: str, **words: Any) -> Any:
    """A field with an option of its name, see `walkcut.app.options.add_option`."""
    return field(default=default, metadata={"default": default, "help": help, **words})


_DATA = {"default": None, "help": "the data set's folder; scenes need none", "type": Path, "metavar": "DIR"}
_WHOSE = "whose protocol, for classes: sides of picture and truth, noise, timesteps; default: diffseg's sides"
_SHOWN = "how a picture is shown; default: the protocol's, or the preset's"


@dataclass(frozen=True)
class RunConfig:
    """One task on one data set, for any number of methods that share how a picture is looked at.

    A field that tells what it is for is an option of the command.

    Attributes
    ----------
    task : tuple of str
        Words of the command: ("run",), ("ablate", "steps"), ("ladder",), ("models",) or ("criteria",).
    dataset : str
        Its name.
    data : Path, optional
        The folder of its files, which is recorded nowhere.
    model, models
        Names or folders. The task "models" takes the latter; its first is compared with.
    protocol : str, optional
        One of `PROTOCOLS`: whose way to show pictures, and to score classes.
    methods : tuple of str
        Of `METHODS`.
    partial : bool
        Let through a folder that lacks pictures.
    classes, ignore
        Of the data set "folder": names of the values in its label files; values that stand for nothing labelled.
    every : int
        One picture of so many.
    only : str, optional
        Which pictures of "criteria".
    noise, timesteps, dtype, device, seed, grid
        How a picture is looked at; None and "auto": as the preset and the model have it.
    thresholds : tuple of float, optional
        Constant ones.
    constant : tuple of float
        Some of them that were chosen on other pictures: each a line of its own, compared like the automatic one, which
        is compared with each of them.
    """

    task: tuple[str, ...] = ("run",)
    dataset: str = ""
    data: Path | None = field(default=None, metadata=_DATA)
    model: str = _option(**OPTIONS["model"])
    models: tuple[str, ...] = _option((), "the first is compared with", listed=_models, required=True)
    protocol: str | None = _option(None, _WHOSE, choices=PROTOCOLS)
    methods: tuple[str, ...] = _option(METHODS, "all (default), eye: that need one, or a list", listed=_methods)
    partial: bool = _option(False, "let through a folder that lacks pictures", action="store_true")
    classes: tuple[str, ...] = _option((), "of a folder: names of the values 0, 1, ...", listed=_classes)
    ignore: tuple[int, ...] = _option((), "of a folder: values that do not count; default: 255", listed=_values)
    every: int = _option(1, "one picture of N; default: all", check=whole(1))
    only: str | None = _option(None, "only these pictures", choices=("photographs", "scenes", "blank", "documents"))
    noise: str | None = _option(None, _SHOWN, choices=NOISES)
    timesteps: tuple[int, ...] | None = _option(None, "how noisy, 0 to 999; default: the model's", listed=_timesteps)
    dtype: str = _option(**OPTIONS["dtype"])
    device: str = _option(**OPTIONS["device"])
    seed: int = _option(**OPTIONS["seed"])
    thresholds: tuple[float, ...] | None = _option(
        None, "constant ones; default: as suits the walk", listed=_thresholds
    )
    constant: tuple[float, ...] = _option((), "some of these that were chosen on other pictures", listed=_thresholds)
    grid: int = _option(64, "patches on the longer side", check=whole(1))

    def overrides(self, kind: str = "unet") -> dict[str, Any]:
        """Settings of a look that were asked for, by the protocol or one by one; `kind` is that of a `Backbone`.

        A vision transformer sees no noise: of a protocol it keeps the sides, and is not asked for more.
        """
        asked = {"noise": self.noise, "timesteps": self.timesteps}
        told = {} if kind == "vision" else PROTOCOLS.get(self.protocol or "", {})
        return {**told, **{k: v for k, v in asked.items() if v}, "grid": self.grid, "seed": self.seed}

    def told(self) -> dict[str, str]:
        """What is not as usual, as text and without a path of this machine."""
        found = {}
        for one in fields(self)[3:]:
            value = getattr(self, one.name)
            if value != (32 if one.name == "grid" and self.task[0] in COARSE else one.default):
                values = value if isinstance(value, tuple) else (value,)
                values = ("eye",) if value == EYE else values
                short = [Path(part).name if one.name in ("model", "models") else part for part in values]
                found[one.name] = ",".join(map(str, short))
        return found

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        words = ["walkcut", "bench", *self.task]
        words += [self.dataset] if self.task != ("criteria",) else []
        words += ["--data", "DIR"] if self.data else []
        for name, text in self.told().items():
            words += [f"--{name}"] if text == "True" else [f"--{name}", quote(text)]
        return " ".join(words)

    @property
    def name(self) -> str:
        """What its files are called: the data set, then whatever is not as usual; a long list by a digest."""
        words = [*(word for word in self.task if word not in ("run", "criteria")), self.dataset]
        for name, text in self.told().items():
            text = text.replace(",", "+")
            short = text if len(text) <= LONGEST else hashlib.sha256(text.encode()).hexdigest()[:6]
            if name in ("model", "protocol", "noise", "dtype", "methods", "models") and short == text:
                words.append(short)
            elif name not in ("device", "only"):  # a data set of "criteria" tells the latter
                words.append(name if text == "True" else f"{name}{short}")
        return "-".join(words)
