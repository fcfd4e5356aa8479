"""Kernels are compiled after installation, by markets that the shipped specs describe."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quant_platform.cli import warm
from quant_platform.defs import runs
from quant_platform.defs.jobs import JOBS
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings, settings


@pytest.mark.parametrize("name", ["equities", "perpetuals"])
def test_a_small_market_is_one_that_the_specs_allow_and_its_jobs_are_of_the_graph(name: str, tmp_path: Path) -> None:
    shutil.copytree(settings().specs, tmp_path / "specs")
    (tmp_path / "home").mkdir()
    jobs = warm._MARKETS[name](tmp_path)
    assert set(jobs) <= set(JOBS)
    home = Home(Settings(home=tmp_path / "home", specs=tmp_path / "specs"))
    assert home.simulated
    assert (home.has_bars, home.has_perps) == (name == "equities", name == "perpetuals")
    with runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        launched = [launch.job for launch in runs.everything(home, instance)]
    assert set(jobs) <= set(launched)


def test_an_installation_that_does_not_work_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder that is there already cannot be made.
    (tmp_path / "equities" / "home").mkdir(parents=True)
    monkeypatch.setattr(warm, "_MARKETS", {"equities": warm.write_equities})
    with pytest.raises(warm.WarmingFailed, match="FileExistsError"):
        warm.compile_kernels(tmp_path)
