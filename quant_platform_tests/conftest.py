from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, and so report, the tests on real data where the folder beside the checkout does not exist."""
    if SHARED_DATA.is_dir():
        return
    gone = [item for item in items if item.get_closest_marker("real_data")]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if not item.get_closest_marker("real_data")]


def pytest_report_header() -> str:
    state = "found, real_data tests run" if SHARED_DATA.is_dir() else "not found, real_data tests are deselected"
    return f"real data beside the checkout: {state}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return SHARED_DATA
