"""The embedded eye's encoder, written out: the part of its UNet whose attention is read, from the noisy latent down.

A UNet (Ronneberger et al. 2015) that removes noise has three kinds of layers. *Convolutions* look at a patch and its
neighbours, in residual blocks that are also told the timestep; *self-attention* looks at all patches, *cross-attention*
at the words of a prompt; a *feed-forward* layer looks at the patch alone. From level to level the grid is halved. The
way back up, which the walk does not need, is left out, and so is what only training needs.

Modules bear the names that diffusers gives them, so that its files of weights fit and a hook finds "attn1" and "attn2".
Hidden states agree with those of diffusers to 1e-5.

Shapes: b pictures of c channels on a grid of h x w patches, in transformers n = h * w patches in a row; the words of a
prompt are (b, tokens, width).
"""

import json
import math
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

# Settings that change what a UNet computes, at the values that are written out here
PLAIN: dict[str, object] = {"act_fn": "silu", "attention_type": "default", "conv_in_kernel": 3, "flip_sin_to_cos": True}
PLAIN |= {"layers_per_block": 1, "resnet_time_scale_shift": "default", "time_embedding_type": "positional"}
PLAIN |= dict.fromkeys(["downsample_padding", "mid_block_scale_factor", "resnet_out_scale_factor"], 1)
PLAIN |= dict.fromkeys(["addition_embed_type", "center_input_sample", "class_embed_type", "cross_attention_norm"])
PLAIN |= dict.fromkeys(["dual_cross_attention", "encoder_hid_dim_type", "freq_shift", "num_class_embeds"])
PLAIN |= dict.fromkeys(["only_cross_attention", "resnet_skip_time_act", "time_cond_proj_dim", "time_embedding_act_fn"])
PLAIN |= dict.fromkeys(["time_embedding_dim", "timestep_post_act", "use_linear_projection"])


def named(**layers: nn.Module) -> nn.Sequential:
    """Layers in a row, each with its name."""
    return nn.Sequential(OrderedDict(layers))


def waves(steps: Tensor, count: int) -> Tensor:
    """Timesteps (b,) as waves of many lengths, float32 (b, 2 count), as Transformers tell places in a sentence.

    Vaswani et al. (2017), section 3.5.
    """
    places = torch.arange(count, device=steps.device, dtype=torch.float32)
    angles = steps[:, None].float() * torch.exp(-math.log(10000) * places / count)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResnetBlock(nn.Module):
    """Two convolutions, added to what entered; between them the timestep shifts every channel.

    Ho et al. (2020), appendix B, after He et al. (2016).
    """

    def __init__(self, enter: int, leave: int, time: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, enter, eps), nn.GroupNorm(groups, leave, eps)
        self.conv1, self.conv2 = nn.Conv2d(enter, leave, 3, padding=1), nn.Conv2d(leave, leave, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, leave)
        self.conv_shortcut = nn.Identity() if enter == leave else nn.Conv2d(enter, leave, 1)

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        """From (b, enter, h, w), and the embedded timestep (b, time), to (b, leave, h, w)."""
        inner = self.conv1(silu(self.norm1(hidden))) + self.time_emb_proj(silu(time))[:, :, None, None]
        return self.conv_shortcut(hidden) + self.conv2(silu(self.norm2(inner)))


