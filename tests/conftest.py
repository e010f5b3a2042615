"""What every test shares: no window opens, GPU tests are skipped, with the reason, where there is none; tiny models."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pytest
from devices import elsewhere  # noqa: F401 -- a fixture for all
from hypothesis import settings

if TYPE_CHECKING:
    from selenium import webdriver
    from transformers import CLIPTextConfig, CLIPTokenizer

    from walkcut.backbone import Backbone

matplotlib.use("agg")
settings.register_profile("unhurried", deadline=None)  # a busy machine fails no test
settings.load_profile("unhurried")
# processes that tests start find tests' modules also where Python adds no folder by itself
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell the report which tests are situations; skip those marked `gpu` on a machine without a CUDA device."""
    for item in items:
        if situation := item.get_closest_marker("situation"):
            item.user_properties.append(("situation", *situation.args))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # slow to import, so only when a test asks for it

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in diffusers format: a UNet of two levels that sees 2x2 pixels a patch, like the embedded one.

    Its weights are random, but queries equal keys and are enlarged: patches that look alike look at one another, so
    that the walk has something to cut. Tests of the method then need no trained weights.
    """
    import torch
    from diffusers import UNet2DConditionModel

    from walkcut.eyes.models import WEIGHTS

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=12,
            out_channels=12,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            mid_block_type=None,
            layers_per_block=1,
            attention_head_dim=2,
            cross_attention_dim=8,
            norm_num_groups=4,
        )
    with torch.no_grad():
        for name, module in unet.named_modules():
            if name.endswith("attn1"):
                module.to_q.weight.mul_(3)
                module.to_k.weight.copy_(module.to_q.weight)
    folder = tmp_path_factory.mktemp("tiny")
    unet.save_pretrained(folder / "unet")
    shutil.copytree(WEIGHTS / "dead-leaves" / "scheduler", folder / "scheduler")  # the noise of the embedded one
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> Backbone:
    """The backbone in `tiny_model`, on the CPU."""
    from walkcut.eyes.loading import load_backbone

    return load_backbone(str(tiny_model), "cpu")


@pytest.fixture(scope="session")
def embedded() -> Backbone:
    """The denoiser that comes with walkcut, on the CPU."""
    from walkcut.eyes.loading import load_backbone

    return load_backbone("dead-leaves", "cpu")


def make_tokenizer(folder: Path, tokens: int) -> CLIPTokenizer:
    """CLIP's tokenizer with the words "l", "o" and "lo"; its files are left in `folder`."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True)
    words = ["l", "o", "l</w>", "o</w>", "lo", "lo</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: rank for rank, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nl o\nl o</w>\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=tokens)


def make_text_config(width: int, tokens: int) -> CLIPTextConfig:
    """A text encoder of one layer for `make_tokenizer`'s eight words."""
    from transformers import CLIPTextConfig

    ends = {"bos_token_id": 6, "eos_token_id": 7, "pad_token_id": 7}
    sizes = {"hidden_size": width, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return CLIPTextConfig(vocab_size=8, max_position_embeddings=tokens, projection_dim=width, **sizes, **ends)


@pytest.fixture(scope="session")
def stable_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion in miniature, random weights: UNet, VAE (patches of 4 pixels), text encoder, tokenizer."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    folder = tmp_path_factory.mktemp("stable")
    width, tokens = 8, 7
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            attention_head_dim=2,
            cross_attention_dim=width,
            norm_num_groups=4,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=4,
            norm_num_groups=4,
        )
        encoder = CLIPTextModel(make_text_config(width, tokens))
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=make_tokenizer(folder / "words", tokens),
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


NODE = """
import socket, sys, time, types
import ray
taken = [socket.socket() for _ in range(3)]
for port, one in zip((6379, 8265, 10001), taken):  # Ray's usual ports: others may have them
    try:
        one.bind(("127.0.0.1", port))
    except OSError:
        continue
    one.listen()
from ray._private import node
node.time = types.SimpleNamespace(**vars(time) | {"monotonic": lambda: time.monotonic() / 20})
ray.init(num_cpus=4, include_dashboard=False, object_store_memory=10**8, log_to_driver=False, logging_level="error")
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()  # until nobody needs it
"""


@pytest.fixture(scope="session")
def ray_node() -> Iterator[dict[str, str]]:
    """A small Ray in a process of its own, started once: the environment of those who are to join it.

    On a busy machine Ray gives up after half a minute of waiting for itself. For the node its clock is slow, and where
    that does not help, it is asked again.
    """
    pytest.importorskip("ray")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    environment, pipe = os.environ | token, subprocess.PIPE
    for _ in range(3):
        node = subprocess.Popen([sys.executable, "-c", NODE], env=environment, stdin=pipe, stdout=pipe, text=True)
        if address := node.stdout.readline().strip():
            break
        node.wait()
    else:
        pytest.fail("Ray did not start")
    yield environment | {"RAY_ADDRESS": address}
    node.communicate()


@pytest.fixture(scope="session")
def two_halves() -> np.ndarray:
    """uint8 (24, 32, 3): dark blue on the left, orange on the right, a little noise."""
    image = np.where(np.arange(32)[None, :, None] < 16, [20, 30, 120], [240, 160, 30])
    noise = np.random.default_rng(0).integers(-6, 7, (24, 32, 3))
    return (image + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser without a window that can reach this machine alone. No Chromium is a skip; with CI set, a failure."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        reason = "needs Chromium and its driver: apt-get install chromium chromium-driver"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from selenium import webdriver  # where it is used

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--window-size=1280,1000",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(60)
    yield browser
    browser.quit()


class Output:
    """What a layer returned last, for one picture."""

    output = True

    def __init__(self, layer: str) -> None:
        self.layer = layer

    def begin(self, scene: object) -> list[str]:
        return [self.layer]

    def record(self, name: str, layer: object, hidden: Any, options: object) -> None:
        self.found = hidden

    def results(self) -> list[Any]:
        return [self.found]
