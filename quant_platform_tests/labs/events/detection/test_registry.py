from __future__ import annotations

import dataclasses
import datetime as dt

import polars as pl
import pytest

from quant_platform.labs.events.detection.plan import EventPlan
from quant_platform.labs.events.detection.registry import check_prevalence, checks_frame
from quant_platform.specification.events import Prevalence
from quant_platform_tests.labs.events.detection.worlds import START, plan

EVENT = "BAND_BREAK"
ROWS = 20_000


def flags(places: dict[str, list[int]], *, unknown: int = 0) -> pl.DataFrame:
    stamps = pl.Series("bar", [START + dt.timedelta(minutes=5 * i) for i in range(ROWS)], pl.Datetime("us", "UTC"))
    frames = []
    for symbol, fired in places.items():
        values = [None if i < unknown else float(i in set(fired)) for i in range(ROWS)]
        frames.append(pl.DataFrame({"symbol": symbol, "bar": stamps, EVENT: pl.Series(values, dtype=pl.Float64)}))
    return pl.concat(frames)


def prices(own: pl.DataFrame, gone: list[int]) -> pl.DataFrame:
    hole = pl.int_range(pl.len()).over("symbol").is_in(gone)
    return own.select("symbol", "bar", open=pl.when(hole).then(float("nan")).otherwise(1.0))


def bounded(low: float, high: float, *, enforce_min: bool = True) -> EventPlan:
    bounds = Prevalence(min=low, max=high, enforce_min=enforce_min)
    event = plan().lab.events[EVENT].model_copy(update={"prevalence_per_10k": bounds})
    lab = dataclasses.replace(plan().lab, events={**plan().lab.events, EVENT: event})
    return dataclasses.replace(plan(), lab=lab)


def test_a_prevalence_inside_its_bounds_passes() -> None:
    own = flags({"A": [100, 5000, 9000], "B": [50]}, unknown=10_000 // 2)
    (check,) = check_prevalence(own, prices(own, []), bounded(0.3, 2))
    # Of A one event lies where nothing can be judged and one on its first known bar; 15,000 bars of each are left.
    assert (check.status, check.bars, check.events, check.symbols) == ("passed", 30_000, 2, 2)
    assert check.per_10k == pytest.approx(2 / 3)
    # Wilson with 2 of 30,000: the closed form by hand.
    assert (check.per_10k_low, check.per_10k_high) == pytest.approx((0.18283, 2.43060), abs=2e-4)
    assert check.thin_symbols == ("A", "B")
    assert check.clustering == 0.0
    assert checks_frame([check])["thin_symbols"].item() == "A; B"


@pytest.mark.parametrize(
    ("low", "high", "enforce", "status", "reason"),
    [
        (2.0, 9.0, True, "failed", "prevalence 1.00 below 2"),
        (2.0, 9.0, False, "passed", ""),
        (0.1, 0.5, True, "failed", "prevalence 1.00 above 0.5"),
        (0.0, 0.9, True, "failed", "above 0.9"),
    ],
)
def test_bounds_are_enforced(low: float, high: float, enforce: bool, status: str, reason: str) -> None:
    own = flags({"A": [100, 5000]})
    (check,) = check_prevalence(own, prices(own, []), bounded(low, high, enforce_min=enforce))
    assert check.status == status
    assert reason in "".join(check.reasons)


def test_events_that_hang_together_are_counted() -> None:
    own = flags({"A": [100, 105, 200, 206, 300], "B": [101]})
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert check.clustering == pytest.approx(1 / 6)
    own = flags({"A": [100, 105, 110, 300]})
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert check.reasons == ("50% of events within 5 bars of another",)


def test_an_event_that_cannot_be_entered_lowers_the_join_rate() -> None:
    own = flags({"A": [100, 200, 300, ROWS - 1]})
    (check,) = check_prevalence(own, prices(own, [201]), bounded(0.1, 100))
    assert check.join_rate == pytest.approx(2 / 3)
    assert "join rate 0.6667 below 0.99" in check.reasons


def test_what_is_not_there_is_not_zero_events() -> None:
    own = flags({"A": [1]}, unknown=ROWS)
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert (check.status, check.bars, check.symbols) == ("not_available", 0, 0)
    short = own.head(100)
    (check,) = check_prevalence(short, prices(short, []), bounded(0.1, 100))
    assert check.status == "history_too_short"
