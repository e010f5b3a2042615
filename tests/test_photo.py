"""A picture of the reader's own: every stage of the JavaScript against Python, then the page as a reader uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorers import axe_core, can_be_reached, faults, fits_every_screen, page
from PIL import ExifTags, Image
from test_equations import labels as equations

import walkcut
from walkcut.backbone import Backbone
from walkcut.bench.metrics import contingency
from walkcut.capture import capture
from walkcut.eyes.loading import load_backbone
from walkcut.images import resize_image
from walkcut.lab.recorders import QueriesAndKeys
from walkcut.ncut import best_cut
from walkcut.noise import views
from walkcut.reading import read_image
from walkcut.samples import sample, sample_credits, sample_names, sample_path
from walkcut.segmentation import Segmentation
from walkcut.widgets import photo
from walkcut.widgets.photo import GLOBAL, GRID, PARTS, SCRIPT, encoder, encoder_script, photo_explorer

FOLDER = Path(photo.__file__).parent / "photo"
SMALL = 16  # patches along the longer side, where every stage is looked at


def adjusted(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Adjusted Rand index: 1 for the same segments, 0 for what chance gives."""
    table = contingency(np.ravel(mine), np.ravel(theirs)).astype(float)
    pairs, rows, columns = ((counts * (counts - 1)).sum() / 2 for counts in (table, table.sum(1), table.sum(0)))
    expected = rows * columns / (table.sum() * (table.sum() - 1) / 2)
    return 1.0 if rows + columns == 2 * expected else (pairs - expected) / ((rows + columns) / 2 - expected)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("dead-leaves", "cpu")


# ---------------------------------------------------------------------------------------------------------------------
# What Python writes


def test_the_script_is_the_same_again_and_not_too_large() -> None:
    text = encoder_script()
    assert text == encoder_script()
    assert 5_000_000 < len(text) < 9_000_000
    assert text.startswith(f"globalThis.{GLOBAL} = {{")
    assert photo.version() in photo_explorer("beside.js").state["script"]
    assert len(photo_explorer().data) < 100_000, "the page itself stays light"


def test_of_the_weights_only_what_is_read_is_kept(backbone: Backbone) -> None:
    found = encoder(backbone)
    names = {name: (kind, count) for name, kind, _, count in found["tensors"]}
    assert [level["read"] for level in found["levels"]] == [[[1, 1], [1, 1], [0, 0], [0, 0]], [[1, 1], [1, 1]]]
    assert names["conv_in.weight"] == ("f2", 128 * 9 * 12)
    assert names["down_blocks.0.resnets.0.conv1.bias"] == ("f4", 128)
    last = "down_blocks.1.attentions.0.transformer_blocks.1"
    assert {name for name in names if name.startswith(last)} == {
        f"{last}.{part}" for part in ("norm1.weight", "norm1.bias", "attn1.to_q.weight", "attn1.to_k.weight")
    }
    assert not any("attn2" in name or "up_blocks" in name or "time_emb" in name for name in names)


