"""The drawings of chapter 1 say what the network and the toy are."""

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from walkcut import load_backbone, sample
from walkcut.capture import attention_layers, head_count
from walkcut.recipe import resolve

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"
SVG = "{http://www.w3.org/2000/svg}"


def drawing(name: str) -> ElementTree.Element:
    return ElementTree.parse(STATIC / f"{name}.svg").getroot()


def group(root: ElementTree.Element, name: str) -> ElementTree.Element:
    (found,) = root.iterfind(f".//{SVG}g[@id='{name}']")
    return found


def words(element: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in element.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("block", "level"), [("down_blocks.0", 0), ("down_blocks.1", 1), ("up_blocks.0", 1), ("up_blocks.1", 0)]
)
def test_the_unet_is_drawn_as_it_is(block: str, level: int) -> None:
    backbone = load_backbone(device="cpu")
    h, w = sorted(backbone.grids(backbone.encode(sample("fig"), 32)).values(), reverse=True)[level]
    drawn = group(drawing("unet"), block)
    channels = backbone.denoiser.config.block_out_channels[level]
    assert words(drawn) == [f"{h} \u00d7 {w} patches", f"{channels} channels"]
    kinds = [rect.get("class") for rect in drawn.iter(f"{SVG}rect") if rect.get("class")]
    layers = [name for name in attention_layers(backbone) if name.startswith(block)]
    read = resolve("walkcut", backbone.eye, {}).heads
    attention = ["attention read" if name in read else "attention" for name in layers]
    assert [kind for kind in kinds if kind.startswith("attention")] == attention
    assert kinds.count("convolution") == len(backbone.denoiser.get_submodule(block).resnets)


def test_the_unet_has_that_many_channels_and_heads() -> None:
    backbone = load_backbone(device="cpu")
    heads = {head_count(backbone, layer) for layer in attention_layers(backbone).values()}
    text = " ".join(words(drawing("unet")))
    assert heads == {2}
    assert "2 heads each" in text
    assert text.count(f"{backbone.denoiser.config.in_channels} channels") == 2


def test_the_row_is_drawn_as_the_toy_has_it() -> None:
    kinds = ["sea", "sand", "sea", "sea", "sand"]
    keys = np.array([[kind == "sea", kind == "sand"] for kind in kinds], int)
    scores = np.sqrt(2) * np.log(3) * keys @ keys[0] / np.sqrt(2)
    exponentials = np.exp(scores).round(9)
    root = drawing("head")
    assert words(root)[1:6] == kinds
    assert words(group(root, "keys")) == [f"({a}, {b})" for a, b in keys]
    assert words(group(root, "scores")) == ["ln 3" if score else "0" for score in scores]
    assert words(group(root, "exponentials")) == [f"{value:g}" for value in exponentials]
    assert f"sum {exponentials.sum():g}" in words(root)
    row = [Fraction(text) for text in words(group(root, "row"))]
    np.testing.assert_allclose([float(share) for share in row], exponentials / exponentials.sum())
    sea, sand = sum(row[n] for n in (0, 2, 3)), row[1] + row[4]
    assert f"{sea} of sea and {sand} of sand" in words(root)
