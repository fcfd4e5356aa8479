"""Hit rate, calibration and sweeps against numbers by hand and against other implementations."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from scipy.stats import t as student

from quant_platform.contracts.errors import SpecError
from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.calibration import calibration
from quant_platform.labs.equity.replay.hit_rate import hit_rate
from quant_platform.labs.equity.replay.qualified import qualified
from quant_platform.labs.equity.replay.sweep import activation_sweeps
from quant_platform.labs.equity.replay.trades import counted_weeks, judged_until, weeks_of
from quant_platform.labs.equity.setups.gate import apply_gate
from quant_platform.specification.loading import load_spec
from quant_platform.specification.replay import ReplaySpec, SweepSpec, load_sweeps
from quant_platform_tests.labs.equity.replay.factory import MONDAY, frame, random_rows, row
from quant_platform_tests.labs.equity.setups.twin import activation_spec, replay_spec

SPECS = Path(__file__).resolve().parents[4] / "specs"
LATE = date(2030, 1, 7)


def test_a_week_counts_only_when_all_of_it_is_known() -> None:
    """Week 1 has a stop that is known and a trade that is open: counting it would lean towards losses."""
    rows = frame(
        row(0, "target", 2.0),
        row(0, "no_entry", None, ticker="BBB"),
        row(1, "stop", -1.0),
        row(1, "pending", None, ticker="BBB"),
    )
    judged = judged_until(rows, LATE)
    assert judged.candidates["ticker"].to_list() == ["AAA", "BBB"]
    assert judged.trades["realised_r"].to_list() == [2.0]
    # Friday 8 January resolves on Monday 11 January: known in the as-of week of the 11th, not of the 4th.
    assert judged_until(rows, MONDAY).candidates.height == 0
    assert judged_until(rows, MONDAY + timedelta(weeks=1)).candidates.height == 2


def test_an_empty_week_keeps_its_place_and_weeks_start_on_monday() -> None:
    rows = frame(row(0, "target", 2.0), row(0, "stop", -1.0, ticker="BBB"), row(3, "stop", -1.0))
    weeks = weeks_of(rows)
    assert (weeks - weeks.min()).tolist() == [0, 0, 3]
    # Thirty sessions are six weeks, and one more as weeks with holidays are shorter.
    assert (counted_weeks(replay_spec()).overlap, counted_weeks(replay_spec()).minimum) == (7, 24)
    assert counted_weeks(replay_spec(horizon_sessions=31)).overlap == 8


def test_qualified_attaches_the_percentile_and_keeps_members_only() -> None:
    source = frame(
        row(0, "target", 2.0), row(0, "stop", -1.0, direction="short"), row(0, "stop", -1.0, ticker="BBB"),
        row(1, "stop", -1.0),
    ).drop("week", "momentum_percentile", "qualified", "refusals")  # fmt: skip
    friday = MONDAY + timedelta(days=4)
    ranks = pl.DataFrame({"ticker": ["AAA"], "date_sig": [friday], "percentile": [85.0]})
    members = pl.DataFrame({"ticker": ["AAA", "AAA"], "session": [friday, friday + timedelta(weeks=1)]})
    found = qualified(source, ranks, activation_spec(), members=members)
    table("replay.qualified").schema.validate(found)
    assert found.select("week", "direction", "momentum_percentile", "qualified").rows() == [
        (MONDAY, "long", 85.0, True),
        (MONDAY, "short", 15.0, False),
        (MONDAY + timedelta(weeks=1), "long", None, True),
    ]
    assert qualified(source, ranks, activation_spec(), week=MONDAY)["ticker"].to_list() == ["AAA", "AAA", "BBB"]


def test_hit_rate_by_hand() -> None:
    """Four trades of which one hits: rate 0.25; mean (2 - 1 - 1.2 + 0.4) / 4 = 0.05; two weeks are no interval."""
    rows = frame(
        row(0, "target", 2.0),
        row(0, "stop", -1.0, ticker="BBB", direction="short", qualified=False),
        row(1, "stop", -1.2),
        row(1, "timeout", 0.4, ticker="BBB", bars_held=30),
        row(1, "no_entry", None, ticker="CCC"),
        row(60, "delisted", -0.5, qualified=False),
    )
    found = hit_rate(MONDAY + timedelta(weeks=10), rows, replay_spec())
    table("replay.hit_rate").schema.validate(found)
    by_value = {r["value"]: r for r in found.to_dicts()}
    every = by_value["all"]
    assert (every["n"], every["n_weeks"], every["n_no_entry"]) == (4, 2, 1)
    assert every["hit_rate"] == 0.25
    assert {every[name] for name in every if name.endswith(("_low", "_high"))} == {None}
    assert every["expectancy_r"] == pytest.approx(0.05)
    assert every["profit_factor"] == pytest.approx(2.4 / 2.2)
    assert every["mean_bars_held"] == pytest.approx((4 + 4 + 4 + 30) / 4)
    assert by_value["qualified"]["n"] == 3
    assert by_value["all:short"]["n"] == 1
    assert by_value["all:short"]["expectancy_low"] is None
    assert set(by_value) == {
        "all", "qualified", "all:long", "all:short", "qualified:long", "all:2021", "qualified:2021",
    }  # fmt: skip
    later = {r["value"]: r for r in hit_rate(LATE, rows, replay_spec()).to_dicts()}
    assert later["all:2022"]["n"] == 1
    assert later["all:2022"]["profit_factor"] == 0.0


def cosine_error(rows: pl.DataFrame, value: pl.Expr) -> tuple[float, int]:
    """The error of a mean over trades and its degrees of freedom, from the formula, one term at a time."""
    mean = float(rows.select(value.mean()).item())
    first = rows["week"].min()
    assert isinstance(first, date)
    sums: dict[int, float] = {}
    for week, each in rows.select("week", value.alias("v")).iter_rows():
        place = (week - first).days // 7
        sums[place] = sums.get(place, 0.0) + each - mean
    length = max(sums) + 1
    terms = max(1, min(int(0.4 * length ** (2 / 3) + 1e-9), length // 21))
    power = 0.0
    for j in range(1, terms + 1):
        wave = sum(u * math.cos(math.pi * j * (place + 0.5) / length) for place, u in sums.items())
        power += 2.0 / length * wave**2 / terms
    return math.sqrt(power * length) / rows.height, terms


def test_the_intervals_are_those_of_weekly_sums_and_the_same_wherever_the_trades_stand() -> None:
    rows = random_rows(1, weeks=110).filter(pl.col("week") != MONDAY + timedelta(weeks=7))
    found = hit_rate(LATE, rows, replay_spec())
    assert found.equals(hit_rate(LATE, rows.reverse(), replay_spec()))
    every = found.filter(pl.col("value") == "all").to_dicts()[0]
    assert every["n_weeks"] == 109
    error, terms = cosine_error(rows, pl.col("realised_r"))
    assert terms == 5
    half = student.ppf(0.975, terms) * error
    assert every["expectancy_low"] == pytest.approx(every["expectancy_r"] - half, rel=1e-9)
    assert every["expectancy_high"] == pytest.approx(every["expectancy_r"] + half, rel=1e-9)
    # Wilson's limits solve |rate - p| = z sqrt(p (1 - p) / n), here with t and the trials the error is worth.
    error, terms = cosine_error(rows, (pl.col("outcome") == "target").cast(pl.Float64))
    rate = every["hit_rate"]
    trials = rate * (1 - rate) / error**2
    for limit in (every["hit_rate_low"], every["hit_rate_high"]):
        assert abs(rate - limit) == pytest.approx(
            student.ppf(0.975, terms) * math.sqrt(limit * (1 - limit) / trials), rel=1e-9
        )
    # All trades qualify: equal trades have equal intervals, under whatever name.
    qualified_row = found.filter(pl.col("value") == "qualified").to_dicts()[0]
    for name in ("expectancy_low", "expectancy_high", "hit_rate_low", "hit_rate_high"):
        assert qualified_row[name] == every[name]


def test_below_the_stated_weeks_there_is_no_interval_and_no_p() -> None:
    for weeks, there in ((23, False), (24, True)):
        rows = random_rows(8, weeks=weeks)
        row_of_all = hit_rate(LATE, rows, replay_spec()).filter(pl.col("value") == "all").to_dicts()[0]
        summary = calibration(LATE, rows, replay_spec()).filter(pl.col("bin") == -1, pl.col("model") == "stated")
        cell = activation_sweeps(
            ["rr"], {"rr": SweepSpec(parameter="min_rr", thresholds=(None,))}, rows,
            activation_spec(min_rr=None, min_confidence=None, min_momentum_percentile=None), replay_spec(),
        ).to_dicts()[0]  # fmt: skip
        numbers = [
            *(row_of_all[name] for name in ("expectancy_low", "expectancy_high", "hit_rate_low", "hit_rate_high")),
            *summary.select("observed_low", "observed_high").row(0),
            *(cell[name] for name in ("expectancy_low", "expectancy_high", "t", "p_value", "p_adjusted")),
        ]
        assert [number is not None for number in numbers] == [there] * len(numbers)
        # One number, one interval, in whatever table it stands.
        assert cell["expectancy_low"] == row_of_all["expectancy_low"]
        assert row_of_all["expectancy_r"] is not None


def test_nothing_known_yet() -> None:
    rows = frame(row(0, "pending", None))
    found = hit_rate(LATE, rows, replay_spec())
    assert found.select("value", "n", "hit_rate").rows() == [("all", 0, None), ("qualified", 0, None)]
    empty = calibration(LATE, rows, replay_spec())
    table("replay.calibration").schema.validate(empty)
    assert empty.select("model", "bin", "n").rows() == [("recalibrated", -1, 0), ("stated", -1, 0)]


def test_calibration_of_stated_probabilities_by_hand() -> None:
    """Murphy's example: p = .1 .1 .3 .3 .3 .7 .7 .9 .9 .9 and y = 0 0 0 1 0 1 1 1 1 0 (ECE 0.16, Brier 0.17)."""
    p = [0.1, 0.1, 0.3, 0.3, 0.3, 0.7, 0.7, 0.9, 0.9, 0.9]
    y = [0, 0, 0, 1, 0, 1, 1, 1, 1, 0]
    rows = frame(
        *(
            row(i % 3, "target" if hit else "stop", 1.0, ticker=f"T{i}", target_probability=chance)
            for i, (chance, hit) in enumerate(zip(p, y, strict=True))
        )
    )
    found = calibration(LATE, rows, replay_spec())
    summary = found.filter((pl.col("model") == "stated") & (pl.col("bin") == -1)).to_dicts()[0]
    assert (summary["n"], summary["observed_rate"]) == (10, 0.5)
    assert summary["brier"] == pytest.approx(0.17)
    # Bins of equal count join nothing here, for equal probabilities share a bin.
    assert summary["reliability"] == pytest.approx(0.036667, abs=1e-6)
    assert summary["resolution"] == pytest.approx(0.116667, abs=1e-6)
    assert summary["uncertainty"] == pytest.approx(0.25)
    assert summary["expected_calibration_error"] == pytest.approx(0.16)
    assert found.filter(pl.col("model") == "recalibrated")["n"].to_list() == [0]


