"""How much a file may become when it is read: looked up in its own table of contents, before anything is unpacked.

A Parquet file of a megabyte can hold a billion equal rows, a zip file the same byte over and over. Each reader of a
file that somebody else wrote asks here first.

What this does not catch: a file that changes between the look and the reading, and a table of contents that lies. A
Parquet file that lies fails to decode, Python's ``zipfile`` reads no more than was stated and compares the checksum.
"""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from pathlib import Path

from quant_platform.contracts.errors import FileTooLarge, SourceMalformed

UNREMARKABLE_BYTES = 256 * 2**20
"""What unpacks to less is read, whatever it was packed from."""

LARGEST_RATIO = 200
"""Bytes of memory for one byte of the file, beyond the size above: prices pack five to twenty times."""

MEMORY_SHARE = 0.5
"""Of this machine's memory, for one file."""

ZIP_DAMAGED = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    IndexError,
    struct.error,
    zlib.error,
)
"""What Python's ``zipfile`` raises over a file whose bytes are wrong: an offset below zero is a ValueError, a length
that lies a struct.error, an unknown method or an encrypted member a RuntimeError, no member at all an IndexError where
one is taken; it has no common class for them."""

MOST_MEMBERS = 100_000
_BYTES_PER_VALUE = 8
_CHUNK = 2**20


def require_plain_file(path: Path) -> int:
    """Return the size of a file; a folder, a pipe or a device is none: reading one may never end.

    Raises
    ------
    SourceMalformed
        When it is no plain file.
    """
    if not path.is_file():
        raise SourceMalformed(
            "this is no file" if path.exists() else "there is no such file",
            where=str(path),
            cause="a folder, a pipe or a device of that name" if path.exists() else "a typing error, or it was moved",
            action="name a file",
        )
    return path.stat().st_size


def require_bounded_parquet(path: Path) -> None:
    """Refuse a Parquet file whose rows would not fit into the memory; reads the footer alone.

    Raises
    ------
    FileTooLarge
        When rows x columns x 8 bytes, or the pages without compression, are too much for the machine, or out of all
        proportion to the file.
    SourceMalformed
        When it is no Parquet file.
    """
    packed = require_plain_file(path)
    # Arrow starts threads when it is imported; a fork server must not have any.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path)
        pages = sum(found.row_group(k).total_byte_size for k in range(found.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceMalformed(
            "the file is not Parquet, or it is torn",
            where=str(path),
            cause=" ".join(str(error).split())[:200],
            action="copy it again from where it came",
        ) from error
    unpacked = max(pages, found.num_rows * found.num_columns * _BYTES_PER_VALUE)
    _require(path, packed, unpacked, f"{found.num_rows:,} rows of {found.num_columns} columns")


def require_bounded_zip(path: Path) -> None:
    """Refuse a zip file whose members would not fit into the memory; reads its table of contents alone.

    Raises
    ------
    FileTooLarge
        When the members together, or their number, are too much.
    SourceMalformed
        When it is no zip file.
    """
    packed = require_plain_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ZIP_DAMAGED as error:
        raise SourceMalformed(
            "the file is not a zip file, or it is torn",
            where=str(path),
            cause=" ".join(str(error).split())[:200],
            action="copy it again from where it came",
        ) from error
    _require(path, packed, sum(member.file_size for member in members), f"{len(members):,} members")
    if len(members) > MOST_MEMBERS:
        raise FileTooLarge(
            "the zip file has too many members",
            where=str(path),
            how_many=f"{len(members):,}, {MOST_MEMBERS:,} at most",
            cause="not an archive of market data",
            action="check where the file comes from",
        )


def read_bounded_gzip(path: Path) -> bytes:
    """Unpack a gzip file, as far as it is in proportion; its own record of its size is too short to be trusted.

    Raises
    ------
    FileTooLarge
        When what was unpacked so far is too much.
    SourceMalformed
        When it is no gzip file or ends too early.
    """
    packed = require_plain_file(path)
    parts: list[bytes] = []
    unpacked = 0
    try:
        with gzip.open(path, "rb") as stream:
            while part := stream.read(_CHUNK):
                unpacked += len(part)
                _require(path, packed, unpacked, "so far")
                parts.append(part)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceMalformed(
            "the file is not gzip, or it is torn",
            where=str(path),
            cause=" ".join(str(error).split())[:200],
            action="copy it again from where it came",
        ) from error
    return b"".join(parts)


def _require(path: Path, packed: int, unpacked: int, what: str) -> None:
    if unpacked <= UNREMARKABLE_BYTES:
        return
    memory = _memory_bytes()
    bomb = unpacked > LARGEST_RATIO * max(1, packed)
    if not bomb and unpacked <= memory * MEMORY_SHARE:
        return
    raise FileTooLarge(
        "the file is too large to be read" + (", and out of proportion" if bomb else ""),
        where=str(path),
        how_many=f"{what}: {unpacked / 2**30:.1f} GiB from {packed / 2**20:.1f} MiB",
        cause="a file made to fill the memory, or one that was written by mistake"
        if bomb
        else f"this machine has {memory / 2**30:.1f} GiB of memory",
        action="check where the file comes from" if bomb else "split the file, for example by year",
    )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 * 2**30
