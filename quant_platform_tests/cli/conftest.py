from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quant_platform.cli import main
from quant_platform_tests.cli.commands import Command, Ended
from quant_platform_tests.homes import Market, copied, write_specs


@pytest.fixture
def quant(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["quant", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return call


@pytest.fixture
def inside(market: Market, monkeypatch: pytest.MonkeyPatch) -> Market:
    """The environment of the materialised market."""
    monkeypatch.setenv("QUANT_HOME", str(market.home.settings.home))
    monkeypatch.setenv("QUANT_SPECS", str(market.specs))
    monkeypatch.setenv("DAGSTER_HOME", str(market.home.settings.home / "dagster"))
    return market


@pytest.fixture
def own(market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the market's lake that a test may harm, with specs of its own."""
    folder = copied(market.home.settings.home, tmp_path / "home")
    monkeypatch.setenv("QUANT_HOME", str(folder))
    monkeypatch.setenv("QUANT_SPECS", str(write_specs(tmp_path / "specs")))
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    return folder
