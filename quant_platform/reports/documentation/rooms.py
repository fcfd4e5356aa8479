"""The rooms of the package: the floors they stand on, the imports between them, and the page and picture of both.

The floors are declared here; everything else is read from the source. A test holds the imports against the floors.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
# From the ground up. Rooms of one floor may know each other in one direction; the five labs may not.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("contracts",),
    ("specification", "expressions", "statistics"),
    ("lake", "market", "engine", "strategies", "reports"),
    ("sources", "labs.equity", "labs.events", "labs.suite", "labs.parity", "labs.operations"),
    ("pipeline",),
    ("defs",),
    ("app", "cli", "notebook"),
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
    """Strongly connected components of more than one node."""
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


def room_folder(room: str, package: Path = PACKAGE) -> Path:
    """Folder of a room."""
    return package.joinpath(*room.split("."))


def rooms_of(package: Path = PACKAGE) -> list[tuple[str, ...]]:
    """The floors that have a room today, from the ground up."""
    floors = [tuple(room for room in floor if room_folder(room, package).is_dir()) for floor in FLOORS]
    return [floor for floor in floors if floor]


def subject(room: str) -> str:
    """What a room says it is: the first sentence of its docstring."""
    tree = ast.parse((room_folder(room) / "__init__.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n")[0]


def rooms_page() -> str:
    """The page of the rooms, top floor first, each with the rooms it imports."""
    found = arrows(PACKAGE)
    below: dict[str, set[str]] = {}
    for name, targets in found.items():
        room = room_of(name)
        if room is not None:
            below.setdefault(room, set()).update(filter(None, map(room_of, targets)))
    lines = [
        "<!-- Generated by `make docs` from the imports; edit the code, not this page. -->",
        "",
        "# Rooms",
        "",
        "Code is in rooms, one subject each. Imports point down only, without a circle; a test reads them.",
        "",
        "![The rooms, floor by floor](rooms.svg)",
        "",
        "| floor | room | what lives there | imports |",
        "|---|---|---|---|",
    ]
    for number, floor in reversed(list(enumerate(rooms_of(), start=1))):
        for room in floor:
            imported = ", ".join(f"`{each}`" for each in sorted(below.get(room, set()) - {room}))
            lines.append(f"| {number} | `{room}` | {subject(room)} | {imported or 'nothing'} |")
    return "\n".join(lines) + "\n"


def rooms_picture() -> str:
    """The floors as a drawing: a row a floor, a box a room, in light and dark."""
    floors = list(reversed(rooms_of()))
    width, row, gap, left = 960, 62, 12, 20
    height = len(floors) * row + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif">',
        "<title>The rooms of quant_platform, floor by floor; imports point down</title>",
        "<style>.box{fill:#eef3f8;stroke:#3b6ea5}.name{fill:#17324d;font-size:15px;font-weight:600}"
        "@media (prefers-color-scheme: dark){.box{fill:#1d2b3a;stroke:#7fb0e0}.name{fill:#e6eef7}}</style>",
    ]
    for level, floor in enumerate(floors):
        box = (width - 2 * left - gap * (len(floor) - 1)) / len(floor)
        for place, room in enumerate(floor):
            x, y = left + place * (box + gap), 10 + level * row
            middle = x + box / 2
            parts += [
                f'<rect class="box" x="{x:.0f}" y="{y}" width="{box:.0f}" height="{row - 16}" rx="6"/>',
                f'<text class="name" x="{middle:.0f}" y="{y + 28}" text-anchor="middle">{escape(room)}</text>',
            ]
    return "\n".join([*parts, "</svg>"]) + "\n"
