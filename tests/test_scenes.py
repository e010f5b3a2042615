"""Dead-leaves scenes: the picture and the truth belong together, and everything follows from the seed."""

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from walkcut import scenes, textures
from walkcut.errors import InputError
from walkcut.scenes import (
    HELD_OUT_SHAPES,
    HELD_OUT_TEXTURES,
    HUES,
    SHAPES,
    TEXTURE_WORDS,
    TEXTURES,
    TRAIN_SHAPES,
    TRAIN_TEXTURES,
    WORDS,
    colour_words,
    make_scene,
)

SEEDS = range(12)


@pytest.mark.parametrize("seed", [0, 7, [3, 1, 4]])
def test_the_same_seed_gives_the_same_scene(seed: int | list[int]) -> None:
    first, second = make_scene(seed, 48), make_scene(seed, 48)
    for name in ("image", "instances", "materials"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_other_seeds_give_other_scenes() -> None:
    assert len({make_scene(seed, 32).image.tobytes() for seed in SEEDS}) == len(SEEDS)


def test_a_scene_does_not_depend_on_what_was_drawn_before() -> None:
    before = make_scene(5, 48).image
    textures.tiles.cache_clear()
    for family in reversed(sorted(TEXTURES)):
        textures.tiles(family)
    np.testing.assert_array_equal(make_scene(5, 48).image, before)


def test_the_global_generator_is_left_alone() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - it is the global one that must not move
    make_scene(1, 32)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("size", [16, 33, 128])
def test_types_and_shapes(size: int) -> None:
    scene = make_scene(2, size)
    assert (scene.image.shape, scene.image.dtype) == ((size, size, 3), np.uint8)
    assert (scene.instances.shape, scene.instances.dtype) == ((size, size), np.int32)
    assert (scene.materials.shape, scene.materials.dtype) == ((size, size), np.int32)


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_have_no_gaps_and_instances_nest_in_materials(seed: int) -> None:
    scene = make_scene(seed, 64)
    for labels in (scene.instances, scene.materials):
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))
    pairs = np.unique(np.stack([scene.instances.ravel(), scene.materials.ravel()]), axis=1)
    assert pairs.shape[1] == scene.instances.max() + 1  # each instance meets one material only


def test_scenes_have_several_instances_and_some_share_a_material() -> None:
    drawn = [make_scene(seed, 64) for seed in SEEDS]
    counts = [(s.instances.max() + 1, s.materials.max() + 1) for s in drawn]
    assert np.mean([instances for instances, _ in counts]) > 5
    assert any(instances > materials > 1 for instances, materials in counts)


def test_the_picture_follows_the_truth() -> None:
    """Most of the variance of colour lies between instances, not inside them."""
    between = total = 0.0
    for seed in SEEDS:
        scene = make_scene(seed, 64)
        colour = scene.image.reshape(-1, 3).astype(float)
        owner = scene.instances.ravel()
        means = np.stack([np.bincount(owner, colour[:, c]) for c in range(3)], 1) / np.bincount(owner)[:, None]
        between += ((means[owner] - colour.mean(0)) ** 2).sum()
        total += ((colour - colour.mean(0)) ** 2).sum()
    assert between / total > 0.5


def test_families_are_named_and_held_out() -> None:
    assert set(HELD_OUT_SHAPES) | set(TRAIN_SHAPES) == set(SHAPES)
    assert set(HELD_OUT_TEXTURES) | set(TRAIN_TEXTURES) == set(TEXTURES)
    assert HELD_OUT_SHAPES
    assert HELD_OUT_TEXTURES
    assert not set(HELD_OUT_SHAPES) & set(TRAIN_SHAPES)
    assert not set(HELD_OUT_TEXTURES) & set(TRAIN_TEXTURES)


def test_a_scene_tells_the_words_of_what_is_to_be_seen() -> None:
    for seed in SEEDS:
        scene = make_scene(seed, 64, textures=("stripes", "flat"))
        assert len(scene.words) == scene.materials.max() + 1
        for words in scene.words:
            assert set(words) <= set(WORDS)
            assert words[-1] in ("striped", "plain")
            assert len(words) in (2, 3)
    assert {make_scene(seed, 64).horizon for seed in SEEDS} == {True, False}
    assert set(TEXTURE_WORDS) == set(TEXTURES)
    assert len(set(WORDS)) == len(WORDS)


