"""Data sets in tiny copies of their real layouts: labels, crops, missing and broken files, checks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_toys import make_bsds
from PIL import Image
from scipy.io import savemat

from walkcut import scenes
from walkcut.bench import datasets
from walkcut.bench.check import check
from walkcut.bench.config import DATASETS, RunConfig
from walkcut.bench.datasets import bsds500
from walkcut.bench.semantic import LABELS, LAYOUTS, PROTOCOLS, SEMANTIC, layout, square
from walkcut.bench.tasks import opened
from walkcut.errors import InputError
from walkcut.images import resize_image
from walkcut.pixels import nearest

COCO = LABELS / "coco-stuff-27.txt"
COCO_LAYOUTS = [("val2017", "annotation_val2017"), ("images/val2017", "annotations/val2017")]
GRADIENT = np.linspace(0, 255, 20 * 30).reshape(20, 30).astype(np.uint8)
PICTURE = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT[:, ::-1]], axis=2)
# The value of "wall", or of something, in each kind of label file
WALL = {"coco-stuff-27": 172, "cityscapes-27": 12, "ade20k-150": 1, "camvid-11": 1, "folder": 7}


def open_dataset(name: str, data: Path | None = None, **options: object) -> datasets.Dataset:
    return opened(RunConfig(dataset=name, data=data, **options))


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def coco_names(count: int) -> list[str]:
    return COCO.read_text().split()[:count]


def make(root: Path, name: str, count: int = 3, labels: np.ndarray | None = None, coco: int = 0) -> Path:
    """A tiny data set in its real layout, all its label maps alike."""
    labels = np.full((20, 30), WALL[name], np.uint8) if labels is None else labels
    picture = np.resize(PICTURE, (*labels.shape, 3))
    for i in range(count):
        if name == "coco-stuff-27":
            stem, (images, truths) = coco_names(count)[i], COCO_LAYOUTS[coco]
            files = f"{images}/{stem}.jpg", f"{truths}/{stem}.png"
        elif name == "cityscapes-27":
            stem, city = f"{('frankfurt', 'lindau')[i % 2]}_{i:06d}_000019", ("frankfurt", "lindau")[i % 2]
            files = f"leftImg8bit/val/{city}/{stem}_leftImg8bit.png", f"gtFine/val/{city}/{stem}_gtFine_labelIds.png"
        elif name == "camvid-11":
            stem = layout(name).listed[i]
            files = f"val/{stem}.png", f"valannot/{stem}.png"
        elif name == "folder":
            files = f"images/{i}.jpg", f"labels/{i}.png"
        else:
            files = f"images/validation/ADE_val_{i + 1:08d}.jpg", f"annotations/validation/ADE_val_{i + 1:08d}.png"
        save(root / files[0], picture)
        save(root / files[1], labels)
    return root


def only(root: Path, pattern: str) -> Path:
    """The first file below a folder that matches."""
    return sorted(root.rglob(pattern))[0]


def whole(monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> None:
    """Let a data set have `count` pictures, so that a tiny one is whole."""
    kind = replace(layout(name), pictures=count, listed=layout(name).listed[:count])
    monkeypatch.setitem(LAYOUTS, name, kind)


# ---------------------------------------------------------------------------------------------------------------------
# Labels


@pytest.mark.parametrize(
    ("name", "classes"), [("coco-stuff-27", 27), ("cityscapes-27", 27), ("ade20k-150", 150), ("camvid-11", 11)]
)
def test_every_class_has_a_name_and_some_value(name: str, classes: int) -> None:
    kind = layout(name)
    assert len(kind.classes) == len(set(kind.classes)) == classes
    assert set(kind.table[kind.table >= 0]) == set(range(classes))


@pytest.mark.parametrize("name", SEMANTIC)
def test_every_value_becomes_the_class_that_the_facts_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    facts = json.loads((LABELS / f"{name}.json").read_text())
    known = {**dict(enumerate(facts["values"])), **dict.fromkeys(facts["ignored"], -1)}
    values = np.resize(np.array(sorted(known), np.uint8), (16, 16))  # all of them, some twice
    monkeypatch.setitem(PROTOCOLS, "diffseg", (16, 16))
    data = open_dataset(name, make(tmp_path, name, 1, values), partial=True)
    (truth,) = data.load(data.names[0]).truths["classes"]
    assert truth.dtype == np.int32
    assert truth.tolist() == [[known[value] for value in row] for row in values.tolist()]
    for value in set(range(256)) - set(known):
        odd = values.copy()
        odd[3, 4] = value
        place = {"cityscapes-27": "*_labelIds.png", "camvid-11": "valannot/*.png"}.get(name, "*.png")
        save(only(tmp_path, place), odd)
        with pytest.raises(InputError, match=rf"\.png holds {value}, which no label"):
            data.load(data.names[0])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("coco-stuff-27", 0, "person-things"),
        ("coco-stuff-27", 2, "vehicle-things"),  # car
        ("coco-stuff-27", 16, "animal-things"),  # cat
        ("coco-stuff-27", 105, "sky-stuff"),  # clouds
        ("coco-stuff-27", 123, "plant-stuff"),  # grass
        ("coco-stuff-27", 154, "water-stuff"),  # sea
        ("coco-stuff-27", 181, "solid-stuff"),  # wood
        ("coco-stuff-27", 255, None),
        ("cityscapes-27", 6, None),  # ground
        ("cityscapes-27", 7, "road"),
        ("cityscapes-27", 23, "sky"),
        ("cityscapes-27", 29, "caravan"),
        ("cityscapes-27", 33, "bicycle"),
        ("ade20k-150", 0, None),
        ("ade20k-150", 1, "wall"),
        ("ade20k-150", 13, "person"),
        ("ade20k-150", 62, "bridge"),
        ("ade20k-150", 150, "flag"),
    ],
)
def test_values_mean_what_their_makers_say(name: str, value: int, expected: str | None) -> None:
    number = layout(name).table[value]
    assert (layout(name).classes[number] if number >= 0 else None) == expected
    assert number >= -1


def test_the_coco_list_has_each_of_its_pictures_once() -> None:
    names = layout("coco-stuff-27").listed
    assert len(set(names)) == len(names) == layout("coco-stuff-27").pictures == 2175
    assert all(len(name) == 12 and name.isdigit() for name in names)


# ---------------------------------------------------------------------------------------------------------------------
# Crop and resize


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5), (4, 8)])
def test_square_is_the_largest_centred_one(shape: tuple[int, int]) -> None:
    inside = square(np.stack(np.indices(shape), axis=2))
    side = min(shape)
    assert inside.shape == (side, side, 2)
    for axis in range(2):
        before = inside[..., axis].min()
        after = shape[axis] - 1 - inside[..., axis].max()
        assert after - before in (0, 1)


@pytest.mark.parametrize(("old", "new"), [(7, 3), (480, 128), (5, 12), (6, 6), (1024, 1), (640, 512)])
def test_nearest_takes_the_pixel_under_the_centre_of_each_cell(old: int, new: int) -> None:
    labels = np.arange(old * old, dtype=np.int32).reshape(old, old)
    pillow = Image.fromarray(labels).resize((new, new), Image.Resampling.NEAREST)
    assert np.array_equal(nearest(labels, (new, new)), np.asarray(pillow))
    wide = nearest(labels, (new, 2 * new))
    assert wide.shape == (new, 2 * new)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_square_is_cut_first_and_truth_and_picture_have_the_sides_of_the_protocol(
    tmp_path: Path, protocol: str
) -> None:
    labels = np.full((20, 30), 255, np.uint8)  # not labelled: the margins, which the crop removes, and one corner
    labels[:, 5:25] = 0
    labels[:10, 5:15] = 255
    data = open_dataset("coco-stuff-27", make(tmp_path, "coco-stuff-27", 1, labels), protocol=protocol, partial=True)
    item = data.load(data.names[0])
    size, score_size = PROTOCOLS[protocol]
    (truth,) = item.truths["classes"]
    expected = np.full((score_size, score_size), 9)
    expected[: score_size // 2, : score_size // 2] = -1
    assert np.array_equal(truth, expected)
    stored = np.asarray(Image.open(only(tmp_path, "*.jpg")))
    assert np.array_equal(item.image, resize_image(np.ascontiguousarray(stored[:, 5:25]), (size, size)))


def test_sides_are_part_of_what_a_row_depends_on(tmp_path: Path) -> None:
    make(tmp_path, "ade20k-150")
    configs = [
        open_dataset("ade20k-150", tmp_path, protocol=protocol, partial=True).config for protocol in (None, "diffcut")
    ]
    assert len({json.dumps(config) for config in configs}) == 2


def test_a_picture_is_read_as_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey ones are brought to colour; a turn in the metadata, which the label map does not have, is not made."""
    root = make(tmp_path, "ade20k-150", 2)
    grey, turned = sorted((root / "images/validation").iterdir())
    Image.fromarray(GRADIENT).save(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURE).save(turned, exif=exif)
    monkeypatch.setitem(PROTOCOLS, "diffseg", (20, 20))
    data = open_dataset("ade20k-150", root, partial=True)
    image = data.load(grey.stem).image
    assert np.array_equal(image, np.repeat(image[:, :, :1], 3, axis=2))
    assert np.array_equal(data.load(turned.stem).image, square(np.asarray(Image.open(turned))))


