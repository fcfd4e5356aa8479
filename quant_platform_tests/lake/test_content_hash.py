from __future__ import annotations

import datetime as dt
import hashlib
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.lake.content_hash import content_hash

FRAME = pl.DataFrame(
    {
        "text": ["a", None, "żółw"],
        "number": [1.5, None, float("nan")],
        "count": pl.Series([1, None, -3], dtype=pl.Int32),
        "flag": [True, None, False],
        "day": [dt.date(2020, 1, 1), None, dt.date(1960, 1, 1)],
        "stamp": pl.Series([dt.datetime(2020, 1, 1), None, None], dtype=pl.Datetime("us", "UTC")),
        "items": [["a", "b"], None, []],
        "kind": pl.Series(["x", "y", None], dtype=pl.Enum(["x", "y"])),
        "pair": [{"a": 1, "b": "u"}, None, {"a": None, "b": "v"}],
    }
)


def test_the_recipe_by_hand() -> None:
    frame = pl.DataFrame({"b": ["xy", None], "a": [1.0, None]})
    expected = hashlib.sha256(
        b"a\0float\0002\0"
        + bytes([0b01000000])
        + struct.pack("<dd", 1.0, 0.0)
        # text: the lengths, then the bytes
        + b"b\0text\0002\0"
        + bytes([0b01000000])
        + struct.pack("<qq", 2, 0)
        + b"xy"
    ).hexdigest()
    assert content_hash(frame) == expected


def test_file_layout_does_not_count(tmp_path: Path) -> None:
    plain, pieces = tmp_path / "plain.parquet", tmp_path / "pieces.parquet"
    FRAME.write_parquet(plain, compression="uncompressed")
    FRAME.write_parquet(pieces, compression="zstd", row_group_size=1)
    assert plain.read_bytes() != pieces.read_bytes()
    assert content_hash(pl.read_parquet(plain)) == content_hash(pl.read_parquet(pieces)) == content_hash(FRAME)
    assert content_hash(pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)) == content_hash(FRAME)
    assert content_hash(FRAME.select(reversed(FRAME.columns))) == content_hash(FRAME)


def test_adding_a_category_does_not_count() -> None:
    wider = FRAME.with_columns(pl.col("kind").cast(pl.Enum(["w", "x", "y"])))
    assert content_hash(wider) == content_hash(FRAME)


CHANGES = {
    "text": pl.Series(["a", "", "żółw"]),
    "number": pl.Series([1.5, 0.0, float("nan")]),
    "count": pl.Series([1, 0, -3], dtype=pl.Int32),
    "flag": pl.Series([True, False, False]),
    "day": pl.Series([dt.date(2020, 1, 1), dt.date(1970, 1, 1), dt.date(1960, 1, 1)]),
    "items": pl.Series([["a", "b"], [], []]),
    "kind": pl.Series(["x", "y", "x"], dtype=pl.Enum(["x", "y"])),
    "pair": pl.Series([{"a": 1, "b": "u"}, None, {"a": 0, "b": "v"}]),
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_null_is_not_a_zero(column: str) -> None:
    assert content_hash(FRAME.with_columns(CHANGES[column].alias(column))) != content_hash(FRAME)


def test_a_column_of_nulls_alone_is_hashed_by_the_recipe() -> None:
    said = b"a\0null\0" + b"9\0" + bytes([0xFF, 0x80])
    assert content_hash(pl.DataFrame({"a": pl.Series([None] * 9)})) == hashlib.sha256(said).hexdigest()


def test_values_names_and_boundaries_count() -> None:
    base = pl.DataFrame({"t": ["ab", "c"]})
    assert content_hash(base) != content_hash(pl.DataFrame({"t": ["a", "bc"]}))
    assert content_hash(base) != content_hash(pl.DataFrame({"u": ["ab", "c"]}))
    assert content_hash(base) != content_hash(base.reverse())
    assert content_hash(pl.DataFrame({"i": [["a"], ["b", "c"]]})) != content_hash(
        pl.DataFrame({"i": [["a", "b"], ["c"]]})
    )
    assert content_hash(base.clear()) != content_hash(pl.DataFrame({"t": [""]}))


def test_every_nan_is_the_same() -> None:
    payload = pl.Series([struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0]])
    assert content_hash(pl.DataFrame({"x": payload})) == content_hash(pl.DataFrame({"x": [float("nan")]}))


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(SchemaViolation, match="Binary has no canonical form"):
        content_hash(pl.DataFrame({"x": [b"a"]}))


