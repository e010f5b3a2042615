"""Settings, told once: from a preset, an eye and what the user asked for to one concrete recipe.

`resolve` is called at the door. What it returns computes, is recorded beside results, is fingerprinted and names files;
nothing below the door asks a preset or a model for a setting again.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from decimal import Decimal
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from walkcut.errors import InputError, shown
from walkcut.registry import AUTO, CRITERIA, GRAPHS, NOISES, PIXELS

LARGEST = 2**63 - 1  # that torch can hold
FINEST = 128  # patches along a side: the matrix of the walk then fills 1 GB

P = ParamSpec("P")
T = TypeVar("T")
Check = Callable[[str, Any], Any]  # from a setting's name and value to the value as it is kept, or an InputError


def _setting(default: Any, check: Check, help: str = "", names: Iterable[str] = ()) -> Any:
    """A field of `Recipe`: what is let through; what the command line says of it, if it offers it."""
    return field(default=default, metadata={"check": check, "help": help, "names": names})


def _one_of(names: Collection[Any]) -> Check:
    def check(name: str, value: Any) -> Any:
        comparable = isinstance(value, str) or type(value).__name__ == "bool"  # of Python, or of NumPy
        for one in names:
            if comparable and value == one:
                return one
        raise InputError(f"There is no {name} {shown(value)}: choose from {', '.join(map(str, names))}.")

    return check


def number(value: Any) -> float:
    """A number of whatever kind as a float, infinite if it is huge; anything else, and a truth value, as NaN."""
    try:
        value = value.item() if getattr(value, "ndim", None) == 0 else value  # of NumPy or torch
        return float(value) if isinstance(value, Real | Decimal) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (RuntimeError, ValueError):  # of a tensor without a value, or of Decimal's sNaN
        return math.nan


def whole(low: int, high: int = LARGEST) -> Check:
    """A check that lets whole numbers through, the ends included."""

    def check(name: str, value: Any) -> int:
        found = int(value) if number(value) % 1 == 0 else -1
        if not low <= found <= high:
            usual = "below 2**63" if number(value) > high else f"of {low} or more"
            span = usual if high == LARGEST else f"from {low} to {high}"
            raise InputError(f"The setting {name} is a whole number {span}, not {shown(value)}.")
        return found

    return check


STEPS = whole(1, 10**6)  # of a walk: rows of P that were multiplied more often are lost in rounding


def positive(name: str, value: Any) -> float:
    """Let through a finite number above 0."""
    if not 0 < number(value) < math.inf:
        raise InputError(f"The setting {name} is a positive, finite number, not {shown(value)}.")
    return number(value)


def between(low: float, high: float) -> Check:
    """A check that lets numbers through, the ends included."""

    def check(name: str, value: Any) -> float:
        if not low <= number(value) <= high:
            raise InputError(f"The setting {name} is a number from {low} to {high}, not {shown(value)}.")
        return number(value)

    return check


def or_none(check: Check) -> Check:
    """A check that lets None through as well."""
    return lambda name, value: None if value is None else check(name, value)


def listed(check: Check, told: str, lengths: range = range(LARGEST)) -> Check:
    """A check that lets through a tuple, of so many things that pass another; `told` says what is wanted."""

    def every(name: str, value: Any) -> tuple[Any, ...]:
        with suppress(InputError, TypeError):
            if len(found := tuple(check(name, one) for one in value)) in lengths:
                return found
        raise InputError(f"{told.format(name=name)}, not {shown(value)}.")

    return every


sides = listed(whole(1), "A {name} is a height and a width, whole numbers above 0", range(2, 3))
TIMESTEPS = listed(whole(0, 999), "Timesteps are whole numbers from 0 to 999, in a list")


def checked(**checks: Check) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: arguments of these names come as their checks return them, whatever kind of number was passed."""

    def around(function: Callable[P, T]) -> Callable[P, T]:
        bind = inspect.signature(function).bind

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            given = bind(*args, **kwargs)
            for name in checks.keys() & given.arguments.keys():
                given.arguments[name] = checks[name](name, given.arguments[name])
            return function(*given.args, **given.kwargs)

        return call

    return around


def text(name: str, value: Any) -> str:
    """Let through a text."""
    if not isinstance(value, str):
        raise InputError(f"The setting {name} is a text, not {shown(value)}.")
    return str(value)


