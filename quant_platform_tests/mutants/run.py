"""Try some mutants of a room against the room's own tests, each in a process of its own, kernels uncompiled.

1. every possible change of the room's files is listed (`sites`), and a sample drawn with a seed;
2. the tree is copied once; for each mutant its file is replaced, and the tests that reach the file are run until one
   fails: those whose name says the file's first;
3. a mutant whose tests fail, or do not end in time, is killed; the others survive and are named.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quant_platform_tests.mutants.sites import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300


@dataclass(frozen=True)
class Trial:
    """What became of one mutant."""

    mutant: Mutant
    killed: bool
    seconds: float


def files_of(room: str) -> list[Path]:
    """Python files of a room, below the package."""
    return sorted((ROOT / "quant_platform" / room).rglob("*.py"))


def sample(room: str, count: int, seed: int) -> list[Mutant]:
    """Some mutants of a room, each place equally likely."""
    found: list[Mutant] = []
    for path in files_of(room):
        name = path.relative_to(ROOT / "quant_platform").as_posix()
        found += mutants(name, path.read_text(encoding="utf-8"))
    return random.Random(seed).sample(found, min(count, len(found)))


def own_tests(room: str, path: str) -> list[Path]:
    """Test files of a room that import the module, directly or through the room; the one of its name first."""
    folder = ROOT / "quant_platform_tests" / room
    stem = Path(path).stem
    tests = sorted(folder.rglob("test_*.py"))

    def nearness(test: Path) -> tuple[int, str]:
        text = test.read_text(encoding="utf-8")
        named = stem in test.stem
        imported = re.search(rf"\b{re.escape(stem)}\b", text) is not None
        return (0 if named else 1 if imported else 2, test.name)

    return sorted(tests, key=nearness)


def trials(room: str, chosen: list[Mutant], work: Path) -> Iterator[Trial]:
    """Try each mutant in a copy of the tree."""
    for name in ("quant_platform", "quant_platform_tests", "specs", "docs"):
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    for name in ("pyproject.toml", "dagster.yaml", "workspace.yaml", "README.md", "CHANGELOG.md", "Makefile"):
        shutil.copyfile(ROOT / name, work / name)
    for mutant in chosen:
        target = work / "quant_platform" / mutant.path
        original = target.read_text(encoding="utf-8")
        target.write_text(mutant.source, encoding="utf-8")
        started = time.monotonic()
        try:
            yield Trial(mutant, _fails(room, mutant, work), time.monotonic() - started)
        finally:
            target.write_text(original, encoding="utf-8")


def _fails(room: str, mutant: Mutant, work: Path) -> bool:
    tests = [path.relative_to(ROOT).as_posix() for path in own_tests(room, mutant.path)]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(work), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider", *tests]
    command += ["-m", "not slow and not long and not real_data", "--no-header", "--tb=no"]
    try:
        ended = subprocess.run(command, cwd=work, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return ended.returncode != 0
