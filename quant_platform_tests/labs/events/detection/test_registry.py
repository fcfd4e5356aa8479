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
        # Two of 20,000 are 1.00 per 10,000, with Wilson's 95 % from 0.274 to 3.646 (closed form by hand).
        (3.7, 9.0, True, "failed", "prevalence 1.00 below 3.7"),
        (3.6, 9.0, True, "passed", ""),
        (3.7, 9.0, False, "passed", ""),
        (0.0, 0.27, True, "failed", "prevalence 1.00 above 0.27"),
        (0.0, 0.28, True, "passed", ""),
    ],
)
def test_a_bound_is_broken_when_the_whole_interval_lies_beyond_it(
    low: float, high: float, enforce: bool, status: str, reason: str
) -> None:
    own = flags({"A": [100, 5000]})
    (check,) = check_prevalence(own, prices(own, []), bounded(low, high, enforce_min=enforce))
    assert (check.per_10k_low, check.per_10k_high) == pytest.approx((0.2743, 3.6456), abs=1e-3)
    assert check.status == status
    assert reason in "".join(check.reasons)


def test_an_event_that_never_fired_has_passed_nothing() -> None:
    own = flags({"A": []})
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 9, enforce_min=False))
    assert (check.status, check.events, check.reasons) == ("never_fired", 0, ())
    # No event in 20,000 bars: Wilson up to 3.84 / 20,003.84, or 1.92 per 10,000.
    (check,) = check_prevalence(own, prices(own, []), bounded(2.0, 9))
    assert check.status == "failed"


def test_bounds_of_the_funding_clock_are_of_the_contracts_own_interval() -> None:
    """96 bars are eight hours; a contract that settles each four fires twice as often, and that is no fault."""
    own = flags({"A": list(range(47, ROWS, 48))})
    hourly = prices(own, []).with_columns(funding_interval_hours=4.0)
    event = plan().lab.events[EVENT]
    bounds = Prevalence(min=83.4, max=125.1, per_settlement=True)
    lab = dataclasses.replace(
        plan().lab, events={**plan().lab.events, EVENT: event.model_copy(update={"prevalence_per_10k": bounds})}
    )
    scaled = dataclasses.replace(plan(), lab=lab)
    (check,) = check_prevalence(own, hourly, scaled)
    assert (check.bound_min, check.bound_max) == pytest.approx((166.8, 250.2))
    assert check.status == "passed"
    (check,) = check_prevalence(own, hourly.drop("funding_interval_hours"), scaled)
    assert "above 125.1" in "".join(check.reasons)


def test_events_that_hang_together_are_counted() -> None:
    own = flags({"A": [100, 105, 200, 206, 300], "B": [101]})
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert check.clustering == pytest.approx(1 / 6)
    # Two of four are half of them, with Wilson's 95 % from 15 %: no proof of more than 20 %. Four of eight: from 22 %.
    own = flags({"A": [100, 105, 110, 300]})
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert (check.clustering, check.reasons) == (0.5, ())
    own = flags({"A": [100, 105, 110, 300, 500, 505, 510, 700]})
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert check.reasons == ("50% of events within 5 bars of another",)


def test_many_events_that_cannot_be_entered_fail_the_join_rate_and_one_of_fifty_does_not() -> None:
    fired = [100 * k for k in range(1, 51)]
    own = flags({"A": [*fired, ROWS - 1]})
    (check,) = check_prevalence(own, prices(own, [101]), bounded(0.1, 100))
    assert check.join_rate == pytest.approx(49 / 50)
    assert check.status == "passed"
    (check,) = check_prevalence(own, prices(own, [place + 1 for place in fired[:5]]), bounded(0.1, 100))
    assert check.reasons == ("join rate 0.9000 below 0.99",)


def test_what_is_not_there_is_not_zero_events_and_says_why() -> None:
    own = flags({"A": [1]}, unknown=ROWS)
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100))
    assert (check.status, check.bars, check.symbols) == ("not_available", 0, 0)
    assert check.reasons == ("no bar has all of its inputs",)
    inputs = plan().lab.events[EVENT].inputs
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100), known=set(inputs) - {"close"})
    assert check.reasons == ("no value of close",)
    (check,) = check_prevalence(own, prices(own, []), bounded(0.1, 100), known=inputs)
    assert check.reasons == ("every input is there, and no bar has all of them",)
    short = own.head(100)
    (check,) = check_prevalence(short, prices(short, []), bounded(0.1, 100))
    assert check.status == "history_too_short"
    assert "must come before the first" in check.reasons[0]


def ruled(registry: dict[str, float], **bounds: object) -> EventPlan:
    """The plan with bounds of the event and of the registry."""
    made = bounded(0.0, 9.0)
    event = made.lab.events[EVENT].model_copy(update={"prevalence_per_10k": Prevalence(**bounds), "entry_lag_bars": 2})
    lab = dataclasses.replace(made.lab, events={EVENT: event}, registry=made.lab.registry.model_copy(update=registry))
    return dataclasses.replace(made, lab=lab)


