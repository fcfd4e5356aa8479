from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.lake.atomic import atomic_bytes, atomic_text
from quant_platform.lake.store import LocalFiles


def test_folders_on_the_way_are_made_and_made_once(tmp_path: Path) -> None:
    for content in ("one", "two"):
        atomic_text(tmp_path / "a" / "b" / "note.txt", content)
        assert (tmp_path / "a" / "b" / "note.txt").read_text() == content
    atomic_bytes(tmp_path / "c" / "d" / "bytes", b"\0")
    assert [path.name for path in (tmp_path / "c" / "d").iterdir()] == ["bytes"]


def test_a_file_that_was_put_is_put_again_and_one_that_was_created_is_not(tmp_path: Path) -> None:
    store = LocalFiles(tmp_path)
    for content in (b"one", b"two"):
        store.put(tmp_path / "steps" / "run" / "value", content)
        assert (tmp_path / "steps" / "run" / "value").read_bytes() == content
    store.create(tmp_path / "table" / "key" / "version", b"one")
    with pytest.raises(FileExistsError):
        store.create(tmp_path / "table" / "key" / "version", b"two")
    assert (tmp_path / "table" / "key" / "version").read_bytes() == b"one"
