"""What a person must know of the data before believing a number: counted, named, in words.

Each function looks at one thing and returns findings; :func:`verdict` puts them into one paragraph. Nothing here stops
anything: a finding whose kind is `PAST_LIMIT` is what a run ends with a non-zero exit code for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from quant_platform.contracts.findings import Finding, examples, findings_frame
from quant_platform.market.stated_facts import CONTRADICTIONS

PAST_LIMIT = "past_limit"
_ORDER = {"refused": 0, "warning": 1, "info": 2}
_APPLIED = dict.fromkeys(("shown_on_another_session", "inverted", "not_in_prices"), "applied as the prices show")
# Ratios that splits have, and those between a currency and its hundredth.
SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0, 1000.0)


def rows_kept_out(kept_out: pl.DataFrame, total: int, where: str, name: str = "ticker") -> list[Finding]:
    """Rows in quarantine by rule, each with its share of all rows.

    Parameters
    ----------
    kept_out
        One row per row in quarantine, with ``rule`` and the column ``name``.
    total
        Rows that were delivered.
    where
        Table they are of.
    name
        Column that says whose row it is.
    """
    if kept_out.is_empty():
        return []
    counted = kept_out.group_by("rule").agg(pl.len().alias("rows"), pl.col(name).sort().alias("names"))
    return [
        Finding(
            kind="rows_kept_out",
            where=where,
            what=f"rows kept out by the rule {row['rule']}, {row['rows'] / max(total, 1):.2%} of all",
            rows=row["rows"],
            total=max(total, row["rows"]),
            examples=examples(row["names"]),
            severity="refused",
        )
        for row in counted.sort("rows", "rule", descending=[True, False]).to_dicts()
    ]


def suspect_fields(suspects: pl.DataFrame) -> list[Finding]:
    """Fields that are missing because what stood there cannot be, by rule; ``clean.equity_suspects``."""
    found = []
    for (rule,), part in suspects.sort("ticker", "session").group_by("rule", maintain_order=True):
        shown = (
            part.head(5)
            .select(pl.format("{} {} {} {}", "ticker", "session", "column", pl.col("observed").round(4)))
            .to_series()
        )
        found.append(
            Finding(
                kind="suspect_fields",
                where="clean.equity_bars",
                what=f"single prices that cannot be ({rule}): the field is missing, the row and its close stay",
                rows=part.height,
                examples=tuple(shown.to_list()),
            )
        )
    return found


def contradicted_actions(judged: pl.DataFrame) -> list[Finding]:
    """Stated actions that the prices contradict, by verdict, with closes around them; ``clean.corporate_actions``."""
    found = []
    for verdict, meaning in CONTRADICTIONS.items():
        part = judged.filter(pl.col("verdict").cast(pl.String) == verdict).sort("ticker", "ex_date")
        if part.is_empty():
            continue
        refused = int((~part["applied"]).sum())
        found.append(
            Finding(
                kind="contradicted_action",
                where=f"clean.corporate_actions, verdict {verdict}",
                what=meaning
                + (f"; {refused} refused" if refused else f"; {_APPLIED.get(verdict, 'applied as stated')}"),
                rows=part.height,
                total=judged.height,
                examples=tuple(_action(row) for row in part.head(5).to_dicts()),
                action="correct the actions of these names, or the adjustment the source spec states",
                severity="refused" if refused else "warning",
            )
        )
    return found


def _action(row: dict[str, object]) -> str:
    closes = " -> ".join(f"{row[k]:.6g}" for k in ("close_before", "close_on", "close_after") if row[k] is not None)
    hint = f"; {row['hint']}" if row["hint"] else ""
    return f"{row['ticker']} {row['ex_date']} {row['kind']} {row['value']:g}: closes {closes or 'none'}{hint}"


def unexplained_jumps(bars: pl.DataFrame) -> list[Finding]:
    """Moves of adjusted closes that no action explains: those that look like a split or a change of unit, and others.

    Parameters
    ----------
    bars
        ``clean.equity_bars``: ``ticker, session, high, low, close, volume``.

    Notes
    -----
    A move looks like a split where it lies within three usual daily moves (3 % at least) of a ratio that splits have,
    was made overnight (the day's own range is less than half of it), and traded less than three times the usual volume.
    Any other move by a factor of two or more is named too. A crash is among them: it is data, and it is worth a look.
    """
    ordered = (
        bars.filter(pl.col("close").is_not_nan() & pl.col("close").is_not_null())
        .sort("ticker", "session")
        .with_columns(pl.col("close").log().diff().over("ticker").alias("move"))
        # Medians of every name would take most of the time of an audit.
        .filter((pl.col("move").abs() >= np.log(1.4)).any().over("ticker"))
        .with_columns(
            (1.4826 * pl.col("move").abs().shift(1).rolling_median(60, min_samples=10)).over("ticker").alias("usual"),
            pl.col("volume").fill_nan(None).shift(1).rolling_median(20, min_samples=5).over("ticker").alias("traded"),
            (pl.col("high") / pl.col("low")).log().fill_nan(None).alias("range"),
        )
        .filter(pl.col("move").abs() >= np.log(1.4))
        .filter(pl.col("move").abs() >= 8.0 * pl.col("usual").fill_null(0.0))
    )
    ratios = np.log(np.array(SPLIT_RATIOS))
    size = ordered["move"].abs().to_numpy()
    distance = np.abs(size[:, None] - ratios[None, :])
    nearest = distance.argmin(axis=1) if len(size) else np.empty(0, int)
    ordered = ordered.with_columns(
        pl.Series("ratio", np.array(SPLIT_RATIOS)[nearest], dtype=pl.Float64),
        pl.Series("distance", distance.min(axis=1) if len(size) else [], dtype=pl.Float64),
    )
    # What is not known speaks for a split: a row too many is named, not one too few.
    overnight = pl.col("range").fill_null(0.0) < 0.5 * pl.col("move").abs()
    quiet = (pl.col("volume").fill_nan(None) < 3.0 * pl.col("traded")).fill_null(True)
    close_to = pl.col("distance") <= pl.max_horizontal(pl.lit(0.03), 3.0 * pl.col("usual").fill_null(0.01))
    alike = ordered.filter(overnight & quiet & close_to)
    others = ordered.join(alike, on=["ticker", "session"], how="anti").filter(pl.col("move").abs() >= np.log(2.0))
    found = []
    if alike.height:
        found.append(
            Finding(
                kind="jump_like_a_split",
                where="clean.equity_bars",
                what="overnight moves by a ratio that splits or currency units have, on ordinary volume, and no action",
                rows=alike.height,
                examples=_jumps(alike),
                action="state the split in the actions, or correct the unit of the prices before it",
            )
        )
    if others.height:
        found.append(
            Finding(
                kind="jump_no_action_explains",
                where="clean.equity_bars",
                what="moves by a factor of two or more that no action explains; a crash is data",
                rows=others.height,
                examples=_jumps(others.sort("move", "ticker", "session")),
                severity="info",
            )
        )
    return found


def _jumps(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(f"{row['ticker']} {row['session']} x {np.exp(row['move']):.4g}" for row in frame.head(5).to_dicts())


def missing_sessions(bars: pl.DataFrame) -> list[Finding]:
    """Sessions without prices inside the lives of the names, by reason: ``ticker, session, missing_reason``."""
    missing = bars.filter(pl.col("missing_reason").is_not_null())
    found = []
    for (reason,), part in missing.group_by("missing_reason", maintain_order=True):
        most = part["ticker"].value_counts(sort=True).head(5)
        found.append(
            Finding(
                kind="missing_sessions",
                where="clean.equity_bars",
                what=f"sessions without prices, reason {reason}, {part.height / bars.height:.2%} of all",
                rows=part.height,
                total=bars.height,
                examples=tuple(f"{ticker}: {count}" for ticker, count in most.iter_rows()),
            )
        )
    return found


def membership_gaps(securities: pl.DataFrame, bars: pl.DataFrame, universe: str) -> list[Finding]:
    """Members without any bar, and members whose first bar comes a year or more after they joined.

    Parameters
    ----------
    securities
        ``raw.securities``.
    bars
        ``clean.equity_bars``: ``ticker, session``.
    universe
        Name of the universe.
    """
    members = (
        securities.filter(pl.col("universe") == universe)
        .group_by("ticker")
        .agg(pl.col("start_date").min().alias("joined"))
    )
    if members.is_empty():
        return [
            Finding(
                kind="no_members",
                where="raw.securities",
                what=f"no name belongs to the universe {universe!r}: ranks and everything built on them will be empty",
                rows=1,
                severity="refused",
            )
        ]
    first = bars.group_by("ticker").agg(pl.col("session").min().alias("first"))
    begin = bars["session"].min()
    found = []
    absent = members.join(first, on="ticker", how="anti").sort("ticker")
    if absent.height:
        found.append(
            Finding(
                kind="unmatched_members",
                where="raw.securities",
                what="members of which no bar was delivered: those that went are missing, results flatter",
                rows=absent.height,
                total=members.height,
                examples=examples(absent["ticker"]),
                action="check their spelling against the names of the bars",
            )
        )
    late = (
        members.join(first, on="ticker")
        .with_columns(pl.max_horizontal("joined", pl.lit(begin)).alias("expected"))
        .filter((pl.col("first") - pl.col("expected")).dt.total_days() > 365)
        .sort("ticker")
    )
    if late.height:
        found.append(
            Finding(
                kind="bars_begin_late",
                where="clean.equity_bars",
                what="names whose bars begin a year or more after they joined: perhaps another company of that ticker",
                rows=late.height,
                total=members.height,
                examples=tuple(
                    f"{row['ticker']}: {row['expected']}, bars from {row['first']}" for row in late.head(5).to_dicts()
                ),
                action="compare name and level of these prices with the member's",
            )
        )
    return found


def traded_unlike_members(securities: pl.DataFrame, bars: pl.DataFrame, universe: str, least: float) -> list[Finding]:
    """Members that trade far less than a member does: perhaps the bars of another company of that ticker.

    Parameters
    ----------
    securities
        ``raw.securities``.
    bars
        ``clean.equity_bars``: ``ticker, session, dollar_volume``.
    universe
        Name of the universe.
    least
        Share of the median member's traded value; a name is named where it stays below it in a calendar year.

    Notes
    -----
    A year's value of a name is its median over the sessions of its membership, at least 20 of them, and a year is
    looked at where 20 names have one. A ticker that went from a large company to a small one while its history was
    filed under the new owner shows itself so; one that went to a company of its size does not.
    """
    intervals = securities.filter(pl.col("universe") == universe).select("ticker", "start_date", "end_date")
    yearly = (
        bars.filter(pl.col("dollar_volume").is_not_null() & pl.col("dollar_volume").is_not_nan())
        .select("ticker", "session", "dollar_volume")
        .join(intervals, on="ticker")
        .filter(
            pl.col("session").is_between(
                "start_date", pl.col("end_date").fill_null(pl.lit(bars["session"].max(), pl.Date))
            )
        )
        .group_by("ticker", pl.col("session").dt.year().alias("year"))
        .agg(pl.col("dollar_volume").median().alias("traded"), pl.len().alias("sessions"))
        .filter(pl.col("sessions") >= 20)
        .filter(pl.len().over("year") >= 20)
        .with_columns((pl.col("traded") / pl.col("traded").median().over("year")).alias("share"))
    )
    unlike = (
        yearly.filter(pl.col("share") < least)
        .group_by("ticker")
        .agg(
            pl.col("share").min(),
            pl.col("year").sort_by("share").first(),
            pl.col("traded").sort_by("share").first(),
        )
        .sort("share", "ticker")
    )
    if unlike.is_empty():
        return []
    return [
        Finding(
            kind="traded_unlike_a_member",
            where="clean.equity_bars",
            what=f"members that in a year traded less than {least:.0%} of the median member: perhaps the bars of "
            "another company of that ticker",
            rows=unlike.height,
            total=yearly["ticker"].n_unique(),
            examples=tuple(
                f"{row['ticker']} {row['year']}: {row['traded']:,.0f} a session, {row['share']:.2%} of the median"
                for row in unlike.head(5).to_dicts()
            ),
            action="compare these prices with those of the member; leave the name out where they are another's",
        )
    ]


def empty_sections(*, names: int, sessions: int, needed_names: int, needed_sessions: int) -> list[Finding]:
    """Sections that will have no rows, and why.

    Parameters
    ----------
    names
        Most members with a bar on one session.
    sessions
        Sessions of the market.
    needed_names, needed_sessions
        What a cross-section and the longest feature need.
    """
    found = []
    if names < needed_names:
        found.append(
            Finding(
                kind="empty_section",
                where="factors.information_coefficient",
                what=f"no factor will be judged: {names} names on a session; a cross-section needs {needed_names}",
                rows=max(names, 1),
                total=needed_names,
                action="add names, or lower min_names in specs/factors/equity.yaml",
            )
        )
    if sessions < needed_sessions:
        found.append(
            Finding(
                kind="empty_section",
                where="signals.momentum_rank",
                what=f"no name will be ranked: {sessions} sessions; momentum needs {needed_sessions}",
                rows=max(sessions, 1),
                total=needed_sessions,
                action="bring more history",
            )
        )
    return found


def not_looked_at(tables: Sequence[str]) -> list[Finding]:
    """Tables of which nothing was made yet, so that nothing is said about them."""
    if not tables:
        return []
    return [
        Finding(
            kind="not_looked_at",
            where=", ".join(tables),
            what="nothing of these tables has been made yet, so this audit says nothing about them",
            rows=len(tables),
            action="the first weekly runs make them; the schedules of the UI say when",
            severity="info",
        )
    ]


def unstated_ends(candidates: pl.DataFrame, told: Sequence[str], loss: float) -> list[Finding]:
    """Trades that ended at a delisting of which no source says what came after: ``ticker, outcome``."""
    ended = candidates.filter((pl.col("outcome").cast(pl.String) == "delisted") & ~pl.col("ticker").is_in(list(told)))
    settled = candidates.filter(pl.col("outcome").cast(pl.String).is_in(["target", "stop", "timeout", "delisted"]))
    if ended.is_empty():
        return []
    return [
        Finding(
            kind="unknown_delisting_return",
            where="replay.candidates",
            what=f"trades end with their name and no source says at what return: a long is charged {loss:.0%}, "
            "a short gains nothing",
            rows=ended.height,
            total=settled.height,
            examples=examples(ended["ticker"].sort()),
            action="state the delistings in the actions",
        )
    ]


def limit(where: str, what: str, rows: int, total: int, largest: float, *, stop: bool) -> list[Finding]:
    """A share past its limit in ``specs/checks.yaml``; nothing where it is not."""
    if total <= 0 or rows <= 0 or rows / total <= largest:
        return []
    return [
        Finding(
            kind=PAST_LIMIT if stop else "limit_broken",
            where=where,
            what=f"{what}: {rows / total:.2%}, the limit of specs/checks.yaml is {largest:.2%}",
            rows=rows,
            total=total,
            action="look at the rules above; most often a key of the source spec is wrong" if stop else "",
            severity="refused" if stop else "warning",
        )
    ]


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The gravest first, otherwise as they came; what is past a limit before all."""
    return sorted(findings, key=lambda one: (one.kind != PAST_LIMIT, _ORDER[one.severity]))


def audit_frame(findings: Sequence[Finding]) -> pl.DataFrame:
    """Rows of ``audit.findings``."""
    frame = findings_frame(ordered(findings))
    return frame.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("position"),
        "kind",
        "where",
        "what",
        "rows",
        "total",
        (pl.col("rows") / pl.col("total")).alias("share"),
        "examples",
        "action",
        pl.col("severity").cast(pl.Enum(("info", "warning", "refused"))),
    )


def verdict(frame: pl.DataFrame, delivered: int) -> str:
    """The audit in one sentence.

    Parameters
    ----------
    frame
        Rows of ``audit.findings``.
    delivered
        Raw rows that were judged.
    """
    kept_out = int(frame.filter(pl.col("kind") == "rows_kept_out")["rows"].sum())
    past = frame.filter(pl.col("kind") == PAST_LIMIT)
    warnings = frame.filter(pl.col("severity") == "warning")
    head = f"{delivered:,} rows delivered, {kept_out:,} kept out ({kept_out / max(delivered, 1):.2%})"
    if past.height:
        return f"{head}; NOT USABLE as it stands: {'; '.join(past['what'])}"
    contradicted = int(frame.filter(pl.col("kind") == "contradicted_action")["rows"].sum())
    facts = f", {contradicted:,} stated actions the prices contradict" if contradicted else ""
    return (
        f"{head}{facts}; {warnings.height} kinds of things to look at" if warnings.height or facts else f"{head}; clean"
    )
