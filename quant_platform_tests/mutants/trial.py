"""A process that has the libraries loaded and forks a child for each mutant; started in a copy of the tree.

Mutants come in on standard input and answers go out on standard output, pickled. This process never imports a module
of the house that a mutant could change.
"""

from __future__ import annotations

import importlib
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import IO

from quant_platform_tests.mutants.sites import Mutant, Trial

# Processor seconds: a busy machine must not kill a mutant. The clock ends only what waits for something.
TIMES_AS_LONG = 10.0
AT_LEAST_SECONDS = 20.0
CLOCK_TIMES = 10.0
# What the tests of most rooms import. None starts a thread for which a forked child would wait for ever; pytest must
# load its own plugins itself.
LIBRARIES = (
    "numpy", "scipy.stats", "scipy.optimize", "numba", "polars", "duckdb", "dataframely", "yaml", "pydantic",
    "pydantic_settings", "altair", "dagster",
)  # fmt: skip


def main(room: str, work: Path) -> None:
    """Measure the room's tests, then try every mutant that comes in."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from quant_platform_tests.mutants.reach import Reach, measure

    for name in LIBRARIES:
        importlib.import_module(name)
    kept = work / "reach.pickle"
    child = os.fork()
    if child == 0:
        code = 1
        # Compiled files of the unchanged tree are kept for the trials, which write none (their environment says so).
        sys.dont_write_bytecode = False
        try:
            kept.write_bytes(pickle.dumps(measure(work, room)))
            code = 0
        except BaseException:  # the child ends here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit(1)
    reach = pickle.loads(kept.read_bytes())
    assert isinstance(reach, Reach)
    pickle.dump(reach.left_out, answers)
    answers.flush()
    while True:
        try:
            mutant = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _answer(_tried(mutant, work, reach), answers)


def _answer(trial: Trial, answers: IO[bytes]) -> None:
    pickle.dump(trial, answers)
    answers.flush()


def _tried(mutant: Mutant, work: Path, reach: object) -> Trial:
    from quant_platform_tests.mutants.reach import Reach

    assert isinstance(reach, Reach)
    target = work / "quant_platform" / mutant.path
    original, stamp = target.read_text(encoding="utf-8"), target.stat()
    reached = reach.tests(mutant.path, *mutant.statement)
    started = time.monotonic()
    target.write_text(mutant.source, encoding="utf-8")
    try:
        ended = _ended(reached, reach.seconds) or _ended(reach.beside(reached), reach.seconds)
    finally:
        target.write_text(original, encoding="utf-8")
        # The time by which Python knows that the compiled file is of this text.
        os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    return Trial(mutant, ended != "", len(reached), time.monotonic() - started, ended == "time")


def _ended(tests: list[str], seconds: dict[str, float]) -> str:
    """What one of the tests did: "" where all pass, "failed", or "time" where they do not end in time."""
    if not tests:
        return ""
    most = AT_LEAST_SECONDS + TIMES_AS_LONG * sum(seconds[test] for test in tests)
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(most) + 1, int(most) + 1))
        code = 1
        try:
            import pytest

            from quant_platform_tests.mutants.reach import options

            code = int(pytest.main([*options(), "-x", *tests]))
        finally:
            os._exit(code)
    end = time.monotonic() + CLOCK_TIMES * most
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
                return "time"
            return "failed" if status != 0 else ""
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "time"


if __name__ == "__main__":
    main(sys.argv[1], Path.cwd())
