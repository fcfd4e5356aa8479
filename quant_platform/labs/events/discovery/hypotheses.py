"""From candidates of all events to judged hypotheses: ``discovery.hypotheses``.

1. Rows made under other specs are refused.
2. Shrinkage: per test, horizon, symbol and state dimension one tree, root 0 -> family -> event -> state; cells over all
   states are the leaves of family -> event.
3. ``p_fdr`` is ``p_raw``, or with ``shrinkage_may_veto`` the larger of it and ``p_shrunk``.
4. Per question, over all events: two-level selection (groups are event, test and horizon), and beside it the q inside
   each group and one global q. Alias groups count once; a tested cell without a p counts and is never rejected.
5. Every gate, with the number it was judged on, in the direction of each row's template. That an effect exceeds its
   cost is asked of the interval of the effect at level ``1 - q R / m`` for the R of m tests that were selected
   (Benjamini and Yekutieli 2005, JASA 100:71-81): of the intervals of selected cells a share q misses, and so at most
   that share of the cells that pass does not pay. The shrunk estimate cannot say it, for it does not know how many
   cells were looked at before this one stood out.
6. Track: ``standard`` where every gate passed, ``fallback_only`` where only the weaker bar did.

Effects come from the shrunk estimate, decisions on discovery from ``p_fdr``.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.special import ndtri, stdtrit

from quant_platform.contracts.schemas.discovery import DiscoveryHypotheses
from quant_platform.labs.events.discovery.cells import ALL
from quant_platform.labs.events.discovery.ontology import require_ontology
from quant_platform.specification.discovery import DiscoverySpecs, GatesSpec
from quant_platform.statistics import (
    benjamini_bogomolov,
    benjamini_hochberg,
    conservative_p,
    minimum_detectable_effect,
    shrink_tree,
    shrunken_p,
)
from quant_platform.statistics.checks import Alternative, Bools, Floats

GATES = (
    "gate_sample",
    "gate_economic",
    "gate_economic_conservative",
    "gate_pays",
    "gate_stability",
    "gate_heterogeneity",
    "gate_leave_one_out",
    "gate_recent",
    "gate_symbols",
    "gate_concentration",
    "gate_state_information",
    "gate_discovery",
)
"""Gates that refuse, in the order of the funnel; ``gate_power`` informs only."""
TREE = ["test", "horizon_bars", "symbol", "dimension"]
_POSTERIOR = ("test_prior", "own_weight", "test_shrunk", "posterior_sd_bps", "p_shrunk", "p_fdr")
_SCHEMA = {name: column.dtype for name, column in DiscoveryHypotheses.columns().items()}


def judge(candidates: pl.DataFrame, specs: DiscoverySpecs) -> pl.DataFrame:
    """Judge the candidates of one cutoff.

    Parameters
    ----------
    candidates
        Rows of ``discovery.candidates`` of all events.
    specs
        The specs in force.

    Returns
    -------
    polars.DataFrame
        Rows of ``discovery.hypotheses``, one per candidate; none where there is no candidate.

    Raises
    ------
    OntologyMismatch
        If a row was made under other specs.
    """
    require_ontology(candidates, specs.ontology_hash, what="discovery.candidates")
    if candidates.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    counted = candidates.filter("counted").with_columns(turn=_turn(specs))
    tests = _select(_shrink(counted, specs), specs)
    rows = candidates.with_columns(turn=_turn(specs)).join(tests, on="alias_group", how="left")
    return (
        _gated(rows, specs)
        .select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        .sort(DiscoveryHypotheses.primary_key())
    )


def _turn(specs: DiscoverySpecs) -> pl.Expr:
    """Sign that turns the orientation of a test's table to that of a template: its side, or 1 for one-sided trades."""
    return pl.when(_asks_for_gains(specs)).then(1.0).otherwise(pl.col("side").cast(pl.Float64))


def _asks_for_gains(specs: DiscoverySpecs) -> pl.Expr:
    """Whether the test of a row's template has the one-sided alternative."""
    return pl.col("template").is_in([n for n, template in specs.templates.items() if template.alternative == "greater"])


