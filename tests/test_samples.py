"""The photographs that come with walkcut: credited, small, readable."""

from pathlib import Path

import numpy as np
import pytest

import walkcut
import walkcut.samples
from walkcut.errors import InputError
from walkcut.samples import sample, sample_credits, sample_names, sample_path


def test_there_are_at_least_eight_samples_with_full_credits() -> None:
    assert len(sample_names()) >= 8
    for name, credit in sample_credits().items():
        given = {key for key, value in credit.items() if value.strip()}
        assert given == {"file", "title", "author", "licence", "source", "changes"}, name
        assert credit["licence"].startswith(("CC0 1.0", "CC BY 2.0", "CC BY 4.0", "public domain")), name


def test_every_sample_file_is_credited_and_small() -> None:
    folder = Path(walkcut.samples.__file__).parent
    assert {p.name for p in folder.glob("*.jpg")} == {credit["file"] for credit in sample_credits().values()}
    for name in sample_names():
        assert sample_path(name).stat().st_size < 60_000, name


@pytest.mark.parametrize("name", sample_names())
def test_samples_are_readable_colour_photographs(name: str) -> None:
    image = sample(name)
    assert image.dtype == np.uint8
    assert 320 <= max(image.shape[:2]) <= 481
    assert np.ptp(image.astype(int), axis=2).mean() > 5, "grey"


def test_unknown_sample_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"'tiger'.*fig"):
        sample("tiger")


def test_a_sample_is_at_the_front_door() -> None:
    """Though a folder of that name lies there."""
    assert walkcut.sample is sample
