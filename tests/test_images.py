"""Reading, checking and resizing pictures. What is refused is in test_bad_input.py."""

import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps

from walkcut import segment
from walkcut.backbone import Backbone
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
    with pytest.raises(InputError, match=r"a height and a width, .* not \(0, 4\)"):
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


# ---------------------------------------------------------------------------------------------------------------------
# What people have


def quarters(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Four colours, so that no turned or mirrored one looks alike."""
    width, height = size
    picture = Image.new("RGB", size, (250, 250, 250))
    for box, colour in (((0, 0), (220, 30, 30)), ((width // 2, 0), (20, 160, 40)), ((0, height // 2), (30, 60, 200))):
        picture.paste(colour, (*box, box[0] + width // 2, box[1] + height // 2))
    return picture


def save_as(path: Path, picture: Image.Image, **options: object) -> Path:
    """By Pillow, or for HEIC by pillow-heif, which the process's Pillow is not told of."""
    if path.suffix == ".heic":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(picture).save(path, quality=-1, **options)
        return path
    lossless = {".webp": {"lossless": True}, ".avif": {"quality": 100, "subsampling": "4:4:4"}, ".jpg": {"quality": 95}}
    picture.save(path, **lossless.get(path.suffix, {}), **options)
    return path


def alike(found: np.ndarray, expected: np.ndarray, by: float = 12) -> bool:
    return found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= by


@pytest.mark.situation("formats")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif", ".heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_once(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save_as(tmp_path / f"a{suffix}", quarters((64, 32)), exif=exif.tobytes())
    turned = quarters((64, 32))
    turned.info["exif"] = exif.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(turned))
    found = read_image(path)
    assert image_size(path) == expected.shape[:2] == found.shape[:2]
    assert np.abs(found.astype(int) - expected)[::8, 4::8].mean() < 8


@pytest.mark.situation("formats")
@pytest.mark.parametrize("suffix", [".jpe", ".jfif", ".avif", ".heic", ".jp2", ".j2k", ".pnm", ".pbm", ".apng"])
def test_formats_people_have(tmp_path: Path, suffix: str) -> None:
    kinds = {".jpe": "JPEG", ".jfif": "JPEG", ".pnm": "PPM", ".pbm": "PPM", ".apng": "PNG", ".j2k": "JPEG2000"}
    options = {"format": kinds[suffix]} if suffix in kinds else {}
    picture = quarters().convert("1") if suffix == ".pbm" else quarters()
    path = save_as(tmp_path / f"a{suffix}", picture, **options)
    found = read_image(path)
    assert np.abs(found.astype(int) - np.asarray(picture.convert("RGB"))).mean() < 8


def deep(path: Path, values: np.ndarray) -> Path:
    cv2 = pytest.importorskip("cv2")
    assert cv2.imwrite(str(path), values)
    return path


def tiff(path: Path, values: np.ndarray, **options: object) -> Path:
    pytest.importorskip("tifffile").imwrite(path, values, **options)
    return path


RAMP = np.linspace(0, 255, 48).round().astype(np.uint8)[None].repeat(32, 0)
OPAQUE = np.full(RAMP.shape, 65535, np.uint16)
BLACK = Image.new("L", (48, 32))
ODD_FILES = {
    "16-bit-alpha.png": lambda path: deep(path, np.dstack([*[RAMP.astype(np.uint16) * 257] * 3, OPAQUE])),
    "16-bit-colour.png": lambda path: deep(path, np.dstack([RAMP.astype(np.uint16) * 257] * 3)),
    "big-endian-float.tif": lambda path: tiff(path, (RAMP / 255).astype(np.float32), byteorder=">"),
    "big-endian-16-bit.tif": lambda path: tiff(path, RAMP.astype(np.uint16) * 257, byteorder=">"),
    "big-endian-int16.tif": lambda path: tiff(path, (RAMP.astype(np.float32) * 128.5).astype(np.int16), byteorder=">"),
    "pages.tif": lambda path: tiff(path, np.stack([RAMP, 255 - RAMP]), photometric="minisblack"),
    "big.tif": lambda path: tiff(path, RAMP, bigtiff=True),
    "lab.tif": lambda path: Image.fromarray(np.dstack([RAMP, RAMP * 0, RAMP * 0]), "LAB").save(path),
    "cmyk.tif": lambda path: Image.merge("CMYK", [BLACK, BLACK, BLACK, Image.fromarray(255 - RAMP)]).save(path),
    "grey-alpha.png": lambda path: Image.fromarray(np.dstack([RAMP, RAMP * 0 + 255]), "LA").save(path),
    "animated.webp": lambda path: animated(path),
    "animated.png": lambda path: animated(path),
    "animated.avif": lambda path: animated(path),
    "animated.tif": lambda path: animated(path),
    "grey.jp2": lambda path: Image.fromarray(RAMP).save(path),
    "16-bit.jp2": lambda path: Image.fromarray(RAMP.astype(np.uint16) * 257).save(path),
}


def animated(path: Path) -> None:
    options = {".webp": {"lossless": True}, ".avif": {"quality": 100}}.get(path.suffix, {})
    frames = [Image.fromarray(grey).convert("RGB") for grey in (RAMP, 255 - RAMP)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


@pytest.mark.situation("formats")
@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("name", ODD_FILES)
def test_odd_kinds_of_files_show_the_same_ramp(tmp_path: Path, name: str) -> None:
    ODD_FILES[name](tmp_path / name)
    found = read_image(tmp_path / name)
    expected = RAMP // 2 if "int16" in name else RAMP  # half of what 16 bits hold without a sign
    assert alike(found, np.dstack([expected] * 3), 16 if "lab" in name else 3), found[0, ::8]


@pytest.mark.situation("formats")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL.*save it as JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL.*save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "not a picture"),
        (b"%PDF-1.7\n" + bytes(40), "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "damaged"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "is damaged, or a kind of AVIF"),
        (b"BMW is a car, and no picture", "is damaged"),
    ],
)
def test_what_is_not_read_is_told_by_its_kind(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=told) as refusal:
        read_image(tmp_path / "a.jpg")
    assert str(tmp_path / "a.jpg") in str(refusal.value)


