"""The code part of a cache key: a change anywhere in what a stage reaches makes it stale, one elsewhere does not."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from quant_platform.defs.jobs import JOBS, stages_of
from quant_platform.pipeline import closure
from quant_platform.pipeline.stage import StageBase

PACKAGE = Path(closure.__file__).resolve().parents[1]
STAGES = {stage.outputs[0]: stage for stage in stages_of(JOBS.values())}
# What a stage must reach, from reading what it does: not from the code under test.
REACHES = {
    "raw.equity_bars": {"sources.yahoo", "sources.files.bars", "sources.simulated.prices"},
    "clean.equity_bars": {"market.cleaning", "market.rules", "market.adjustment"},
    "features.equity": {"expressions.kernels", "labs.equity.features.equity", "specification.features"},
    "replay.candidates": {"labs.equity.setups.kernel", "labs.equity.replay.candidates", "specification.setups"},
    "replay.qualified": {"labs.equity.setups.gate", "market.universe", "specification.activation"},
    "replay.hit_rate": {"labs.equity.replay.hit_rate"},
    "replay.report": {"reports.equity.report", "labs.equity.replay.report", "labs.equity.factors.panel"},
    "factors.information_coefficient": {"labs.equity.factors.information_coefficient", "statistics.overlap"},
    "live.scan": {"labs.equity.setups.live", "labs.equity.setups.kernel"},
    "clean.market_5m": {"market.perp_market"},
    "discovery.candidates": {"labs.events.discovery.cells", "engine.costs", "market.perp_panel"},
    "discovery.report": {"reports.events.report", "labs.events.detection.registry"},
}
NEVER = {"defs", "cli", "app"}


CACHES = (
    closure.code_hash,
    closure._module,
    closure._imported_by,
    closure._definitions,
    closure._path,
    closure._exists,
    closure._folders,
    closure._file_digest,
    closure._kept,
)


def forget() -> None:
    for cached in CACHES:
        cached.cache_clear()


@pytest.fixture
def forgetting() -> Iterator[None]:
    """What a test makes the module believe does not outlive it."""
    yield
    forget()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, forgetting: None) -> Callable[[Path], None]:
    """Look for the package in another folder, until the test ends."""

    def look_in(root: Path) -> None:
        monkeypatch.setattr(closure, "_ROOT", root)
        forget()

    return look_in


def named(module: str) -> str:
    return module.removeprefix("quant_platform.")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reaches_its_own_module_the_home_and_nothing_above(name: str) -> None:
    reached = set(closure.closure(STAGES[name].compute))
    assert STAGES[name].compute.__module__ in reached
    assert "quant_platform.pipeline.home" in reached
    assert {named(module).split(".")[0] for module in reached} & NEVER == set()


@pytest.mark.parametrize("name", REACHES)
def test_a_stage_reaches_what_it_computes_with(name: str) -> None:
    assert REACHES[name] <= set(map(named, closure.closure(STAGES[name].compute)))


@pytest.mark.parametrize(
    "name", sorted(set(STAGES) - {name for name in STAGES if name.startswith("raw.")} - {"live.marks"})
)
def test_a_stage_that_reads_no_source_does_not_depend_on_one(name: str) -> None:
    reached = set(map(named, closure.closure(STAGES[name].compute)))
    # When a perpetual was listed is known from the months of its source; a panel of one's own is read where it is used.
    if name not in ("clean.perp_bars_5m", "suite.dates", "suite.returns"):
        assert not [module for module in reached if module.startswith("sources")]


_IMPORT = re.compile(r"^\s*(?:from (quant_platform[.\w]*) import ([^\n]+)|import (quant_platform[.\w]*))", re.MULTILINE)


@cache
def everything_imported(module: str) -> set[str]:
    """A slow, coarse twin by regular expressions: whole modules and packages; it can only be too large."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        path = PACKAGE.joinpath(*name.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not path.is_file():
            continue
        found.add(name)
        text = re.sub(r"\(\s*([^()]*?)\s*\)", lambda m: " ".join(m[1].split()), path.read_text(encoding="utf-8"))
        for base, names, plain in _IMPORT.findall(text):
            waiting += (
                [plain]
                if plain
                else [base, *(f"{base}.{part.split()[0]}" for part in names.split(",") if part.strip())]
            )
    return found


@pytest.mark.parametrize("name", STAGES)
def test_nothing_is_reached_that_no_import_leads_to(name: str) -> None:
    function = STAGES[name].compute
    assert set(closure.closure(function)) <= everything_imported(function.__module__)


def hashes(root: Path, elsewhere: Callable[[Path], None]) -> dict[str, str]:
    elsewhere(root)
    return {name: closure.code_hash(stage.compute) for name, stage in STAGES.items()}


