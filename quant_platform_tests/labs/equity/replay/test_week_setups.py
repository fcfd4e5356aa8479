"""The setups of a week: who qualified, who nearly did, who was refused, and by which rules."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.week_setups import LISTED, reason_without_value, week_setups

WEEK, DAY = date(2024, 1, 1), date(2024, 1, 5)
RR = "rr 0.93 is below min_rr 1.2"
SURE = "confidence 41.0 is below min_confidence 55"


def frames(setups: dict[str, list[str]]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Rows of both tables for tickers and their refusals; confidence falls with the place."""
    judged: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    for place, (ticker, refusals) in enumerate(setups.items()):
        key = {"ticker": ticker, "date_sig": DAY, "direction": "long"}
        judged.append(
            key
            | {"week": WEEK, "rr": 1.5, "confidence": 90.0 - place, "qualified": not refusals, "refusals": refusals}
            | {"outcome": "target", "realised_r": 2.0}
        )
        candidates.append(key | {"entry_reference": 100.0, "stop": 95.0, "target": 110.0, "stop_distance_bps": 500.0})
    schemas = [table(name).schema.create_empty().schema for name in ("replay.qualified", "replay.candidates")]
    # A later 2:1 split has halved the adjusted prices: what traded that day was twice as much.
    closes = (
        pl.DataFrame(
            {"ticker": list(setups), "session": [DAY] * len(setups), "close": 100.0, "close_unadjusted": 200.0},
            schema={"ticker": pl.String, "session": pl.Date, "close": pl.Float64, "close_unadjusted": pl.Float64},
        )
        if setups
        else pl.DataFrame(
            schema={"ticker": pl.String, "session": pl.Date, "close": pl.Float64, "close_unadjusted": pl.Float64}
        )
    )
    return pl.DataFrame(judged, schema=schemas[0]), pl.DataFrame(candidates, schema=schemas[1]), closes


def test_one_refusal_is_nearly_and_more_are_refused() -> None:
    found = week_setups(*frames({"A": [RR, SURE], "B": [SURE], "C": [], "D": [RR], "E": []}))
    assert [(row["verdict"], row["ticker"]) for row in found["rows"]] == [
        ("qualified", "C"), ("qualified", "E"), ("nearly", "B"), ("nearly", "D"), ("refused", "A")
    ]  # fmt: skip
    assert [found[f"n_{name}"] for name in ("qualified", "nearly", "refused")] == [2, 2, 1]
    assert found["rules"] == [
        {"rule": "confidence below min_confidence 55", "refused": 2, "alone": 1},
        {"rule": "rr below min_rr 1.2", "refused": 2, "alone": 1},
    ]
    assert [found["rows"][0][name] for name in ("entry_reference", "stop", "target")] == [200.0, 190.0, 220.0]


def test_what_became_of_a_setup_is_not_told() -> None:
    [row] = week_setups(*frames({"A": []}))["rows"]
    assert not {"outcome", "realised_r", "resolved_at", "bars_held"} & set(row)


def test_a_long_list_of_refused_ones_is_cut_and_counted() -> None:
    found = week_setups(*frames({f"T{place:03d}": [RR, SURE] for place in range(LISTED + 3)}))
    assert (len(found["rows"]), found["n_refused"]) == (LISTED, LISTED + 3)


def test_a_week_without_setups() -> None:
    found = week_setups(*frames({}))
    assert found == {"n_qualified": 0, "n_nearly": 0, "n_refused": 0, "rows": [], "rules": []}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("rr missing is below min_rr 1.2", "rr below min_rr 1.2"),
        ("not high conviction: rr 1.0 and confidence 2.0, floors 2 and 70", "not high conviction"),
        ("the other direction has a valid setup too", "the other direction has a valid setup too"),
    ],
)
def test_a_reason_is_counted_without_its_number(text: str, want: str) -> None:
    assert reason_without_value(text) == want


def test_levels_are_prices_of_the_session_which_no_later_split_moves() -> None:
    [row] = week_setups(*frames({"A": []}))["rows"]
    assert (row["entry_reference"], row["stop"], row["target"]) == (200.0, 190.0, 220.0)
    assert row["stop_distance_bps"] == 500.0
