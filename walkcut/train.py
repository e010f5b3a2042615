"""Train the embedded denoiser: a small UNet that has only ever seen dead leaves.

It is diffusers' own `UNet2DConditionModel`, so that one extraction code serves it and Stable Diffusion. Its captions
are words for what a scene shows (`walkcut.scenes.WORDS`), each a learnt vector that cross-attention reads. It predicts
the velocity v = sqrt(abar) noise - sqrt(1 - abar) latent (Salimans & Ho, ICLR 2022, appendix D) under Stable
Diffusion's noise schedule. Step `s` of seed `r` always sees the same scenes, noise and timesteps, so a run that was
killed and resumed draws the same curve as one that was not.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional
from tqdm import tqdm

from walkcut.backbone import Backbone
from walkcut.capture import MeanAttention, attention_layers, capture
from walkcut.criteria import blank_ncut
from walkcut.errors import InputError
from walkcut.eyes.embedded import VOCABULARY
from walkcut.eyes.loading import load_backbone
from walkcut.eyes.models import READOUT
from walkcut.ncut import best_cut
from walkcut.recipe import Recipe, resolve
from walkcut.scenes import WORDS, Scene, make_scene
from walkcut.segmentation import WalkRecord

UNET_CONFIG = dict(
    sample_size=64,
    in_channels=12,
    out_channels=12,
    block_out_channels=(128, 160),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    # no attention in the last block: what is far must be fetched by the encoder, whose attention we read
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    mid_block_type=None,
    layers_per_block=1,
    transformer_layers_per_block=(4, 2),
    reverse_transformer_layers_per_block=(1, 1),
    attention_head_dim=2,  # diffusers' name for the number of heads: heads of 64 and 80 dimensions
    cross_attention_dim=32,
    norm_num_groups=16,
)
SCHEDULER_CONFIG = dict(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    prediction_type="v_prediction",
    clip_sample=False,
    steps_offset=1,
    set_alpha_to_one=False,
)
TOKENS = 12  # of a caption; what is left over is empty
# Where to read attention, chosen on BSDS500 train: not in the last layers of the fine level, which prepare what comes
# after them.
LOOKING = (
    "down_blocks.0.attentions.0.transformer_blocks.0",
    "down_blocks.0.attentions.0.transformer_blocks.1",
    "down_blocks.1",
)
SUITS = {"timesteps": [10], "jump_chain": True, "inflation": 2.0, "spatial_prior": 0.35}
CALIBRATION_GRIDS, CALIBRATION_PICTURES = (32, 64), 50  # of noise on each grid


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


def to_latent(image: torch.Tensor) -> torch.Tensor:
    """Pixels (b, 3, 2h, 2w) in [-1, 1] to an exactly invertible latent (b, 12, h, w): each patch is 2x2 pixels."""
    return functional.pixel_unshuffle(image, 2)


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
    return to_latent(pixels), torch.from_numpy(np.stack(captions))


def caption(rng: np.random.Generator, scene: Scene, window: tuple[slice, slice]) -> np.ndarray:
    """int64 (TOKENS,): words of what is to be seen in a window, some left out, in random order, zeros behind."""
    words = {word for kind in np.unique(scene.materials[window]) for word in scene.words[kind]}
    words |= {"horizon"} if scene.horizon else set()
    numbers = np.array(sorted(1 + WORDS.index(word) for word in words))
    chosen = rng.permutation(numbers)[: rng.integers(1, TOKENS)]
    return np.pad(chosen, (0, TOKENS - len(chosen)))


class _Batches(torch.utils.data.Dataset):
    """Batch `i` is the batch of step `first + i`."""

    def __init__(self, config: TrainConfig, first: int) -> None:
        self.config, self.first = config, first

    def __len__(self) -> int:
        return self.config.steps - self.first

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return make_batch(self.config, self.first + index)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, a linear fall: the plateau does not depend on how many steps there are."""
    fall = (config.steps - step) / max(config.decay * config.steps, 1)
    return config.learning_rate * min((step + 1) / config.warmup, 1.0, max(fall, 0.02))


