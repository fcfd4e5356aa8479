"""Month by month equals one pass, bit for bit; and what is not there is said to be not there."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_platform.contracts.errors import SchemaViolation, SpecError
from quant_platform.contracts.tables import table
from quant_platform.labs.events.detection.compute import EventPanel, compute_events, compute_month
from quant_platform.labs.events.detection.grid import BAR, month_start, months_before
from quant_platform.labs.events.detection.plan import event_plan
from quant_platform.labs.events.detection.rows import event_rows
from quant_platform.lake.validation import validated
from quant_platform.specification.event_lab import load_event_lab
from quant_platform_tests.labs.events.detection.worlds import SPECS, lab, market, one_symbol, plan

MONTHS = ("2024-01", "2024-02", "2024-03")
LATE = "LTCUSDT"


@cache
def world() -> dict[str, pl.DataFrame]:
    """Three months; one symbol is listed in February, one has 4-hour funding, and one hole spans a month's end."""
    made = market(3, rows=(31 + 29 + 31) * 288)
    made[LATE] = made[LATE].filter(pl.col("month") >= "2024-02")
    hole = pl.col("bar").is_between(month_start("2024-03") - 40 * BAR, month_start("2024-03") + 30 * BAR)
    prices = ("open", "high", "low", "close")
    made["ETHUSDT"] = made["ETHUSDT"].with_columns(
        pl.when(hole).then(float("nan")).otherwise(pl.col(name)).alias(name) for name in prices
    )
    return made


@cache
def one_pass() -> EventPanel:
    return compute_events(world(), lab())


@pytest.mark.parametrize("month", MONTHS)
def test_a_month_with_its_memory_equals_one_pass_bit_for_bit(month: str) -> None:
    needed = month_start(month) - plan().warm_bars * BAR
    part = {name: frame.filter(pl.col("bar") >= needed) for name, frame in world().items()}
    part = {name: frame for name, frame in part.items() if frame["month"].min() <= month}
    found = compute_month(part, lab(), month)
    for name, own in found.symbols.items():
        whole = one_pass().symbols[name]
        for frame, other in ((own.features, whole.features), (own.states, whole.states), (own.flags, whole.flags)):
            assert_frame_equal(frame, other.filter(pl.col("month") == month), check_exact=True)
        context = one_pass().context[name].filter(pl.col("month") == month)
        assert_frame_equal(found.context[name], context, check_exact=True)
    assert (LATE in found.symbols) == (month > "2024-01")


def test_one_bar_of_memory_less_is_not_enough() -> None:
    """The derived memory is needed: the longest event cannot be judged on the first bar without its oldest row."""
    memory = plan().event_memory
    longest = max(memory, key=lambda name: memory[name])
    frame = world()["BTCUSDT"]
    for rows, known in ((memory[longest], 0), (memory[longest] + 1, 1)):
        flags = compute_events({"BTCUSDT": frame.head(rows)}, lab()).symbols["BTCUSDT"].flags
        assert flags[longest].drop_nulls().len() == known


def test_months_that_memory_reaches_into() -> None:
    assert months_before("2024-03", 288) == ["2024-02", "2024-03"]
    assert months_before("2024-03", 29 * 288) == ["2024-02", "2024-03"]
    assert months_before("2024-03", 29 * 288 + 1) == ["2024-01", "2024-02", "2024-03"]
    assert months_before("2024-03", 0) == ["2024-03"]


def test_rows_go_into_their_tables() -> None:
    found = one_pass().symbols["BTCUSDT"]
    key = ("BTCUSDT", "2024-03")
    for name, frame in (
        ("features.market_5m", found.features),
        ("features.context_5m", one_pass().context["BTCUSDT"]),
        ("features.states_5m", found.states),
        ("events.event_flags", found.flags),
    ):
        assert validated(table(name), key, frame.filter(pl.col("month") == "2024-03")).height == 31 * 288
    flags = pl.concat(own.flags for own in one_pass().symbols.values())
    states = pl.concat(own.states for own in one_pass().symbols.values())
    rows = event_rows(flags, states, lab().events["FALSE_BREAKOUT"], "2024-02")
    assert validated(table("events.events"), ("FALSE_BREAKOUT", "2024-02"), rows).height == rows.height > 10
    assert rows["bar"].max() < month_start("2024-03")
    assert (rows["event_ts"] - rows["bar"]).unique().to_list() == [BAR]
    assert (rows["entry_bar"] - rows["event_ts"]).unique().to_list() == [BAR * 0]
    assert rows["session"].null_count() == 0


