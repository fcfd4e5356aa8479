"""Controls for the components of several names: what is claimed to be known too early must be caught."""

from __future__ import annotations

import polars as pl

from quant_platform.market.rules import RULES
from quant_platform_tests.lookahead import harness
from quant_platform_tests.lookahead.components_factors import factor_spec, study_known
from quant_platform_tests.lookahead.components_market import (
    SHIFTED_ROWS,
    causal_spec,
    cleaned,
    quarantine,
    spoilt_bars,
    survivors_mask,
    with_repair,
)
from quant_platform_tests.lookahead.components_signals import outcomes_known
from quant_platform_tests.lookahead.components_universe import DEAD_AT, MEMBERSHIPS, calendar
from quant_platform_tests.lookahead.harness import Component


def caught(component: Component, cuts: list[object]) -> list[harness.Violation]:
    return list(harness.truncation(component, component.world(11), cuts))


def test_a_universe_of_survivors_is_caught_at_every_end_of_a_membership() -> None:
    ends = [stop for _, _, stop in MEMBERSHIPS if stop is not None]
    found = caught(survivors_mask(), [calendar()[end] for end in ends])
    assert [each.cut for each in found] == [calendar()[end] for end in ends]


def test_an_outcome_claimed_one_session_before_it_is_settled_is_caught() -> None:
    component = outcomes_known("outcomes too early", sessions_early=1)
    stamps = component.function(component.world(11))["session"].unique().sort().to_list()
    assert len(caught(component, stamps[::6])) == len(stamps[::6])


def test_an_ic_claimed_one_session_before_its_window_ends_is_caught() -> None:
    component = study_known("factor study too early", announced=True, sessions_later=-1)
    frame = component.world(11)
    stamps = component.function(frame)["session"].unique().sort().to_list()
    assert len(caught(component, stamps[5:-5:10])) == len(stamps[5:-5:10])


def test_an_end_that_no_action_tells_of_is_settled_when_the_spec_says() -> None:
    """Until then a window over it has no return; the row of its rebalance changes once, and never again."""
    cuts = calendar()[DEAD_AT + 1 : DEAD_AT + 25].to_list()
    wait = factor_spec().ended_after_sessions
    at_once = study_known("inferred end", announced=False, sessions_later=0)
    assert caught(at_once, cuts)
    settled = study_known("inferred end, settled", announced=False, sessions_later=wait)
    assert caught(settled, cuts) == []


def test_causal_rules_decide_at_once_whichever_row_is_the_last() -> None:
    component = quarantine()
    frame = component.world(11)
    faults = component.function(frame)["session"].unique()
    days = frame["session"].unique().sort()
    at = {k + step for k in days.search_sorted(faults).to_list() for step in (-1, 0, 1, 2)}
    assert len(at) > 30
    assert caught(component, [days[k] for k in sorted(at)]) == []


def test_every_causal_rule_is_on_trial_and_no_other() -> None:
    found = cleaned(spoilt_bars(11, shifted_rows=True), causal_spec()).quarantine
    assert set(found["rule"]) == {rule.name for rule in RULES if rule.check_kind == "causal"}
    assert set(found["check_kind"].cast(pl.String)) == {"causal"}


def test_the_repair_time_rule_needs_later_rows_and_says_so() -> None:
    """A block of shifted rows is convicted by the row after it, which shows that the price came back."""
    component = with_repair()
    frame = component.world(11)
    days = frame["session"].unique().sort().to_list()
    shifted = [calendar()[k] for k in SHIFTED_ROWS]
    found = caught(component, days)
    assert [each.cut for each in found] == shifted
    assert set(pl.concat(each.rows for each in found)["rule"]) == {"decimal_shift_row"}
    assert set(pl.concat(each.rows for each in found)["check_kind"]) == {"repair_time"}
