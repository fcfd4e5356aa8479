"""``quant proposals`` and ``quant fills`` as a person types them, over a small home with a week of proposals."""

from __future__ import annotations

import json
import shlex
import shutil
from datetime import date
from pathlib import Path

import pytest

from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.cli.commands import Command, is_one_paragraph
from quant_platform_tests.homes import SHIPPED, declare
from quant_platform_tests.pipeline.test_changes import ROUTING, id_of, propose

WEEK = date(2024, 3, 4)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    specs = shutil.copytree(SHIPPED, tmp_path / "specs")
    declare(tmp_path / "home", specs)
    for name, value in {"HOME": tmp_path / "home", "SPECS": specs}.items():
        monkeypatch.setenv(f"QUANT_{name}", str(value))
    opened = Home(Settings(home=tmp_path / "home", specs=specs))
    propose(opened, WEEK)
    opened.refresh_catalogue()
    return opened


def test_a_proposal_is_listed_shown_applied_and_taken_back(home: Home, quant: Command) -> None:
    chosen, file = id_of(home, "costs"), home.specs / ROUTING
    before = file.read_text(encoding="utf-8")
    listed = {row["proposal_id"]: row["state"] for row in json.loads(quant("proposals", "list", "--json").out)}
    assert (len(listed), listed[chosen]) == (4, "open")
    shown = quant("proposals", "show", chosen)
    assert "modelled    3.0" in shown.out
    (query,) = [shlex.split(line) for line in shown.out.splitlines() if line.startswith("sql: ")]
    found = quant(*query[2:])
    assert (found.code, found.err) == (0, "")
    assert "half_spread" in found.out
    applied = quant("proposals", "apply", chosen, "--reviewed-by", "Ann Example")
    assert "costs/half_spread is 0.0006, was 0.0003" in " ".join(applied.out.split())
    assert "quant run --changed" in applied.out
    assert "half_spread: 0.0006" in file.read_text(encoding="utf-8")
    assert f"quant proposals revert {chosen}" in quant("proposals", "show", chosen).out
    again = quant("proposals", "apply", chosen, "--reviewed-by", "Bob")
    is_one_paragraph(again, "proposal_refused")
    assert "applied by Ann Example" in again.plain
    assert quant("proposals", "revert", chosen, "--reviewed-by", "Bob").code == 0
    assert file.read_text(encoding="utf-8") == before
    assert "this one is reverted" in quant("proposals", "show", chosen).out


def test_an_unknown_proposal_and_a_missing_name_are_refused(home: Home, quant: Command) -> None:
    is_one_paragraph(quant("proposals", "show", "nothing"), "unknown_proposal")
    is_one_paragraph(quant("proposals", "apply", id_of(home, "costs"), "--reviewed-by", " "), "proposal_refused")
    assert quant("proposals", "apply", id_of(home, "costs")).code == 2


def test_a_broken_file_of_fills_is_one_paragraph_and_stores_nothing(home: Home, tmp_path: Path, quant: Command) -> None:
    file = tmp_path / "fills.csv"
    file.write_text(
        "fill_id,ticker,side,quantity,price,fees,currency,executed_at\nb1,ZZZ,buy,1,1,0,USD,2024-03-04T15:00:00Z\n",
        encoding="utf-8",
    )
    refused = quant("fills", "import", file)
    is_one_paragraph(refused, "fills_invalid")
    assert "a name is not in the universe" in refused.plain
    assert not (home.settings.home / "fills").exists()
