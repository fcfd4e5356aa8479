"""Names that match nothing, and bars that do not fit the name they stand under."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.findings import SHOWN_EXAMPLES, Finding, examples
from quant_platform.sources.files.sections import Section
from quant_platform.specification.sources import MembershipFile, Unmatched

_ROWS_ARE = {"action": "corporate actions", "fundamental": "fundamentals", "member": "members"}


def unmatched(what: str, section: Section, tickers: Sequence[str], policy: Unmatched) -> list[Finding]:
    """Rows of a section whose names have no bars, as at most one finding.

    Parameters
    ----------
    what
        ``action``, ``fundamental`` or ``member``.
    section
        What was read.
    tickers
        Names with bars.

    Raises
    ------
    SourceMalformed
        Where the policy refuses them, and always where not one name of several matches: then it is the spelling.
    """
    rows = section.rows
    known = set(tickers)
    names = rows["ticker"].unique(maintain_order=True).to_list()
    strange = [name for name in names if name not in known]
    if not strange:
        return []
    count = int(rows["ticker"].is_in(strange).sum())
    shown = [f"{name}{_hint(name, tickers)}" for name in strange[:SHOWN_EXAMPLES]]
    rows_are = _ROWS_ARE[what]
    action = (
        "write them as the bars do (`ticker.replace` for all files, `ticker_rule.replace` for this one: for example "
        '{".US": ""}), remove them, or set `unmatched: allow`'
    )
    nothing_matches = len(strange) == len(names) and len(names) > 1
    if policy == "refuse" or (nothing_matches and len(tickers) > 1):
        raise SourceMalformed(
            f"{rows_are} are of names without bars",
            where=section.where,
            how_many=f"{count} of {rows.height} rows, {len(strange)} of {len(names)} names: {', '.join(shown)}",
            cause="another spelling than in the bars, or names that the folder does not hold",
            action=action,
        )
    return [
        Finding(
            f"unmatched_{what}",
            section.where,
            f"{rows_are} are of names without bars and were not used",
            count,
            rows.height,
            tuple(shown),
            action,
        )
    ]


def _hint(name: str, tickers: Sequence[str]) -> str:
    """`` (AAA?)`` where a ticker differs by signs, by a suffix, or by a letter or two."""

    def letters(text: str) -> str:
        return re.sub(r"[^A-Z0-9]", "", text.upper())

    by_letters = {letters(ticker): ticker for ticker in tickers}
    head = re.split(r"[./:\- _]", name)[0]
    tail = re.split(r"[:]", name)[-1]
    for text in (letters(name), letters(head), letters(tail)):
        if text in by_letters:
            return f" ({by_letters[text]}?)"
    close = get_close_matches(name, tickers, n=1, cutoff=0.75)
    return f" ({close[0]}?)" if close else ""


def doubtful_members(section: Section, extent: pl.DataFrame, spec: MembershipFile) -> list[Finding]:
    """Members whose bars begin long after their membership, end long before it, or are of another size than members.

    Under a ticker that was given to another firm stand that firm's bars: they begin when it listed, and are traded as
    it is. Each is a warning, never a removal: a late listing and a thin member look the same.

    Parameters
    ----------
    section
        ``raw.securities``.
    extent
        ``ticker, first, last, traded``.
    spec
        Its ``max_absent_days`` and ``min_traded_share``.
    """
    limit = timedelta(days=spec.max_absent_days)
    end_of_data = extent["last"].max()
    spans = section.rows.group_by("ticker").agg(
        pl.col("start_date").min(),
        pl.when(pl.col("end_date").is_null().any()).then(None).otherwise(pl.col("end_date").max()).alias("end_date"),
    )
    members = extent.join(spans, on="ticker").sort("ticker")
    begin = pl.max_horizontal("start_date", pl.lit(extent["first"].min()))
    end = pl.min_horizontal(pl.col("end_date").fill_null(end_of_data), pl.lit(end_of_data))
    late = members.filter(pl.col("first") - begin > limit)
    early = members.filter(end - pl.col("last") > limit)
    typical = members["traded"].median()
    small = members.filter(pl.col("traded") < spec.min_traded_share * (typical if isinstance(typical, float) else 0.0))
    found = []
    for kind, what, rows, shown in (
        (
            "bars_after_membership",
            f"bars begin more than {spec.max_absent_days} days after membership: perhaps of another firm",
            late,
            (f"{t} member {s}, bars {f}" for t, s, f in late.select("ticker", "start_date", "first").iter_rows()),
        ),
        (
            "bars_end_before_membership",
            f"bars end more than {spec.max_absent_days} days before membership",
            early,
            (
                f"{t} bars to {f}, member to {e or 'now'}"
                for t, f, e in early.select("ticker", "last", "end_date").rows()
            ),
        ),
        (
            "small_for_a_member",
            f"less than {spec.min_traded_share:g} of the value of the median member is traded: perhaps of another firm",
            small,
            (f"{t} {v:,.0f} a session" for t, v in small.select("ticker", "traded").iter_rows()),
        ),
    ):
        if rows.height:
            action = "check the name against another vendor; leave it out of the membership file if it is another firm"
            found.append(Finding(kind, section.where, what, rows.height, members.height, examples(shown), action))
    return found
