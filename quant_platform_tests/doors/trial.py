"""One broken input at one door: carried out as the command would be, timed, and judged by what a person sees.

An answer is *clear* when

1. the command ends by itself, within the time, with an exit code that says that something was wrong;
2. standard error is one paragraph: a stable code, what is wrong, the place, the next action; or the usage error of the
   command line, which names the option; or, where a command looks for findings, each with its next action;
   or, where the input is unusual and not broken, success with the words that say what was done with it;
3. no traceback, nothing "unexpected", at most `MOST_LINES` lines;
4. nothing that existed was touched, and a refused import leaves no declaration behind.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from unittest.mock import patch

from quant_platform.cli import main
from quant_platform_tests.homes import files

SECONDS = 60
MOST_LINES = 25
MOST_CHARACTERS = 4_000
CODE = re.compile(r"[a-z]+(_[a-z]+)*: ")


@dataclass(frozen=True)
class Place:
    """Where a trial happens: a sound home, sound specs that a trial may break and that are mended after it."""

    home: Path
    specs: Path
    scratch: Path


@dataclass(frozen=True)
class Input:
    """Something broken.

    Parameters
    ----------
    door
        The kind of door.
    name
        What is wrong with it.
    prepare
        Puts it in its place and returns the arguments of ``quant``.
    standard_input
        What is piped in.
    taken_with
        Words that are said when this is read rightly and taken; nothing where it must be refused.
    """

    door: str
    name: str
    prepare: Callable[[Place], Sequence[str]]
    standard_input: str = ""
    taken_with: str = ""


@dataclass(frozen=True)
class Answer:
    """What a person saw."""

    input: Input
    code: int
    out: str
    err: str
    seconds: float
    complaints: tuple[str, ...] = field(default=())

    @property
    def clear(self) -> bool:
        return not self.complaints


class TooSlow(BaseException):
    """Raised by the clock; no ``except Exception`` of the house may catch it."""


def tried(found: Input, place: Place) -> Answer:
    """Carry one input out and judge the answer."""
    with _mended(place.specs):
        arguments = found.prepare(place)
        before = _state(place)
        started = time.monotonic()
        code, out, err = _called(arguments, found.standard_input)
        seconds = time.monotonic() - started
        complaints = [*_complaints(code, out, err, found.taken_with), *_damage(before, _state(place))]
        complaints += [
            f"a declaration remains: {left.name}"
            for name in ("home.yaml", "perps.yaml")
            for left in place.scratch.glob(f"new*/{name}")
        ]
    for left in sorted(place.scratch.glob("new*/*.yaml")):
        left.unlink()
    return Answer(found, code, out, err, seconds, tuple(complaints))


def _called(arguments: Sequence[str], standard_input: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    argv, code = sys.argv, 0
    stdin = sys.stdin

    def ring(_: int, __: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        sys.argv, sys.stdin = ["quant", *arguments], io.StringIO(standard_input)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
            # What is not refused before the work starts was taken for good; the work itself takes minutes.
            patch("quant_platform.cli.market.run_everything", lambda *_, **__: sys.exit(0)),
        ):
            warnings.simplefilter("ignore")
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except TooSlow:
        code = -1
    except BaseException as error:  # the very thing that is looked for: what escapes the command
        code = -2
        err.write(f"Traceback: {type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.argv, sys.stdin = argv, stdin
    return code, out.getvalue(), err.getvalue()


def _complaints(code: int, out: str, err: str, taken_with: str = "") -> Iterator[str]:
    if code == -1:
        yield f"no answer within {SECONDS} s"
        return
    if code == 0 and not taken_with:
        yield "it was taken for good"
    if taken_with and (code != 0 or taken_with not in " ".join(out.split())):
        yield f"not taken with the words {taken_with!r}"
    if "Traceback" in err + out:
        yield "a traceback"
    if err.startswith("unexpected"):
        yield "called unexpected"
    said = out if code == 3 else err
    if len(said.strip().splitlines()) > MOST_LINES or len(said) > MOST_CHARACTERS:
        yield f"{len(said.strip().splitlines())} lines, {len(said):,} characters"
    if code == 1:
        if not CODE.match(err):
            yield "no stable code"
        if "\n\n" in err.strip():
            yield "more than one paragraph"
        for needed in ("  where: ", "  next: "):
            if needed not in err:
                yield f"no {needed.strip(' :')}"
    elif code == 2:
        # A group that is called without a command answers with its help, which lists them.
        if "Usage: quant" not in err + out or ("Error" not in err and "Commands" not in out + err):
            yield "no usage"
    elif code == 3 and ("next: " not in out or "/" not in out):
        yield "a finding without its place and next action"


def _state(place: Place) -> dict[str, object]:
    """Every file that a refused command has no business with; Dagster's own logs of attempts do not count."""
    found = files(place.home)
    return {name: what for name, what in found.items() if not name.startswith(("dagster/", "quant.duckdb.lock"))}


def _damage(before: dict[str, object], after: dict[str, object]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"touched: {name}"
            return


@contextlib.contextmanager
def _mended(folder: Path) -> Iterator[None]:
    """Put the spec files back as they were, whatever an input has made of them."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    try:
        yield
    finally:
        for path in [path for path in folder.rglob("*") if path not in before and not path.is_dir()]:
            path.unlink()
        for path, content in before.items():
            if not path.is_file() or path.is_symlink() or path.read_bytes() != content:
                if path.is_dir():
                    path.rmdir()
                elif path.exists() or path.is_symlink():
                    path.unlink()
                path.write_bytes(content)


def environment(place: Place) -> dict[str, str]:
    """The variables under which the command finds the place."""
    return {
        **os.environ,
        "QUANT_HOME": str(place.home),
        "QUANT_SPECS": str(place.specs),
        "DAGSTER_HOME": str(place.home / "dagster"),
    }
