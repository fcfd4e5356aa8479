"""The graphs that are drawn, held against the assets Dagster loads.

A box of a picture names its tables in ``data-tables``, an arrow its two boxes in ``data-arrow``. Boxes without tables
(the source, the readers) and arrows without ends are decoration.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import dagster as dg
import pytest

from quant_platform.defs.definitions import build_definitions
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
NAMES = ("equity-graph.svg", "event-lab-graph.svg", "suite-graph.svg", "operations-graph.svg", "parity-graph.svg")
SVG = "{http://www.w3.org/2000/svg}"
HALF_ARROW = 3.0  # the tip may end this far before its box, in units of the picture

Edges = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Box:
    tables: tuple[str, ...]
    left: float
    top: float
    right: float
    bottom: float

    def has_on_its_edge(self, point: tuple[float, float]) -> bool:
        x, y = point
        inside = (self.left - HALF_ARROW <= x <= self.right + HALF_ARROW) and (
            self.top - HALF_ARROW <= y <= self.bottom + HALF_ARROW
        )
        near = min(abs(x - self.left), abs(x - self.right), abs(y - self.top), abs(y - self.bottom))
        return inside and near <= HALF_ARROW

    def is_crossed_by(self, line: list[tuple[float, float]]) -> bool:
        """Whether a line of level and upright pieces enters the inside of the box."""
        return any(
            min(x0, x1) < self.right
            and max(x0, x1) > self.left
            and min(y0, y1) < self.bottom
            and max(y0, y1) > self.top
            for (x0, y0), (x1, y1) in itertools.pairwise(line)
        )


@dataclass(frozen=True)
class Picture:
    boxes: dict[str, Box]
    arrows: dict[tuple[str, str], list[tuple[float, float]]]

    @property
    def box_of(self) -> dict[str, str]:
        return {table: name for name, box in self.boxes.items() for table in box.tables}


def points(path: str) -> list[tuple[float, float]]:
    """Corners of a path of absolute moves and straight lines."""
    found: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MHV])([\d.,]+)", path):
        x, y = found[-1] if found else (0.0, 0.0)
        given = [float(number) for number in numbers.split(",")]
        found.append({"M": (given[0], given[-1]), "H": (given[0], y), "V": (x, given[0])}[command])
    return found


def picture(name: str) -> Picture:
    root = ElementTree.parse(PICTURES / name).getroot()
    boxes = {}
    for element in root.iter(f"{SVG}rect"):
        if "data-tables" in element.attrib:
            x, y, width, height = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
            boxes[element.attrib["id"]] = Box(tuple(element.attrib["data-tables"].split()), x, y, x + width, y + height)
    arrows = {}
    for element in root.iter(f"{SVG}path"):
        if "data-arrow" in element.attrib:
            tail, tip = element.attrib["data-arrow"].split()
            arrows[tail, tip] = points(element.attrib["d"])
    return Picture(boxes, arrows)


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Edges:
    """Each asset after each that it reads, over both labs."""
    home = Home(Settings(home=tmp_path_factory.mktemp("home"), specs=ROOT / "specs"))
    graph = build_definitions(home).resolve_asset_graph()

    def name(key: dg.AssetKey) -> str:
        return ".".join(key.path)

    return frozenset(
        (name(parent), name(key)) for key in graph.get_all_asset_keys() for parent in graph.get(key).parent_keys
    )


def reachable(start: str, edges: set[tuple[str, str]]) -> set[str]:
    found, waiting = set[str](), [start]
    while waiting:
        here = waiting.pop()
        fresh = {tip for tail, tip in edges if tail == here} - found
        found |= fresh
        waiting += fresh
    return found


def test_every_table_is_in_one_box_of_one_picture(dependencies: Edges) -> None:
    drawn = [table for name in NAMES for box in picture(name).boxes.values() for table in box.tables]
    assert sorted(drawn) == sorted(set(drawn))
    assert set(drawn) == {table for edge in dependencies for table in edge}


@pytest.mark.parametrize("name", NAMES)
def test_every_arrow_is_a_dependency(name: str, dependencies: Edges) -> None:
    drawn = picture(name)
    between = {
        (drawn.box_of[parent], drawn.box_of[child])
        for parent, child in dependencies
        if parent in drawn.box_of and child in drawn.box_of
    }
    assert set(drawn.arrows) - between == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_dependency_can_be_walked_along_the_arrows(name: str, dependencies: Edges) -> None:
    drawn = picture(name)
    missing = {
        (parent, child)
        for parent, child in dependencies
        if parent in drawn.box_of
        and child in drawn.box_of
        and drawn.box_of[parent] != drawn.box_of[child]
        and drawn.box_of[child] not in reachable(drawn.box_of[parent], set(drawn.arrows))
    }
    assert missing == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_arrow_ends_at_the_box_it_names_and_crosses_none(name: str) -> None:
    drawn = picture(name)
    for (tail, tip), line in drawn.arrows.items():
        # An arrow may branch off another that starts at the same box.
        starts = [other for (start, _), other in drawn.arrows.items() if start == tail and other is not line]
        begins = drawn.boxes[tail].has_on_its_edge(line[0]) or any(line[0] in other[1:-1] for other in starts)
        assert begins, (tail, tip)
        assert drawn.boxes[tip].has_on_its_edge(line[-1]), (tail, tip)
        assert [box for box, where in drawn.boxes.items() if where.is_crossed_by(line)] == [], (tail, tip)


def test_a_wrong_arrow_would_be_seen() -> None:
    box = Box(("raw.equity_bars",), 10, 10, 50, 30)
    assert box.has_on_its_edge((50, 20))
    assert box.has_on_its_edge((8, 20))
    assert not box.has_on_its_edge((30, 20))
    assert not box.has_on_its_edge((60, 20))
    assert box.is_crossed_by([(0, 20), (60, 20)])
    assert box.is_crossed_by([(30, 0), (30, 60)])
    assert not box.is_crossed_by([(0, 40), (60, 40)])
    assert not box.is_crossed_by([(50, 20), (60, 20)])
    assert points("M807,122 V137 H601 V150") == [(807, 122), (807, 137), (601, 137), (601, 150)]