@pytest.mark.situation("formats")
@pytest.mark.parametrize("values", [RAMP / 255, np.dstack([RAMP / np.float32(255)] * 3)])
def test_a_tiff_that_pillow_does_not_know_is_not_called_no_picture(tmp_path: Path, values: np.ndarray) -> None:
    tiff(tmp_path / "a.tif", values)
    with pytest.raises(InputError, match="is damaged, or a kind of TIFF that is not read"):
        read_image(tmp_path / "a.tif")


@pytest.mark.situation("formats")
def test_a_camera_s_raw_data_are_not_taken_for_their_preview(tmp_path: Path) -> None:
    tiff(tmp_path / "a.dng", RAMP, subfiletype=1)
    with pytest.raises(InputError, match=r"begins with a preview.*save it as JPEG"):
        read_image(tmp_path / "a.dng")


@pytest.mark.situation("formats")
def test_heic_without_its_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_as(tmp_path / "a.heic", quarters())
    before = dict(Image.OPEN)
    assert read_image(path).shape == (32, 48, 3)
    assert before == Image.OPEN, "the process's Pillow is as it was"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r"a\.heic is a HEIC picture.*pip install 'walkcut\[heic\]'"):
        read_image(path)


def photograph() -> Image.Image:
    noise = np.random.default_rng(0).integers(-20, 21, (400, 300, 3))
    return Image.fromarray((np.asarray(quarters((300, 400))) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.situation("formats")
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 3, 200])
def test_a_jpeg_that_ends_a_little_early_is_read(tmp_path: Path, mode: str, progressive: bool, lost: int) -> None:
    path = save(tmp_path / "a.jpg", photograph().convert(mode), progressive=progressive, quality=90)
    expected, whole = read_image(path).astype(int), path.read_bytes()
    path.write_bytes(whole[:-lost])
    switch = ImageFile.LOAD_TRUNCATED_IMAGES
    found = read_image(path)
    assert switch == ImageFile.LOAD_TRUNCATED_IMAGES
    if lost < 3:
        np.testing.assert_array_equal(found, expected)
    assert np.abs(found - expected)[:384].mean() < 3
    assert np.abs(found - expected)[384:].mean() < 25, "not a grey band"
    assert image_size(path) == (400, 300)


