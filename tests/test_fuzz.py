"""Whatever comes in: the right thing comes out, or one sentence; and the caller's process stays as it was.

A few cases of each in every run; `make fuzz` tries many.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import walkcut.app.batch
from walkcut import InputError, load_backbone, read_image, segment
from walkcut.app.cli import main
from walkcut.backbone import Backbone

MANY = os.environ.get("HYPOTHESIS_PROFILE") == "many"  # as `make fuzz` has it
fuzzed = settings(
    max_examples=2000 if MANY else 100,
    deadline=None,
    derandomize=not MANY,  # the same cases in every run
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM", "TGA", "JPEG2000", "ICO")
ENDINGS = (".png", ".jpg", ".tif", ".gif", ".webp", ".bmp", ".ppm", ".tga", ".jp2", ".ico", "", ".txt")


@pytest.fixture(autouse=True)
def _tiny(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walkcut.app.batch, "load_backbone", lambda *arguments, **named: tiny)


def state() -> list[object]:
    """What the caller finds as it was."""
    numbers = torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    set_ = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), list(warnings.filters)
    return [*numbers, *set_, dict(os.environ), Path.cwd(), np.geterr(), multiprocessing.active_children()]


def picture(seed: int, kind: str) -> bytes:
    """A file of 24x16 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@st.composite
