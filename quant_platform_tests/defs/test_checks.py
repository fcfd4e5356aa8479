"""Checks that say what they could not see, and an age that is taken from the exchange's calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import pytest

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.contracts.tables import table
from quant_platform.defs.checks import build_checks, staleness
from quant_platform.defs.covered import covered
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.schemes import DAYS
from quant_platform.pipeline.home import Home
from quant_platform_tests.homes import edit, entered, write_specs

BARS = dg.AssetKey(["clean", "equity_bars"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("checks")
    specs = write_specs(folder / "specs")
    edit(specs / "home.yaml", lambda spec: spec.update(first_session=date(2025, 6, 2), last_session=None))
    with entered(folder / "home", specs) as found:
        yield found


# Monday 1 December 2025, 07:00 in Berlin: the last session was the half day of Friday the 28th, and before it
# Wednesday the 26th.
AGES = [
    (date(2025, 11, 28), True, 0, 0),
    (date(2025, 11, 26), True, 1, 2),
    (date(2025, 11, 21), True, 4, 7),
    (date(2025, 11, 20), False, 5, 8),
]


@pytest.mark.parametrize(("newest", "passed", "sessions", "days"), AGES)
def test_the_newest_bar_is_compared_with_the_last_session_that_closed(
    newest: date, passed: bool, sessions: int, days: int, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_NOW", "2025-12-01T07:00:00+01:00")
    found = staleness(home, BARS, newest, limit_days=7)
    assert found.passed is passed
    assert found.metadata["sessions_behind"].value == sessions
    assert found.metadata["days_old"].value == days
    assert found.metadata["last_finished_session"].value == "2025-11-28"


def test_no_bar_is_no_pass(home: Home) -> None:
    found = staleness(home, BARS, None, limit_days=7)
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "Nothing to check" in str(found.description)


def test_every_check_over_nothing_warns_and_says_why(home: Home) -> None:
    names = ["clean.equity_bars", "clean.equity_quarantine"]
    where = HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))

    # Assets that wrote nothing, as a run over partitions that do not exist did.
    @dg.multi_asset(specs=[dg.AssetSpec(name.split(".")) for name in names])
    def nothing() -> Iterator[Any]:
        for name in names:
            yield dg.MaterializeResult(asset_key=name.split("."))

    definitions = dg.Definitions(
        assets=[nothing], asset_checks=build_checks([table(name) for name in names]), resources={"home": where}
    )
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process()
    assert result.success, "a check that could not look blocks nothing"
    found = result.get_asset_check_evaluations()
    assert len(found) == 2 * 2 + 5
    assert [one.check_name for one in found if one.passed] == []
    assert {one.severity for one in found} == {dg.AssetCheckSeverity.WARN}
    assert all("nothing_to_check" in one.metadata for one in found)


class _Context:
    def __init__(self, keys: list[str], first: str, last: str) -> None:
        self.partition_keys = keys
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        self.run = type("Run", (), {"tags": tags})()


@pytest.mark.parametrize(
    ("keys", "first", "last", "message"),
    [
        ([], "2025-12-01", "2025-12-01", "the run names 2025-12-01 to 2025-12-01, of which none exists"),
        (["2025-11-26", "2025-11-28"], "2025-11-26", "2025-12-01", "only 2025-11-26 to 2025-11-28 exist"),
        (["2025-11-28", "2025-12-01"], "2025-11-28", "2025-12-01", "2025-12-01 is not over yet"),
    ],
)
def test_a_step_refuses_partitions_that_do_not_exist_or_are_not_over(
    keys: list[str], first: str, last: str, message: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANT_NOW", "2025-12-01T15:00:00+01:00")
    with pytest.raises(PartitionMissing, match=message):
        covered(_Context(keys, first, last), DAYS, home)


def test_a_step_covers_what_its_run_names(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_NOW", "2025-12-01T15:00:00+01:00")
    keys = ["2025-11-26", "2025-11-28"]
    assert covered(_Context(keys, *keys), DAYS, home) == keys
