"""Partition keys as folder names: percent-encoded, reversible, and unable to leave their table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import quote, unquote

from quant_platform.contracts.errors import PartitionKeyInvalid
from quant_platform.contracts.tables import Table

Key: TypeAlias = str | tuple[str, ...] | None
"""One string for a table with one dimension, a tuple for several, None for an unpartitioned table."""

LONGEST_NAME_BYTES = 255
"""What the common file systems take as one folder name."""


def key_parts(table: Table, key: Key) -> tuple[str, ...]:
    """Return the key as one string per dimension.

    Raises
    ------
    PartitionKeyInvalid
        When the number of parts is not the number of dimensions, or a part is empty, ``.``, ``..``, holds a NUL
        character, is not valid Unicode, or is too long for a folder name once encoded.
    """
    parts = () if key is None else (key,) if isinstance(key, str) else key
    if not isinstance(parts, tuple) or not all(isinstance(part, str) for part in parts):
        raise PartitionKeyInvalid(
            f"the key {key!r} was not a string, a tuple of strings or None", where=table.name, action=_shape(table)
        )
    if len(parts) != len(table.dimensions):
        raise PartitionKeyInvalid(
            f"the key {key!r} has {len(parts)} parts, the table has {len(table.dimensions)} dimensions",
            where=table.name,
            action=_shape(table),
        )
    for dimension, part in zip(table.dimensions, parts, strict=True):
        _refuse_unusable(table, dimension, part)
    return parts


def folder_names(table: Table, key: Key) -> tuple[str, ...]:
    """Return the folder names of a partition below its table, for example ``("ticker=BRK.B",)``."""
    parts = key_parts(table, key)
    return tuple(f"{dimension}={_encode(part)}" for dimension, part in zip(table.dimensions, parts, strict=True))


def part_of_folder(dimension: str, folder_name: str) -> str | None:
    """Return the key part a folder name stands for, or None where this platform would not have written that name."""
    prefix = f"{dimension}="
    if not folder_name.startswith(prefix):
        return None
    encoded = folder_name.removeprefix(prefix)
    try:
        part = unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return None
    return part if part not in ("", ".", "..") and _encode(part) == encoded else None


def key_of_parts(parts: tuple[str, ...]) -> Key:
    """Return the key in the form callers use: None, a string, or a tuple."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else parts


def shown_key(key: Key) -> str | None:
    """Return the key as one text for messages, the catalogue and manifests: parts encoded and joined by ``/``.

    A key of one dimension is shown as it is; encoding the parts of several keeps the text unambiguous.
    """
    if key is None or isinstance(key, str):
        return key
    return "/".join(_encode(part) for part in key)


def key_of_shown(table: Table, shown: str | None) -> Key:
    """Return the key that `shown_key` wrote as text."""
    if shown is None or len(table.dimensions) == 1:
        return shown
    return tuple(unquote(part) for part in shown.split("/"))


def wanted_keys(table: Table, keys: Iterable[Key] | str) -> list[Key]:
    """Return the distinct keys in partition order; a lone string or, with several dimensions, tuple is one key."""
    listed: list[Key]
    if isinstance(keys, str):
        listed = [keys]
    elif len(table.dimensions) > 1 and isinstance(keys, tuple) and all(isinstance(part, str) for part in keys):
        listed = [tuple(str(part) for part in keys)]
    else:
        listed = list(keys)
    return [key_of_parts(parts) for parts in sorted({key_parts(table, key) for key in listed})]


def _encode(part: str) -> str:
    return quote(part, safe="")


def _shape(table: Table) -> str:
    if not table.dimensions:
        return "pass None: the table is not partitioned"
    if len(table.dimensions) == 1:
        return f"pass the {table.dimensions[0]} as a string"
    return f"pass a tuple ({', '.join(table.dimensions)})"


def _refuse_unusable(table: Table, dimension: str, part: str) -> None:
    where = f"{table.name}, dimension {dimension}"
    if part in ("", ".", "..") or "\0" in part:
        raise PartitionKeyInvalid(
            f"the key {part!r} cannot name a folder", where=where, action="use a key that is not empty, '.' or '..'"
        )
    try:
        length = len(f"{dimension}={_encode(part)}")
    except UnicodeEncodeError as error:
        raise PartitionKeyInvalid(
            f"the key {part!r} is not valid Unicode text", where=where, action="remove the lone surrogate"
        ) from error
    if length > LONGEST_NAME_BYTES:
        raise PartitionKeyInvalid(
            f"the key {part[:20]!r}... is too long for a folder name",
            where=where,
            how_many=f"{length} bytes once encoded, {LONGEST_NAME_BYTES} at most",
            action="use a shorter key",
        )