def damaged(draw: Callable) -> tuple[str, bytes]:
    """A name and a file's bytes: cut off, bits flipped, bytes put in or taken out, another ending."""
    content = bytearray(picture(draw(st.integers(0, 3)), draw(st.sampled_from(FORMATS))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        how = draw(st.sampled_from(("cut", "flip", "put", "take", "zero")))
        if how == "cut":
            del content[place:]
        elif how == "put":
            content[place:place] = draw(st.binary(max_size=20))
        elif how == "take":
            del content[place : place + draw(st.integers(1, 40))]
        elif content:
            content[place] = content[place] ^ (1 << draw(st.integers(0, 7))) if how == "flip" else 0
    return f"a{draw(st.sampled_from(ENDINGS))}", bytes(content)


def one_sentence(told: str) -> None:
    assert told.startswith("walkcut: ")
    assert told.endswith(".\n")
    assert told.count("\n") == 1
    assert "Traceback" not in told


def short(error: InputError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 1000


def run(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str]:
    """The exit code of the command, and what it said on stderr; the process stays as it was."""
    before = state()
    try:
        code = main(list(map(str, words)))
    except SystemExit as stop:
        code = stop.code
    assert state() == before
    return code, capsys.readouterr().err


@pytest.mark.situation("fuzz")
@fuzzed
@given(damaged())
def test_a_damaged_file_is_segmented_or_refused(capsys: pytest.CaptureFixture, file: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file[0])
        path.write_bytes(file[1])
        code, told = run(capsys, "segment", path, "--grid", 4, "--threshold", 0.5, "--device", "cpu")
        written = {one.name.partition(".")[2] for one in path.parent.iterdir() if one != path}
        if code == 2:
            one_sentence(told)
            assert not written
        else:
            assert code == 0
            assert written == {"labels.png", "overlay.png", "tree.json"}
        assert path.read_bytes() == file[1]


@pytest.mark.situation("fuzz")
@fuzzed
@given(damaged())
def test_a_damaged_file_is_read_or_refused(file: tuple[str, bytes]) -> None:
    before = state()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, file[0])
        path.write_bytes(file[1])
        try:
            assert read_image(path).dtype == np.uint8
        except InputError as error:
            short(error)
    assert state() == before


DTYPES = ["u1", "<u2", ">u2", "i8", "f2", "<f4", ">f8", "c8", "?", "O", "U3", "M8[s]"]


@st.composite
def arrays(draw: Callable) -> np.ndarray:
    """Pictures and what is none: of any type, shape, order and value."""
    shape = tuple(draw(st.lists(st.sampled_from((0, 1, 2, 3, 4, 9)), max_size=4)))
    numbers = np.random.default_rng(draw(st.integers(0, 9))).uniform(size=shape)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    scaled = np.asarray(numbers * (200 if dtype.kind in "uiM" else 1))
    values = np.array(scaled.astype("i8" if dtype.kind == "M" else float).astype(dtype))
    if values.size and dtype.kind == "f" and draw(st.booleans()):
        values.flat[0] = draw(st.sampled_from((np.nan, np.inf, -1, 1e4)))
    turn = draw(st.sampled_from(("as it is", "transposed", "backwards", "columns", "read-only", "masked")))
    if turn == "transposed":
        return values.T
    if turn == "backwards":
        return values[::-1] if values.ndim else values
    if turn == "columns":
        return np.asfortranarray(values)
    if turn == "masked":
        return np.ma.array(values, mask=draw(st.booleans()))
    values.setflags(write=turn != "read-only")
    return values


@pytest.mark.situation("fuzz")
@fuzzed
@given(arrays())
def test_an_array_is_segmented_or_refused(tiny: Backbone, array: np.ndarray) -> None:
    before, content = state(), array.tolist().__repr__()
    try:
        found = segment(array, tiny, grid=4, threshold=0.5)
        assert found.labels.shape == array.shape[:2]
        assert set(np.unique(found.labels)) == set(range(found.count))
    except InputError as error:
        short(error)
    assert array.tolist().__repr__() == content
    assert state() == before


ODD = st.sampled_from(
    [
        *(None, True, np.True_, 0, -1, 3, 2.0, 0.5, 1e300, -1e300, float("nan"), float("inf"), 10**30, 10**5000, "3"),
        *("", b"x", 1j, [], [1], (2, 3), {}, {"a": 1}, {"a": [1]}, np.int8(3), np.float16(0.5), np.array(3)),
        *(np.array([3, 4]), torch.tensor(3), torch.tensor(0.5, requires_grad=True), torch.empty((), device="meta")),
        *(object(), "gap", "pamr"),
    ]
)
NAMES = ["grid", "noise", "timesteps", "seed", "heads", "inverse_temperature", "jump_chain", "inflation", "steps", "x"]
NAMES += ["spatial_prior", "graph", "threshold", "pixels", "model", "weights", "dtype", "prompt"]
NAMES += ["preset"]


@pytest.mark.situation("fuzz")
@fuzzed
@given(st.dictionaries(st.sampled_from(NAMES), ODD, min_size=1, max_size=3))
@example({"noise": np.array([3, 4])})
def test_settings_are_taken_or_refused(tiny: Backbone, two_halves: np.ndarray, chosen: dict) -> None:
    before = state()
    try:
        found = segment(two_halves, **{"model": tiny, "grid": 4, "threshold": 0.5} | chosen)
        assert found.count >= 1
    except InputError as error:
        short(error)
    assert state() == before


WORDS = ["nan", "inf", "-1", "0", "1e999", "9" * 5000, "0.5", "2", "", " ", "None", "true", "[1]", "{", "\x00", "ü"]
OPTIONS = ["--grid", "--threshold", "--steps", "--seed", "--noise", "--graph", "--pixels", "--preset", "--device"]
OPTIONS += ["--dtype", "--out", "--batch", "--workers", "--timesteps", "--unknown", "--engine", "--prompt", "--labels"]


@pytest.mark.situation("fuzz")
@fuzzed
@example([("--out", "\x00")])
@given(st.lists(st.tuples(st.sampled_from(OPTIONS), st.sampled_from(WORDS)), min_size=1, max_size=2))
def test_options_are_taken_or_refused(capsys: pytest.CaptureFixture, chosen: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        Path("a.png").write_bytes(picture(0, "PNG"))
        given_ = {"--grid": "4", "--threshold": "0.5", "--device": "cpu"} | dict(chosen)
        if given_.get("--workers") == "2":  # processes are tried elsewhere
            del given_["--workers"]
        code, told = run(capsys, "segment", "a.png", *(f"{name}={word}" for name, word in given_.items()))
        assert code in (0, 2)
        assert "Traceback" not in told
        written = [path for path in Path().rglob("*") if path.is_file() and path.name != "a.png"]
        assert len(written) == (3 if code == 0 else 0)
        assert not list(Path().rglob("*.tmp"))


@pytest.mark.situation("fuzz")
@fuzzed
@example({"device": 10**30})
@given(st.fixed_dictionaries({}, optional={name: ODD for name in ("model", "device", "dtype", "prompt")}))
def test_a_model_is_loaded_or_refused(chosen: dict) -> None:
    before = state()
    try:
        load_backbone(**{"device": "cpu"} | chosen)
    except InputError as error:
        short(error)
    assert state() == before