def test_equations_named_in_the_modules_stand_in_the_book() -> None:
    text = "".join((FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)
    cited = set(re.findall(r"`(eq-[\w-]+)`", text))
    assert len(cited) > 15
    assert cited - set(equations()) == set()
    assert {path.stem for path in FOLDER.glob("*.js")} == set(PARTS)


# ---------------------------------------------------------------------------------------------------------------------
# Every stage, in the browser, with the page's own functions

PROBE = """<!doctype html><meta charset="utf-8"><script src="SCRIPT"></script><script>
const names = ["randn", "resize", "gridOf", "noisy", "attend", "aggregate", "prepared", "stationary", "reversible",
  "spatialNull", "bestCut", "partition", "needed", "splitPrices", "nullKeeps", "leavesAt", "labelsOf", "pixelsOf",
  "listener", "connectedParts", "withoutGaps", "unpacked", "products"];
const probe = new Function("self", `${GLOBAL.worker}; return { ${names} };`)({});
let encoder = null;
const picture = (height, width, pixels) => ({ height, width, pixels: Uint8ClampedArray.from(pixels) });
const floats = (array) => [...array];
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photo")
    (folder / SCRIPT).write_text(encoder_script(), encoding="utf-8")
    (folder / "probe.html").write_text(PROBE.replace("SCRIPT", SCRIPT).replace("GLOBAL", GLOBAL), encoding="utf-8")
    return folder


Ask = Callable[..., Any]


@pytest.fixture
def ask(chromium: object, folder: Path) -> Iterator[Ask]:
    """Run JavaScript where the modules' functions are at hand."""
    chromium.get((folder / "probe.html").as_uri())
    yield chromium.execute_script
    chromium.get("about:blank")


browser = pytest.mark.browser


@browser
@pytest.mark.parametrize(("count", "seed"), [(16, 0), (12 * 8 * 6, 0), (12 * 22 * 32, 7)])
def test_noise_is_torchs(ask: Ask, count: int, seed: int) -> None:
    found = ask("return floats(probe.randn(...arguments))", count, seed)
    generator = torch.Generator().manual_seed(seed)
    np.testing.assert_allclose(found, torch.randn(count, generator=generator), atol=1e-5)


@browser
@pytest.mark.parametrize(
    ("old", "new"),
    [((30, 41), (12, 16)), ((9, 7), (20, 14)), ((17, 16), (17, 8)), ((1, 5), (4, 4)), ((90, 20), (12, 6))],
)
def test_resized_bytes_are_pillows(ask: Ask, old: tuple[int, int], new: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*old, 3), np.uint8)
    found = ask(
        "return [...probe.resize(picture(...arguments), arguments[3]).pixels]", *old, image.ravel().tolist(), new
    )
    np.testing.assert_array_equal(np.reshape(found, (*new, 3)), resize_image(image, new))


@browser
def test_grids_are_pythons(ask: Ask, backbone: Backbone) -> None:
    """Halves are rounded to even numbers, and no side is less than two."""
    sizes = [(325, 481), (481, 320), (100, 100), (5, 100), (150, 64), (1, 1), (35, 64), (37, 64)]
    found = ask("return arguments[0].map(([h, w]) => probe.gridOf(h, w, 32))", sizes)
    assert found == [list(backbone.grid(np.zeros((*size, 3), np.uint8), 32)) for size in sizes]


@browser
def test_products_of_any_size(ask: Ask) -> None:
    rng = np.random.default_rng(0)
    for n, k, m in ((4, 3, 4), (5, 2, 7), (1, 1, 1), (8, 5, 3)):
        X, W = rng.normal(size=(n, k)), rng.normal(size=(m, k))
        found = ask("return floats(probe.products(...arguments))", X.ravel().tolist(), W.ravel().tolist(), n, k, m)
        np.testing.assert_allclose(np.reshape(found, (n, m)), X @ W.T, rtol=1e-5, atol=1e-6)


STAGES = """
const [height, width, pixels, longest] = arguments;
encoder ??= probe.unpacked(GLOBAL.encoder);
const grid = probe.gridOf(height, width, longest);
const [h, w] = grid;
const image = picture(height, width, pixels);
const latent = probe.noisy(probe.resize(image, [2 * h, 2 * w]), encoder.noise, encoder.seed);
const heads = [];
const means = probe.attend(latent, grid, encoder, () => {}, (name, head, A) => heads.push([name, floats(A)]));
const own = probe.aggregate(means);
const P = probe.prepared(own, grid, encoder.inflation, encoder.spatialPrior);
const W = probe.reversible(P, h * w);
const tree = probe.partition({ W, n: h * w });
const law = probe.stationary(own, h * w);
const flows = [(i, j) => law[i] * own[i * h * w + j], probe.spatialNull(own, grid, law)];
const prices = flows.map((flow) => probe.splitPrices(tree, flow));
const kept = probe.nullKeeps(tree, own, grid);
const patches = probe.labelsOf(tree, kept);
const labels = probe.pixelsOf(P, grid, patches, probe.listener(image, grid), [height, width]);
const parts = probe.connectedParts(labels, [height, width], Math.floor(labels.length / 512));
const finite = (values) => values.map((value) => value === Infinity ? null : value);
return { grid, latent: floats(latent), heads, P: floats(P), W: floats(W), law: floats(probe.stationary(P, h * w)),
  value: probe.bestCut({ W, n: h * w }).value, tree: { ...tree, order: [...tree.order], ncut: finite(tree.ncut) },
  needed: finite(probe.needed(tree)), at: [...probe.labelsOf(tree, probe.leavesAt(tree, 0.3))],
  prices: prices.map(finite), patches: [...patches], labels: [...probe.withoutGaps(labels)],
  parts: [...probe.withoutGaps(parts)] };
"""


