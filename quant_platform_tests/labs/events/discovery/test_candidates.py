from __future__ import annotations

import math
from collections import defaultdict
from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy import stats

from quant_platform.contracts.errors import SchemaViolation, SpecError
from quant_platform.contracts.schemas.discovery import DiscoveryCandidates
from quant_platform.labs.events.discovery.candidates import counted_tests, evaluate
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.market.perp_panel import BARS_PER_DAY, PricePanel
from quant_platform_tests.labs.events.discovery.worlds import START, SYMBOLS, event_spec, panel, random_events, specs

IDS = ["FIRST", "SECOND"]
SPECS = specs([event_spec(name, family=f"F{i}") for i, name in enumerate(IDS)])
DAYS = 90


@cache
def the_events():
    return random_events(1, IDS, days=DAYS)


@cache
def the_panel():
    return panel(2, days=DAYS)


@cache
def the_candidates():
    return evaluate(the_events(), the_panel(), SPECS, cutoff="2024-03")


KEY = ["event_id", "template", "horizon_bars", "symbol", "dimension", "state"]


def cell(frame: pl.DataFrame, **wanted: object) -> dict:
    return frame.row(by_predicate=pl.all_horizontal(pl.col(k) == v for k, v in wanted.items()), named=True)


def test_rows_satisfy_the_schema_and_every_cell_is_there():
    DiscoveryCandidates.validate(the_candidates())
    cells = (1 + len(SYMBOLS)) * (1 + 3)
    assert the_candidates().height == 2 * cells * 5 * 2, "events x cells x templates x horizons"


