"""Weights are fetched on request, and the list says which are here."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import huggingface_hub
import pytest
from diffusers import DiffusionPipeline
from huggingface_hub.errors import LocalEntryNotFoundError

from walkcut.app import fetch as module
from walkcut.app.cli import main
from walkcut.app.fetch import fetch, table
from walkcut.errors import InputError
from walkcut.eyes import models


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub answers."""
    monkeypatch.setattr(huggingface_hub, "model_info", lambda repository, timeout: None)


@pytest.mark.usefixtures("reached")
def test_fetching_names_what_went_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("dead-leaves", "tiger"):
        with pytest.raises(InputError, match=rf"nothing to get for '{name}': choose from sd-1.4"):
            fetch(name)

    def offline(*arguments: object, **named: object) -> str:
        raise OSError("We couldn't connect\nand more")

    monkeypatch.setattr(DiffusionPipeline, "download", offline)
    with pytest.raises(
        InputError, match=r"CompVis/stable-diffusion-v1-4 could not be fetched .We couldn't connect.: check"
    ):
        fetch("sd-1.4")
    asked = []

    def whole_files_only(repository: str, **named: object) -> str:
        asked.append(named)
        if "variant" in named:
            raise ValueError("no such variant")
        return str(tmp_path)

    monkeypatch.setattr(DiffusionPipeline, "download", whole_files_only)
    assert fetch("sd-3.5") == tmp_path
    assert len(asked) == 2
    assert all(named["text_encoder_3"] is None for named in asked)


@pytest.mark.usefixtures("reached")
def test_of_a_vision_transformer_settings_and_weights_are_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(repository: str, allow_patterns: list[str]) -> str:
        assert repository == "facebook/dinov2-small"
        for name in ("config.json", "preprocessor_config.json", "model.safetensors", "README.md", "pytorch_model.bin"):
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                (tmp_path / name).touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch("dinov2-small") == tmp_path
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"config.json", "preprocessor_config.json", "model.safetensors"}


