"""A page of arithmetic for a million pictures: checked on paper."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from walkcut.backbone import Backbone
from walkcut.bench import RESULTS
from walkcut.bench.architectures import random_backbone
from walkcut.bench.table import published
from walkcut.errors import InputError
from walkcut.samples import sample, sample_names
from walkcut_book import million


def test_hours_cost_machines_and_cores() -> None:
    told = million.page({"two a second": 2.0}, seconds=1.4, days=2, price=3)
    # 500,000 s are 138.9 hours, 5.8 days: three machines; 2.8 cores cut as fast
    assert told.rows[0] == ["two a second", "2.00", "139", "417", "3", "3"]
    assert told.head[4] == "machines for 2 days"


def test_no_price_is_invented() -> None:
    ((*_, cost, _, _),) = million.page({"one": 1.0}, seconds=1, days=7).rows
    assert cost == "278 × your price"


@pytest.mark.parametrize(("days", "price"), [(0, 1), (-1, None), (7, -2), (float("nan"), 1)])
def test_a_page_asks_for_sense(days: float, price: float | None) -> None:
    with pytest.raises(InputError, match="days above 0"):
        million.page({"one": 1.0}, 1, days, price)


def test_rates_and_a_gpu_s_look_and_chain_are_read_where_they_were_measured(tmp_path: Path) -> None:
    seconds = {"VAE": 0.1, "denoiser": 9.0, "capture": 0.2, "walk": 0.1, "cut": 9.0, "pixels": 9.0}
    own = {"command": "walkcut bench speed", "gpu": None, "processor": "a processor", "seconds": seconds}
    (tmp_path / "speed-dead-leaves.json").write_text(json.dumps(own))
    seconds = {"VAE": 0.1, "denoiser": 0.2, "listening": 0.1, "walk": 0.1, "cut": 1.0, "pixels": 0.5}
    rows = [{"model": "sd-1.4", "seconds": seconds, "pictures_per_second": 0.5}]
    record = {"command": "walkcut bench speed --model MODEL", "gpu": "a GPU", "measurements": rows}
    record |= {"chain": {"model": "sd-1.4", "cutters": 3, "batch": 1, "pictures_per_second": 1.5}}
    (tmp_path / "speed-gpu.json").write_text(json.dumps(record))
    found = million.rates(tmp_path)
    assert found["`walkcut bench speed`, a processor"] == pytest.approx(2.5)
    assert found["`walkcut bench speed --model sd-1.4`, a GPU"] == pytest.approx(2)
    assert found["sd-1.4 with 3 cutters beside it, the whole chain, a GPU"] == 1.5
    assert len(found) == 3 + len(published()["speeds"])
    assert million.on_gpu(tmp_path, "sd-1.4")["cut"] == 1.5


def test_the_words_on_the_gpu_are_those_of_its_numbers() -> None:
    """Stages add up to the rate; a look is short beside the cut; listening and offloading cost what is said."""
    record = json.loads((RESULTS / "speed-gpu.json").read_text())
    rows = {row["model"]: row for row in record["measurements"]}
    for row in rows.values():
        assert sum(row["seconds"].values()) * row["pictures_per_second"] == pytest.approx(1, abs=0.01)
    told = million.on_gpu(RESULTS, "sd-1.4")
    chain = told["chain"]
    assert 8 < told["cut"] / told["look"] < 8.5
    assert 16 < chain["pictures_per_second"] < 16.5
    assert chain["cutters"] == 14
    backbone = random_backbone("sd-1.4", small=True)
    grids = [backbone.grid(sample(name), 64) for name in sample_names()]
    assert sum(sorted(grid) == [40, 64] for grid in grids) > len(grids) / 2
    listening = {name: row["seconds"]["listening"] / row["seconds"]["denoiser"] for name, row in rows.items()}
    assert listening["sd-1.4"] == pytest.approx(1 / 7, abs=0.01)
    assert 1 / 3 < listening["sdxl"] < 0.4 < 1 < listening["sd-3"]
    offloaded, here = rows["sd-1.4, offloaded"], rows["sd-1.4"]
    assert offloaded["peak_gb"] / here["peak_gb"] == pytest.approx(1 / 3, abs=0.03)
    assert offloaded["seconds"]["denoiser"] / here["seconds"]["denoiser"] == pytest.approx(20, abs=1)
    assert "with 14 cutters beside it" in million.remarks(RESULTS)[2]


def test_a_picture_goes_from_file_to_files(tiny: Backbone, two_halves: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "halves.png"
    Image.fromarray(two_halves).save(path)
    seconds, sizes = million.measure([path, path], tmp_path, tiny, grid=16)
    assert seconds.shape == (2, 3)
    assert (seconds > 0).all()
    assert sizes == {
        ending: (tmp_path / f"halves.{ending}").stat().st_size for ending in ("labels.png", "overlay.png", "tree.json")
    }