# ---------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize("coco", [0, 1])
def test_both_coco_layouts_and_nothing_but_the_list(tmp_path: Path, coco: int) -> None:
    root = make(tmp_path, "coco-stuff-27", coco=coco)
    images, truths = COCO_LAYOUTS[coco]
    save(root / images / "000000000001.jpg", PICTURE)  # not on the list, and without a label
    (root / truths / "notes.txt").write_text("Stray.")
    data = open_dataset("coco-stuff-27", root, partial=True)
    assert list(data.names) == coco_names(3)
    assert data.classes[9] == "person-things"
    assert set(np.unique(data.load(data.names[1]).truths["classes"][0])) == {data.classes.index("wall-stuff")}


def test_cityscapes_is_read_through_its_cities(tmp_path: Path) -> None:
    root = make(tmp_path, "cityscapes-27", 5)
    for ending in ("gtFine_color.png", "gtFine_instanceIds.png", "gtFine_labelTrainIds.png"):
        save(root / f"gtFine/val/lindau/lindau_000001_000019_{ending}", GRADIENT)
    (root / "leftImg8bit/val/lindau/._lindau_000001_000019_leftImg8bit.png").write_bytes(b"left by another system")
    data = open_dataset("cityscapes-27", root, partial=True)
    assert len(data.names) == 5
    assert data.names[0] == "frankfurt_000000_000019"
    (truth,) = data.load("lindau_000003_000019").truths["classes"]
    assert {data.classes[number] for number in np.unique(truth)} == {"wall"}


