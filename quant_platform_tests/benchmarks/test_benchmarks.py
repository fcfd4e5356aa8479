"""Every benchmark at a tiny size; the committed results: shape, verdicts, and the page made from them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from quant_platform.labs.equity.factors.panel import week_last_rows
from quant_platform_tests.benchmarks import equity_tables, event_features, factor_study, lake, panels, peer, replay
from quant_platform_tests.benchmarks.machine import load_average, machine, versions
from quant_platform_tests.benchmarks.page import (
    LARGEST_DIFFERENCE,
    MOST_GROWTH,
    REPLAY_LIMIT_SECONDS,
    TIMES_FASTER_REQUIRED,
    cost_growth,
    page,
)
from quant_platform_tests.benchmarks.panels import FULL, REDUCED
from quant_platform_tests.benchmarks.run import significant
from quant_platform_tests.benchmarks.timing import Sample, in_turns, ratio, summary

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
TINY = replace(REDUCED, names=24, sessions=330, partitions=3, repetitions=1, event_symbols=4, event_rows=10_000)
TIMED = {"repetitions", "cpu_seconds", "cpu_range", "wall_seconds", "wall_range"}


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((COMMITTED / "results.json").read_text())
    return found


def assert_same_shape(found: Any, expected: Any, place: str) -> None:
    """The same keys, and numbers where numbers are expected; lengths of lists may differ."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), place
        for key, each in expected.items():
            assert_same_shape(found[key], each, f"{place}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list), place
        assert found, place
    elif isinstance(expected, (int, float)):
        assert isinstance(found, (int, float)), place
    else:
        assert isinstance(found, type(expected)), place


def assert_timed(found: Any) -> None:
    """Wherever something was timed, the median lies in the range and nothing took no time."""
    if isinstance(found, dict):
        if set(found) >= TIMED:
            for clock in ("cpu", "wall"):
                low, high = found[f"{clock}_range"]
                assert 0.0 < low <= found[f"{clock}_seconds"] <= high
        for each in found.values():
            assert_timed(each)


def test_replay(committed: dict[str, Any]) -> None:
    found = replay.measure(TINY)
    assert_timed(found)
    assert found["candidates"] > 0
    assert found["signal_sessions"] == 66
    assert_same_shape(committed["replay"], found | {"first_ticker_compiling": found["first_ticker"]}, "replay")


def test_equity_tables(committed: dict[str, Any]) -> None:
    found = equity_tables.measure(TINY)
    assert_timed(found)
    assert found["rows"] == 24 * 330
    assert found["features_rows_per_cpu_second"] == pytest.approx(24 * 330 / found["features"]["cpu_seconds"])
    assert_same_shape(committed["equity_tables"], found, "equity_tables")


def test_event_features(committed: dict[str, Any]) -> None:
    found = event_features.measure(TINY)
    assert_timed(found)
    assert (found["features"], found["events"]) == (60, 57)
    assert [(size["symbols"], size["rows"]) for size in found["by_symbols"]] == [(2, 20_000), (2, 20_000), (4, 40_000)]
    peaks = [found["memory_before_mib"], *(size["peak_mib"] for size in found["by_symbols"])]
    assert found["market_mib"] < peaks[0]
    assert peaks == sorted(peaks)
    assert_same_shape(committed["event_features"], found, "event_features")
    for features in found["rolling"]["differences"].values():
        for feature, row in features.items():
            assert row["rows_compared"] > 1000, feature
            assert row["missing_on_one_side"] == 0, feature
            assert row["largest"] <= LARGEST_DIFFERENCE, feature


def test_a_difference_counts_what_one_side_lacks_and_scales_the_rest() -> None:
    ours, theirs = np.array([np.nan, 1.0, np.nan, 4.0]), np.array([np.nan, np.nan, 2.0, 5.0])
    assert event_features.difference(ours, theirs) == {"rows_compared": 1, "missing_on_one_side": 2, "largest": 0.2}


def test_growth_of_cost_is_that_of_a_row() -> None:
    found = {"by_symbols": [{"rows_per_cpu_second": 300.0}, {"rows_per_cpu_second": 250.0}]}
    assert cost_growth(found) == pytest.approx(1.2)


@pytest.mark.long
def test_lake(committed: dict[str, Any], tmp_path: Path) -> None:
    found = lake.measure(TINY, tmp_path)
    assert_timed(found)
    assert found["rows"] == 3 * 50
    assert not list(tmp_path.iterdir()), "the lake is removed"
    assert_same_shape(committed["lake"], found, "lake")


def test_factor_study(committed: dict[str, Any]) -> None:
    found = factor_study.measure(TINY)
    assert_timed(found)
    assert_same_shape(committed["factor_study"], found, "factor_study")


def test_equal_work_is_what_scipy_and_numpy_say() -> None:
    close = panels.complete_market(330, 25)
    rows = week_last_rows(panels.weekdays(330))
    factors = factor_study.factor_panels(close)
    found = factor_study.equal_work(close, factors, rows, factor_study.ended(close))
    row = rows[-8]  # the last rebalance whose window ends inside the data is seven weeks before the end
    forward = close[row + 31] / close[row + 1] - 1.0
    for name, (ic, spread) in found.items():
        signal = factors[name][row]
        order = np.argsort(signal)
        assert ic[-8] == pytest.approx(stats.spearmanr(signal, forward).statistic, abs=1e-12), name
        assert spread[-8] == pytest.approx(forward[order[-5:]].mean() - forward[order[:5]].mean(), abs=1e-12), name
        assert np.isnan(ic[-6:]).all(), "windows past the data"


def test_differences_name_what_the_peer_does_otherwise() -> None:
    close, days = panels.uneven_market(330, 40), panels.weekdays(330)
    rows = week_last_rows(days)
    factors = {"momentum_3_1": factor_study.factor_panels(close)["momentum_3_1"]}
    ic, spread = factor_study.equal_work(close, factors, rows, factor_study.ended(close))["momentum_3_1"]
    known = [(days[row].isoformat(), k) for k, row in enumerate(rows) if not math.isnan(ic[k])]
    kept = known[1:]  # a peer that drops the first date, halves the spread and is 0.01 off in every IC
    theirs = {"ic": {day: ic[k] + 0.01 for day, k in kept}, "spread": {day: spread[k] / 2.0 for day, k in kept}}
    found = factor_study.differences(close, factors, rows, days, {"momentum_3_1": theirs})["momentum_3_1"]
    assert (found["dates"], found["dates_alphalens"]) == (len(known), len(kept))
    assert found["largest_ic_difference"] == pytest.approx(0.01)
    assert found["mean_spread_alphalens"] == pytest.approx(found["mean_spread_common_dates"] / 2.0)


def test_a_peer_that_is_missing_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make bench"), peer.alphalens({}, tmp_path / "python"):
        pass


def test_a_peer_that_dies_shows_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module named alphalens >&2\n")
    broken.chmod(0o700)
    with (
        pytest.raises(RuntimeError, match="ended early:\nno module named alphalens"),
        peer.alphalens({"close": np.ones((2, 2))}, broken),
    ):
        pass


def test_a_peer_answers_line_by_line(tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    script.write_text('import sys\nfor line in sys.stdin:\n    print(\'{"cpu": 1.0, "wall": 2.0}\', flush=True)\n')
    with (
        (tmp_path / "log.txt").open("w+") as log,
        subprocess.Popen([sys.executable, script], stdin=-1, stdout=-1, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        talk = peer.Peer(process.stdin, process.stdout, log)
        assert talk.sample("documented") == Sample(1.0, 2.0)
        assert talk.sample("shared") == Sample(1.0, 2.0)


def test_the_markets_are_what_the_page_says() -> None:
    assert not np.isnan(panels.complete_market(50, 20)).any()
    uneven = panels.uneven_market(400, 40)
    assert np.isnan(uneven[0]).sum() == 8, "20 % listed late"
    assert np.isnan(uneven[-1]).sum() == 2, "5 % delisted"


def test_a_summary_is_the_median_and_the_range() -> None:
    found = summary([Sample(3.0, 6.0), Sample(1.0, 9.0), Sample(2.0, 4.0)])
    assert found == {
        "repetitions": 3,
        "cpu_seconds": 2.0,
        "cpu_range": [1.0, 3.0],
        "wall_seconds": 6.0,
        "wall_range": [4.0, 9.0],
    }


def test_a_ratio_is_taken_turn_by_turn() -> None:
    slow, fast = [Sample(10.0, 30.0), Sample(40.0, 40.0)], [Sample(1.0, 3.0), Sample(2.0, 1.0)]
    assert ratio(slow, fast) == {"cpu": 15.0, "wall": 25.0}


def test_pieces_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def piece(name: str) -> Sample:
        calls.append(name)
        return Sample(1.0, 1.0)

    found = in_turns({"a": lambda: piece("a"), "b": lambda: piece("b")}, 2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(samples) for name, samples in found.items()} == {"a": 2, "b": 2}


def test_numbers_are_shortened_but_not_the_ones_that_are_compared() -> None:
    found = significant({"seconds": 1.23456789, "mean_ic": 0.123456789012, "far": [math.inf, 2]})
    assert found == {"seconds": 1.23457, "mean_ic": 0.123456789012, "far": [None, 2]}


def test_committed_results_say_where_and_how(committed: dict[str, Any]) -> None:
    assert_same_shape(committed["machine"], machine(), "machine")
    assert_same_shape(committed["versions"], versions(), "versions")
    assert_same_shape(committed["load_average"], {"start": load_average(), "end": load_average()}, "load_average")
    assert committed["shape"] == vars(FULL), "the committed run is the full one"
    assert_timed(committed)


def test_committed_results_keep_the_promises(committed: dict[str, Any]) -> None:
    assert committed["replay"]["all_tickers"]["cpu_seconds"] < REPLAY_LIMIT_SECONDS
    for way in ("times_faster", "times_faster_shared"):
        assert committed["alphalens"][way]["cpu"] >= TIMES_FASTER_REQUIRED
    assert len(committed["alphalens"]["complete"]) == 7
    for row in committed["alphalens"]["complete"].values():
        assert abs(row["mean_ic"] - row["mean_ic_alphalens"]) <= 1e-12
        assert row["largest_ic_difference"] <= 1e-12
    for row in committed["alphalens"]["uneven"].values():
        assert row["under_their_rules"]["largest_ic_difference"] <= 1e-12
        assert row["under_their_rules"]["largest_spread_difference"] <= 1e-12


def test_committed_event_lab_is_a_year_of_twenty_symbols(committed: dict[str, Any]) -> None:
    found = committed["event_features"]
    assert [(size["symbols"], size["rows"]) for size in found["by_symbols"]] == [
        (5, 525_600),
        (10, 1_051_200),
        (20, 2_102_400),
    ]
    assert cost_growth(found) <= MOST_GROWTH
    assert found["rolling"]["rows"] == 105_120
    for features in found["rolling"]["differences"].values():
        assert set(features) == set(event_features.ROLLING)
        for row in features.values():
            assert row["missing_on_one_side"] == 0
            assert row["largest"] <= LARGEST_DIFFERENCE


def test_what_alphalens_found_is_what_we_find_today(committed: dict[str, Any]) -> None:
    close, days = panels.complete_market(FULL.sessions, FULL.names), panels.weekdays(FULL.sessions)
    factors = factor_study.factor_panels(close)
    found = factor_study.equal_work(close, factors, week_last_rows(days), factor_study.ended(close))
    for name, (ic, _) in found.items():
        assert np.nanmean(ic) == pytest.approx(committed["alphalens"]["complete"][name]["mean_ic_alphalens"], abs=1e-12)


def test_the_page_is_made_from_the_results(committed: dict[str, Any]) -> None:
    assert (COMMITTED / "README.md").read_text() == page(committed)


def test_the_page_says_when_others_used_the_machine(committed: dict[str, Any]) -> None:
    busy, idle = ({**committed, "load_average": {"start": [load, 1.0, 1.0], "end": [1.0, 1.0, 1.0]}} for load in (9, 0))
    assert "**Others used the machine" in page(busy)
    assert "**Others used the machine" not in page(idle)
