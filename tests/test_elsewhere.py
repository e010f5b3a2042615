"""The book away from this machine: notebooks alone in a folder, launch buttons, Binder, continuous integration."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn", "opencv-python-headless": "cv2"}


def code(path: Path) -> list[str]:
    """Source of each code cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def installed_for_a_chapter() -> set[str]:
    """Top modules that Binder's requirements bring: those of the module, of its extra, and what is named beside it."""
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line and line[0] not in "#-."]
    extras = re.search(r"^\.\[(.*)\]$", "\n".join(lines), re.MULTILINE)[1].split(",")
    declared = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    names = {Requirement(line).name for line in [*declared, *named]}
    brought = {"walkcut", "walkcut_book", "IPython"}  # by this repository; a kernel brings IPython
    return {MODULES.get(name, name) for name in names} | brought


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_reads_no_file_beside_it(path: Path) -> None:
    for cell in code(path):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell, flags=re.MULTILINE))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "Path", "read_image", "Image.open"}:
                fixed = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                assert fixed == [], f"{path.name} reads {fixed}: use walkcut.bench.RESULTS or walkcut.sample"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_imports_only_what_binder_installs(path: Path) -> None:
    found = set()
    for cell in code(path):
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", cell, flags=re.MULTILINE))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    assert found - installed_for_a_chapter() - set(sys.stdlib_module_names) == set()


def test_a_notebook_runs_alone_in_an_empty_folder(tmp_path: Path) -> None:
    """The page that reads every recorded result; no model is needed for it."""
    script = tmp_path / "results.py"
    script.write_text("\n".join(["import matplotlib", 'matplotlib.use("agg")', *code(ROOT / "book" / "results.ipynb")]))
    places = [str(ROOT), str(ROOT / "book"), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    run = subprocess.run([sys.executable, script.name], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["results.py"]


def test_recorded_results_travel_with_the_module() -> None:
    from walkcut.bench import RESULTS

    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    committed = sorted(path.relative_to(ROOT / "book") for path in (ROOT / "book" / "results").rglob("*.json"))
    assert sorted(path.relative_to(RESULTS.parent) for path in RESULTS.rglob("*.json")) == committed
    packed = {path for pattern in data["walkcut"] for path in (ROOT / "walkcut").glob(pattern)}
    assert {ROOT / "walkcut" / "bench" / path for path in committed} <= packed


@pytest.mark.parametrize("package", ["walkcut", "walkcut_book"])
def test_files_of_data_travel_with_the_module(package: str) -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    (folder,) = (place / package for place in (ROOT, ROOT / "book") if (place / package).is_dir())
    packed = {path for pattern in data[package] for path in folder.glob(pattern)}
    files = {path for suffix in ("json", "html", "js", "pyi") for path in folder.rglob(f"*.{suffix}")}
    assert files
    assert files <= packed


def test_buttons_lead_to_binder_and_colab() -> None:
    buttons = CONFIG["launch_buttons"]
    assert buttons["binderhub_url"].startswith("https://")
    assert buttons["colab_url"].startswith("https://")
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", CONFIG["repository"]["url"])


def workflow() -> dict:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))


def test_continuous_integration_tests_before_it_publishes() -> None:
    jobs = workflow()["jobs"]
    assert jobs["publish"]["needs"] == "test"
    assert jobs["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    assert all(("uses" in step) != ("run" in step) for step in steps)
    (upload,) = (step for step in steps if step.get("uses", "").startswith("actions/upload-pages-artifact"))
    assert upload["if"] == jobs["publish"]["if"], "what is published must have been uploaded"
    html = re.search(r"^HTML := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert upload["with"]["path"] == html


def test_continuous_integration_calls_what_there_is() -> None:
    commands = [step["run"] for job in workflow()["jobs"].values() for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands
    for command in commands:
        program, *rest = command.split()
        assert rest[0] in targets if program == "make" else os.access(ROOT / program, os.X_OK), command