def changed_constant(path: Path) -> bool:
    """Change one number or text of a file; False where it holds none."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            lines = text.splitlines(keepends=True)
            line = lines[node.lineno - 1].encode()
            start, end = node.col_offset, node.end_col_offset or node.col_offset
            lines[node.lineno - 1] = (line[:start] + repr(node.value + 1).encode() + line[end:]).decode()
            path.write_text("".join(lines), encoding="utf-8")
            return True
    path.write_text(text + "\nCHANGED = 1\n", encoding="utf-8")
    return False


@pytest.mark.long
def test_a_changed_constant_makes_stale_exactly_the_stages_that_reach_it(
    tmp_path: Path, elsewhere: Callable[[Path], None]
) -> None:
    root = tmp_path / "quant_platform"
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere(root)
    reached = {name: closure.closure(stage.compute) for name, stage in STAGES.items()}
    files = {name: closure.files_of(modules) for name, modules in reached.items()}
    before = {name: closure.digest_of(found, []) for name, found in files.items()}
    every = sorted(f"quant_platform.{path}" for path in all_modules(root))
    assert len(every) > 150
    for module in every:
        path = closure._path(module)
        original = path.read_bytes()
        changed_constant(path)
        closure._file_digest.cache_clear()
        # No import was touched: the closures are those of before.
        after = {name for name, found in files.items() if closure.digest_of(found, []) != before[name]}
        assert after == {name for name, modules in reached.items() if module in modules}, module
        path.write_bytes(original)


def all_modules(root: Path) -> Iterator[str]:
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name


def test_a_style_sheet_beside_a_page_counts(tmp_path: Path, elsewhere: Callable[[Path], None]) -> None:
    root = tmp_path / "quant_platform"
    shutil.copytree(PACKAGE, root, ignore=shutil.ignore_patterns("__pycache__"))
    before = hashes(root, elsewhere)
    sheets = list(root.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        sheet.write_text(sheet.read_text() + "\nbody { color: red }\n")
    after = hashes(root, elsewhere)
    changed = {name for name in before if before[name] != after[name]}
    assert {"replay.report", "discovery.report"} <= changed
    assert "clean.equity_bars" not in changed


@pytest.mark.usefixtures("forgetting")
def test_the_libraries_of_a_stage_count(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = STAGES["clean.equity_bars"]
    names = closure.libraries(closure.closure(stage.compute))
    assert {"numpy", "polars", "exchange_calendars"} <= set(names)
    before = closure.code_hash(stage.compute)
    closure.code_hash.cache_clear()
    monkeypatch.setattr(closure, "_version", lambda library: "0" if library == "exchange_calendars" else "1")
    assert closure.code_hash(stage.compute) != before


def test_a_name_that_a_package_passes_on_leads_to_where_it_is_defined(
    tmp_path: Path, elsewhere: Callable[[Path], None]
) -> None:
    root = tmp_path / "quant_platform"
    for name, text in {
        "box/__init__.py": "from quant_platform.box.lid import close\nfrom quant_platform.box.floor import stand\n",
        "box/lid.py": "def close(): return 1\n",
        "box/floor.py": "def stand(): return 2\n",
        "uses.py": "from quant_platform.box import close\n\ndef work(): return close()\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    elsewhere(root)

    def work() -> None: ...

    work.__module__ = "quant_platform.uses"
    assert set(map(named, closure.closure(work))) == {"uses", "box.lid"}


def test_the_hash_is_of_the_bytes() -> None:
    stage: StageBase = STAGES["clean.equity_bars"]
    reached = closure.closure(stage.compute)
    digest = hashlib.sha256()
    files = {closure._path(name) for name in reached} | set(closure._data_files(reached))
    for path in sorted(files):
        digest.update(path.relative_to(PACKAGE).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for library in closure.libraries(reached):
        digest.update(f"{library}=={closure._version(library)}".encode())
    assert digest.hexdigest() == closure.code_hash(stage.compute)


def test_what_was_kept_of_a_file_is_what_is_read_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetting: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("quant_platform.lake", "quant_platform.pipeline.suite", "quant_platform.market.calendar")
    forget()
    read = [(closure._module(name), closure._definitions(name)) for name in names]
    closure._kept()._write()
    forget()
    monkeypatch.setattr(closure, "_read_module", lambda name: pytest.fail(f"{name} was read again"))
    monkeypatch.setattr(closure, "_read_definitions", lambda name: pytest.fail(f"{name} was read again"))
    assert [(closure._module(name), closure._definitions(name)) for name in names] == read


def test_of_a_changed_file_nothing_kept_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    elsewhere(tmp_path / "package")
    changed = tmp_path / "package" / "room.py"
    changed.parent.mkdir()
    changed.write_text("import json\n")
    assert closure.libraries(["quant_platform.room"]) == ()
    assert closure._module("quant_platform.room").targets == {("json", "")}
    closure._kept()._write()
    changed.write_text("import csv\n")
    forget()
    assert closure._module("quant_platform.room").targets == {("csv", "")}


def test_a_damaged_file_of_what_was_kept_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetting: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    whole = closure._module("quant_platform.lake.atomic")
    closure._kept()._write()
    (kept,) = (tmp_path / "quant_platform").glob("closure-*.json")
    kept.write_bytes(kept.read_bytes()[:-20])
    forget()
    assert closure._module("quant_platform.lake.atomic") == whole
