"""What a failed step says to people, whatever Dagster and a library said around it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

from quant_platform.contracts.errors import CorruptFile, SourceMalformed
from quant_platform.defs.runs import _crash, _plain, _told


class Step(Exception):
    """As Dagster's own, around what a step raised."""


def _raise(errors: tuple[Exception, ...]) -> NoReturn:
    """The first, raised from the next, and so on."""
    if len(errors) == 1:
        raise errors[0]
    try:
        _raise(errors[1:])
    except Exception as cause:
        raise errors[0] from cause


def _kept(errors: tuple[Exception, ...]) -> SerializableErrorInfo:
    """As Dagster keeps it."""
    try:
        _raise(errors)
    except Exception:
        return serializable_error_info_from_exc_info(sys.exc_info())


OURS = CorruptFile("the footer is torn", where="a.parquet", action="restore it")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ((Step("step failed"), OURS, ValueError("not a Parquet file")), "file_corrupt: the footer is torn"),
        ((Step("step failed"), SourceMalformed("1 of 5 could not be made"), OURS), "file_corrupt: the footer is torn"),
        ((OURS,), "file_corrupt: the footer is torn"),
        ((Step("step failed"), KeyError("close")), "KeyError: 'close'"),
    ],
)
def test_the_innermost_error_of_ours_is_told(errors: tuple[Exception, ...], said: str) -> None:
    lines = _plain(_told(_kept(errors))).splitlines()
    assert lines[0] == said
    assert any("where: a.parquet" in line for line in lines) == (OURS in errors)


def test_nothing_known_is_told_as_nothing() -> None:
    assert _told(None) == ""


CRASH = "dagster._core.executor.child_process_executor.ChildProcessCrashException\n"


def _event(step: str, message: str, error: str | None, *, engine: bool) -> Any:
    about = SimpleNamespace(error=None if error is None else SimpleNamespace(message=error, cause=None))
    return SimpleNamespace(
        step_key=step, message=message, is_engine_event=engine, engine_event_data=about, step_failure_data=about
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("was terminated by signal 9 (SIGKILL).", "its process was terminated by signal 9, as when memory is short"),
        ("was terminated by signal 15 (SIGTERM). This", "its process was terminated by signal 15"),
        ("unexpectedly exited with code 255.", "its process unexpectedly exited with code 255"),
        ("went away", "its process ended without a word"),
    ],
)
def test_a_process_that_was_killed_is_told_as_killed(how: str, said: str) -> None:
    events = [
        _event(
            "b", "Multiprocess executor: child process for step b unexpectedly exited with code 1.", CRASH, engine=True
        ),
        _event("a", "Launching", None, engine=True),
        _event("a", f"Multiprocess executor: child process for step a {how}", CRASH, engine=True),
        _event("a", "", CRASH, engine=False),
    ]
    assert _crash(events[-1], events) == f"worker_ended: {said}"
    assert _crash(_event("a", "", "ValueError: no", engine=False), events) == ""
    assert _crash(_event("a", "", None, engine=False), events) == ""
    assert _crash(events[-1], []) == "worker_ended: its process ended without a word"
