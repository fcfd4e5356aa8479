"""The page on real members is made from its file; factors are read and compounded as by hand."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform_tests.evidence.suite_sp500 import against_factor, by_month, read_factor, render

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
LIBRARY = """This file was created
from somewhere.

,Mkt-RF,SMB
20240102,    0.50,   1.00
20240103,    0.25, -99.99
20240201,   -1.00,  -2.00

Copyright
"""


def test_the_page_is_that_of_the_file() -> None:
    found = json.loads((RESULTS / "suite_sp500.json").read_text(encoding="utf-8"))
    assert (RESULTS / "suite_sp500.md").read_text(encoding="utf-8") == render(found)
    assert {"reversal_5d", "momentum_12_1", "low_volatility", "high_52w"} <= set(found["baselines"])
    assert found["factors"]["momentum_12_1"]["months"] > 150


def test_a_factor_of_the_library_is_a_fraction_without_its_missing_days(tmp_path: Path) -> None:
    path = tmp_path / "factors.csv"
    path.write_text(LIBRARY, encoding="latin-1")
    assert read_factor(path, "SMB").rows() == [(date(2024, 1, 2), 0.01), (date(2024, 2, 1), -0.02)]
    with pytest.raises(ValueError, match="no column 'HML'"):
        read_factor(path, "HML")


def test_months_compound_and_the_cut_ones_are_left_out() -> None:
    days = [date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2), date(2024, 3, 1), date(2024, 4, 1)]
    daily = pl.DataFrame({"session": days, "gross": [0.5, 0.1, -0.1, 0.02, 0.3]})
    assert by_month(daily, "gross").rows() == [("2024-02", pytest.approx(-0.01)), ("2024-03", pytest.approx(0.02))]


def test_a_book_that_is_twice_the_factor_has_its_correlation_and_slope() -> None:
    months = [date(2020 + k // 12, 1 + k % 12, 15) for k in range(38)]
    factor = np.random.default_rng(3).normal(0.0, 0.04, 38)
    daily = pl.DataFrame({"session": months, "gross": 2.0 * factor + 0.001})
    found = against_factor(daily, pl.DataFrame({"session": months, "published": factor}))
    assert (found["months"], found["first"], found["last"]) == (36, "2020-02", "2023-01")
    assert found["correlation"] == pytest.approx(1.0)
    assert found["slope"] == pytest.approx(2.0)
    assert found["theirs"]["mean"] == pytest.approx(12.0 * factor[1:-1].mean())