def test_ade_is_found_from_its_folder_or_the_one_above(tmp_path: Path) -> None:
    make(tmp_path / "ADEChallengeData2016", "ade20k-150", 4)
    inside, above = (
        open_dataset("ade20k-150", root, partial=True) for root in (tmp_path / "ADEChallengeData2016", tmp_path)
    )
    assert inside.names == above.names
    assert open_dataset("ade20k-150", tmp_path, every=3, partial=True).names == (
        "ADE_val_00000001",
        "ADE_val_00000004",
    )


@pytest.mark.parametrize("name", SEMANTIC)
def test_what_is_missing_is_told_with_its_number_and_where_it_is_obtained(tmp_path: Path, name: str) -> None:
    kind, root = layout(name), make(tmp_path, name)
    with pytest.raises(InputError, match=f"3 pictures were found where {kind.title} has {kind.pictures:,}") as caught:
        open_dataset(name, root)
    assert str(caught.value).endswith(kind.where)
    assert "https://" in kind.where or "http://" in kind.where
    lost = only(root / kind.truths[0], "*.png")
    lost.unlink()
    with pytest.raises(InputError, match=f"labels of 1 pictures are missing, first .*{lost.name}"):
        open_dataset(name, root, partial=True)
    shutil.rmtree(root / kind.truths[0])
    with pytest.raises(InputError, match=f"does not hold {kind.truths[0]}"):
        open_dataset(name, root, partial=True)
    shutil.rmtree(root / kind.images[0])
    with pytest.raises(InputError, match=f"does not hold {kind.images[0]}"):
        open_dataset(name, root, partial=True)
    (root / kind.images[0]).mkdir(parents=True)
    (root / kind.truths[0]).mkdir(parents=True)
    with pytest.raises(InputError, match="holds no picture"):
        open_dataset(name, root, partial=True)


