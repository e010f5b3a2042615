"""What `walkcut bench` measures: from a `RunConfig` to a data set and methods, and from these to a committed result."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from walkcut.app.stages import Function, Stage
from walkcut.bench import baselines, table
from walkcut.bench.ablate import THRESHOLDS, ablation, changed, compared
from walkcut.bench.config import RunConfig
from walkcut.bench.criteria import VARIANTS, blank_pictures, choosing_scenes, documents
from walkcut.bench.datasets import Dataset, bsds500, held_out_scenes, thin
from walkcut.bench.ladder import ladder, one_truth
from walkcut.bench.look import Looker
from walkcut.bench.method import Method
from walkcut.bench.ours import OURS, preset_methods
from walkcut.bench.peers import autosc, clusters, diffcut, diffseg, maskcut
from walkcut.bench.peers.common import smallest_eigenvectors
from walkcut.bench.run import scorer
from walkcut.bench.semantic import layout_of, semantic
from walkcut.bench.summary import against_first, bench, pairs_of
from walkcut.errors import InputError
from walkcut.eyes.loading import find_device, load_backbone
from walkcut.graph import Graph
from walkcut.recipe import PRESETS

Measured = tuple[Dataset, list[Method]]
EIGENVALUES = 24  # of the walks of models side by side
# From a `Looker` and a seed, for methods that start from what a denoiser sees, and for those that see the picture only.
LOOKING: dict[str, Callable[[Looker, int], Method]] = {
    "diffseg": lambda looker, seed: diffseg.diffseg_method(looker),
    "diffcut": lambda looker, seed: diffcut.diffcut_method(looker),
    "diffcut-pamr": lambda looker, seed: diffcut.diffcut_method(looker, pamr=True),
    "autosc": lambda looker, seed: autosc.autosc_method(looker),
    "kmeans-features": clusters.kmeans_features_method,
    "maskcut": lambda looker, seed: maskcut.maskcut_method(looker),
    "sklearn-spectral": clusters.sklearn_spectral_method,
}
PICTURE_ONLY: dict[str, Callable[[int], list[Method]]] = {
    "slic-ncut": lambda seed: [baselines.slic_ncut_method()],
    "mean-shift": lambda seed: [baselines.mean_shift_method()],
    "felzenszwalb": lambda seed: [baselines.felzenszwalb_method()],
    "kmeans": lambda seed: [baselines.kmeans_method(position, seed) for position in (0.0, 20.0)],
}


def roster(config: RunConfig, dataset: Dataset, looker: Looker | None) -> list[Method]:
    """The methods of a configuration, for a data set; all but those of `PICTURE_ONLY` need a looker.

    Two things depend on the data set: pictures of 128 pixels take Felzenszwalb's sigma and smallest region that were
    best of eight pairs on 24 other scenes; and scenes are what the embedded denoiser was trained on.
    """
    methods: list[Method] = []
    scenes = dataset.name.startswith("scenes")
    for name in config.methods:
        if name == "felzenszwalb" and scenes:
            methods.append(baselines.felzenszwalb_method(sigma=0.5, min_size=20))
        elif name in PICTURE_ONLY:
            methods += PICTURE_ONLY[name](config.seed)
        elif looker is None:
            raise InputError(f"{name} starts from what a denoiser sees: give it a Looker.")
        elif name in PRESETS:
            methods += preset_methods(looker.under(name), config.thresholds)
        else:
            methods.append(LOOKING[name](looker, config.seed))
    if scenes and looker is not None and looker.backbone.name.startswith("dead-leaves"):
        methods = [replace(m, trained_on="dead leaves") if m.looker is not None else m for m in methods]
    return methods


def opened(config: RunConfig) -> Dataset:
    """The data set of a configuration; InputError if files are missing, which are never downloaded, or for an option
    that does not suit it.
    """
    name, scenes = config.dataset, config.dataset.startswith("scenes")
    kind = None if scenes else layout_of(name, config.data, config.classes, config.ignore)
    if kind and kind.classes:
        return thin(semantic(kind, Path(config.data or ""), config.protocol, config.partial), config.every)
    for option in ("protocol", "partial", *(("data", "classes", "ignore") if scenes else ())):
        if getattr(config, option):
            raise InputError(f"{name} has no option {option!r}: leave out --{option}.")
    if scenes:
        return thin(held_out_scenes(name.removeprefix("scenes-")), config.every)
    return bsds500(config.data or "", name.removeprefix("bsds500-"), config.every)


def looker_of(config: RunConfig) -> Looker:
    """The model of a configuration, and how it is shown pictures."""
    backbone = load_backbone(config.model, config.device, config.dtype)
    return Looker(backbone, **config.overrides(backbone.kind))


def run_task(config: RunConfig) -> Measured:
    """Methods beside one another."""
    dataset = opened(config)
    looker = None if PICTURE_ONLY.keys() >= set(config.methods) else looker_of(config)
    return dataset, [with_constants(method, config.constant) for method in roster(config, dataset, looker)]


def with_constants(method: Method, constants: Sequence[float]) -> Method:
    """Our method with a line of its own for each of these constant thresholds; others, and without any, as they are."""
    if not constants or not method.name.startswith(OURS):
        return method
    told = tuple(f"{constant:g}" for constant in constants)
    for constant in told:
        if constant not in method.curve:
            raise InputError(f"The constant {constant} is none of the thresholds: name it in --thresholds, too.")
    return replace(method, alone=(*method.alone, *told), swept=method.curve)


def ablate_task(config: RunConfig) -> Measured:
    """One thing changed at a time."""
    dataset, what = opened(config), config.task[1]
    methods = ablation(what, looker_of(config), by_parts(dataset), config.thresholds or THRESHOLDS)
    return retold(dataset, f"Ablation: {what}", "ablate", what), methods


def ladder_task(config: RunConfig) -> Measured:
    """One stage after another told the truth."""
    dataset = opened(config)
    if dataset.classes:
        raise InputError(f"{dataset.name} has no ladder: its truth leaves pixels out; choose scenes or BSDS500.")
    methods = ladder(looker_of(config), by_parts(dataset))
    return retold(one_truth(dataset), "Oracle ladder", "ladder"), methods


def models_task(config: RunConfig) -> Measured:
    """Models side by side, each by its short name or the last part of its folder."""
    dataset, names = opened(config), [Path(model).name for model in config.models]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"Two models go by the name {twice[0]!r}: rename one of the folders.")
    changes = {Path(model).name: changed(looker_of(replace(config, model=model))) for model in config.models}
    methods = compared(changes, by_parts(dataset), config.thresholds or THRESHOLDS)
    return retold(dataset, "Models", "models"), methods


def spectrum(graph: Graph, count: int = EIGENVALUES) -> np.ndarray:
    """The largest eigenvalues of the walk on a graph, those of D^-1/2 W D^-1/2, from one downwards.

    A walk that is worth cutting is metastable: a few eigenvalues near one, then a gap (Meila & Shi 2001).

    Parameters
    ----------
    graph : Graph
        Every node needs a positive degree.
    count : int
        Of fewer nodes there are fewer.
    """
    return 1 - smallest_eigenvectors(graph.W.cpu(), min(count, len(graph) - 2))[0]


def spectra(dataset: Dataset, lookers: Mapping[str, Looker]) -> dict[str, dict[str, list[float]]]:
    """Under "spectra", the mean `spectrum` of each looker's walk over the pictures of a data set."""
    found = {}
    for model, looker in lookers.items():
        each = [spectrum(looker(dataset.load(name).image).walk.reversible()) for name in dataset.names]
        found[model] = np.mean([values[: min(map(len, each))] for values in each], 0).round(5).tolist()
    return {"spectra": found}


