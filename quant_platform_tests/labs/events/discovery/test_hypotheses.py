from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scipy import stats

from quant_platform.contracts.errors import OntologyMismatch, SpecError
from quant_platform.contracts.schemas.discovery import (
    DiscoveryBlueprints,
    DiscoveryBridge,
    DiscoveryHypotheses,
    DiscoveryTrials,
)
from quant_platform.labs.events.discovery.blueprints import Blueprint, blueprint_schema, make, write_jsonl
from quant_platform.labs.events.discovery.bridge import bridge
from quant_platform.labs.events.discovery.candidates import evaluate
from quant_platform.labs.events.discovery.hypotheses import GATES, judge
from quant_platform.labs.events.discovery.trials import ledger, trials_of
from quant_platform.market.perp_panel import BARS_PER_DAY
from quant_platform.market.weeks import week_number
from quant_platform.specification.discovery import DISCOVERY_FILES, TemplatesFile, load_discovery
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.statistics import benjamini_bogomolov, shrink_tree
from quant_platform_tests.labs.events.discovery.worlds import START, SYMBOLS, event_spec, panel, random_events, specs

ROOT = Path(__file__).resolve().parents[4]
DAYS = 120
IDS = [f"E{i}" for i in range(8)]
ACTIVE = ("E0", "E1")
SPECS = specs([event_spec(name, family=f"F{i % 3}") for i, name in enumerate(IDS)])


@cache
def the_events():
    return random_events(21, IDS, days=DAYS)


def planted(last_day: int, symbols: tuple[str, ...] = SYMBOLS) -> np.ndarray:
    """Drift of 60 bps over an hour against the direction of two of the events, up to a day, in some symbols."""
    drift = np.zeros((3, DAYS * BARS_PER_DAY))
    for row in the_events().filter(pl.col("event_id").is_in(ACTIVE)).iter_rows(named=True):
        t = int((row["bar"] - START).total_seconds() / 300)
        if t < last_day * BARS_PER_DAY and row["symbol"] in symbols:
            drift[SYMBOLS.index(row["symbol"]), t + 1 : t + 13] -= row["direction"] * 60e-4 / 12
    return drift


@cache
def the_panel():
    return panel(22, days=DAYS, drift=planted(DAYS))


@cache
def the_candidates():
    return evaluate(the_events(), the_panel(), SPECS, cutoff="2024-04")


@cache
def the_hypotheses():
    return judge(the_candidates(), SPECS)


@cache
def the_bridged():
    return bridge(the_hypotheses(), the_events(), the_panel(), SPECS)


@cache
def the_blueprints():
    return make(the_hypotheses(), the_bridged(), SPECS, symbols=SYMBOLS, simulated=True)


def test_rows_satisfy_their_schemas():
    DiscoveryHypotheses.validate(the_hypotheses())
    DiscoveryBridge.validate(the_bridged())
    DiscoveryBlueprints.validate(the_blueprints())
    DiscoveryTrials.validate(ledger(the_candidates()))
    assert the_hypotheses().height == the_candidates().height


def test_a_blueprint_lists_the_symbols_of_its_cell():
    assert set(the_blueprints()["symbols"].list.len()) <= {1, len(SYMBOLS)}
    named = the_blueprints().with_columns(cell=pl.col("blueprint_id").str.split("-").list.get(3))
    assert named.filter(pl.col("cell") == "ALL").height > 0
    for row in named.iter_rows(named=True):
        expected = list(SYMBOLS) if row["cell"] == "ALL" else [row["cell"]]
        assert row["symbols"] == json.loads(row["document"])["symbols"] == expected


def test_only_the_planted_events_are_discovered_and_only_against_the_impulse():
    chosen = the_hypotheses().filter("selected")
    assert chosen["finding"].cast(pl.String).unique().to_list() == ["discovery"]
    assert chosen.height > 10
    assert chosen["event_id"].is_in(ACTIVE).mean() > 0.95
    standard = the_hypotheses().filter(pl.col("track").cast(pl.String) == "standard")
    assert {"mean_reversion"} <= set(standard["template"])
    assert set(standard["event_id"]) == set(ACTIVE)
    assert "continuation" not in set(standard["template"])
    assert standard["gates_failed"].list.len().max() == 0