@pytest.mark.parametrize("name", SEMANTIC)
def test_a_whole_data_set_opens_without_more_ado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make(tmp_path, name)
    whole(monkeypatch, name, 3)
    assert len(open_dataset(name, tmp_path).names) == 3


def test_the_first_missing_coco_picture_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "coco-stuff-27")
    whole(monkeypatch, "coco-stuff-27", 4)
    with pytest.raises(InputError, match=f"first lacking .*{coco_names(4)[3]}"):
        open_dataset("coco-stuff-27", tmp_path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_size(path: Path) -> None:
    save(path, np.asarray(Image.open(path))[:-1])


@pytest.mark.parametrize("pattern", ["*leftImg8bit.png", "*labelIds.png"])
@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (cut_short, "cannot be read"),
        (lambda path: path.write_bytes(b"nothing of an image"), "is not a"),
        (lambda path: path.write_bytes(b""), "is not a"),
        (other_size, "pixels but its truth"),
        (Path.unlink, "cannot be read"),
    ],
)
def test_a_broken_file_is_named_and_harms_no_other_picture(tmp_path: Path, pattern: str, harm, word: str) -> None:
    labels = np.random.default_rng(0).integers(7, 34, (20, 30), dtype=np.uint8)
    data = open_dataset("cityscapes-27", make(tmp_path, "cityscapes-27", labels=labels), partial=True)
    path = only(tmp_path, pattern)
    harm(path)
    with pytest.raises(InputError, match=word) as caught:
        data.load(data.names[0])
    assert path.name in str(caught.value)
    assert data.load(data.names[1]).image.shape == (512, 512, 3)


@pytest.mark.parametrize("odd", [np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint16), GRADIENT > 100])
def test_a_label_file_of_another_kind_is_refused(tmp_path: Path, odd: np.ndarray) -> None:
    data = open_dataset("ade20k-150", make(tmp_path, "ade20k-150"), partial=True)
    save(only(tmp_path, "*.png"), odd)
    with pytest.raises(InputError, match="no map of 8-bit labels"):
        data.load(data.names[0])


# ---------------------------------------------------------------------------------------------------------------------
# Scored whole


def test_camvid_and_a_folder_are_scored_whole(tmp_path: Path) -> None:
    for name in ("camvid-11", "folder"):
        data = open_dataset(name, make(tmp_path / name, name), partial=True)
        item = data.load(data.names[0])
        assert (item.image.shape, item.truths["classes"][0].shape) == ((20, 30, 3), (20, 30))
        assert set(data.config) >= {"labels"}
        assert "size" not in data.config


def test_a_folder_has_the_classes_that_are_found_or_named(tmp_path: Path) -> None:
    make(tmp_path, "folder")
    some = np.resize(np.array([3, 9, 200, 255], np.uint8), (20, 30))
    save(tmp_path / "labels" / "1.png", some)
    data = open_dataset("folder", tmp_path)
    assert (data.names, data.classes) == (("0", "1", "2"), ("3", "7", "9", "200"))
    places = {3: 0, 9: 2, 200: 3, 255: -1}
    assert data.load("1").truths["classes"][0].tolist() == [[places[v] for v in row] for row in some.tolist()]
    fewer = open_dataset("folder", tmp_path, ignore=(200, 255))
    assert fewer.classes == ("3", "7", "9")
    named = open_dataset("folder", tmp_path, classes=("a", "b", "c", "d"), ignore=(7, 200, 255))
    assert named.classes == ("a", "b", "c", "d")
    assert set(np.unique(named.load("0").truths["classes"][0])) == {-1}
    with pytest.raises(InputError, match=r"1.png holds 9, which no label of .* is: name it in --classes, or in --ign"):
        named.load("1")
    assert len({str(one.config) for one in (data, fewer, named)}) == 3


