"""Train the embedded denoiser: a small UNet that has only ever seen dead leaves.

It is diffusers' own `UNet2DConditionModel`, so that one extraction code serves it and Stable Diffusion. It predicts the
velocity v = sqrt(abar) noise - sqrt(1 - abar) latent (Salimans & Ho, ICLR 2022, appendix D) under Stable Diffusion's
noise schedule. Step `s` of seed `r` always sees the same scenes, noise and timesteps, so a run that was killed and
resumed draws the same curve as one that was not.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional
from tqdm import tqdm

from walkcut.attention import attend, self_attention_layers
from walkcut.backbone import load_backbone
from walkcut.errors import InputError
from walkcut.ncut import best_cut
from walkcut.scenes import make_scene
from walkcut.threshold import blank_ncut
from walkcut.walk import aggregate

UNET_CONFIG = dict(
    sample_size=64,
    in_channels=12,
    out_channels=12,
    block_out_channels=(96, 128),
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    # no attention in the last block: what is far must be fetched by the encoder, whose attention we read
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    mid_block_type=None,
    layers_per_block=1,
    transformer_layers_per_block=(2, 2),
    reverse_transformer_layers_per_block=(1, 1),
    attention_head_dim=2,  # diffusers' name for the number of heads: heads of 48 and 64 dimensions
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
SIDES = (20, 28, 36)  # patch grids seen in training; a batch holds one of them, at a constant number of patches
# Where to read attention: chosen on BSDS500 train and on scenes. The encoder's layers alone: they do the looking.
READOUT = {"timesteps": [10], "locality": 0.5, "sharpness": 1.5}
CALIBRATION_GRIDS = (32, 64)


@dataclass(frozen=True)
class TrainConfig:
    """What a training run depends on; stored beside its weights."""

    steps: int = 2200
    seed: int = 0
    patches: int = 8192  # per batch
    learning_rate: float = 5e-4
    warmup: int = 100
    decay: float = 0.25  # the last share of the steps, in which the rate falls linearly to 2%
    ema: float = 0.998
    timestep_shift: float = -0.3  # timesteps are 1000 * logistic(normal + shift)


def to_latent(image: torch.Tensor) -> torch.Tensor:
    """Pixels (b, 3, 2h, 2w) in [-1, 1] to an exactly invertible latent (b, 12, h, w): each patch is 2x2 pixels."""
    return functional.pixel_unshuffle(image, 2)


def make_batch(config: TrainConfig, step: int) -> torch.Tensor:
    """Latents (b, 12, side, side) float32 of step `step`: fresh scenes, cropped at random."""
    rng = np.random.default_rng([config.seed, step])
    side = int(rng.choice(SIDES))
    crops = []
    for index in range(max(config.patches // side**2, 1)):
        size = int(2 * side * rng.uniform(1, 1.75))
        image = make_scene([config.seed, step, index], size).image
        y, x = rng.integers(0, size - 2 * side + 1, 2)
        crop = image[y : y + 2 * side, x : x + 2 * side][:, :: rng.choice([-1, 1])]
        crops.append(crop.transpose(1, 0, 2) if rng.uniform() < 0.25 else crop)
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1  # (b, 3, 2 side, 2 side)
    return to_latent(pixels)


class _Batches(torch.utils.data.Dataset):
    """Batch `i` is the batch of step `first + i`."""

    def __init__(self, config: TrainConfig, first: int) -> None:
        self.config, self.first = config, first

    def __len__(self) -> int:
        return self.config.steps - self.first

    def __getitem__(self, index: int) -> torch.Tensor:
        return make_batch(self.config, self.first + index)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, a linear fall: the plateau does not depend on how many steps there are."""
    fall = (config.steps - step) / max(config.decay * config.steps, 1)
    return config.learning_rate * min((step + 1) / config.warmup, 1.0, max(fall, 0.02))


