from __future__ import annotations

import json

from quant_platform_tests.evidence.object_storage import NAMES, ROOT, WEEKS, page

FOLDER = ROOT / "docs" / "evidence"


def test_the_page_says_what_was_measured() -> None:
    document = json.loads((FOLDER / "object_storage.json").read_text(encoding="utf-8"))
    assert page(document) == (FOLDER / "object_storage.md").read_text(encoding="utf-8")
    assert (document["graph"]["names"], document["graph"]["weeks"]) == (NAMES, WEEKS)


def test_the_graph_is_the_same_on_both() -> None:
    graph = json.loads((FOLDER / "object_storage.json").read_text(encoding="utf-8"))["graph"]
    assert graph["same_partitions"]
    assert graph["different"] == []
    assert graph["tables"] > 30
    assert graph["partitions"] > graph["names"] * 10


def test_a_difference_would_be_said() -> None:
    document = json.loads((FOLDER / "object_storage.json").read_text(encoding="utf-8"))
    document["graph"] |= {"same_partitions": False, "different": ["clean.equity_bars"]}
    assert "OTHER PARTITIONS" in page(document)
    assert "another content hash: clean.equity_bars." in page(document)
