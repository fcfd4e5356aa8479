"""The page opens with the week's setups, and says beside each number what missing names do to it."""

from __future__ import annotations

from typing import Any

import pytest

from quant_platform.reports.charts.markup import join
from quant_platform.reports.equity.factors import edge_section
from quant_platform.reports.equity.setups import setups_section, setups_tile
from quant_platform.reports.equity.survivorship import sign_remark, survivorship_tile, survivorship_warning
from quant_platform_tests.reports.reading import body_rows, cells, drawn, read_html, shown, table_with
from quant_platform_tests.reports.sample import edge_row

LEVELS = {"entry_reference": 100.0, "stop": 95.5, "target": 110.25, "stop_distance_bps": 450.0, "rr": 2.28}
STATED = {"target_probability": 0.312, "expected_value_r": 0.021, "confidence": 61.0, "momentum_percentile": None}


def setup(verdict: str, ticker: str, *refusals: str) -> dict[str, Any]:
    return {"verdict": verdict, "ticker": ticker, "direction": "long", "refusals": list(refusals)} | LEVELS | STATED


REPORT: dict[str, Any] = {
    "as_of_week": "2024-01-01",
    "setups": {
        "n_qualified": 1,
        "n_nearly": 1,
        "n_refused": 7,
        "rows": [
            setup("qualified", "<b>"),
            setup("nearly", "B", "rr 0.8951 is below min_rr 1.2"),
            setup("refused", "C", "confidence missing is below min_confidence 55", "the other direction has one too"),
        ],
        "rules": [{"rule": "rr below min_rr 1.2", "refused": 5, "alone": 1}],
    },
}


def test_the_three_kinds_have_their_tables_with_levels_and_reasons() -> None:
    root = read_html(setups_section(REPORT, anchor="setups"))
    [qualified] = body_rows(table_with(root, "Qualified"))
    assert [shown(cell) for cell in cells(qualified)] == [
        "<b>", "long", "100.00", "95.50", "110.25", "450", "2.28", "31.2%", "+0.021", "61", "n/aa"
    ]  # fmt: skip
    [nearly] = body_rows(table_with(root, "Nearly: one rule alone refused"))
    assert cells(nearly)[-1].text == "rr 0.90 < 1.2"
    [refused] = body_rows(table_with(root, "Refused by several rules"))
    assert cells(refused)[-1].text == "confidence missing < 55; the other direction has one too"
    assert "The first 1 of 7." in root.text
    rule = "rr below min_rr 1.2"
    assert [figure.data for figure in drawn(root)] == [
        [{"rule": rule, "refused": 5, "written": "5"}], [{"rule": rule, "alone": 1, "written": "1"}]
    ]  # fmt: skip


def test_the_head_counts_them() -> None:
    tile = setups_tile(REPORT)
    assert (tile.cell.text, tile.note) == ("1", "1 more were refused by one rule alone, 7 by several")
    assert setups_tile({}).cell.missing == "the report holds no setups of its week"


def test_a_week_without_a_setup_says_which_kind_is_absent() -> None:
    empty = {"setups": {"n_qualified": 0, "n_nearly": 0, "n_refused": 0, "rows": [], "rules": []}}
    text = read_html(setups_section(empty, anchor="setups")).text
    assert "Qualified: n/a (no setup passed every rule of the gate)" in text
    assert "n/a (no rule refused a setup)" in text


MISSING = {"survivorship_share": 0.787, "n_members_ever": 702, "n_members_without_bars": 69, "missing_share": 0.0983}
WHOLE = {"survivorship_share": 0.9, "n_members_ever": 120, "n_members_without_bars": 0, "missing_share": 0.0}


def test_survivorship_stands_beside_the_numbers_it_flatters() -> None:
    said = read_html(join(survivorship_warning({"universe": MISSING}))).text
    assert "69 of 702 names that were ever members have no bars." in said
    assert "78.7% still trade" in said
    assert survivorship_warning({"universe": WHOLE}) is None
    assert survivorship_tile({"universe": MISSING}).cell.text == "9.8%"
    assert survivorship_tile({"universe": WHOLE}).note == "every name that was ever a member has bars"
    unknown = survivorship_tile({"universe": {"survivorship_share": 1.0}})
    assert (unknown.cell.text, unknown.label) == ("100.0%", "Names with bars that still trade")


@pytest.mark.parametrize(
    ("mean", "stated", "universe", "words"),
    [
        (-0.02, 1, MISSING, "9.8% of the members have no bars, which alone can turn a sign"),
        (-0.02, 1, WHOLE, "the sign is not the one that its spec states (positive)"),
        (0.02, -1, {}, "how many names of the past are not in the data is not known"),
        (0.02, 1, MISSING, ""),
        (0.02, 0, MISSING, ""),
        (None, 1, MISSING, ""),
    ],
)
def test_a_wrong_sign_is_remarked_with_what_could_have_made_it(
    mean: float | None, stated: int, universe: dict[str, Any], words: str
) -> None:
    found = sign_remark({"universe": universe}, {"ic": mean, "expected_sign": stated})
    assert words in found
    assert bool(found) == bool(words)


def test_the_remark_is_a_footnote_of_the_mean() -> None:
    row = edge_row(("low_volatility_126", -0.02, 0.19, 84, -0.8, -0.8, 0.0, 0.01, 0.0, True)) | {"expected_sign": 1}
    root = read_html(edge_section({"signal_edge": [row], "universe": MISSING}, anchor="edge"))
    assert cells(body_rows(root.all("table")[0])[0])[1].text == "−0.020a"
    assert "which alone can turn a sign" in root.all("p", "reasons")[0].text
    assert root.all("p", "warning")