def _shrink(counted: pl.DataFrame, specs: DiscoverySpecs) -> pl.DataFrame:
    """Posterior of every counted cell, in the orientation of its test's table."""
    # Cells too small to be tested have no say; they receive what their relatives say.
    tested = counted["tested"].to_numpy()
    effect = np.where(tested, _numbers(counted, pl.col("effect_bps") * pl.col("turn")), np.nan)
    error = np.where(tested, _numbers(counted, pl.col("standard_error_bps")), np.nan)
    freedom = counted["n_clusters"].to_numpy() - 1.0
    family, event = counted["family"].to_numpy(), counted["event_id"].to_numpy()
    made = {name: np.empty(len(counted)) for name in _POSTERIOR}
    trees = counted.with_row_index("at").group_by(TREE, maintain_order=True).agg("at", pl.col("template").first())
    order: list[int] = []
    # Hundreds of trees of a few dozen cells: whatever is asked of a frame is asked once, of all of them.
    for tree in trees.iter_rows(named=True):
        order += tree["at"]
        at = np.array(tree["at"])
        levels = [family[at]] if tree["dimension"] == "ALL" else [family[at], event[at]]
        found = shrink_tree(effect[at], error[at], levels)
        made["test_prior"][at], made["own_weight"][at] = found.prior_mean, found.own_weight
        made["test_shrunk"][at], made["posterior_sd_bps"][at] = found.mean, found.standard_deviation
        made["p_shrunk"][at] = shrunken_p(
            found.mean,
            found.standard_deviation,
            freedom[at],
            # A test is the same for all of its cells.
            alternative=specs.templates[tree["template"]].alternative,
        )
    p_raw = _numbers(counted, pl.col("p_raw"))
    p_fdr = conservative_p(p_raw, made["p_shrunk"]) if specs.discovery.shrinkage_may_veto else p_raw
    made["p_shrunk"], made["p_fdr"] = (np.where(tested, p, np.nan) for p in (made["p_shrunk"], p_fdr))
    kept = counted.select("alias_group", "question", "event_id", "test", "horizon_bars", "tested")
    return kept.with_columns(pl.Series(name, values) for name, values in made.items())[order]


def _select(tests: pl.DataFrame, specs: DiscoverySpecs) -> pl.DataFrame:
    """False discovery control per question over the tested cells."""
    level = specs.discovery.level
    group = pl.concat_str("event_id", "test", "horizon_bars", separator="|")
    parts: list[pl.DataFrame] = []
    for (question,), own in tests.with_columns(fdr_group=group).partition_by("question", as_dict=True).items():
        tested = own.filter("tested")
        p = tested["p_fdr"].to_numpy()
        found = benjamini_bogomolov(p, tested["fdr_group"].to_numpy(), level=level)
        everything = benjamini_hochberg(p, level=level)
        decided = tested.select("alias_group").with_columns(
            pl.Series("q_level1", found.q_level1),
            pl.Series("selected_level1", found.selected_level1),
            pl.Series("q_level2", found.q_level2),
            pl.Series("selected", found.rejected),
            pl.Series("q_global", everything.adjusted_p),
        )
        parts.append(
            own.join(decided, on="alias_group", how="left").with_columns(
                n_tests=pl.lit(tested.height, pl.Int64),
                n_selected=pl.lit(int(found.rejected.sum()), pl.Int64),
                level_within=pl.lit(found.level_within),
                selected=pl.col("selected").fill_null(value=False),
                selected_level1=pl.col("selected_level1").fill_null(value=False),
                q_group=pl.col("q_level2"),
            )
        )
        del question
    return pl.concat(parts).drop("question", "event_id", "test", "horizon_bars", "tested")