def test_an_absent_column_is_not_available_and_not_zero() -> None:
    frame = one_symbol(9, rows=3000).drop("spot_close", "oi")
    found = compute_events({"BTCUSDT": frame}, lab()).symbols["BTCUSDT"]
    assert found.not_available["BASIS_DISLOC"] == ("spot_close",)
    assert found.not_available["LIQUIDATION_CASCADE"] == ("oi",)
    assert found.not_available["INDEX_COMPONENT_DIVERGENCE"] == ("bench_ret",)
    assert found.not_available["oi_state"] == ("oi",)
    for column in ("BASIS_DISLOC", "BASIS_DISLOC__direction", "OI_FLUSH__intensity"):
        assert found.flags[column].null_count() == 3000
    assert found.features["basis_bps"].null_count() == 3000
    assert found.states["oi_state"].null_count() == 3000
    assert "BAND_BREAK" not in found.not_available
    assert found.flags["BAND_BREAK"].sum() > 3


def test_a_column_that_comes_later_is_not_available_before() -> None:
    """Null is not available, NaN is missing: taker volume that a source has from row 1000 on."""
    frame = one_symbol(9, rows=8000).with_columns(
        taker_buy_volume=pl.when(pl.int_range(pl.len()) >= 1000).then("taker_buy_volume")
    )
    found = compute_events({"BTCUSDT": frame}, lab()).symbols["BTCUSDT"]
    event = "MOMENTUM_DIVERGENCE_TRIGGER"
    assert found.flags[event].null_count() == 1000
    assert found.features["ofi3"][:1000].null_count() == 1000
    assert found.features["ofi3"][1000:].null_count() == 0


def test_holes_in_the_grid_are_refused() -> None:
    frame = one_symbol(9, rows=100)
    for broken in (frame.filter(pl.int_range(pl.len()) != 50), pl.concat([frame[:50], frame[49:]])):
        with pytest.raises(SchemaViolation, match=r"not on the full five-minute grid[\s\S]*first rows"):
            compute_events({"BTCUSDT": broken}, lab())


NEW_EVENT = """
id: THREE_QUIET_BARS
version: 1
family: VOLATILITY_TRANSITION
mechanism: Nothing happens for three bars.
inputs: [close]
params: {share: 0.3, bars: 3}
definitions:
  tiny_move: aret1<=share*rv96
condition: run(tiny_move)==bars
onset: level
direction: sgn(ret96)
direction_kind: signed
intensity: rv96/rv12
max_active_bars: 12
cooldown_bars: 3
entry_lag_bars: 1
prevalence_per_10k: {min: 1, max: 400}
review: A made-up event of a test, which shows that one file is enough to add one.
"""


@pytest.fixture
def more_specs(tmp_path: Path) -> Path:
    for name in ("states.yaml", "families.yaml", "context.yaml", "features", "events"):
        copy = shutil.copytree if (SPECS / name).is_dir() else shutil.copy
        copy(SPECS / name, tmp_path / name)
    return tmp_path


def test_a_58th_event_is_one_file(more_specs: Path) -> None:
    (more_specs / "events" / "THREE_QUIET_BARS.yaml").write_text(NEW_EVENT)
    more = load_event_lab(more_specs)
    found = compute_events({"BTCUSDT": one_symbol(9, rows=3000)}, more).symbols["BTCUSDT"]
    assert len(more.active) == 58
    assert found.flags["THREE_QUIET_BARS"].sum() > 5
    rows = event_rows(found.flags, found.states, more.events["THREE_QUIET_BARS"], "2024-12")
    assert rows.height == found.flags["THREE_QUIET_BARS"].sum()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("run(tiny_move)==bars", "lag(ret1,-1)>0", r"lag 'k' was -1, which would read the future"),
        ("run(tiny_move)==bars", "rolling(ret1,3)>0", r"no primitive 'rolling'[\s\S]*THREE_QUIET_BARS.yaml:9:12"),
        ("run(tiny_move)==bars", "ret1+1", r"THREE_QUIET_BARS: condition must be a condition"),
        ("inputs: [close]", "inputs: [close, oi]", r"declared inputs of THREE_QUIET_BARS[\s\S]*not read: \['oi'\]"),
    ],
)
def test_a_fault_in_a_rule_is_shown_in_its_line(more_specs: Path, old: str, new: str, message: str) -> None:
    (more_specs / "events" / "THREE_QUIET_BARS.yaml").write_text(NEW_EVENT.strip().replace(old, new))
    with pytest.raises(SpecError, match=message):
        event_plan(load_event_lab(more_specs))
