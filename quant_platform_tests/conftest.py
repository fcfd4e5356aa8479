from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from quant_platform_tests.homes import Market
    from quant_platform_tests.suites import Judged, Stored

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, and so report, the tests on real data where the folder beside the checkout does not exist.

    Tests that read the materialised market stay in one worker, so that it is made once.
    """
    for item in items:
        if {"market", "judged", "stored_market"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("market"))
    if SHARED_DATA.is_dir():
        return
    gone = [item for item in items if item.get_closest_marker("real_data")]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if not item.get_closest_marker("real_data")]


def pytest_report_header() -> str:
    state = "found, real_data tests run" if SHARED_DATA.is_dir() else "not found, real_data tests are deselected"
    return f"real data beside the checkout: {state}"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The further processes that were started to answer this one."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remembered(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr("quant_platform.contracts.companion.subprocess.Popen", remembered)
    return processes


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return SHARED_DATA


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A small simulated market with the whole graph materialised in this process; nobody changes it."""
    from quant_platform_tests.homes import materialised

    return materialised(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="session")
def stored_market(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A small home with what a suite reads and nothing else; nobody changes it."""
    from quant_platform_tests.suites import stored_home

    return stored_home(tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="session")
def judged(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A home in which a signal was judged under two presets and logged to MLflow; nobody changes it."""
    from quant_platform_tests.suites import judged_home

    return judged_home(market, tmp_path_factory.mktemp("judged"))
