"""A process that has the libraries loaded and forks a child for each mutant; started in a copy of the tree.

Mutants come in on standard input and answers go out on standard output, pickled. This process never imports a module
of the house that a mutant could change.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import IO

from quant_platform_tests.mutants.sites import Mutant, Trial

TIMES_AS_LONG = 10.0
AT_LEAST_SECONDS = 20.0
# What the tests of most rooms import. None starts a thread, for which a forked child would wait for ever; pytest must
# load its own plugins itself.
LIBRARIES = ("numpy", "scipy.stats", "scipy.optimize", "numba", "polars", "duckdb", "dataframely", "yaml")


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
    original = target.read_text(encoding="utf-8")
    reached = reach.tests(mutant.path, *mutant.statement)
    started = time.monotonic()
    target.write_text(mutant.source, encoding="utf-8")
    try:
        killed = _fails(reached, reach.seconds) or _fails(reach.beside(reached), reach.seconds)
    finally:
        target.write_text(original, encoding="utf-8")
    return Trial(mutant, killed, len(reached), time.monotonic() - started)


def _fails(tests: list[str], seconds: dict[str, float]) -> bool:
    """Whether one of the tests fails, or they do not end in time."""
    if not tests:
        return False
    known = sum(seconds[test] for test in tests)
    child = os.fork()
    if child == 0:
        os.setsid()
        code = 1
        try:
            import pytest

            from quant_platform_tests.mutants.reach import options

            code = int(pytest.main([*options(), "-x", *tests]))
        finally:
            os._exit(code)
    end = time.monotonic() + AT_LEAST_SECONDS + TIMES_AS_LONG * known
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


if __name__ == "__main__":
    main(sys.argv[1], Path.cwd())
