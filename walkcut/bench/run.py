"""Run methods over a data set, one row per (picture, method, setting), and summarise.

Rows go to a JSONL file, one picture and method at a time, and are on disk before the next begins; a run that was
killed goes on where it stopped. Each row carries a fingerprint of all that it depends on (settings, weights, the code
of the method and of the measures), so that a row made under other conditions is made again and never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

import walkcut
from walkcut import threshold as criteria
from walkcut.bench.datasets import Dataset, Item
from walkcut.bench.method import Method, Result
from walkcut.bench.metrics import MEASURES, aggregate, bootstrap_difference, score
from walkcut.errors import InputError

if TYPE_CHECKING:
    from walkcut.backbone import Backbone
    from walkcut.segmentation import Segmentation

    Variant = Callable[[Segmentation], criteria.Pruning]

PACKAGE = Path(walkcut.__file__).parent
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 31))  # 0.05 to 1.5
AUTO = criteria.AUTO  # the default criterion
OTHERS = tuple(name for name in criteria.CRITERIA if name != AUTO)
OURS = "walkcut"
CORE = (
    *("images", "backbone", "attention", "walk", "graph", "affinity", "presets", "ncut", "tree", "threshold", "pixels"),
    "segmentation",
)
PACKAGES = ("numpy", "scipy", "torch", "diffusers", "scikit-image", "scikit-learn", "pillow")


# ---------------------------------------------------------------------------------------------------------------------
# Our method


def walkcut_method(
    segmenter: Callable[[np.ndarray], Segmentation],
    thresholds: Sequence[float],
    config: dict,
    connected: bool = False,
    variants: Mapping[str, Variant] | None = None,
) -> Method:
    """Our method: one tree per picture; then every criterion, and constant thresholds, as prunings of that tree.

    Parameters
    ----------
    segmenter : callable
        From an image to a `Segmentation` by the default criterion.
    thresholds : sequence of float
        In (0, 2].
    config : dict
        What the segmenter depends on.
    connected : bool
        Score connected parts (`Segmentation.parts`) instead of segments.
    variants : mapping of name to function of a `Segmentation`, optional
        Further ways to prune, each a line of the table.
    """
    variants = variants or {}

    def run(item: Item) -> Iterator[Result]:
        found = segmenter(item.image)
        for name in (AUTO, *OTHERS):
            chosen = found if name == AUTO else found.at(name)
            yield Result(name, chosen.parts() if connected else chosen.labels)
        for name, variant in variants.items():
            chosen = found.pruned(variant(found))
            yield Result(name, chosen.parts() if connected else chosen.labels)
        known: dict[bytes, np.ndarray] = {}  # neighbouring thresholds often prune to the same patches
        for threshold in thresholds:
            key = found.tree.labels(threshold).tobytes()
            if key not in known:
                pruned = found.at(threshold)
                known[key] = pruned.parts() if connected else pruned.labels
            yield Result(f"{threshold:g}", known[key])

    settings = (AUTO, *OTHERS, *variants, *(f"{threshold:g}" for threshold in thresholds))
    config = config | {"automatic": AUTO}
    sources = (*(f"{name}.py" for name in CORE), *(["bench/criteria.py"] if variants else []))
    return Method(OURS + ", parts" * connected, settings, config, sources, run)


def model_record(model: str) -> dict:
    """Name of a model and the SHA-256 of its weights and readout; a path is reduced to its last part."""
    from walkcut.backbone import model_folder

    folder = model_folder(model)
    files = sorted([*folder.rglob("*.safetensors"), *folder.glob("readout.json")])
    sums = {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return {"name": Path(model).name, "sha256": sums}


def load_walkcut(
    model: str = "dead-leaves",
    device: str = "auto",
    thresholds: Sequence[float] = THRESHOLDS,
    steps: int = 1,
    grid: int = 64,
    seed: int = 0,
    variants: Mapping[str, Variant] | None = None,
) -> list[Method]:
    """Segments, and their connected parts, with a model loaded once; see `walkcut.segmentation.segment`."""
    from walkcut.backbone import load_backbone
    from walkcut.segmentation import segment

    backbone: Backbone = load_backbone(model, device)
    config = {"model": model_record(model), "steps": steps, "grid": grid, "seed": seed, "device": backbone.device.type}
    last: dict[bytes, Segmentation] = {}  # both methods look at a picture in turn

    def segmenter(image: np.ndarray) -> Segmentation:
        key = image.tobytes()
        if key not in last:
            last.clear()
            last[key] = segment(image, backbone, threshold=AUTO, steps=steps, grid=grid, seed=seed)
        return last[key]

    return [walkcut_method(segmenter, thresholds, config, connected, variants) for connected in (False, True)]


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def fingerprint(dataset: Dataset, method: Method) -> str:
    """Twelve hexadecimal digits that change when the data, the method or the measures change."""
    sources = [PACKAGE / name for name in ("scenes.py", "bench/datasets.py", "bench/metrics.py", *method.sources)]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources if path.exists())).hexdigest()
    parts = [dataset.config, method.name, method.settings, method.config, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def read_rows(path: Path) -> list[dict]:
    """Rows of a JSONL file; a last line that was cut short is left out, and no file means no rows.

    Raises
    ------
    InputError
        If another line is damaged, or the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): choose another --out.") from error
    rows = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is empty or cut short
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(
                f"Line {number} of {path} is damaged: delete that line or choose another --out."
            ) from error
    return rows


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another --out.") from error
    finally:
        part.unlink(missing_ok=True)


