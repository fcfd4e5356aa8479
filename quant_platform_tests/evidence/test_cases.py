"""The page of the cases names each of them with what must come out, and says how many end so."""

from __future__ import annotations

from quant_platform_tests.evidence.cases import CASES, ROOT


def test_the_page_holds_every_case_and_none_ends_otherwise() -> None:
    page = (ROOT / "docs" / "evidence" / "cases.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert {row[0].strip("| `"): row[2] for row in rows} == {name: right for name, (right, _) in CASES.items()}
    assert {row[3].rstrip(" |") for row in rows} == {"yes"}
    assert f"{len(CASES)} of {len(CASES)} end as they must" in page
