"""What is optional and missing is asked for before anything is computed, in one sentence with the extra's name."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from walkcut.app.cli import main

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BENCH = [("kmeans", "sklearn"), ("kmeans-features", "sklearn"), ("sklearn-spectral", "sklearn"), ("mean-shift", "cv2")]
LIBRARIES = {"sklearn": "scikit-learn", "cv2": "opencv-python-headless"}


def lacks(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for name in modules:
        for loaded in [one for one in sys.modules if one.startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)


def told(capfd: pytest.CaptureFixture, words: list[str]) -> str:
    """The one sentence of a command that is refused."""
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.fixture
def small(tiny_model: Path, tmp_path: Path) -> list[str]:
    return ["--model", str(tiny_model), "--grid", "8", "--device", "cpu", "--out", str(tmp_path / "out")]


@pytest.fixture
def picture(tmp_path: Path, two_halves: np.ndarray) -> Path:
    Image.fromarray(two_halves).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.situation("optional")
@pytest.mark.parametrize(("method", "module"), [*BENCH, ("all", "sklearn"), ("felzenszwalb,walkcut,kmeans", "sklearn")])
def test_methods_of_others_ask_for_the_bench_extra(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, small: list[str], method: str, module: str
) -> None:
    """Also where the library is installed and cannot be imported."""
    lacks(monkeypatch, module)
    err = told(capfd, ["bench", "run", "scenes-seeds", "--every", "50", "--methods", method, *small])
    assert f"needs {LIBRARIES[module]}, which is not installed: pip install 'walkcut[bench]'" in err
    assert not Path(small[-1]).exists(), "rows were computed first"


@pytest.mark.situation("optional")
def test_opencv_by_another_name_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `opencv-python`, or a distribution's own."""
    from importlib.metadata import PackageNotFoundError

    from walkcut.bench import method
    from walkcut.bench.baselines import mean_shift_method

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(method, "version", missing)
    assert mean_shift_method().config["opencv-python-headless"]


@pytest.mark.situation("optional")
@pytest.mark.parametrize("command", ["segment", "bench run scenes-seeds --every 50 --methods walkcut"])
def test_ray_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, small: list[str], picture: Path, command: str
) -> None:
    lacks(monkeypatch, "ray")
    words = [*command.split(), *([str(picture)] if command == "segment" else []), "--engine", "ray", *small]
    err = told(capfd, words)
    assert "pip install 'walkcut[ray]'" in err
    assert not [path for path in Path(small[-1]).rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.situation("optional")
def test_heic_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, small: list[str], tmp_path: Path
) -> None:
    lacks(monkeypatch, "pillow_heif")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    assert "pip install 'walkcut[heic]'" in told(capfd, ["segment", str(tmp_path / "a.heic"), *small])


@pytest.mark.situation("optional")
def test_controls_in_a_notebook_ask_for_the_book_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from walkcut.errors import InputError

    lacks(monkeypatch, "ipywidgets")
    monkeypatch.delitem(sys.modules, "walkcut.widgets.live", raising=False)
    with pytest.raises(InputError, match=r"ipywidgets, .* pip install 'walkcut\[book\]'"):
        importlib.import_module("walkcut.widgets.live")


@pytest.mark.situation("optional")
@pytest.mark.parametrize("module", ["anywidget", "traitlets"])
def test_a_widget_asks_for_the_book_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    from walkcut.errors import InputError
    from walkcut.widgets.inline import Figure

    lacks(monkeypatch, module)
    with pytest.raises(InputError, match=r"anywidget, .* pip install 'walkcut\[book\]'"):
        Figure("", "cut", {}).widget()


@pytest.mark.situation("optional")
@pytest.mark.parametrize("command", ["segment", "explore"])
def test_nothing_optional_is_needed_to_segment_or_explore(small: list[str], picture: Path, command: str) -> None:
    """In a process of its own, in which none of it is found."""
    optional = ["sklearn", "cv2", "ray", "pillow_heif", "ipywidgets", "anywidget", "traitlets", "IPython", "pandas"]
    out = small[-1] + ("/a.html" if command == "explore" else "")
    words = [command, str(picture), "--grid", "8", "--device", "cpu", "--out", out]
    code = f"import sys; sys.modules.update(dict.fromkeys({optional})); from walkcut.app.cli import main"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit(main({words}))"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.situation("optional")
@pytest.mark.parametrize("module", ["skimage", "matplotlib", "accelerate"])
def test_a_dependency_that_is_gone_is_no_fault_of_the_model(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, module: str
) -> None:
    """Also where another library tells it as an error of its own, as diffusers does."""
    import walkcut.eyes.loading as loading

    def broken(*_: object) -> None:
        try:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        except ModuleNotFoundError as error:
            raise RuntimeError("Failed to import diffusers.models") from error

    monkeypatch.setattr(loading, "EYES", {"embedded": broken})
    err = told(capfd, ["segment", "--sample", "cat", "--out", "-", "--grid", "8", "--device", "cpu"])
    assert err == f"walkcut: {module} is not installed: run pip install . again in walkcut's folder.\n"


@pytest.mark.situation("optional")
def test_each_extra_that_is_asked_for_is_there_and_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    asked = set()
    for path in (ROOT / "walkcut").rglob("*.py"):
        asked |= set(re.findall(r"walkcut\[(\w+)\]", path.read_text(encoding="utf-8")))
    assert asked == {"bench", "ray", "heic", "book"}
    assert asked <= PROJECT["optional-dependencies"].keys()
    assert all(f"'.[{extra}]'" in readme for extra in asked)
