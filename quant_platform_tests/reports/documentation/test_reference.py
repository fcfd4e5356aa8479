"""The committed reference pages are what the schemas, models and primitives say today."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.contracts.tables import TABLES
from quant_platform.reports.documentation.reference import write_reference
from quant_platform.specification.spec_models import SPEC_MODELS

ROOT = Path(__file__).resolve().parents[3]
PAGES = ("tables.md", "specs.md", "expressions.md", "rooms.md", "rooms.svg")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    write_reference(ROOT / "specs", folder)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_up_to_date(written: Path, name: str) -> None:
    committed = ROOT / "docs" / "reference" / name
    assert committed.read_text() == (written / name).read_text(), "run `make docs` and commit"


def test_every_table_and_column_is_on_the_page(written: Path) -> None:
    text = (written / "tables.md").read_text()
    for name, found in TABLES.items():
        assert f"## {name}\n" in text
        for column in found.schema.columns():
            assert f"| `{column}` |" in text
    assert "| `momentum_12_1` | Float64 |" in text


def test_every_spec_file_has_a_model_on_the_page(written: Path) -> None:
    specs = ROOT / "specs"
    covered = {path for pattern in SPEC_MODELS for path in specs.glob(pattern)}
    assert set(specs.rglob("*.yaml")) - covered == set()
    text = (written / "specs.md").read_text()
    for pattern in SPEC_MODELS:
        assert f"## specs/{pattern}\n" in text


def test_every_key_of_every_spec_says_what_it_means(written: Path) -> None:
    text = (written / "specs.md").read_text()
    silent = [line for line in text.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert silent == []
