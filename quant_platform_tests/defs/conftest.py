from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent

# The first is silenced where `quant_platform.defs` is imported, and pytest resets the filters; the second is Dagster
# calling a method of its own that it has deprecated.
KNOWN = ("ignore:.*is currently in beta", "ignore:InitResourceContext.dagster_run is deprecated")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            for known in KNOWN:
                item.add_marker(pytest.mark.filterwarnings(known))
