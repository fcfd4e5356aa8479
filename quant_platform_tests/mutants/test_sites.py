"""The mutation tool changes one place at a time, and never what decides nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from quant_platform_tests.mutants.run import files_of, own_tests, sample
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


def test_the_own_tests_a_file_begin_with_the_one_of_its_name() -> None:
    assert own_tests("statistics", "statistics/ranks.py")[0].name == "test_ranks.py"
    assert Path("ranks.py") in [Path(path.name) for path in files_of("statistics")]
