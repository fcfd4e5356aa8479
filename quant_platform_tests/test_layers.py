"""The rooms stand on floors; imports run down, never up, never in a circle; Dagster lives in defs alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "quant_platform"
# From the ground up. Rooms of one floor may know each other in one direction; the five labs may not.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("contracts",),
    ("specification", "expressions", "statistics"),
    ("lake", "market", "engine", "reports"),
    ("sources", "labs.equity", "labs.events", "labs.suite", "labs.parity", "labs.operations"),
    ("pipeline",),
    ("defs",),
    ("app", "cli"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ORCHESTRATION = {"dagster", "dagster_duckdb", "dagster_webserver", "streamlit", "mlflow"}


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package of every module."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Every module or name that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of a module; None for the package's own face."""
    parts = module.split(".")
    room = ".".join(parts[:2]) if parts[0] == "labs" else parts[0]
    return room if room in FLOOR_OF else None


def arrows(package: Path) -> dict[str, set[str]]:
    """For each module, the modules of the package that it imports."""
    known = modules(package)
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = set()
        for target in imports(path):
            if target.startswith("quant_platform."):
                inner = target.removeprefix("quant_platform.")
                targets.add(inner if inner in known else inner.rpartition(".")[0])
        found[name] = targets - {name}
    return found


def upward(found: Mapping[str, set[str]]) -> list[str]:
    """Imports that run up, or from one lab to another."""
    wrong = []
    for name, targets in found.items():
        for target in targets:
            low, high = room_of(target), room_of(name)
            if low is None or high is None or low == high:
                continue
            between_labs = low.startswith("labs.") and high.startswith("labs.")
            if FLOOR_OF[low] > FLOOR_OF[high] or between_labs:
                wrong.append(f"{name} imports {target}")
    return sorted(wrong)


def circles(found: Mapping[str, set[str]]) -> list[list[str]]:
    """Rooms that reach each other, and modules of one room that do: strongly connected components (Tarjan 1972)."""
    rooms: dict[str, set[str]] = {}
    for name, targets in found.items():
        if (room := room_of(name)) is not None:
            rooms.setdefault(room, set()).update(filter(None, map(room_of, targets)))
    return [*components(rooms), *components(found)]


def components(graph: Mapping[str, set[str]]) -> list[list[str]]:
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph.get(node, set()):
            if target not in graph:
                continue
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            part = [stack.pop()]
            while part[-1] != node:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(sorted(part))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def libraries(path: Path) -> set[str]:
    """Top-level names of what a file imports."""
    return {target.split(".")[0] for target in imports(path)}


def orchestrating(package: Path) -> set[str]:
    """Modules that import Dagster, Streamlit or MLflow."""
    return {
        name
        for name, path in modules(package).items()
        if {each.split(".")[0] for each in imports(path)} & ORCHESTRATION
    }


ARROWS = arrows(PACKAGE)


def test_every_module_stands_in_a_room() -> None:
    assert [name for name in ARROWS if name and room_of(name) is None and name not in ("labs",)] == []


def test_arrows_run_down() -> None:
    assert upward(ARROWS) == []


def test_there_is_no_circle() -> None:
    assert circles(ARROWS) == []


def test_dagster_streamlit_and_mlflow_have_their_rooms() -> None:
    # MLflow has one adapter, in pipeline.
    allowed = {"defs", "app", "cli"}
    outside = {name for name in orchestrating(PACKAGE) if room_of(name) not in allowed}
    assert outside <= {"pipeline.tracking"}


def test_every_file_of_defs_is_about_dagster() -> None:
    known = modules(PACKAGE)
    own = {name for name in known if name.startswith("defs.")}
    with_dagster = {name for name in own if "dagster" in libraries(known[name])}
    # A module without Dagster belongs here only where it is a word list of the runs it tags or starts.
    assert own - with_dagster <= {"defs.tags", "defs.workers"}


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"lake/up.py": "from quant_platform.pipeline.home import Home"}, "lake.up imports pipeline.home"),
        (
            {"labs/equity/peek.py": "import quant_platform.labs.events.rows"},
            "labs.equity.peek imports labs.events.rows",
        ),
        ({"market/late.py": "def f():\n    from quant_platform.sources import x"}, "market.late imports sources"),
    ],
    ids=["up", "between labs", "inside a function"],
)
def test_an_arrow_back_up_is_found(files: dict[str, str], complaint: str, tmp_path: Path) -> None:
    for name in ("pipeline/home.py", "labs/events/rows.py", "sources/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert upward(arrows(tmp_path)) == [complaint]


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.py").write_text("from quant_platform.lake import b")
    (tmp_path / "lake" / "b.py").write_text("from quant_platform.lake.c import x")
    (tmp_path / "lake" / "c.py").write_text("from quant_platform.lake.a import y")
    assert ["lake.a", "lake.b", "lake.c"] in circles(arrows(tmp_path))


def test_dagster_below_defs_is_found(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "sneaky.py").write_text("def f():\n    import dagster as dg")
    assert orchestrating(tmp_path) == {"pipeline.sneaky"}