@pytest.fixture(scope="module", params=["fig", "strip"])
def stages(
    request: pytest.FixtureRequest, chromium: object, folder: Path, backbone: Backbone
) -> tuple[dict, Segmentation]:
    """What the browser finds of a picture, and what Python does; of a strip that is two patches high, too."""
    image, grid = (sample("fig"), SMALL) if request.param == "fig" else (sample("hills")[100:140, :200], 6)
    chromium.get((folder / "probe.html").as_uri())
    found = chromium.execute_script(STAGES.replace("GLOBAL", GLOBAL), *image.shape[:2], image.ravel().tolist(), grid)
    return found, walkcut.segment(image, backbone, grid=grid, keep_walk=True)


def strays(mine: list[float], true: torch.Tensor) -> float:
    """Largest share of walkers, over all starts, that would have to move."""
    return float(abs(np.reshape(mine, true.shape) - true.double().numpy()).sum(1).max() / 2)


@browser
def test_the_denoiser_is_shown_the_same(stages: tuple[dict, Segmentation], backbone: Backbone) -> None:
    found, python = stages
    longest = max(found["grid"])
    ((latent, timestep),) = views(backbone, backbone.encode(python.image, longest), python.recipe)
    assert timestep == python.recipe.timesteps[0]
    np.testing.assert_allclose(np.reshape(found["latent"], (-1, 12)), latent[0].flatten(1).T, atol=1e-5)


@browser
def test_each_head_looks_where_it_does_in_python(stages: tuple[dict, Segmentation], backbone: Backbone) -> None:
    found, python = stages
    ((heads,),) = capture(backbone, [python.image], python.recipe, QueriesAndKeys())
    read = [A for name, A in found["heads"] if name in python.recipe.heads]
    assert len(read) == len(heads) == 8
    for mine, head in zip(read, heads, strict=True):
        assert strays(mine, torch.softmax(head.query @ head.key.T, 1)) < 1e-4


@browser
def test_the_walk_is_pythons(stages: tuple[dict, Segmentation]) -> None:
    found, python = stages
    assert tuple(found["grid"]) == python.walk.grid
    assert strays(found["P"], python.walk.P) < 1e-4
    np.testing.assert_allclose(found["law"], python.walk.stationary().law, rtol=1e-3, atol=1e-9)
    W = python.walk.reversible().W
    np.testing.assert_allclose(np.reshape(found["W"], W.shape), W, atol=1e-3 * float(W.max()))


@browser
def test_splits_have_pythons_prices(stages: tuple[dict, Segmentation]) -> None:
    found, python = stages
    for mine, theirs in zip(found["prices"], (python.prices.walk, python.prices.null), strict=True):
        values = [np.inf if value is None else value for value in mine]
        np.testing.assert_allclose(values, theirs, atol=1e-4)


@browser
def test_the_tree_is_pythons(stages: tuple[dict, Segmentation]) -> None:
    found, python = stages
    assert found["value"] == pytest.approx(best_cut(python.walk.reversible(), 1e-8).eigenpair.value, abs=1e-5)
    mine, tree = found["tree"], python.tree
    for name in ("start", "stop", "left", "right"):
        np.testing.assert_array_equal(mine[name], getattr(tree, name))
    for name, theirs in (("volume", tree.volume), ("inside", tree.association)):
        np.testing.assert_allclose(mine[name], theirs, atol=1e-5)
    for name, theirs in (("ncut", tree.ncut), ("needed", tree.split_height())):
        values = mine["ncut"] if name == "ncut" else found["needed"]
        np.testing.assert_allclose([np.inf if x is None else x for x in (values)], theirs, atol=1e-4)
    assert adjusted(found["at"], tree.labels(0.3)) > 0.999


