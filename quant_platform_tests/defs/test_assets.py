"""What Dagster shows of the graph before anything has run: each asset says what it is and what it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from quant_platform.contracts.tables import TABLES
from quant_platform.defs.definitions import build_definitions
from quant_platform.defs.jobs import EQUITY_JOBS, OPERATIONS_JOBS, PARITY_JOBS, SUITE_JOBS
from quant_platform_tests.homes import edit, entered, write_specs

PARTITIONS = {
    "raw.equity_bars": "ticker",
    "raw.corporate_actions": "ticker",
    "raw.fundamentals": "ticker",
    "clean.equity_bars": "ticker",
    "clean.equity_quarantine": "ticker",
    "clean.equity_suspects": "ticker",
    "clean.corporate_actions": "ticker",
    "clean.fundamentals": "ticker",
    "clean.fundamentals_quarantine": "ticker",
    "features.equity": "ticker",
    "replay.candidates": "ticker",
    "signals.momentum_rank": "week",
    "replay.qualified": "week",
    "replay.hit_rate": "week",
    "replay.calibration": "week",
    "replay.report": "week",
    "live.scan": "day",
    "live.outcomes": "day",
    "live.marks": "day",
    "factors.information_coefficient": "factor",
    "replay.activation_sweep": "sweep",
    "raw.securities": None,
    "clean.equity_accounting": None,
    "replay.trials": None,
    "audit.findings": None,
    "suite.dates": None,
    "suite.returns": "year",
    "suite.exposures": "year",
    "suite.signals": "signal",
    "suite.rejects": "signal",
    "suite.composite": "signal",
    "suite.results": "suite",
    "suite.daily": "suite",
    "suite.fractiles": "suite",
    "suite.diagnostics": "suite",
    "suite.correlations": "suite",
    "suite.trials": "suite",
    "suite.looks": "suite",
    "suite.experiments": "suite",
    "suite.verdict": "suite",
    "suite.tracking": "suite",
    "ops.orders": "day",
    "ops.executions": "day",
    "ops.skips": "day",
    "ops.trades": "day",
    "ops.marks": "day",
    "ops.book": "day",
    "ops.fills": None,
    "ops.threshold_sweep": "ticker",
    "ops.trials": "ticker",
    "ops.transaction_costs": "week",
    "ops.slippage_windows": "week",
    "ops.sleeve_summary": "week",
    "ops.sleeve_promotions": "week",
    "ops.config_proposals": "week",
    "ops.dashboard": "day",
    "parity.decisions": "case",
    "parity.executions": "case x framework",
    "parity.diff": "case x framework",
}
LABS = {"suite": "suite", "ops": "operations", "parity": "parity"}
JOBS = [job.name for job in (*EQUITY_JOBS, *SUITE_JOBS, *PARITY_JOBS, *OPERATIONS_JOBS)]
READ_FROM_SOURCES = {"raw.equity_bars", "raw.corporate_actions", "raw.fundamentals", "raw.securities", "live.marks"}


def key_of(name: str) -> dg.AssetKey:
    return dg.AssetKey(name.split("."))


def name_of(key: dg.AssetKey) -> str:
    return ".".join(key.path)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specs(tmp_path_factory.mktemp("assets") / "specs")


@pytest.fixture(scope="module")
def definitions(specs: Path) -> Iterator[dg.Definitions]:
    with entered(specs.parent / "home", specs) as home:
        yield build_definitions(home)


@pytest.fixture(scope="module")
def nodes(definitions: dg.Definitions) -> dict[str, Any]:
    graph = definitions.resolve_asset_graph()
    return {name_of(node.key): node for node in graph.asset_nodes}


def test_assets_are_the_tables_that_this_list_names(nodes: dict[str, Any]) -> None:
    assert set(nodes) == set(PARTITIONS)
    assert set(PARTITIONS) <= set(TABLES)


@pytest.mark.parametrize("name", PARTITIONS)
def test_an_asset_says_what_it_is(name: str, nodes: dict[str, Any]) -> None:
    node = nodes[name]
    assert node.group_name == LABS.get(name.split(".")[0], "equity")
    assert node.kinds
    assert node.owners == ["team:quant-platform"]
    assert node.description is not None
    assert len(node.description.split()) >= 5
    assert re.fullmatch(r"[0-9a-f]{16}", node.code_version)


@pytest.mark.parametrize("name", PARTITIONS)
def test_an_asset_shows_every_column_with_a_description(name: str, nodes: dict[str, Any]) -> None:
    shown = {column.name: column for column in nodes[name].metadata["dagster/column_schema"].columns}
    assert set(TABLES[name].schema.column_names()) <= set(shown)
    assert [column for column, what in shown.items() if not what.description] == []


def test_the_columns_of_features_are_the_ones_of_the_specs(nodes: dict[str, Any], specs: Path) -> None:
    declared = yaml.safe_load((specs / "features" / "equity.yaml").read_text(encoding="utf-8"))["features"]
    shown = {column.name for column in nodes["features.equity"].metadata["dagster/column_schema"].columns}
    assert set(declared) <= shown


@pytest.mark.parametrize(("name", "scheme"), PARTITIONS.items())
def test_an_asset_has_the_partition_scheme_of_its_table(name: str, scheme: str | None, nodes: dict[str, Any]) -> None:
    definition = nodes[name].partitions_def
    match scheme:
        case None:
            assert definition is None
        case "ticker" | "signal" | "suite":
            assert isinstance(definition, dg.DynamicPartitionsDefinition)
            assert definition.name == scheme
        case "case x framework":
            assert isinstance(definition, dg.MultiPartitionsDefinition)
            assert "stop|zipline" in definition.get_partition_keys()
        case "year":
            assert isinstance(definition, dg.StaticPartitionsDefinition)
            assert definition.get_partition_keys() == ["2018", "2019"]
        case "week":
            assert isinstance(definition, dg.WeeklyPartitionsDefinition)
            # 2018-01-02 is a Tuesday and 2019-12-31 another: 105 weeks, named by their Monday.
            keys = definition.get_partition_keys()
            assert (keys[0], keys[-1], len(keys)) == ("2018-01-01", "2019-12-30", 105)
        case "day":
            # XNYS had 251 sessions in 2018 (5 December was a day of mourning) and 252 in 2019.
            keys = definition.get_partition_keys()
            assert (keys[0], keys[-1], len(keys)) == ("2018-01-02", "2019-12-31", 251 + 252)
            assert "2018-12-05" not in keys
        case _:
            assert isinstance(definition, dg.StaticPartitionsDefinition)


def test_jobs_together_make_every_table(definitions: dg.Definitions) -> None:
    covered: set[str] = set()
    for name in JOBS:
        covered |= {name_of(key) for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys}
    assert covered == set(PARTITIONS)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_one_partition_scheme_and_a_description(job: str, definitions: dg.Definitions) -> None:
    resolved = definitions.resolve_job_def(job)
    assert len({PARTITIONS[name_of(key)] for key in resolved.asset_layer.executable_asset_keys}) == 1
    assert resolved.description


def test_checks_block_where_data_is_bad_and_warn_where_it_is_thin(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {(name_of(key.asset_key), key.name): graph.get(key).blocking for key in graph.asset_check_keys}
    every = {(name, check): True for name in PARTITIONS for check in ("schema", "key_unique")}
    bars = {("clean.equity_bars", check): True for check in ("price_sanity", "missing_has_reason")}
    warnings = {
        ("clean.equity_bars", "coverage"): False,
        ("clean.equity_bars", "staleness"): False,
        ("clean.equity_quarantine", "quarantine_rate"): False,
        ("ops.dashboard", "alerts"): False,
    }
    assert blocking == every | bars | warnings | {("parity.diff", "explained"): True}


def test_freshness_means_something_only_while_the_market_goes_on(definitions: dg.Definitions, tmp_path: Path) -> None:
    assert fresh_tables(definitions) == set()
    specs = write_specs(tmp_path / "specs")
    edit(specs / "home.yaml", lambda spec: spec.update(last_session=None))
    with entered(tmp_path / "home", specs) as home:
        # Schedules make every table of the equity lab, so each has an age; others are made where somebody asks.
        of_schedules = {name for name in PARTITIONS if name.split(".")[0] not in ("suite", "parity")}
        assert fresh_tables(build_definitions(home)) == of_schedules


def fresh_tables(definitions: dg.Definitions) -> set[str]:
    specs = [spec for asset in definitions.assets or () for spec in asset.specs]
    return {name_of(spec.key) for spec in specs if spec.freshness_policy is not None}


DAILY = {f"ops.{name}" for name in ("orders", "executions", "skips", "trades", "marks", "book")}
SLEEVES = {"ops.sleeve_summary", "ops.sleeve_promotions", "ops.config_proposals"}
JUDGED = {"replay.hit_rate", "replay.calibration", "replay.activation_sweep", "replay.report", "replay.trials"}
DEPENDENTS = [
    (
        "cleaning/equity.yaml",
        "max_power: 3",
        {
            "clean.equity_bars",
            "clean.equity_quarantine",
            "clean.equity_suspects",
            "clean.corporate_actions",
            "replay.trials",
            "replay.report",
            "live.marks",
        },
    ),
    ("cleaning/fundamentals.yaml", "largest_minority: 0.34", {"clean.fundamentals", "clean.fundamentals_quarantine"}),
    ("activation.yaml", "min_confidence: 55", {"replay.qualified", "live.scan"} | JUDGED),
    (
        "features/equity.yaml",
        "lag(close,21)/lag(close,252)",
        {"features.equity", "signals.momentum_rank", "factors.information_coefficient", "live.scan"} | JUDGED,
    ),
    ("setups/equity.yaml", "touches_full: 3", {"replay.candidates", "live.scan"} | JUDGED),
    (
        "replay/equity.yaml",
        "cost_bps: 10",
        {"replay.candidates", "live.scan", "live.outcomes", "live.marks", "audit.findings"} | JUDGED | DAILY,
    ),
    (
        "factors/equity.yaml",
        "min_names: 20",
        {"factors.information_coefficient", "replay.report", "replay.trials", "audit.findings"},
    ),
    ("sweeps/confidence.yaml", "[null, 40,", {"replay.activation_sweep", "replay.report", "replay.trials"}),
    ("sources/simulated.yaml", "years: 2", READ_FROM_SOURCES),
    ("sources/yahoo.yaml", "name: yahoo", set()),
    ("schedules.yaml", "freshness_days: 4", set()),
    ("checks.yaml", "max_age_days: 7", {"audit.findings"}),
    (
        "operations/routing.yaml",
        "risk_per_trade: 0.005",
        {"ops.threshold_sweep", "ops.trials", "ops.transaction_costs", "ops.dashboard"} | SLEEVES | DAILY,
    ),
    ("operations/sleeves.yaml", "cap: 0.60", SLEEVES | DAILY),
    ("operations/venue.yaml", "noise_bps: 6.0", {"ops.fills"}),
    ("operations/alerts.yaml", "slippage_ratio: 2.0", {"ops.dashboard"}),
]


@pytest.fixture(scope="module")
def shipped_versions(nodes: dict[str, Any]) -> dict[str, str]:
    return {name: node.code_version for name, node in nodes.items()}


@pytest.mark.parametrize(("file", "number", "dependents"), DEPENDENTS, ids=[row[0] for row in DEPENDENTS])
def test_an_edited_spec_changes_the_version_of_exactly_what_depends_on_it(
    file: str, number: str, dependents: set[str], shipped_versions: dict[str, str], tmp_path: Path
) -> None:
    specs = write_specs(tmp_path / "specs")
    text = (specs / file).read_text(encoding="utf-8")
    assert text.count(number) == 1
    (specs / file).write_text(text.replace(number, edited(number)), encoding="utf-8")
    with entered(tmp_path / "home", specs) as home:
        changed = versions(build_definitions(home))
    assert {name for name in changed if changed[name] != shipped_versions[name]} == dependents


def edited(text: str) -> str:
    """Another digit for the last one, or another word."""
    digits = [position for position, character in enumerate(text) if character.isdigit()]
    if not digits:
        return text + "2"
    last = digits[-1]
    return text[:last] + ("6" if text[last] != "6" else "7") + text[last + 1 :]


def test_a_comment_in_a_spec_changes_no_version(shipped_versions: dict[str, str], tmp_path: Path) -> None:
    specs = write_specs(tmp_path / "specs")
    for path in specs.rglob("*.yaml"):
        path.write_text("# a remark\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with entered(tmp_path / "home", specs) as home:
        assert versions(build_definitions(home)) == shipped_versions


def versions(definitions: dg.Definitions) -> dict[str, str]:
    graph = definitions.resolve_asset_graph()
    return {name_of(node.key): str(node.code_version) for node in graph.asset_nodes}
