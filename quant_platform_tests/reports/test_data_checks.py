"""The section of the data checks: every finding, its counts as they are, names as text."""

from __future__ import annotations

import pytest

from quant_platform.contracts.findings import DataChecks, Finding
from quant_platform.market import audit
from quant_platform.reports.data_checks import TITLE, data_checks_section
from quant_platform.reports.equity.report import render_equity_report
from quant_platform.reports.events.report import render_discovery_report
from quant_platform_tests.reports.reading import body_rows, cells, read_html, section, shown, table_with
from quant_platform_tests.reports.sample import sample_report

FOUND = [
    Finding("jump_no_action_explains", "clean.equity_bars", "moves by two or more", rows=3, severity="info"),
    Finding(
        kind="rows_kept_out",
        where="raw.equity_bars",
        what="rows kept out by the rule high_below_low",
        rows=1234,
        total=4936,
        examples=("<b>EVIL</b>", "AAA"),
        action="look at the rule",
        severity="refused",
    ),
]


def test_findings_are_a_table_with_the_gravest_first() -> None:
    root = read_html(data_checks_section(DataChecks("a & b", audit.audit_frame(FOUND)), simulated=False))
    rows = [[shown(cell) for cell in cells(row)] for row in body_rows(table_with(root, TITLE))]
    assert [row[0] for row in rows] == [
        "rows kept out",
        "jump no action explains",
    ]
    # 1234 of 4936 is a quarter.
    assert rows[0][1:] == [
        "rows kept out by the rule high_below_low",
        "1,234",
        "25.00%",
        "<b>EVIL</b>, AAA",
        "look at the rule",
    ]
    assert "refused; raw.equity_bars" in root.text
    assert "a & b" in shown(root)
    assert not root.all("b")


def test_a_home_without_an_audit_says_so() -> None:
    assert "no audit was made before this page" in shown(read_html(data_checks_section(None, simulated=False)))


@pytest.mark.parametrize("empty", [True, False])
def test_both_pages_carry_it(empty: bool) -> None:
    checks = DataChecks("12 rows delivered, 0 kept out (0.00%); clean", audit.audit_frame([] if empty else FOUND))
    for text in (render_equity_report(sample_report(), checks), render_discovery_report({}, checks)):
        said = shown(section(read_html(text), "data-checks"))
        assert "12 rows delivered, 0 kept out (0.00%); clean" in said
        assert ("nothing was found that a reader must know" in said) is empty
