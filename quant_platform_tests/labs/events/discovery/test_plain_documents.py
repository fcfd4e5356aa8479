"""Cells, windows, the ledger and blueprints from a handful of rows: every field has a value that was written down."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.schemas.discovery import DiscoveryBridge, DiscoveryCandidates, DiscoveryHypotheses
from quant_platform.labs.events.discovery.blueprints import make, write_jsonl, write_schema
from quant_platform.labs.events.discovery.cells import EventRows, event_rows, outcomes
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.labs.events.discovery.segments import Segment, segments
from quant_platform.labs.events.discovery.trials import ledger, trials_of
from quant_platform.market.perp_panel import PricePanel
from quant_platform.specification.discovery import DiscoverySpecs
from quant_platform_tests.labs.events.discovery.report_frames import GATES, bridged, frame, judged, trial
from quant_platform_tests.labs.events.discovery.test_plain_gates import candidate
from quant_platform_tests.labs.events.discovery.worlds import START, event_spec, specs

DAY = 288
EVENT = event_spec(
    "E", version=3, condition="close>bar", params={"bar": 2.0}, definitions={"half": "close/2"}, direction="sgn(half)",
    cooldown_bars=7, entry_lag_bars=2, filters=("only_if_trend",), onset="rising",
)  # fmt: skip
SPECS = specs([EVENT])
HASH = SPECS.ontology_hash


def market(days: int = 4) -> PricePanel:
    """Two symbols whose logarithms are their number times the bar, in bps; a cost that tells symbol and bar."""
    bars = np.arange(days * DAY)
    price = np.exp(1e-4 * np.array([[1.0], [2.0]]) * bars)
    spread = np.array([[2.0], [4.0]]) + 1e-3 * bars
    columns = dict.fromkeys(("open", "high", "low", "close"), price) | {"spread_bps": spread}
    zeros = np.zeros_like(price)
    return PricePanel(("A", "B"), START, columns | {"funding_settle": zeros, "funding_rate": zeros})


def rows(*given: tuple[str, int, int | None, str | None]) -> pl.DataFrame:
    """Symbol, bar, direction and state."""
    return pl.DataFrame(
        [
            {"event_id": "E", "symbol": s, "bar": START + timedelta(minutes=5 * b), "direction": d, "vol_regime": v}
            for s, b, d, v in given
        ],
        schema_overrides={"bar": pl.Datetime("us", "UTC"), "direction": pl.Int8, "vol_regime": pl.String},
    )


SECOND = Segment("train", 1, 3)
GIVEN = rows(
    ("B", 3 * DAY - 1, -1, "low"),
    ("A", DAY - 1, 1, "low"),
    ("A", DAY + 5, 1, "high"),
    ("B", DAY, None, None),
    ("A", DAY, -1, "low"),
    ("B", 3 * DAY, 1, "high"),
)


def test_rows_of_a_segment_are_sorted_into_cells_of_symbol_and_state() -> None:
    """Of six rows the four of days 1 and 2 are taken: A and B on the first bar, A five later, B on the last."""
    found = event_rows(GIVEN, market(), SECOND, ["vol_regime"])
    assert found.positions.tolist() == [DAY, DAY, DAY + 5, 3 * DAY - 1]
    assert found.symbols.tolist() == [0, 1, 0, 1]
    assert found.directions.tolist() == [-1, 0, 1, -1]
    assert found.days.tolist() == [1, 1, 1, 2]
    assert list(zip(found.cell_symbol, found.cell_dimension, found.cell_state, strict=True)) == [
        ("ALL", "ALL", "ALL"), ("A", "ALL", "ALL"), ("B", "ALL", "ALL"),
        ("ALL", "vol_regime", "high"), ("ALL", "vol_regime", "low"), ("A", "vol_regime", "high"),
        ("A", "vol_regime", "low"), ("B", "vol_regime", "high"), ("B", "vol_regime", "low"),
    ]  # fmt: skip
    assert found.n_cells == 9
    members = [sorted(found.pairs[1][found.pairs[0] == cell].tolist()) for cell in range(9)]
    # The row of B without a state is in no cell of states.
    assert members == [[0, 1, 2, 3], [0, 2], [1, 3], [2], [0, 3], [2], [0], [], [3]]
    index = found.index(found.days)
    assert index.rows[index.starts[4] : index.starts[5]].tolist() == [0, 3]


def test_a_segment_without_an_event_has_the_cells_over_all_states_and_no_others() -> None:
    for given in (GIVEN, GIVEN.clear()):
        found = event_rows(given, market(), Segment("test", 0, 0), ["vol_regime"])
        assert list(zip(found.cell_symbol, found.cell_dimension, found.cell_state, strict=True)) == [
            ("ALL", "ALL", "ALL"), ("A", "ALL", "ALL"), ("B", "ALL", "ALL"),
        ]  # fmt: skip
        assert (found.pairs.shape, found.positions.size) == ((2, 0), 0)


def test_events_that_are_not_on_the_panel_or_have_no_such_state_are_refused() -> None:
    for symbol, bar in (("C", 5), ("A", -1), ("A", 4 * DAY)):
        with pytest.raises(SchemaViolation, match=r"outside the price panel[\s\S]*1 of 7 rows"):
            event_rows(pl.concat([GIVEN, rows((symbol, bar, 1, "low"))]), market(), SECOND, [])
    event_rows(rows(("A", 0, 1, "low"), ("A", 4 * DAY - 1, 1, "low")), market(), SECOND, [])
    with pytest.raises(SchemaViolation, match="the state 'trend_state' is not a column"):
        event_rows(GIVEN, market(), SECOND, ["vol_regime", "trend_state"])


def looked_up(template: str, found: EventRows | None = None) -> Any:
    store = LabelStore(market(), SPECS.discovery)
    where = event_rows(GIVEN, store.panel, SECOND, []) if found is None else found
    return outcomes(store, where, SPECS.templates[template], 3, 1, SECOND)


def test_an_outcome_is_turned_by_its_direction_and_ends_inside_its_segment() -> None:
    """Three bars of 1 bp for A and 2 bps for B; the last row would end after the segment, one has no direction."""
    found = looked_up("continuation")
    same = pytest.approx
    assert found.values.tolist() == same([-3.0, np.nan, 3.0, np.nan], nan_ok=True)
    assert found.positions.tolist() == [0, 0, 5, 2 * DAY - 1]
    # A long is track 1, A short 0, B short 2; what is not taken points at the track of nothing, the fifth.
    assert found.tracks.tolist() == [0, 4, 1, 2]
    # Both sides: fee of 4, half a spread of 2 for A and 4 for B with a thousandth a bar, 2 of unknown impact.
    assert found.cost[[0, 2]].tolist() == same([2.0 * (4.0 + 0.5 * (2.0 + 1e-3 * bar) + 2.0) for bar in (DAY, DAY + 5)])
    assert found.cost[1] == same(2.0 * (4.0 + 0.5 * (4.0 + 1e-3 * DAY) + 2.0))
    two = looked_up("convergence")
    assert two.cost[0] == same(2.0 * found.cost[0]), "two legs pay twice"
    size = looked_up("volatility_expansion_follow")
    assert size.tracks.tolist() == [0, 1, 0, 1]
    assert size.series().shape == (3, 2 * DAY)


def test_the_last_outcome_of_a_segment_ends_on_its_last_bar() -> None:
    """With a lag of 1 and three bars: four after the event must be inside."""
    store = LabelStore(market(), SPECS.discovery)
    where = event_rows(rows(("A", 3 * DAY - 5, 1, "low"), ("A", 3 * DAY - 4, 1, "low")), store.panel, SECOND, [])
    found = outcomes(store, where, SPECS.templates["continuation"], 3, 1, SECOND)
    assert found.values.tolist() == pytest.approx([3.0, np.nan], nan_ok=True)


def test_windows_are_shares_of_the_days_with_an_embargo_between_them() -> None:
    """Of eleven days 0.6 are 6.6, which is 6; 0.8 are 8.8, which is 8; with three days of embargo none is left."""
    split = SPECS.discovery.split.model_copy(update={"embargo_days": 1, "embargo_days_by_family": {"SLOW": 3}})
    assert [(part.name, part.first_day, part.last_day) for part in segments(11, split, "FAST")] == [
        ("train", 0, 6), ("validation", 7, 8), ("test", 9, 11),
    ]  # fmt: skip
    slow = segments(11, split, "SLOW")
    assert [(part.first_day, part.last_day) for part in slow] == [(0, 6), (8, 8), (11, 11)]
    # 0.6 and 0.3 of ten days are nine whole ones, however they are added.
    tenths = split.model_copy(update={"train_share": 0.6, "validation_share": 0.3})
    assert [(part.first_day, part.last_day) for part in segments(10, tenths, "FAST")] == [(0, 6), (7, 9), (10, 10)]
    assert Segment("x", 2, 4).bars == slice(2 * DAY, 4 * DAY)
    assert Segment("x", 4, 2).bars == slice(4 * DAY, 4 * DAY), "an empty one has no bars"


def test_a_trial_is_a_counted_test_by_its_specs_window_and_cell() -> None:
    """t of 20 over 400 events is one per trade."""
    one = candidate(t=20.0, n=400)
    window = {"train_start": datetime(2023, 1, 1, tzinfo=UTC), "train_end": datetime(2024, 1, 1, tzinfo=UTC)}

    def made(*given: dict[str, Any]) -> pl.DataFrame:
        return frame(DiscoveryCandidates, [row | window for row in given])

    mirror = candidate(template="mean_reversion", counted=False)
    found = ledger(made(one, mirror, candidate(symbol="A", t=None, tested=False, n=3)))
    assert found.height == 2, "a mirror is no trial"
    assert dict(found.select("alias_group", "trade_sharpe").iter_rows()) == {
        "E0|forward_return|12|ALL|ALL|ALL": 1.0, "E0|forward_return|12|A|ALL|ALL": None,
    }  # fmt: skip
    assert found["trial_id"].n_unique() == 2
    assert set(found["trial_id"].str.len_chars()) == {32}
    assert ledger(made(one), found).height == 2
    other = ledger(made(one | {"ontology_hash": "f" * 64}), found)
    assert other.height == 3
    assert ledger(made(one).with_columns(train_end=pl.col("train_end") + pl.duration(days=1)), found).height == 3


def test_trials_are_counted_once_and_their_ratios_have_a_variance() -> None:
    """Ratios 0.1 and 0.3: the variance of two is half their difference squared, 0.02."""
    given = [trial(1), trial(1, cutoff="2024-11"), trial(2), trial(3), trial(4, tested=False)]
    ratios = [0.1, 0.1, 0.3, None, 9.0]
    made = pl.DataFrame(given).with_columns(trade_sharpe=pl.Series(ratios, dtype=pl.Float64))
    assert trials_of(made) == (3, pytest.approx(0.02))
    assert trials_of(made.head(1)) == (1, 0.0)
    assert trials_of(made.clear()) == (0, 0.0)


SURVIVOR = judged(
    passes=GATES, event_id="E", template="mean_reversion", horizon_bars=9, symbol="A", dimension="vol_regime",
    state="high", side=-1, ontology_hash=HASH, track="standard", n=401, n_days=201, effect_bps=31.0,
    standard_error_bps=2.5, shrunk_bps=29.0, own_weight=0.9, p_raw=0.001, p_fdr=0.002, q_group=0.003, q_level1=0.004,
    q_global=0.005, n_tests=77,
)  # fmt: skip
PASSED = bridged(SURVIVOR) | {
    "n_trades": 55, "n_days": 44, "net_bps": 14.0, "stressed_bps": 9.0, "cost_bps": 10.5, "funding_bps": -0.25,
    "p_adjusted": 0.02, "edge_over_cost": 2.4, "standard_error_bps": 3.5, "ontology_hash": HASH, "verdict": "pass",
    "track": "standard", "window": "validation",
}  # fmt: skip


def written(
    hypotheses: list[dict[str, Any]], bridge: list[dict[str, Any]], given: DiscoverySpecs = SPECS
) -> pl.DataFrame:
    return make(
        frame(DiscoveryHypotheses, hypotheses), frame(DiscoveryBridge, bridge), given, symbols=("A", "B"),
        simulated=True, snapshot_id="snap",
    )  # fmt: skip


def test_a_blueprint_says_what_its_rows_and_specs_say() -> None:
    [row] = written([SURVIVOR], [PASSED]).to_dicts()
    document = json.loads(row.pop("document"))
    assert row.pop("blueprint_id") == document["blueprint_id"]
    assert document["blueprint_id"].startswith("E-mean_reversion-9-A-high-")
    assert len(document["blueprint_id"].rsplit("-", 1)[1]) == 10
    assert row == {
        "cutoff": SURVIVOR["cutoff"], "event_id": "E", "template": "mean_reversion", "symbols": ["A"], "side": -1,
        "horizon_bars": 9, "validation_net_bps": 14.0, "ontology_hash": HASH, "snapshot_id": "snap",
    }  # fmt: skip
    del document["blueprint_id"]
    assert document == {
        "schema_version": "1.0",
        "cutoff": SURVIVOR["cutoff"],
        "simulated": True,
        "template": "mean_reversion",
        "aliases": [],
        "symbols": ["A"],
        "side": -1,
        "rule": {
            "event_id": "E", "event_version": 3, "condition": "close>bar", "definitions": {"half": "close/2"},
            "params": {"bar": 2.0}, "direction": "sgn(half)", "onset": "rising", "cooldown_bars": 7, "subset": "all",
            "state": {"vol_regime": "high"}, "filters": ["only_if_trend"],
        },
        "entry": {"order": "market_at_open", "lag_bars": 2, "pullback": None},
        "exit": {"horizon_bars": 9, "target": None, "stop": None, "levels": "close_then_next_open"},
        "sizing": {"max_weight_per_trade": 0.05, "max_weight_per_symbol": 0.2, "order_usd": 10000.0},
        "costs": {"fee_bps_per_side": 4.0, "legs": 1, "cost_bps": 10.5, "funding_bps": -0.25, "stress": 1.5},
        "evidence": {
            "n": 401, "n_days": 201, "effect_bps": 31.0, "standard_error_bps": 2.5, "shrunk_bps": 29.0,
            "own_weight": 0.9, "p_raw": 0.001, "p_fdr": 0.002, "q_group": 0.003, "q_level1": 0.004, "q_global": 0.005,
            "n_tests": 77, "gates": dict.fromkeys(GATES, True), "validation_trades": 55, "validation_net_bps": 14.0,
            "validation_stressed_bps": 9.0, "validation_p_adjusted": 0.02, "edge_over_cost": 2.4,
        },
        "snapshot_id": "snap",
        "ontology_hash": HASH,
    }  # fmt: skip


def pair(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A hypothesis over all symbols and states and its row of the bridge."""
    one = judged(
        passes=GATES, event_id="E", horizon_bars=9, ontology_hash=HASH, track="standard",
        **({"template": "continuation", "side": 1} | changes),
    )  # fmt: skip
    return one, PASSED | bridged(one) | {
        "ontology_hash": HASH, "verdict": "pass", "track": "standard", "window": "validation", "cost_bps": 10.5,
        "funding_bps": -0.25, "stressed_bps": 9.0, "p_adjusted": 0.02, "edge_over_cost": 2.4,
    }  # fmt: skip


