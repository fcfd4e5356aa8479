from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform_tests.sources.binance_files import month_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for month in ("2024-01", "2024-02", "2024-03"):
        month_file(tmp_path / "archive", month)
    return tmp_path / "archive"