def test_a_bold_model_is_corrected_out_of_sample_and_a_right_one_is_not() -> None:
    """Outcomes with half the stated log odds: slope 0.5, and the Brier score improves beyond its interval."""
    spec = replay_spec()
    bold = calibration(LATE, random_rows(2, weeks=120, names=40, slope=0.4), spec)
    table("replay.calibration").schema.validate(bold)
    summary = bold.filter((pl.col("model") == "recalibrated") & (pl.col("bin") == -1)).to_dicts()[0]
    assert summary["n"] == 100 * 40
    assert summary["slope"] == pytest.approx(0.4, abs=0.12)
    assert summary["brier_change_high"] < 0.0
    stated = bold.filter((pl.col("model") == "stated") & (pl.col("bin") == -1)).to_dicts()[0]
    assert summary["expected_calibration_error"] < stated["expected_calibration_error"]
    right = calibration(LATE, random_rows(3, weeks=120, names=40), spec)
    summary = right.filter((pl.col("model") == "recalibrated") & (pl.col("bin") == -1)).to_dicts()[0]
    assert summary["slope"] == pytest.approx(1.0, abs=0.12)
    assert abs(summary["brier_change"]) < 1e-3


@pytest.mark.parametrize(("certain_of", "outcome"), [(0.0, "stop"), (1.0, "target")])
def test_certain_probabilities_are_judged_but_not_recalibrated(certain_of: float, outcome: str) -> None:
    rows = random_rows(4, weeks=60)
    certain = frame(*(row(week, outcome, -1.0, ticker="ZZZ", target_probability=certain_of) for week in range(60)))
    found = calibration(LATE, pl.concat([rows, certain]), replay_spec())
    n = {r["model"]: r["n"] for r in found.filter(pl.col("bin") == -1).to_dicts()}
    assert n == {"stated": 60 * 21, "recalibrated": 40 * 20}