def test_shrinkage_is_that_of_the_tree_of_the_same_test():
    tree = (
        the_candidates()
        .filter(
            (pl.col("template") == "mean_reversion")
            & (pl.col("horizon_bars") == 12)
            & (pl.col("symbol") == "ALL")
            & (pl.col("dimension") == "vol_regime")
        )
        .sort("event_id", "state")
    )
    assert tree["tested"].all()
    expected = shrink_tree(
        tree["effect_bps"].to_numpy(),
        tree["standard_error_bps"].to_numpy(),
        [tree["family"].to_numpy(), tree["event_id"].to_numpy()],
    )
    found = tree.join(the_hypotheses(), on=["event_id", "template", "horizon_bars", "symbol", "dimension", "state"])
    found = found.sort("event_id", "state")
    np.testing.assert_allclose(found["shrunk_bps"], expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found["prior_bps"], expected.prior_mean, rtol=1e-9)
    np.testing.assert_allclose(found["own_weight"], expected.own_weight, rtol=1e-9)


def test_selection_counts_every_test_of_the_question_once():
    tests = the_candidates().filter(pl.col("counted") & pl.col("tested")).select("alias_group")
    judged = tests.join(the_hypotheses().filter("counted"), on="alias_group")
    assert judged["n_tests"].unique().to_list() == [tests.height]
    assert judged["p_fdr"].to_list() == judged["p_raw"].to_list()
    found = benjamini_bogomolov(judged["p_fdr"].to_numpy(), judged["fdr_group"].to_numpy(), level=0.05)
    assert judged["selected"].to_list() == found.rejected.tolist()
    per_alias = (
        the_hypotheses().group_by("alias_group").agg(pl.col("selected").n_unique(), pl.col("q_global").n_unique())
    )
    assert per_alias["selected"].max() == per_alias["q_global"].max() == 1


def test_shrinkage_takes_discoveries_back_only_where_the_spec_lets_it():
    veto = replace(SPECS, discovery=SPECS.discovery.model_copy(update={"shrinkage_may_veto": True}))
    rows = judge(the_candidates(), veto).filter("tested")
    assert (rows["p_shrunk"] > rows["p_raw"]).any()
    assert rows["p_fdr"].to_list() == rows.select(pl.max_horizontal("p_raw", "p_shrunk")).to_series().to_list()
    assert rows["shrunk_bps"].to_list() == the_hypotheses().filter("tested")["shrunk_bps"].to_list()


def test_a_tested_cell_without_a_p_counts_and_is_never_rejected():
    broken = the_candidates().with_columns(
        p_raw=pl.when(pl.col("alias_group") == "E0|forward_return|12|ALL|ALL|ALL").then(None).otherwise("p_raw")
    )
    found = judge(broken, SPECS)
    row = found.filter((pl.col("alias_group") == "E0|forward_return|12|ALL|ALL|ALL") & pl.col("counted"))
    assert row["n_tests"][0] == the_hypotheses()["n_tests"].max()
    assert not row["selected"][0]
    assert row["p_fdr"][0] is None


@pytest.mark.parametrize("gate", [name for name in GATES if name != "gate_sample"])
def test_every_gate_refuses_by_itself(gate):
    bars = {
        "gate_economic": {"min_net_bps": 1e6},
        "gate_economic_conservative": {"min_stressed_bps": 1e6, "min_net_bps": 1e6},
        "gate_pays": {"min_net_low_bps": 1e6},
        "gate_stability": {"min_blocks_agreeing": 6},
        "gate_heterogeneity": {"min_heterogeneity_p": 1.0},
        "gate_leave_one_out": {"min_leave_one_out_t": 1e3},
        "gate_recent": {"min_recent_t": 1e3},
        "gate_symbols": {"min_leave_one_symbol_out_t": 1e3},
        "gate_concentration": {"max_block_share": 1e-6},
        "gate_state_information": {"min_own_weight": 1.0},
    }
    if gate == "gate_discovery":
        strict = replace(SPECS, discovery=SPECS.discovery.model_copy(update={"level": 1e-60}))
    else:
        strict = replace(SPECS, gates=SPECS.gates.model_copy(update=bars[gate]))
    before = the_hypotheses().filter(pl.col("track").cast(pl.String) == "standard")
    after = judge(the_candidates(), strict)
    assert before.height > 0
    if gate == "gate_symbols":
        # Only cells over all symbols are asked.
        assert set(before["symbol"]) > {"ALL"}
        after = after.filter(pl.col("symbol") == "ALL")
    assert not after.filter(gate).height or gate == "gate_heterogeneity"
    assert (after["track"].cast(pl.String) == "standard").sum() == 0