@pytest.mark.parametrize(
    ("hours", "bounds", "low", "high"),
    [
        # At most what the registry allows of any event, twice as much where funding settles twice as often.
        (4.0, {"min": 10.0, "max": 400.0, "per_settlement": True}, 20.0, 600.0),
        (4.0, {"min": 10.0, "max": 100.0, "per_settlement": True}, 20.0, 200.0),
        # Half as often: the bounds of the event are halved, that of the registry stays.
        (16.0, {"min": 10.0, "max": 500.0, "per_settlement": True}, 5.0, 250.0),
        (16.0, {"min": 10.0, "max": 800.0, "per_settlement": True}, 5.0, 300.0),
        (4.0, {"min": 10.0, "max": 400.0}, 10.0, 300.0),
        (4.0, {"min": 10.0, "max": 400.0, "per_settlement": True, "enforce_min": False}, 0.0, 600.0),
    ],
)
def test_bounds_are_those_of_the_event_within_that_of_the_registry(
    hours: float, bounds: dict[str, object], low: float, high: float
) -> None:
    own = flags({"A": [100]})
    market = prices(own, []).with_columns(funding_interval_hours=hours)
    (check,) = check_prevalence(own, market, ruled({"max_per_10k": 300.0}, **bounds))
    assert (check.bound_min, check.bound_max) == (low, high)


def test_settlements_are_the_mean_over_the_bars_that_were_judged() -> None:
    """A quarter of the judged bars at 4 hours, a quarter at 8, of the rest nobody knows: 1.5 in eight hours.

    The first 4,000 bars, which could not be judged, are hourly.
    """
    own = flags({"A": [10_000]}, unknown=4_000)
    bar = pl.int_range(pl.len())
    hours = pl.when(bar < 4_000).then(1.0).when(bar < 8_000).then(4.0).when(bar < 12_000).then(8.0)
    market = prices(own, []).with_columns(funding_interval_hours=hours)
    settled = ruled({"max_per_10k": 900.0}, min=10.0, max=100.0, per_settlement=True)
    (check,) = check_prevalence(own, market, settled)
    assert (check.bound_min, check.bound_max) == (pytest.approx(15.0), pytest.approx(150.0))
    unknown = market.with_columns(funding_interval_hours=pl.lit(float("nan")))
    (check,) = check_prevalence(own, unknown, settled)
    assert (check.bound_min, check.bound_max) == (10.0, 100.0)


def test_a_symbol_with_fewer_events_than_are_asked_for_is_thin() -> None:
    own = flags({"A": [100, 5000], "B": [50, 60, 70], "C": []})
    (check,) = check_prevalence(own, prices(own, []), ruled({"min_events_per_symbol": 3}, min=0.0, max=9.0))
    assert (check.thin_symbols, check.symbols, check.events, check.bars) == (("A", "C"), 3, 5, 3 * ROWS)


def test_an_event_whose_entry_bar_is_the_last_can_be_entered_and_one_after_it_could_not_be() -> None:
    """Entered two bars later. B ends before A: its own last bar counts."""
    own = flags({"A": [100, ROWS - 3, ROWS - 2], "B": [50, ROWS - 3]})
    short = pl.concat([own.filter(symbol="A"), own.filter(symbol="B").head(ROWS - 5)])
    (check,) = check_prevalence(own, prices(short, [102]), ruled({}, min=0.0, max=99.0))
    # Of A the entries on bars 102, which has no price, and on the last; of B that on bar 52.
    assert check.join_rate == pytest.approx(2 / 3)
    (check,) = check_prevalence(own.filter(bar=own["bar"][ROWS - 2]), prices(own, []), ruled({}, min=0.0, max=99.0))
    assert check.join_rate != check.join_rate, "nothing could be entered"


@pytest.mark.parametrize(("rows", "status"), [(27, "history_too_short"), (28, "not_available")])
def test_a_history_is_too_short_up_to_the_memory_of_the_event(rows: int, status: str) -> None:
    made = dataclasses.replace(ruled({}, min=0.0, max=9.0), event_memory={EVENT: 27})
    own = pl.concat([flags({"A": []}, unknown=ROWS).head(rows), flags({"B": []}, unknown=ROWS).head(5)])
    (check,) = check_prevalence(own, prices(own, []), made)
    assert (check.status, check.bars) == (status, 0)
    assert (check.per_10k_low, check.per_10k_high) == (0.0, 10_000.0)
    assert (check.per_10k != check.per_10k, check.clustering != check.clustering) == (True, True)
    for memory in (27, 0):
        # Without a bar there is too little of it, also for an event that looks at nothing but its own.
        forgetful = dataclasses.replace(made, event_memory={EVENT: memory})
        (check,) = check_prevalence(own.clear(), prices(own, []).clear(), forgetful)
        assert check.status == "history_too_short"


def test_events_of_two_symbols_on_one_bar_do_not_hang_together() -> None:
    own = flags({"A": [100], "B": [100, 106]})
    (check,) = check_prevalence(own, prices(own, []), ruled({"clustering_bars": 5}, min=0.0, max=9.0))
    assert check.clustering == 0.0
    (check,) = check_prevalence(own, prices(own, []), ruled({"clustering_bars": 6}, min=0.0, max=9.0))
    assert check.clustering == pytest.approx(1 / 3)


def test_a_bound_that_the_interval_touches_holds() -> None:
    """The ends of the interval as they were found, taken as bounds: nothing lies beyond itself."""
    own = flags({"A": [100, 5000]})
    market = prices(own, [])
    (found,) = check_prevalence(own, market, bounded(0.0, 9.0))
    low, high = found.per_10k_high, found.per_10k_low
    for given, status in (((low, 9.0), "passed"), ((low * 1.0001, 9.0), "failed"), ((0.0, high), "passed")):
        (check,) = check_prevalence(own, market, bounded(*given))
        assert check.status == status, given
    (check,) = check_prevalence(own, market, bounded(0.0, high * 0.9999))
    assert (check.status, len(check.reasons)) == ("failed", 1)
