"""Train the embedded denoiser: a small UNet that has only ever seen dead leaves.

It is diffusers' own `UNet2DConditionModel`, so that one extraction code serves it and Stable Diffusion. Its captions
are words for what a scene shows (`walkcut.scenes.WORDS`), each a learnt vector that cross-attention reads. It predicts
the velocity v = sqrt(abar) noise - sqrt(1 - abar) latent (Salimans & Ho, ICLR 2022, appendix D) under Stable
Diffusion's noise schedule. Step `s` of seed `r` always sees the same scenes, noise and timesteps, so a run that was
killed and resumed draws the same curve as one that was not.
"""

import io
import json
import os
import shutil
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.nn import functional

from walkcut.app.outputs import alone_in, cannot_write, write_whole
from walkcut.app.progress import progress
from walkcut.app.stages import Function, Stage, stream
from walkcut.capture import attention_layers, head_count
from walkcut.errors import InputError
from walkcut.eyes.embedded import VOCABULARY
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import READOUT, WEIGHTS
from walkcut.scenes import WORDS, Scene, make_scene

EMBEDDED = WEIGHTS / "dead-leaves"  # what is trained is built, and shown noise, as the model that comes with walkcut
# Two levels, with more layers on the fine one, and heads of 64 and 80 dimensions; their number is what diffusers calls
# "attention_head_dim". No attention in the last block: what is far must be fetched by the encoder, whose attention we
# read.
UNET_CONFIG = UNet2DConditionModel.load_config(EMBEDDED / "unet")
TOKENS = 12  # of a caption; what is left over is empty
# Where to read attention, chosen on BSDS500 train: not in the last layers of the fine level, which prepare what comes
# after them.
LOOKING = (
    "down_blocks.0.attentions.0.transformer_blocks.0",
    "down_blocks.0.attentions.0.transformer_blocks.1",
    "down_blocks.1",
)
SUITS = {"timesteps": [10], "jump_chain": True, "inflation": 2.0, "spatial_prior": 0.35}
HALF = ".half"  # in the folder of a training, which has what is not whole yet


@dataclass(frozen=True)
class TrainConfig:
    """What a training run depends on; stored beside its weights."""

    steps: int = 3483
    seed: int = 0
    patches: int = 98304  # per batch
    sides: tuple[int, ...] = (32, 48, 64)  # patch grids; a batch holds one of them, at a constant number of patches
    draws: int = 2  # of noise and timestep for each crop: drawing a scene costs more than looking at it
    captioned: float = 0.5  # share of crops with a caption
    learning_rate: float = 7e-4
    warmup: int = 200
    decay: float = 0.25  # the last share of the steps, in which the rate falls linearly to 2%
    ema: float = 0.998
    timestep_shift: float = -0.3  # timesteps are 1000 * logistic(normal + shift)