def _heads(name: str, value: Any) -> dict[str, tuple[float, ...]]:
    try:
        found = {str(layer): tuple(map(number, weights)) for layer, weights in dict(value).items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"The heads are layers with a weight for each of their heads, not {shown(value)}.") from error
    for layer, weights in found.items():
        if not weights or not all(0 <= weight < math.inf for weight in weights):
            raise InputError(f"Weights of heads are finite and at least 0, not {list(weights)} as for {layer}.")
    return found


def check_threshold(name: str, value: Any) -> float | str:
    """Let through "auto", the name of a criterion, or a number in (0, 2]; refuse anything else."""
    if isinstance(value, str) and (value == "auto" or value in CRITERIA):
        return AUTO if value == "auto" else value
    if not 0 < number(value) <= 2:
        wanted = f"'auto' or a number above 0 and at most 2, not {shown(value)}; or the name of a criterion"
        raise InputError(f"A {name} on NCut must be {wanted}: {', '.join(CRITERIA)}.")
    return number(value)


@dataclass(frozen=True)
class Eye:
    """A model before its weights are read: all that the settings of a segmentation depend on.

    Attributes
    ----------
    name : str
    weights : str
        Digest of its weights and its readout, see `weights_digest`; empty for random weights.
    dtype : str
        In which the network computes, such as "float32".
    prompt : str
        What it is told to see.
    family : str
        Who reads its weights, a name of `walkcut.registry.EYES`.
    readout : mapping
        Settings of `walkcut.recipe.Recipe` that suit this model, from `readout.json` beside its weights.
    folder : Path
        Of its weights.
    """

    name: str
    weights: str = ""
    dtype: str = "float32"
    prompt: str = ""
    family: str = "stable-diffusion"
    readout: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    folder: Path = field(default=Path(), repr=False)

    @property
    def latent(self) -> bool:
        """Whether it sees the latent of a VAE; else the pixels themselves."""
        return self.family == "stable-diffusion"


@dataclass(frozen=True)
class Recipe:
    """All that a segmentation depends on beside the picture, concrete: nothing in it waits to be looked up.

    Attributes
    ----------
    model, weights, dtype, prompt : str
        The eye, see `Eye`.
    grid : int
        Patches along the picture's longer side, 2 to 128; of a long panorama more, see
        `walkcut.backbone.Backbone.grid`.
    noise : str
        How a picture is shown: under "forward" noise, "none", or on the path of its "inversion", see
        `walkcut.noise.views`.
    timesteps : tuple of int
        Noise levels at which attention is read, 0 to 999; one named twice sees two draws of noise. Empty, for an
        inversion: every fifth of its fifty steps.
    seed : int
        Of the noise.
    heads : dict of layer name to weights of its heads
        A layer not named weighs nothing. Empty: every head of every layer, alike.
    inverse_temperature : float
        Scores are multiplied by it before the softmax when attention is read; above 1 a broad model looks less far
        afield. What the model itself computes is left alone.
    jump_chain : bool
        The walk without its rests, see `walkcut.walk.Walk.jump_chain`.
    inflation : float
        Exponent of the walk's probabilities, see `walkcut.walk.Walk.inflated`; 1 leaves the walk as it is.
    spatial_prior : float or None
        Width of the prior on distance in units of the longer side, see `walkcut.walk.Walk.spatial_prior`.
    steps : int
        k >= 1: the walk takes k steps at once.
    graph : str
        What is cut, a name of `walkcut.registry.GRAPHS`.
    threshold : float in (0, 2] or str
        Splits of NCut up to a number are taken; a name of `walkcut.registry.CRITERIA` needs no number.
    pixels : str
        How segments of patches become segments of pixels, a name of `walkcut.registry.PIXELS`.

    Raises
    ------
    InputError
        For a setting out of range, told in one sentence.
    """

    model: str = _setting("dead-leaves", text)
    weights: str = _setting("", text)
    dtype: str = _setting("float32", text)
    prompt: str = _setting("", text)
    grid: int = _setting(64, whole(2, FINEST), "patches along the longer side; 0.6 GB at 64, 5.0 GB at 128")
    noise: str = _setting("forward", _one_of(NOISES), "how a picture is shown to the denoiser", NOISES)
    timesteps: tuple[int, ...] = _setting((100,), TIMESTEPS)
    seed: int = _setting(0, whole(0), "of the noise")
    heads: Mapping[str, Sequence[float]] = _setting((), _heads)
    inverse_temperature: float = _setting(1.0, positive)
    jump_chain: bool = _setting(False, _one_of((False, True)))
    inflation: float = _setting(1.0, positive)
    spatial_prior: float | None = _setting(None, or_none(positive))
    steps: int = _setting(1, STEPS, "steps of the walk that are taken at once")
    graph: str = _setting("reversible", _one_of(GRAPHS), "what is cut", GRAPHS)
    threshold: float | str = _setting(AUTO, check_threshold, "largest NCut of a kept cut, or a criterion", CRITERIA)
    pixels: str = _setting("bilinear", _one_of(PIXELS), "how patches become pixels", PIXELS)

    def __post_init__(self) -> None:
        for one in fields(self):
            if "check" in one.metadata:
                object.__setattr__(self, one.name, one.metadata["check"](one.name, getattr(self, one.name)))
        if not self.timesteps and self.noise != "inversion":
            raise InputError("Timesteps are whole numbers from 0 to 999, at least one of them: name one.")

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, for JSON."""
        lists = {"timesteps": list(self.timesteps), "heads": {name: list(w) for name, w in self.heads.items()}}
        return {one.name: getattr(self, one.name) for one in fields(self)} | lists

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_dict`; unknown settings are refused."""
        return cls(**known(record))

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def plain(self) -> bool:
        """Whether attention's own walk is cut, one step of it, as it is."""
        return (self.jump_chain, self.inflation, self.spatial_prior, self.steps) == (False, 1.0, None, 1)


