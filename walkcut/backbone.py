"""A denoiser and its encoder: the embedded one, or any Stable Diffusion in diffusers format.

What differs between them is read off their own configuration. The embedded denoiser looks at 2x2 pixels a patch,
rearranged and nothing lost; the others at the latent of a VAE. Those before Stable Diffusion 3 are UNets that predict
noise or velocity; from 3 on a transformer predicts the velocity of a straight flow (Esser et al. 2024).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from walkcut.errors import InputError
from walkcut.images import check_image, resize_image
from walkcut.models import LEFT_OUT, model_folder

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

DEFAULT_TIMESTEPS = (100,)
VOCABULARY = "vocabulary.safetensors"  # a vector for each word that the embedded denoiser knows
FINEST = 128  # patches along a side: the matrix of the walk then fills 1 GB
# what loading damaged weights raises, and too many
DAMAGED = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError, MemoryError)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Backbone:
    """A denoiser ready to look at pictures.

    Attributes
    ----------
    name : str
    denoiser : UNet2DConditionModel or SD3Transformer2DModel, in evaluation mode
    scheduler : DDIMScheduler or FlowMatchEulerDiscreteScheduler, for the noise schedule
    vae : AutoencoderKL or None
        None means that a latent is 2x2 pixels, rearranged.
    context : Tensor (1, tokens, channels)
        What cross-attention sees: the prompt, by default the empty one.
    pooled : Tensor (1, channels) or None
        The prompt as one vector, for models that are told it so as well.
    timesteps : tuple of int
        Where to read attention unless told otherwise, 0 (no noise) to 999.
    heads : dict of str to tuple of float
        Weights of heads per self-attention layer, by module name; a layer not named weighs nothing. Empty: all alike.
    locality : float or None
        Width of the prior on distance that suits this model, see `walkcut.walk.Walk.local`.
    sharpness : float
        Scores are multiplied by it before the softmax when attention is read; above 1 a broad model looks less far
        afield. What the model itself computes is left alone.
    inflation : float
        How many walkers must agree on a step, see `walkcut.walk.Walk.inflated`; 1 is the walk as it is.
    ceiling : float
        The NCut of the cheapest cut that this model finds in many pictures of white noise, as a share of the blank
        walk's (`walkcut.threshold.blank_ncut`); the automatic threshold stays below it.
    vocabulary : dict of str to Tensor (channels,)
        The embedded denoiser's words; empty for a model with a text encoder.
    spans : dict of str to tuple of int
        Words of the prompt, each with the places of its tokens in the context.
    """

    name: str
    denoiser: UNet2DConditionModel | SD3Transformer2DModel
    scheduler: DDIMScheduler | FlowMatchEulerDiscreteScheduler
    vae: AutoencoderKL | None
    context: torch.Tensor
    pooled: torch.Tensor | None = None
    timesteps: tuple[int, ...] = DEFAULT_TIMESTEPS
    heads: dict[str, tuple[float, ...]] = field(default_factory=dict)
    locality: float | None = None
    sharpness: float = 1.0
    inflation: float = 1.0
    ceiling: float = 1.0
    vocabulary: dict[str, torch.Tensor] = field(default_factory=dict)
    spans: dict[str, tuple[int, ...]] = field(default_factory=dict)

    # The prompt tells where and how the denoiser computes: diffusers looks through all modules to answer that.

    @property
    def device(self) -> torch.device:
        return self.context.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the denoiser; the VAE computes in float32."""
        return self.context.dtype

    @property
    def flow(self) -> bool:
        """Whether noise comes by a straight flow, x = (1 - s) latent + s noise, rather than by a diffusion."""
        return isinstance(self.denoiser, SD3Transformer2DModel)

    @cached_property
    def shrinks(self) -> tuple[int, ...]:
        """Latent pixels along a side of a patch, for each level from the finest with attention to the coarsest."""
        config = self.denoiser.config
        if self.flow:
            return (config.patch_size,)
        first = next(i for i, kind in enumerate(config.down_block_types) if "CrossAttn" in kind)
        return tuple(2**level for level in range(first, len(config.block_out_channels)))

    @property
    def patch(self) -> int:
        """Side in pixels of a patch of the finest attention."""
        encoded = 2 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)
        return encoded * self.shrinks[0]

    def grid(self, image: np.ndarray, longest: int) -> tuple[int, int]:
        """Patches (h, w) of the finest attention for a picture: `longest` along its longer side, its aspect kept.

        Both sides are multiples of the coarsest patch, so that the grids of all resolutions align.
        """
        step = self.shrinks[-1] // self.shrinks[0]
        if longest < step:
            raise InputError(f"A grid of {longest} patches is too coarse for {self.name}: choose at least {step}.")
        if longest > FINEST:
            raise InputError(f"A grid of {longest} patches needs too much memory: choose at most {FINEST}.")
        scale = longest / max(image.shape[:2])
        h, w = (max(round(side * scale / step), 1) * step for side in image.shape[:2])
        return h, w

    def grids(self, latent: torch.Tensor) -> dict[int, tuple[int, int]]:
        """Number of patches -> (h, w), for every level that may attend to a latent (1, channels, H, W)."""
        sizes = [tuple(side // shrink for side in latent.shape[-2:]) for shrink in self.shrinks]
        return {h * w: (h, w) for h, w in sizes}

    def prompted(self, words: Sequence[str]) -> Backbone:
        """The same denoiser told these words of its vocabulary: one token each, and an empty one behind them."""
        for word in words:
            if word not in self.vocabulary:
                known = ", ".join(self.vocabulary) or "none"
                raise InputError(f"The model {self.name} does not know the word {word!r}: it knows {known}.")
        empty = self.context.new_zeros(1, 1, self.context.shape[2])
        tokens = [self.vocabulary[word].to(empty).view(1, 1, -1) for word in words]
        spans = {word: (place,) for place, word in enumerate(words)}
        return replace(self, context=torch.cat([*tokens, empty], 1), spans=spans)

    @torch.inference_mode()
    def encode(self, image: np.ndarray, grid: int = 64) -> torch.Tensor:
        """The latent of a picture, resized to `grid` patches of the finest attention along its longer side.

        Parameters
        ----------
        image : uint8 (H, W, 3)
        grid : int

        Returns
        -------
        Tensor (1, channels, h, w), on the backbone's device, in its dtype
        """
        image = check_image(image)
        h, w = self.grid(image, grid)
        small = resize_image(image, (h * self.patch, w * self.patch))
        pixels = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].to(self.device, torch.float32) / 127.5 - 1
        if self.vae is None:
            return functional.pixel_unshuffle(pixels, 2).to(self.dtype)
        config = self.vae.config
        latent = self.vae.encode(pixels).latent_dist.mode().to(self.dtype)
        return (latent - (config.shift_factor or 0.0)) * config.scaling_factor

    @torch.inference_mode()
    def add_noise(self, latent: torch.Tensor, timestep: int, generator: torch.Generator) -> torch.Tensor:
        """The latent after `timestep` of 1000 steps of forward noise, drawn on the CPU so that devices agree.

        Latents of several pictures (b, channels, H, W) get the same noise, so that none depends on the others.
        """
        noise = torch.randn((1, *latent.shape[1:]), generator=generator).to(latent)
        if self.flow:
            return torch.lerp(latent, noise, timestep / 1000)
        noise = noise.expand_as(latent)
        return self.scheduler.add_noise(latent, noise, torch.tensor([timestep], device=latent.device))

    @torch.inference_mode()
    def denoise(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        """One pass of the denoiser over latents (b, channels, H, W); `walkcut.attention` listens in."""
        count = len(latent)
        steps = torch.full((count,), timestep, device=latent.device)
        context = self.context.expand(count, -1, -1)
        pooled = None if self.pooled is None else self.pooled.expand(count, -1)
        if self.flow:
            return self.denoiser(latent, context, pooled, steps).sample
        added = None
        if pooled is not None:  # Stable Diffusion XL is told the size of the picture, and where it was cropped
            h, w = (side * self.patch // self.shrinks[0] for side in latent.shape[-2:])
            sizes = torch.tensor([[h, w, 0, 0, h, w]], device=latent.device, dtype=latent.dtype)
            added = {"text_embeds": pooled, "time_ids": sizes.expand(count, -1)}
        return self.denoiser(latent, steps, encoder_hidden_states=context, added_cond_kwargs=added).sample


def find_device(device: str = "auto") -> torch.device:
    """A torch device that is really there; "auto" takes a GPU if there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"The device {device!r} is not available here: choose cpu or auto.") from None
    return found


def load_backbone(
    model: str = "dead-leaves",
    device: str = "auto",
    dtype: str = "auto",
    prompt: str = "",
    offload: bool = False,
    compiled: bool = False,
) -> Backbone:
    """Load a denoiser by short name, hub path or local folder in diffusers format. Nothing is downloaded.

    Parameters
    ----------
    model : str
        A name of `walkcut.models.MODELS`; a hub path such as "CompVis/stable-diffusion-v1-4" whose files are in the
        hub's cache; or a folder that `save_pretrained` of a pipeline wrote. Pickled weights are refused.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    dtype : str
        Of the denoiser: "float32", "float16" or "bfloat16"; "auto" is float16 for a Stable Diffusion on a GPU, float32
        elsewhere. The VAE computes in float32 in any case: in half precision some overflow.
    prompt : str
        What the denoiser is told to see; the embedded one takes words of its vocabulary.
    offload : bool
        Keep a Stable Diffusion's weights in main memory and bring each layer to the device when its turn comes: for a
        GPU that is too small, at the price of time.
    compiled : bool
        Let torch.compile translate the denoiser's blocks: the first pictures take long, the others less.

    Raises
    ------
    InputError
        For an unknown model, unreadable weights or too many of them, a device that is not there, or a word that the
        model does not know.
    """
    if dtype not in ("auto", *DTYPES):
        raise InputError(f"There is no dtype {dtype!r}: choose auto, {', '.join(DTYPES)}.")
    where, folder = find_device(device), model_folder(model)
    latent = (folder / "vae").is_dir()
    half = latent and where.type == "cuda"
    chosen = DTYPES["float16" if half else "float32"] if dtype == "auto" else DTYPES[dtype]
    try:
        if latent:
            found = _read_pipeline(model, folder, where, chosen, prompt, offload)
        else:
            found = _read_embedded(model, folder, where, chosen)
    except DAMAGED as error:
        raise _refusal(error, model, where, latent and not offload) from error
    if compiled:
        compile_layers(found.denoiser)
    return found.prompted(prompt.split()) if prompt and not latent else found


def short_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Only CUDA's is an error of its own: a CPU's and a Mac's are told by their words."""
    words = (
        "out of memory",
        "not enough memory",
        "allocate memory",
        "Insufficient Memory",
        "ALLOC_FAILED",
        "bad_alloc",
    )
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(one in str(error) for one in words)


def _refusal(error: Exception, model: str, where: torch.device, offloadable: bool) -> InputError:
    """What to say of weights that could not be loaded."""
    if short_of_memory(error):
        gpu = "keep its weights in main memory with --offload" if offloadable else "choose --device cpu"
        remedy = "choose a smaller model" if where.type == "cpu" else gpu
        return InputError(f"The model {model!r} does not fit into the memory of {where}: {remedy}.")
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InputError(f"The weights of {model!r} cannot be read ({reason}): fetch or copy them again.")


def _read_embedded(name: str, folder: Path, device: torch.device, dtype: torch.dtype) -> Backbone:
    """A denoiser of pixels; damage raises whatever it raises."""
    local = dict(local_files_only=True, use_safetensors=True)
    unet = _settled(UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, **local), device)
    path = folder / VOCABULARY
    return Backbone(
        name=name,
        denoiser=unet,
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
        vae=None,
        context=torch.zeros(1, 1, unet.config.cross_attention_dim, device=device, dtype=dtype),
        vocabulary=load_file(path) if path.is_file() else {},
        **_readout(folder),
    )


def _readout(folder: Path) -> dict:
    """Where to read attention, as `readout.json` beside the weights has it."""
    path = folder / "readout.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    return {
        "timesteps": tuple(found.get("timesteps", DEFAULT_TIMESTEPS)),
        "heads": {layer: tuple(weights) for layer, weights in found.get("heads", {}).items()},
        "locality": found.get("locality"),
        "sharpness": found.get("sharpness", 1.0),
        "inflation": found.get("inflation", 1.0),
        "ceiling": found.get("ceiling", 1.0),
    }


def _read_pipeline(
    name: str, folder: Path, device: torch.device, dtype: torch.dtype, prompt: str, offload: bool
) -> Backbone:
    """A Stable Diffusion, its prompt encoded once and the text encoders let go; damage raises whatever it raises."""
    half = any(folder.rglob("*.fp16.safetensors"))
    index = json.loads((folder / "model_index.json").read_text())
    home = torch.device("cpu") if offload else device
    with _quiet():
        pipeline = DiffusionPipeline.from_pretrained(
            folder,
            torch_dtype=dtype,
            variant="fp16" if half else None,
            local_files_only=True,
            use_safetensors=True,
            **{part: None for part in LEFT_OUT if part in index},
        ).to(home)
    network = pipeline.transformer if "transformer" in index else pipeline.unet
    context, pooled = _encoded(pipeline, prompt)
    denoiser, vae = _settled(network, home), _settled(pipeline.vae.float(), home)
    if offload:
        offload_layers(device, denoiser, vae)
    schedule = pipeline.scheduler.config
    return Backbone(
        name=name,
        denoiser=denoiser,
        scheduler=pipeline.scheduler if "transformer" in index else DDIMScheduler.from_config(schedule),
        vae=vae,
        context=context.to(device, dtype),
        pooled=None if pooled is None else pooled.to(device, dtype),
        spans=_spans(pipeline.tokenizer, prompt),
        **_readout(folder),
    )


def compile_layers(denoiser: torch.nn.Module) -> None:
    """Let torch translate a denoiser of diffusers, block by block, when it is first used."""
    # else torch overlooks hooks that come later, and `walkcut.attention.features` hears the first picture alone
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    denoiser.compile_repeated_blocks()


def offload_layers(device: torch.device, *modules: torch.nn.Module) -> None:
    """Let modules of diffusers wait in main memory; each layer comes to the device when its turn comes."""
    for module in modules:
        module.enable_group_offload(onload_device=device, offload_device=torch.device("cpu"), offload_type="leaf_level")


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and remarks of other libraries in the block: in a notebook they would stand on the page."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    before = {of: (of.get_verbosity(), of.is_progress_bar_enabled()) for of in (of_diffusers, of_transformers)}
    for of in before:
        of.set_verbosity_error()
        of.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for of, (verbosity, bars) in before.items():
            of.set_verbosity(verbosity)
            if bars:
                of.enable_progress_bar()


def _spans(tokenizer: CLIPTokenizer, prompt: str) -> dict[str, tuple[int, ...]]:
    """Words of a prompt, each with the places of its tokens; of a word that comes twice, all places."""
    found: dict[str, tuple[int, ...]] = {}
    place = 1  # after the token that starts the prompt
    for word in prompt.split():
        end = min(place + len(tokenizer(word, add_special_tokens=False).input_ids), tokenizer.model_max_length - 1)
        found[word] = (*found.get(word, ()), *range(place, end))
        place = end
    return {word: places for word, places in found.items() if places}


@torch.inference_mode()
def _encoded(pipeline: DiffusionPipeline, prompt: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The prompt as tokens (1, tokens, channels), and as one vector (1, channels) where the model takes one."""
    given = {"device": pipeline.device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    if "text_encoder_3" in pipeline.config:
        given |= {"prompt_2": None, "prompt_3": None}
    found = pipeline.encode_prompt(prompt, **given)
    return found[0], found[2] if len(found) == 4 else None


def _settled(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """A module on its device, for use alone; one whose file lacks a weight is refused."""
    missing = [name for name, parameter in module.named_parameters() if parameter.is_meta]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return module.to(device).eval().requires_grad_(False)
