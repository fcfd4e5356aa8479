"""Which setups are sent; each refusal is one code with the value and the bound."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quant_platform.labs.operations.green import green_signals, route_signal
from quant_platform.labs.operations.routing import (
    above_floors,
    below_floor,
    expected_r,
    refused_place,
    route_setups,
    window_at,
)
from quant_platform.specification.operations import ClassSpec, SignalsSpec, WindowSpec
from quant_platform_tests.labs.operations.builders import ROUTING, routing, setup, setups

OPEN = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
CLASSES = {"AAA": "US_EQUITY", "EURUSD": "FX", "BTCUSDT": "CRYPTO_PERPETUAL", "GOLD": "COMMODITY", "BOND": "RATES"}


def routed(*rows: dict[str, Any], spec: Any = ROUTING, held: tuple[str, ...] = ()) -> tuple[list[str], dict[str, str]]:
    passed, skips = route_setups(setups(*rows), spec, CLASSES, held, OPEN)  # type: ignore[arg-type]
    return passed["ticker"].to_list(), {row["ticker"]: row["code"] for row in skips}


def test_the_expectation_takes_the_confidence_for_a_chance_or_the_model_at_its_word() -> None:
    frame = setups(setup(rr=2.0, confidence=60.0, expected_value_r=0.25))
    # 0.6 x 2 - 0.4 x 1
    assert expected_r(frame, "confidence").to_list() == pytest.approx([0.8])
    assert expected_r(frame, "model").to_list() == [0.25]


def test_each_asset_class_has_its_own_floors() -> None:
    # 57 of 100 passes equities (50), currencies and commodities (55), not perpetuals (60).
    rows = [setup(ticker, confidence=57.0) for ticker in CLASSES]
    sent, skipped = routed(*rows)
    assert sent == ["AAA", "EURUSD", "GOLD"]
    assert skipped == {"BTCUSDT": "min_confidence", "BOND": "asset_class"}


@pytest.mark.parametrize(
    ("change", "spec", "code"),
    [
        ({"qualified": False, "refusals": ["rr 1 is below min_rr 1.2"]}, ROUTING, "gate"),
        ({}, routing(setups__trade=False), "switched_off"),
        ({"confidence": 49.9}, ROUTING, "min_confidence"),
        # c rr - (1 - c) = 0.5 x 1.02 - 0.5 = 0.01; times 0.05 is 0.0005, less 0.0005 of friction is below 0.001.
        ({"confidence": 50.0, "rr": 1.02}, ROUTING, "min_expected_return"),
        ({}, routing(asset_classes__US_EQUITY__max_risk=0.049), "max_risk"),
        ({}, routing(tickers={"AAA": {"min_confidence": 0.61}}), "min_confidence"),
        (
            {},
            routing(
                no_trade_windows=[
                    {"asset_class": "US_EQUITY", "start": "14:00", "end": "15:00", "timezone": "UTC", "reason": "wide"}
                ]
            ),
            "no_trade_window",
        ),
    ],
)
def test_a_refusal_has_a_code(change: dict[str, Any], spec: Any, code: str) -> None:
    assert routed(setup(**change), spec=spec) == ([], {"AAA": code})


def test_a_value_equal_to_its_floor_passes() -> None:
    # 0.05 x (0.5 x rr - 0.5) - 0.0005 = 0.001 at rr = 1.06
    assert routed(setup(confidence=50.0, rr=1.0600001))[0] == ["AAA"]
    assert routed(setup(), spec=routing(asset_classes__US_EQUITY__max_risk=0.05))[0] == ["AAA"]


def test_rounding_makes_no_value_miss_its_floor() -> None:
    # 0.03 x (0.5 x 1.2 - 0.5) - 0.001 is 0.002 on paper, and a little less in floating point.
    assert 0.03 * (0.5 * 1.2 - 0.5) - 0.001 < 0.002
    floors = routing(
        asset_classes__US_EQUITY__friction_buffer=0.001, asset_classes__US_EQUITY__min_expected_return=0.002
    )
    assert routed(setup(confidence=50.0, rr=1.2, stop_distance_bps=300.0), spec=floors)[0] == ["AAA"]


def test_where_nothing_is_opened_goes_for_signals_too() -> None:
    window = {"asset_class": "FX", "start": "10:30", "end": "09:35", "timezone": "America/New_York", "reason": "wide"}
    spec = routing(no_trade_windows=[window])
    assert refused_place(spec, "US_EQUITY", OPEN) is None
    assert refused_place(spec, "RATES", OPEN) == (
        "asset_class", "RATES is not listed in asset_classes of operations/routing.yaml")  # fmt: skip
    assert refused_place(spec, "FX", OPEN) == ("no_trade_window", "10:30 to 09:35 America/New_York: wide")


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        # New York goes to summer time at 2:00 on 10 March 2024 and back at 2:00 on 3 November.
        ("2024-03-10T06:45:00+00:00", True),  # 1:45, winter
        ("2024-03-10T07:15:00+00:00", False),  # 3:15, summer: 2:15 does not exist
        ("2024-11-03T05:45:00+00:00", True),  # 1:45, summer
        ("2024-11-03T06:45:00+00:00", True),  # 1:45 again, winter
        ("2024-11-03T07:30:00+00:00", False),  # 2:30, winter
    ],
)
def test_a_window_over_the_change_of_the_clocks_goes_by_what_they_show(moment: str, inside: bool) -> None:
    window = WindowSpec.model_validate(
        {"asset_class": "FX", "start": "01:30", "end": "02:30", "timezone": "America/New_York", "reason": "quiet"}
    )
    assert (window_at([window], "FX", datetime.fromisoformat(moment)) is window) is inside


def test_a_name_that_is_held_or_sent_is_not_sent_again() -> None:
    assert routed(setup(), held=("AAA",)) == ([], {"AAA": "held"})
    both = [setup(), setup(direction="short", rr=1.5)]
    assert routed(*both) == (["AAA"], {"AAA": "conflict"})


def test_a_name_states_only_what_differs_from_its_class() -> None:
    found = routing(tickers={"AAA": {"min_confidence": 0.61}}).thresholds("AAA", "US_EQUITY")
    assert found is not None
    assert (found.min_confidence, found.min_expected_return, found.friction_buffer) == (0.61, 0.001, 0.0005)


@pytest.mark.parametrize(("hour", "inside"), [(21, False), (22, True), (23, True), (0, True), (2, False)])
def test_a_window_may_span_midnight(hour: int, inside: bool) -> None:
    window = WindowSpec.model_validate({"asset_class": "FX", "start": "22:00", "end": "02:00", "reason": "roll-over"})
    moment = datetime(2024, 3, 5, hour, 0, tzinfo=UTC)
    assert (window_at([window], "FX", moment) is window) is inside
    assert window_at([window], "US_EQUITY", moment) is None


def test_a_window_is_read_in_its_own_zone() -> None:
    window = WindowSpec.model_validate(
        {"asset_class": "FX", "start": "09:30", "end": "10:00", "timezone": "America/New_York", "reason": "opening"}
    )
    # New York is five hours behind UTC on 5 March and four on 12 March 2024.
    assert window_at([window], "FX", datetime(2024, 3, 5, 14, 30, tzinfo=UTC)) is window
    assert window_at([window], "FX", datetime(2024, 3, 12, 14, 30, tzinfo=UTC)) is None


def test_a_green_signal_holds_the_ends_of_its_ranking() -> None:
    values = pl.DataFrame({"ticker": list("ABCDEFGHIJ"), "value": [float(k) for k in range(10)]})
    moves = route_signal(
        values, {"J": "long", "E": "long", "A": "long"}, SignalsSpec(trade=True, gross=0.2, fractile=0.2)
    )
    assert moves.enter == {"B": "short", "I": "long"}
    assert moves.leave == {"E": "long", "A": "long"}
    assert moves.weight == pytest.approx(0.2 / 4)


def test_only_the_newest_verdict_that_was_known_counts() -> None:
    verdicts = pl.DataFrame(
        {
            "signal": ["a", "a", "b", "b", "c"],
            "snapshot_id": ["2024-01", "2024-02", "2024-01", "2024-02", "2024-01"],
            "verdict": ["green", "yellow", "red", "green", "green"],
            "seen_to": [date(2024, 1, 31), date(2024, 2, 29), date(2024, 1, 31), date(2024, 2, 29), None],
        }
    )
    # A verdict that has seen a session decides nothing about it: of that one the newest is still January's.
    assert green_signals(verdicts, date(2024, 1, 31)) == []
    assert green_signals(verdicts, date(2024, 2, 1)) == ["a"]
    assert green_signals(verdicts, date(2024, 2, 29)) == ["a"]
    assert green_signals(verdicts, date(2024, 3, 1)) == ["b"]


# A value on its floor, one that misses it by the rounding of an arithmetic, and one that misses it; not a number.
_NEAR = st.sampled_from([0.0, 0.3, 0.3 - 1e-13, 0.3 - 1e-9, 0.3 + 1e-13, 0.3 + 1e-9, 1.0, math.nan])
_FLOOR = st.none() | st.just(0.3)


@given(st.lists(st.tuples(_NEAR, _NEAR, _NEAR)), _FLOOR, _FLOOR, _FLOOR, st.sampled_from([0.0, 0.1]))
@example([(0.3, 0.3, 0.3)], 0.3, 0.3, 0.3, 0.0)
def test_many_setups_pass_the_floors_that_each_alone_passes(
    rows: list[tuple[float, float, float]],
    confidence: float | None,
    expected: float | None,
    risk: float | None,
    friction: float,
) -> None:
    floors = ClassSpec(min_confidence=confidence, min_expected_return=expected, max_risk=risk, friction_buffer=friction)
    names = ("chance", "risk", "expected_return")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
    alone = [below_floor(dict(zip(names, row, strict=True)), floors) is None for row in rows]
    assert above_floors(frame, floors).tolist() == alone