@pytest.mark.parametrize("name", sorted(load_sweeps(SPECS / "sweeps")))
def test_every_sweep_in_force(name: str) -> None:
    """The cell of the current threshold is the gate; a higher threshold never passes more."""
    sweeps, gate = load_sweeps(SPECS / "sweeps"), activation_spec()
    sweep = sweeps[name]
    rows = random_rows(5)
    found = activation_sweeps([name], sweeps, rows, gate, replay_spec())
    table("replay.activation_sweep").schema.validate(found)
    assert found["is_current"].sum() == 1
    current = found.filter("is_current").to_dicts()[0]
    directed = pl.when(pl.col("direction") == "short").then(100 - pl.col("momentum_percentile"))
    source = rows.drop("qualified", "refusals").with_columns(
        percentile=directed.otherwise(pl.col("momentum_percentile"))
    )
    passed = apply_gate(source.drop("momentum_percentile"), gate).filter("qualified")
    assert current["n_qualified"] == current["n_resolved"] == passed.height > 0
    assert current["expectancy_r"] == pytest.approx(passed["realised_r"].mean())
    assert found["n_qualified"].to_list() == sorted(found["n_qualified"], reverse=True)
    assert found["n_cells"].unique().to_list() == [found.height] == [len(sweep.grid(gate))]
    # The gate in force stands in each of the five grids, and is one trial.
    assert found["n_trials"].unique().to_list() == [sum(len(each.grid(gate)) for each in sweeps.values()) - 4]
    assert found["n_candidates"].unique().to_list() == [rows.height]