def test_what_could_not_have_been_seen_is_not_called_absent():
    assert set(the_hypotheses()["finding"].cast(pl.String)) >= {"discovery", "no_effect", "not_tested"}
    blunt = replace(SPECS, gates=SPECS.gates.model_copy(update={"plausible_bps_per_root_bar": 0.1}))
    found, before = (
        judge(the_candidates(), blunt)["finding"].cast(pl.String),
        the_hypotheses()["finding"].cast(pl.String),
    )
    assert "no_effect" not in set(found)
    # The effect that was measured is no evidence against an effect of its own size, however sharply it was measured.
    bound = the_hypotheses().with_columns(furthest=pl.col("effect_bps").abs() + 1.959964 * pl.col("standard_error_bps"))
    quiet = bound.filter(pl.col("finding") == "no_effect")
    assert quiet.height > 100
    assert quiet.select((pl.col("furthest") < pl.col("plausible_bps")).all()).item()
    reaching = bound.filter("tested", "gate_power", ~pl.col("selected"), pl.col("furthest") >= pl.col("plausible_bps"))
    assert reaching.height > 0
    assert set(reaching["finding"]) == {"cannot_say"}
    assert (found == "cannot_say").sum() == before.is_in(["no_effect", "cannot_say"]).sum()


def test_rows_of_other_specs_are_refused():
    other = replace(SPECS, ontology_hash="1" * 64)
    with pytest.raises(OntologyMismatch, match=r"discovery\.candidates was made under other specs[\s\S]*event_id=E0"):
        judge(the_candidates(), other)
    with pytest.raises(OntologyMismatch, match=r"discovery\.hypotheses"):
        bridge(the_hypotheses(), the_events(), the_panel(), other)
    with pytest.raises(OntologyMismatch, match=r"discovery\.hypotheses"):
        make(the_hypotheses(), the_bridged(), other, symbols=SYMBOLS, simulated=True)


def test_the_bridge_reads_only_after_the_embargo_and_passes_what_goes_on():
    assert the_bridged()["window_start"].unique().to_list() == [START + (the_panel().end - START) / DAYS * 73]
    passed = the_bridged().filter(pl.col("verdict").cast(pl.String) == "pass")
    assert passed.filter(pl.col("track").cast(pl.String) == "standard").height > 0
    row = the_bridged().row(
        by_predicate=(pl.col("event_id") == "E0")
        & (pl.col("template") == "mean_reversion")
        & (pl.col("horizon_bars") == 12)
        & (pl.col("symbol") == "ALL")
        & (pl.col("dimension") == "ALL"),
        named=True,
    )
    opens = np.log(the_panel().columns["open"])
    gross = []
    for event in the_events().filter(pl.col("event_id") == "E0").iter_rows(named=True):
        t = int((event["bar"] - START).total_seconds() / 300)
        if t >= 73 * BARS_PER_DAY and t + 13 < 96 * BARS_PER_DAY:
            s = SYMBOLS.index(event["symbol"])
            gross.append(-1e4 * event["direction"] * (opens[s, t + 13] - opens[s, t + 1]))
    assert row["n_trades"] == len(gross)
    assert row["gross_bps"] == pytest.approx(np.mean(gross), rel=1e-9)
    assert row["net_bps"] == pytest.approx(np.mean(gross) - row["cost_bps"], rel=1e-9)
    assert row["edge_over_cost"] == pytest.approx(np.mean(gross) / row["cost_bps"], rel=1e-9)