_KINDS = {"f": ("float", "<d"), "i": ("integer", "<q"), "u": ("unsigned", "<Q"), "b": ("boolean", "<B")}


def _packed(frame: pl.DataFrame) -> str:
    """The recipe of the module, value by value."""
    columns = ((name, name, frame[name].to_list()) for name in sorted(frame.columns))
    return hashlib.sha256(b"".join(_column(*column) for column in columns)).hexdigest()


def _column(name: str, letter: str, values: list[Any]) -> bytes:
    """A column, whose letter says its kind; ``l`` and a letter is a list of what that one says."""
    kind, code = _KINDS.get(letter, ("list" if letter[0] == "l" else "text", ""))
    bits = "".join("1" if value is None else "0" for value in values).ljust((len(values) + 7) // 8 * 8, "0")
    said = f"{name}\0{kind}\0{len(values)}\0".encode()
    said += bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    if kind == "list":
        said += b"".join(struct.pack("<q", len(value or ())) for value in values)
        return said + _column("item", letter[1:], [item for value in values for item in value or ()])
    if kind == "text":
        texts = [(value or "").encode() for value in values]
        return said + b"".join(struct.pack("<q", len(text)) for text in texts) + b"".join(texts)
    return said + b"".join(struct.pack(code, 0 if value is None else value) for value in values)


COLUMNS = {
    "f": (pl.Float32, st.none() | st.floats(-9, 9, width=32)),
    "i": (pl.Int16, st.none() | st.integers(-300, 300)),
    "u": (pl.UInt8, st.none() | st.integers(0, 255)),
    "b": (pl.Boolean, st.none() | st.booleans()),
    "s": (pl.String, st.none() | st.text(max_size=4)),
    "ls": (pl.List(pl.String), st.none() | st.lists(st.none() | st.text(max_size=2), max_size=3)),
    "li": (pl.List(pl.Int32), st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3)),
    "lb": (pl.List(pl.Boolean), st.none() | st.lists(st.booleans(), max_size=3)),
}


@settings(max_examples=60)
@given(st.data(), st.integers(0, 30), st.integers(0, 9), st.booleans())
def test_any_columns_nulls_and_slices_are_hashed_by_the_recipe(
    data: st.DataObject, rows: int, start: int, twice: bool
) -> None:
    frame = pl.DataFrame(
        {
            name: pl.Series(data.draw(st.lists(values, min_size=rows, max_size=rows)), dtype=dtype)
            for name, (dtype, values) in COLUMNS.items()
        }
    )
    shown = frame.slice(start)
    if twice:
        shown = pl.concat([shown, frame.filter(pl.col("b"))])
    assert content_hash(shown) == _packed(shown)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_stamps_and_days_count_as_stored_with_nulls_as_zero(unit: pl.datatypes.TimeUnit) -> None:
    days = pl.Series("d", [dt.date(1969, 12, 31), None, dt.date(1970, 1, 3)])
    stamps = pl.Series("t", [dt.datetime(1970, 1, 1, 0, 0, 1), None, None], dtype=pl.Datetime(unit))
    second = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    said = b"d\0Date\x003\0" + bytes([0b01000000]) + struct.pack("<qqq", -1, 0, 2)
    said += f"t\0{stamps.dtype}\x003\0".encode() + bytes([0b01100000]) + struct.pack("<qqq", second, 0, 0)
    assert content_hash(pl.DataFrame([days, stamps])) == hashlib.sha256(said).hexdigest()


def test_a_list_counts_with_its_lengths_and_each_of_its_values() -> None:
    rows = [[1.0], [], None, [2.0, 3.0]]
    said = b"l\0list\x004\0" + bytes([0b00100000]) + struct.pack("<qqqq", 1, 0, 0, 2)
    said += b"item\0float\x003\0" + bytes([0]) + struct.pack("<ddd", 1.0, 2.0, 3.0)
    frame = pl.DataFrame({"l": pl.Series(rows, dtype=pl.List(pl.Float64))})
    assert content_hash(frame) == hashlib.sha256(said).hexdigest()
