"""How a result was made, and where it is written."""

import hashlib
import json
import platform
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from walkcut.app.outputs import digest, write_whole
from walkcut.bench.sources import PACKAGE
from walkcut.eyes.models import weight_files
from walkcut.recipe import Eye

PACKAGES = ("numpy", "scipy", "torch", "diffusers", "scikit-image", "scikit-learn", "pillow")


def _told(file: str, key: str) -> str | None:
    """What a file of the system says of a key, the first time; None without either."""
    with suppress(OSError):
        for line in Path(file).read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return None


def processor() -> str:
    """Model name of the processor, and nothing else about the machine."""
    return _told("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def peak_memory() -> int:
    """Most bytes of main memory that this process has held at once.

    Linux hands getrusage's peak on from the program that started this one, so its own count is asked first.
    """
    if kilobytes := _told("/proc/self/status", "VmHWM"):
        return 1024 * int(kilobytes.split()[0])
    import resource  # which Windows has not

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


def versions() -> dict[str, str]:
    """Of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # no method of the run needed it
            found[name] = version(name)
    return found


def provenance(command: str) -> dict:
    """What every result names: command, commit, date, processor, GPU, versions."""
    import torch

    made = {"command": command, "commit": commit(), "date": time.strftime("%Y-%m-%d")}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return made | {"processor": processor(), "gpu": gpu, "versions": versions()}


@cache
def model_record(eye: Eye) -> dict[str, Any]:
    """Name of a model and the SHA-256 of its weights and readout; a path is reduced to its last part.

    All are read once in a process: other weights make another eye.
    """
    files = weight_files(eye.folder) if eye.weights else []
    sums = {file.relative_to(eye.folder).as_posix(): digest(file) for file in files}
    return {"name": Path(eye.name).name, "sha256": sums}


def as_text(result: dict) -> str:
    """JSON for a committed file: one line per entry of a list of records, so that a change reads well."""

    def entry(value: object) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(json.dumps(record) for record in value) + "\n ]"
        return json.dumps(value)

    return "{\n " + ",\n ".join(f"{json.dumps(key)}: {entry(value)}" for key, value in result.items()) + "\n}\n"


def short_hash(parts: object) -> str:
    """Twelve hexadecimal digits of what JSON can say."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def keep(path: Path, result: dict, by: str) -> dict:
    """Write a result, and say where: a file whose entry `by` differs stays, and the new one gets a name of its own.

    Returns
    -------
    dict
        The result.
    """
    there = None
    with suppress(OSError, ValueError, AttributeError):  # what cannot be read is another result
        there = json.loads(path.read_text(encoding="utf-8")).get(by)
    if path.exists() and there != result[by]:
        path = path.with_name(f"{path.stem}-{short_hash(result[by])}.json")
    write_whole({path: as_text(result).encode()})
    print(f"walkcut: {path} is written.", file=sys.stderr)
    return result