def test_a_folder_takes_any_pictures_and_palettes(tmp_path: Path) -> None:
    """Endings in any case, pictures turned as their file says, labels as this project writes them."""
    make(tmp_path, "folder", 1)
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    Image.fromarray(PICTURE).save(tmp_path / "images" / "t.JPG", "JPEG", exif=turned)
    Image.fromarray(PICTURE).save(tmp_path / "images" / "w.webp")
    labels = Image.fromarray(np.resize(np.arange(5, dtype=np.uint8), (30, 20)))
    labels.putpalette([255, 0, 0] * 256)
    labels.save(tmp_path / "labels" / "t.png")
    save(tmp_path / "labels" / "w.png", np.full((20, 30), 7, np.uint8))
    (tmp_path / "images" / "notes.txt").write_text("about")
    (tmp_path / "images" / ".hidden.jpg").write_text("")
    data = open_dataset("folder", tmp_path)
    assert (data.names, data.classes) == (("0", "t", "w"), ("0", "1", "2", "3", "4", "7"))
    assert data.load("t").image.shape == (30, 20, 3)


def test_what_a_folder_lacks_is_told(tmp_path: Path) -> None:
    make(tmp_path, "folder", 2)
    save(tmp_path / "labels" / "0.png", np.zeros((20, 30), np.uint16))
    data = open_dataset("folder", tmp_path)
    with pytest.raises(InputError, match=r"0.png is no map of 8-bit labels: save it as 8-bit grey, or with a palette"):
        data.load("0")
    save(tmp_path / "images" / "deep" / "1.png", PICTURE)
    save(tmp_path / "labels" / "deep" / "1.png", GRADIENT)
    with pytest.raises(InputError, match="have one name: rename one, and its labels"):
        open_dataset("folder", tmp_path)
    (tmp_path / "images" / "deep" / "1.png").unlink()
    (tmp_path / "labels" / "1.png").unlink()
    with pytest.raises(InputError, match=r"labels of 1 pictures are missing, first .*labels/1.png. Name the folder"):
        open_dataset("folder", tmp_path)


@pytest.mark.parametrize("name", ["camvid-11", "folder"])
def test_a_check_of_these_finds_them_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    whole(monkeypatch, "camvid-11", 2)
    report = check(name, make(tmp_path, name, 2))
    assert report.problems == []
    assert "pictures  2 of 2" in report.text


# ---------------------------------------------------------------------------------------------------------------------
# By name


