"""Which eyes go by a short name, where their weights are, and what is known of one before it is loaded.

A new model is a new row of `models.json`. What else differs between them (latents, text encoders, conditions, noise) is
told by their own configuration files.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from walkcut.errors import InputError, shown
from walkcut.recipe import Eye

HOME = "WALKCUT_MODELS"  # environment variable: a folder that holds one folder per short name
WEIGHTS = Path(__file__).parent.parent / "weights"  # of the denoisers that come with walkcut, a folder each
PARTS = ("unet", "transformer")  # the denoiser's own folder, in diffusers format
# A vision transformer lies in one folder, whose config.json has one of these as model_type; see `walkcut.eyes.vision`.
VISION = json.loads(Path(__file__).with_name("vision.json").read_text(encoding="utf-8"))
INDEX = "model_index.json"  # names the parts of a pipeline
READOUT = "readout.json"  # where a model's attention is best read, beside its weights
BLOCKS, BLOCK = 64, 4096  # that a file's digest looks at, and their bytes
DTYPES = ("float32", "float16", "bfloat16")
# Parts of a pipeline that are neither fetched nor read. Stable Diffusion 3 was trained to do without its third and
# largest text encoder, which then says zeros (Esser et al. 2024, section 5.3.3).
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder", "text_encoder_3", "tokenizer_3")
DENOISERS = ("UNet2DConditionModel", "SD3Transformer2DModel")  # classes of diffusers whose attention is read
LISTED = "one that `walkcut models` lists"
AGAIN = f"fetch or copy the model again, or choose {LISTED}"


@dataclass(frozen=True)
class Model:
    """One row of `models.json`.

    Attributes
    ----------
    name : str
        Short.
    repository : str
        On the hub; empty for a denoiser that comes with walkcut.
    licence : str
        "gated": to be accepted on the repository's page first.
    gigabytes : float
        Of the weights that are fetched, in half precision where the hub has such.
    pixels : int
        Side of the pictures that it was trained on.
    patch : int
        Side in pixels of a patch of its finest attention.
    vision : bool
        Whether it is a vision transformer.
    """

    name: str
    repository: str
    licence: str
    gigabytes: float
    pixels: int
    patch: int
    vision: bool = False


ROWS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
MODELS = {row["name"]: Model(**row) for row in ROWS}


def find_eye(model: str = "dead-leaves", device: str = "cpu", dtype: str = "auto", prompt: str = "") -> Eye:
    """What is known of a model by name, hub path or folder; no weights are loaded.

    Parameters
    ----------
    model : str
        See `walkcut.eyes.loading.load_backbone`.
    device : str
        Where it will compute: "auto" as dtype is float16 on "cuda" for all but an embedded model, float32 elsewhere.
    dtype : str
        "auto" or one of `DTYPES`.
    prompt : str

    Raises
    ------
    InputError
        If the weights are not here, of an architecture that is not read, or without settings that can be read; or there
        is no such dtype.
    """
    if not isinstance(dtype, str) or dtype not in ("auto", *DTYPES):
        raise InputError(f"There is no dtype {shown(dtype)}: choose auto, {', '.join(DTYPES)}.")
    folder = model_folder(model)
    vision = _vision_config(folder)
    family = "vision" if vision else "stable-diffusion" if (folder / "vae").is_dir() else "embedded"
    if vision and prompt:
        raise InputError(f"{model} is a vision transformer, which reads no words: leave out the prompt {prompt!r}.")
    if dtype == "auto":
        dtype = "float16" if family != "embedded" and device.startswith("cuda") else "float32"
    if not vision:
        check_architecture(folder)
    path = folder / READOUT
    readout = settings_in(path, "mend it, or remove it to read all heads alike") if path.exists() else {}
    readout = vision | readout
    told = prompt if family != "embedded" else " ".join(prompt.split())  # an eye of pixels is told words, not a text
    try:
        weights = weights_digest(folder)
    except OSError as error:
        raise InputError(f"The weights in {folder} cannot be read ({error}): get them anew.") from error
    return Eye(model, weights, dtype, told, family, readout, folder)


def model_folder(model: str) -> Path:
    """Where a model's weights lie: in the folder that was named, or on this machine by short name or hub path.

    Looked for in this order: the package itself, `$WALKCUT_MODELS/NAME`, the hub's cache. Nothing is downloaded.

    Raises
    ------
    InputError
        If they are not here: what to do about it.
    """
    row = MODELS.get(model)
    if row and not row.repository:
        return WEIGHTS / model
    if model and not row and _holds_a_model(Path(model)):  # an empty name would be the current folder
        return Path(model)
    if row and (home := os.environ.get(HOME)) and _holds_a_model(Path(home) / model):
        return Path(home) / model
    if cached := _in_cache(row.repository if row else model):
        return cached
    if row:
        about = f"The weights of {model} ({row.repository}, {row.gigabytes} GB, {row.licence}) are not on this machine"
        place = f"or put a folder in {'transformers' if row.vision else 'diffusers'} format at ${HOME}/{model}"
        raise InputError(f"{about}: run `walkcut models --get {model}` where there is a network, {place}.")
    diffusers = "a folder in diffusers format (with unet/ or transformer/, scheduler/ and, for a latent model, vae/)"
    wanted = f"{diffusers}, or one of a vision transformer (config.json, model.safetensors)"
    if model and os.path.lexists(model):
        raise InputError(f"{model} is no model: name {wanted}; diffusers' from_single_file makes one from a file.")
    others = f"{', '.join(MODELS)}, a hub path whose files are in its cache"
    raise InputError(f"There is no model {model!r}: choose {others}, or {wanted}.")


def settings_in(path: Path, remedy: str = AGAIN) -> dict[str, Any]:
    """The settings in one of a model's files; InputError if there are none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no table of settings")
        return found
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}): {remedy}.") from error


