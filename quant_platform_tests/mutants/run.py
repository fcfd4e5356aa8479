"""Try some mutants of a room against the room's own tests, each in a process of its own.

1. every possible change of the room's files is listed (`sites`), and a sample drawn with a seed;
2. the tree is copied, and the room's tests run once on it as it is, under coverage (`reach`): which test reaches which
   line, and how long each takes. They do so uncompiled for mutants of kernels and of what kernels import, whose machine
   code would know nothing of the change, and as always for the others (`inside_kernels`);
3. for each mutant its file is replaced and a process forked from one that has the libraries loaded: the tests that
   reach the line run, the quickest first, until one fails; where none does, so do all tests of their files;
4. a mutant whose tests fail, or take 20 s of the processor and ten times as long as before, is killed; the others
   survive and are named, those of lines that no test reaches among them.
"""

from __future__ import annotations

import ast
import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from quant_platform_tests.mutants.sites import Mutant, Trial, mutants

ROOT = Path(__file__).resolve().parents[2]
# A folder of scripts that are started in the environments of foreign frameworks, where the house is not installed.
FOREIGN = "peers"


def files_of(room: str) -> list[Path]:
    """Python files of a room, below the package; without those that another interpreter runs."""
    return [path for path in _all_files(room) if FOREIGN not in path.parts]


def foreign_places(room: str) -> tuple[int, int]:
    """How many files of a room another interpreter runs, and the places in them that could be made wrong."""
    found = [path for path in _all_files(room) if FOREIGN in path.parts]
    return len(found), sum(len(list(mutants(path.name, path.read_text(encoding="utf-8")))) for path in found)


def _all_files(room: str) -> list[Path]:
    return sorted((ROOT / "quant_platform" / room).rglob("*.py"))


def mutants_of(room: str) -> list[Mutant]:
    """Every mutant of a room."""
    found: list[Mutant] = []
    for path in files_of(room):
        name = path.relative_to(ROOT / "quant_platform").as_posix()
        found += mutants(name, path.read_text(encoding="utf-8"))
    return found


def sample(room: str, count: int, seed: int) -> list[Mutant]:
    """Some mutants of a room, each place equally likely."""
    found = mutants_of(room)
    return random.Random(seed).sample(found, min(count, len(found)))


def named(room: str, names: Collection[str]) -> list[Mutant]:
    """The mutants of a room that have these names; of places that are written alike, the first."""
    found = {each.name: each for each in reversed(mutants_of(room))}
    return [found[name] for name in names if name in found]


@cache
def inside_kernels() -> frozenset[str]:
    """Files below the package with a kernel in them, and those that such files import, one from another."""
    reached: set[str] = set()
    waiting = [
        path
        for path in (ROOT / "quant_platform").rglob("*.py")
        if FOREIGN not in path.parts and _COMPILED in _imports(path)
    ]
    while waiting:
        path = waiting.pop()
        if (name := path.relative_to(ROOT / "quant_platform").as_posix()) not in reached:
            reached.add(name)
            waiting += [file for module in _imports(path) for file in (_file_of(module),) if file is not None]
    return frozenset(reached)


_COMPILED = "quant_platform.contracts.compiled"


def _imports(path: Path) -> set[str]:
    """Modules that a file imports, and what it imports from them, which may be modules too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _file_of(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def copy_tree(work: Path, *, compiled: bool) -> None:
    """Everything that tests read, into a folder of its own, with the machine code that is there if it is wanted."""
    left_out = shutil.ignore_patterns() if compiled else shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in ("quant_platform", "quant_platform_tests", "specs", "docs"):
        shutil.copytree(ROOT / name, work / name, ignore=left_out)
    for name in ("pyproject.toml", "dagster.yaml", "workspace.yaml", "README.md", "CHANGELOG.md", "Makefile"):
        shutil.copyfile(ROOT / name, work / name)


def trials(room: str, chosen: list[Mutant], work: Path, left_out: list[str]) -> Iterator[Trial]:
    """Try each mutant in a copy of the tree.

    Parameters
    ----------
    room
        Folder below the package.
    chosen
        Its mutants.
    work
        An empty folder.
    left_out
        Receives the tests that say nothing here: see `reach`.

    Yields
    ------
    Trial
        One per mutant, those of files outside kernels first.

    Raises
    ------
    RuntimeError
        When the room's tests fail on unchanged code: nothing could be said of its mutants.
    """
    for compiled in (True, False):
        alike = [mutant for mutant in chosen if (mutant.path not in inside_kernels()) == compiled]
        if alike:
            place = work / ("compiled" if compiled else "interpreted")
            yield from _tried(room, alike, place, left_out, compiled=compiled)


def _tried(room: str, chosen: list[Mutant], work: Path, left_out: list[str], *, compiled: bool) -> Iterator[Trial]:
    work.mkdir()
    copy_tree(work, compiled=compiled)
    environment = os.environ | {"PYTHONPATH": str(work), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["NUMBA_DISABLE_JIT"] = "0" if compiled else "1"
    command = [sys.executable, "-m", "quant_platform_tests.mutants.trial", room]
    with subprocess.Popen(command, cwd=work, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            left_out += [test for test in pickle.load(server.stdout) if test not in left_out]
            for mutant in chosen:
                pickle.dump(mutant, server.stdin)
                server.stdin.flush()
                yield pickle.load(server.stdout)
        except (BrokenPipeError, EOFError) as failure:
            raise RuntimeError(f"the tests of {room} fail before anything is changed: run them") from failure
        finally:
            server.stdin.close()
