"""The rooms stand on floors; imports run down, never up, never in a circle; Dagster lives in defs alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.reports.documentation.rooms import (
    PACKAGE,
    arrows,
    circles,
    libraries,
    modules,
    orchestrating,
    room_of,
    rooms_of,
    upward,
)

ARROWS = arrows(PACKAGE)


def test_every_module_stands_in_a_room() -> None:
    assert [name for name in ARROWS if name and room_of(name) is None and name not in ("labs",)] == []


def test_the_floors_are_those_of_the_design() -> None:
    flat = [room for floor in rooms_of() for room in floor]
    assert flat.index("contracts") < flat.index("lake") < flat.index("labs.equity") < flat.index("pipeline")
    assert flat.index("pipeline") < flat.index("defs") < flat.index("cli")
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == {room.split(".")[0] for room in flat}


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
