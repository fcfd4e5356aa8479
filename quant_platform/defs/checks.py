"""Asset checks: blocking where data is bad, warning where it is thin, old or dirty.

A partition cannot be written with a broken schema, so the blocking checks read the files again: they guard against what
happened to the files since, and they are what the UI shows as evidence.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg
import dataframely as dy
import numpy as np
import polars as pl

from quant_platform.contracts.tables import Table, table
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.schemes import END, START, lake_key
from quant_platform.defs.steps_here import STAYS_HERE
from quant_platform.lake import Key
from quant_platform.lake.validation import keeps_all_rules
from quant_platform.market.calendar import session_array
from quant_platform.pipeline.alerts import alerts_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import last_final
from quant_platform.specification.checks import ChecksSpec

_NO_BARS = "the tickers of the run have no bar with a price"


def build_checks(tables: Sequence[Table]) -> list[dg.AssetChecksDefinition]:
    """Schema and key checks for every table, price, coverage, staleness and quarantine checks for the clean ones."""
    checks = [_integrity(definition) for definition in tables]
    names = {definition.name for definition in tables}
    if "parity.diff" in names:
        checks.append(_parity_explained())
    if "clean.equity_bars" not in names:
        return checks
    return [*checks, _prices(), _coverage(), _quarantine_rate(), *([_alerts()] if "ops.dashboard" in names else [])]


def _key(definition: Table) -> dg.AssetKey:
    return dg.AssetKey(definition.name.split("."))


def run_keys(context: dg.AssetCheckExecutionContext, home: Home, name: str) -> list[Key] | None:
    """Partitions of the run under check that exist, or None for all of an unpartitioned table."""
    definition = home.lake.table(name)
    if not definition.dimensions:
        return None
    single = context.run.tags.get("dagster/partition")
    if len(definition.dimensions) > 1:
        existing = home.lake.partitions(name)
        # A range over two dimensions is not an interval of either: all that exists is looked at.
        return existing if single is None else [key for key in existing if key == lake_key(definition, single)]
    present = [str(key) for key in home.lake.partitions(name)]
    tags = context.run.tags
    if single is not None:
        return [key for key in present if key == single]
    start, end = tags.get(START), tags.get(END)
    if start is None or end is None:
        return list(present)
    if definition.dimensions == ("ticker",):
        order = list(context.instance.get_dynamic_partitions("ticker"))
        chosen = (
            set(order[order.index(start) : order.index(end) + 1]) if start in order and end in order else set(order)
        )
        return [key for key in present if key in chosen]
    return [key for key in present if start <= key <= end or definition.dimensions[0] in ("factor", "sweep")]


def _integrity(definition: Table) -> dg.AssetChecksDefinition:
    asset = _key(definition)

    @dg.multi_asset_check(
        name=f"{definition.name.replace('.', '_')}__integrity",
        op_tags=STAYS_HERE,
        specs=[
            dg.AssetCheckSpec(
                "schema", asset=asset, blocking=True, description="Columns, types and value ranges hold."
            ),
            dg.AssetCheckSpec("key_unique", asset=asset, blocking=True, description="No primary key occurs twice."),
        ],
    )
    def integrity(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        opened = home.open()
        keys_of_run = run_keys(context, opened, definition.name)
        if keys_of_run is not None and not keys_of_run:
            cause = f"no partition of {definition.name} that the run names exists"
            yield from (nothing_to_check(name, asset, cause) for name in ("schema", "key_unique"))
            return
        frame = opened.lake.read(definition.name, keys_of_run, opened=True)
        kept = keeps_all_rules(definition.schema, frame)
        failures = {} if kept else schema_failures(definition.schema, frame)
        yield dg.AssetCheckResult(
            passed=not failures,
            check_name="schema",
            asset_key=asset,
            metadata={"rows_checked": frame.height, **failures},
        )
        # A key that occurs once is one of the rules; only where one is broken is it asked which.
        keys = [] if kept else list(definition.primary_key)
        doubled = frame.height - frame.select(keys).unique().height if keys else 0
        yield dg.AssetCheckResult(
            passed=doubled == 0, check_name="key_unique", asset_key=asset, metadata={"rows_doubled": doubled}
        )

    return integrity


def _parity_explained() -> dg.AssetChecksDefinition:
    definition = table("parity.diff")

    @dg.asset_check(
        asset=_key(definition),
        name="explained",
        op_tags=STAYS_HERE,
        blocking=True,
        description="Every framework that ran agrees with the engine trade by trade, or carries a mark that holds.",
    )
    def explained(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        opened = home.open()
        keys = run_keys(context, opened, definition.name)
        found = opened.lake.read(definition.name, keys, opened=True)
        wrong = found.filter(~pl.col("explained")).select("case", "framework", "outcome", "differing_trades", "reason")
        absent = found.filter(pl.col("outcome") == "not_installed").height
        return dg.AssetCheckResult(
            passed=wrong.is_empty(),
            metadata={"rows_checked": found.height, "not_installed": absent, "unexplained": wrong.to_dicts()[:5]},
        )

    return explained


def nothing_to_check(name: str, asset: dg.AssetKey, cause: str) -> dg.AssetCheckResult:
    """The result of a check that had nothing to look at: it did not pass, and it blocks nothing."""
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        check_name=name,
        asset_key=asset,
        description=f"Nothing to check: {cause}.",
        metadata={"nothing_to_check": cause},
    )


def schema_failures(schema: type[dy.Schema], frame: pl.DataFrame) -> dict[str, int]:
    """Rows that break each rule of a schema, apart from the primary key, which has its own check."""
    _, failure = schema.filter(frame, cast=True)
    return {rule: count for rule, count in failure.counts().items() if rule != "primary_key"}


def _prices() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey(["clean", "equity_bars"])

    @dg.multi_asset_check(
        name="clean_equity_bars__prices",
        op_tags=STAYS_HERE,
        specs=[
            dg.AssetCheckSpec(
                "price_sanity",
                asset=asset,
                blocking=True,
                description="Prices are positive and low <= open, close <= high.",
            ),
            dg.AssetCheckSpec(
                "missing_has_reason", asset=asset, blocking=True, description="A session without prices says why."
            ),
        ],
    )
    def prices(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        opened = home.open()
        rules: ChecksSpec = opened.load("checks.yaml", ChecksSpec)
        keys = run_keys(context, opened, "clean.equity_bars")
        frame = opened.lake.read("clean.equity_bars", keys, opened=True)
        if frame.is_empty():
            yield from (nothing_to_check(name, asset, _NO_BARS) for name in ("price_sanity", "missing_has_reason"))
            return
        slack = 1.0 + rules.ohlc_tolerance
        low, high = pl.col("low"), pl.col("high")
        # A suspect field is NaN; null makes a comparison with it say nothing.
        priced = frame.filter(pl.col("close").is_not_nan() & pl.col("close").is_not_null())
        broken = priced.with_columns(pl.col("open", "high", "low").fill_nan(None)).filter(
            (low <= 0)
            | (high * slack < pl.max_horizontal("open", "close"))
            | (low > pl.min_horizontal("open", "close") * slack)
        )
        yield dg.AssetCheckResult(
            passed=broken.is_empty(), check_name="price_sanity", asset_key=asset, metadata=_rows(broken)
        )
        silent = frame.filter(
            (pl.col("close").is_nan() | pl.col("close").is_null()) & pl.col("missing_reason").is_null()
        )
        yield dg.AssetCheckResult(
            passed=silent.is_empty(), check_name="missing_has_reason", asset_key=asset, metadata=_rows(silent)
        )

    return prices


def _coverage() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey(["clean", "equity_bars"])

    @dg.multi_asset_check(
        name="clean_equity_bars__coverage",
        op_tags=STAYS_HERE,
        specs=[
            dg.AssetCheckSpec("coverage", asset=asset, description="Few sessions inside a name's life are missing."),
            dg.AssetCheckSpec("staleness", asset=asset, description="The newest bar is of the last finished session."),
        ],
    )
    def coverage(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        opened = home.open()
        rules: ChecksSpec = opened.load("checks.yaml", ChecksSpec)
        frame = opened.lake.read(
            "clean.equity_bars",
            run_keys(context, opened, "clean.equity_bars"),
            columns=["ticker", "session", "missing_reason"],
        )
        if frame.is_empty():
            yield from (nothing_to_check(name, asset, _NO_BARS) for name in ("coverage", "staleness"))
            return
        missing = frame.filter(pl.col("missing_reason").is_not_null()).height
        share = missing / frame.height
        yield dg.AssetCheckResult(
            passed=share <= rules.max_missing_share,
            severity=dg.AssetCheckSeverity.WARN,
            check_name="coverage",
            asset_key=asset,
            metadata={"missing_sessions": missing, "share": share, "limit": rules.max_missing_share},
        )
        priced = frame.filter(pl.col("missing_reason").is_null()).get_column("session")
        yield staleness(opened, asset, priced.max(), rules.max_age_days)

    return coverage


def staleness(home: Home, asset: dg.AssetKey, newest: Any, limit_days: int) -> dg.AssetCheckResult:
    """Compare the newest priced bar with the last session that the exchange has closed by now.

    Parameters
    ----------
    home
        The market. One that has ended is compared with its declared last session.
    asset
        What the result is about.
    newest
        Date of the newest bar with a price; anything else says that there is none.
    limit_days
        Calendar days it may lie before that session.
    """
    if not isinstance(newest, date):
        return nothing_to_check("staleness", asset, _NO_BARS)
    expected = last_final(home)
    behind = int((session_array(home.universe.exchange, newest, max(newest, expected)) > np.datetime64(newest)).sum())
    age = (expected - newest).days
    return dg.AssetCheckResult(
        passed=age <= limit_days,
        severity=dg.AssetCheckSeverity.WARN,
        check_name="staleness",
        asset_key=asset,
        description="The market has ended." if home.spec.last_session is not None else None,
        metadata={
            "newest_bar": str(newest),
            "last_finished_session": str(expected),
            "sessions_behind": behind,
            "days_old": age,
            "limit_days": limit_days,
        },
    )


def _quarantine_rate() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey(["clean", "equity_quarantine"])

    @dg.multi_asset_check(
        name="clean_equity_quarantine__rate",
        op_tags=STAYS_HERE,
        specs=[
            dg.AssetCheckSpec(
                "quarantine_rate", asset=asset, description="Few raw rows were kept out of the clean bars."
            )
        ],
    )
    def rate(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        opened = home.open()
        rules: ChecksSpec = opened.load("checks.yaml", ChecksSpec)
        keys = run_keys(context, opened, "clean.equity_quarantine")
        kept_out = opened.lake.read("clean.equity_quarantine", keys, columns=["ticker", "rule"])
        bars = opened.lake.scan("raw.equity_bars", keys).select(pl.len()).collect().item()
        if not bars:
            yield nothing_to_check("quarantine_rate", asset, "the run's tickers have no raw row")
            return
        share = kept_out.height / bars
        by_rule = dict(kept_out.group_by("rule").len().sort("len", "rule", descending=[True, False]).iter_rows())
        yield dg.AssetCheckResult(
            passed=share <= rules.max_quarantine_share,
            severity=dg.AssetCheckSeverity.WARN,
            check_name="quarantine_rate",
            asset_key=asset,
            metadata={"rows": kept_out.height, "of": bars, "share": share, **by_rule},
        )

    return rate


def _alerts() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey(["ops", "dashboard"])

    @dg.multi_asset_check(
        name="ops_dashboard__alerts",
        op_tags=STAYS_HERE,
        specs=[dg.AssetCheckSpec("alerts", asset=asset, description="Nothing of the paper account is out of bounds.")],
    )
    def alerts(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        opened = home.open()
        days = [date.fromisoformat(str(key)) for key in run_keys(context, opened, "ops.dashboard") or []]
        if not days:
            yield nothing_to_check("alerts", asset, "no session of the run has a dashboard")
            return
        found = {day.isoformat(): alerts_of(opened, day) for day in days}
        raised = {day: [one["text"] for one in some] for day, some in found.items() if some}
        yield dg.AssetCheckResult(
            passed=not raised,
            severity=dg.AssetCheckSeverity.WARN,
            check_name="alerts",
            asset_key=asset,
            metadata={"sessions": len(days), "alerts": str(raised)},
        )

    return alerts


def _rows(frame: pl.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": frame.height}
    if not frame.is_empty():
        found["first_rows"] = str(frame.head(5).to_dicts())
    return found