def test_a_pooled_cell_equals_the_plain_computation():
    found = cell(
        the_candidates(),
        event_id="FIRST",
        template="continuation",
        horizon_bars=12,
        symbol="ALL",
        dimension="ALL",
        state="ALL",
    )
    opens = np.log(the_panel().columns["open"])
    by_day, values = defaultdict(list), []
    for row in the_events().filter(pl.col("event_id") == "FIRST").iter_rows(named=True):
        t = (row["bar"] - START).total_seconds() / 300
        s, t = SYMBOLS.index(row["symbol"]), int(t)
        if t + 13 < 54 * BARS_PER_DAY:
            y = 1e4 * row["direction"] * (opens[s, t + 13] - opens[s, t + 1])
            by_day[t // BARS_PER_DAY].append(y)
            values.append(y)
    mean, g = np.mean(values), len(by_day)
    error = math.sqrt(g / (g - 1) * sum(sum(y - mean for y in own) ** 2 for own in by_day.values())) / len(values)
    assert (found["n"], found["n_days"]) == (len(values), g)
    assert found["effect_bps"] == pytest.approx(mean, rel=1e-9)
    assert found["standard_error_bps"] == pytest.approx(error, rel=1e-9)
    assert found["p_cluster"] == pytest.approx(2 * stats.t.sf(abs(mean / error), g - 1), rel=1e-9)
    assert found["net_bps"] == pytest.approx(mean - found["cost_bps"], rel=1e-9)
    assert found["stressed_bps"] == pytest.approx(mean - 1.5 * found["cost_bps"], rel=1e-9)
    assert found["p_raw"] == found["p_cluster"]


def test_the_placebo_is_shown_and_decides_only_where_the_spec_says_so():
    """Both p are the same under either switch; in some cells the placebo is the larger one."""
    errors = SPECS.discovery.errors.model_dump()
    assert errors["placebo_decides"] is False, "as shipped"
    first = [event_spec("FIRST", family="F0")]
    own = the_events().filter(pl.col("event_id") == "FIRST")
    inside = evaluate(own, the_panel(), specs(first, errors={**errors, "placebo_decides": True}), cutoff="2024-03")
    beside = the_candidates().filter(pl.col("event_id") == "FIRST")
    for name in ("p_cluster", "p_placebo", "t"):
        assert inside[name].to_list() == beside[name].to_list()
    tested = beside.filter("tested")
    assert tested.filter(pl.col("p_placebo") > pl.col("p_cluster")).height > 10
    assert tested["p_raw"].to_list() == tested["p_cluster"].to_list()
    for row in inside.filter("tested").iter_rows(named=True):
        shown = [p for p in (row["p_cluster"], row["p_placebo"]) if p is not None]
        assert row["p_raw"] == max(shown)


def test_a_trade_with_one_side_is_tested_for_gains_only():
    rows = the_candidates().filter(
        "tested", ~pl.col("wild"), pl.col("template").is_in(["overshoot_repair", "pullback_entry"])
    )
    assert {1.0, -1.0} == set(rows["t"].sign().unique())
    expected = stats.t.sf(rows["t"].to_numpy(), rows["n_clusters"].to_numpy() - 1)
    assert rows["p_cluster"].to_numpy() == pytest.approx(expected, rel=1e-9)
    losses = rows.filter(pl.col("t") < 0)
    assert float(losses["p_raw"].min() or 0.0) >= 0.5
    # As does the rest of the way: what loses can be no discovery.
    judged = judge(the_candidates(), SPECS).filter("tested", pl.col("template") == "overshoot_repair", pl.col("t") < 0)
    assert judged.height > 10
    assert float(judged["p_fdr"].min() or 0.0) >= 0.5


def test_mirrored_templates_are_one_test():
    with_it = the_candidates().filter(pl.col("template") == "continuation").sort(KEY)
    against = the_candidates().filter(pl.col("template") == "mean_reversion").sort(KEY)
    assert with_it["alias_group"].to_list() == against["alias_group"].to_list()
    assert with_it["p_raw"].to_list() == against["p_raw"].to_list()
    np.testing.assert_allclose(with_it["effect_bps"], -against["effect_bps"].to_numpy())
    assert not (with_it["counted"] & against["counted"]).any()
    counted = the_candidates().group_by("alias_group").agg(pl.col("counted").sum())
    assert counted["counted"].unique().to_list() == [1]
    swapped = {"+": "-", "-": "+", "0": "0"}
    for a, b in zip(with_it["block_signs"], against["block_signs"], strict=True):
        assert "".join(swapped[x] for x in a) == b


def test_a_chosen_side_is_the_sign_of_the_training_window():
    spec = specs([event_spec("FIRST", templates=("reversal_or_squeeze", "continuation"))])
    found = evaluate(the_events().filter(pl.col("event_id") == "FIRST"), the_panel(), spec, cutoff="2024-03")
    chosen = found.filter(pl.col("template") == "reversal_or_squeeze").sort(KEY)
    declared = found.filter(pl.col("template") == "continuation").sort(KEY)
    np.testing.assert_allclose(chosen["effect_bps"].to_numpy(), np.abs(declared["effect_bps"].to_numpy()))
    assert chosen["side"].to_list() == [1 if x >= 0 else -1 for x in declared["effect_bps"]]


def test_small_cells_are_reported_and_not_tested():
    small = the_candidates().filter((pl.col("n") < 50) | (pl.col("n_days") < 30))
    assert small.height > 0
    assert not small["tested"].any()
    assert small["p_raw"].null_count() == small.height
    assert small["effect_bps"].null_count() < small.height
    assert counted_tests(the_candidates()).height < the_candidates().height


def test_nothing_after_the_training_window_changes_a_candidate():
    columns = {name: values.copy() for name, values in the_panel().columns.items()}
    for values in columns.values():
        values[:, 54 * BARS_PER_DAY :] *= 3.0
    later = the_events().with_columns(
        direction=pl.when(pl.col("bar") >= pl.lit(START) + pl.duration(days=54))
        .then(-pl.col("direction"))
        .otherwise("direction")
    )
    changed = evaluate(later, PricePanel(SYMBOLS, START, columns), SPECS, cutoff="2024-03")
    assert changed.equals(the_candidates())


def test_the_order_of_events_and_their_company_do_not_matter():
    alone = evaluate(
        the_events().filter(pl.col("event_id") == "SECOND").reverse(), the_panel(), SPECS, cutoff="2024-03"
    )
    assert alone.equals(the_candidates().filter(pl.col("event_id") == "SECOND"))


def test_long_horizons_are_clustered_by_week_with_a_wild_bootstrap():
    spec = specs([event_spec("FIRST", horizons_bars=(288,), templates=("continuation",))])
    found = evaluate(random_events(3, ["FIRST"], days=DAYS), the_panel(), spec, cutoff="2024-03")
    tested = found.filter("tested")
    assert tested["cluster"].unique().to_list() == ["week"]
    assert tested["n_clusters"].max() <= 9
    assert tested["wild"].all()
    assert tested["p_cluster"].min() >= 1e-4


def test_a_planted_drift_is_found_with_its_sign_and_size():
    drift = np.zeros((3, DAYS * BARS_PER_DAY))
    events = random_events(9, ["FIRST"], days=DAYS)
    for row in events.iter_rows(named=True):
        t = int((row["bar"] - START).total_seconds() / 300)
        drift[SYMBOLS.index(row["symbol"]), t + 1 : t + 13] -= row["direction"] * 40e-4 / 12
    spec = specs([event_spec("FIRST")])
    found = evaluate(events, panel(10, days=DAYS, drift=drift), spec, cutoff="2024-03")
    row = cell(found, template="mean_reversion", horizon_bars=12, symbol="ALL", dimension="ALL")
    assert row["effect_bps"] == pytest.approx(40.0, abs=4 * row["standard_error_bps"])
    assert row["p_raw"] < 1e-6
    assert row["placebo_as_large"] == 0


def test_p_values_of_random_events_are_not_too_small():
    p = []
    for seed in range(12):
        spec = specs([event_spec(name, templates=("continuation",), conditioning=()) for name in IDS], **LEAN)
        found = counted_tests(evaluate(random_events(seed, IDS, days=60), panel(100 + seed, days=60), spec, cutoff="x"))
        p += found.filter((pl.col("symbol") == "ALL") & (pl.col("horizon_bars") == 3))["p_cluster"].to_list()
    assert len(p) == 24
    assert stats.kstest(p, "uniform").pvalue > 0.01


LEAN = {"cells": {"min_events": 30, "min_days": 20}}


def test_what_does_not_fit_is_named():
    with pytest.raises(SpecError, match="there is no event 'THIRD'"):
        evaluate(random_events(1, ["THIRD"], days=2), the_panel(), SPECS, cutoff="2024-03")
    with pytest.raises(SchemaViolation, match="the state 'vol_regime' is not a column"):
        evaluate(the_events().drop("vol_regime"), the_panel(), SPECS, cutoff="2024-03")
