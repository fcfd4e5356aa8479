"""What is kept between processes: whole or not at all, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.contracts.kept import cache_folder, keep, read_kept


def test_what_is_kept_is_read_and_leaves_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_kept("a") is None
    keep("a", b"1")
    keep("a", b"2")
    assert read_kept("a") == b"2"
    assert [path.name for path in cache_folder().iterdir()] == ["a"]
    assert cache_folder() == tmp_path / "quant_platform"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep("a", b"1")
    assert read_kept("a") is None
