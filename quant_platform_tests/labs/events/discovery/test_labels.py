from __future__ import annotations

from datetime import timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.labs.events.discovery.cells import event_rows, outcomes
from quant_platform.labs.events.discovery.label_kernels import walk_to_pullback, walk_to_target_or_stop
from quant_platform.labs.events.discovery.labels import LabelStore, _rolling
from quant_platform.labs.events.discovery.segments import Segment, segments
from quant_platform.market.perp_panel import BARS_PER_DAY, PricePanel, price_panel
from quant_platform_tests.labs.events.discovery.worlds import START, SYMBOLS, panel, random_events, specs

DAYS = 20
SPECS = specs([])


@cache
def the_panel():
    return panel(3, days=DAYS)


STORE = LabelStore(the_panel(), SPECS.discovery)
WHOLE = Segment("all", 0, DAYS)


def looked_up(template: str, events: pl.DataFrame, horizon: int, store: LabelStore = STORE, segment: Segment = WHOLE):
    rows = event_rows(events, store.panel, segment, [])
    return rows, outcomes(store, rows, SPECS.templates[template], horizon, 1, segment)


def test_forward_return_is_open_to_open_after_the_lag():
    rows, found = looked_up("continuation", random_events(1, ["E"], days=DAYS), 3)
    opens = the_panel().columns["open"]
    for i in range(0, rows.positions.size, 7):
        s, t, d = rows.symbols[i], rows.positions[i], rows.directions[i]
        if t + 4 < the_panel().periods:
            assert found.values[i] == pytest.approx(1e4 * d * np.log(opens[s, t + 4] / opens[s, t + 1]), rel=1e-9)
        else:
            assert np.isnan(found.values[i])


def test_hedge_takes_out_the_mean_of_the_others():
    rows, found = looked_up("continuation", random_events(1, ["E"], days=DAYS), 12)
    logs = np.log(the_panel().columns["open"])
    i = 5
    s, t, d = rows.symbols[i], rows.positions[i], rows.directions[i]
    moves = logs[:, t + 13] - logs[:, t + 1]
    bench = np.delete(moves, s).mean()
    assert found.hedged[i] == pytest.approx(1e4 * d * (moves[s] - 1.0 * bench), rel=1e-9)
    residual = looked_up("convergence", random_events(1, ["E"], days=DAYS), 12)[1]
    assert residual.values[i] == pytest.approx(found.hedged[i])


def test_outcomes_that_end_after_the_window_are_left_out():
    segment = Segment("train", 0, 10)
    rows, found = looked_up("continuation", random_events(2, ["E"], days=DAYS, per_day=40), 12, segment=segment)
    last = np.where(~np.isnan(found.values), rows.positions, 0).max()
    assert last <= 10 * BARS_PER_DAY - 14
    late = rows.positions > 10 * BARS_PER_DAY - 14
    assert late.any()
    assert np.isnan(found.values[late]).all()


def test_nothing_after_the_window_is_read():
    segment = Segment("train", 0, 10)
    columns = {name: values.copy() for name, values in the_panel().columns.items()}
    for values in columns.values():
        values[:, 10 * BARS_PER_DAY :] = np.nan
    blind = LabelStore(PricePanel(SYMBOLS, START, columns), SPECS.discovery)
    events = random_events(2, ["E"], days=10, per_day=20)
    for template in ("continuation", "overshoot_repair", "pullback_entry", "convexity_capture", "drawdown_filter"):
        seen = looked_up(template, events, 12, segment=segment)[1]
        unseen = looked_up(template, events, 12, store=blind, segment=segment)[1]
        np.testing.assert_array_equal(seen.values, unseen.values)
        assert np.isfinite(seen.values).sum() > 100


def walk(opens, closes, target, stop, position, horizon):
    size = len(opens)
    outcome, exits = np.empty(size), np.empty(size, np.int64)
    levels = (np.full(size, target, dtype=float), np.full(size, stop, dtype=float))
    arrays = [np.array(x, dtype=float) for x in (opens, closes)]
    walk_to_target_or_stop(*arrays, *levels, position, 1, horizon, outcome, exits)
    return outcome[0], exits[0]


NAN = np.nan
LONG = [
    ("target", [0, 0, 1, 3, 1], [0, 1, 2, 1, 1], 3.0, 3),
    ("stop", [0, 0, -3, 1, 1], [0, -2, 1, 1, 1], -3.0, 2),
    ("horizon", [0, 0, 1, 1, 0.5], [0, 1, 1, 1, 9], 0.5, 4),
    ("a missing bar is passed over", [0, 0, NAN, 1, 0.5], [0, 1, NAN, 1, 9], 0.5, 4),
    ("the next open is missing", [0, 0, NAN, -4, 0.5], [0, -3, NAN, 1, 9], -4.0, 3),
]


@pytest.mark.parametrize(("case", "opens", "closes", "outcome", "end"), LONG, ids=[row[0] for row in LONG])
def test_target_and_stop_by_hand(case, opens, closes, outcome, end):
    assert walk(opens, closes, 2.0, -2.0, 1.0, 3) == (outcome, end)
    mirrored = [[-x for x in values] for values in (opens, closes)]
    assert walk(*mirrored, -2.0, 2.0, -1.0, 3) == (outcome, end)