@browser
def test_segments_are_pythons(stages: tuple[dict, Segmentation]) -> None:
    found, python = stages
    np.testing.assert_array_equal(found["patches"], python.patch_labels.ravel())
    assert adjusted(found["labels"], python.labels) > 0.999
    assert adjusted(found["parts"], python.parts()) > 0.99


@browser
def test_a_walk_in_two_closed_rooms_has_a_law(ask: Ask) -> None:
    """The law of the walk that restarts anywhere, as in Python; and a patch without an edge is cut off for nothing."""
    P = np.kron(np.eye(2), np.full((2, 2), 0.5))
    law = ask("return floats(probe.stationary(arguments[0], 4))", P.ravel().tolist())
    np.testing.assert_allclose(law, np.full(4, 0.25), atol=1e-6)
    W = np.zeros((3, 3))
    W[0, 1] = W[1, 0] = 1
    cut = ask(
        "const { order, size, ncut } = probe.bestCut({ W: arguments[0], n: 3 }); return [...order, size, ncut]",
        W.ravel().tolist(),
    )
    assert cut == [2, 0, 1, 1, 0]


# ---------------------------------------------------------------------------------------------------------------------
# The page, read as a file, with no network


class Reader:
    """Somebody at the page."""

    def __init__(self, browser: object, address: str) -> None:
        self.browser = browser
        browser.get(address)
        self.place = browser.find_element("css selector", ".walkcut-widget")

    def told(self) -> dict:
        return json.loads(self.place.get_attribute("data-selected"))

    def find(self, selector: str) -> object:
        return self.browser.find_element("css selector", selector)

    def said(self) -> str:
        return self.find("[role=status]").text

    def until(self, *states: str, seconds: float = 60) -> dict:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, seconds, 0.05).until(lambda _: self.told()["state"] in states, self.said())
        return self.told()

    def button(self, text: str) -> object:
        return next(node for node in self.browser.find_elements("css selector", "button") if node.text.startswith(text))

    def sample(self, name: str) -> None:
        self.find(f'.samples button[aria-label="{sample_credits()[name]["title"]}"]').click()

    def give(self, path: Path) -> None:
        self.find("input[type=file]").send_keys(str(path))

    def settled(self, act: Callable[[], None]) -> dict:
        """After something that changes the segments."""
        from selenium.webdriver.support.ui import WebDriverWait

        before = self.place.get_attribute("data-selected")
        act()
        WebDriverWait(self.browser, 30, 0.02).until(lambda _: self.place.get_attribute("data-selected") != before)
        return self.told()

    def labels(self, name: str = "labels") -> np.ndarray:
        """What the page shows: segments of pixels, or of patches."""
        return np.array(
            self.browser.execute_script(f"return [...document.querySelector('.walkcut-photo').found.{name}]")
        )


@pytest.fixture
def reader(chromium: object, folder: Path) -> Iterator[Reader]:
    chromium.get("about:blank")
    chromium.get_log("browser"), chromium.get_log("performance")
    yield Reader(chromium, page(photo_explorer(), folder))
    chromium.get("about:blank")