class Denoiser(torch.nn.Module):
    """The UNet, and a vector for each word; the vector of no word is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**UNET_CONFIG)
        vectors = 0.1 * torch.randn(1 + len(WORDS), self.unet.config.cross_attention_dim)
        vectors[0] = 0
        self.words = torch.nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        return self.unet(noisy, timestep, encoder_hidden_states=self.words(captions)).sample


def velocity_loss(
    denoiser: Denoiser,
    alphas: torch.Tensor,
    latent: torch.Tensor,
    captions: torch.Tensor,
    config: TrainConfig,
    step: int,
) -> torch.Tensor:
    """Mean squared error of the predicted velocity at random timesteps, a function of (seed, step) alone."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    normal = torch.randn(len(latent), generator=generator)
    timestep = (1000 * torch.sigmoid(normal + config.timestep_shift)).long().clamp(0, 999).to(latent.device)
    noise = torch.randn(latent.shape, generator=generator).to(latent.device)
    signal = alphas[timestep].sqrt()[:, None, None, None]
    sigma = (1 - alphas[timestep]).sqrt()[:, None, None, None]
    predicted = denoiser(signal * latent + sigma * noise, timestep, captions)
    return functional.mse_loss(predicted.float(), signal * noise - sigma * latent)


@dataclass
class _State:
    """Everything that a resumed run needs."""

    denoiser: Denoiser
    optimizer: torch.optim.AdamW
    ema: dict[str, torch.Tensor]
    losses: list[float]

    @property
    def step(self) -> int:
        return len(self.losses)

    @classmethod
    def new(cls, config: TrainConfig, device: torch.device) -> _State:
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            denoiser = Denoiser()
        denoiser = denoiser.to(device, memory_format=torch.channels_last).train()
        weights = denoiser.parameters()
        optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        ema = {n: p.detach().clone() for n, p in denoiser.named_parameters()}
        return cls(denoiser, optimizer, ema, [])

    def save(self, path: Path, config: TrainConfig) -> None:
        tensors = {f"ema/{n}": t for n, t in self.ema.items()}
        for name, parameter in self.denoiser.named_parameters():
            tensors[f"weight/{name}"] = parameter.detach()
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"adam/{key}/{name}": value for key, value in moments.items()}
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float32)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        part = path.with_suffix(".part")
        try:
            save_file(tensors, part, metadata={"config": json.dumps(asdict(config))})
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def load(self, path: Path, config: TrainConfig) -> None:
        with safe_open(path, "pt") as file:
            trained = json.loads(file.metadata()["config"])
            changed = [k for k, v in json.loads(json.dumps(asdict(config))).items() if trained.get(k) != v]
            if key := next((k for k in changed if k != "steps"), None):
                raise InputError(
                    f"{path} was trained with {key} = {trained.get(key)}, not {getattr(config, key)}: "
                    "continue with the same settings or choose another folder."
                )
            self.losses = file.get_tensor("losses").tolist()
            keys = set(file.keys())
            for name, parameter in self.denoiser.named_parameters():
                parameter.data.copy_(file.get_tensor(f"weight/{name}"))
                self.ema[name].copy_(file.get_tensor(f"ema/{name}"))
                for key in ("step", "exp_avg", "exp_avg_sq"):
                    if f"adam/{key}/{name}" in keys:
                        value = file.get_tensor(f"adam/{key}/{name}")
                        self.optimizer.state[parameter][key] = value if key == "step" else value.to(parameter)

    def advance(self, latent: torch.Tensor, captions: torch.Tensor, alphas: torch.Tensor, config: TrainConfig) -> None:
        device = alphas.device
        latent = latent.to(device).repeat(config.draws, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        captions = captions.to(device).repeat(config.draws, 1)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = velocity_loss(self.denoiser, alphas, latent, captions, config, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        if not torch.isfinite(norm):  # before the step, so that no checkpoint ever holds what it would do
            raise InputError(f"The gradient became {norm.item()} at step {self.step}: lower the learning rate.")
        self.optimizer.step()
        keep = min(config.ema, (1 + self.step) / (10 + self.step))
        names, parameters = zip(*self.denoiser.named_parameters(), strict=True)
        torch._foreach_lerp_([self.ema[n] for n in names], [p.detach() for p in parameters], 1 - keep)
        self.losses.append(loss.item())


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
        Holds `checkpoint.safetensors` (everything needed to resume) and, at the end, `model/` in diffusers format.
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
        If the folder holds a run with other settings or a damaged checkpoint, steps is not positive, or the training
        diverges.
    """
    if config.steps < 1:
        raise InputError(f"A training of {config.steps} steps is no training: choose at least 1.")
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.safetensors"
    state = _State.new(config, torch.device(device))
    if checkpoint.exists():
        try:
            state.load(checkpoint, config)
        except (SafetensorError, RuntimeError, TypeError, KeyError) as error:
            raise InputError(f"{checkpoint} is damaged ({error}): delete it to start again.") from error
    alphas = DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod.to(device)
    batches = _Batches(config, min(state.step, config.steps))
    ahead = 4 if workers else None
    loader = torch.utils.data.DataLoader(batches, batch_size=None, num_workers=workers, prefetch_factor=ahead)
    saved = time.monotonic()
    with tqdm(total=config.steps, initial=state.step, desc="training", unit="step", mininterval=5) as bar:
        for latent, captions in loader:
            state.advance(latent, captions, alphas, config)
            if snapshots and state.step % snapshots == 0:
                publish(state, config, folder / f"step-{state.step}")
            bar.update()
            bar.set_postfix(loss=f"{np.mean(state.losses[-50:]):.4f}", refresh=False)
            if time.monotonic() - saved > save_every:
                state.save(checkpoint, config)
                saved = time.monotonic()
    state.save(checkpoint, config)
    return publish(state, config, folder / "model")


def publish(state: _State, config: TrainConfig, folder: Path) -> Path:
    """Export and calibrate; the folder is there whole, or as it was."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    calibrate(export(state, config, part))
    shutil.rmtree(folder, ignore_errors=True)
    return part.rename(folder)


def export(state: _State, config: TrainConfig, folder: Path) -> Path:
    """Write the averaged weights in float16, diffusers format, the words, the settings and the curve."""
    denoiser = Denoiser()
    denoiser.load_state_dict(state.ema)
    denoiser.half().unet.save_pretrained(folder / "unet")
    save_file(dict(zip(WORDS, denoiser.words.weight[1:].clone(), strict=True)), folder / VOCABULARY)
    DDIMScheduler(**SCHEDULER_CONFIG).save_pretrained(folder / "scheduler")
    block = max(len(state.losses) // 100, 1)
    curve = [round(float(np.mean(state.losses[i : i + block])), 5) for i in range(0, len(state.losses), block)]
    record = {"training": asdict(config), "curve": {"steps_per_point": block, "loss": curve}}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    return folder


def calibrate(folder: Path) -> Path:
    """Write `readout.json`: where to read attention, and the NCut that the model finds in white noise.

    Noise has no regions, so a cut that is no better than the best cut of a hundred pictures of noise is no cut
    (`threshold.prune`). It is told as a share of the blank walk's NCut, which follows the grid and the prior.
    """
    backbone = load_backbone(str(folder), "cpu")
    layers = {n: layer for n, layer in attention_layers(backbone).items() if n.startswith(LOOKING)}
    suits = SUITS | {"heads": {name: (1.0,) * layer.heads for name, layer in layers.items()}}
    places = [(grid, seed) for grid in CALIBRATION_GRIDS for seed in range(CALIBRATION_PICTURES)]
    recipes = [resolve("walkcut", backbone.eye, suits | {"grid": grid, "seed": seed}) for grid, seed in places]
    shares = [noise_cut(backbone, recipe) for recipe in tqdm(recipes, desc="cutting noise", mininterval=5)]
    on = {"grids": CALIBRATION_GRIDS, "pictures": len(shares)}
    record = suits | {"noise_share": round(min(shares), 4), "calibrated_on": on}
    (folder / READOUT).write_text(json.dumps(record, indent=1) + "\n")
    return folder


def noise_cut(backbone: Backbone, recipe: Recipe) -> float:
    """NCut of the best cut of a picture of white noise, drawn from the recipe's seed, as a share of the blank walk's.

    With the smallest of many such shares as its `noise_share`, a recipe's criteria leave noise whole.
    """
    rng = np.random.default_rng([recipe.seed, recipe.grid])
    noise = rng.integers(0, 256, (2 * recipe.grid, 2 * recipe.grid, 3), dtype=np.uint8)
    ((attention,),) = capture(backbone, [noise], recipe, MeanAttention())
    record = WalkRecord.prepared(noise, attention, recipe)
    return best_cut(record.graph()).ncut / blank_ncut(record.walk.grid, recipe.spatial_prior)
