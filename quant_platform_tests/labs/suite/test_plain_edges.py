"""First rows, last rows, empty parts, words of a refusal: where a suite could be wrong without a number moving."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import CalendarError, NotAvailable, SchemaViolation, SignalInvalid
from quant_platform.labs.suite.api import _spread
from quant_platform.labs.suite.backtest import Workbench, require_panel, run_variants
from quant_platform.labs.suite.book import Targets, run_book
from quant_platform.labs.suite.capacity import _crossing, _holdings
from quant_platform.labs.suite.contract import validate
from quant_platform.labs.suite.costs import CostRates
from quant_platform.labs.suite.frames import (
    composite_frame,
    dates_frame,
    exposures_frame,
    panel_of_frames,
    rejects_frame,
    returns_frame,
    signal_frame,
)
from quant_platform.labs.suite.own_panel import OwnFrames, _require_same, index_bars, own_panel, own_sessions
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.reading import _first_line
from quant_platform.labs.suite.sessions import align_dates, session_clock
from quant_platform.labs.suite.suite import prepare_baselines
from quant_platform.labs.suite.summary import SUMMARY_SCHEMA, _line
from quant_platform.labs.suite.trials import select, trial_rows
from quant_platform.labs.suite.verdict import _cost_multiple, _periods_for
from quant_platform.market.calendar import session_array
from quant_platform.specification.suite import BacktestConfig, load_preset
from quant_platform_tests.labs.suite.truth import NOW, SPECS, SPECS_FOLDER
from quant_platform_tests.labs.suite.worlds import make_panel, slow_signal

NAN = math.nan
CLOCK = session_clock("XNYS")
DAYS = session_array("XNYS", date(2024, 1, 2), date(2024, 2, 15))


def same(*values: float) -> Any:
    return pytest.approx(list(values), nan_ok=True)


def day(row: int) -> date:
    found: date = DAYS[row].item()
    return found


# A panel of somebody's own returns.
def own(*, descriptors: pl.DataFrame | None = None, risk: pl.DataFrame | None = None, **columns: Any) -> OwnFrames:
    """Two names over all sessions, the second gone after row 5; every column has its own value."""
    rows = [
        {"ticker": name, "session": day(row), "ret": 0.01, "ret_open_to_close": 0.002, "ret_open_to_open": 0.003}
        for name, last in (("A", len(DAYS)), ("B", 6))
        for row in range(last)
    ]
    none = pl.DataFrame(schema={"ticker": pl.String, "session": pl.Date})
    returns = pl.DataFrame(rows).with_columns(**columns)
    return OwnFrames(
        returns, none if descriptors is None else descriptors, none if risk is None else risk, None, 90, 90
    )


def test_opens_are_taken_where_they_are_stated() -> None:
    made = own_panel(own(), SPECS.suite, exchange="XNYS")
    assert made.open_returns is not None
    assert made.intraday is not None
    assert made.open_returns[:, 1].tolist() == same(*[0.003] * 6, 0.0, *[NAN] * (len(DAYS) - 7))
    assert made.intraday[:, 1].tolist() == same(*[0.002] * 6, *[NAN] * (len(DAYS) - 6))
    assert made.returns[:, 1].tolist() == same(*[0.01] * 6, 0.0, *[NAN] * (len(DAYS) - 7))
    assert "open" not in made.not_available
    none = own_panel(
        own(ret_open_to_open=pl.lit(None, pl.Float64), ret_open_to_close=pl.lit(None, pl.Float64)), SPECS.suite,
        exchange="XNYS",
    )  # fmt: skip
    assert (none.open_returns, none.intraday) == (None, None)
    assert none.not_available["open"] == "the data have no opens"
    assert made.funding_unknown_hours is None
    hours = own_panel(own(funding_unknown_hours=pl.lit(2.0)), SPECS.suite, exchange="XNYS").funding_unknown_hours
    assert hours is not None
    assert hours[:, 0].tolist() == [2.0] * len(DAYS)


def stated(**columns: Any) -> pl.DataFrame:
    rows = [
        {"ticker": name, "session": day(0), "adv": 5e6, "market_cap": cap} for name, cap in (("A", 3e9), ("B", 1e9))
    ]
    return pl.DataFrame(rows).with_columns(**columns)


def test_what_is_stated_of_a_name_holds_while_it_is_there_and_a_row_longer() -> None:
    given = stated(volatility=pl.lit(0.03), member=pl.lit(1.0), industry=pl.Series(["Energy", "Banks"]))
    made = own_panel(own(descriptors=given), SPECS.suite, exchange="XNYS")
    gone = [True] * 7 + [False] * (len(DAYS) - 7)
    for values, level in ((made.adv, 5e6), (made.volatility, 0.03), (made.market_cap, 1e9)):
        assert values is not None
        assert np.isfinite(values[:, 1]).tolist() == gone
        assert (values[0, 1], values[6, 1]) == (level, level)
    # The larger of two is above the eightieth percentile of its date only where it is alone.
    assert made.cap_bucket[0].tolist() == [3, 1]
    assert made.cap_bucket[8].tolist() == [1, 0]
    assert (made.industries, made.industry[0].tolist()) == (("Banks", "Energy"), [1, 0])
    assert {"market_cap", "adv", "industry"}.isdisjoint(made.not_available)
    assert {"size", "volatility", "liquidity"} <= set(made.exposures)
    free = own_panel(own(descriptors=stated(market_cap=pl.lit(0.0), adv=pl.lit(0.0))), SPECS.suite, exchange="XNYS")
    assert free.market_cap is None
    assert "liquidity" not in free.exposures
    out = own_panel(own(descriptors=stated(member=pl.Series([1.0, 0.0]))), SPECS.suite, exchange="XNYS")
    assert out.universe[:6].tolist() == [[True, False]] * 6
    assert out.priced[:6].all()


def test_an_index_of_returns_ends_with_the_last_price_and_has_the_caps_of_its_rows() -> None:
    made = own_panel(own(descriptors=stated()), SPECS.suite, exchange="XNYS")
    bars = index_bars(made).filter(ticker="B")
    assert bars["close"].to_list() == same(*(1.01**k for k in range(1, 7)))
    assert bars["market_cap"].to_list() == [1e9] * 6


def test_dates_that_differ_are_shown_three_strange_ones_and_five_in_all() -> None:
    known = DAYS[:10]
    strange = np.array(["2024-01-06", "2024-01-07", "2024-01-13", "2024-01-14"], dtype="datetime64[D]")
    with pytest.raises(CalendarError) as caught:
        _require_same(np.concatenate([known[4:], strange]), known, "XNYS")
    text = str(caught.value)
    assert "4 dates are no session, 4 sessions are not stated" in text
    assert text.count("stated, no session of XNYS") == 3
    assert text.count("session of XNYS, not stated") == 2
    with pytest.raises(CalendarError) as caught:
        _require_same(known[7:], known, "XNYS")
    assert str(caught.value).count("session of XNYS, not stated") == 5
    _require_same(known, known, "XNYS")


def test_rows_of_a_day_are_sessions_and_rows_that_hold_may_lie_anywhere() -> None:
    sunday = stated(session=pl.lit(date(2024, 1, 7)))
    frames = own(descriptors=sunday)
    assert len(own_sessions(frames, CLOCK)) == len(DAYS)
    with pytest.raises(CalendarError, match="file of descriptors"):
        own_sessions(replace(frames, descriptors_age=0), CLOCK)
    risk = replace(frames, descriptors=stated(), risk=sunday, risk_age=0)
    with pytest.raises(CalendarError, match="file of risk"):
        own_sessions(risk, CLOCK)
    # What lies before the first return and after the last is nobody's business.
    outside = stated(session=pl.Series([date(2023, 12, 31), date(2024, 2, 18)]))
    assert len(own_sessions(replace(frames, descriptors=outside, descriptors_age=0), CLOCK)) == len(DAYS)


def test_what_was_stated_holds_to_its_last_day() -> None:
    """On Tuesday 2 January, for three days: on Friday 5 January it is as old as that, on Monday older."""
    frames = replace(own(descriptors=stated()), descriptors_age=3)
    made = own_panel(frames, SPECS.suite, exchange="XNYS")
    assert np.isfinite(made.adv[:, 0]).tolist() == [True] * 4 + [False] * (len(DAYS) - 4)


# Tables.
def test_exposures_of_a_name_without_returns_belong_to_another_snapshot() -> None:
    panel = make_panel(1, names=3, sessions=4)
    returns, exposures, dates = returns_frame(panel), exposures_frame(panel), dates_frame(panel)
    strange = exposures.with_columns(ticker=pl.col("ticker").replace("N0001", "N9999"))
    with pytest.raises(SchemaViolation, match=r"rows lie outside[\s\S]*4 of 12 rows"):
        panel_of_frames(returns, strange, dates, SPECS.suite, snapshot_id="", simulated=True)
    with pytest.raises(SchemaViolation, match=r"rows lie outside[\s\S]*3 of 12 rows"):
        panel_of_frames(returns, exposures, dates.head(3), SPECS.suite, snapshot_id="", simulated=True)
    for empty in ((returns.clear(), exposures, dates), (returns, exposures, dates.clear())):
        with pytest.raises(SchemaViolation, match="no rows to make a panel of"):
            panel_of_frames(*empty, SPECS.suite, snapshot_id="", simulated=True)


def test_a_panel_of_days_in_utc_has_the_days_of_its_year() -> None:
    clock = session_clock("UTC")
    first = int(clock.rows(np.array(["2024-01-05"], dtype="datetime64[D]"))[0])
    panel = replace(make_panel(1, names=2, sessions=3), clock=clock, sessions=clock.days[first : first + 3])
    frames = returns_frame(panel), exposures_frame(panel), dates_frame(panel)
    assert panel_of_frames(*frames, SPECS.suite, snapshot_id="", simulated=True).periods_per_year == 365
    assert clock.days[0] == np.datetime64("2009-01-01")
    assert clock.days[-1] == np.datetime64("2049-12-31")
    assert clock.closes[first] - clock.opens[first] == np.timedelta64(1, "D")


def test_a_table_without_models_or_rejects_is_empty_and_one_with_them_names_the_signal() -> None:
    assert composite_frame("s", None).is_empty()
    frame = pl.DataFrame(
        {
            "security_id": ["A", "Z"],
            "date_sig": ["2024-01-02"] * 2,
            "date_avail": ["2024-01-02"] * 2,
            "signal": ["1.5", "2"],
        }
    )
    found = validate(frame, CLOCK, {"A"}, contract=SPECS.contract, today=date(2024, 6, 3))
    good = signal_frame("s", found).to_dicts()
    assert [(row["signal"], row["security_id"], row["value"]) for row in good] == [("s", "A", 1.5)]
    bad = rejects_frame("s", found).to_dicts()
    assert [(row["signal"], row["security_id"], row["value"]) for row in bad] == [("s", "Z", "2")]


# Sessions.
def test_the_first_session_of_a_calendar_is_one() -> None:
    first = CLOCK.days[0].item()
    frame = pl.DataFrame({"security_id": ["A"], "date_sig": [first], "date_avail": [first], "signal": [1.0]})
    assert validate(frame, CLOCK, {"A"}, contract=SPECS.contract, today=date(2024, 6, 3)).clean
    made = align_dates(frame, CLOCK)
    assert made["date_close"].to_list() == [CLOCK.days[1].item()]
    wrong = pl.DataFrame({"date_sig": [first, date(2024, 7, 4)], "date_avail": [first, date(2024, 7, 4)]})
    with pytest.raises(CalendarError, match=r"1 of 2 moments"):
        align_dates(wrong, CLOCK)


def test_a_lag_of_nothing_is_none_and_the_last_sessions_have_no_return() -> None:
    last = CLOCK.days[-3:]
    frame = pl.DataFrame({"date_sig": last, "date_avail": last})
    found = align_dates(frame, CLOCK).select("date_close", "date_ret", "date_openret").rows()
    two, three = (stamp.item() for stamp in last[1:])
    assert found == [(two, three, two), (three, None, three), (None, None, None)]
    lagged = align_dates(frame, CLOCK, lag=1).select("date_close", "date_ret").rows()
    assert lagged == [(three, None), (None, None), (None, None)]


# Verdicts.
def test_a_rule_may_turn_at_a_small_part_of_the_costs_at_many_times_them_or_never() -> None:
    """Gains of 2 and 0 in turn: a mean of 1 less the cost, a deviation of 1 but for n - 1; one period a year."""
    gross, sd = np.array([2.0, 0.0] * 500), math.sqrt(1000.0 / 999.0)
    for cost, threshold, expected in (
        (np.full(1000, 20.0), 0.5 / sd, 0.025),
        (np.full(1000, 1.0), 0.5 / sd, 0.5),
        (np.full(1000, 0.01), 0.5 / sd, 50.0),
        (np.full(1000, 0.0001), 0.5 / sd, 5000.0),
        (np.full(1000, 0.00001), 0.5 / sd, math.inf),
    ):
        assert _cost_multiple(gross, cost, threshold, 1) == pytest.approx(expected, rel=1e-6)
    assert _cost_multiple(gross, np.ones(1000), 1.01 / sd, 1) is None
    assert _cost_multiple(gross, np.zeros(1000), 0.5, 1) == math.inf
    # Once a mean of 1 with a year of four periods.
    assert _cost_multiple(gross, np.ones(1000), 1.0 / sd, 4) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    # 1.644854 over 1.281552 is 1.283486, and over 0.253347 it is 6.492490; a half is as good as none.
    ("probability", "periods"),
    [(0.9, 1.0 + 10.0 * 1.283486**2), (0.6, 1.0 + 10.0 * 6.492490**2), (0.95, 11.0), (0.5, math.inf), (0.4, math.inf)],
)
def test_periods_until_a_ratio_is_significant(probability: float, periods: float) -> None:
    selection: Any = SimpleNamespace(estimate=SimpleNamespace(n=11), deflated=SimpleNamespace(probability=probability))
    assert _periods_for(selection, SPECS.verdict) == pytest.approx(periods, rel=1e-5)


# Books and ledgers.
def line(kept: list[float]) -> dict[str, Any]:
    net = np.array(kept)
    rows = np.ones(net.size, dtype=np.bool_)
    return dict(zip(SUMMARY_SCHEMA, _line("v", 100, 0.95, 1.0, "k", "s", net, net, net, rows), strict=True))


def test_one_session_has_a_return_and_no_deviation() -> None:
    one = line([0.25])
    assert (one["ann_return_net"], one["turnover"], one["positive_days"]) == (25.0, 0.25, 1.0)
    assert math.isnan(one["ann_volatility"])
    assert math.isnan(one["sharpe_gross"])
    two = line([0.25, -0.25])
    assert two["ann_volatility"] == pytest.approx(0.25 * math.sqrt(2.0) * 10.0)
    assert two["sharpe_gross"] == 0.0
    still = line([0.25, 0.25])
    assert (still["ann_volatility"], math.isnan(still["sharpe_gross"])) == (0.0, True)
    assert line([0.0, 0.1])["positive_days"] == 0.5, "nothing is not more than nothing"


def small_bench(sessions: int = 120) -> tuple[Workbench, Any]:
    panel = make_panel(5, names=40, sessions=sessions)
    made = Workbench(panel, SPECS.suite, SPECS.costs)
    return made, made.prepare(dense_signal("s", slow_signal(5, names=40, sessions=sessions)))


def test_ranks_are_compared_a_day_a_week_a_month_and_a_quarter_later() -> None:
    made, prepared = small_bench()
    config = BacktestConfig(mincos=2)
    about = run_variants(prepared, [config], made)[config.variant].diagnostics
    assert {name for name in about if name.startswith("rank_autocorrelation")} == {
        f"rank_autocorrelation_{lag}" for lag in (1, 5, 21, 63)
    }
    brief = run_variants(prepared, [config], made, detail="brief")[config.variant]
    assert (brief.fractiles, brief.ic_decay) == (None, None)
    assert not any(name.startswith("rank_autocorrelation") for name in brief.diagnostics)


def test_a_trial_is_known_by_its_signal_content_snapshot_and_config() -> None:
    made, prepared = small_bench()
    config = BacktestConfig(mincos=2)
    [found] = run_variants(prepared, [config], made).values()

    def key(**changes: Any) -> str:
        options = {"signal_hash": "h", "evaluated_at": NOW} | {k: v for k, v in changes.items() if k == "signal_hash"}
        one = replace(found, **{k: v for k, v in changes.items() if k != "signal_hash"})
        [row] = trial_rows([one], **options).to_dicts()
        assert (row["signal"], row["variant"], row["sessions"]) == (one.signal, one.variant, 119)
        assert row["sharpe_net"] == pytest.approx(found.overall("sharpe_net") / math.sqrt(252.0))
        assert len(row["trial_id"]) == 32
        return str(row["trial_id"])

    changes: list[dict[str, Any]] = [
        {}, {"signal": "t"}, {"signal_hash": "i"}, {"snapshot_id": "x"}, {"config": BacktestConfig(mincos=2, lag=1)},
    ]  # fmt: skip
    assert len({key(**change) for change in changes}) == 5
    assert key() == key()


def test_too_few_rows_for_two_a_block_leave_no_overfitting() -> None:
    net = np.random.default_rng(1).normal(0.0, 0.01, 9)
    results: Any = [SimpleNamespace(signal="s", book=SimpleNamespace(net=one, first=0)) for one in (net, -net)]
    schema = {"trial_id": pl.String, "signal": pl.String, "sharpe_net": pl.Float64}
    ledger = pl.DataFrame([("a", "s", 0.1)], schema=schema, orient="row")
    found = select(results[0], results, ledger, confidence=0.95, blocks=6, periods_per_year=252).overfitting
    assert math.isnan(found.probability)
    assert (found.logits.size, found.n_variants, found.n_blocks) == (0, 2, 6)


def test_a_panel_narrower_than_a_cross_section_needs_says_what_each_number_needs() -> None:
    """Eight names of the twenty that an IC needs; ten for ten fractiles, twenty for two legs of ten."""
    with pytest.raises(NotAvailable) as caught:
        require_panel(make_panel(1, names=8, sessions=3), SPECS.suite)
    text = str(caught.value)
    assert "8 of at least 20 names" in text
    assert text.count("names needed=20") == 3
    assert text.count("names needed=10") == 1
    with pytest.raises(NotAvailable) as caught:
        require_panel(make_panel(1, names=10, sessions=3), SPECS.suite)
    assert "names needed=10" not in str(caught.value), "ten fractiles can be made of ten names"
    require_panel(make_panel(1, names=20, sessions=3), SPECS.suite)


def test_a_baseline_without_a_portfolio_is_left_out() -> None:
    """A tenth of 120 names makes a leg; a tenth of five does not."""
    made = Workbench(make_panel(5, names=120, sessions=40), SPECS.suite, SPECS.costs)
    few = np.full(made.panel.shape, NAN)
    few[:, :5] = slow_signal(5, names=5, sessions=40)
    preset = load_preset(SPECS_FOLDER, "STANDARD")
    score = dense_signal("whole", slow_signal(6, names=120, sessions=40))
    found = prepare_baselines([dense_signal("few", few), score], made, preset)
    assert list(found) == ["whole"]
    config = found["whole"][1].config
    assert (config.residualize, config.lag) == ("off", 0)
    assert found["whole"][1].summary["slice_kind"].to_list() == ["overall"]
    assert prepare_baselines([score], made, preset.model_copy(update={"baselines": False})) == {}


def test_capacity_ends_where_the_curve_meets_its_floor() -> None:
    curve = pl.DataFrame({"capital": [1.0, 10.0, 100.0, 1000.0], "sharpe_net": [4.0, 3.0, 3.0, 1.0]})
    # From 3 at 100 to 1 at 1000: 2.5 is a quarter of the way, in the log.
    assert _crossing(curve, 2.5) == pytest.approx(10.0**2.25)
    assert _crossing(curve, 3.0) == pytest.approx(10.0), "the first that is not above it"
    assert _crossing(curve, 4.0) == 0.0
    assert _crossing(curve, 0.99) == math.inf
    nothing: Any = SimpleNamespace(held=None)
    found = _holdings(nothing, make_panel(1, names=3, sessions=4), 1.0)
    assert set(found) == {"names", "median_adv", "median_market_cap", "largest_position_over_adv"}
    assert all(math.isnan(value) for value in found.values())


def test_a_signal_in_any_form_stands_on_the_panel_under_its_own_name() -> None:
    panel = make_panel(1, names=2, sessions=5)
    days = panel.sessions
    frame = pl.DataFrame({"security_id": ["N0000"], "date_sig": days[:1], "date_avail": days[:1], "signal": [2.0]})
    made = _spread(frame, panel, "given")
    assert (made.name, made.at_close[1, 0]) == ("given", 2.0)
    assert _spread(made, panel, "other") is made
    clock, later = panel.clock, days[-1].item() + timedelta(days=9)
    checked = validate(frame, clock, panel.tickers, contract=SPECS.contract, today=later)
    assert _spread(checked, panel, "given").name == "given"
    named = validate(
        frame.with_columns(signal_name=pl.lit("said")), clock, panel.tickers, contract=SPECS.contract, today=later
    )
    assert _spread(named, panel, "given").name == "said"
    with pytest.raises(SignalInvalid, match="the frame lacks date_avail, signal"):
        _spread(frame.drop("signal", "date_avail"), panel, "given")


def test_of_an_error_the_first_line_is_shown_up_to_160_letters() -> None:
    assert _first_line(ValueError("\n first \n second")) == "first "
    assert _first_line(ValueError("x" * 200)) == "x" * 160
    assert _first_line(ValueError("")) == "ValueError"


@pytest.mark.parametrize("word", ["", "NA", "nan", "n/a", "NULL", "None", "nil", "#N/A", "-", " na "])
@pytest.mark.parametrize("column", ["date_sig", "date_avail", "signal"])
def test_words_for_nothing_are_missing_values_and_other_words_are_unreadable(column: str, word: str) -> None:
    frame = pl.DataFrame(
        {"security_id": ["A", "A"], "date_sig": ["2024-01-02", "2024-01-03"],
         "date_avail": ["2024-01-02", "2024-01-03"], "signal": ["1", "2"]}
    )  # fmt: skip
    for written, code in ((word, "signal_missing"), ("soon", "signal_type_invalid")):
        row = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(written)).otherwise(column)
        found = validate(
            frame.with_columns(row.alias(column)), CLOCK, {"A"}, contract=SPECS.contract, today=date(2024, 6, 3)
        )
        assert found.rejects.select("row", "code").rows() == [(0, code)]


def test_a_day_after_the_last_session_of_the_calendar_is_no_other_than_before() -> None:
    last = CLOCK.days[-1].item()
    frame = pl.DataFrame({"security_id": ["A"], "date_sig": [last], "date_avail": [last], "signal": [1.0]})
    for today in (last, last + timedelta(days=400)):
        assert validate(frame, CLOCK, {"A"}, contract=SPECS.contract, today=today).clean


def test_names_are_counted_on_their_own_side() -> None:
    """Two thirds of the names are short: 1 long of one name, 0.25 and 0.75 short of two."""
    panel = replace(make_panel(1, names=3, sessions=2, industries=1), returns=np.zeros((2, 3)))
    made = Targets(np.array([[1.0, -0.25, -0.75], [0.0, 0.0, 0.0]]), np.array([True, False]))
    book = run_book(made, panel, CostRates(np.zeros((1, 1)), np.zeros((1, 1))), lag=0, capital=1.0, max_age=9)
    assert (book.names_long.tolist(), book.names_short.tolist()) == ([1, 1], [2, 2])
    half = replace(made, weights=np.array([[0.5, -0.25, -0.75], [0.0, 0.0, 0.0]]))
    book = run_book(half, panel, CostRates(np.zeros((1, 1)), np.zeros((1, 1))), lag=0, capital=1.0, max_age=9)
    assert (book.long.tolist(), book.short.tolist(), book.traded.tolist()) == ([0.5, 0.5], [1.0, 1.0], [1.5, 0.0])
