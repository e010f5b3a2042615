"""Are segments those of the picture, or of how it was held? Pictures turned, mirrored, their colours exchanged.

    python tests/perf/orientation.py       writes book/results/orientation.json, in some 10 minutes, on one thread

The segments of each changed picture are turned back and compared with those of the picture as it is, by the adjusted
Rand index: 1 where they are the same, 0 by chance. As it is, "again" is another seed of the noise: what a chance
that has nothing to do with the change does alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
SCENES = 12
Change = Callable[[np.ndarray], np.ndarray]


def greys(image: np.ndarray) -> np.ndarray:
    """Luma, as of television, in all three channels."""
    return np.rint(image @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None].repeat(3, -1)


def as_is(image: np.ndarray) -> np.ndarray:
    return image


def turned(times: int) -> Change:
    return lambda array: np.rot90(array, times).copy()


# What is done to a picture, what undoes it on labels, and settings that change besides.
CHANGES: dict[str, tuple[Change, Change, dict[str, int]]] = {
    "again": (as_is, as_is, {"seed": 1}),
    "mirrored": (lambda a: a[:, ::-1].copy(), lambda a: a[:, ::-1], {}),
    "turned 90": (turned(1), turned(-1), {}),
    "turned 180": (turned(2), turned(-2), {}),
    "turned 270": (turned(3), turned(-3), {}),
    "BGR": (lambda a: a[..., ::-1].copy(), as_is, {}),
    "grey": (greys, as_is, {}),
}


def pictures() -> Iterator[tuple[str, str, np.ndarray]]:
    """Set, name and picture."""
    from walkcut.bench.datasets import held_out_scenes
    from walkcut.samples import sample, sample_names

    for name in sample_names():
        yield "samples", name, sample(name)
    scenes = held_out_scenes("seeds")
    for name in scenes.names[:SCENES]:
        yield "scenes", name, scenes.load(name).image


def interval(values: list[float]) -> list[float]:
    """Of the mean, 95%, by a bootstrap over pictures."""
    picks = np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))
    return [round(float(bound), 3) for bound in np.percentile(np.array(values)[picks].mean(1), [2.5, 97.5])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "orientation.json")
    arguments = parser.parse_args()
    from sklearn.metrics import adjusted_rand_score
    from tqdm import tqdm

    from walkcut import load_backbone, segment
    from walkcut.app.outputs import write_whole
    from walkcut.bench.record import as_text, model_record, provenance

    backbone, rows = load_backbone(device="cpu"), []
    for group, name, image in tqdm(list(pictures()), file=sys.stderr):
        usual = segment(image, backbone)
        for change, (do, undo, settings) in CHANGES.items():
            found = segment(do(image), backbone, **settings)
            rand = adjusted_rand_score(usual.labels.ravel(), undo(found.labels).ravel())
            counts = {"segments": found.count, "segments_as_is": usual.count}
            rows.append({"set": group, "picture": name, "change": change, "rand": round(float(rand), 3), **counts})
    summary = []
    for group in dict.fromkeys(row["set"] for row in rows):
        for change in CHANGES:
            those = [row for row in rows if (row["set"], row["change"]) == (group, change)]
            rands = [row["rand"] for row in those]
            mean = {"mean": round(float(np.mean(rands)), 3), "interval": interval(rands)}
            in_one = sum(row["segments"] == 1 < row["segments_as_is"] for row in those)
            spread = {"lowest": min(rands), "in_one": in_one}
            summary.append({"set": group, "change": change, "pictures": len(those), **mean, **spread})
    record = {"title": "Orientation and colour", **provenance("python tests/perf/orientation.py")}
    record |= {"model": model_record(backbone.eye), "grid": 64, "summary": summary, "rows": rows}
    write_whole({arguments.out: as_text(record).encode()})


if __name__ == "__main__":
    main()