def known(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a dict; InputError for one that no recipe has."""
    names = [one.name for one in fields(Recipe)]
    for name in settings:
        if name not in names:
            raise InputError(f"There is no setting {name!r}: choose from {', '.join(names)}.")
    return dict(settings)


@dataclass(frozen=True)
class Preset:
    """Settings under one name; others are the eye's, or those of `Recipe`.

    Attributes
    ----------
    name : str
    settings : mapping
        Of some fields of `Recipe`.
    reconstruction : str
        What of a published method is not public, and was filled in here.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    reconstruction: str = ""

    def __post_init__(self) -> None:
        known(self.settings)


PRESETS = {"walkcut": Preset("walkcut", {"pixels": "pamr"})}  # others join from `walkcut.lab`


def find_preset(preset: str | Preset) -> Preset:
    """A preset by its name, or as it is."""
    if isinstance(preset, Preset):
        return preset
    if not isinstance(preset, str) or preset not in PRESETS:
        raise InputError(f"There is no preset {shown(preset)}: choose from {', '.join(PRESETS)}.")
    return PRESETS[preset]


def resolve(preset: str | Preset, eye: Eye, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """One recipe: what the user asks for counts first, then the preset, then what suits the eye.

    Parameters
    ----------
    preset : str or Preset
    eye : Eye
        Of a model, loaded or not.
    overrides : mapping, optional
        Fields of `Recipe` by name.

    Raises
    ------
    InputError
        For a setting that does not exist, is out of range or is the eye's own, or a readout that is damaged.
    """
    about = {"model": eye.name, "weights": eye.weights, "dtype": eye.dtype, "prompt": eye.prompt}
    suits = {name: value for name, value in eye.readout.items() if name != "calibrated_on"}
    try:
        Recipe(**known(suits) | about | {"prompt": ""})
    except InputError as error:
        raise InputError(f"The readout of {eye.name} is damaged ({error}): mend it or remove it.") from error
    named = dict(find_preset(preset).settings)
    if not eye.latent:
        named.pop("noise", None)  # an inversion would cost an eye of pixels minutes on a processor: only if asked for
    if eye.family == "vision":
        named.pop("timesteps", None)
    asked = named | known(overrides or {})
    if isinstance(noise := asked.get("noise"), str) and noise == "inversion":
        asked = {"timesteps": ()} | asked
    recipe = Recipe(**suits | about | asked)
    for name, value in about.items():
        if getattr(recipe, name) != value:
            asks = getattr(recipe, name)
            raise InputError(f"The {name} of the eye is {value!r}, not {shown(asks)}: say so where it is loaded.")
    if eye.family == "vision" and (recipe.noise, recipe.timesteps) != ("none", (0,)):
        raise InputError(f"{eye.name} sees pictures without noise: leave out noise and timesteps.")
    return recipe