def check_architecture(folder: Path) -> None:
    """InputError for a model whose settings cannot be read, or say that its attention is not read here."""
    part = next(folder / part for part in PARTS if _holds_a_model(folder, part))
    kind = settings_in(part / "config.json").get("_class_name")
    if kind not in DENOISERS:
        raise InputError(f"{part} holds a network of class {kind}, not {' or '.join(DENOISERS)}: choose {LISTED}.")
    settings_in(folder / "scheduler" / "scheduler_config.json")
    for name in _named_parts(folder):
        if not (folder / name).is_dir():
            raise InputError(f"{folder} lacks the folder {name}/ that its {INDEX} names: {AGAIN}.")


def _named_parts(folder: Path) -> list[str]:
    """The parts that are read of a pipeline; a denoiser of pixels may be alone."""
    index = folder / INDEX
    named = settings_in(index) if index.exists() or (folder / "vae").exists() else {}
    read = {name: made_by for name, made_by in named.items() if isinstance(made_by, list) and name not in LEFT_OUT}
    return [name for name, made_by in read.items() if None not in made_by]


def weight_files(folder: Path) -> list[Path]:
    """All that tells a model from another in its folder: its weights, and where its attention is read."""
    return sorted([*folder.rglob("*.safetensors"), *folder.glob(READOUT)])


def weights_digest(folder: Path) -> str:
    """16 hexadecimal digits that tell a model's weights from others, also from those of the same net trained anew.

    Of each file of weights, and of the readout: name, size and 64 blocks of 4 KiB, evenly spread. Reading all of a
    large model would take longer than loading it.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size} ".encode())
        with path.open("rb") as file:
            for block in range(BLOCKS):
                file.seek(max(size - BLOCK, 0) * block // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]


def _holds_a_model(folder: Path, *parts: str) -> bool:
    try:
        found = any((folder / part / "config.json").is_file() for part in parts or PARTS)
        return found or (not parts and bool(_vision_config(folder)))
    except (OSError, ValueError):  # no name that a file can have
        return False


def _vision_config(folder: Path) -> dict[str, Any]:
    """What suits a vision transformer that nobody tuned: a clean picture, its own grid; empty for another model."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["model_type"] not in VISION:
            return {}
        sizes = config.get("vision_config", config)
        return {"noise": "none", "timesteps": [0], "grid": sizes["image_size"] // sizes["patch_size"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _in_cache(repository: str) -> Path | None:
    """The hub's snapshot of a repository, if it was ever fetched."""
    if repository.count("/") != 1:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # files that every model has: asked for all, the hub misses what no one fetches, and says nothing is there
        folder = Path(snapshot_download(repository, local_files_only=True, allow_patterns=[INDEX, "config.json"]))
        parts = _named_parts(folder)
    except (LocalEntryNotFoundError, HFValidationError, InputError):
        return None
    # else it was broken off: a network has both settings and weights, a tokenizer or a schedule neither
    nets = [folder / part for part in {*parts, *PARTS}] + [folder] * bool(_vision_config(folder))
    whole = all((net / "config.json").is_file() == any(net.glob("*.safetensors")) for net in nets)
    return folder if whole and all((folder / part).is_dir() for part in parts) and _holds_a_model(folder) else None
