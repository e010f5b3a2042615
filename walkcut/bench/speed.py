"""How fast is the cut? Peers side by side on one and the same affinity, in one run.

Each peer turns an affinity (n, n) into labels (n,). All get the same float32 numbers and the same threads.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from walkcut.bench.record import commit, peak_memory, processor, write_atomically
from walkcut.errors import InputError
from walkcut.graph import Graph
from walkcut.ncut import best_cut, best_split, second_eigenvector
from walkcut.tree import partition

THRESHOLD = 0.5  # for the peers that are not given K
CANDIDATES = 100
REGIONS, DIMENSIONS = 8, 16  # planted
REPEATS = 5
PATIENCE = 2.0  # seconds: what took longer is not run again
CURVE = (256, 512, 1024, 2048, 4096, 8192, 16384)


class Case(NamedTuple):
    """An affinity (n, n) float32, and the segments planted in it where there are any."""

    name: str
    W: torch.Tensor
    truth: np.ndarray | None


@dataclass(frozen=True)
class Peer:
    """A way to cut an affinity.

    Attributes
    ----------
    name : str
    run : callable
        From (W, k) to labels (n,).
    given_k : bool
        Whether it is told the number of segments.
    largest : int
        Affinities beyond this many nodes are out of its reach here.
    package : str
        That it needs.
    """

    name: str
    run: Callable[[torch.Tensor, int], np.ndarray]
    given_k: bool
    largest: int = 2**15
    package: str = "torch"


def planted(n: int, noise: float = 0.35, seed: int = 0) -> Case:
    """Eight regions of equal size: random centres on a sphere of 16 dimensions, cosine to the power of 10.

    A walker inside a planted region forgets where it was, so nothing is left to cut there.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(REGIONS, DIMENSIONS))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    truth = np.arange(n) % REGIONS
    features = centres[truth] + noise / DIMENSIONS**0.5 * rng.normal(size=(n, DIMENSIONS))
    features = torch.from_numpy((features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32))
    return Case("planted", (features @ features.T).clamp_(0, 1).pow_(10), truth)


def attention(n: int, model: str = "dead-leaves") -> Case:
    """The reversible form of a sample photograph's walk, sqrt(n) x sqrt(n) patches."""
    from walkcut.attention import attend
    from walkcut.backbone import load_backbone
    from walkcut.images import sample
    from walkcut.presets import walk_for

    backbone = load_backbone(model)
    walk = walk_for("walkcut", backbone, attend(backbone, sample("astronaut"), round(n**0.5)))
    if walk.grid[0] * walk.grid[1] != n:
        raise InputError(f"Attention of {n} patches needs a square grid whose side the model can take.")
    return Case("attention", walk.reversible().W.cpu(), None)


# ---------------------------------------------------------------------------------------------------------------------
# Peers


def square(n: int) -> tuple[int, int]:
    """A grid of n patches; its shape plays no role for a cut."""
    return 1, n


def whole_tree(W: torch.Tensor, k: int) -> np.ndarray:
    """Ours: every threshold's answer; the labels are those of k segments, read off the tree."""
    return partition(Graph._trusted(W), square(len(W))).labels(k=k).ravel()


def up_to_threshold(W: torch.Tensor, k: int) -> np.ndarray:
    """Ours, for one threshold."""
    return partition(Graph._trusted(W), square(len(W)), ceiling=THRESHOLD).labels(THRESHOLD).ravel()


def dense_root(W: torch.Tensor, k: int) -> np.ndarray:
    """SciPy's dense solver for the second eigenvector alone, and one split."""
    split = best_split(Graph._trusted(W), torch.from_numpy(_dense_vector(W.double().numpy())))
    labels = np.zeros(len(W), np.int64)
    labels[split.order[: split.size].numpy()] = 1
    return labels


def _dense_vector(W: np.ndarray) -> np.ndarray:
    degrees = W.sum(1)
    return eigh(np.diag(degrees) - W, np.diag(degrees), subset_by_index=[1, 1])[1][:, 0]