def test_only_what_passed_validation_on_the_standard_track_is_written_down() -> None:
    one, passed = pair()
    assert written([one], [passed]).height == 1
    for changes in ({"verdict": "fail"}, {"track": "fallback_only"}, {"window": "test"}):
        assert written([one], [passed | changes]).is_empty(), changes


def test_of_templates_that_read_one_test_the_one_with_a_side_stands_for_all() -> None:
    pairs = [pair(template=name) for name in ("reversal_or_squeeze", "lead_lag_follow", "continuation")]
    [row] = written([one for one, _ in pairs], [two for _, two in pairs]).to_dicts()
    document = json.loads(row["document"])
    assert (document["template"], document["aliases"]) == ("continuation", ["lead_lag_follow", "reversal_or_squeeze"])
    assert (document["symbols"], document["rule"]["state"]) == (["A", "B"], {})
    assert document["side"] == 1
    # Whatever their names: here the one without a side would come first.
    sided = SPECS.templates | {"a": SPECS.templates["reversal_or_squeeze"], "z": SPECS.templates["continuation"]}
    both = [pair(template=name) for name in ("a", "z")]
    given = replace(SPECS, templates=sided)
    [row] = written([one for one, _ in both], [two for _, two in both], given).to_dicts()
    assert json.loads(row["document"])["template"] == "z"