def append_rows(path: Path, rows: Iterable[dict]) -> None:
    """Append rows and wait until they are on disk."""
    with path.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def sort_out(rows: Sequence[dict], dataset: Dataset, methods: Sequence[Method]) -> tuple[list[dict], int]:
    """Rows to keep, and the number of rows dropped as made under other conditions or left incomplete.

    Rows of methods that do not take part now are kept as they are.
    """
    prints = {method.name: fingerprint(dataset, method) for method in methods}
    settings = {method.name: list(method.settings) for method in methods}
    units: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        units.setdefault((row["picture"], row["method"]), []).append(row)
    kept = []
    for (_, name), unit in units.items():
        whole = name not in prints or (
            [row["setting"] for row in unit] == settings[name]
            and {row["fingerprint"] for row in unit} == {prints[name]}
        )
        kept += unit if whole else []
    return kept, len(rows) - len(kept)


def score_picture(item: Item, method: Method, mark: str) -> list[dict]:
    """One row per setting of `method` on one picture; `seconds` is for the whole list of settings."""
    scores: dict[str, dict] = {setting: {} for setting in method.settings}
    segments: dict[str, int] = {}
    seconds, start = 0.0, time.perf_counter()
    for setting, labels, kinds in method.run(item):
        seconds += time.perf_counter() - start
        for kind in kinds or item.truths:
            scores[setting][kind] = {name: round(x, 6) for name, x in score(item.truths[kind], labels).items()}
        segments[setting] = len(np.unique(labels))
        start = time.perf_counter()
    common = {"picture": item.name, "method": method.name, "fingerprint": mark, "seconds": round(seconds, 3)}
    return [
        common | {"setting": setting, "segments": segments[setting], "scores": scores[setting]}
        for setting in method.settings
    ]


def run(dataset: Dataset, methods: Sequence[Method], path: Path, fresh: bool = False) -> tuple[list[dict], dict]:
    """Score all pictures with all methods, going on from the rows in `path`.

    Parameters
    ----------
    dataset : Dataset
    methods : sequence of Method
    path : Path
        The JSONL file; its folder is created.
    fresh : bool
        Forget the rows in `path` first.

    Returns
    -------
    rows : list of dict
    failed : dict of str
        Pictures that could not be read or segmented, with the reason; they are tried again by the next run.
    """
    rows, dropped = sort_out([] if fresh else read_rows(path), dataset, methods)
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
    if dropped:
        tqdm.write(f"{path}: {dropped} rows were incomplete or made under other conditions, and are made again.")
    marks = {method.name: fingerprint(dataset, method) for method in methods}
    done = {(row["picture"], row["method"]) for row in rows}
    todo = [name for name in dataset.names if any((name, method.name) not in done for method in methods)]
    failed: dict[str, str] = {}
    before = len(dataset.names) - len(todo)
    with tqdm(total=len(dataset.names), initial=before, desc=dataset.name, unit="picture") as bar:
        for name in todo:
            try:
                item = dataset.load(name)
                for method in methods:
                    if (name, method.name) not in done:
                        new = score_picture(item, method, marks[method.name])
                        append_rows(path, new)
                        rows += new
            except InputError as error:
                failed[name] = str(error)
                bar.write(f"{name}: {error}")
            bar.update()
    return rows, failed


# ---------------------------------------------------------------------------------------------------------------------
# Summary


@dataclass(frozen=True)
class Curve:
    """One line of the results table: a method with the settings among which the best is chosen.

    Attributes
    ----------
    label : str
    settings : tuple of str
        A single one where nothing is chosen on the scored pictures.
    values : dict of float (pictures, settings), by (truth, measure)
    weights : dict of float (pictures,), by truth
    seconds : float
        Median time per picture for all settings of the method together.
    """

    label: str
    settings: tuple[str, ...]
    values: dict[tuple[str, str], np.ndarray]
    weights: dict[str, np.ndarray]
    seconds: float