def test_the_p_value_is_that_of_the_interval_and_holm_is_over_all_sweeps() -> None:
    rows = random_rows(6, weeks=80)
    gate = activation_spec(min_rr=None, min_momentum_percentile=None, min_confidence=60.0)
    sweeps = {
        "confidence": SweepSpec(parameter="min_confidence", thresholds=(None, 60.0, 99.0)),
        "rr": SweepSpec(parameter="min_rr", thresholds=(None, 1.5)),
    }
    found = activation_sweeps(["confidence", "rr"], sweeps, rows, gate, replay_spec())
    off, on, none, unchanged, rr = found.to_dicts()
    error, terms = cosine_error(rows, pl.col("realised_r"))
    assert terms == 3
    expected = 2 * student.sf(abs(off["expectancy_r"] / error), terms)
    assert (off["threshold"], on["threshold"], none["threshold"]) == (-1.0, 60.0, 99.0)
    assert off["p_value"] == pytest.approx(expected, rel=1e-9)
    assert none["n_qualified"] == 0
    assert (none["p_value"], none["expectancy_low"]) == (None, None)
    for cell in (off, on, rr):
        holds_zero = cell["expectancy_low"] <= 0.0 <= cell["expectancy_high"]
        assert holds_zero == (cell["p_value"] >= 0.05)
    # The gate in force is the same gate in both sweeps: four trials, one of them without a p.
    assert unchanged["p_value"] == on["p_value"]
    assert {cell["n_trials"] for cell in (off, on, none, rr)} == {4}
    ordered = sorted((off, on, rr), key=lambda cell: cell["p_value"])
    largest = 0.0
    for factor, cell in zip((4, 3, 2), ordered, strict=True):
        largest = max(largest, factor * cell["p_value"])
        assert cell["p_adjusted"] == pytest.approx(min(1.0, largest))
    alone = activation_sweeps(["confidence"], sweeps, rows, gate, replay_spec())
    assert alone.equals(found.filter(pl.col("sweep") == "confidence"))
    with pytest.raises(SpecError, match="no sweep 'other'"):
        activation_sweeps(["other"], sweeps, rows, gate, replay_spec())


