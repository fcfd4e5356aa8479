from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.lake import Lake
from quant_platform_tests.lake.frames import TEST_TABLES


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home" / "lake", TEST_TABLES)
