"""States, windows, rows and what is not available, on a handful of bars written down here."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl

from quant_platform.contracts.schemas.events import STATE_COLUMNS
from quant_platform.expressions import Evaluation
from quant_platform.labs.events.detection.compute import compute_events, compute_symbol, onsets_of
from quant_platform.labs.events.detection.context import market_context
from quant_platform.labs.events.detection.grid import BAR
from quant_platform.labs.events.detection.labels import Absent, Fired, state_columns
from quant_platform.labs.events.detection.plan import EventPlan
from quant_platform.labs.events.detection.rows import event_rows
from quant_platform.labs.events.detection.states import band_labels
from quant_platform.specification.states import AfterEventState
from quant_platform_tests.labs.events.detection.test_onsets_and_states import bits
from quant_platform_tests.labs.events.detection.worlds import START, lab, one_symbol, plan

NAN = float("nan")
FIRST, SECOND = "VOL_SHOCK", "OI_FLUSH"


def windows(*names: str) -> EventPlan:
    """The shipped plan with a window of three bars after each of the named events."""
    state = lab().states["event_window"]
    assert isinstance(state, AfterEventState)
    events = lab().events | {name: lab().events[name].model_copy(update={"max_active_bars": 3}) for name in names}
    states = dict(lab().states) | {"event_window": state.model_copy(update={"events": names})}
    return replace(plan(), lab=replace(lab(), events=events, states=states))


def labelled(
    name: str,
    values: dict[str, list[float] | str],
    *,
    given: EventPlan | None = None,
    first_bar: int = 0,
    **options: object,
) -> list[str | None]:
    """One state of as many bars as there are values; a text is a condition."""
    arrays = {key: bits(v) if isinstance(v, str) else np.array(v) for key, v in values.items()}
    fired = options.get("fired", {})
    rows = int(str(options.get("rows", 0))) or len(next(iter(values.values())))
    bars = (first_bar + np.arange(rows)) * 300_000_000
    absent = Absent(options.get("absent", {}), rows)
    found = state_columns(given or plan(), Evaluation(arrays, {}), absent, fired, bars)
    assert found.columns == list(STATE_COLUMNS)
    return found[name].to_list()


def fired(accepted: str, known: str) -> Fired:
    return Fired(np.flatnonzero(bits(accepted)), bits(known))


def after(found: dict[str, Fired | None], exits: dict[str, str] | None = None) -> list[str]:
    values: dict[str, list[float] | str] = {f"{name}|exit": text for name, text in (exits or {}).items()}
    said = labelled("event_window", values, given=windows(FIRST, SECOND), fired=found, rows=8)
    return [{"post": "x", "quiet": ".", None: "?"}[label] for label in said]


def test_a_window_after_an_event_is_known_where_all_events_can_be_judged_or_one_has_fired() -> None:
    always, never = "xxxxxxxx", "........"
    nothing = fired(never, always)
    assert "".join(after({FIRST: fired("x.......", always), SECOND: nothing})) == ".xxx...."
    # Either event opens it, and the longer one ends it.
    assert "".join(after({FIRST: fired("x.......", always), SECOND: fired("..x.....", always)})) == ".xxxxx.."
    # What one of them cannot say leaves the window unknown, unless the other is inside its own.
    assert "".join(after({FIRST: fired("x.......", always), SECOND: fired(never, "......xx")})) == "?xxx??.."
    assert "".join(after({FIRST: fired(never, "....xxxx"), SECOND: fired(never, "..xxxxxx")})) == "????...."
    # An event that is not available has no say; without any there is no label.
    assert "".join(after({FIRST: fired("x.......", always), SECOND: None})) == ".xxx...."
    assert "".join(after({FIRST: None, SECOND: fired("..x.....", always)})) == "...xxx.."
    assert "".join(after({FIRST: None, SECOND: None})) == "????????"
    assert "".join(after({FIRST: fired("x.......", always), SECOND: nothing}, {FIRST: "..x....."})) == ".x......"


def test_a_band_keeps_its_label_on_the_lower_end_of_the_margin_and_changes_on_the_upper() -> None:
    """All numbers are exact in binary: edge 1/2, margin 1/4."""
    edge = np.array([0.5])
    assert band_labels(np.array([1.0, 0.25]), edge, 0.25, 10).tolist() == [1, 1]
    assert band_labels(np.array([1.0, 0.25 - 2.0**-50]), edge, 0.25, 10).tolist() == [1, 0]
    assert band_labels(np.array([0.0, 0.75]), edge, 0.25, 10).tolist() == [0, 1]
    assert band_labels(np.array([0.0, 0.75 - 2.0**-50]), edge, 0.25, 10).tolist() == [0, 0]
    # Without anything outside the margin the oldest number is above the edge where it lies on it.
    assert band_labels(np.array([0.5, 0.4]), edge, 0.25, 10).tolist() == [1, 1]
    # Two edges whose margins overlap: an eighth above one is not yet below it.
    edges = np.array([0.5, 0.75])
    assert band_labels(np.array([2.0, 0.5, 0.25, 0.125]), edges, 0.25, 10).tolist() == [2, 2, 1, 0]
    assert band_labels(np.array([0.0, 0.75, 1.0]), edges, 0.25, 10).tolist() == [0, 1, 2]


def test_the_memory_of_a_band_ends_after_its_bars() -> None:
    x = np.array([1.0, 0.4, 0.4, 0.4])
    assert band_labels(x, np.array([0.5]), 0.25, 2).tolist() == [1, 1, 1, 0]
    assert band_labels(x, np.array([0.5]), 0.25, 3).tolist() == [1, 1, 1, 1]
    assert band_labels(np.array([NAN, 0.6, NAN, 0.4]), np.array([0.5]), 0.25, 2).tolist() == [-1, 1, -1, 1]
    assert band_labels(np.array([NAN, 0.6, NAN, 0.4]), np.array([0.5]), 0.25, 1).tolist() == [-1, 1, -1, 0]


def test_states_are_named_by_their_band_or_their_first_rule() -> None:
    """Edges 0.33, 0.67 and 0.95 with a margin of 0.03 for volatility; the rules of the trend every third bar."""
    assert labelled("vol_regime", {"vol_regime|expression": [0.1, 0.35, 0.37, 0.72, 0.99, NAN]}) == [
        "low", "low", "mid", "high", "shock", None,
    ]  # fmt: skip
    rules: dict[str, list[float] | str] = {
        "trend_state|up": "x.......",
        "trend_state|down": "...x..x.",
        "trend_state|chop": "xxxx....",
    }
    assert labelled("trend_state", rules) == ["up", "up", "up", "down", "down", "down", "down", "down"]
    # Bar 7 is not a multiple of three; bar 9, the third here, is, and so is 12.
    assert labelled("trend_state", rules, first_bar=7) == [None, None, "chop", "chop", "chop", None, None, None]
    del rules["trend_state|down"]
    assert labelled("trend_state", rules) == [None] * 8


def test_a_state_is_not_known_where_a_column_of_it_is_not_there() -> None:
    values: dict[str, list[float] | str] = {"vol_regime|expression": [0.1, 0.1, 0.1, 0.5]}
    given = replace(plan(), state_columns=dict(plan().state_columns) | {"vol_regime": frozenset({"close", "oi"})})
    absent = {"close": bits("x..."), "oi": bits("..x."), "volume": bits("xxxx")}
    assert labelled("vol_regime", values, given=given, absent=absent) == [None, "low", None, "mid"]


def test_the_session_is_that_of_the_close_of_the_bar() -> None:
    """Monday 8 January 2024, 07:50 and 07:55 in London: the second bar closes as its session begins."""
    first = int(dt.datetime(2024, 1, 8, 7, 50, tzinfo=dt.UTC).timestamp()) // 300
    assert labelled("session", {"vol_regime|expression": [0.1, 0.1]}, first_bar=first) == ["asia", "europe"]


def flagged(event: str, rows: list[tuple[str, str, int, float | None, float, float]]) -> pl.DataFrame:
    """Symbol, month, bar from the month's first, flag, direction, intensity."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "month": month,
                "bar": dt.datetime.fromisoformat(f"{month}-01").replace(tzinfo=dt.UTC) + bar * BAR,
                event: flag,
                f"{event}__direction": direction,
                f"{event}__intensity": intensity,
            }
            for symbol, month, bar, flag, direction, intensity in rows
        ],
        schema_overrides={"bar": pl.Datetime("us", "UTC"), event: pl.Float64},
    )


