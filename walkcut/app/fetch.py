"""The list of models, and their weights from the hub: on request only, never on the way to something else."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import file_digest
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any

from walkcut.errors import InputError
from walkcut.eyes.models import LEFT_OUT, MODELS, model_folder

PATIENCE = 10.0  # seconds that the hub has for each answer, and for each piece of a file
TRIES = 3  # of one and the same request; what goes on where an earlier one stopped is another


def fetch(model: str) -> Path:
    """Download a model's files from the hub into its cache, in half precision where it has such.

    Files that are there already are not fetched again. Progress is shown on a terminal only.

    Raises
    ------
    InputError
        If the name is unknown, the hub does not give them, or there is no room for them.
    """
    named = [name for name, row in MODELS.items() if row.repository]
    if model not in named:
        raise InputError(f"There is nothing to get for {model!r}: choose from {', '.join(named)}.")
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # whose downloads know no patience; read at the first import
    from huggingface_hub import model_info

    from walkcut.eyes.networks import quiet

    repository = MODELS[model].repository
    try:
        with quiet(), _impatient():
            model_info(repository, timeout=PATIENCE)  # without a network, the download would try again for minutes
            folder = _vision(repository) if MODELS[model].vision else _pipeline(repository)
        _check(folder)
        return folder
    except Exception as error:  # of the hub's client, which has changed its own more than once
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0].removesuffix(".")
        network = "check the network, and on its page whether its licence has to be accepted first"
        disk = "make room where the hub's cache lies, or let HF_HOME name another folder"
        remedy = disk if getattr(error, "errno", None) else network
        raise InputError(f"{repository} could not be fetched ({reason}): {remedy}.") from error


def _pipeline(repository: str) -> Path:
    from diffusers import DiffusionPipeline

    wanted = {"use_safetensors": True, **dict.fromkeys(LEFT_OUT)}
    try:
        return Path(DiffusionPipeline.download(repository, variant="fp16", **wanted))
    except ValueError:  # there are no files in half precision by that name
        return Path(DiffusionPipeline.download(repository, **wanted))


def _vision(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, allow_patterns=["*config.json", "model.safetensors"]))


def _check(folder: Path) -> None:
    """Refuse, and remove, a large file with another content than its name in the cache says, which is its SHA-256."""
    for link in folder.rglob("*.safetensors"):
        blob = link.resolve()
        if len(blob.name) == 64:
            with blob.open("rb") as file:
                found = file_digest(file, "sha256").hexdigest()
            if found != blob.name:
                link.unlink()
                blob.unlink()
                raise RuntimeError(f"{link.name} arrived with other bytes than the hub has, and is removed")


@contextmanager
def _impatient() -> Iterator[None]:
    """A hub that is silent, or fails again and again, is given up soon, and so is a file once Ctrl-C is pressed."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    asked: Counter[tuple[str | None, ...]] = Counter()
    session: Any = get_session()
    hooks = getattr(session, "event_hooks", {"request": []})["request"]  # an older client has none

    def limit(request: Any) -> None:
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE)
        same = request.method, str(request.url), request.headers.get("Range")
        asked[same] += "/resolve/" in same[1]  # of a file
        if asked[same] > TRIES:
            raise RuntimeError(f"{request.url.host} did not give {Path(request.url.path).name}")

    def stop(*_: object) -> None:
        Thread(target=session.close, daemon=True).start()  # the hub would wait for gigabytes that are on their way
        raise KeyboardInterrupt

    with ExitStack() as afterwards:
        afterwards.callback(logging.set_verbosity, logging.get_verbosity())
        logging.set_verbosity_error()  # its remarks on the way are told once, at the end
        if not (sys.stderr.isatty() or are_progress_bars_disabled()):
            disable_progress_bars()
            afterwards.callback(enable_progress_bars)
        if current_thread() is main_thread():
            afterwards.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, stop))
        hooks.append(limit)
        afterwards.callback(hooks.remove, limit)
        yield


def table() -> str:
    """All rows as text: picture, patches of the finest attention, size, whether the weights are here, licence."""
    lines = [f"{'model':18}{'picture':>8}  {'patches':9}{'size':>7}  {'weights':10}licence, repository"]
    for model in MODELS.values():
        try:
            model_folder(model.name)
            here = "here"
        except InputError:
            here = "not here"
        source = model.repository or "comes with walkcut"
        side = model.pixels // model.patch
        size = f"{model.pixels:>5} px  {f'{side} x {side}':9}{model.gigabytes:>4} GB"
        lines.append(f"{model.name:18}{size}  {here:10}{model.licence}, {source}")
    return "\n".join(lines)
