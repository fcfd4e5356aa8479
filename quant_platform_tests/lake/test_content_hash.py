from __future__ import annotations

import datetime as dt
import hashlib
import struct
from pathlib import Path

import polars as pl
import pytest

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
