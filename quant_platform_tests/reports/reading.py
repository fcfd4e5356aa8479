"""Reading a page with the standard library only: it shares no code with the writer."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

VOID = {"br", "hr", "meta", "link", "img", "input"}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def said(self) -> str:
        """The text without what is for a machine: style, scripts, and the words inside a picture."""
        return "".join(
            child if isinstance(child, str) else "" if child.tag in ("style", "script", "svg") else child.said
            for child in self.children
        )

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())

    def all(self, tag: str, kind: str = "") -> list[Node]:
        found = []
        for child in self.children:
            if isinstance(child, Node):
                if child.tag == tag and (not kind or kind in child.classes):
                    found.append(child)
                found += child.all(tag, kind)
        return found

    def everything(self) -> list[Node]:
        return [self, *(node for child in self.children if isinstance(child, Node) for node in child.everything())]


class _Strict(HTMLParser):
    """Fails on an end tag that does not close what was opened last, which browsers would repair in silence."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"attribute twice in <{tag}>"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(text: str) -> Node:
    parser = _Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root], f"left open: {[node.tag for node in parser.open]}"
    return parser.root


def table_with(root: Node, caption: str) -> Node:
    found = [table for table in root.all("table") if table.all("caption")[0].text == caption]
    assert len(found) == 1, f"{len(found)} tables are called {caption}"
    return found[0]


def body_rows(table: Node) -> list[Node]:
    return table.all("tbody")[0].all("tr")


def cells(row: Node) -> list[Node]:
    return [child for child in row.children if isinstance(child, Node)]


def shown(cell: Node) -> str:
    """What the cell says first: without its second line and its footnote letter."""
    return "".join(
        child if isinstance(child, str) else child.text
        for child in cell.children
        if isinstance(child, str) or (child.tag != "sup" and "detail" not in child.classes)
    )


def section(root: Node, anchor: str) -> Node:
    return next(node for node in root.all("section") if node.attributes.get("id") == anchor)


@dataclass
class Drawn:
    """A figure as a page holds it."""

    node: Node

    @property
    def title(self) -> str:
        return self.node.all("strong")[0].text

    @property
    def label(self) -> str:
        return self.node.all("div", "plot")[0].attributes["aria-label"] or ""

    @property
    def note(self) -> str:
        return "".join(note.text for note in self.node.all("span", "figure-note"))

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.node.all("script", "spec")[0].text)
        return found

    @property
    def data(self) -> list[dict[str, Any]]:
        """The rows that are drawn: those that every layer without data of its own reads."""
        rows: list[dict[str, Any]] = self.spec.get("data", {}).get("values", [])
        return rows

    @property
    def saved(self) -> list[dict[str, str]]:
        """The rows of the download."""
        links = [link for link in self.node.all("a") if link.attributes.get("download")]
        if not links:
            return []
        address = links[0].attributes["href"] or ""
        assert address.startswith("data:text/csv;charset=utf-8,")
        return list(csv.DictReader(io.StringIO(unquote(address.partition(",")[2]))))

    @property
    def sql(self) -> str:
        return "".join(code.text for code in self.node.all("code"))

    @property
    def picture(self) -> Node:
        return self.node.all("svg")[0]


def drawn(node: Node) -> list[Drawn]:
    return [Drawn(found) for found in node.all("figure", "chart")]