@pytest.mark.situation("formats")
def test_a_jpeg_that_is_grey_at_its_edge_is_not_taken_for_cut_off(tmp_path: Path) -> None:
    picture = photograph()
    framed = Image.new("RGB", (340, 440), (128, 128, 128))
    framed.paste(picture, (20, 20))
    for name, shown in (("framed.jpg", framed), ("blank.jpg", Image.new("RGB", (300, 400), (128, 128, 128)))):
        path = save(tmp_path / name, shown, quality=90)
        expected = read_image(path)
        path.write_bytes(path.read_bytes()[:-2])
        height = len(expected) * 19 // 20  # of the rest nobody can tell
        np.testing.assert_array_equal(read_image(path)[:height], expected[:height])


@pytest.mark.situation("formats")
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_that_lacks_more_is_refused_with_how_much(tmp_path: Path, share: float) -> None:
    path = save(tmp_path / "a.jpg", photograph(), quality=90)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"damaged \(its lowest \d+% are missing\)") as refusal:
        read_image(path)
    told = int(str(refusal.value).split("%")[0].rsplit(" ", 1)[1])
    assert abs(told / 100 - (1 - share)) < 0.1


@pytest.mark.situation("formats")
@pytest.mark.parametrize(("name", "lost"), [("a.png", 2), ("a.png", 12), ("a.gif", 1)])
def test_other_files_without_their_end_marker_are_read(tmp_path: Path, name: str, lost: int) -> None:
    path = save(tmp_path / name, photograph().quantize(16).convert("RGB"))
    expected, whole = read_image(path), path.read_bytes()
    path.write_bytes(whole[:-lost])
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.situation("formats")
@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp", ".tif", ".bmp", ".ppm", ".avif", ".jp2", ".heic"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_other_files_that_are_cut_off_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = save_as(tmp_path / f"a{suffix}", photograph())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=r"is damaged") as refusal:
        read_image(path)
    assert "\n" not in str(refusal.value)


ARRAYS = {
    ">u2": lambda: (PIXELS.astype(np.uint16) * 257).astype(">u2"),
    "<u2": lambda: (PIXELS.astype(np.uint16) * 257).astype("<u2"),
    ">f4": lambda: (PIXELS / 255).astype(">f4"),
    "float16": lambda: (PIXELS / 255).astype(np.float16),
    "long double": lambda: (PIXELS / np.longdouble(255)),
    "every second column": lambda: PIXELS.repeat(2, 1)[:, ::2],
    "columns first": lambda: np.asfortranarray(PIXELS),
    "read backwards": lambda: PIXELS[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda: read_only(PIXELS),
    "masked, nothing hidden": lambda: np.ma.masked_array(PIXELS, mask=False),
    "a tensor": lambda: torch.from_numpy(PIXELS.copy()),
    "a tensor with gradients": lambda: torch.from_numpy(PIXELS / 255).requires_grad_(),
    "a tensor of another layout": lambda: torch.from_numpy(PIXELS.transpose(2, 0, 1).copy()).permute(1, 2, 0),
}


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.setflags(write=False)
    return array


@pytest.mark.situation("formats")
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_odd_kinds(name: str) -> None:
    np.testing.assert_array_equal(check_image(ARRAYS[name]()), PIXELS)


@pytest.mark.situation("formats")
def test_truth_values_are_black_and_white_and_short_floats_of_a_tensor_are_floats() -> None:
    np.testing.assert_array_equal(check_image(np.array([[True, False]]))[:, :, 0], [[255, 0]])
    assert alike(check_image(torch.from_numpy(PIXELS / 255).bfloat16()), PIXELS, 1)


@pytest.mark.situation("formats")
@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.ma.masked_array(PIXELS, mask=PIXELS > 200), "6 values of the picture are masked: fill them"),
        (np.zeros((3, 40, 50), np.uint8), r"\(3, 40, 50\) has its channels first: move them last"),
        (torch.zeros(1, 40, 50), r"channels first"),
        (PIXELS.astype(object), "type object is ambiguous"),
        (PIXELS.astype(complex), "type complex128 is ambiguous"),
    ],
)
def test_arrays_that_would_be_read_wrongly_are_refused(array: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_image(array)


@pytest.mark.situation("formats")
@pytest.mark.parametrize(
    "kind", ["str", "Path", "open file", "bytes in memory", "RGB", "P", "CMYK", "LA", "1", "I;16", "YCbCr", "turned"]
)
def test_segment_takes_files_and_pillow_s_pictures(tmp_path: Path, tiny: Backbone, kind: str) -> None:
    path = save(tmp_path / "a.png", quarters())
    expected = np.asarray(quarters())
    if kind in ("str", "Path", "open file", "bytes in memory"):
        given = {"str": str, "Path": Path, "open file": Path.open, "bytes in memory": Path.read_bytes}[kind]
        picture = path.open("rb") if kind == "open file" else given(path)
        picture = io.BytesIO(picture) if kind == "bytes in memory" else picture
    elif kind == "I;16":
        picture = Image.fromarray(RAMP.astype(np.uint16) * 257)
        expected = np.dstack([RAMP] * 3)
    elif kind == "turned":
        picture = quarters()
        picture.getexif()[0x0112] = 6
        expected = np.asarray(quarters().transpose(Image.Transpose.ROTATE_270))
    else:
        picture = quarters().convert("L").convert(kind) if kind in ("LA", "1") else quarters().convert(kind)
        expected = np.asarray(picture.convert("RGB"))
    result = segment(picture, tiny, grid=8, threshold=0.5)
    assert alike(result.image, expected, 2)
    if kind == "open file":
        assert not picture.closed
        picture.close()


@pytest.mark.situation("formats")
def test_segment_of_a_name_that_is_none_says_so(tmp_path: Path, tiny: Backbone) -> None:
    with pytest.raises(InputError, match=r"There is no file .*a\.jpg"):
        segment(str(tmp_path / "a.jpg"), tiny)


# ---------------------------------------------------------------------------------------------------------------------
# Large ones


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says to be of this size."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\0"))]
    chunks = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.situation("large")
