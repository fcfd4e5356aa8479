"""The mutation tool changes one place at a time, and never what decides nothing."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import signal
import sys
import time
from functools import cache
from pathlib import Path

import coverage
import pytest
import yaml

from quant_platform_tests.mutants import reach
from quant_platform_tests.mutants.__main__ import BAR, JUDGED, PAGE, RESULTS, ROOMS, clean_score, page
from quant_platform_tests.mutants.reach import Reach, TooSlow, _stop, _Watch
from quant_platform_tests.mutants.run import files_of, foreign_places, inside_kernels, named, sample
from quant_platform_tests.mutants.sites import mutants

SOURCE = '''"""Text with 3 numbers."""
from x import y

LIMIT = 5

@cache(maxsize=7)
def f(a: int = 2, b: float = 0.5) -> tuple[int, 3]:
    """Doc 9."""
    if a < b and a + b > LIMIT:
        raise ValueError(f"was {a + 1}", 4)
    return a * b if not a else True
'''
EXPECTED = {
    ("constant", "5", "6"),
    ("constant", "2", "3"),
    ("constant", "0.5", "0.55"),
    ("comparison", "a < b", "a <= b"),
    ("comparison", "a + b > LIMIT", "a + b >= LIMIT"),
    ("arithmetic", "a + b", "a - b"),
    ("arithmetic", "a * b", "a / b"),
    ("boolean", "a < b and a + b > LIMIT", "a < b or a + b > LIMIT"),
    ("branch", "a < b and a + b > LIMIT", "(not (a < b and a + b > LIMIT))"),
    ("branch", "not a", "(not (not a))"),
    ("constant", "True", "False"),
}


def test_every_place_that_decides_something_is_changed_once() -> None:
    found = [
        (each.kind, each.before, each.after.replace("0.55000000000000004", "0.55")) for each in mutants("f.py", SOURCE)
    ]
    assert set(found) == EXPECTED
    assert len(found) == len(EXPECTED)


def test_a_mutant_differs_from_the_file_in_its_place_alone() -> None:
    for each in mutants("f.py", SOURCE):
        ast.parse(each.source)
        assert each.source != SOURCE
        pairs = zip(SOURCE.splitlines(), each.source.splitlines(), strict=True)
        changed = [number for number, (before, after) in enumerate(pairs, 1) if before != after]
        assert changed == [each.line]


@pytest.mark.parametrize("room", ["statistics", "lake"])
def test_a_sample_is_drawn_again_by_its_seed(room: str) -> None:
    assert sample(room, 5, 1) == sample(room, 5, 1)
    assert sample(room, 5, 1) != sample(room, 5, 2)


def test_what_a_kernel_imports_is_tried_uncompiled() -> None:
    """A constant of another module stands in the machine code as it was when the kernel was compiled."""
    assert {
        "engine/kernel.py",
        "engine/layout.py",
        "labs/suite/kernels.py",
        "contracts/compiled.py",
    } <= inside_kernels()
    assert not {"labs/suite/capacity.py", "labs/operations/book.py", "lake/lake.py"} & inside_kernels()


def test_a_mutant_is_named_by_its_line_and_knows_its_statement() -> None:
    found = {each.before: each for each in mutants("f.py", SOURCE)}
    assert found["a + b"].name == "f.py: a + b -> a - b in: if a < b and a - b > LIMIT:"
    assert found["a + b"].statement == (9, 9)
    assert found["5"].statement == (4, 4)
    several = next(each for each in mutants("g.py", "x = (1 +\n     y)\n") if each.before == "1")
    assert several.statement == (1, 2)


def test_the_quickest_test_that_reaches_a_line_comes_first() -> None:
    reach = Reach(
        lines={"room/a.py": {3: {"t/test_a.py::slow"}, 4: {"t/test_a.py::slow", "t/test_b.py::quick"}}},
        seconds={"t/test_a.py::slow": 2.0, "t/test_a.py::other": 1.0, "t/test_b.py::quick": 0.1},
    )
    assert reach.tests("room/a.py", 3, 4) == ["t/test_b.py::quick", "t/test_a.py::slow"]
    assert reach.tests("room/a.py", 3, 3) == ["t/test_a.py::slow"]
    assert reach.tests("room/a.py", 9, 9) == []
    assert reach.beside(reach.tests("room/a.py", 3, 4)) == ["t/test_a.py::other"]


@cache
def shared_by_many() -> int:
    """Stands for a market that takes long to make and is kept."""
    return waited_for()


def waited_for() -> int:
    _stop(signal.SIGPROF, sys._getframe())
    return 1


def test_what_many_tests_share_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = globals()
    for name in ("shared_by_many", "waited_for"):
        monkeypatch.setitem(names, name, names[name])
    plain = waited_for
    with pytest.raises(TooSlow):
        shared_by_many()
    assert shared_by_many.__name__ == "_too_slow", "the next test that asks for it is stopped at once"
    assert waited_for is plain, "what is not kept may be quick for another"
    with pytest.raises(TooSlow):
        shared_by_many()


def test_a_test_that_loses_what_stops_it_is_stopped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "MOST_CPU_SECONDS", 0.02)
    before = signal.signal(signal.SIGPROF, _stop)
    running = _Watch(coverage.Coverage(data_file=None)).pytest_runtest_call()
    stopped = 0
    try:
        next(running)
        while stopped < 2:
            with contextlib.suppress(TooSlow):
                until = time.process_time() + 5.0
                while time.process_time() < until:
                    pass
                break
            stopped += 1
    finally:
        running.close()
        signal.signal(signal.SIGPROF, before)
    assert stopped == 2
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0), "and what comes after it is not"


def test_mutants_are_found_again_by_their_names() -> None:
    drawn = sample("statistics", 5, 3)
    again = named("statistics", [each.name for each in drawn])
    assert [each.name for each in again] == [each.name for each in drawn]
    assert named("statistics", ["no such place"]) == []


def test_the_files_of_a_room_are_below_it() -> None:
    assert Path("ranks.py") in [Path(path.name) for path in files_of("statistics")]


def test_scripts_of_other_interpreters_are_counted_and_not_drawn() -> None:
    assert "backtrader_run.py" not in [path.name for path in files_of("labs/parity")]
    files, places = foreign_places("labs/parity")
    assert files == 7
    assert places > 0
    assert foreign_places("statistics") == (0, 0)


def test_a_score_leaves_out_what_alters_no_result() -> None:
    found = {"mutants": 10, "survivors": ["a", "b", "c"]}
    # Seven of nine: one of the three survivors alters nothing.
    assert clean_score(found, {"a": "equivalent, why", "b": "a gap"}) == 7 / 9
    assert clean_score({"mutants": 1, "survivors": ["a"]}, {"a": "equivalent"}) == 1.0
    assert clean_score(found, {"a": "equivalent, why", "b": "killed since by test_b"}) == 8 / 9


def test_the_page_is_that_of_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(RESULTS.read_text(encoding="utf-8")))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_meets_the_bar_and_its_survivors_are_judged(room: str) -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))[room]
    judged = yaml.safe_load(JUDGED.read_text(encoding="utf-8"))
    assert set(found["survivors"]) <= set(judged)
    assert clean_score(found, judged) >= BAR


def test_what_was_judged_is_text_by_the_name_of_a_mutant() -> None:
    judged = yaml.safe_load(JUDGED.read_text(encoding="utf-8"))
    assert judged
    for name, words in judged.items():
        assert re.fullmatch(r"[\w/]+\.py: .+ in: .+", name)
        assert isinstance(words, str)