def test_an_effect_that_ends_with_training_fails_the_bridge():
    faded = panel(22, days=DAYS, drift=planted(72))
    found = bridge(judge(evaluate(the_events(), faded, SPECS, cutoff="2024-04"), SPECS), the_events(), faded, SPECS)
    assert found.height > 0
    assert (found["verdict"].cast(pl.String) == "pass").sum() == 0
    assert found.filter(pl.col("verdict").cast(pl.String) == "fail")["reasons"].list.len().min() > 0


def test_an_effect_of_one_symbol_is_no_cell_over_all_symbols():
    one = panel(22, days=DAYS, drift=3.0 * planted(DAYS, SYMBOLS[:1]))
    rows = judge(evaluate(the_events(), one, SPECS, cutoff="2024-04"), SPECS)
    found = rows.filter(pl.col("event_id").is_in(ACTIVE), pl.col("horizon_bars") == 12, template="mean_reversion")
    whole = found.filter(pl.col("symbol") == "ALL", pl.col("dimension") == "ALL")
    assert whole["selected"].all()
    assert whole["gates_failed"].list.contains("gate_symbols").all()
    own = found.filter(pl.col("symbol") == SYMBOLS[0], pl.col("dimension") == "ALL")
    assert (own["track"].cast(pl.String) == "standard").all()
    assert own["leave_one_symbol_out_t"].is_null().all()
    # By hand: the t without the first symbol, clustered by day over the other two.
    opens = np.log(one.columns["open"])
    sums: dict[int, list[float]] = {}
    for event in the_events().filter(pl.col("event_id") == "E0", pl.col("symbol") != SYMBOLS[0]).iter_rows(named=True):
        t = int((event["bar"] - START).total_seconds() / 300)
        if t + 13 < 72 * BARS_PER_DAY:
            s = SYMBOLS.index(event["symbol"])
            move = event["direction"] * (opens[s, t + 13] - opens[s, t + 1]) * 1e4
            sums.setdefault(t // BARS_PER_DAY, []).append(move)
    values = [value for day in sums.values() for value in day]
    mean, groups = float(np.mean(values)), len(sums)
    squares = sum((sum(day) - mean * len(day)) ** 2 for day in sums.values())
    t = mean / np.sqrt(groups / (groups - 1) * squares) * len(values)
    row = whole.filter(pl.col("event_id") == "E0").to_dicts()[0]
    # Without the symbol that has the effect it is smallest, and the effect goes against the impulse.
    assert row["leave_one_symbol_out_t"] == pytest.approx(-t, rel=1e-6)


def test_an_effect_that_ends_halfway_through_training_is_no_longer_there():
    faded = panel(22, days=DAYS, drift=2.0 * planted(36))
    rows = judge(evaluate(the_events(), faded, SPECS, cutoff="2024-04"), SPECS)
    found = rows.filter(
        pl.col("event_id").is_in(ACTIVE), pl.col("symbol") == "ALL", pl.col("dimension") == "ALL",
        pl.col("horizon_bars") == 12, template="mean_reversion",
    )  # fmt: skip
    assert found["selected"].all()
    assert found["gates_failed"].list.contains("gate_recent").all()
    assert the_hypotheses().filter(pl.col("track").cast(pl.String) == "standard")["recent_t"].min() >= 1.0


def test_the_family_of_the_bridge_is_the_standard_cells_each_once():
    """Step up by hand: sort the m p-values of standard cells, q_(i) = min over j >= i of m p_(j) / j."""
    weaker = (
        the_hypotheses()
        .filter("counted", "tested")
        .sort("p_raw")
        .tail(40)
        .with_columns(track=pl.lit("fallback_only", the_hypotheses().schema["track"]))
    )
    standard = the_hypotheses().filter(pl.col("track").cast(pl.String) == "standard")
    found = bridge(pl.concat([standard, weaker]), the_events(), the_panel(), SPECS)
    family = found.filter(pl.col("track").cast(pl.String) == "standard", pl.col("n_trades") >= 20)
    p = family.group_by("alias_group").agg(pl.col("p_one_sided").first()).sort("p_one_sided").rows()
    largest, expected = 1.0, {}
    for rank in range(len(p), 0, -1):
        largest = min(largest, len(p) * p[rank - 1][1] / rank)
        expected[p[rank - 1][0]] = largest
    for group, value in family.select("alias_group", "p_adjusted").rows():
        assert value == pytest.approx(expected[group], rel=1e-9)
    outside = found.filter(pl.col("track").cast(pl.String) == "fallback_only")
    assert outside.height == 40
    assert outside["p_adjusted"].is_null().all()
    assert "pass" not in outside["verdict"].cast(pl.String).to_list()
    # The weaker bar's rows change nothing for the others, however many are looked at.
    alone = bridge(standard, the_events(), the_panel(), SPECS)
    assert alone.equals(found.filter(pl.col("track").cast(pl.String) == "standard"))


def test_clusters_of_weeks_start_on_monday_on_both_sides_of_the_bridge():
    """The panel starts on Monday 1 January 2024; a day earlier it would start on a Sunday, and weeks stay the same."""
    assert week_number(the_panel().first_day) == week_number(the_panel().first_day + 6)
    assert week_number(the_panel().first_day - 1) == week_number(the_panel().first_day) - 1
    long = specs([event_spec("E0", family="F0", horizons_bars=(120,))])
    own = the_events().filter(pl.col("event_id") == "E0")
    hypotheses = judge(evaluate(own, the_panel(), long, cutoff="2024-04"), long).with_columns(
        track=pl.lit("standard", the_hypotheses().schema["track"])
    )
    row = (
        bridge(hypotheses, own, the_panel(), long)
        .filter(pl.col("symbol") == "ALL", pl.col("dimension") == "ALL", template="continuation")
        .to_dicts()[0]
    )
    opens = np.log(the_panel().columns["open"])
    weeks: dict[int, list[float]] = {}
    for event in own.iter_rows(named=True):
        t = int((event["bar"] - START).total_seconds() / 300)
        if t >= 73 * BARS_PER_DAY and t + 121 < 96 * BARS_PER_DAY:
            s = SYMBOLS.index(event["symbol"])
            gross = 1e4 * event["direction"] * (opens[s, t + 121] - opens[s, t + 1])
            monday = event["bar"].toordinal() - event["bar"].weekday()
            weeks.setdefault(monday, []).append(gross)
    values = [value for week in weeks.values() for value in week]
    mean, groups = float(np.mean(values)), len(weeks)
    squares = sum((sum(week) - mean * len(week)) ** 2 for week in weeks.values())
    assert row["n_trades"] == len(values)
    # Cost is nearly the same for all trades; the spread of results is that of the gross.
    assert row["standard_error_bps"] == pytest.approx(np.sqrt(groups / (groups - 1) * squares) / len(values), rel=0.02)


def test_too_few_trades_say_nothing():
    strict = SPECS.gates.model_copy(update={"bridge": SPECS.gates.bridge.model_copy(update={"min_trades": 10_000})})
    found = bridge(the_hypotheses(), the_events(), the_panel(), replace(SPECS, gates=strict))
    assert found["verdict"].cast(pl.String).unique().to_list() == ["insufficient"]
    assert found["reasons"][0].to_list()[0].endswith("10000 are needed")
    assert (
        found.select("p_one_sided", "p_adjusted", "t", "standard_error_bps").null_count().row(0) == (found.height,) * 4
    )


def test_nothing_that_survives_is_a_result(tmp_path):
    none = the_hypotheses().with_columns(track=pl.lit("none", the_hypotheses().schema["track"]))
    empty = bridge(none, the_events(), the_panel(), SPECS)
    DiscoveryBridge.validate(empty)
    written = make(none, empty, SPECS, symbols=SYMBOLS, simulated=True)
    DiscoveryBlueprints.validate(written)
    write_jsonl(written, tmp_path / "blueprints.jsonl")
    assert (tmp_path / "blueprints.jsonl").read_text() == ""


def test_blueprints_are_whole_documents(tmp_path):
    assert 0 < the_blueprints().height <= the_bridged()["alias_group"].n_unique()
    write_jsonl(the_blueprints(), tmp_path / "blueprints.jsonl")
    lines = (tmp_path / "blueprints.jsonl").read_text().splitlines()
    document = json.loads(lines[0])
    assert document["simulated"] is True
    assert document["rule"]["event_id"] in ACTIVE
    assert document["evidence"]["gates"]["gate_discovery"] is True
    assert document["ontology_hash"] == SPECS.ontology_hash
    with pytest.raises(ValidationError):
        Blueprint.model_validate({**document, "surprise": 1})
    with pytest.raises(ValidationError):
        write_jsonl(the_blueprints().with_columns(document=pl.lit("{}")), tmp_path / "never.jsonl")


def test_the_published_schema_is_up_to_date():
    committed = json.loads((ROOT / "docs" / "reference" / "blueprint.schema.json").read_text())
    assert committed == blueprint_schema(), "run write_schema and commit"


def test_the_ledger_counts_an_evaluation_once_however_often_it_is_made():
    first = ledger(the_candidates())
    again = ledger(evaluate(the_events(), the_panel(), SPECS, cutoff="2024-05"))
    count, variance = trials_of(pl.concat([first, again]))
    assert count == the_candidates().filter(pl.col("counted") & pl.col("tested")).height
    assert variance > 0.0
    longer = ledger(the_candidates().with_columns(train_end=pl.col("train_end") + pl.duration(days=1)))
    assert trials_of(pl.concat([first, longer]))[0] == 2 * count


def test_the_ledger_keeps_what_was_evaluated_under_earlier_specs():
    earlier = ledger(the_candidates().with_columns(ontology_hash=pl.lit("of yesterday")))
    together = ledger(the_candidates(), earlier)
    assert together.height == 2 * earlier.height
    assert set(together["ontology_hash"]) == {"of yesterday", SPECS.ontology_hash}
    assert ledger(the_candidates(), together).equals(together)


def test_the_shipped_specs_belong_together():
    found = load_discovery(settings().specs, ontology_hash="x")
    assert len(found.events) == 57
    assert all((settings().specs / name).is_file() for name in DISCOVERY_FILES)
    assert all(template.side is not None for template in found.templates.values() if template.label is not None)


def test_a_template_without_a_side_or_an_unknown_name_is_refused(tmp_path):
    bad = tmp_path / "templates.yaml"
    bad.write_text("templates:\n  x: {description: d, kind: hypothesis, question: direction, label: forward_return}\n")
    with pytest.raises(SpecError, match="side and question must be stated"):
        load_spec(bad, TemplatesFile)
    bad.write_text("templates:\n  x: {description: d, kind: hypothesis, side: 1, question: risk, label: nothing}\n")
    with pytest.raises(SpecError, match=r"templates\.yaml:2"):
        load_spec(bad, TemplatesFile)


def test_the_limit_of_what_a_cell_pays_is_wide_for_what_was_selected():
    """The interval of the effect at level 1 - q R / m, its lower end after cost, by SciPy's t."""
    rows = the_hypotheses().join(
        the_candidates().select("alias_group", "template", "n_clusters"), on=["alias_group", "template"]
    )
    seen = 0
    for row in rows.filter(pl.col("question").cast(pl.String) == "direction", "tested").sample(40, seed=1).to_dicts():
        tests = the_hypotheses().filter(
            pl.col("question").cast(pl.String) == row["question"], pl.col("counted"), pl.col("tested")
        )
        selected = int(tests["selected"].sum())
        assert row["n_tests"] == tests.height
        sides = 1 if SPECS.templates[row["template"]].alternative == "greater" else 2
        tail = SPECS.discovery.level * selected / tests.height / sides
        margin = stats.t.isf(tail, row["n_clusters"] - 1) * row["standard_error_bps"]
        assert row["net_low_bps"] == pytest.approx(
            row["effect_bps"] - row["cost_bps"] - row["funding_bps"] - margin, rel=1e-9
        )
        seen += 1
    assert seen == 40


def test_where_nothing_is_selected_nothing_surely_pays():
    strict = replace(SPECS, discovery=SPECS.discovery.model_copy(update={"level": 1e-60}))
    found = judge(the_candidates(), strict).filter(pl.col("question").cast(pl.String) == "direction", "tested")
    assert not found["gate_pays"].any()
    assert found["net_low_bps"].is_null().all()