def criteria_task(config: RunConfig) -> Measured:
    """Where to stop, on one of the sets of pictures that were set aside for choosing."""
    looker = looker_of(config)
    thingless = {"criteria-blank": blank_pictures, "criteria-documents": documents}
    if config.dataset in thingless:  # where no criterion stops there are hundreds of borders, and nobody looks
        looker = looker.under(pixels="bilinear")
        methods = preset_methods(looker, config.thresholds, VARIANTS)
        return thingless[config.dataset](max(1, 200 // config.every)), methods[:1]  # one segment has one part
    methods = preset_methods(looker, config.thresholds, VARIANTS)
    if config.dataset == "criteria-scenes":
        return choosing_scenes(config.every), methods
    photographs = bsds500(config.data or "", "train", 5 * config.every)  # 40 of 200
    title = "Criteria on BSDS500 train, to choose by"
    return replace(photographs, name="criteria-bsds500-train", title=title), methods


TASKS: dict[str, Callable[[RunConfig], Measured]] = {"run": run_task, "ablate": ablate_task, "ladder": ladder_task}
TASKS |= {"models": models_task, "criteria": criteria_task}


def by_parts(dataset: Dataset) -> bool:
    """Whether connected parts are scored: humans part things that look alike."""
    return dataset.name.startswith("bsds")


def retold(dataset: Dataset, title: str, *words: str) -> Dataset:
    """A data set under the name of what is done with it, scored without borders, which take long."""
    name = "-".join((*words, dataset.name))
    return replace(dataset, name=name, title=f"{title}, {dataset.title}", borders=False)


def measure(
    config: RunConfig, folder: Path, fresh: bool = False, workers: int = 0, engine: str = "local"
) -> tuple[dict, str]:
    """Carry a configuration out; the summary, which is written into a folder, and its tables as text.

    Parameters
    ----------
    config : RunConfig
    folder : Path
    fresh : bool
        See `walkcut.bench.run.run`.
    workers : int
        Processes that share the pictures; 0 is this one.
    engine : str
        See `walkcut.app.stages.stream`.
    """
    dataset, methods = TASKS[config.task[0]](config)
    plain = config.task[0] in ("run", "criteria")
    stage = None
    if workers or engine != "local":
        gpus = float(find_device(config.device).type == "cuda")
        stage = Stage(partial(_worker, config, max(workers, 1)), max(workers, 1), gpus=gpus)
    crew = {"fresh": fresh, "stage": stage, "engine": engine}
    beside = {method.name: method.looker for method in methods if config.task[0] == "models" and method.looker}
    more = partial(spectra, dataset, beside) if beside else dict
    summary = bench(dataset, methods, folder, config, pairs_of if plain else against_first, more, **crew)
    return summary, table.written(summary) if plain else table.changes(summary).markdown()


def _worker(config: RunConfig, workers: int) -> Function:
    """In a worker: what it does with a picture, its rows all at once."""
    torch.set_num_threads(max((os.cpu_count() or 1) // workers, 1))
    score = scorer(*TASKS[config.task[0]](config))
    return lambda item: list(score(item))
