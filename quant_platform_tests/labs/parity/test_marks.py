from __future__ import annotations

import polars as pl
import pytest

from quant_platform.labs.parity.cases import CASES
from quant_platform.labs.parity.comparison import Comparison
from quant_platform.labs.parity.environments import FRAMEWORKS, PEERS
from quant_platform.labs.parity.marks import MARKS, Mark
from quant_platform.labs.parity.study import AGREES, DIFFERS, FAILED, NOT_INSTALLED, REFUSED, Outcome

REFUSES, RUNS = Mark("never", "it cannot"), Mark("notyet", "it might", refuses=False)


@pytest.mark.parametrize(
    ("mark", "explained"),
    [
        (None, {AGREES, NOT_INSTALLED}),
        (REFUSES, {REFUSED, NOT_INSTALLED}),
        (RUNS, {DIFFERS, NOT_INSTALLED}),
    ],
)
def test_a_mark_explains_what_it_says_and_nothing_else(mark, explained):
    for outcome in (AGREES, DIFFERS, REFUSED, FAILED, NOT_INSTALLED):
        found = Outcome("touch", "zipline", outcome, None, None, mark)
        assert found.explained == (outcome in explained), outcome


def test_a_mark_that_no_longer_holds_has_to_go():
    empty = Comparison("a", "b", pl.DataFrame(), 1, 0, 0.0, 0.0, None, "")
    for mark in (REFUSES, RUNS):
        found = Outcome("touch", "zipline", AGREES, None, empty, mark)
        assert not found.explained
        assert "no longer holds and has to go" in found.verdict


@pytest.mark.parametrize(("case", "framework"), sorted(MARKS))
def test_a_mark_is_about_a_case_and_has_the_reason_with_which_its_adapter_refuses(case, framework):
    mark = MARKS[case, framework]
    assert case in CASES
    assert framework in FRAMEWORKS
    assert len(mark.reason.split()) > 5
    assert mark.reason.endswith(".")
    if mark.refuses:
        script = " ".join((PEERS / f"{framework}_run.py").read_text().split())
        assert mark.reason[1:-1] in script.replace('" "', "")
