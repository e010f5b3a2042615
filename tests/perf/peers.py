"""How fast is the cut? Peers side by side on one and the same affinity, in one run.

    python tests/perf/peers.py              writes book/results/speed.json, in five minutes, and scikit-image's twenty

Each peer turns an affinity (n, n) into labels (n,). All get the same float32 numbers and the same threads.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh

from walkcut.app.outputs import write_whole
from walkcut.bench.look import Looker
from walkcut.bench.peers.common import indicators
from walkcut.bench.record import as_text, peak_memory, provenance
from walkcut.eyes.loading import load_backbone
from walkcut.graph import Graph
from walkcut.ncut import best_cut, best_split, second_eigenvector
from walkcut.pixels import without_gaps
from walkcut.samples import sample
from walkcut.tree import TOLERANCE, partition

OUT = Path(__file__).resolve().parent.parent.parent / "book" / "results" / "speed.json"
THRESHOLD = 0.5  # for the peers that are not given K
CANDIDATES = 100
REGIONS, DIMENSIONS = 8, 16  # planted
REPEATS = 5
PATIENCE = 2.0  # seconds: what took longer is not run again
SIZES = (1024, 4096, 16384)
SOLVED = 4096  # up to here by dense eigenvectors, too
CURVE = (256, 512, 1024, 2048, 4096, 8192, 16384)


class Case(NamedTuple):
    """An affinity (n, n) float32, and the segments planted in it where there are any."""

    name: str
    W: torch.Tensor
    truth: np.ndarray | None


class Peer(NamedTuple):
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
    walk = Looker(load_backbone(model), grid=round(n**0.5))(sample("astronaut")).walk
    return Case("attention", walk.reversible().W.cpu(), None)


# ---------------------------------------------------------------------------------------------------------------------
# Peers


def whole_tree(W: torch.Tensor, k: int) -> np.ndarray:
    """Ours: every threshold's answer; the labels are those of k segments, read off the tree."""
    return partition(Graph._trusted(W), (1, len(W))).labels(k=k).ravel()  # no cut asks for the grid's shape


def up_to_threshold(W: torch.Tensor, k: int) -> np.ndarray:
    """Ours, for one threshold."""
    return partition(Graph._trusted(W), (1, len(W)), max_ncut=THRESHOLD).labels(THRESHOLD).ravel()


def dense_root(W: torch.Tensor, k: int) -> np.ndarray:
    """SciPy's dense solver for the second eigenvector alone, and one split."""
    y = torch.from_numpy(_dense_vector(W.double().numpy()))
    return best_split(Graph._trusted(W), y).side.long().numpy()


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
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(k, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
    return model.fit_predict(W.numpy())


def scikit_image(W: torch.Tensor, k: int) -> np.ndarray:
    """`cut_normalized` on a graph with one node per patch."""
    from skimage.graph import RAG, cut_normalized

    graph, n = RAG(), len(W)
    graph.add_nodes_from((i, {"labels": [i]}) for i in range(n))
    rows, columns = np.nonzero(np.triu(W.numpy(), 1))
    edges = zip(rows.tolist(), columns.tolist(), W.numpy()[rows, columns].tolist(), strict=True)
    graph.add_weighted_edges_from(edges)
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
    Peer("recursion with dense eigenvectors, 100 splits", grid_recursion, False, SOLVED, "scipy"),
    Peer("scikit-image cut_normalized", scikit_image, False, 1024, "scikit-image"),
    Peer("SciPy dense eigh, root only", dense_root, False, SOLVED, "scipy"),
    Peer("scikit-learn SpectralClustering", scikit_learn, True, 4096, "scikit-learn"),
    Peer("ncut-pytorch", ncut_pytorch, True, 2**15, "ncut-pytorch"),
)


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def escape(W: torch.Tensor, labels: np.ndarray) -> float:
    """Mean over segments of the probability to leave them: the k-way NCut divided by k, in [0, 1]."""
    members = indicators(without_gaps(labels))
    flow = (members.T @ (W @ members)).double()  # between segments
    return float((1 - flow.diagonal() / flow.sum(1)).mean())


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of up to five runs, and what the last gave; a run of over two seconds stands alone."""
    seconds: list[float] = []
    while len(seconds) < REPEATS and (not seconds or max(seconds) < PATIENCE):
        start = time.perf_counter()
        labels = run()
        seconds.append(time.perf_counter() - start)
    return min(seconds), labels


def compare(case: Case, peer: Peer) -> dict:
    """A peer's seconds, segments, mean escape, agreement with what was planted; or why it did not run."""
    from sklearn.metrics import adjusted_rand_score

    row = {"affinity": case.name, "n": len(case.W), "peer": peer.name, "given_k": peer.given_k}
    try:
        row["version"] = version(peer.package)
    except PackageNotFoundError:
        return row | {"not_run": f"not run yet: pip install {peer.package}"}
    if len(case.W) > peer.largest:
        return row | {"not_run": f"out of reach beyond {peer.largest} nodes"}
    seconds, labels = timed(partial(peer.run, case.W, REGIONS))
    row |= {"seconds": round(seconds, 4), "segments": len(np.unique(labels))}
    row["escape"] = round(escape(case.W, labels), 4)
    if case.truth is not None:
        row["ari"] = round(float(adjusted_rand_score(case.truth, labels)), 4)
    return row


def root(case: Case) -> dict:
    """The first cut: its NCut beside a dense reference's, and the time of its eigenvector beside the least possible.

    The floor is the time to read W once for each product, at the speed at which W can be summed.
    """
    W, graph = case.W, Graph._trusted(case.W)
    pair = second_eigenvector(graph, TOLERANCE)  # its degrees are known from here on: they cost one more product
    eigen, reading = timed(lambda: second_eigenvector(graph, TOLERANCE))[0], timed(lambda: W.sum())[0]
    dense = best_split(Graph(W.double()), torch.from_numpy(_dense_vector(W.double().numpy())))
    costs = {"ncut": best_cut(graph, TOLERANCE).ncut, "ncut_dense": dense.ncut}
    told = {name: getattr(pair, name) for name in ("gap", "residual", "products")}
    times = {"eigen_seconds": round(eigen, 4), "floor_seconds": round(pair.products * reading, 4)}
    times["gigabytes_per_second"] = round(W.nbytes / reading / 1e9, 2)
    return {"affinity": case.name, "n": len(W)} | costs | told | times


def _point(file: str) -> dict:
    """Seconds of a whole tree on the affinity in a file, and the peak memory above what the affinity itself takes."""
    whole_tree(planted(256).W, REGIONS)  # libraries are loaded
    W = torch.from_numpy(np.load(file))
    before = peak_memory()
    start = time.perf_counter()
    whole_tree(W, REGIONS)
    seconds, peak = time.perf_counter() - start, peak_memory()
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


def main() -> None:
    """Measure everything, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dead-leaves", help="whose walk is cut beside planted regions")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    words = f" --model {Path(chosen.model).name}" * (chosen.model != "dead-leaves")
    made = provenance(f"python tests/perf/peers.py{words}")
    cases = [make(n) for n in SIZES for make in (planted, partial(attention, model=chosen.model))]
    measured = {
        "peers": [compare(case, peer) for case in cases for peer in PEERS],
        "root": [root(case) for case in cases if len(case.W) <= SOLVED],
        "threads": torch.get_num_threads(),
        "curve": curve(),
        "curve_commit": made["commit"],
        "curve_date": made["date"],
    }
    write_whole({chosen.out: as_text({"title": "Speed of the cut"} | made | measured).encode()})


if __name__ == "__main__":
    main()