def test_no_trade_where_the_stop_is_already_passed_and_no_target_behind_the_entry():
    assert np.isnan(walk([0, 0, 1, 1, 1], [0] * 5, 2.0, 0.5, 1.0, 3)[0])
    assert walk([0, 0, 1, 1, 1], [0, 1, 1, 1, 1], -1.0, -2.0, 1.0, 3) == (1.0, 4)


def test_pullback_by_hand():
    opens, closes = np.array([0.0, 0, -2, 3, 4, 7]), np.array([0.0, -1, 3, 3, 4, 7])
    outcome, entries, exits = np.empty(6), np.empty(6, np.int64), np.empty(6, np.int64)
    walk_to_pullback(opens, closes, np.full(6, -1.0), 1.0, 1, 2, 2, outcome, entries, exits)
    assert (outcome[0], entries[0], exits[0]) == (6.0, 2, 4)
    walk_to_pullback(opens, closes, np.full(6, -9.0), 1.0, 1, 2, 2, outcome, entries, exits)
    assert outcome[0] == 0.0
    walk_to_pullback(-opens, -closes, np.full(6, 1.0), -1.0, 1, 2, 2, outcome, entries, exits)
    assert (outcome[0], entries[0], exits[0]) == (6.0, 2, 4)


@pytest.mark.parametrize("template", ["continuation", "overshoot_repair", "pullback_entry", "exhaustion_reversal"])
def test_on_a_martingale_no_trade_earns_anything(template):
    market = panel(11, days=200)
    found = LabelStore(market, SPECS.discovery).table(SPECS.templates[template], 12, 1)
    # Every third hour, so that outcomes do not overlap.
    for direction in (0, 1):
        picked = found.tracks(found.values, slice(None))[direction:-1:2, 300::36]
        by_time = np.array([column[~np.isnan(column)].mean() for column in picked.T if not np.isnan(column).all()])
        t = by_time.mean() / (by_time.std(ddof=1) / np.sqrt(by_time.size))
        assert by_time.size > 1000
        assert abs(t) < 3.5


def test_funding_is_paid_at_the_settlements_a_position_is_held_through():
    settle, rate = np.zeros((3, DAYS * BARS_PER_DAY)), np.zeros((3, DAYS * BARS_PER_DAY))
    settle[:, 100], rate[:, 100:] = 1.0, 0.001
    columns = {**the_panel().columns, "funding_settle": settle, "funding_rate": rate}
    store = LabelStore(PricePanel(SYMBOLS, START, columns), SPECS.discovery)
    table = store.table(SPECS.templates["continuation"], 3, 1)
    bars, first = np.arange(94, 101), np.zeros(7, dtype=np.int64)
    # Entry at bar t + 1, exit at t + 4: the settlement at the open of bar 100 falls to entries 97 to 99.
    assert store.funding(table, first, bars, first + 1).tolist() == [0.0, 0.0, 10.0, 10.0, 10.0, 0.0, 0.0]
    assert store.funding(table, first, bars, first - 1)[3] == -10.0


@pytest.mark.parametrize(("template", "side"), [("pullback_entry", 1.0), ("exhaustion_reversal", -1.0)])
def test_a_trade_that_ends_on_its_path_pays_the_funding_of_the_bars_it_is_held(template, side):
    shape = (3, DAYS * BARS_PER_DAY)
    columns = {**the_panel().columns, "funding_settle": np.ones(shape), "funding_rate": np.full(shape, 0.001)}
    store = LabelStore(PricePanel(SYMBOLS, START, columns), SPECS.discovery)
    rows, found = looked_up(template, random_events(1, ["E"], days=DAYS, per_day=20), 12, store=store)
    traded = ~np.isnan(found.values) & (found.values != 0.0)
    bars_held = side * rows.directions[traded] * found.funding[traded] / 10.0
    assert traded.sum() > 100
    if template == "pullback_entry":
        np.testing.assert_allclose(bars_held, 12.0, rtol=1e-9)
        assert not found.funding[found.values == 0.0].any()
    else:
        assert bars_held.max() == pytest.approx(12.0)
        assert bars_held.min() == pytest.approx(1.0)


@pytest.mark.parametrize("template", sorted(name for name, found in SPECS.templates.items() if found.label))
def test_the_series_that_events_are_shifted_along_holds_the_outcome_of_each(template):
    segment = Segment("train", 2, 18)
    _, found = looked_up(template, random_events(5, ["E"], days=DAYS, per_day=30), 12, segment=segment)
    series = found.series()
    np.testing.assert_array_equal(series[found.tracks, found.positions], found.values)
    assert np.isnan(series[-1]).all()
    assert np.isnan(series[:, -found.table.reach :]).all()
    assert np.isnan(found.values).any()
    if found.table.layout == "mirrored":
        np.testing.assert_array_equal(series[0:-1:2], -series[1:-1:2])
    if found.table.hedged is not None:
        np.testing.assert_array_equal(found.series(hedged=True)[found.tracks, found.positions], found.hedged)
    else:
        assert np.isnan(found.hedged).all()