def grid_recursion(W: torch.Tensor, k: int) -> np.ndarray:
    """Recursive NCut as DiffCut describes it (Couairon et al. 2024, section 3): dense eigenvectors, the best of 100
    evenly spaced splits, and a region is kept when that costs more than the threshold.

    Also the slow reference of the tests.
    """
    affinity = W.double().numpy()
    labels = np.zeros(len(W), np.int64)
    waiting, count = [np.arange(len(W))], 0
    while waiting:
        index = waiting.pop()
        region = affinity[np.ix_(index, index)]
        degrees = region.sum(1)
        found = None
        if len(index) > 2 and degrees.min() > 0:
            y = _dense_vector(region)
            splits = [y > cut for cut in np.linspace(y.min(), y.max(), CANDIDATES + 2)[1:-1]]
            costs = [region[s][:, ~s].sum() * (1 / degrees[s].sum() + 1 / degrees[~s].sum()) for s in splits]
            best = int(np.argmin(costs))
            found = splits[best] if costs[best] < THRESHOLD else None
        if found is None:
            labels[index] = count
            count += 1
        else:
            waiting += [index[found], index[~found]]
    return labels


def scikit_learn(W: torch.Tensor, k: int) -> np.ndarray:
    """k eigenvectors by ARPACK, and a clustering of their rows by pivoted QR."""
    model = SpectralClustering(k, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
    return model.fit_predict(W.numpy())


def scikit_image(W: torch.Tensor, k: int) -> np.ndarray:
    """`cut_normalized` on a graph with one node per patch."""
    from skimage.graph import RAG, cut_normalized

    graph = RAG()
    n = len(W)
    graph.add_nodes_from((i, {"labels": [i]}) for i in range(n))
    rows, columns = np.nonzero(np.triu(W.numpy(), 1))
    weights = W.numpy()[rows, columns].tolist()
    graph.add_edges_from(
        (i, j, {"weight": w}) for i, j, w in zip(rows.tolist(), columns.tolist(), weights, strict=True)
    )
    return cut_normalized(np.arange(n).reshape(1, n), graph, thresh=THRESHOLD, rng=0).ravel()


def ncut_pytorch(W: torch.Tensor, k: int) -> np.ndarray:
    """Nystrom approximation and k-way alignment; its "features" are places in the affinity."""
    from ncut_pytorch import kway_ncut, ncut_fn

    def affinity(one: torch.Tensor, other: torch.Tensor | None = None, **_: object) -> torch.Tensor:
        i = one[:, 0].long()
        return W[i][:, i if other is None else other[:, 0].long()]

    torch.manual_seed(0)
    places = torch.arange(len(W), dtype=torch.float32)[:, None]
    vectors, _ = ncut_fn(places, n_eig=k, affinity_fn=affinity, sigma=1.0, device="cpu")
    return kway_ncut(vectors, n_clusters=k).argmax(1).numpy()


PEERS = (
    Peer("walkcut, every threshold", whole_tree, False),
    Peer(f"walkcut, threshold {THRESHOLD:g}", up_to_threshold, False),
    Peer("recursion with dense eigenvectors, 100 splits", grid_recursion, False, 4096, "scipy"),
    Peer("scikit-image cut_normalized", scikit_image, False, 1024, "scikit-image"),
    Peer("SciPy dense eigh, root only", dense_root, False, 4096, "scipy"),
    Peer("scikit-learn SpectralClustering", scikit_learn, True, 4096, "scikit-learn"),
    Peer("ncut-pytorch", ncut_pytorch, True, 2**15, "ncut-pytorch"),
)


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def escape(W: torch.Tensor, labels: np.ndarray) -> float:
    """Mean over segments of the probability to leave them: the k-way NCut divided by k, in [0, 1]."""
    graph, found = Graph._trusted(W), []
    for label in np.unique(labels):
        index = torch.from_numpy(np.flatnonzero(labels == label))
        volume = float(graph.degrees[index].sum())
        found.append(1 - float(graph.subgraph(index).degrees.sum()) / volume)
    return float(np.mean(found))


def timed(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Least seconds of up to five runs; a run of over two seconds stands alone."""
    seconds = []
    while len(seconds) < REPEATS and (not seconds or max(seconds) < PATIENCE):
        start = time.perf_counter()
        labels = run()
        seconds.append(time.perf_counter() - start)
    return min(seconds), labels


def compare(case: Case, peers: tuple[Peer, ...] = PEERS) -> list[dict]:
    """One row per peer: seconds, segments, mean escape, agreement with what was planted; or why it did not run."""
    rows = []
    for peer in peers:
        row = {"affinity": case.name, "n": len(case.W), "peer": peer.name, "given_k": peer.given_k}
        try:
            row["version"] = version(peer.package)
        except PackageNotFoundError:
            rows.append(row | {"not_run": f"not run yet: pip install {peer.package}"})
            continue
        if len(case.W) > peer.largest:
            rows.append(row | {"not_run": f"out of reach beyond {peer.largest} nodes"})
            continue
        seconds, labels = timed(lambda peer=peer: peer.run(case.W, REGIONS))
        row |= {"seconds": round(seconds, 4), "segments": len(np.unique(labels))}
        row["escape"] = round(escape(case.W, labels), 4)
        if case.truth is not None:
            row["ari"] = round(float(adjusted_rand_score(case.truth, labels)), 4)
        rows.append(row)
    return rows


def root(case: Case) -> dict:
    """The first cut: its NCut beside a dense reference's, and the time of its eigenvector beside the least possible.

    The floor is the time to read W once for each product, at the speed at which W can be summed.
    """
    W = case.W
    pair = second_eigenvector(Graph._trusted(W), 1e-3)
    eigen = timed(lambda: second_eigenvector(_with_degrees(W), 1e-3))[0]
    reading = timed(lambda: W.sum())[0]
    dense = best_split(Graph(W.double()), torch.from_numpy(_dense_vector(W.double().numpy())))
    return {
        "affinity": case.name,
        "n": len(W),
        "ncut": best_cut(Graph._trusted(W), 1e-3).ncut,
        "ncut_dense": dense.ncut,
        "gap": pair.gap,
        "residual": pair.residual,
        "products": pair.products,
        "eigen_seconds": round(eigen, 4),
        "floor_seconds": round(pair.products * reading, 4),
        "gigabytes_per_second": round(W.nbytes / reading / 1e9, 2),
    }


def _with_degrees(W: torch.Tensor) -> Graph:
    graph = Graph._trusted(W)
    graph.degrees  # noqa: B018 -- computed once, before the clock that matters: reading W for it is one more product
    return graph


def _point(file: str) -> dict:
    """Seconds of a whole tree on the affinity in a file, and the peak memory above what the affinity itself takes."""
    whole_tree(planted(256).W, REGIONS)  # libraries are loaded
    W = torch.from_numpy(np.load(file))
    before = peak_memory()
    start = time.perf_counter()
    whole_tree(W, REGIONS)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    sizes = {"megabytes": round((peak - before) / 2**20, 1), "affinity_megabytes": round(W.nbytes / 2**20, 1)}
    return {"n": len(W), "seconds": round(seconds, 4)} | sizes


def curve(sizes: tuple[int, ...] = CURVE) -> list[dict]:
    """Time and memory of a whole tree against n, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    points = []
    with TemporaryDirectory() as folder:
        file = f"{folder}/affinity.npy"
        for n in sizes:
            np.save(file, planted(n).W.numpy())  # made here, so that no trace of the making is measured
            with context.Pool(1) as pool:
                points.append(pool.apply(_point, (file,)))
    return points


def curve_record() -> dict:
    """The curve and how it was made: it may be measured anew without the rest."""
    return {"curve": curve(), "curve_commit": commit(), "curve_date": time.strftime("%Y-%m-%d")}


def measure_curve(path: Path) -> dict:
    """Measure time and memory against n again, in a summary that is there."""
    summary = json.loads(path.read_text()) | curve_record()
    write_atomically(path, json.dumps(summary, indent=1) + "\n")
    return summary


def speed(sizes: tuple[int, ...], path: Path, command: str, model: str = "dead-leaves") -> dict:
    """Measure everything and write the summary to `path`."""
    cases = [make(n) for n in sizes for make in (planted, lambda n: attention(n, model))]
    summary = {
        "title": "Speed of the cut",
        "command": command,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "peers": [row for case in cases for row in compare(case)],
        "root": [root(case) for case in cases],
        **curve_record(),
    }
    write_atomically(path, json.dumps(summary, indent=1) + "\n")
    return summary


def markdown(summary: dict) -> str:
    """The table of peers."""
    text = [f"{summary['processor']}, {summary['threads']} threads.", ""]
    text += ["| affinity | peer | K given | seconds | segments | mean escape | adjusted Rand |", "|---" * 7 + "|"]
    for row in summary["peers"]:
        head = f"| {row['affinity']}, {row['n']:,} | {row['peer']} | {'yes' if row['given_k'] else 'no'} | "
        if "not_run" in row:
            text.append(head + f"{row['not_run']} | | | |")
        else:
            ari = f"{row['ari']:.3f}" if "ari" in row else ""
            text.append(head + f"{row['seconds']:.3f} | {row['segments']} | {row['escape']:.3f} | {ari} |")
    return "\n".join(text) + "\n"