@pytest.mark.parametrize(
    ("rgb", "words"),
    [
        ((1.0, 0.0, 0.0), ("red",)),
        ((0.3, 0.15, 0.0), ("dark", "brown")),
        ((1.0, 1.0, 0.0), ("bright", "yellow")),
        ((0.0, 0.5, 0.0), ("green",)),
        ((0.0, 0.9, 0.9), ("bright", "cyan")),
        ((0.2, 0.4, 0.9), ("blue",)),
        ((0.6, 0.1, 0.7), ("purple",)),
        ((1.0, 0.5, 0.7), ("pink",)),
        ((0.5, 0.5, 0.5), ("grey",)),
        ((1.0, 1.0, 1.0), ("bright", "grey")),
    ],
)
def test_colours_have_the_names_that_people_give_them(rgb: tuple[float, ...], words: tuple[str, ...]) -> None:
    assert colour_words(rgb2lab(rgb)) == words


def test_every_hue_has_a_name() -> None:
    angle = np.radians(np.arange(360))
    names = [colour_words(np.array([50, 40 * np.cos(a), 40 * np.sin(a)])) for a in angle]
    assert {name for (name,) in names} == set(HUES)
    assert sum(a != b for a, b in zip(names, names[1:] + names[:1], strict=True)) == len(HUES)  # each in one piece


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_draws(shape: str) -> None:
    scene = make_scene(4, 64, shapes=(shape,))
    assert scene.instances.max() >= 2
    assert scene.image.std() > 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_a_positive_closed_curve(shape: str) -> None:
    angle = np.linspace(0, 2 * np.pi, 2001)
    for seed in SEEDS:
        radius = SHAPES[shape](np.random.default_rng(seed), angle)
        assert np.isfinite(radius).all()
        assert radius.min() > 0
        assert radius[0] == pytest.approx(radius[-1])


@pytest.mark.parametrize("texture", TEXTURES)
def test_every_texture_draws(texture: str) -> None:
    scene = make_scene(4, 64, textures=(texture,))
    assert scene.instances.max() >= 2
    assert scene.image.std() > 1


@pytest.mark.parametrize("texture", TEXTURES)
def test_tiles_are_normalised_and_periodic(texture: str) -> None:
    tiles = textures.tiles(texture)
    assert tiles.shape == (textures.TILES_PER_FAMILY, textures.TILE, textures.TILE)
    assert np.abs(tiles.mean((1, 2))).max() < 0.1  # clipping at 3 moves it a little
    if texture != "flat":
        assert tiles.std((1, 2)) == pytest.approx(1, abs=0.1)
    for axis in (1, 2):
        inside = np.abs(np.diff(tiles, axis=axis)).max((1, 2))
        seam = np.abs(np.take(tiles, 0, axis) - np.take(tiles, -1, axis)).max(1)
        assert (seam <= inside).all()


def test_sizes_follow_the_inverse_cube_law() -> None:
    """Under the density r^-3 the number of radii beyond r falls as r^-2: half of them lie beyond a known radius."""
    size = 100
    for seed in SEEDS:
        radii = scenes._sizes(np.random.default_rng(seed), 100_000, size)
        assert radii.max() <= size / 2
        median = ((radii.min() ** -2.0 + (size / 2) ** -2.0) / 2) ** -0.5
        assert np.median(radii) == pytest.approx(median, rel=0.02)


def test_colours_agree_with_skimage() -> None:
    rng = np.random.default_rng(0)
    lab = np.stack([rng.uniform(20, 80, 500), rng.uniform(-15, 15, 500), rng.uniform(-15, 15, 500)], 1)
    np.testing.assert_allclose(scenes._lab_to_rgb(lab), lab2rgb(lab), atol=2e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 15}, "15 pixels.*16 to 1024"),
        ({"size": 1025}, "1025 pixels.*16 to 1024"),
        ({"shapes": ("blob", "heart")}, "'heart'.*ellipse"),
        ({"textures": ("fur",)}, "'fur'.*cloud"),
        ({"shapes": ()}, "No shape family"),
        ({"textures": ()}, "No texture family"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_scene(0, **arguments)
