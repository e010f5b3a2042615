"""What a million pictures take: a page of arithmetic, from measured numbers and a price that the reader has."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from walkcut.app.outputs import Job, read, save
from walkcut.backbone import Backbone
from walkcut.bench.table import Table, published
from walkcut.errors import InputError
from walkcut.recipe import resolve
from walkcut.segmentation import cut, extract_walks, timed
from walkcut.threads import single_threaded

MILLION = 10**6
LOOKS = ("VAE", "capture", "walk")  # stages of `walkcut.bench.throughput` that are over before the cut
PARTS = ("VAE", "denoiser", "listening", "walk")  # the same, as `speed-gpu.json` has them


def measure(
    paths: Sequence[Path], out: Path, backbone: Backbone, grid: int = 64
) -> tuple[np.ndarray, dict[str, float]]:
    """Take each picture from its file to the three files of its results, one after another.

    Returns
    -------
    seconds : float64 (pictures, 3)
        To read; to look, which ends with the walk; to cut and write, on one thread.
    sizes : dict of str to float
        Mean bytes of each kind of result, by the ending of its name.
    """
    seconds, sizes = [], {}
    recipe = resolve("walkcut", backbone.eye, {"grid": grid})
    for path in paths:
        took, job = {}, Job(path, out / path.stem)
        with timed(took, "read"):
            picture = read(job)
        with timed(took, "look", backbone.device):
            (record,) = extract_walks([picture.image], backbone, recipe)
        with timed(took, "cut"), single_threaded():
            save(replace(picture, record=record), cut(record))
        seconds.append(list(took.values()))
        for output in job.outputs:
            sizes.setdefault(output.name.removeprefix(path.stem + "."), []).append(output.stat().st_size)
    return np.array(seconds), {ending: float(np.mean(found)) for ending, found in sizes.items()}


def on_gpu(folder: Path, model: str) -> dict:
    """What `speed-gpu.json` in a folder of results tells of a model.

    Returns
    -------
    dict
        "gpu" and "command"; "look" and "cut", seconds of a picture, the latter with its pixels; "alone", pictures a
        second, one after another; "chain", what was measured with cutters beside the GPU.
    """
    record = json.loads((folder / "speed-gpu.json").read_text())
    (row,) = (row for row in record["measurements"] if row["model"] == model)
    seconds = row["seconds"]
    found = {"gpu": record["gpu"], "command": record["command"].replace("MODEL", model), "chain": record["chain"]}
    found |= {"look": sum(seconds[part] for part in PARTS), "cut": seconds["cut"] + seconds["pixels"]}
    return found | {"alone": row["pictures_per_second"]}


def rates(folder: Path) -> dict[str, float]:
    """Pictures a second that denoisers look at, by what tells so.

    The embedded one's and Stable Diffusion 1.4's, from the committed speeds in a folder of results; the latter's whole
    chain has a row of its own. Then whole methods as their authors report them.
    """
    own, told = json.loads((folder / "speed-dead-leaves.json").read_text()), on_gpu(folder, "sd-1.4")
    found = {f"`{own['command']}`, {own['processor']}": 1 / sum(own["seconds"][stage] for stage in LOOKS)}
    found[f"`{told['command']}`, {told['gpu']}"] = 1 / told["look"]
    chain = f"sd-1.4 with {told['chain']['cutters']} cutters beside it, the whole chain, {told['gpu']}"
    found[chain] = told["chain"]["pictures_per_second"]
    return found | {f"{row['method']}, as reported": row["pictures_per_second"] for row in published()["speeds"]}


def remarks(folder: Path) -> list[str]:
    """What the committed speeds of two models were measured on, a line each; two for the one that ran on a GPU."""
    own = json.loads((folder / "speed-dead-leaves.json").read_text())
    told = on_gpu(folder, "sd-1.4")
    chain = told["chain"]
    return [
        f"dead-leaves: pictures of noise; {own['processor_share']:.2f} processors worked for {own['threads']} threads",
        f"sd-1.4 on one {told['gpu']}: a look takes {1000 * told['look']:.0f} ms, the cut and its pixels "
        f"{1000 * told['cut']:.0f} ms; one after another {told['alone']:.2f} pictures a second",
        f"with {chain['cutters']} cutters beside it {chain['pictures_per_second']:.1f} a second: photographs, most of "
        f"them of fewer patches, {chain['batch']} a pass",
    ]


def page(given: Mapping[str, float], seconds: float, days: float, price: float | None = None) -> Table:
    """Hours, cost, machines and cores for a million pictures.

    Equation `eq-scale-hours` of the book.

    Parameters
    ----------
    given : mapping of name to pictures a second
    seconds : float
        In which a core cuts a picture and writes what it found.
    days : float
        That there are.
    price : float, optional
        Of a machine for an hour; without one, the cost stays a formula.
    """
    if not days > 0 or (price is not None and not price >= 0):
        raise InputError(f"A page needs days above 0 and a price of at least 0, not {days} and {price}.")
    rows = []
    for name, rate in given.items():
        hours = MILLION / rate / 3600
        cost = f"{hours:,.0f} × your price" if price is None else f"{hours * price:,.0f}"
        machines, cores = (f"{math.ceil(need):,}" for need in (hours / 24 / days, rate * seconds))
        rows.append([name, f"{rate:.2f}", f"{hours:,.0f}", cost, machines, cores])
    return Table(["", "pictures a second", "hours", "cost", f"machines for {days:g} days", "cores that cut"], rows)
