"""What the pages say exists: links, commands, options, make targets, SQL, YAML, Python names."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
import yaml

from quant_platform.cli import COMMANDS
from quant_platform.cli import QUANT as QUANT_APP
from quant_platform.defs.jobs import JOBS
from quant_platform.labs.equity.features.equity import feature_plan
from quant_platform.labs.events.detection.plan import event_plan
from quant_platform.lake import Lake, connect, snapshots
from quant_platform.lake.sql_tables import sql_tables
from quant_platform.specification.calendars import CalendarSpec
from quant_platform.specification.deployment import DeploymentSpec
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.features import FeatureFile, load_equity_features
from quant_platform.specification.home import UniverseSpec
from quant_platform.specification.lake import LakePlace
from quant_platform.specification.sources import SourceSpec
from quant_platform_tests.homes import Market, copied

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if page.parent.name not in {"reference", "evidence", "benchmarks", "results"}]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_INLINE = re.compile(r"`((?:quant|make) [^`]+)`")
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|tmp|home|Users)/")


@dataclass(frozen=True)
class Fence:
    """A block of code of a page."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        first = self.text.strip().splitlines()[0]
        return f"{self.page.stem}: {first[:50]}"


def fences(page: Path, language: str) -> list[Fence]:
    """Blocks of one language, without the indent of the list they stand in."""
    return [
        Fence(page, language, re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE))
        for found in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if found["language"] == language
    ]


def all_fences(language: str) -> list[Fence]:
    return [fence for page in WRITTEN for fence in fences(page, language)]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def shell_lines() -> list[tuple[str, str]]:
    """Page and command of each line in a shell block, and of each command in running text."""
    blocks = [(fence.page.stem, line) for fence in all_fences("sh") for line in fence.text.splitlines() if line.strip()]
    inline = [(page.stem, command) for page in WRITTEN for command in _INLINE.findall(prose(page))]
    return sorted({*blocks, *inline})


def commands_of(tool: str) -> list[tuple[str, str]]:
    return [(page, line) for page, line in shell_lines() if line.split()[0].removeprefix(".venv/bin/") == tool]


def ids(items: list[tuple[str, str]]) -> list[str]:
    return [f"{page}: {line[:60]}" for page, line in items]


QUANT, MAKE = commands_of("quant"), commands_of("make")
SQL_COMMANDS = [(page, line) for page, line in QUANT if line.split()[1:2] == ["sql"] and '"' in line]


