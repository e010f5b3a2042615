"""Odd numbers, blank pictures and a caller's own settings: what comes is taken for what it is, or refused at once."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from walkcut import Graph, InputError, Segmentation, Walk, load_backbone, sample, segment
from walkcut.backbone import Backbone
from walkcut.criteria import prune
from walkcut.ncut import best_cut, best_split, ncut, second_eigenvector
from walkcut.recipe import PRESETS, Recipe
from walkcut.refine import pamr
from walkcut.registry import CRITERIA
from walkcut.tree import PartitionTree, partition

GRID = (4, 6)
HUGE = 10**5000  # which Python itself does not write out
ODD = [float("nan"), float("inf"), HUGE, -1, 1j, None, "2", True, [2], object(), torch.empty((), device="meta")]
TWO = [2.0, np.int64(2), np.uint8(2), np.float32(2), np.array(2), torch.tensor(2), Fraction(2), Decimal(2)]


def scattered(n: int = 24, seed: int = 0) -> np.ndarray:
    """The affinity of random points, float64 (n, n)."""
    points = np.random.default_rng(seed).uniform(size=(n, 2))
    return np.exp(-((points[:, None] - points) ** 2).sum(-1) / 0.1)


AFFINITY = scattered()
GRAPH = Graph(AFFINITY)
WALK = Walk(AFFINITY / AFFINITY.sum(1, keepdims=True), GRID)
TREE = partition(GRAPH, GRID, 2)
NUMBERS: dict[str, Callable] = {
    "tolerance": lambda x: second_eigenvector(GRAPH, x).value,
    "tolerance of a cut": lambda x: best_cut(GRAPH, x).ncut,
    "seed": lambda x: second_eigenvector(GRAPH, 1e-4, x).value,
    "smallest": lambda x: len(partition(GRAPH, GRID, object() if x is None else x)),
    "max_ncut": lambda x: len(partition(GRAPH, GRID, max_ncut=x)),
    "side": lambda x: len(partition(GRAPH, (x, 12))),
    "threshold": lambda x: len(TREE.leaves(x)),
    "k": lambda x: TREE.labels(k=object() if x is None else x).max(),
    "pruning": lambda x: len(prune(TREE, x)),
    "prior": lambda x: float(WALK.spatial_prior(x).P[0, 0]),
    "inflation": lambda x: float(WALK.inflated(x).P[0, 0]),
    "steps": lambda x: float(WALK.power(x).P[0, 0]),
    "expected steps": lambda x: float(WALK.expect(torch.arange(24.0), x)[0]),
    "iterations": lambda x: float(pamr(np.eye(8, dtype=np.uint8)[:, :, None], torch.eye(8)[None], x)[0, 0, 1]),
    "seed of a recipe": lambda x: Recipe(seed=x).seed,
    "grid of a recipe": lambda x: Recipe(grid=x).grid,
    "temperature of a recipe": lambda x: Recipe(inverse_temperature=x).inverse_temperature,
    "timestep of a recipe": lambda x: Recipe(timesteps=(x,)).timesteps,
}


@pytest.mark.situation("numbers")
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_any_kind_is_that_number(name: str) -> None:
    expected = NUMBERS[name](2)
    for value in TWO:
        assert NUMBERS[name](value) == expected, value


@pytest.mark.situation("numbers")
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_such_number_is_refused_in_one_short_sentence(name: str) -> None:
    for value in ODD:
        with pytest.raises(InputError, match=r"\.$") as caught:
            NUMBERS[name](value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


FORMS: dict[str, Callable[[np.ndarray], object]] = {
    "a list": np.ndarray.tolist,
    "objects": lambda A: [[Fraction(x) for x in row] for row in A],
    "sparse": scipy.sparse.csr_array,
    "a sparse tensor": lambda A: torch.tensor(A).to_sparse(),
    "with gradients": lambda A: torch.tensor(A, requires_grad=True),
    "turned bytes": lambda A: A.astype(">f8"),
    "long doubles": lambda A: A.astype(np.longdouble),
    "backwards": lambda A: A[::-1, ::-1].copy()[::-1, ::-1],
    "by columns": np.asfortranarray,
    "read-only": lambda A: np.frombuffer(A.tobytes()).reshape(A.shape),
    "times 1e300": lambda A: A * 1e300,
    "times 1e-280": lambda A: A * 1e-280,
    "single, times 1e30": lambda A: (A * 1e30).astype(np.float32),
}


@pytest.mark.situation("numbers")
@pytest.mark.parametrize("form", FORMS)
def test_an_affinity_of_any_form_is_the_same_graph(form: str) -> None:
    same = partition(Graph(FORMS[form](AFFINITY)), GRID, 2)
    np.testing.assert_array_equal(same.labels(0.5), TREE.labels(0.5))
    np.testing.assert_allclose(same.ncut, TREE.ncut, atol=1e-5)


@pytest.mark.situation("numbers")
@pytest.mark.parametrize(
    "values",
    [
        *(AFFINITY * 1e308, AFFINITY.astype(np.float32) * np.float32(1e38), AFFINITY * 1e-310, AFFINITY * np.nan),
        *(AFFINITY + 0j, AFFINITY.astype(str), np.ma.array(AFFINITY, mask=AFFINITY > 0.5), [[1, 2], [3]], None, "abc"),
        *(np.zeros((24, 24), "datetime64[s]"), torch.empty(24, 24, device="meta"), AFFINITY[None]),
    ],
)
def test_an_affinity_that_is_none_is_refused(values: object) -> None:
    with pytest.raises(InputError) as caught:
        partition(Graph(values), GRID)
    assert "\n" not in str(caught.value)


@pytest.mark.situation("numbers")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("small", [1.0, 1e-3, 1e-5, 1e-6])
@pytest.mark.parametrize("n", [40, 150, 600])
def test_a_split_is_the_same_from_either_end(n: int, small: float, dtype: type) -> None:
    rng = np.random.default_rng(n)
    weights = rng.uniform(size=(n, n)) ** 4
    weights += weights.T
    weights[7] *= small
    weights[:, 7] *= small
    graph, order = Graph(weights.astype(dtype)), torch.from_numpy(rng.normal(size=n))
    order[7] = 10
    one, other = best_split(graph, order), best_split(graph, -order)
    torch.testing.assert_close(one.curve, other.curve.flip(0), rtol=0, atol=1e-6)
    assert one.ncut == pytest.approx(other.ncut, abs=1e-6)
    assert one.ncut == pytest.approx(ncut(Graph(weights), one.side), abs=1e-6)


@pytest.mark.situation("numbers")
def test_values_that_sort_no_nodes_and_vectors_of_other_lengths_are_refused() -> None:
    for values in (torch.ones(3), torch.full((24,), torch.nan), "abc", None):
        with pytest.raises(InputError):
            best_split(GRAPH, values)
        with pytest.raises(InputError):
            WALK.expect(None if values is None or isinstance(values, str) else torch.ones(3))
    assert best_split(GRAPH, list(range(24))).curve.shape == (23,)


@pytest.mark.situation("numbers")
def test_leaves_are_nodes_of_the_tree() -> None:
    for leaves in (float("nan"), [-1], [10**6], "a", [[]], [0.5], object()):
        with pytest.raises(InputError):
            TREE.labels(leaves=leaves)


@pytest.mark.situation("numbers")
@pytest.mark.parametrize(
    "settings",
    [
        *({"model": None}, {"model": 3}, {"prompt": 3}, {"grid": "16"}, {"timesteps": 10}, {"steps": 2**62}),
        *({"preset": 3}, {"heads": 3}, {"threshold": [0.5]}, {"spatial_prior": 1e-300}, {"dtype": 3}),
    ],
)
def test_a_setting_that_is_none_is_refused(embedded: Backbone, settings: dict) -> None:
    with pytest.raises(InputError) as caught:
        segment(sample("fig")[::8, ::8], **{"model": embedded, "grid": 8, "threshold": 0.5} | settings)
    assert "\n" not in str(caught.value)


@pytest.mark.situation("numbers")
@pytest.mark.parametrize(
    "settings", [{"steps": 2.0}, {"seed": np.int64(3)}, {"grid": np.uint8(16)}, {"inverse_temperature": 1e38}]
)
def test_a_setting_of_another_kind_is_taken(embedded: Backbone, settings: dict) -> None:
    assert segment(sample("fig")[::8, ::8], embedded, **{"grid": 8, "threshold": 0.5} | settings).count >= 1


@pytest.mark.situation("numbers")
@pytest.mark.parametrize("arguments", [{"model": None}, {"model": ["a"]}, {"device": None}, {"prompt": None}])
def test_a_model_is_asked_for_by_a_name(arguments: dict) -> None:
    with pytest.raises(InputError) as caught:
        load_backbone(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.situation("numbers")
@pytest.mark.parametrize("picture", [[[1], [1, 2]], torch.empty(3, 3, device="meta"), object(), None])
def test_what_is_no_picture_is_refused(embedded: Backbone, picture: object) -> None:
    with pytest.raises(InputError):
        segment(picture, embedded)


@pytest.fixture(scope="module")
def result(embedded: Backbone) -> Segmentation:
    return segment(sample("fig")[::4, ::4], embedded, grid=16, keep_walk=True)


@pytest.mark.situation("numbers")
def test_things_compare_as_things_and_are_shown_in_few_lines(result: Segmentation, embedded: Backbone) -> None:
    from walkcut.capture import attend

    split, image = best_cut(result.graph), result.image
    seen = [attend(embedded, image, grid=8) for _ in range(2)]
    law = result.walk.stationary()
    things = [result, result.at(0.5), result.tree, result.walk, result.graph, split, split.eigenpair, law, *seen]
    for place, one in enumerate(things):
        assert [one == other for other in things] == [place == at for at in range(len(things))]
        assert len(repr(one)) < 1000
        assert repr(one).count("\n") < 3


# ---------------------------------------------------------------------------------------------------------------------
# Blank pictures

GREY = np.full((32, 48, 3), 128, np.uint8)
BLANK = {
    "grey": GREY,
    "black": GREY * 0,
    "white": np.full_like(GREY, 255),
    "one colour": np.full_like(GREY, (0, 128, 200)),
    "one channel": GREY[:, :, 0],
    "one pixel": GREY[:1, :1],
    "one row": GREY[:1],
    "tiny noise": GREY + np.random.default_rng(0).integers(0, 5, GREY.shape, dtype=np.uint8),
    "a gradient of one level": GREY + (np.arange(48) >= 24).astype(np.uint8)[None, :, None],
    "one pixel of another level": np.where(np.arange(48)[None, :, None] == 7, GREY + np.uint8(1), GREY),
}


def blank(name: str, backbone: Backbone, **settings: object) -> Segmentation | None:
    """What is found, nothing where it is refused."""
    try:
        return segment(BLANK[name], backbone, **{"grid": 8} | settings)
    except InputError:
        return None


@pytest.mark.situation("blank")
@pytest.mark.parametrize("name", BLANK)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_blank_picture_is_one_segment_under_every_preset(embedded: Backbone, preset: str, name: str) -> None:
    for steps in (1, 2, 3):
        found = blank(name, embedded, preset=preset, steps=steps)
        assert found is None or found.count == 1
        found = blank(name, embedded, preset=preset, steps=steps, threshold=0.9)
        assert found.count == 1
        for criterion in (*CRITERIA, 0.5, 2.0):
            if criterion != "eigengap":  # which needs the graph
                assert found.at(criterion).count == 1


@pytest.mark.situation("blank")
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("grid", [2, 3, 11, 16])
def test_a_blank_picture_is_one_segment_under_every_criterion(embedded: Backbone, criterion: str, grid: int) -> None:
    for preset in PRESETS:
        found = blank("grey", embedded, preset=preset, threshold=criterion, grid=grid)
        assert found is None or found.count == 1


@pytest.mark.situation("blank")
@pytest.mark.parametrize("graph", ["direct", "rows-cosine", "rows-dot", "features", "divergence", "renormalised"])
def test_a_blank_picture_is_one_segment_of_every_graph(embedded: Backbone, graph: str) -> None:
    for prior in (0.1, 0.5, None):
        settings = {"graph": graph, "spatial_prior": prior, "inflation": 3.0}
        assert blank("grey", embedded, **settings).count == 1


@pytest.mark.situation("blank")
def test_a_blank_picture_is_one_segment_on_the_path_of_its_inversion(tiny: Backbone) -> None:
    assert blank("grey", tiny, noise="inversion", threshold=0.9).count == 1


@pytest.mark.situation("blank")
def test_a_picture_that_shows_something_is_none(two_halves: np.ndarray) -> None:
    from walkcut.images import is_blank

    assert not is_blank(two_halves)
    assert not is_blank(np.where(np.arange(48)[None, :, None] < 24, GREY, GREY + np.uint8(5)))
    assert all(is_blank(np.atleast_3d(picture)) for picture in BLANK.values())


# ---------------------------------------------------------------------------------------------------------------------
# The caller


@pytest.mark.situation("caller")
def test_a_result_stays_when_the_caller_fills_the_picture_anew(embedded: Backbone) -> None:
    frame = sample("fig")[::4, ::4].copy()
    found = segment(frame, embedded, grid=16)
    before = found.at(0.3).labels
    frame[:] = np.random.default_rng(0).integers(0, 256, frame.shape, dtype=np.uint8)
    np.testing.assert_array_equal(found.at(0.3).labels, before)


@pytest.mark.situation("caller")
def test_a_graph_stays_when_the_caller_fills_the_array_anew() -> None:
    weights = AFFINITY.copy()
    graph = Graph(weights)
    before = best_cut(graph).ncut
    weights[:] = 1
    assert best_cut(graph).ncut == before


def pictures(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    image = sample("fig")[::4, ::4].copy()
    stored = np.lib.format.open_memmap(folder / "a.npy", "w+", np.uint8, image.shape)
    stored[:] = image
    wide = np.zeros((*image.shape[:2], 6), np.uint8)
    wide[:, :, ::2] = image
    closed = image.copy()
    closed.setflags(write=False)
    yield from {
        "read-only": closed,
        "not contiguous": wide[:, :, ::2],
        "backwards": image[::-1, ::-1].copy()[::-1, ::-1],
        "by columns": np.asfortranarray(image),
        "a memory map": stored,
        "16 bits, turned": (image.astype(np.uint16) * 257).astype(">u2"),
        "a subclass": image.view(np.ma.MaskedArray),
        "a tensor": torch.from_numpy(image),
        "doubles, turned": (image / 255).astype(">f8"),
    }.items()


@pytest.mark.situation("caller")
def test_pictures_of_any_layout_are_the_same_and_stay_as_they_are(embedded: Backbone, tmp_path: Path) -> None:
    expected = segment(sample("fig")[::4, ::4], embedded, grid=16).labels
    for name, picture in pictures(tmp_path):
        before = np.array(picture)
        np.testing.assert_array_equal(segment(picture, embedded, grid=16).labels, expected, err_msg=name)
        np.testing.assert_array_equal(np.array(picture), before)


@contextmanager
def default(get: Callable, set_: Callable, value: object) -> Iterator[None]:
    before = get()
    set_(value)
    try:
        yield
    finally:
        set_(before)


SETTINGS: dict[str, Callable] = {
    "double": lambda: default(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "half": lambda: default(torch.get_default_dtype, torch.set_default_dtype, torch.float16),
    "meta": lambda: torch.device("meta"),
    "meta for all": lambda: default(lambda: None, torch.set_default_device, "meta"),
    "inference": torch.inference_mode,
    "gradients": torch.enable_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": lambda: default(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "NumPy raises": lambda: np.errstate(all="raise"),
    "warnings raise": warnings.catch_warnings,
    "recursion": lambda: default(sys.getrecursionlimit, sys.setrecursionlimit, 400),
}


def state() -> list[object]:
    """What a process has set, and may not find changed."""
    flags = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(), torch.is_grad_enabled()
    modes = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), np.geterr(), list(warnings.filters)
    return [*flags, *modes, torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002


def everything(backbone: Backbone) -> list[np.ndarray]:
    """A little of all that a caller may ask for."""
    image = sample("fig")[::4, ::4]
    found = segment(image, backbone, grid=16, keep_walk=True)
    walker = segment(image, backbone, grid=8, threshold=0.5, pixels="random-walker", graph="rows-cosine")
    again = segment(image, load_backbone(device="cpu"), grid=16)
    cut_ = best_cut(found.walk.spatial_prior(0.3).reversible())
    numbers = [found.walk.stationary().law, found.walk.power(3).P, cut_.curve, found.walk.reversible().degrees]
    grown: PartitionTree = partition(Graph(AFFINITY), GRID)
    results = [found.labels, found.parts(), found.at("eigengap").labels, walker.labels, again.labels, grown.ncut]
    return [*results, found.tree.ncut, *(number.numpy() for number in numbers)]


@pytest.fixture(scope="module")
def undisturbed_results(embedded: Backbone) -> list[np.ndarray]:
    return everything(embedded)


@pytest.mark.situation("caller")
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_callers_settings_change_nothing_and_stay(
    embedded: Backbone, undisturbed_results: list[np.ndarray], setting: str
) -> None:
    with SETTINGS[setting]():
        before = state()
        found = everything(embedded)
        assert state() == before
    for one, expected in zip(found, undisturbed_results, strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.situation("caller")
def test_a_process_of_other_habits_gets_the_same(tmp_path: Path, result: Segmentation) -> None:
    """Its settings are made before anything is imported, and are still there afterwards."""
    np.save(tmp_path / "image.npy", result.image)
    script = """
import locale, os, sys, warnings
warnings.simplefilter("error", RuntimeWarning)
locale.setlocale(locale.LC_ALL, "")
import numpy as np, torch, matplotlib
from PIL import Image, ImageFile
np.seterr(all="raise")
torch.set_default_dtype(torch.float64)
matplotlib.use("svg")
Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = 10, False
folder, environment, backend, rc = os.getcwd(), dict(os.environ), matplotlib.get_backend(), dict(matplotlib.rcParams)
from walkcut import load_backbone, segment
image = np.load("image.npy", mmap_mode="r")
labels = segment(image, load_backbone(device="cpu"), grid=16).labels
assert (os.getcwd(), dict(os.environ), matplotlib.get_backend()) == (folder, environment, backend)
assert dict(matplotlib.rcParams) == rc
assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (10, False)
assert np.geterr()["divide"] == "raise" and torch.get_default_dtype() == torch.float64
np.save("labels.npy", labels)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), result.labels)