def test_rows_are_the_accepted_onsets_up_to_the_cutoff() -> None:
    event = lab().events[FIRST].model_copy(update={"entry_lag_bars": 3})
    flags = flagged(
        FIRST,
        [
            ("B", "2024-01", 2, 1.0, -1.0, 2.5),
            ("A", "2024-01", 1, 0.0, 1.0, 9.0),
            ("A", "2024-02", 4, 1.0, 1.0, 3.5),
            ("A", "2024-02", 5, None, 1.0, 9.0),
            ("A", "2024-03", 0, 1.0, 1.0, 9.0),
            ("A", "2024-01", 3, 1.0, 0.0, 1.5),
        ],
    )
    states = flags.select("symbol", "bar").with_columns(pl.lit(None, pl.String).alias(name) for name in STATE_COLUMNS)
    states = states.with_columns(vol_regime=pl.concat_str("symbol", pl.col("bar").dt.minute().cast(pl.String)))
    found = event_rows(flags, states, event, "2024-02")
    assert found.select("symbol", "direction", "intensity", "vol_regime").rows() == [
        ("A", 0, 1.5, "A15"),
        ("A", 1, 3.5, "A20"),
        ("B", -1, 2.5, "B10"),
    ]
    february = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
    assert found.row(1, named=True)["bar"] == february + dt.timedelta(minutes=20)
    assert found.row(1, named=True)["event_ts"] == february + dt.timedelta(minutes=25)
    assert found.row(1, named=True)["entry_bar"] == february + dt.timedelta(minutes=35)
    assert set(found.select("event_id", "cutoff", "family").unique().rows()) == {(FIRST, "2024-02", event.family)}


