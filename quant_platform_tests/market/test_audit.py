"""Findings on frames made by hand: what is counted, what is named, what is past a limit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.findings import Finding
from quant_platform.contracts.schemas.audit import AuditFindings
from quant_platform.market import audit
from quant_platform.market.calendar import session_array

DAYS = session_array("XNYS", date(2019, 1, 2), date(2020, 6, 30)).tolist()


def bars(ticker: str = "AAA", *, change: dict[int, float] | None = None, seed: int = 1) -> pl.DataFrame:
    """A name that moves by 1 % a day; ``change`` multiplies every price from a bar on."""
    close = 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(DAYS))))
    for at, factor in (change or {}).items():
        close[at:] *= factor
    return pl.DataFrame(
        {
            "ticker": ticker,
            "session": DAYS,
            "high": close * 1.005,
            "low": close * 0.995,
            "close": close,
            "volume": 1e6 + np.arange(len(DAYS)),
            "missing_reason": pl.Series([None] * len(DAYS), dtype=pl.String),
        }
    )


def kinds(findings: list[Finding]) -> list[str]:
    return [one.kind for one in findings]


@pytest.mark.parametrize("ratio", [2.0, 0.5, 3.0, 0.1, 100.0, 0.01])
def test_an_unstated_split_or_change_of_unit_is_named(ratio: float) -> None:
    [found] = audit.unexplained_jumps(bars(change={200: ratio}))
    assert (found.kind, found.rows) == ("jump_like_a_split", 1)
    assert found.examples[0].startswith(f"AAA {DAYS[200]} x ")
    assert float(found.examples[0].split()[-1]) == pytest.approx(ratio, rel=0.05)


def test_a_crash_on_heavy_volume_or_within_the_day_is_information() -> None:
    heavy = bars(change={200: 0.45}).with_columns(
        pl.when(pl.col("session") == DAYS[200]).then(9e6).otherwise("volume").alias("volume")
    )
    wide = bars(change={200: 0.45}).with_columns(
        pl.when(pl.col("session") == DAYS[200]).then(pl.col("close") * 1.9).otherwise("high").alias("high")
    )
    for frame in (heavy, wide):
        [found] = audit.unexplained_jumps(frame)
        assert (found.kind, found.severity) == ("jump_no_action_explains", "info")


def test_ordinary_moves_are_not_named() -> None:
    assert audit.unexplained_jumps(pl.concat([bars(seed=k, ticker=f"N{k}") for k in range(5)])) == []


def test_the_first_bar_of_one_name_is_no_move_from_the_last_of_another() -> None:
    cheap = bars("BBB").with_columns(pl.col("high", "low", "close") / 50)
    assert audit.unexplained_jumps(pl.concat([bars("AAA"), cheap])) == []


def test_rows_kept_out_are_counted_by_rule_with_their_share() -> None:
    kept_out = pl.DataFrame({"ticker": ["B", "A", "A"], "rule": ["stale", "not_a_session", "not_a_session"]})
    first, second = audit.rows_kept_out(kept_out, 200, "raw.equity_bars")
    assert (first.what, first.rows, first.total) == (
        "rows kept out by the rule not_a_session, 1.00% of all",
        2,
        200,
    )
    assert (second.rows, second.examples) == (1, ("B",))


def test_contradictions_are_told_with_the_closes_around_them() -> None:
    row: dict[str, Any] = {
        "ticker": "AAA", "ex_date": date(2020, 1, 8), "kind": "split", "value": 2.0,
        "verdict": "shown_on_another_session", "applied": True, "close_before": 44.1, "close_on": 21.8,
        "close_after": 22.4, "hint": "the move is on 2020-01-07",
    }  # fmt: skip
    fine = {**row, "ticker": "BBB", "verdict": "confirmed", "hint": ""}
    refused = {**row, "ticker": "CCC", "verdict": "no_such_move", "applied": False, "kind": "cash_dividend"}
    late, gone = audit.contradicted_actions(pl.DataFrame([row, fine, refused]))
    assert late.examples == ("AAA 2020-01-08 split 2: closes 44.1 -> 21.8 -> 22.4; the move is on 2020-01-07",)
    assert (late.rows, late.total, late.severity) == (1, 3, "warning")
    assert (gone.severity, gone.what.endswith("1 refused")) == ("refused", True)


def test_members_without_bars_and_with_late_bars_are_named() -> None:
    securities = pl.DataFrame(
        {"ticker": ["AAA", "GONE", "LATE"], "universe": "u", "start_date": [date(2019, 1, 2)] * 3}
    )
    late = bars("LATE").filter(pl.col("session") >= date(2020, 3, 2))
    absent, begins = audit.membership_gaps(securities, pl.concat([bars(), late]), "u")
    assert (absent.kind, absent.examples, absent.total) == ("unmatched_members", ("GONE",), 3)
    assert begins.examples == ("LATE: 2019-01-02, bars from 2020-03-02",)
    [nobody] = audit.membership_gaps(securities, bars(), "v")
    assert (nobody.kind, nobody.severity) == ("no_members", "refused")


def test_a_member_that_trades_like_a_small_company_is_named_with_its_worst_year() -> None:
    """Twenty members of 100 a session; one of 3 in 2019 and of 4 in 2020, one of 3 that is no member then."""
    days = [date(2019, 1, 1) + timedelta(days=k) for k in range(30)] + [
        date(2020, 1, 1) + timedelta(days=k) for k in range(30)
    ]
    names = [f"M{k:02}" for k in range(20)]
    traded = {**dict.fromkeys(names, (100.0, 100.0)), "TINY": (3.0, 4.0), "LATER": (3.0, 100.0)}
    frame = pl.DataFrame(
        [
            {"ticker": name, "session": day, "dollar_volume": values[day.year - 2019]}
            for name, values in traded.items()
            for day in days
        ]
    )
    securities = pl.DataFrame(
        {
            "ticker": [*names, "TINY", "LATER"],
            "universe": "u",
            "start_date": [date(2018, 1, 1)] * 21 + [date(2020, 1, 1)],
            "end_date": pl.Series([None] * 22, dtype=pl.Date),
        }
    )
    [found] = audit.traded_unlike_members(securities, frame, "u", 0.05)
    assert (found.rows, found.total) == (1, 22)
    assert found.examples == ("TINY 2019: 3 a session, 3.00% of the median",)
    assert audit.traded_unlike_members(securities, frame, "u", 0.03) == []
    # With fewer than twenty names in a year there is no median member to speak of.
    few = securities.filter(pl.col("ticker").is_in(["TINY", *names[:10]]))
    assert audit.traded_unlike_members(few, frame, "u", 0.05) == []


def test_sections_that_will_be_empty_say_why() -> None:
    factors, ranks = audit.empty_sections(names=5, sessions=100, needed_names=20, needed_sessions=253)
    assert factors.what == "no factor will be judged: 5 names on a session; a cross-section needs 20"
    assert ranks.what == "no name will be ranked: 100 sessions; momentum needs 253"
    assert audit.empty_sections(names=20, sessions=253, needed_names=20, needed_sessions=253) == []


def test_missing_sessions_are_counted_by_reason() -> None:
    frame = bars().with_columns(
        pl.when(pl.col("session").is_in(DAYS[3:6])).then(pl.lit("vendor_hole")).alias("missing_reason")
    )
    [found] = audit.missing_sessions(frame)
    assert (found.rows, found.total, found.examples) == (3, len(DAYS), ("AAA: 3",))


def test_trades_whose_end_nobody_told_are_counted_among_those_that_ended() -> None:
    trades = pl.DataFrame(
        {
            "ticker": ["A", "A", "B", "C", "C"],
            "outcome": ["delisted", "stop", "delisted", "pending", "no_entry"],
        }
    )
    [found] = audit.unstated_ends(trades, ["B"], 0.3)
    assert (found.rows, found.total, found.examples) == (1, 3, ("A",))
    assert "a long is charged 30%" in found.what


def test_a_limit_is_broken_only_past_it() -> None:
    assert audit.limit("t", "rows kept out", 5, 100, 0.05, stop=True) == []
    [found] = audit.limit("t", "rows kept out", 87, 100, 0.05, stop=True)
    assert (found.kind, found.what) == (
        audit.PAST_LIMIT,
        "rows kept out: 87.00%, the limit of specs/checks.yaml is 5.00%",
    )


def test_the_table_has_the_gravest_first_and_the_verdict_says_whether_it_is_usable() -> None:
    start = [
        Finding(kind="a", where="t", what="fine", rows=1, severity="info"),
        Finding(kind="rows_kept_out", where="t", what="rows", rows=7, total=100, severity="refused"),
    ]
    frame = audit.audit_frame([*start, *audit.limit("t", "rows kept out", 7, 100, 0.05, stop=True)])
    AuditFindings.validate(frame)
    assert frame["kind"].to_list() == ["past_limit", "rows_kept_out", "a"]
    assert frame["share"].to_list() == [0.07, 0.07, None]
    assert audit.verdict(frame, 100).startswith("100 rows delivered, 7 kept out (7.00%); NOT USABLE as it stands: ")
    assert audit.verdict(audit.audit_frame([]), 100) == "100 rows delivered, 0 kept out (0.00%); clean"


def test_bars_of_sessions_without_prices_are_looked_over() -> None:
    frame = bars().with_columns(
        pl.when(pl.col("session") == DAYS[50]).then(float("nan")).otherwise("close").alias("close")
    )
    assert audit.unexplained_jumps(frame) == []
    assert DAYS[51] - DAYS[50] < timedelta(days=5)