def is_number(setting: str) -> bool:
    """Whether a setting of ours is a constant threshold; else it is a criterion."""
    return setting.replace(".", "", 1).isdigit()


def constant_label(line: Curve) -> str:
    """Of a criterion's line, the label of its method's line with constant thresholds, which is the method's name."""
    return line.label.removesuffix(f", {line.settings[0]}")


def curves(rows: Sequence[dict], pictures: Sequence[str], methods: Sequence[Method]) -> list[Curve]:
    """Tables (pictures, settings) per method; each criterion is a line of its own."""
    index = {(row["picture"], row["method"], row["setting"]): row for row in rows}
    lines = []
    for method in methods:
        alone = [setting for setting in method.settings if method.name.startswith(OURS) and not is_number(setting)]
        groups = [(f"{method.name}, {setting}", (setting,)) for setting in alone]
        free = tuple(setting for setting in method.settings if setting not in alone)
        for label, settings in [*groups, (method.name, free)]:
            if not settings:
                continue
            grid = [[index[picture, method.name, s] for s in settings] for picture in pictures]
            kinds = list(grid[0][0]["scores"])
            values = {
                (kind, name): np.array([[row["scores"][kind][name] for row in line] for line in grid])
                for kind in kinds
                for name in MEASURES
            }
            weights = {kind: np.array([line[0]["scores"][kind]["weight"] for line in grid]) for kind in kinds}
            seconds = float(np.median([line[0]["seconds"] for line in grid]))
            lines.append(Curve(label, settings, values, weights, seconds))
    return lines


def weights_for(curve: Curve, kind: str, measure: str) -> np.ndarray:
    """Weights of pictures: pixels times humans for covering as in the BSDS benchmark, else all alike."""
    weights = curve.weights[kind]
    return weights if measure == "covering" else np.ones(len(weights))


def table_rows(lines: Sequence[Curve]) -> list[dict]:
    """ODS, OIS, the chosen setting and the whole curve of each line, truth and measure."""
    found = []
    for line in lines:
        for (kind, measure), values in line.values.items():
            weights = weights_for(line, kind, measure)
            best = aggregate(values, weights, MEASURES[measure])
            found.append(
                {
                    "method": line.label,
                    "truth": kind,
                    "measure": measure,
                    "ods": round(best.ods, 4),
                    "ois": round(best.ois, 4),
                    "setting": line.settings[best.setting],
                    "at_end_of_list": len(line.settings) > 1 and best.setting in (0, len(line.settings) - 1),
                    "curve": [round(float(x), 4) for x in weights @ values / weights.sum()],
                }
            )
    return found


def differences(lines: Sequence[Curve], baseline: str = "Felzenszwalb") -> list[dict]:
    """Paired bootstrap differences with 95% intervals; positive means better only where more is better.

    First ours minus the baseline, with the best constant threshold and with the default criterion; then every
    criterion minus the best constant threshold, of segments and of parts alike.
    """
    known = {line.label: line for line in lines}
    ours = [line for line in lines if line.label.startswith(OURS)]
    pairs = [(line, baseline) for line in ours if line.settings[0] == AUTO or is_number(line.settings[0])]
    pairs += [(line, constant_label(line)) for line in ours if not is_number(line.settings[0])]
    found = []
    for line, name in pairs:
        for (kind, measure), values in line.values.items() if name in known else ():
            weights = weights_for(line, kind, measure)
            pair = bootstrap_difference(values, known[name].values[kind, measure], weights, MEASURES[measure])
            for choice, numbers in pair.items():
                difference, low, high = (round(x, 4) for x in numbers)
                found.append(
                    {"method": line.label, "baseline": name, "truth": kind, "measure": measure, "choice": choice}
                    | {"difference": difference, "low": low, "high": high}
                )
    return found


def processor() -> str:
    """Model name of the processor, and nothing else about the machine."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """Commit of the code, with "+changes" if the package differs from it; None outside a git checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def summarise(
    dataset: Dataset, methods: Sequence[Method], rows: Sequence[dict], failed: dict[str, str], command: str
) -> dict:
    """The committed result: how it was made, and the table.

    Raises
    ------
    InputError
        If no picture was scored by every method.
    """
    done = {(row["picture"], row["method"]) for row in rows}
    pictures = [name for name in dataset.names if all((name, method.name) in done for method in methods)]
    if not pictures:
        raise InputError(f"No picture of {dataset.title} could be scored: see the reasons above.")
    lines = curves(rows, pictures, methods)
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "pictures": len(pictures),
        "failed": sorted(failed),
        "command": command,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "data": dataset.config,
        "methods": {method.name: {"settings": list(method.settings)} | method.config for method in methods},
        "bootstrap": {"samples": 2000, "seed": 0, "interval": 0.95, "over": "pictures, paired"},
        "segments": segment_counts(rows, pictures, methods),
        "seconds_per_picture": {line.label: round(line.seconds, 3) for line in lines},
        "table": table_rows(lines),
        "differences": differences(lines),
    }


