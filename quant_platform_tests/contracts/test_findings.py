from __future__ import annotations

import pytest

from quant_platform.contracts.findings import (
    FINDINGS_SCHEMA,
    Finding,
    examples,
    findings_frame,
    most_severe,
)


def test_a_finding_is_one_line_of_words() -> None:
    found = Finding("unmatched_action", "actions.csv", "actions of names without bars", 2, 1234, ("ZZZ", "AAA.US"), "x")
    assert found.sentence() == (
        "unmatched_action: actions of names without bars: 2 of 1,234 in actions.csv (ZZZ, AAA.US); x"
    )
    assert Finding("holes", "a", "holes", 1).sentence() == "holes: holes: 1 in a"


def test_a_code_that_cannot_be_matched_and_an_empty_finding_are_refused() -> None:
    with pytest.raises(ValueError, match="lower case"):
        Finding("Bad kind", "a", "b", 1)
    with pytest.raises(ValueError, match="at least one row"):
        Finding("bad", "a", "b", 0)


def test_findings_become_rows_and_none_become_none() -> None:
    frame = findings_frame([Finding("b", "w", "what", 3, None, ("x",), "", "info"), Finding("a", "w", "what", 1, 9)])
    assert frame.schema == FINDINGS_SCHEMA
    assert frame.select("kind", "rows", "total", "examples", "severity").rows() == [
        ("b", 3, None, ["x"], "info"),
        ("a", 1, 9, [], "warning"),
    ]
    assert findings_frame([]).schema == FINDINGS_SCHEMA


def test_examples_are_few_distinct_and_in_order() -> None:
    assert examples([3, 1, 3, 2, 5, 4, 9]) == ("3", "1", "2", "5", "4")
    assert Finding("a", "w", "x", 9, None, tuple("abcdefg")).examples == tuple("abcde")


def test_the_gravest_severity_counts() -> None:
    info, refused = Finding("a", "w", "x", 1, severity="info"), Finding("b", "w", "x", 1, severity="refused")
    assert most_severe([info, refused]) == "refused"
    assert most_severe([info]) == "info"
    assert most_severe([]) is None
