"""A file that would fill the memory is refused by its table of contents; an ordinary one is not."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts import limits
from quant_platform.contracts.errors import FileTooLarge, SourceMalformed


def test_an_ordinary_parquet_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    pl.DataFrame({"x": np.random.default_rng(1).normal(size=100_000)}).write_parquet(path)
    limits.require_bounded_parquet(path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds a thousandth of the real ones, so that a test need not write gigabytes."""
    monkeypatch.setattr(limits, "UNREMARKABLE_BYTES", limits.UNREMARKABLE_BYTES // 1_000)


def test_a_parquet_bomb_is_refused_with_its_size(small: None, tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pl.DataFrame({name: np.zeros(1_000_000, dtype=np.int8) for name in "ab"}).write_parquet(path)
    with pytest.raises(FileTooLarge, match=r"out of proportion") as caught:
        limits.require_bounded_parquet(path)
    assert "1,000,000 rows of 2 columns" in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_zip_bomb_is_refused(small: None, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"0" * 3_000_000)
    with pytest.raises(FileTooLarge, match="out of proportion"):
        limits.require_bounded_zip(path)


def test_a_gzip_bomb_is_refused_before_it_is_whole(small: None, tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"0" * 30_000_000))
    with pytest.raises(FileTooLarge, match="so far"):
        limits.read_bounded_gzip(path)


def test_ordinary_archives_are_read(tmp_path: Path) -> None:
    content = b"2024-01-02,10,11,9,10,1000\n" * 100
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", content)
    limits.require_bounded_zip(path)
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(content))
    assert limits.read_bounded_gzip(packed) == content


def test_what_is_in_proportion_is_still_bounded_by_the_memory(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.parquet"
    pl.DataFrame({"x": np.random.default_rng(1).normal(size=100_000)}).write_parquet(path)
    monkeypatch.setattr(limits, "_memory_bytes", lambda: 2**20)
    with pytest.raises(FileTooLarge, match="split the file"):
        limits.require_bounded_parquet(path)


@pytest.mark.parametrize("read", [limits.require_bounded_parquet, limits.require_bounded_zip, limits.read_bounded_gzip])
@pytest.mark.parametrize("content", [b"", b"text\n", b"PAR1", b"PK\x03\x04", b"\x1f\x8b\x08\x00"])
def test_another_kind_of_file_is_malformed(read: Callable[[Path], object], content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    if content == b"" and read is limits.read_bounded_gzip:
        assert limits.read_bounded_gzip(path) == b""  # gzip of no member is nothing
        return
    with pytest.raises(SourceMalformed, match="file"):
        read(path)


def test_a_pipe_a_folder_and_nothing_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("pipe", "no file"), (".", "no file"), ("nowhere", "no such file")):
        with pytest.raises(SourceMalformed, match=said):
            limits.require_plain_file(tmp_path / name)


def test_every_byte_of_a_zip_may_be_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "date,close\n" + "2024-01-02,1\n" * 20)
    whole = path.read_bytes()
    refused = set()
    for position in range(len(whole)):
        for change in (0xFF, 0x01, 0x80):
            path.write_bytes(bytes(byte ^ change if k == position else byte for k, byte in enumerate(whole)))
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.read(archive.namelist()[0])
            except limits.ZIP_DAMAGED as error:
                refused.add(type(error))
    assert {zipfile.BadZipFile, zlib.error} <= refused