@browser
def test_every_sample_is_cut_as_python_cuts_it(reader: Reader, backbone: Backbone) -> None:
    """At the pixels that the page shows, and nothing was asked of any other host."""
    for name in sample_names():
        reader.settled(lambda name=name: reader.sample(name))
        python = walkcut.segment(sample(name), backbone, grid=GRID)  # while the page computes
        found = reader.until("done", "fault")
        assert found["state"] == "done", found
        assert found["name"] == sample_credits()[name]["title"]
        assert found["segments"] == len(np.unique(python.patch_labels))
        assert adjusted(reader.labels("patches"), python.patch_labels) >= 0.98, name
        assert adjusted(reader.labels(), python.labels) >= 0.98, name
    asked = [json.loads(entry["message"])["message"] for entry in reader.browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith(("file:", "data:", "blob:")) for url in urls), urls
    assert [entry for entry in reader.browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@browser
def test_the_slider_prunes_the_tree(reader: Reader, backbone: Backbone) -> None:
    from selenium.webdriver.common.keys import Keys

    python = walkcut.segment(sample("dandelions"), backbone, grid=GRID)
    reader.sample("dandelions")
    first = reader.until("done")
    assert first["threshold"] is None
    assert f"stops at {first['segments']} segments" in reader.find(".facts").text
    slider = reader.find("input[type=range]")
    for keys in ([Keys.END], [Keys.ARROW_LEFT] * 3, [Keys.PAGE_DOWN] * 4):
        for key in keys:
            reader.settled(lambda key=key: slider.send_keys(key))
        found = reader.told()
        labels = python.tree.labels(found["threshold"])
        assert found["segments"] == labels.max() + 1
        assert adjusted(reader.labels("patches"), labels) > 0.98
        assert f"{found['threshold']:.3f}: {found['segments']} segment" in reader.find(".facts").text
        assert f"{found['segments']} segment" in slider.get_attribute("aria-valuetext")
    reader.settled(lambda: slider.send_keys(Keys.HOME))
    assert reader.told()["segments"] == 1
    reader.settled(reader.button("Where the criterion").click)
    assert reader.told()["segments"] == first["segments"]
    found = reader.settled(reader.button("Parts").click)
    assert found["count"] == python.parts().max() + 1
    assert f"{found['count']} parts" in reader.find(".facts").text
    pixels = "return document.querySelector('.result canvas').toDataURL()"
    seen = set()
    for view in ("segments in colours", "borders alone", "picture alone"):
        reader.button(view).click()
        assert reader.button(view).get_attribute("aria-pressed") == "true"
        assert view in reader.find(".result canvas").get_attribute("aria-label")
        seen.add(hash(reader.browser.execute_script(pixels)))
    assert len(seen) == 3


def saved(image: np.ndarray, path: Path, **options: object) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


@browser
def test_a_file_is_read_as_python_reads_it(reader: Reader, tmp_path: Path, backbone: Backbone) -> None:
    """Turned as its metadata ask; transparent, laid on white; larger than is looked at, reduced."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    small = sample("cat")[::2, ::2]
    clear = np.where(np.arange(small.shape[1]) < 90, 0, 255) * np.ones(small.shape[:2])
    grey = np.dstack([small[:, :, 1], clear]).astype(np.uint8)
    large = resize_image(sample("rocket"), (1600, 2400))
    paths = [
        saved(small, tmp_path / "turned.jpg", exif=turned, quality=95),
        saved(grey, tmp_path / "clear.png"),
        saved(large, tmp_path / "large.png", compress_level=1),
    ]
    for path in paths:
        reader.settled(lambda path=path: reader.give(path))
        image = read_image(path)
        python = walkcut.segment(image, backbone, grid=GRID)
        found = reader.until("done", "fault")
        assert found["state"] == "done", (path.name, found)
        assert (found["name"], found["size"]) == (path.name, list(image.shape[:2]))
        assert adjusted(reader.labels("patches"), python.patch_labels) >= 0.98, path.name


TICKS = """
window.ticks = 0; window.longest = 0; let last = performance.now();
window.ticking = setInterval(() => {
  const now = performance.now();
  window.longest = Math.max(window.longest, now - last);
  window.ticks += 1;
  last = now;
}, 10);
"""


@browser
def test_the_page_stays_awake_and_work_can_be_given_up(reader: Reader, tmp_path: Path) -> None:
    """A photograph of twelve million pixels; the focus goes from a button that vanishes to where a reader goes on."""
    path = saved(resize_image(sample("drum"), (4000, 3000)), tmp_path / "big.jpg", quality=70)
    reader.sample("fig")
    reader.until("done")  # what computes is loaded
    reader.browser.execute_script(TICKS)
    reader.settled(lambda: reader.give(path))
    found = reader.until("done")
    assert found["size"] == [2048, 1536]
    ticks, longest = reader.browser.execute_script(
        "clearInterval(window.ticking); return [window.ticks, window.longest]"
    )
    assert ticks > 20
    assert longest < 1000  # milliseconds

    reader.sample("dogs")
    reader.until("busy")
    reader.button("Cancel").click()
    assert reader.told()["state"] == "cancelled"
    assert "Cancelled" in reader.said()
    assert reader.browser.switch_to.active_element.get_attribute("type") == "file"
    assert not reader.find("progress").is_displayed()
    assert not reader.find(".result").is_displayed()
    reader.sample("fig")
    reader.sample("cat")  # the first one is given up
    assert reader.until("done")["name"] == sample_credits()["cat"]["title"]


DROP = """
const [kind, name, bytes] = arguments;
const data = new DataTransfer();
if (name) data.items.add(new File([Uint8Array.from(bytes)], name)); else data.setData("text/plain", "no file");
const event = kind === "drop"
  ? new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })
  : new ClipboardEvent(kind, { clipboardData: data, bubbles: true });