class Attention(nn.Module):
    """Each patch fetches a mean of values V, with weights softmax(Q K^T / sqrt(d)), for every head of d channels.

    In self-attention the values are those of all patches, in cross-attention those of words. Vaswani et al. (2017),
    equation 1 and section 3.2.2.
    """

    norm_q = norm_k = None  # some models normalise queries and keys

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.to_q, self.to_k, self.to_v = (nn.Linear(c, channels, bias=False) for c in (channels, width, width))
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None) -> Tensor:
        """From patches (b, n, c), and words (b, tokens, width) in cross-attention, to (b, n, c)."""
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = self.to_q(hidden_states), self.to_k(seen), self.to_v(seen)
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in projected)  # (b, heads, n, d)
        return self.to_out(scaled_dot_product_attention(q, k, v, scale=self.scale).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """The inner half of a feed-forward layer: four times the channels, each opened or closed by a gate of its own.

    Shazeer (2020), section 2, on Vaswani et al. (2017), section 3.3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * 4 * channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """From (b, n, c) to (b, n, 4 c)."""
        value, gate = self.proj(hidden).chunk(2, dim=-1)
        return value * gelu(gate)


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward layer, each added to what entered it.

    Vaswani et al. (2017), section 3.1; with words as context, Rombach et al. (2022), section 3.3.
    """

    def __init__(self, channels: int, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1, self.attn2 = (Attention(channels, seen, heads) for seen in (channels, width))
        # the place in the middle is that of dropout, which only training needs
        self.ff = named(net=nn.Sequential(GEGLU(channels), nn.Identity(), nn.Linear(4 * channels, channels)))

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        """From patches (b, n, c), and words (b, tokens, width), to (b, n, c)."""
        hidden = hidden + self.attn1(self.norm1(hidden))
        hidden = hidden + self.attn2(self.norm2(hidden), encoder_hidden_states=context)
        return hidden + self.ff(self.norm3(hidden))


class Transformer(nn.Module):
    """Transformer blocks over the patches of a grid in a row, their result added to the grid (Rombach et al. 2022)."""

    def __init__(self, channels: int, width: int, heads: int, depth: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.transformer_blocks = nn.ModuleList(TransformerBlock(channels, width, heads) for _ in range(depth))

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        """From (b, c, h, w), and words (b, tokens, width), to (b, c, h, w)."""
        row = self.proj_in(self.norm(hidden)).flatten(2).mT.contiguous()  # (b, n, c)
        for block in self.transformer_blocks:
            row = block(row, context)
        return hidden + self.proj_out(row.mT.unflatten(2, hidden.shape[2:]))


class Level(nn.Module):
    """What happens on one grid: a residual block, transformer blocks behind it, then the way down to half the grid.

    The last level has no way down.
    """

    def __init__(self, settings: SimpleNamespace, place: int) -> None:
        super().__init__()
        channels, groups, eps = settings.block_out_channels, settings.norm_num_groups, settings.norm_eps
        before, leave, last = channels[max(place - 1, 0)], channels[place], place == len(channels) - 1
        # each is one number for all levels, or one for each; diffusers' dimension of a head is the number of heads
        shape = settings.cross_attention_dim, settings.attention_head_dim, settings.transformer_layers_per_block
        width, heads, depth = (each if isinstance(each, int) else each[place] for each in shape)
        self.resnets = nn.ModuleList([ResnetBlock(before, leave, 4 * channels[0], groups, eps)])
        self.attentions = nn.ModuleList([Transformer(leave, width, heads, depth, groups)])
        # a kernel of 3x3 in steps of 2
        self.downsamplers = nn.Sequential(nn.Identity() if last else named(conv=nn.Conv2d(leave, leave, 3, 2, 1)))

    def forward(self, hidden: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """From (b, c, h, w), the embedded timestep and the words to the next level's (b, c', h', w')."""
        return self.downsamplers(self.attentions[0](self.resnets[0](hidden, time), context))


class Encoder(nn.Module):
    """The way down of a UNet that has no middle.

    Parameters
    ----------
    config : dict
        Settings as diffusers writes them beside the weights of a `UNet2DConditionModel`.

    Attributes
    ----------
    config : SimpleNamespace
        The same, as attributes.

    Raises
    ------
    ValueError
        For a setting that is not written out here.
    """

    def __init__(self, config: dict) -> None:
        super().__init__()
        self.config = settings = SimpleNamespace(**config)
        kinds, c = settings.down_block_types, settings.block_out_channels[0]
        strange = [f"{key} = {config.get(key)!r}" for key, value in PLAIN.items() if (config.get(key) or None) != value]
        strange += {*kinds, settings.mid_block_type} - {"CrossAttnDownBlock2D", None}  # as diffusers calls a `Level`
        if strange:
            raise ValueError(f"{strange[0]} is not written out here")
        self.conv_in = nn.Conv2d(settings.in_channels, c, 3, padding=1)
        self.time_embedding = named(linear_1=nn.Linear(c, 4 * c), act=nn.SiLU(), linear_2=nn.Linear(4 * c, 4 * c))
        self.down_blocks = nn.ModuleList(Level(settings, place) for place in range(len(kinds)))

    def forward(self, sample: Tensor, timestep: float | Tensor, encoder_hidden_states: Tensor) -> Tensor:
        """The hidden state at the end of the way down.

        Parameters
        ----------
        sample : (b, in_channels, h, w)
            Noisy latents.
        timestep : number or Tensor (b,)
            How noisy, 0 to 999.
        encoder_hidden_states : (b, tokens, cross_attention_dim)
            What cross-attention sees: the prompt.

        Returns
        -------
        (b, c, h', w'), on the coarsest grid
        """
        steps = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        time = self.time_embedding(waves(steps, self.conv_in.out_channels // 2).to(sample.dtype))
        hidden = self.conv_in(sample)
        for level in self.down_blocks:
            hidden = level(hidden, time, encoder_hidden_states)
        return hidden


def load(folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encoder:
    """The encoder in a model's folder, for use alone; the weights of the way up stay unread.

    Parameters
    ----------
    folder : Path
        With `unet/config.json` and `unet/*.safetensors`, as diffusers writes them.
    device, dtype
        Where and in what the encoder computes.

    Raises
    ------
    ValueError
        For a setting that is not written out here, or a file that is not JSON.
    KeyError
        For a weight that is missing, by its name.
    RuntimeError
        For a weight of another shape.
    OSError, SafetensorError
        For files that cannot be read.
    """
    with torch.device("meta"):  # nothing is drawn at random only to be overwritten
        encoder = Encoder(json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8")))
    files = [safe_open(path, framework="pt") for path in sorted((folder / "unet").glob("*.safetensors"))]
    holder = {name: file for file in files for name in file.keys()}  # noqa: SIM118
    encoder.load_state_dict({name: holder[name].get_tensor(name) for name in encoder.state_dict()}, assign=True)
    return encoder.to(device, dtype).eval().requires_grad_(False)
