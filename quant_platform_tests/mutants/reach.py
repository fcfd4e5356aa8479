"""Which test reaches which line of a room, found by running the room's own tests once under coverage.

For mutants of kernels these run uncompiled, or coverage would not see into them. Tests that take too long, and then
those of the compiling itself, are left out and counted. A line that runs when its module is imported (a constant, a
signature) is reached by every test that runs any line of the module, or of the room where none does.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import coverage
import pytest

TESTS = "quant_platform_tests."
OWN = "not slow and not long and not real_data"
MOST_CPU_SECONDS = 4.0


@dataclass(frozen=True)
class Reach:
    """What the unchanged tests of a room do.

    Attributes
    ----------
    lines
        Tests by file (below the package) and line, from 1.
    seconds
        How long each test took, set-up included, under coverage.
    left_out
        Tests that fail here, or take more than `MOST_CPU_SECONDS`.
    """

    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def tests(self, path: str, first: int, last: int) -> list[str]:
        """Tests that reach any of the lines, the quickest first."""
        here = self.lines.get(path, {})
        found = {test for line in range(first, last + 1) for test in here.get(line, ())}
        return sorted(found, key=lambda test: (self.seconds.get(test, 0.0), test))

    def beside(self, reached: list[str]) -> list[str]:
        """The other tests of the same files: a shared fixture runs a line in the name of one test and serves all."""
        files = {test.split("::")[0] for test in reached}
        found = [test for test in self.seconds if test.split("::")[0] in files and test not in set(reached)]
        return sorted(found, key=lambda test: (self.seconds[test], test))


class TooSlow(BaseException):
    """A test takes longer than a trial of a mutant may; no ``except Exception`` on the way may take it."""


class _Watch:
    """Names the running test to coverage, stops one that takes too long, and keeps what became of each."""

    def __init__(self, watching: coverage.Coverage) -> None:
        self.watching = watching
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.watching.switch_context(item.nodeid)
        try:
            return (yield)  # type: ignore[return-value]  # pytest's wrappers pass on whatever comes back
        finally:
            self.watching.switch_context("")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        # Within this hook pytest takes whatever is raised as the failure of the test. What is raised in a callback of
        # the garbage collector is lost, so that it is raised again.
        signal.setitimer(signal.ITIMER_PROF, MOST_CPU_SECONDS, MOST_CPU_SECONDS)
        try:
            return (yield)  # type: ignore[return-value]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


def measure(work: Path, room: str) -> Reach:
    """Run the room's tests once, in this process, and see which lines each reaches.

    Parameters
    ----------
    work
        A copy of the tree, which is the working folder of this process.
    room
        Folder below the package.

    Returns
    -------
    Reach
        Tests by line, and their times.

    Raises
    ------
    RuntimeError
        When no test of the room passes on unchanged code: nothing could be said of its mutants.
    """
    package = work / "quant_platform"
    watching = coverage.Coverage(data_file=None, source=[str(package / room)], config_file=False)
    watch = _Watch(watching)
    signal.signal(signal.SIGPROF, _stop)
    watching.start()
    try:
        pytest.main([*options(), f"quant_platform_tests/{room}"], plugins=[watch])
    finally:
        watching.stop()
    seconds = {test: took for test, took in watch.seconds.items() if test not in watch.failed}
    if not seconds:
        raise RuntimeError(f"no test of {room} passes before anything is changed")
    found = watching.get_data()
    lines: dict[str, dict[int, set[str]]] = {}
    for name in found.measured_files():
        by_line = {line: {t for t in tests if t in seconds} for line, tests in found.contexts_by_lineno(name).items()}
        # Of a module of constants alone no line runs later: any test may be the one that notices.
        anyone = set().union(*by_line.values()) or set(seconds)
        # A line without a test ran when the module was imported; one that only tests left out reach is none of those.
        imported = {line for line, tests in found.contexts_by_lineno(name).items() if tests == [""]}
        path = Path(name).relative_to(package).as_posix()
        lines[path] = {line: anyone if line in imported else tests for line, tests in by_line.items()}
    return Reach(lines, seconds, sorted(watch.failed))


def _stop(_: int, frame: FrameType | None) -> None:
    """Stop a test; what it shares with others, and waited for, is not waited for again by each of them."""
    while frame is not None:
        names, name = frame.f_globals, frame.f_code.co_name
        code = getattr(getattr(names.get(name), "__wrapped__", None), "__code__", None)
        if code is frame.f_code and str(names.get("__name__")).startswith(TESTS):
            names[name] = _too_slow
        frame = frame.f_back
    raise TooSlow


def _too_slow(*_: object) -> None:
    raise TooSlow


def options() -> list[str]:
    """How pytest runs here: in the order given, without slow tests and real data."""
    own = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", OWN, "--no-header", "--tb=no"]
    return [*own, "-r", "N"]