def segment_counts(rows: Sequence[dict], pictures: Sequence[str], methods: Sequence[Method]) -> dict[str, dict]:
    """Of each criterion, by the label of its line: median number of segments, and pictures left in one segment."""
    found = {}
    for line in curves(rows, pictures, [method for method in methods if method.name.startswith(OURS)]):
        if len(line.settings) == 1 and not is_number(line.settings[0]):
            name = constant_label(line)
            own = [
                r for r in rows if r["method"] == name and r["setting"] == line.settings[0] and r["picture"] in pictures
            ]
            counts = [row["segments"] for row in own]
            found[line.label] = {"median": float(np.median(counts)), "pictures_in_one": counts.count(1)}
    return found


COLUMNS = {
    "human": (("covering", "covering"), ("pri", "PRI"), ("vi", "VI")),
    "instances": (("covering", "covering"), ("miou", "mIoU")),
    "materials": (("covering", "covering"), ("miou", "mIoU")),
}


def markdown(summary: dict) -> str:
    """The tables of a summary in Markdown, ODS / OIS in each cell (one number where nothing was chosen)."""
    cells = {(row["method"], row["truth"], row["measure"]): row for row in summary["table"]}
    methods = list(dict.fromkeys(row["method"] for row in summary["table"]))
    columns = [
        (kind, measure, f"{title} ({kind})" if len({row["truth"] for row in summary["table"]}) > 1 else title)
        for kind in dict.fromkeys(row["truth"] for row in summary["table"])
        for measure, title in COLUMNS[kind]
    ]
    head = ["method", *(f"{title} {'↓' if MEASURES[measure] < 0 else '↑'}" for _, measure, title in columns)]
    text = [f"**{summary['title']}**, {summary['pictures']} pictures; best setting for the data set / per picture.", ""]
    text += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for method in methods:
        line = [method]
        for kind, measure, _ in columns:
            cell = cells[method, kind, measure]
            single = len(cell["curve"]) == 1
            line.append(f"{cell['ods']:.3f}" if single else f"{cell['ods']:.3f} / {cell['ois']:.3f}")
        text.append("| " + " | ".join(line) + " |")
    shown = {(kind, measure): title for kind, measure, title in columns}
    gaps = [row for row in summary["differences"] if (row["truth"], row["measure"]) in shown]
    for baseline in dict.fromkeys(row["baseline"] for row in gaps):
        what = f"the best constant threshold ({baseline})" if baseline.startswith(OURS) else baseline
        text += ["", f"Difference from {what}, with a 95% paired bootstrap interval over pictures:", ""]
        text += ["| method | measure | best for the data set | best per picture |", "|---|---|---|---|"]
        rows = [row for row in gaps if row["baseline"] == baseline]
        if baseline.startswith(OURS):  # the full list is in the file
            rows = [row for row in rows if row["measure"] == "covering"]
        for ods, ois in zip(rows[::2], rows[1::2], strict=True):
            pair = (f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]" for row in (ods, ois))
            text.append("| " + " | ".join([ods["method"], shown[ods["truth"], ods["measure"]], *pair]) + " |")
    return "\n".join(text) + "\n"


def bench(dataset: Dataset, methods: Sequence[Method], folder: Path, command: str, fresh: bool = False) -> dict:
    """Run, summarise, and write `DATASET.rows.jsonl` and `DATASET.json` into `folder`."""
    rows, failed = run(dataset, methods, folder / f"{dataset.name}.rows.jsonl", fresh)
    summary = summarise(dataset, methods, rows, failed, command)
    write_atomically(folder / f"{dataset.name}.json", json.dumps(summary, indent=1) + "\n")
    return summary


def read_summary(path: Path) -> dict:
    """A summary written by `bench`.

    Raises
    ------
    InputError
        If the file is not one.
    """
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a result of walkcut bench ({error}): name its summary, DATASET.json."
        ) from error
    if not isinstance(summary, dict) or not {"title", "table", "differences"} <= summary.keys():
        raise InputError(f"{path} is not a result of walkcut bench: name its summary, DATASET.json.")
    return summary