def test_the_hit_rate_of_a_cell_by_hand() -> None:
    """A time-out is no hit whatever it earned; a trade that the gate refuses counts in no cell."""
    rows = frame(
        row(0, "target", 2.0),
        row(0, "timeout", 0.4, ticker="BBB"),
        row(1, "stop", -1.0, confidence=70.0),
        row(1, "target", 1.5, confidence=80.0, ticker="BBB"),
        row(1, "target", 1.5, confidence=80.0, ticker="CCC"),
        row(1, "no_entry", None, confidence=80.0, ticker="DDD"),
    )
    gate = activation_spec(min_rr=None, min_momentum_percentile=None, min_confidence=None)
    sweep = SweepSpec(parameter="min_confidence", thresholds=(None, 65.0, 90.0))
    found = activation_sweeps(["confidence"], {"confidence": sweep}, rows, gate, replay_spec())
    assert found.select("threshold", "n_qualified", "n_resolved", "hit_rate").rows() == [
        (-1.0, 6, 5, pytest.approx(3 / 5)),
        (65.0, 4, 3, pytest.approx(2 / 3)),
        (90.0, 0, 0, None),
    ]


def test_a_current_threshold_that_no_file_lists_gets_its_cell() -> None:
    sweep = SweepSpec(parameter="min_rr", thresholds=(1.0, 2.0))
    found = activation_sweeps(["rr"], {"rr": sweep}, random_rows(7), activation_spec(min_rr=1.35), replay_spec())
    assert found["threshold"].to_list() == [1.0, 1.35, 2.0]
    assert found.filter("is_current")["threshold"].to_list() == [1.35]


def test_specs_in_force_and_their_refusals(tmp_path: Path) -> None:
    replay = load_spec(SPECS / "replay" / "equity.yaml", ReplaySpec)
    assert (replay.entry, replay.horizon_sessions) == ("next_open", 30)
    grids = load_sweeps(SPECS / "sweeps")
    assert {sweep.parameter for sweep in grids.values()} == {
        "min_target_probability", "min_expected_value", "min_momentum_percentile", "min_rr", "min_confidence",
    }  # fmt: skip
    assert {0.6, 0.3} <= set(grids["target_probability"].thresholds)
    with pytest.raises(ValueError, match="stands twice"):
        SweepSpec(parameter="min_rr", thresholds=(1.0, 1.0))
    with pytest.raises(ValueError, match="write null"):
        SweepSpec(parameter="min_expected_value", thresholds=(-1.0,))
    with pytest.raises(ValueError, match="no sweep is declared"):
        load_sweeps(tmp_path)
