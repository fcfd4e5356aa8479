"""The audit of a home: what `market.audit` finds in its tables, as an asset, and as the end of every run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.findings import Finding
from quant_platform.market import audit
from quant_platform.market.declared_adjustment import declared_adjustment, ex_days, response_by_year
from quant_platform.market.universe import membership
from quant_platform.pipeline.data_checks import EQUITY_RAW, PERP_RAW, stored_rows_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.months import month_before
from quant_platform.pipeline.sessions import market_sessions
from quant_platform.pipeline.stage import FrameStage, Reads
from quant_platform.specification.checks import ChecksSpec
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.replay import ReplaySpec

# Sessions of the longest lag that ranks are made of: 12-1 momentum.
MOMENTUM_SESSIONS = 253
FACTS = ("raw.funding", "raw.open_interest", "raw.liquidations", "raw.book")
_UNKNOWN_COSTS = {
    "funding_settle": "funding",
    "spread_bps": "spread",
    "quote_volume": "traded value",
    "oi": "open interest",
}


class AuditFailed(PlatformError, RuntimeError):
    """The data of a home are past a limit that ``specs/checks.yaml`` states."""

    code = "audit_failed"


def equity_audit(
    home: Home,
    keys: Sequence[str],
    *,
    raw: pl.LazyFrame,
    bars: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    suspects: pl.LazyFrame,
    actions: pl.LazyFrame,
    fundamentals: pl.LazyFrame,
    fundamentals_quarantine: pl.LazyFrame,
    securities: pl.LazyFrame,
    candidates: pl.LazyFrame,
) -> pl.DataFrame:
    """Everything a person must know of the equities of a home before believing a number."""
    del keys
    checks = home.load("checks.yaml", ChecksSpec)
    factors, replay = home.load("factors/equity.yaml", FactorSpec), home.load("replay/equity.yaml", ReplaySpec)
    delivered = raw.select(pl.len()).collect().item()
    kept_out = quarantine.select("ticker", "rule").collect()
    wanted = ("ticker", "session", "high", "low", "close", "volume", "dollar_volume", "missing_reason")
    clean = bars.select(*wanted).collect()
    judged = actions.collect()
    bad_values = fundamentals_quarantine.select(
        "ticker", pl.format("{} of {}", "rule", "metric").alias("rule")
    ).collect()
    values = fundamentals.select(pl.len()).collect().item()
    members = securities.collect()
    missing = clean.filter(pl.col("missing_reason").is_not_null()).height
    told = judged.filter((pl.col("kind").cast(pl.String) == "delisting") & pl.col("applied"))["ticker"].to_list()
    found: list[Finding] = [
        *audit.rows_kept_out(kept_out, delivered, "raw.equity_bars"),
        *audit.rows_kept_out(bad_values, values + bad_values.height, "raw.fundamentals"),
        *audit.suspect_fields(suspects.collect()),
        *audit.contradicted_actions(judged),
        *_declared(raw, judged),
        *audit.unexplained_jumps(clean),
        *(audit.missing_sessions(clean) if clean.height else []),
        *audit.membership_gaps(members, clean, home.universe.name),
        *audit.traded_unlike_members(members, clean, home.universe.name, checks.least_traded_share),
        *audit.empty_sections(
            names=_most_names(home, members, clean),
            sessions=len(market_sessions(home)),
            needed_names=factors.min_names,
            needed_sessions=MOMENTUM_SESSIONS,
        ),
        *audit.not_looked_at([reads.table for reads in LATER.values() if not home.lake.partitions(reads.table)]),
        *audit.unstated_ends(candidates.select("ticker", "outcome").collect(), told, replay.unknown_delisting_loss),
        *_limits("raw.equity_bars", kept_out.height, delivered, missing, clean.height, checks),
    ]
    return audit.audit_frame(found)


def _declared(raw: pl.LazyFrame, judged: pl.DataFrame) -> list[Finding]:
    """What the dividends of a home say about the adjustment its source declares."""
    paid = judged.filter((pl.col("kind").cast(pl.String) == "cash_dividend") & pl.col("close_before").is_not_null())
    if paid.is_empty():
        return []
    delivered = str(raw.select(pl.col("adjustment").cast(pl.String).first()).collect().item())
    closes = raw.select("ticker", "session", "close").filter(pl.col("close") > 0).collect()
    closes = closes.unique(["ticker", "session"], keep="first", maintain_order=True)
    split = judged.filter(pl.col("kind").cast(pl.String) == "split").select(
        "ticker", pl.col("ex_date").alias("session")
    )
    yields = paid.select("ticker", "ex_date", (pl.col("value") / pl.col("close_before")).alias("yield"))
    quiet = yields.join(split, left_on=["ticker", "ex_date"], right_on=["ticker", "session"], how="anti")
    return declared_adjustment(
        response_by_year(ex_days(closes, quiet)), delivered, "raw.equity_bars, column adjustment"
    )


def _most_names(home: Home, securities: pl.DataFrame, clean: pl.DataFrame) -> int:
    """Most members with a bar on one session."""
    priced = clean.filter(pl.col("missing_reason").is_null())
    mine = securities.filter(pl.col("universe") == home.universe.name)
    if priced.is_empty() or mine.is_empty():
        return 0
    days = priced["session"].unique().sort()
    tickers = priced["ticker"].unique().sort().to_list()
    member = membership(securities, home.universe.name, days.to_numpy().astype("datetime64[D]"), tickers)
    rows = days.search_sorted(priced["session"]).to_numpy()
    columns = priced["ticker"].replace_strict({name: k for k, name in enumerate(tickers)}, return_dtype=pl.Int64)
    listed = np.zeros(member.shape, dtype=np.bool_)
    listed[rows, columns.to_numpy()] = True
    return int((member & listed).sum(axis=1).max())


def _limits(
    where: str, kept_out: int, delivered: int, missing: int, expected: int, checks: ChecksSpec
) -> list[Finding]:
    quarantined, holes = "rows kept out", "sessions or bars without prices"
    return [
        *(
            audit.limit(where, quarantined, kept_out, delivered, checks.stop_quarantine_share, stop=True)
            or audit.limit(where, quarantined, kept_out, delivered, checks.max_quarantine_share, stop=False)
        ),
        *(
            audit.limit(where, holes, missing, expected, checks.stop_missing_share, stop=True)
            or audit.limit(where, holes, missing, expected, checks.max_missing_share, stop=False)
        ),
    ]


def perp_audit(
    home: Home,
    keys: Sequence[str],
    *,
    raw: pl.LazyFrame,
    bars: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    facts_quarantine: pl.LazyFrame,
    market: pl.LazyFrame,
) -> pl.DataFrame:
    """Everything a person must know of the perpetuals of a home before believing a number."""
    del keys
    checks = home.load("checks.yaml", ChecksSpec)
    delivered = raw.select(pl.len()).collect().item()
    kept_out = quarantine.filter(pl.col("market").cast(pl.String) == "perp").select("symbol", "rule").collect()
    spot = quarantine.filter(pl.col("market").cast(pl.String) == "spot").select("symbol", "rule").collect()
    facts = facts_quarantine.select(
        "symbol", pl.format("{} of {}", "rule", pl.col("fact").cast(pl.String)).alias("rule")
    ).collect()
    grid = bars.select("symbol", "month", "bar", "missing_reason").collect()
    missing = grid.filter(pl.col("missing_reason").is_not_null())
    found = [
        *audit.rows_kept_out(kept_out, delivered, "raw.perp_bars", "symbol"),
        *audit.rows_kept_out(spot, stored_rows_of(home, ["raw.spot_bars"]), "raw.spot_bars", "symbol"),
        *audit.rows_kept_out(facts, stored_rows_of(home, FACTS), "what is joined to the bars", "symbol"),
        *_missing_bars(grid, missing),
        *_cut_months(grid),
        *_unknown(market),
        *_limits("raw.perp_bars", kept_out.height, delivered, missing.height, grid.height, checks),
    ]
    return audit.audit_frame(found)


def _missing_bars(grid: pl.DataFrame, missing: pl.DataFrame) -> list[Finding]:
    found = []
    for (reason,), part in missing.group_by("missing_reason", maintain_order=True):
        most = part.group_by("symbol", "month").len().sort("len", "symbol", "month", descending=[True, False, False])
        found.append(
            Finding(
                kind="missing_bars",
                where="clean.perp_bars_5m",
                what=f"bars without prices, reason {reason}, {part.height / grid.height:.2%} of all",
                rows=part.height,
                total=grid.height,
                examples=tuple(f"{symbol} {month}: {count}" for symbol, month, count in most.head(5).iter_rows()),
            )
        )
    return found


def _cut_months(grid: pl.DataFrame) -> list[Finding]:
    """Last months of symbols that end before the month does: what is not there is not missing, it has not come."""
    last = grid.group_by("symbol").agg(pl.col("month").max(), pl.col("bar").max())
    cut, lacking = [], 0
    for symbol, month, bar in last.sort("symbol").iter_rows():
        year, number = int(month[:4]), int(month[5:])
        end = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
        left = int((end - bar).total_seconds() // 300) - 1
        if left > 0:
            lacking += left
            cut.append(f"{symbol} {month}: ends {bar:%Y-%m-%d %H:%M}, {left:,} bars of the month to come")
    if not cut:
        return []
    return [
        Finding(
            kind="month_cut_short",
            where="clean.perp_bars_5m",
            what="bars of the last month never came: the file ends inside it, or the symbol went",
            rows=lacking,
            total=lacking + grid.height,
            examples=tuple(cut[:5]),
            action=f"months up to {month_before(max(last['month']))} are whole; fetch the last one again when it ended",
        )
    ]


def _unknown(market: pl.LazyFrame) -> list[Finding]:
    """Shares of bars on which a cost is not known and a pessimistic number stands for it."""
    there = set(market.collect_schema().names())
    priced = market.filter(pl.col("close").is_not_nan() & pl.col("close").is_not_null())
    counted = (
        priced.group_by("symbol")
        .agg(
            pl.len().alias("bars"),
            *(
                (pl.col(name).is_nan() | pl.col(name).is_null()).sum().alias(name)
                for name in _UNKNOWN_COSTS
                if name in there
            ),
        )
        .sort("symbol")
        .collect()
    )
    total = int(counted["bars"].sum())
    found = []
    for name, words in _UNKNOWN_COSTS.items():
        unknown = counted[name] if name in there else counted["bars"]
        rows = int(unknown.sum())
        if rows == 0:
            continue
        worst = counted.select("symbol", (unknown / counted["bars"]).alias("share")).filter(pl.col("share") > 0)
        charged = "" if name == "oi" else "; trades there are charged the pessimistic number of specs/discovery.yaml"
        found.append(
            Finding(
                kind=f"unknown_{words.replace(' ', '_')}",
                where=f"clean.market_5m, column {name}",
                what=f"bars on which the {words} is not known{charged}",
                rows=rows,
                total=total,
                examples=tuple(f"{symbol}: {share:.1%}" for symbol, share in worst.head(5).iter_rows()),
                severity="info" if rows == total and name in ("spread_bps", "oi") else "warning",
            )
        )
    return found


def delivered_rows(home: Home) -> int:
    """Raw rows that a home holds of everything that is judged."""
    return stored_rows_of(home, (*EQUITY_RAW, *PERP_RAW))


def stored_audit(home: Home, tables: Sequence[str] = ("audit.findings", "audit.perp_findings")) -> pl.DataFrame:
    """The audits that stand in the lake, equities first; empty where none was made yet."""
    parts = [home.lake.read(name) for name in tables if home.lake.current(name, None) is not None]
    return pl.concat(parts) if parts else audit.audit_frame([])


def audit_lines(home: Home) -> list[str]:
    """The stored audit in words: the verdict first, then one line per finding that is more than information."""
    frame = stored_audit(home)
    said = frame.filter(pl.col("severity").cast(pl.String) != "info")
    lines = [f"audit      {audit.verdict(frame, delivered_rows(home))}"]
    for row in said.to_dicts():
        count = f"{row['rows']:,}" + (f" of {row['total']:,}" if row["total"] is not None else "")
        shown = f" ({', '.join(row['examples'][:3])})" if row["examples"] else ""
        lines.append(f"  {row['severity']:<8} {row['kind']}: {count}: {row['what']}{shown}")
    return lines


def require_within_limits(home: Home) -> None:
    """End a run whose data are past a stated limit.

    Raises
    ------
    AuditFailed
        With what is past which limit.
    """
    past = stored_audit(home).filter(pl.col("kind") == audit.PAST_LIMIT)
    if past.height:
        raise AuditFailed(
            "the data are past the limits of specs/checks.yaml",
            where=", ".join(past["where"].unique().sort()),
            how_many="; ".join(past["what"]),
            cause="most often a key of the source spec does not say what the files are",
            action='quant sql "select * from audit.findings"',
        )


# What the weekly runs make: a home that goes on is audited every day from its first on.
LATER = {
    "fundamentals": Reads("clean.fundamentals", "all", required=False),
    "fundamentals_quarantine": Reads("clean.fundamentals_quarantine", "all", required=False),
    "candidates": Reads("replay.candidates", "all", required=False),
}
EQUITY_AUDIT = FrameStage(
    outputs=("audit.findings",),
    compute=equity_audit,
    specs=("checks.yaml", "factors/equity.yaml", "replay/equity.yaml"),
    kinds=("polars", "parquet"),
    inputs={
        "raw": Reads("raw.equity_bars", "all"),
        "bars": Reads("clean.equity_bars", "all"),
        "quarantine": Reads("clean.equity_quarantine", "all"),
        "suspects": Reads("clean.equity_suspects", "all"),
        "actions": Reads("clean.corporate_actions", "all"),
        "securities": Reads("raw.securities"),
        **LATER,
    },
)
PERP_AUDIT = FrameStage(
    outputs=("audit.perp_findings",),
    compute=perp_audit,
    specs=("checks.yaml",),
    kinds=("polars", "parquet"),
    inputs={
        "raw": Reads("raw.perp_bars", "all"),
        "bars": Reads("clean.perp_bars_5m", "all"),
        "quarantine": Reads("clean.perp_quarantine", "all"),
        "facts_quarantine": Reads("clean.perp_fact_quarantine", "all"),
        "market": Reads("clean.market_5m", "all"),
    },
    deps=("raw.spot_bars", *FACTS),
)
STAGES = (EQUITY_AUDIT, PERP_AUDIT)
