"""How a result was made, and how it is written: whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import walkcut
from walkcut.errors import InputError

PACKAGE = Path(walkcut.__file__).parent
PACKAGES = ("numpy", "scipy", "torch", "diffusers", "scikit-image", "scikit-learn", "pillow")


def processor() -> str:
    """Model name of the processor, and nothing else about the machine."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def accelerator() -> str | None:
    """Model name of the GPU, None without one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def peak_memory() -> int:
    """Most bytes of main memory that this process has held at once.

    Linux hands getrusage's peak on from the program that started this one, so its own count is asked first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def commit() -> str | None:
    """Commit of the code, with "+changes" if the package differs from it; None outside a git checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def provenance(command: str) -> dict:
    """What every result names: command, commit, date, processor, GPU, versions."""
    return {
        "command": command,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "gpu": accelerator(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def made_by(record: dict) -> str:
    """One line in Markdown: command, date, commit, processor or GPU."""
    commit = (record["commit"] or "no commit")[:7]
    return f"`{record['command']}`, {record['date']}, commit {commit}, {record.get('gpu') or record['processor']}."


def model_record(model: str) -> dict:
    """Name of a model and the SHA-256 of its weights and readout; a path is reduced to its last part."""
    from walkcut.models import model_folder, weight_files

    folder = model_folder(model)
    files = {file.relative_to(folder).as_posix(): file for file in weight_files(folder)}
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    return {"name": Path(model).name, "sha256": sums}


def as_text(result: dict) -> str:
    """JSON for a committed file: one line per entry of a list of records, so that a change reads well."""

    def entry(value: object) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(json.dumps(record) for record in value) + "\n ]"
        return json.dumps(value)

    return "{\n " + ",\n ".join(f"{json.dumps(key)}: {entry(value)}" for key, value in result.items()) + "\n}\n"


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
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another --out.") from error
    finally:
        with suppress(OSError):  # what went wrong above is to be told, not this
            part.unlink()
