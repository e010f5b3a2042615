"""Reading, checking and resizing pictures. What is refused is in test_bad_input.py."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from walkcut.errors import InputError
from walkcut.images import check_image, resize_image
from walkcut.reading import image_size, read_image

# a 2x3 picture whose pixels tell where they are
PIXELS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [128, 128, 128], [255, 255, 255]]], np.uint8)


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.gif"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, name: str) -> None:
    read = read_image(save(tmp_path / name, Image.fromarray(PIXELS)))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, PIXELS)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(PIXELS), format="PNG")
    np.testing.assert_array_equal(read_image(path), PIXELS)


def test_one_pixel(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("RGB", (1, 1), (1, 2, 3)))
    assert read_image(path).tolist() == [[[1, 2, 3]]]


def test_greyscale_and_bilevel_become_three_equal_channels(tmp_path: Path) -> None:
    grey = np.array([[0, 7, 255]], np.uint8)
    read = read_image(save(tmp_path / "l.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(read, grey[:, :, None].repeat(3, 2))
    bilevel = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(read_image(save(tmp_path / "1.png", bilevel))[0, :, 0], [255, 0])


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    red = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [255, 0, 0, 51]]], np.uint8)
    read = read_image(save(tmp_path / "a.png", Image.fromarray(red)))
    assert read.tolist() == [[[255, 0, 0], [255, 255, 255], [255, 204, 204]]]


def test_grey_with_alpha(tmp_path: Path) -> None:
    picture = Image.merge("LA", [Image.new("L", (1, 1), 100), Image.new("L", (1, 1), 0)])
    assert read_image(save(tmp_path / "a.png", picture)).tolist() == [[[255, 255, 255]]]


def test_palette_with_and_without_a_transparent_entry(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    assert read_image(save(tmp_path / "a.png", picture)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    path = save(tmp_path / "b.png", picture, transparency=1)
    assert read_image(path).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    deep = np.array([[0, 257, 256 * 100, 65535]], np.uint16)
    read = read_image(save(tmp_path / name, Image.fromarray(deep)))
    np.testing.assert_array_equal(read[0, :, 0], [0, 1, 100, 255])


def test_float_tiff(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([[0, 0.2, 1]], np.float32)))
    np.testing.assert_array_equal(read_image(path)[0, :, 0], [0, 51, 255])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    np.testing.assert_allclose(read_image(save(tmp_path / "a.jpg", cyan))[4, 4], [0, 255, 255], atol=3)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert np.unique(read_image(path).reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, PIXELS), (3, PIXELS[::-1, ::-1]), (6, PIXELS[::-1].swapaxes(0, 1)), (8, PIXELS[:, ::-1].swapaxes(0, 1))],
)
def test_exif_orientation(tmp_path: Path, name: str, orientation: int, upright: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / name, Image.fromarray(PIXELS), exif=exif)
    np.testing.assert_array_equal(read_image(path), upright)
    assert image_size(path) == upright.shape[:2]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_large_picture_is_reduced_in_proportion(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, Image.new("RGB", (600, 300), (200, 100, 50)))
    read = read_image(path, max_side=100)
    assert read.shape == (50, 100, 3)
    np.testing.assert_allclose(read[25, 50], [200, 100, 50], atol=3)
    assert image_size(path) == (300, 600)


def test_100_megapixels_are_read_and_reduced(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("RGB", (10_000, 10_000), (200, 100, 50)))
    read = read_image(path)
    assert read.shape == (2048, 2048, 3)
    np.testing.assert_allclose(read[1000, 1000], [200, 100, 50], atol=3)


def test_damaged_metadata_does_not_spoil_the_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(PIXELS), exif=b"Exif\0\0this is no EXIF block")
    np.testing.assert_array_equal(read_image(path), PIXELS)
    assert image_size(path) == (2, 3)


def test_a_good_array_is_passed_on_without_a_copy() -> None:
    assert check_image(PIXELS) is PIXELS


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_grey_arrays(shape: tuple[int, ...]) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(check_image(grey), grey.reshape(2, 3, 1).repeat(3, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_arrays_are_scaled(dtype: type) -> None:
    np.testing.assert_array_equal(check_image((PIXELS / 255).astype(dtype)), PIXELS)


def test_uint16_arrays_are_scaled() -> None:
    np.testing.assert_array_equal(check_image(PIXELS.astype(np.uint16) * 257), PIXELS)


def test_float_array_with_alpha() -> None:
    assert check_image(np.array([[[0.0, 0.0, 0.0, 0.2]]])).tolist() == [[[204, 204, 204]]]


def test_resize_keeps_a_constant_and_the_order_of_axes() -> None:
    constant = np.full((7, 5, 3), 90, np.uint8)
    assert np.unique(resize_image(constant, (14, 3))).tolist() == [90]
    assert resize_image(constant, (14, 3)).shape == (14, 3, 3)
    assert resize_image(constant, (7, 5)) is constant


def test_resize_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(0)[:, :, None].repeat(3, 2) % 2 * 255
    small = resize_image(board.astype(np.uint8), (8, 8))
    assert np.abs(small.astype(int) - 127.5).max() < 10  # picking every eighth pixel would give all 0


def test_resize_refuses_nothing() -> None:
    with pytest.raises(InputError, match="0x4"):
        resize_image(PIXELS, (0, 4))


def test_readers_in_several_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    """They are shared by all threads; readers who entered and left by turns used to leave everything ignored."""
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (400, 400, 3), np.uint8)).save(paths[-1])
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read_image, paths * 20))
    assert warnings.filters == before
