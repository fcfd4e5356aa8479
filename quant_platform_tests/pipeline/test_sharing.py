"""A stage shared with other processes: the same partitions as one process makes, whatever happens to the others."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts import companion
from quant_platform.contracts.companion import Companion
from quant_platform.contracts.errors import StoreUnavailable
from quant_platform.contracts.tables import table
from quant_platform.defs.labs import LABS
from quant_platform.lake import known_files
from quant_platform.lake.validation import declared_types
from quant_platform.pipeline import sharing
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sharing import shared_with, starting_ahead
from quant_platform.pipeline.stage import Done, Stage, run_stage
from quant_platform.specification.settings import Settings, settings
from quant_platform_tests.homes import hashes
from quant_platform_tests.lake.frames import BARS
from quant_platform_tests.pipeline.shared_stage import FIRST, MISHAP, OUT_OF_ORDER, STAGE, TICKERS, TOGETHER, UNSENDABLE

COMMAND = [sys.executable, "-m", "quant_platform.pipeline.sharing"]


@pytest.fixture(autouse=True)
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FIRST, str(os.getpid()))


def fresh(folder: Path) -> Home:
    folder.mkdir(exist_ok=True)
    return Home(Settings(home=folder, specs=settings().specs))


def expected(folder: Path) -> tuple[dict[Any, str], list[Done]]:
    """What one process makes."""
    home = fresh(folder)
    done = run_stage(STAGE, home, TICKERS, run_id="one")
    return hashes(home, BARS), done


def makers(home: Home) -> dict[int, list[str]]:
    """Which process has begun which keys."""
    found = home.settings.home.glob("made_by_*")
    return {int(path.name.removeprefix("made_by_")): path.read_text().split() for path in found}


def shared(home: Home, count: int, stage: Stage = STAGE) -> tuple[list[Done], list[str]]:
    warned: list[str] = []
    with shared_with(count) as run:
        done = run(stage, home, TICKERS, run_id="one", refresh=False, warn=warned.append)
    return done, warned


@pytest.mark.parametrize("count", [1, 2])
def test_every_partition_is_made_once_and_is_what_one_process_makes(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    wanted, said = expected(tmp_path / "alone")
    monkeypatch.setenv(TOGETHER, str(count + 1))
    home = fresh(tmp_path / "home")
    done, warned = shared(home, count)
    assert (hashes(home, BARS), done, warned) == (wanted, said, [])
    assert [one.state for one in done if one.key == OUT_OF_ORDER] == ["failed"]
    made = makers(home)
    assert sorted(key for keys in made.values() for key in keys) == TICKERS
    assert set(made) - {os.getpid()} == {process.pid for process in started}
    assert len(started) == count
    assert [process.poll() for process in started] == [-signal.SIGKILL] * count


def test_what_was_started_ahead_is_taken_and_ends_when_nobody_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setenv(TOGETHER, "2")
    home = fresh(tmp_path / "home")
    with starting_ahead(1):
        shared(home, 1)
        assert [process.poll() for process in started] == [-signal.SIGKILL]
    assert set(makers(home)) == {os.getpid(), started[0].pid}
    with starting_ahead(1), starting_ahead(0):
        pass
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2


def test_what_another_process_has_written_is_not_opened_for_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOGETHER, "2")
    home = fresh(tmp_path / "home")
    shared(home, 1)
    opened: list[Path] = []

    def noted(path: Path) -> dict[str, pl.DataType]:
        opened.append(path)
        return {}

    monkeypatch.setattr(known_files, "_types_in", noted)
    files = home.lake.current_files(BARS)
    assert [dict(known_files.types_of(path)) for path in files] == [dict(declared_types(table(BARS)))] * len(files)
    assert opened == []
    # One that is not what it was then is opened.
    os.utime(files[-1], ns=(1, 1))
    known_files.types_of(files[-1])
    assert opened == files[-1:]


def test_a_second_stage_skips_what_is_current_whoever_made_it(tmp_path: Path) -> None:
    home, warned = fresh(tmp_path / "home"), []
    with shared_with(1) as run:
        for _ in range(2):
            done = run(STAGE, home, TICKERS, run_id="one", refresh=False, warn=warned.append)
    assert {one.state for one in done if one.key != OUT_OF_ORDER} == {"current"}
    assert not warned


def test_the_others_take_what_belongs_to_a_process_that_is_slow(tmp_path: Path) -> None:
    home = fresh(tmp_path / "home")
    with shared_with(1) as run:
        # It is not awake before the first one is through.
        (other,) = run._others  # type: ignore[attr-defined]  # how it is kept is nobody else's business
        os.kill(other.process.pid, signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patch:
            answer = Companion.answer

            def woken(self: Companion) -> Any:
                os.kill(self.process.pid, signal.SIGCONT)
                return answer(self)

            patch.setattr(Companion, "answer", woken)
            done = run(STAGE, home, TICKERS, run_id="one", refresh=False, warn=lambda _: None)
    assert makers(home) == {os.getpid(): TICKERS}
    assert [one.key for one in done] == TICKERS


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        ("die", "a process that shared the partitions ended (signal 9, as when memory is short)"),
        ("stumble", "a process that shared the partitions failed (ZeroDivisionError('by accident'))"),
        (
            "store",
            "a process that shared the partitions failed (StoreUnavailable('store_unavailable: ",
        ),
    ],
)
def test_what_a_process_had_taken_that_was_lost_is_made(
    mishap: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, plain = expected(tmp_path / "alone")
    monkeypatch.setenv(MISHAP, f"there:{mishap}")
    monkeypatch.setenv(TOGETHER, "2")
    home = fresh(tmp_path / "home")
    done, warned = shared(home, 1)
    assert hashes(home, BARS) == wanted
    assert [(one.key, one.error) for one in done] == [(one.key, one.error) for one in plain]
    [warning] = warned
    assert warning.startswith(said)


@pytest.mark.long
def test_a_process_that_was_lost_is_not_asked_again_and_one_that_failed_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOGETHER, "2")
    for mishap, left in (("die", 0), ("stumble", 1)):
        monkeypatch.setenv(MISHAP, f"there:{mishap}")
        home = fresh(tmp_path / mishap)
        warned: list[str] = []
        with shared_with(1) as run:
            run(STAGE, home, TICKERS, run_id="1", refresh=False, warn=warned.append)
            assert len(run._others) == left  # type: ignore[attr-defined]  # as above
            again = run(STAGE, home, TICKERS, run_id="2", refresh=False, warn=warned.append)
        assert {one.state for one in again} == {"current", "failed"}
        assert len(warned) == 1


@pytest.mark.parametrize(
    ("mishap", "error"),
    [("stumble", ZeroDivisionError), pytest.param("store", StoreUnavailable, marks=pytest.mark.long)],
)
def test_what_fails_everywhere_fails_the_run_as_it_would_alone(
    mishap: str,
    error: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: list[subprocess.Popen[bytes]],
) -> None:
    monkeypatch.setenv(MISHAP, f"everywhere:{mishap}")
    monkeypatch.setenv(TOGETHER, "2")
    with pytest.raises(error):
        shared(fresh(tmp_path / "home"), 1)
    assert [process.poll() is not None for process in started] == [True]


def test_a_run_that_stops_half_way_leaves_nobody_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MISHAP, "here:stumble")
    monkeypatch.setattr(sharing._Share, "_taken", lambda share, _: iter(range(len(share.keys))))
    home = fresh(tmp_path / "home")
    with shared_with(1) as run:
        with pytest.raises(ZeroDivisionError):
            run(STAGE, home, TICKERS, run_id="one", refresh=False, warn=lambda _: None)
        assert run._others == []  # type: ignore[attr-defined]  # as above
        monkeypatch.delenv(MISHAP)
        done = run(STAGE, home, TICKERS, run_id="one", refresh=False, warn=lambda _: None)
    assert [one.state for one in done].count("failed") == 1


def test_a_stage_that_cannot_be_sent_is_run_by_one_process_which_is_said(tmp_path: Path) -> None:
    home = fresh(tmp_path / "home")
    done, warned = shared(home, 1, UNSENDABLE)
    assert [one.state for one in done].count("written") == len(TICKERS) - 1
    assert list(makers(home)) == [os.getpid()]
    [said] = warned
    assert said.startswith(f"{BARS} is made by one process: it cannot be sent")


def test_every_stage_of_the_house_over_independent_partitions_can_be_sent() -> None:
    stages = [stage for lab in LABS for job in lab.jobs for stage in job.stages if isinstance(stage, Stage)]
    assert len({stage.outputs for stage in stages}) > 5
    for stage in stages:
        assert pickle.loads(pickle.dumps(stage)) == stage


def test_where_no_process_can_be_started_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(companion.subprocess, "Popen", refused)
    home = fresh(tmp_path / "home")
    done, warned = shared(home, 2)
    assert (len(done), len(warned)) == (len(TICKERS), 1)
    assert "Cannot allocate memory" in warned[0]


def test_more_keys_than_a_pipe_takes_are_dealt_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_MOST_BLOCKS", 4)
    home = fresh(tmp_path / "home")
    done, _ = shared(home, 1)
    assert [one.key for one in done] == TICKERS
    assert sorted(key for keys in makers(home).values() for key in keys) == TICKERS


def test_it_ends_with_the_process_that_asks_it() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, wrong = process.communicate(timeout=60)
    assert (process.returncode, said, wrong) == (0, b"", b"")
