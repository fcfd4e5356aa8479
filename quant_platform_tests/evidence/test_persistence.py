from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_platform_tests.evidence.persistence import HALF_LIVES, SERIES, main, page, series

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "evidence"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads((FOLDER / "persistence.json").read_text())


def test_the_page_says_what_the_document_holds_and_the_document_what_the_docs_claim(document: dict[str, Any]) -> None:
    assert (FOLDER / "persistence.md").read_text() == page(document)
    assert document["made"]["series"] == SERIES
    nothing = document["lines"][0]
    for name in ("primary", "ewc", "four_blocks"):
        assert nothing[name] == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / SERIES) ** 0.5)
    year = next(x for x in document["lines"] if (x["half_life_weeks"], x["premium_sd"]) == (52, 0.05))
    assert year["primary"] > year["ewc"] > 0.25
    assert year["four_blocks"] < 0.15
    present = next(x for x in document["lines"] if x["mean"] == 0.03)
    assert present["four_blocks"] < present["ewc"]


@pytest.mark.parametrize("half_life", HALF_LIVES)
def test_the_premium_has_the_half_life_that_is_stated(half_life: int) -> None:
    rng = np.random.default_rng(half_life)
    made = np.array([series(rng, half_life, 0.05) for _ in range(1500)])
    # Six-week windows share nothing at 26 weeks: what is left there is the premium.
    lag = 26
    covariance = float(np.mean(made[:, lag:] * made[:, :-lag]))
    expected = 0.05**2 * 0.5 ** (lag / half_life) if half_life else 0.0
    assert covariance == pytest.approx(expected, abs=1.5e-4)
    assert float(made.var()) == pytest.approx(0.1**2 + (0.05**2 if half_life else 0.0), rel=0.06)


def test_the_command_writes_both_files(tmp_path: Path, document: dict[str, Any]) -> None:
    main(["--series", "5", "--output", str(tmp_path)])
    written = json.loads((tmp_path / "persistence.json").read_text())
    assert [line.keys() for line in written["lines"]] == [line.keys() for line in document["lines"]]
    assert (tmp_path / "persistence.md").read_text() == page(written)
