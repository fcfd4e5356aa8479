from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.contracts.errors import PartitionKeyInvalid
from quant_platform.lake import Lake
from quant_platform.lake.keys import folder_names, key_of_shown, part_of_folder, shown_key, wanted_keys
from quant_platform_tests.lake.frames import BARS, TEST_TABLES

ONE = TEST_TABLES[BARS]
TWO = TEST_TABLES["test.symbol_months"]
NONE = TEST_TABLES["test.tags"]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("AAPL", "ticker=AAPL"),
        ("BRK.B", "ticker=BRK.B"),
        ("a/b", "ticker=a%2Fb"),
        ("../..", "ticker=..%2F.."),
        ("x=y", "ticker=x%3Dy"),
        ("a b*?[", "ticker=a%20b%2A%3F%5B"),
        ("é", "ticker=%C3%A9"),
        ("%2F", "ticker=%252F"),
        ("\n", "ticker=%0A"),
    ],
)
def test_folder_names_are_percent_encoded(key: str, name: str) -> None:
    assert folder_names(ONE, key) == (name,)
    assert part_of_folder("ticker", name) == key


@pytest.mark.parametrize("key", ["", ".", "..", "a\0b", "x" * 249, "\ud800", None, ("A", "B"), 5, ("A", 5), ["A"]])
def test_unusable_keys_are_refused(key: object) -> None:
    with pytest.raises(PartitionKeyInvalid, match=r"clean\.equity_bars"):
        folder_names(ONE, key)


def test_length_counts_the_encoded_bytes() -> None:
    assert len(folder_names(ONE, "x" * 248)[0]) == 255
    with pytest.raises(PartitionKeyInvalid, match="256 bytes once encoded, 255 at most"):
        folder_names(ONE, "x" * 249)
    with pytest.raises(PartitionKeyInvalid, match="too long"):
        folder_names(ONE, "é" * 50)


def test_dimensions_have_to_match() -> None:
    assert folder_names(TWO, ("BTC", "2020-01")) == ("symbol=BTC", "month=2020-01")
    assert folder_names(NONE, None) == ()
    with pytest.raises(PartitionKeyInvalid, match=r"1 parts, the table has 2 dimensions"):
        folder_names(TWO, "BTC")
    with pytest.raises(PartitionKeyInvalid, match="pass None"):
        folder_names(NONE, "x")


@given(st.text(min_size=1, max_size=20))
def test_a_key_names_one_folder_inside_its_table_and_comes_back(key: str) -> None:
    try:
        (name,) = folder_names(ONE, key)
    except PartitionKeyInvalid:
        return
    table_folder = Path("/lake/clean/equity_bars")
    assert (table_folder / name).parent == table_folder
    assert ".." not in (table_folder / name).parts
    assert part_of_folder("ticker", name) == key


@given(st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8)))
def test_shown_key_of_several_dimensions_comes_back(key: tuple[str, str]) -> None:
    try:
        folder_names(TWO, key)
    except PartitionKeyInvalid:
        return
    shown = shown_key(key)
    assert shown is not None
    assert shown.count("/") == 1
    assert key_of_shown(TWO, shown) == key


@pytest.mark.parametrize("name", ["AAPL", "ticker", "ticker=", "ticker=..", "ticker=a b", "ticker=%2f", "ticker=%FF"])
def test_folders_of_others_are_not_keys(name: str) -> None:
    assert part_of_folder("ticker", name) is None


def test_a_lone_string_or_tuple_is_one_key() -> None:
    assert wanted_keys(ONE, "AAPL") == ["AAPL"]
    assert wanted_keys(ONE, ("B", "A", "B")) == ["A", "B"]
    assert wanted_keys(TWO, ("BTC", "2020-01")) == [("BTC", "2020-01")]
    assert wanted_keys(TWO, [("ETH", "1"), ("BTC", "1")]) == [("BTC", "1"), ("ETH", "1")]


def test_partition_folder_is_below_the_root(lake: Lake) -> None:
    folder = lake.partition_folder(BARS, "../../x")
    assert folder == lake.root / "clean" / "equity_bars" / "ticker=..%2F..%2Fx"