def test_entries_wait_as_their_template_says() -> None:
    for template, side, test, lag, order in (
        ("breakout_followthrough", 1, "forward_return/confirmed", 3, "market_at_open"),
        ("pullback_entry", 1, SPECS.templates["pullback_entry"].test, 2, "market_after_pullback"),
        ("overshoot_repair", -1, SPECS.templates["overshoot_repair"].test, 2, "market_at_open"),
    ):
        one, passed = pair(template=template, side=side, test=test)
        document = json.loads(written([one], [passed])["document"].item())
        assert (document["entry"]["lag_bars"], document["entry"]["order"]) == (lag, order), template
        pullback = {"multiple": 0.5, "valid_bars": 6} if template == "pullback_entry" else None
        assert document["entry"]["pullback"] == pullback
        stop = {"kind": "displacement", "bars": 12, "multiple": 1.0} if template == "overshoot_repair" else None
        assert document["exit"]["stop"] == stop
    assert document["exit"]["target"] == {"kind": "displacement", "bars": 12, "share": 0.5}


def test_documents_are_written_a_line_each_and_their_schema_as_the_page_links_it(tmp_path: Any) -> None:
    one, passed = pair()
    made = written([SURVIVOR, one], [PASSED, passed])
    write_jsonl(made, tmp_path / "found.jsonl")
    lines = (tmp_path / "found.jsonl").read_text()
    assert lines == "".join(f"{text}\n" for text in made["document"])
    path = write_schema(tmp_path)
    assert path == tmp_path / "blueprint.schema.json"
    text = path.read_text()
    assert text.startswith('{\n  "$schema": "https://json-schema.org/draft/2020-12/schema"')
    assert text.endswith("}\n")
