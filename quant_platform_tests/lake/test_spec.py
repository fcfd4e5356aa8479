from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.lake import LakeSpec, lake_spec
from quant_platform.specification.settings import settings

GOOD = "superseded_versions_days: 2\ntemporary_files_hours: 3\ncatalogue_debounce_seconds: 4\n"


def test_units(tmp_path: Path) -> None:
    (tmp_path / "lake.yaml").write_text(GOOD)
    found = lake_spec(tmp_path)
    assert found.keep == dt.timedelta(days=2)
    assert found.temporary_age == dt.timedelta(hours=3)
    assert found.debounce == dt.timedelta(seconds=4)


def test_the_spec_of_the_house_is_valid() -> None:
    assert isinstance(lake_spec(settings().specs), LakeSpec)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("days: 2", "days: 0", "superseded_versions_days"),
        ("hours: 3", "hours: -1", "temporary_files_hours"),
        ("seconds", "second", "did you mean 'catalogue_debounce_seconds'|catalogue_debounce_seconds"),
    ],
)
def test_what_cannot_be(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "lake.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(SpecError, match=message):
        lake_spec(tmp_path)