def test_cost_by_hand_and_never_zero_where_the_book_is_unknown():
    t = 500
    sigma = the_panel().columns["rv12"][0, t]
    expected = 4.0 + 0.5 + sigma * np.sqrt(10_000 / 1e6) * 1e4
    assert STORE.cost[0, t] == pytest.approx(expected, rel=1e-9)
    bare = {name: the_panel().columns[name] for name in ("open", "high", "low", "close")}
    assert np.unique(LabelStore(PricePanel(SYMBOLS, START, bare), SPECS.discovery).cost).tolist() == [4.0 + 1.0 + 2.0]


def test_excess_labels_compare_with_the_same_clock_bar_of_finished_days():
    table = STORE.table(SPECS.templates["volatility_expansion_follow"], 3, 1)
    move = 1e4 * np.abs(np.log(the_panel().columns["open"][0, 4:] / the_panel().columns["open"][0, 1:-3]))
    t = 16 * BARS_PER_DAY + 77
    before = [move[t - BARS_PER_DAY * k] for k in range(1, 15)]
    assert table.values[0, t] == pytest.approx(move[t] - np.mean(before), rel=1e-9)
    assert np.isnan(table.values[0, : 6 * BARS_PER_DAY]).all()


def test_windows_do_not_touch():
    train, validation, test = segments(100, SPECS.discovery.split, "FUNDING_EPISODE")
    assert (train.first_day, train.last_day, validation.first_day, validation.last_day) == (0, 60, 65, 80)
    assert (test.first_day, test.last_day) == (85, 100)
    assert segments(100, SPECS.discovery.split, "TREND_STRUCTURE")[1].first_day == 61


def test_a_panel_is_whole_days_and_refuses_what_does_not_fit():
    bars = [START + timedelta(minutes=5 * (k + 3)) for k in range(300)]
    frame = pl.DataFrame({"bar": bars, **{name: [1.0] * 300 for name in ("open", "high", "low", "close")}})
    found = price_panel({"AAAUSDT": frame, "BBBUSDT": frame.head(10)})
    assert (found.periods, found.days, found.start) == (576, 2, START)
    assert np.isnan(found.columns["open"][0, :3]).all()
    assert np.isnan(found.columns["open"][1, 13:]).all()
    with pytest.raises(SchemaViolation, match="a bar stands twice"):
        price_panel({"AAAUSDT": pl.concat([frame, frame])})
    with pytest.raises(SchemaViolation, match=r"five-minute grid[\s\S]*300 of 300"):
        price_panel({"AAAUSDT": frame.with_columns(pl.col("bar") + pl.duration(minutes=1))})
    with pytest.raises(SchemaViolation, match="there is no bar"):
        price_panel({})
    with pytest.raises(SchemaViolation, match=r"outside the price panel[\s\S]*ZZZ"):
        event_rows(random_events(1, ["E"], symbols=("ZZZ",)), found, WHOLE, [])


def test_funding_that_nobody_knows_is_charged_to_both_sides_and_is_not_turned():
    """Three bars of five minutes are 3 / 96 of eight hours: 3 bps x 3 / 96."""
    shape = (3, DAYS * BARS_PER_DAY)
    columns = {name: values for name, values in the_panel().columns.items() if not name.startswith("funding")}
    cost = SPECS.discovery.cost.model_copy(update={"unknown_funding_bps": 3.0})
    spec = SPECS.discovery.model_copy(update={"cost": cost})
    known = {**columns, "funding_settle": np.zeros(shape), "funding_rate": np.full(shape, 1e-4)}
    for there, expected in ((columns, 3.0 * 3 / 96), (known, 0.0)):
        store = LabelStore(PricePanel(SYMBOLS, START, there), spec)
        table = store.table(SPECS.templates["continuation"], 3, 1)
        bars, first = np.arange(94, 101), np.zeros(7, dtype=np.int64)
        for direction in (1, -1):
            assert store.unknown_funding(table, first, bars, first + direction).tolist() == pytest.approx(
                [expected] * 7
            )
            assert not store.funding(table, first, bars, first + direction).any()


@pytest.mark.parametrize(("kind", "of"), [("max", np.nanmax), ("min", np.nanmin), ("mean", np.nanmean)])
def test_nine_tenths_of_the_bars_must_be_there(kind, of):
    values = np.array([4.0, 1.0, 9.0, 2.0, 7.0, 3.0, 8.0, 6.0, 5.0, 2.5, np.nan, np.nan])
    found = _rolling(values, 10, kind)
    assert found[9] == pytest.approx(of(values[:10]))
    assert found[10] == pytest.approx(of(values[1:11]))
    assert np.isnan(found[11])
    # Nine bars are enough at the beginning too.
    assert found[8] == pytest.approx(of(values[:9]))
    assert np.isnan(found[:8]).all()