def test_a_telephone_s_108_megapixels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("RGB", (12_000, 9_000), (200, 100, 50)))
    assert image_size(path) == (9_000, 12_000)
    assert alike(read_image(path)[::100, ::100], np.full((16, 21, 3), [200, 100, 50]), 3)


@pytest.mark.situation("large")
@pytest.mark.parametrize("limit", [None, 1000])
def test_how_much_is_read_does_not_hang_on_pillow_s_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    path = save(tmp_path / "a.png", Image.new("1", (12_000, 9_000)))
    assert read_image(path).shape == (1536, 2048, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.situation("large")
@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
def test_a_decompression_bomb_is_refused_before_it_goes_off(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "a.png").write_bytes(bomb(width, height))
    with pytest.raises(InputError, match=r"more than 250 million pixels: reduce"):
        read_image(tmp_path / "a.png")


@pytest.mark.situation("large")
def test_too_little_memory_is_told_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", quarters())

    def short(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "thumbnail", short)
    with pytest.raises(InputError, match=r"a\.png needs more memory than there is: reduce the picture first"):
        read_image(path)


@pytest.mark.situation("large")
@pytest.mark.parametrize("size", [(40, 6000), (6000, 40), (30, 1200)])
def test_a_panorama_gets_a_grid_that_fits_its_shape(tiny: Backbone, size: tuple[int, int]) -> None:
    grid = tiny.grid(np.zeros((*size, 3), np.uint8), 64)
    assert min(grid) == 4
    assert max(grid) / min(grid) == pytest.approx(max(size) / min(size), rel=0.05)
    assert grid[0] * grid[1] <= 64 * 64


@pytest.mark.situation("large")
def test_a_gif_whose_frame_is_too_large_is_refused(tmp_path: Path) -> None:
    """Pillow itself asks about that one, in words of its own."""
    path = tmp_path / "a.gif"
    Image.new("P", (4, 4)).save(path)
    content = bytearray(path.read_bytes())
    frame = content.index(b"\x2c")
    content[frame + 5 : frame + 9] = b"\xff\xff\xff\xee"  # its sides
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.gif is too large \(.*\): reduce it first"):
        read_image(path)