def _gated(rows: pl.DataFrame, specs: DiscoverySpecs) -> pl.DataFrame:
    gates, spec = specs.gates, specs.discovery
    level = spec.level / rows["n_tests"].cast(pl.Float64).clip(1.0).to_numpy()
    error = _numbers(rows, pl.col("standard_error_bps"))
    # One multiple per distinct level, of which there are as many as questions, and alternative.
    detectable = np.full(error.size, np.nan)
    gains = rows.select(_asks_for_gains(specs)).to_series().to_numpy()
    alternatives: tuple[tuple[Alternative, Bools], ...] = (("two-sided", ~gains), ("greater", gains))
    for alternative, concerned in alternatives:
        for each in np.unique(level[concerned]):
            own = concerned & (level == each)
            detectable[own] = minimum_detectable_effect(
                error[own], level=float(each), power=spec.power, alternative=alternative
            )
    numbers = rows.with_columns(
        pl.Series("mde_bps", detectable),
        pl.Series("half_width", _half_width(rows, gains, spec.level)),
        prior_bps=pl.col("turn") * pl.col("test_prior"),
        shrunk_bps=pl.col("turn") * pl.col("test_shrunk"),
        plausible_bps=gates.plausible_bps_per_root_bar * pl.col("horizon_bars").cast(pl.Float64).sqrt(),
    ).with_columns(
        net_low_bps=pl.col("effect_bps") - pl.col("cost_bps") - pl.col("funding_bps") - pl.col("half_width"),
        shrunk_net_bps=pl.col("shrunk_bps") - pl.col("cost_bps") - pl.col("funding_bps"),
        shrunk_stressed_bps=pl.col("shrunk_bps") - spec.cost.stress * pl.col("cost_bps") - pl.col("funding_bps"),
    )
    judged = numbers.fill_nan(None).with_columns(_passes(gates))
    failed = pl.concat_list(
        pl.when(~pl.col(name)).then(pl.lit(name)).otherwise(pl.lit(None, pl.String)) for name in GATES
    ).list.drop_nulls()
    tradable = (pl.col("kind") == "hypothesis") & (pl.col("question").cast(pl.String) != "risk")
    fallback = gates.fallback
    weaker = (
        pl.col("tested")
        & (pl.col("t") >= fallback.min_t)
        & (pl.col("shrunk_net_bps") >= fallback.min_net_bps)
        & (pl.col("n") >= fallback.min_events)
        & (pl.col("blocks_agreeing") >= fallback.min_blocks_share * spec.errors.time_blocks)
    ).fill_null(value=False)
    return judged.with_columns(gates_failed=failed).with_columns(
        track=pl.when(tradable & (pl.col("gates_failed").list.len() == 0))
        .then(pl.lit("standard"))
        .when(tradable & weaker)
        .then(pl.lit("fallback_only"))
        .otherwise(pl.lit("none")),
        finding=pl.when(~pl.col("tested"))
        .then(pl.lit("not_tested"))
        .when("selected")
        .then(pl.lit("discovery"))
        .when(_ruled_out(spec.level))
        .then(pl.lit("no_effect"))
        .otherwise(pl.lit("cannot_say")),
    )


def _half_width(rows: pl.DataFrame, gains: Bools, level: float) -> Floats:
    """From an effect to the limit of its interval, widened for the selection; NaN where nothing was selected."""
    share = _numbers(rows, pl.col("n_selected")) / np.fmax(_numbers(rows, pl.col("n_tests")), 1.0)
    # The direction of a two-sided test was chosen by the data.
    tail = level * share / np.where(gains, 1.0, 2.0)
    with np.errstate(invalid="ignore"):
        multiple = -stdtrit(_numbers(rows, pl.col("n_clusters")) - 1.0, np.where(tail > 0.0, tail, np.nan))
        width: Floats = multiple * _numbers(rows, pl.col("standard_error_bps"))
    return width


def _ruled_out(level: float) -> pl.Expr:
    """Whether an effect of plausible size would have been found, and the interval of the estimate does not reach it."""
    furthest = pl.col("effect_bps").abs() + float(ndtri(1.0 - level / 2.0)) * pl.col("standard_error_bps")
    return (pl.col("gate_power") & (furthest < pl.col("plausible_bps"))).fill_null(value=False)


def _passes(gates: GatesSpec) -> list[pl.Expr]:
    """Every gate; a number that is missing does not pass."""
    conditions = {
        "gate_sample": pl.col("tested"),
        "gate_economic": pl.col("shrunk_net_bps") >= gates.min_net_bps,
        "gate_economic_conservative": pl.col("shrunk_stressed_bps") >= gates.min_stressed_bps,
        "gate_pays": pl.col("net_low_bps") >= gates.min_net_low_bps,
        "gate_stability": pl.col("blocks_agreeing") >= gates.min_blocks_agreeing,
        "gate_heterogeneity": pl.col("heterogeneity_p") >= gates.min_heterogeneity_p,
        "gate_leave_one_out": pl.col("leave_one_out_t") >= gates.min_leave_one_out_t,
        "gate_recent": pl.col("recent_t") >= gates.min_recent_t,
        # A cell of one symbol says nothing of the others and need not.
        "gate_symbols": (pl.col("symbol") != ALL)
        | (pl.col("leave_one_symbol_out_t") >= gates.min_leave_one_symbol_out_t),
        "gate_concentration": pl.col("largest_block_share") <= gates.max_block_share,
        "gate_state_information": pl.col("own_weight") >= gates.min_own_weight,
        "gate_discovery": pl.col("selected"),
        "gate_power": pl.col("mde_bps") <= pl.col("plausible_bps"),
    }
    return [condition.fill_null(value=False).alias(name) for name, condition in conditions.items()]


def _numbers(frame: pl.DataFrame, expression: pl.Expr) -> Floats:
    values: Floats = frame.select(expression.cast(pl.Float64).fill_null(np.nan)).to_series().to_numpy()
    return values