document.body.dispatchEvent(event);
return event.defaultPrevented;
"""


@browser
def test_what_is_dropped_is_taken_and_a_bad_file_gets_one_sentence(reader: Reader, backbone: Backbone) -> None:
    def drop(name: str, data: bytes = b"", kind: str = "drop") -> None:
        taken = reader.browser.execute_script(DROP, kind, name, list(data))
        assert taken or kind != "drop", "what misses the figure does not take the page's place"

    bad = {
        "words.jpg": b"no picture at all",
        "nothing.png": b"",
        "half.jpg": sample_path("fig").read_bytes()[:300],
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>",
    }
    for name, data in bad.items():
        reader.settled(lambda name=name, data=data: drop(name, data))
        assert reader.until("fault", "done")["state"] == "fault", name
        assert re.fullmatch(r"[A-Z][^.]+\.", reader.said()), reader.said()
        assert not reader.find(".result").is_displayed()
    drop("")
    assert reader.said().startswith("Nothing that was dropped is a file")
    reader.settled(lambda: drop("fig.jpg", sample_path("fig").read_bytes()))
    patches = walkcut.segment(sample("fig"), backbone, grid=GRID).patch_labels
    assert reader.until("done", "fault")["segments"] == len(np.unique(patches))
    for kind in ("drop", "paste"):  # a slip of the hand takes nothing away
        drop("", kind=kind)
        assert reader.find(".result").is_displayed()
    reader.settled(lambda: drop("image.png", sample_path("rocket").read_bytes(), "paste"))
    assert reader.until("done", "fault")["name"] == "image.png"


@browser
def test_what_goes_wrong_inside_is_said(chromium: object, folder: Path) -> None:
    """A script that is missing, one that holds nothing, a worker that does not start, weights that are damaged."""
    whole = json.loads(encoder_script().partition(" = ")[2].rstrip(";\n"))
    lame = {**whole, "worker": "this is no program"}
    poor = {**whole, "encoder": {**whole["encoder"], "tensors": whole["encoder"]["tensors"][1:]}}
    (folder / "empty.js").write_text("", encoding="utf-8")
    (folder / "lame.js").write_text(f"globalThis.{GLOBAL} = {json.dumps(lame)};", encoding="utf-8")
    (folder / "poor.js").write_text(f"globalThis.{GLOBAL} = {json.dumps(poor)};", encoding="utf-8")
    told = {
        "missing.js": "could not be loaded from missing.js",
        "empty.js": "it is damaged",
        "lame.js": "Something went wrong in this page",
        "poor.js": "Something went wrong in this page",
    }
    for script, sentence in told.items():
        reader = Reader(chromium, page(photo_explorer(script), folder))
        reader.sample("fig")
        found = reader.until("fault", "done", seconds=20)
        assert found["state"] == "fault", script
        assert sentence in reader.said()
        assert found["fault"] == reader.said()
        assert not reader.find("progress").is_displayed()
    chromium.get("about:blank")
    chromium.get_log("browser")


@browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_it(theme: str, chromium: object, folder: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    reader = Reader(chromium, page(photo_explorer(), folder, theme))
    fig = reader.find(".samples button")
    fig.send_keys(Keys.ENTER)
    reader.until("done")
    fits_every_screen(chromium)
    can_be_reached(chromium)
    assert reader.find("[role=status]").is_displayed()
    found = faults(chromium, axe_core(), theme)
    assert found["rules"] > 10
    assert found["faults"] == []
    reader.settled(lambda: reader.give(sample_path("fig").parent / "credits.json"))
    reader.until("fault")
    assert faults(chromium, axe_core(), theme)["faults"] == [], "a fault is readable, too"