def make_batch(config: TrainConfig, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of fresh scenes for step `step`, and their captions.

    Returns
    -------
    latents : float32 (b, 12, side, side)
    captions : int64 (b, TOKENS), 1 + the place of a word in `WORDS`; 0 is no word
    """
    rng = np.random.default_rng([config.seed, step])
    side = int(rng.choice(config.sides))
    crops, captions = [], []
    for index in range(max(config.patches // (config.draws * side**2), 1)):
        size = int(2 * side * rng.uniform(1, 1.75))
        rng.uniform()  # chose the light once; without it, today's model would have been shown other crops
        scene = make_scene([config.seed, step, index], size)
        y, x = rng.integers(0, size - 2 * side + 1, 2)
        window = np.s_[y : y + 2 * side, x : x + 2 * side]
        crop = scene.image[window][:, :: rng.choice([-1, 1])]
        crops.append(crop.transpose(1, 0, 2) if rng.uniform() < 0.25 else crop)
        captions.append(caption(rng, scene, window) if rng.uniform() < config.captioned else np.zeros(TOKENS, int))
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1  # (b, 3, 2 side, 2 side)
    return functional.pixel_unshuffle(pixels, 2), torch.from_numpy(np.stack(captions))


def _drawer(config: TrainConfig) -> Function:
    return lambda step: [tensor.numpy() for tensor in make_batch(config, step)]


def caption(rng: np.random.Generator, scene: Scene, window: tuple[slice, slice]) -> np.ndarray:
    """int64 (TOKENS,): words of what is to be seen in a window, some left out, in random order, zeros behind."""
    words = {word for kind in np.unique(scene.materials[window]) for word in scene.words[kind]}
    words |= {"horizon"} if scene.horizon else set()
    numbers = np.array(sorted(1 + WORDS.index(word) for word in words))
    chosen = rng.permutation(numbers)[: rng.integers(1, TOKENS)]
    return np.pad(chosen, (0, TOKENS - len(chosen)))


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, a linear fall: the plateau does not depend on how many steps there are."""
    fall = (config.steps - step) / max(config.decay * config.steps, 1)
    return config.learning_rate * min((step + 1) / config.warmup, 1.0, max(fall, 0.02))


class Denoiser(torch.nn.Module):
    """The UNet, and a vector for each word; the vector of no word is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel.from_config(UNET_CONFIG)
        self.words = torch.nn.Embedding(1 + len(WORDS), self.unet.config.cross_attention_dim, padding_idx=0)
        self.words.weight.data *= 0.1

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        return self.unet(noisy, timestep, encoder_hidden_states=self.words(captions)).sample


class _State:
    """A training at one of its steps: everything that a resumed run needs, and what it exports.

    Attributes
    ----------
    denoiser : Denoiser
    optimizer : AdamW
    ema : EMAModel
        The average of the weights so far, which is exported.
    losses : list of float
        One for each step that was taken.
    """

    STORED = ("denoiser", "optimizer", "ema")  # each with a state_dict

    def __init__(self, config: TrainConfig, device: str) -> None:
        self.config, self.scheduler = config, DDIMScheduler.from_pretrained(EMBEDDED / "scheduler")
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            denoiser = Denoiser()
        denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.denoiser = denoiser.to(device).train()
        self.optimizer = torch.optim.AdamW(self.denoiser.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
        self.ema = EMAModel(self.denoiser.parameters(), config.ema, foreach=True)
        self.losses: list[float] = []

    @property
    def step(self) -> int:
        return len(self.losses)

    def save(self, path: Path) -> None:
        stored = {name: getattr(self, name).state_dict() for name in self.STORED}
        file = io.BytesIO()
        torch.save(stored | {"losses": self.losses, "config": asdict(self.config)}, file)
        write_whole({path: file.getvalue()})

    def load(self, path: Path) -> None:
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            for name in self.STORED:
                getattr(self, name).load_state_dict(stored[name])
            self.losses, trained = stored["losses"], stored["config"]
        except Exception as error:  # of torch, zip or pickle: whatever a damaged file makes them raise
            raise InputError(f"{path} is damaged ({type(error).__name__}): delete it to start again.") from error
        self.ema.to(self.denoiser.unet.device)
        for key, value in asdict(self.config).items():
            if key != "steps" and trained.get(key) != value:
                raise InputError(
                    f"{path} was trained with {key} = {trained.get(key)}, not {value}: "
                    "continue with the same settings or choose another folder."
                )

    def loss(self, latent: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the predicted velocity at random timesteps, a function of (seed, step) alone."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        shifted = torch.randn(len(latent), generator=generator) + self.config.timestep_shift
        timestep = (1000 * torch.sigmoid(shifted)).long().clamp(0, 999).to(latent.device)
        noise = torch.randn(latent.shape, generator=generator).to(latent.device)
        predicted = self.denoiser(self.scheduler.add_noise(latent, noise, timestep), timestep, captions)
        return functional.mse_loss(predicted.float(), self.scheduler.get_velocity(latent, noise, timestep))

    def advance(self, latent: torch.Tensor, captions: torch.Tensor) -> None:
        """Take a step on crops of scenes and their captions."""
        device, draws = self.denoiser.unet.device, self.config.draws
        latent = latent.to(device).repeat(draws, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        captions = captions.to(device).repeat(draws, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = self.loss(latent, captions)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        if not torch.isfinite(norm):  # before the step, so that no checkpoint ever holds what it would do
            raise InputError(f"The gradient became {norm.item()} at step {self.step}: lower the learning rate.")
        self.optimizer.step()
        self.ema.step(self.denoiser.parameters())
        self.losses.append(loss.item())

    def publish(self, folder: Path) -> Path:
        """Export and calibrate; the folder is there whole, or as it was."""
        half = folder.parent / HALF
        part, former, place = half / "new", half / "former", Path(os.path.realpath(folder))
        try:
            for left in (part, former):
                shutil.rmtree(left, ignore_errors=True)
            self.export(part)
            calibrate(part)
            try:
                if place.exists():
                    place.rename(former)
                part.rename(place)
            finally:
                if former.exists() and not place.exists():
                    former.rename(place)
        except (OSError, SafetensorError) as error:
            raise cannot_write(folder, error) from error
        return folder

    def export(self, folder: Path) -> None:
        """Write the averaged weights in float16, diffusers format, the words, the settings and the curve."""
        denoiser = Denoiser()
        self.ema.copy_to(denoiser.parameters())
        denoiser.half().unet.save_pretrained(folder / "unet")
        save_file(dict(zip(WORDS, denoiser.words.weight[1:].clone(), strict=True)), folder / VOCABULARY)
        self.scheduler.save_pretrained(folder / "scheduler")
        block = max(self.step // 100, 1)
        curve = [round(float(np.mean(self.losses[i : i + block])), 5) for i in range(0, self.step, block)]
        record = {"training": asdict(self.config), "curve": {"steps_per_point": block, "loss": curve}}
        (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")


def train(
    folder: Path,
    config: TrainConfig = TrainConfig(),
    device: str = "cpu",
    workers: int = 1,
    save_every: float = 90.0,
    snapshots: int = 0,
) -> Path:
    """Train, or go on training, in `folder`; return the folder of the exported weights.

    Parameters
    ----------
    folder : Path
        Holds `checkpoint.pt` (everything needed to resume) and, at the end, `model/` in diffusers format.
    config : TrainConfig
    device : str
        A torch device. bfloat16 autocast is used on CUDA, float32 elsewhere.
    workers : int
        Processes that draw scenes ahead of time; 0 draws them in this process.
    save_every : float
        Seconds between checkpoints: the most that a kill can lose.
    snapshots : int
        Every so many steps the model of that moment is kept, as `step-N/`; 0 keeps none.

    Raises
    ------
    InputError
        If the folder holds a run with other settings or a damaged checkpoint, or the training diverges.
    """
    half, checkpoint = folder / HALF, folder / "checkpoint.pt"
    half.mkdir(parents=True, exist_ok=True)
    with ExitStack() as afterwards:
        afterwards.enter_context(alone_in(half, wait=False))
        afterwards.callback(shutil.rmtree, half, ignore_errors=True)
        state = _State(config, device)
        if checkpoint.exists():
            state.load(checkpoint)
        batches: Any = stream(range(state.step, config.steps), [Stage(partial(_drawer, config), workers)])
        afterwards.enter_context(closing(batches))
        bar = progress(total=config.steps, initial=state.step, desc="training", unit="step")
        afterwards.enter_context(bar)
        saved = time.monotonic()
        for batch in batches:
            state.advance(*map(torch.from_numpy, batch))
            if snapshots and state.step % snapshots == 0:
                state.publish(folder / f"step-{state.step}")
            bar.update()
            bar.set_postfix(loss=f"{np.mean(state.losses[-50:]):.4f}", refresh=False)
            if time.monotonic() - saved > save_every:
                state.save(checkpoint)
                saved = time.monotonic()
        state.save(checkpoint)
        return state.publish(folder / "model")


def calibrate(folder: Path) -> None:
    """Write `readout.json`: where to read attention, and what walk to make of it."""
    backbone = load_backbone(str(folder), "cpu")
    layers = {n: layer for n, layer in attention_layers(backbone).items() if n.startswith(LOOKING)}
    suits = SUITS | {"heads": {name: (1.0,) * head_count(backbone, layer) for name, layer in layers.items()}}
    (folder / READOUT).write_text(json.dumps(suits, indent=1) + "\n")
