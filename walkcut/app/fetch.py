"""The list of models, and their weights from the hub: on request only, never on the way to something else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from walkcut.errors import InputError
from walkcut.eyes.models import MODELS, model_folder

PATIENCE = 10.0  # seconds that the hub has to answer at all


def fetch(model: str) -> Path:
    """Download a model's files from the hub into its cache, in half precision where it has such.

    Raises
    ------
    InputError
        If the name is unknown, or the hub does not give them.
    """
    named = [name for name, row in MODELS.items() if row.repository]
    if model not in named:
        raise InputError(f"There is nothing to get for {model!r}: choose from {', '.join(named)}.")
    from diffusers import DiffusionPipeline
    from huggingface_hub import model_info

    from walkcut.eyes.stable import LEFT_OUT

    repository = MODELS[model].repository
    wanted = {"use_safetensors": True, **dict.fromkeys(LEFT_OUT)}
    try:
        model_info(repository, timeout=PATIENCE)  # without a network, the download would try again for minutes
        with suppress(ValueError):  # there are no files in half precision by that name
            return Path(DiffusionPipeline.download(repository, variant="fp16", **wanted))
        return Path(DiffusionPipeline.download(repository, **wanted))
    except Exception as error:  # of the hub's client, which has changed its own more than once
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
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