def velocity_loss(
    unet: UNet2DConditionModel, alphas: torch.Tensor, latent: torch.Tensor, config: TrainConfig, step: int
) -> torch.Tensor:
    """Mean squared error of the predicted velocity at random timesteps, a function of (seed, step) alone."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    normal = torch.randn(len(latent), generator=generator)
    timestep = (1000 * torch.sigmoid(normal + config.timestep_shift)).long().clamp(0, 999).to(latent.device)
    noise = torch.randn(latent.shape, generator=generator).to(latent.device)
    signal = alphas[timestep].sqrt()[:, None, None, None]
    sigma = (1 - alphas[timestep]).sqrt()[:, None, None, None]
    context = latent.new_zeros(len(latent), 1, unet.config.cross_attention_dim)
    predicted = unet(signal * latent + sigma * noise, timestep, encoder_hidden_states=context).sample
    return functional.mse_loss(predicted.float(), signal * noise - sigma * latent)


@dataclass
class _State:
    """Everything that a resumed run needs."""

    unet: UNet2DConditionModel
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
            unet = UNet2DConditionModel(**UNET_CONFIG)
        unet = unet.to(device, memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        return cls(unet, optimizer, {n: p.detach().clone() for n, p in unet.named_parameters()}, [])

    def save(self, path: Path, config: TrainConfig) -> None:
        tensors = {f"ema/{n}": t for n, t in self.ema.items()}
        for name, parameter in self.unet.named_parameters():
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
            before = json.loads(file.metadata()["config"])
            changed = [k for k, v in asdict(config).items() if k != "steps" and before.get(k) != v]
            if changed:
                key = changed[0]
                raise InputError(
                    f"{path} was trained with {key} = {before.get(key)}, not {getattr(config, key)}: "
                    "continue with the same settings or choose another folder."
                )
            self.losses = file.get_tensor("losses").tolist()
            keys = set(file.keys())
            for name, parameter in self.unet.named_parameters():
                parameter.data.copy_(file.get_tensor(f"weight/{name}"))
                self.ema[name].copy_(file.get_tensor(f"ema/{name}"))
                for key in ("step", "exp_avg", "exp_avg_sq"):
                    if f"adam/{key}/{name}" in keys:
                        value = file.get_tensor(f"adam/{key}/{name}")
                        self.optimizer.state[parameter][key] = value if key == "step" else value.to(parameter)

    def advance(self, latent: torch.Tensor, alphas: torch.Tensor, config: TrainConfig) -> None:
        device = alphas.device
        latent = latent.to(device).contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = velocity_loss(self.unet, alphas, latent, config, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        if not torch.isfinite(norm):  # before the step, so that no checkpoint ever holds what it would do
            raise InputError(f"The gradient became {norm.item()} at step {self.step}: lower the learning rate.")
        self.optimizer.step()
        keep = min(config.ema, (1 + self.step) / (10 + self.step))
        names, parameters = zip(*self.unet.named_parameters(), strict=True)
        torch._foreach_lerp_([self.ema[n] for n in names], [p.detach() for p in parameters], 1 - keep)
        self.losses.append(loss.item())


def train(
    folder: Path,
    config: TrainConfig = TrainConfig(),
    device: str = "cpu",
    workers: int = 1,
    save_every: float = 90.0,
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
        for latent in loader:
            state.advance(latent, alphas, config)
            bar.update()
            bar.set_postfix(loss=f"{np.mean(state.losses[-50:]):.4f}", refresh=False)
            if time.monotonic() - saved > save_every:
                state.save(checkpoint, config)
                saved = time.monotonic()
    state.save(checkpoint, config)
    part, model = folder / "model.part", folder / "model"
    shutil.rmtree(part, ignore_errors=True)
    calibrate(export(state, config, part))
    shutil.rmtree(model, ignore_errors=True)
    return part.rename(model)


def export(state: _State, config: TrainConfig, folder: Path) -> Path:
    """Write the averaged weights in float16, diffusers format, with the settings and the curve."""
    unet = UNet2DConditionModel(**UNET_CONFIG)
    unet.load_state_dict(state.ema)
    unet.half().save_pretrained(folder / "unet")
    DDIMScheduler(**SCHEDULER_CONFIG).save_pretrained(folder / "scheduler")
    block = max(len(state.losses) // 100, 1)
    curve = [round(float(np.mean(state.losses[i : i + block])), 5) for i in range(0, len(state.losses), block)]
    record = {"training": asdict(config), "curve": {"steps_per_point": block, "loss": curve}}
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    return folder


def calibrate(folder: Path, pictures: int = 8) -> Path:
    """Write `readout.json`: where to read attention, and the NCut that the model finds in white noise.

    Noise has no regions, so a cut that is no better than the best of its best cuts is no cut (`threshold.prune`).
    """
    backbone = replace(load_backbone(str(folder), "cpu"), sharpness=READOUT["sharpness"])
    layers = {n: layer for n, layer in self_attention_layers(backbone).items() if n.startswith("down_blocks")}
    heads = {name: (1.0,) * layer.heads for name, layer in layers.items()}
    ratios = []
    for grid in CALIBRATION_GRIDS:
        for seed in range(pictures):
            noise = np.random.default_rng([seed, grid]).integers(0, 256, (2 * grid, 2 * grid, 3), dtype=np.uint8)
            walk = aggregate(attend(backbone, noise, grid, READOUT["timesteps"], seed, heads))
            found = best_cut(walk.local(READOUT["locality"]).reversible()).ncut
            ratios.append(found / blank_ncut(walk.grid, READOUT["locality"]))
    record = {**READOUT, "heads": heads, "ceiling": round(min(ratios), 4)}
    (folder / "readout.json").write_text(json.dumps(record, indent=1) + "\n")
    return folder
