from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest

from quant_platform.reports.charts import thumbnail

SVG = "{http://www.w3.org/2000/svg}"


def test_the_largest_bar_fills_the_picture_and_labels_stay_text() -> None:
    address = thumbnail.bars(["<a>", 2021], [5, 10], "rows & years")
    assert address.startswith("data:image/svg+xml;base64,")
    root = ElementTree.fromstring(base64.b64decode(address.partition(",")[2]))
    assert [int(bar.get("height") or 0) for bar in root.iter(f"{SVG}rect")] == [45, 90]
    assert [text.text for text in root.iter(f"{SVG}text")] == ["<a>", "2021"]
    assert [title.text for title in root.iter(f"{SVG}title")] == ["rows & years"]


def test_labels_and_values_must_pair() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        thumbnail.bars(["a"], [1, 2], "title")