@pytest.mark.parametrize("answers", [False, None])
def test_a_hub_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, answers: bool | None) -> None:
    """One that takes the call and is silent; and none."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # whoever calls waits to be taken
        port = server.getsockname()[1] if answers is False else 9
        monkeypatch.setattr(module, "PATIENCE", 0.5)
        monkeypatch.setattr(huggingface_hub, "model_info", huggingface_hub.HfApi(f"http://127.0.0.1:{port}").model_info)
        started = time.monotonic()
        with pytest.raises(InputError, match=r"CompVis/stable-diffusion-v1-4 could not be fetched \(.+\): check"):
            fetch("sd-1.4")
        assert time.monotonic() - started < 60  # of which diffusers' import is most


def test_the_table_tells_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    def empty(repository: str, local_files_only: bool, allow_patterns: str) -> str:
        assert local_files_only
        raise LocalEntryNotFoundError("not cached")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", empty)
    shutil.copytree(tiny_model, tmp_path / "segmind-vega")
    monkeypatch.setenv(models.HOME, str(tmp_path))
    rows = {line.split()[0]: line for line in table().splitlines()[1:]}
    assert {name for name, line in rows.items() if " not here" not in line} == {"dead-leaves", "segmind-vega"}
    assert rows["sd-2.1"].split()[1:8] == ["768", "px", "96", "x", "96", "2.6", "GB"]
    assert rows["dead-leaves"].endswith("here      BSD-3-Clause, comes with walkcut")


# ---------------------------------------------------------------------------------------------------------------------
# A hub on this machine

Behaviour = Callable[["Hub"], bool]  # whether it has answered by itself
COMMIT = "0123456789" * 4
BIG = "unet/diffusion_pytorch_model.safetensors"


class Hub(BaseHTTPRequestHandler):
    """Enough of the hub for one model in a folder; large files go by their SHA-256."""

    protocol_version = "HTTP/1.1"
    folder: Path
    behaves: Behaviour
    over: threading.Event
    asked: list[str]

    def log_message(self, *words: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", length: int | None = None, **head: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body) if length is None else length), **head}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()

    @property
    def file(self) -> Path:
        return self.folder / self.path.partition("/resolve/")[2].partition("/")[2]

    def head(self) -> dict[str, str]:
        content = self.file.read_bytes()
        large = self.file.suffix == ".safetensors"
        tag = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(content).hexdigest()
        return {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        if type(self).behaves(self):
            return
        if self.path.startswith("/api/models/"):
            rows = []
            for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
                name = path.relative_to(self.folder).as_posix()
                rows.append({"rfilename": name, "path": name, "type": "file", "size": path.stat().st_size, "oid": "0"})
            info = {"id": "x", "sha": COMMIT, "siblings": rows, "private": False, "tags": [], "downloads": 1}
            found = rows if "/tree/" in self.path else info
            self.answer(200, json.dumps(found).encode(), Content_Type="application/json")
        elif not self.file.is_file():
            self.answer(404, X_Error_Code="EntryNotFound")
        else:
            content = self.file.read_bytes()
            self.answer(200, content, len(content), **self.head())

    do_HEAD = do_GET


def of_big(hub: Hub) -> bool:
    return hub.path.endswith(BIG) and hub.command == "GET"


def silent(where: str) -> Behaviour:
    """Accepts, and says nothing."""
    return lambda hub: where in hub.path and (hub.over.wait(3) or True)


def status(code: int, where: str = "/") -> Behaviour:
    return lambda hub: where in hub.path and (hub.answer(code) or True)


def page(where: str) -> Behaviour:
    """A page of a gate where files are asked for, as in a hotel."""
    return lambda hub: where in hub.path and (hub.answer(200, b"<html>Log in</html>", Content_Type="text/html") or True)


def half(silent: bool) -> Behaviour:
    """Ends in the middle of the weights, or is silent from there on."""

    def behave(hub: Hub) -> bool:
        if not of_big(hub):
            return False
        content = hub.file.read_bytes()
        hub.answer(200, content[: len(content) // 2], len(content), **hub.head())
        if silent:
            hub.over.wait(3)
        hub.close_connection = True
        return True

    return behave


def other(body: Callable[[bytes], bytes]) -> Behaviour:
    """Sends other bytes as weights, under the right name."""

    def behave(hub: Hub) -> bool:
        if of_big(hub):
            found = body(hub.file.read_bytes())
            hub.answer(200, found, len(found), **hub.head())
        return of_big(hub)

    return behave


def well(hub: Hub) -> bool:
    return False


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stable_model: Path) -> Iterator[type[Hub]]:
    """A hub that has one model, short of patience with it, and an empty cache."""
    folder = Path(shutil.copytree(stable_model, tmp_path / "model"))
    shutil.rmtree(folder / "words")

    class Mine(Hub):
        behaves = staticmethod(well)
        over = threading.Event()
        asked: ClassVar[list[str]] = []

    Mine.folder = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()
    url, constants = f"http://127.0.0.1:{server.server_port}", huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(module, "TRIES", 1, raising=False)
    yield Mine
    Mine.over.set()
    server.shutdown()
    server.server_close()


def get(capfd: pytest.CaptureFixture) -> tuple[int, str, str]:
    code = main(["models", "--get", "sd-1.4"])
    return code, *capfd.readouterr()


def here() -> bool:
    try:
        models.model_folder("sd-1.4")
    except InputError:
        return False
    return True


BEHAVIOURS = {
    "silent": silent("/"),
    "silent about files": silent("/resolve/"),
    "silent about weights": silent(BIG),
    "ends in the middle": half(silent=False),
    "silent in the middle": half(silent=True),
    "refuses": status(403),
    "wants a licence accepted": status(401, "/resolve/"),
    "does not know it": status(404),
    "has lost a file": status(404, BIG),
    "is out of order": status(500),
    "is too busy": status(429),
    "fails at weights": status(503, BIG),
    "is a page": page("/"),
    "is a page for files": page("/resolve/"),
    "sends a page as weights": other(lambda content: b"<html>Log in</html>"),
    "sends other bytes": other(lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    "sends zeros": other(lambda content: bytes(len(content))),
}


@pytest.mark.situation("models")
@pytest.mark.parametrize("behaves", BEHAVIOURS.values(), ids=BEHAVIOURS.keys())
def test_a_hub_that_fails_is_told_in_one_sentence(
    hub: type[Hub], capfd: pytest.CaptureFixture, behaves: Behaviour
) -> None:
    """And soon; what came so far does not count as a model, and the next try mends it."""
    hub.behaves = staticmethod(behaves)
    started = time.monotonic()
    code, out, err = get(capfd)
    assert time.monotonic() - started < 20
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("walkcut: CompVis/stable-diffusion-v1-4 could not be fetched (")
    assert "): check the network" in err
    assert not here()
    hub.behaves = staticmethod(well)
    code, out, err = get(capfd)
    assert (code, err) == (0, "")  # no bar where nobody looks
    assert here()
    found = Path(out.strip()) / BIG
    assert found.read_bytes() == (hub.folder / BIG).read_bytes()


@pytest.mark.situation("models")
def test_what_is_there_is_not_fetched_again(hub: type[Hub], capfd: pytest.CaptureFixture) -> None:
    assert get(capfd)[0] == 0
    hub.asked.clear()
    assert get(capfd)[0] == 0
    assert not [words for words in hub.asked if words.startswith("GET") and "/resolve/" in words]


@pytest.mark.situation("models")
def test_a_full_disk_is_told_as_such(hub: type[Hub], capfd: pytest.CaptureFixture) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        code, out, err = get(capfd)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "make room" in err
    assert not here()


@pytest.mark.situation("models")
@pytest.mark.parametrize("kind", ["a file", "a read-only folder"])
def test_a_cache_that_cannot_be_written_is_named(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture, kind: str
) -> None:
    cache = tmp_path / "kept"
    if kind == "a file":
        cache.write_text("x")
    else:
        cache = Path("/proc/1/kept")  # where not even root may write
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    code, out, err = get(capfd)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "HF_HOME" in err