def test_the_parsing_finds_what_there_is() -> None:
    assert len(QUANT) > 20
    assert len(MAKE) > 4
    assert len(all_fences("sql")) > 5
    assert len(SQL_COMMANDS) > 5
    assert len(all_fences("yaml")) > 3
    assert len(all_fences("python")) > 1
    assert len(OF_OURS) > 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_and_pictures_exist(page: Path) -> None:
    broken = [
        target
        for target in _LINK.findall(prose(page))
        if not target.startswith(("http://", "https://", "#", "mailto:"))
        and not (page.parent / target.split("#")[0]).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_a_section_name_a_heading(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        path, hash_sign, section = target.partition("#")
        if hash_sign and not target.startswith("http"):
            text = (page.parent / path if path else page).read_text(encoding="utf-8")
            headings = {
                re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
                for line in text.splitlines()
                if line.startswith("#")
            }
            assert section in headings, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_holds_a_path_of_a_machine(page: Path) -> None:
    assert _MACHINE_PATH.findall(page.read_text(encoding="utf-8")) == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [
            (page.parent / target.split("#")[0]).resolve()
            for target in _LINK.findall(prose(page))
            if "://" not in target and target.split("#")[0]
        ]
    assert [page.relative_to(ROOT).as_posix() for page in PAGES if page not in reached] == []


@pytest.mark.parametrize(("page", "line"), QUANT, ids=ids(QUANT))
def test_every_quant_command_parses(page: str, line: str) -> None:
    del page
    words = shlex.split(line.replace("...", ""), comments=True)[1:]
    command: Any = typer.main.get_command(QUANT_APP)
    top = command
    while hasattr(command, "commands"):
        words = [word for word in words if word not in {"--debug", "--version"}]
        if not words:
            return
        name = words.pop(0)
        assert name in command.commands
        # At the top there are names alone, until a command is called.
        command = COMMANDS[name].load(name) if command is top else command.commands[name]
    if not words:
        return
    # Parses options and arguments as a call would, without calling.
    given = command.make_context(str(command.name), words).params
    if command.name == "run" and "job" in given:
        assert given["job"] in {*JOBS, "everything"}


@pytest.mark.parametrize(("page", "line"), MAKE, ids=ids(MAKE))
def test_every_make_target_exists(page: str, line: str) -> None:
    del page
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    assert set(wanted) <= targets


@pytest.fixture(scope="module")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views of every table over a lake that holds nothing."""
    with connect(tmp_path_factory.mktemp("home")) as connection:
        yield connection


# A block that begins with a header is a file of specs/sql, whose columns come from the specs.
SQL_FILES = [fence for fence in all_fences("sql") if fence.text.startswith("-- description:")]


@pytest.mark.parametrize("fence", SQL_FILES, ids=str)
def test_every_file_of_sql_is_a_table(fence: Fence, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    (tmp_path / "specs" / "sql").mkdir(exist_ok=True)
    (tmp_path / "specs" / "sql" / "mine.breadth.sql").write_text(fence.text, encoding="utf-8")
    (found,) = sql_tables(tmp_path / "specs")
    assert found.table.name == "mine.breadth"


@pytest.mark.parametrize("fence", [fence for fence in all_fences("sql") if fence not in SQL_FILES], ids=str)
def test_every_sql_block_runs(empty_lake: duckdb.DuckDBPyConnection, fence: Fence) -> None:
    assert empty_lake.sql(fence.text).columns


@pytest.mark.parametrize(("page", "line"), SQL_COMMANDS, ids=ids(SQL_COMMANDS))
def test_every_question_to_quant_sql_runs(empty_lake: duckdb.DuckDBPyConnection, page: str, line: str) -> None:
    del page
    question = next(word for word in reversed(shlex.split(line)) if " " in word)
    assert empty_lake.sql(question).columns


@pytest.mark.parametrize("fence", all_fences("python"), ids=str)
def test_python_parses_and_imports_of_ours_exist(fence: Fence) -> None:
    for node in ast.walk(ast.parse(fence.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("quant_platform"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


OF_OURS = [fence for fence in all_fences("python") if "from quant_platform" in fence.text]


@pytest.mark.parametrize("fence", OF_OURS, ids=str)
def test_python_of_ours_runs(fence: Fence, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = copied(market.home.settings.home, tmp_path / "data")
    snapshots.create(Lake(home / "lake"), home / "snapshots", "US", snapshot_id="2026-02-05-US-v1")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(fence.text, str(fence.page), "exec"), names)
    assert names.get("bars", names.get("frame")).height > 0


def test_what_the_tutorial_quotes_of_an_event_stands_in_its_file() -> None:
    tutorial = ROOT / "docs" / "tutorial" / "first-hour.md"
    quoted = next(fence.text for fence in fences(tutorial, "text") if fence.text.startswith("condition:"))
    event = (ROOT / "specs" / "events" / "LIQUIDATION_CASCADE.yaml").read_text(encoding="utf-8").splitlines()
    assert [line for line in quoted.splitlines() if line not in event] == []


@pytest.mark.parametrize("fence", all_fences("yaml"), ids=str)
def test_yaml_satisfies_the_model_it_is_for(fence: Fence, tmp_path: Path) -> None:
    content = yaml.safe_load(fence.text)
    if "features" in content:
        FeatureFile.model_validate(content)
        (tmp_path / "features").mkdir()
        shipped = ROOT / "specs" / "features" / "equity.yaml"
        (tmp_path / "features" / "equity.yaml").write_text(shipped.read_text())
        (tmp_path / "features" / "equity_mine.yaml").write_text(fence.text)
        assert feature_plan(load_equity_features(tmp_path)) is not None
    elif "condition" in content:
        shutil.copytree(ROOT / "specs", tmp_path / "specs")
        (tmp_path / "specs" / "events" / f"{content['id']}.yaml").write_text(fence.text)
        lab = load_event_lab(tmp_path / "specs")
        assert content["id"] in lab.active
        assert event_plan(lab).event_memory[content["id"]] > 0
    elif "tickers" in content:
        UniverseSpec.model_validate(content)
    elif "files" in content or "panel" in content:
        SourceSpec.model_validate(content)
    elif "added" in content:
        CalendarSpec.model_validate(content)
    elif "lake" in content:
        LakePlace.model_validate(content)
    else:
        assert {"storage", "executor"} & content.keys(), "no test knows what this block is for"
        DeploymentSpec.model_validate(content)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:specs|quant_platform|quant_platform_tests|docs)/[\w./-]+)`", prose(page))
    examples = {
        "specs/sources/my_bars.yaml",
        "specs/sources/my_panel.yaml",
        "specs/universe/my_universe.yaml",
        "specs/features/equity_mine.yaml",
        "specs/events/VOLUME_DRY_UP.yaml",
        "specs/sql/mine.breadth.sql",
        "docs/benchmarks/",
        "docs/results/",
    }
    assert [path for path in named if path not in examples and not (ROOT / path).exists()] == []


def test_the_readme_states_the_evidence_as_it_is() -> None:
    evidence = ROOT / "docs" / "evidence"
    null = json.loads((evidence / "factor_null.json").read_text())["worlds"]
    momentum = json.loads((evidence / "factor_planted.json").read_text())["worlds"]["momentum_12_1"]
    primary, naive = (
        [100.0 * sum(p < 0.05 for p in worlds[name]) / len(worlds[name]) for worlds in null.values()]
        for name in ("p_nonoverlapping", "p_naive")
    )
    found = sum(p < 0.05 and ic > 0 for p, ic in zip(momentum["p_nonoverlapping"], momentum["ic"], strict=True))
    worlds = len(momentum["ic"])
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{min(primary):.1f} % to {max(primary):.1f} % over {worlds} worlds" in text
    assert f"{min(naive):.0f} % to {max(naive):.0f} %" in text
    assert min(momentum["ic"]) > 0
    assert f"all of {worlds} worlds and is significant in {100 * found / worlds + 1e-9:.0f} %" in text


def test_the_pages_state_the_evidence_of_discovery_as_it_is() -> None:
    evidence = json.loads((ROOT / "docs" / "evidence" / "discovery.json").read_text())
    null, planted, summary = evidence["null"], evidence["planted"], evidence["summary"]
    decides, veto = summary["two_level"], summary["two_level_veto"]
    silent = sum(world["two_level"]["discoveries"] == 0 for world in null)
    strong = sum(world["strong"] for world in planted)
    found = sum(world["two_level"]["strong_found"] for world in planted)
    nothing = sum(world["two_level"]["discoveries"] == 0 for world in planted)
    first, last = evidence["made"]["first_seed"], evidence["made"]["first_seed"] + evidence["made"]["worlds"] - 1
    low, high = summary["power_interval"]
    page = " ".join((ROOT / "docs" / "explanation" / "discovery.md").read_text(encoding="utf-8").split())
    for claim in (
        f"{len(null)} null and {len(planted)} planted worlds through the whole path, seeds {first} to {last}",
        f"{silent} of {len(null)} null worlds without a discovery",
        f"power {found / strong:.3f} of {strong} cells",
        f"{sum(world['strong'] == 0 for world in planted)} of the {len(planted)} planted worlds have no cell",
        f"beyond five standard errors, and {nothing} give no discovery",
        f"false proportion {decides['planted_mean_fdp']:.3f}",
        f"p of uniformity {summary['null_uniformity_p']:.3f} on {summary['null_p_values']:,} p, and "
        f"{100 * summary['null_share_below_5_percent']:.1f} % of all tests below 5 %",
        f"a third of the power, {veto['power_strong']:.3f} against {decides['power_strong']:.3f}",
    ):
        assert claim in page, claim
    per_group = summary["per_group"]
    assert (per_group["power_strong"], per_group["null_silent"]) == (1.0, 0), (
        "what the page says of q inside each group"
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"in {silent} of {len(null)} worlds" in readme
    assert f"{found / strong:.3f} of the {strong} cells" in readme
    assert f"(95 %: {low:.2f} to {high:.2f})" in readme
    found_some = len(planted) - nothing
    assert f"[{found_some} of a hundred such markets](docs/evidence/discovery.md) give a discovery" in readme


def test_the_pages_state_the_evidence_of_the_replay_and_of_persistence_as_it_is() -> None:
    replay = json.loads((ROOT / "docs" / "evidence" / "replay.json").read_text())["summary"]
    lines = [line for design in replay["designs"].values() for line in design["groups"]]
    coverage, single, wilson, width = (
        [line[name] for line in lines if name in line] for name in ("coverage", "single_weeks", "wilson", "width")
    )
    page = " ".join((ROOT / "docs" / "explanation" / "statistics.md").read_text(encoding="utf-8").split())
    low, high = (round(100 * end + 1e-9) for end in (min(coverage), max(coverage)))
    assert f"covers {low} to {high} %, {100 * replay['mean']:.0f} % on average" in page
    assert f"{100 * min(single):.0f} to {100 * max(single):.0f} % of cases, those that take trades" in page
    assert f"in {100 * min(wilson):.0f} to {100 * max(wilson):.0f} %]" in page
    assert f"{min(width):.1f} to {max(width):.0f} times as wide" in page
    lines = json.loads((ROOT / "docs" / "evidence" / "persistence.json").read_text())["lines"]
    (year,) = (line for line in lines if (line["half_life_weeks"], line["premium_sd"]) == (52, 0.05))
    assert (
        f"in {100 * year['primary']:.0f} % of ten-year samples by the primary and in {100 * year['ewc']:.0f} %" in page
    )
    assert f"(Ibragimov and Müller 2010): {100 * year['four_blocks']:.0f} % there" in page


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert sizes
    assert max(sizes.values()) < 300_000