def test_a_column_that_is_not_there_is_null_and_one_that_is_missing_on_a_bar_is_not_a_number() -> None:
    frame = one_symbol(9, rows=60, gap_share=0.0).drop("spot_close", "oi")
    frame = frame.with_columns(close=pl.when(pl.int_range(pl.len()) == 40).then(NAN).otherwise("close"))
    found = compute_events({"BTCUSDT": frame}, lab()).symbols["BTCUSDT"]
    assert found.not_available["BASIS_DISLOC"] == ("spot_close",)
    assert found.not_available["oi_state"] == ("oi",)
    assert found.features["basis_bps"].null_count() == 60
    returns = np.diff(np.log(frame["close"].to_numpy()), prepend=NAN)
    assert found.features["ret1"].null_count() == 0
    np.testing.assert_allclose(found.features["ret1"].to_numpy(), returns, rtol=1e-9, atol=1e-15)
    assert np.isnan(returns).sum() == 3
    assert found.states["oi_state"].null_count() == 60
    assert found.flags["BASIS_DISLOC"].null_count() == 60


def test_an_event_fires_where_its_rule_direction_and_intensity_are_known_and_its_memory_is_full() -> None:
    """The rule is a close above 100, its direction the side of the open, its intensity the volume.

    A rising onset needs the bar before and a quiet period of two bars the two before that: of the first three bars
    nobody can say anything.
    """
    rule = {
        "condition": "close>100", "direction": "sgn(open-100)", "intensity": "volume", "definitions": {}, "params": {},
        "onset": "rising", "cooldown_bars": 2,
    }  # fmt: skip
    event = lab().events["BAND_BREAK"].model_copy(update=rule)
    high = bits("x.xx.x.x.xx.xx...x..x")
    frame = one_symbol(9, rows=high.size, gap_share=0.0).with_columns(
        close=np.where(high, 101.0, 99.0), open=pl.Series([99.0] * 11 + [101.0] * 10), volume=pl.Series(np.arange(21.0))
    )
    row = pl.int_range(pl.len())
    frame = frame.with_columns(
        # Bar 9 has no volume and bar 12 no open: their streaks begin a bar later. On bar 17 volume is not available.
        volume=pl.when(row == 9).then(NAN).when(row != 17).then("volume"),
        open=pl.when(row == 12).then(NAN).otherwise("open"),
    )
    context = market_context({"BTCUSDT": frame}, lab().context)
    found = onsets_of(event, {"BTCUSDT": frame}, context, lab())
    # Onsets on 2, 5, 7, 10, 13 and 20; that on 7 has one two bars before it.
    fired = [5, 10, 13, 20]
    unknown = [0, 1, 2, 17]
    expected = [None if bar in unknown else float(bar in fired) for bar in range(21)]
    assert found["BAND_BREAK"].to_list() == expected
    assert found["BAND_BREAK__direction"].drop_nulls().to_list() == [-1.0, -1.0, 1.0, 1.0]
    assert found["BAND_BREAK__intensity"].drop_nulls().to_list() == [5.0, 10.0, 13.0, 20.0]
    assert found.filter(pl.col("BAND_BREAK__direction").is_not_null())["BAND_BREAK"].to_list() == [1.0] * 4


def test_a_result_since_a_bar_is_the_end_of_the_whole() -> None:
    frame = one_symbol(9, rows=40)
    context = market_context({"BTCUSDT": frame}, lab().context)["BTCUSDT"]
    whole = compute_symbol(frame, context, plan())
    part = compute_symbol(frame, context, plan(), since=START + 10 * BAR)
    for name in ("features", "states", "flags"):
        assert getattr(part, name).equals(getattr(whole, name)[10:], null_equal=True)
    assert part.features["bar"][0] == START + 10 * BAR
    panel = compute_events({"BTCUSDT": frame}, lab(), since=START + 10 * BAR)
    assert panel.context["BTCUSDT"].equals(context[10:], null_equal=True)
    assert panel.symbols["BTCUSDT"].flags.equals(part.flags, null_equal=True)


def test_null_on_some_rows_is_not_available_there_and_a_feature_says_so() -> None:
    frame = one_symbol(9, rows=50)
    frame = frame.with_columns(taker_buy_volume=pl.when(pl.int_range(pl.len()) >= 20).then("taker_buy_volume"))
    found = compute_events({"BTCUSDT": frame}, lab()).symbols["BTCUSDT"]
    assert found.features["ofi3"].is_null().to_list() == [True] * 20 + [False] * 30
    assert found.features["ret1"].null_count() == 0
