"""Which sessions are over at a time: exchange closes of the calendar, half days and clock changes included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from quant_platform.contracts.errors import CalendarError, SettingsError
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import finished_weeks, last_final, market_sessions, running_session
from quant_platform.pipeline.sources import source_of
from quant_platform.specification import clock
from quant_platform_tests.homes import edit, entered, write_specs


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("sessions")
    specs = write_specs(folder / "specs")
    edit(specs / "home.yaml", lambda spec: spec.update(first_session=date(2025, 6, 2), last_session=None))
    with entered(folder / "home", specs) as found:
        yield found


# New York closes at 16:00: 20:00 UTC in summer time, which ended on Sunday 2 November 2025, 21:00 UTC after. Thursday
# 27 November was a holiday, Friday the 28th closed at 13:00.
TIMES = [
    ("2025-10-31T19:59:59+00:00", "2025-10-30", "2025-10-31"),
    ("2025-10-31T20:00:00+00:00", "2025-10-31", None),
    ("2025-11-03T20:30:00+00:00", "2025-10-31", "2025-11-03"),
    ("2025-11-03T21:00:00+00:00", "2025-11-03", None),
    ("2025-11-27T18:00:00+00:00", "2025-11-26", None),
    ("2025-11-28T17:59:00+00:00", "2025-11-26", "2025-11-28"),
    ("2025-11-28T18:00:00+00:00", "2025-11-28", None),
    ("2025-11-29T07:00:00+01:00", "2025-11-28", None),
    ("2025-11-24T07:00:00+01:00", "2025-11-21", None),
]


@pytest.mark.parametrize(("moment", "final", "running"), TIMES)
def test_a_session_is_final_from_its_close_on(home: Home, moment: str, final: str, running: str | None) -> None:
    at = datetime.fromisoformat(moment)
    assert last_final(home, at).isoformat() == final
    found = running_session(home, at)
    assert (None if found is None else found.isoformat()) == running


def test_a_week_is_finished_by_its_last_close(home: Home) -> None:
    assert finished_weeks(home, datetime(2025, 11, 28, 17, 59, tzinfo=UTC))[-1] == "2025-11-17"
    assert finished_weeks(home, datetime(2025, 11, 28, 18, 0, tzinfo=UTC))[-1] == "2025-11-24"


def test_the_stages_see_what_is_over_by_the_clock(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_NOW", "2025-11-28T18:30:00+01:00")
    assert str(market_sessions(home)[-1]) == "2025-11-26"
    monkeypatch.setenv("QUANT_NOW", "2025-11-28T19:30:00+01:00")
    assert str(market_sessions(home)[-1]) == "2025-11-28"


def test_before_the_first_close_there_is_no_market(home: Home) -> None:
    with pytest.raises(CalendarError, match="no session of the market is over: it starts with 2025-06-02"):
        last_final(home, datetime(2025, 6, 2, 19, 0, tzinfo=UTC))


@pytest.mark.parametrize("text", ["yesterday", "2025-11-28", "2025-11-28T18:30:00"])
def test_a_stated_time_needs_a_zone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_NOW", text)
    with pytest.raises(SettingsError, match="no time with a zone"):
        clock.now()


def test_only_a_simulated_source_is_opened_under_a_stated_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = write_specs(tmp_path / "specs")
    edit(specs / "home.yaml", lambda spec: spec.update(source="yahoo", last_session=None))
    monkeypatch.setenv("QUANT_NOW", "2025-11-28T18:30:00+01:00")
    with entered(tmp_path / "home", specs) as real, pytest.raises(SettingsError, match="this home is not simulated"):
        source_of(real)