def test_all_data_sets_open_by_name(tmp_path: Path) -> None:
    assert set(DATASETS) == {
        "scenes-seeds",
        "scenes-families",
        "bsds500-train",
        "bsds500-val",
        "bsds500-test",
        *SEMANTIC,
        "folder",
    }
    scenes = open_dataset("scenes-families", every=40)
    assert (scenes.name, scenes.names, scenes.classes) == ("scenes-families", ("0000", "0040", "0080"), ())
    assert scenes.load("0040").image.shape == (128, 128, 3)
    assert open_dataset("bsds500-test", make_bsds(tmp_path, "test")).name == "bsds500-test"
    assert open_dataset("bsds500-test", tmp_path, every=2, protocol=None).names == ("100", "300")


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("coco-stuff-27", {}, "coco-stuff-27 needs its files.*cocodataset"),
        ("bsds500-val", {}, "bsds500-val needs its files.*berkeley"),
        ("scenes-seeds", {"data": "there"}, "scenes-seeds has no option 'data': leave out --data"),
        ("scenes-seeds", {"protocol": "diffseg"}, "scenes-seeds has no option 'protocol': leave out --protocol"),
        ("bsds500-val", {"data": "there", "partial": True}, "bsds500-val has no option 'partial': leave out --partial"),
        ("bsds500-val", {"data": "there", "classes": ("sky",)}, "has classes of its own: leave out --classes"),
        ("camvid-11", {"data": "there", "ignore": (255,)}, "has classes of its own: leave out --classes and --ignore"),
        ("camvid-11", {"data": "there", "protocol": "diffcut"}, "by no other paper's protocol"),
        ("folder", {}, "folder needs its files.*images/ and labels/"),
        ("folder", {"data": "there", "classes": tuple("c" * 257)}, "256 classes apart, not 257"),
        ("ade20k-150", {"data": "there"}, "does not hold images/validation"),
    ],
)
def test_bad_choices_are_told_in_a_sentence(name: str, options: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        open_dataset(name, **options)


# ---------------------------------------------------------------------------------------------------------------------
# Check


def test_check_of_a_good_data_set_counts_pixels_and_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.full((20, 30), 12, np.uint8)  # wall
    labels[:5] = 3  # not labelled: a quarter
    make(tmp_path, "cityscapes-27", 4, labels)
    whole(monkeypatch, "cityscapes-27", 4)
    report = check("cityscapes-27", tmp_path)
    assert report.problems == []
    assert "pictures  4 of 4\ntruths    4 of 4\n" in report.text
    assert report.checksum in report.text
    assert report.text.endswith("No problem was found.")


def test_check_lists_problems_ten_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.full((20, 30), 151, np.uint8)
    root = make(tmp_path, "ade20k-150", 12, labels)
    whole(monkeypatch, "ade20k-150", 13)
    (root / "annotations/validation/ADE_val_00000012.png").unlink()
    cut_short(root / "images/validation/ADE_val_00000001.jpg")
    report = check("ade20k-150", root)
    assert len(report.problems) == 1 + 1 + 10 + 1  # the count, the picture, the values, the label that is missing
    assert report.problems[0].startswith("12 pictures were found where ADE20K-150 has 13")
    assert "ADE_val_00000001.jpg cannot be read" in report.problems[1]
    assert "ADE_val_00000002.png holds 151, which no label" in report.problems[2]
    assert "ADE_val_00000012.png is missing" in report.problems[-1]
    assert sum(line.startswith("- ") for line in report.text.splitlines()) == 11
    assert "- and 3 more." in report.text
    assert "sceneparsing.csail.mit.edu" in report.text


def test_the_checksum_is_that_of_the_contents_and_names_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "coco-stuff-27"
    whole(monkeypatch, name, 3)
    roots = [make(tmp_path / str(coco), name, coco=coco) for coco in (0, 1)]
    first, second = (check(name, root).checksum for root in roots)
    assert first == second
    save(roots[1] / "images/val2017/000000000001.jpg", PICTURE)  # not on the list
    assert check(name, roots[1]).checksum == first
    picture, label = only(roots[0], "*.jpg"), only(roots[0], "*.png")
    for path in (picture, label):
        before = path.read_bytes()
        path.write_bytes(before + b"\0")
        assert check(name, roots[0]).checksum != first
        path.write_bytes(before)
    assert check(name, roots[0]).checksum == first
    label.unlink()
    assert check(name, roots[0]).checksum != first


def test_the_checksum_can_be_made_by_hand(tmp_path: Path) -> None:
    from hashlib import sha256

    report = check("bsds500-val", make_bsds(tmp_path))
    files = [("pictures", path) for path in (tmp_path / "data/images/val").iterdir()]
    files += [("truth", path) for path in (tmp_path / "data/groundTruth/val").iterdir()]
    lines = sorted(f"{part}/{path.name}\t{sha256(path.read_bytes()).hexdigest()}\n" for part, path in files)
    assert report.checksum == sha256("".join(lines).encode()).hexdigest()


def test_check_of_bsds_tells_the_damage(tmp_path: Path) -> None:
    root = make_bsds(tmp_path)
    report = check("bsds500-val", root)
    assert report.problems == ["3 pictures were found where BSDS500 val has 100."]
    mat = root / "data/groundTruth/val/100.mat"
    cut_short(mat)
    other_size(root / "data/images/val/200.jpg")
    problems = check("bsds500-val", root).problems[1:]
    assert len(problems) == 2
    assert "100.mat holds no BSDS500 human segmentations" in problems[0]
    assert "200.jpg has 19x30 pixels but its truth" in problems[1]
    data = bsds500(root)
    for name in ("100", "200"):
        with pytest.raises(InputError, match=name):
            data.load(name)
    assert len(data.load("300").truths["human"]) == 2


def test_segments_that_are_not_numbered_from_1_are_told(tmp_path: Path) -> None:
    path = make_bsds(tmp_path) / "data/groundTruth/val/200.mat"
    cells = np.empty((1, 1), object)
    cells[0, 0] = {"Segmentation": np.repeat(np.array([0, 1], np.uint16), 10)[:, None] * np.ones((1, 30), np.uint16)}
    savemat(path, {"groundTruth": cells})
    (problem,) = check("bsds500-val", tmp_path).problems[1:]
    assert "200.mat" in problem


def test_check_refuses_what_has_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold val2017"):
        check("coco-stuff-27", tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# BSDS500 and scenes


def test_bsds_is_read_in_its_own_layout(tmp_path: Path) -> None:
    data = datasets.bsds500(make_bsds(tmp_path), "val")
    assert data.names == ("100", "200", "300")
    item = data.load("200")
    assert item.image.shape == (20, 30, 3)
    assert [len(np.unique(truth)) for truth in item.truths["human"]] == [2, 3]
    assert item.truths["human"][0].min() == 0
    assert datasets.bsds500(tmp_path / "data", "val", every=2).names == ("100", "300")


@pytest.mark.parametrize(
    ("lack", "word"),
    [
        ("data/images/val", "images"),
        ("data/groundTruth/val", "groundTruth"),
        ("data/groundTruth/val/200.mat", "200.mat"),
    ],
)
def test_bsds_tells_what_is_missing_and_where_it_is_found(tmp_path: Path, lack: str, word: str) -> None:
    make_bsds(tmp_path)
    (tmp_path / lack).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=word) as caught:
        datasets.bsds500(tmp_path, "val")
    assert datasets.BSDS_HOME in str(caught.value)


def test_bsds_refuses_a_damaged_truth(tmp_path: Path) -> None:
    data = datasets.bsds500(make_bsds(tmp_path), "val")
    (tmp_path / "data/groundTruth/val/100.mat").write_bytes(b"not MATLAB at all")
    with pytest.raises(InputError, match=r"100\.mat"):
        data.load("100")


def test_held_out_scenes_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(scenes, "make_scene", lambda *a, real=scenes.make_scene: (asked.append(a), real(*a))[1])
    seeds, families = datasets.held_out_scenes("seeds"), datasets.held_out_scenes("families")
    assert (len(seeds.names), len(families.names)) == (200, 100)
    first, again = seeds.load("0000"), seeds.load("0000")
    assert np.array_equal(first.image, again.image)
    assert first.image.shape == (128, 128, 3)
    assert not np.array_equal(first.image, seeds.load("0001").image)
    families.load("0000")
    assert asked[0][2:] == (scenes.TRAIN_SHAPES, scenes.TRAIN_TEXTURES)
    assert asked[-1][2:] == (scenes.HELD_OUT_SHAPES, scenes.HELD_OUT_TEXTURES)
    assert asked[0][0] != asked[-1][0]
    (instances,), (materials,) = first.truths["instances"], first.truths["materials"]
    pairs = np.unique(np.stack([instances.ravel(), materials.ravel()]), axis=1)
    assert pairs.shape[1] == instances.max() + 1  # each instance lies inside one material
