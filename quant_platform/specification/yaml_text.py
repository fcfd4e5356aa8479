"""Reading YAML that a person wrote: bounded in size, depth and aliases, and each key with its line.

1. the file is a plain file of at most `LARGEST_BYTES`, in UTF-8;
2. the parser's events are counted before anything is built of them: nothing nests deeper than `DEEPEST`, because a
   recursive builder would end the process;
3. the tree of nodes is measured with its aliases written out: more than `MOST_NODES` is a bomb, an alias inside its own
   anchor a circle;
4. each key stands once and is a word; each word that YAML 1.1 takes for a truth value (``ON``, ``NO``, ``yes``) is
   refused, because the one who wrote it meant the word;
5. only then the values are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from quant_platform.contracts.errors import SpecError

Location: TypeAlias = tuple[int | str, ...]

LARGEST_BYTES = 4 * 2**20
DEEPEST = 40
MOST_NODES = 200_000
SHOWN_CHARACTERS = 60

_BOOLEAN = "tag:yaml.org,2002:bool"
_TRUTH = re.compile(r"true|false", re.IGNORECASE)
_CLOCK = re.compile(r"[-+]?\d+(:[0-5]?\d)+(\.\d*)?")
_SEXAGESIMAL = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

# The parser in C is ten times faster and says the same; a PyYAML built without it still works.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> tuple[Any, dict[Location, int]]:
    """Read a YAML file and the line (from 1) on which each of its keys and items stands.

    Raises
    ------
    SpecError
        When there is no such file, it is none that a person wrote (size, depth, aliases), it is not YAML, or a key or a
        value of it does not say what it seems to. The message names file and line.
    """
    return parse_yaml(read_text(path), path)


def parse_yaml(text: str, path: Path) -> tuple[Any, dict[Location, int]]:
    """Read the text of a YAML file, or of a part of one that keeps its lines; see `read_yaml`."""
    loader: Any = None
    node: yaml.Node | None = None
    try:
        _require_shallow(path, text)
        loader = _SafeLoader(text)
        node = loader.get_single_node()
        _require_small(path, node)
        lines: dict[Location, int] = {}
        _collect_lines(path, node, (), lines)
        document = loader.construct_document(node) if node is not None else None
    except SpecError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise SpecError(
            f"the file is not valid YAML: {shortened(str(error.problem))}",
            where=_place(path, mark),
            cause="often a missing space after a colon, a tab, or an unclosed bracket or quote",
            action="correct the line; the files under specs/ show the form",
        ) from error
    except yaml.reader.ReaderError as error:
        raise SpecError(
            f"the file holds a character that YAML does not allow: {error.character!r}",
            where=f"{path}:{text[: error.position].count(chr(10)) + 1}",
            cause="a file of another kind, or text copied from a page with control characters in it",
            action="remove the character",
        ) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise _unmade(path, node, error) from error
    finally:
        if loader is not None:
            loader.dispose()
    return document, lines


def shortened(text: str) -> str:
    """A text that fits into a message: what a person needs to find the place, not a megabyte of it."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({len(text):,} characters)"


def _place(path: Path, mark: Any) -> str:
    """File, line and column of a mark of the parser; it has none for the end of an empty file."""
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)


def read_text(path: Path) -> str:
    """The text of a file that a person wrote: plain, of at most `LARGEST_BYTES`, in UTF-8; raises SpecError."""
    try:
        if not path.is_file():
            if path.exists():
                raise SpecError(
                    "this is no file", where=str(path), cause="a folder or a device of that name", action="name a file"
                )
            neighbours = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
            close = get_close_matches(shortened(path.name), neighbours, n=1)
            action = f"did you mean {close[0]}?" if close else "check the name, or QUANT_SPECS if specs live elsewhere"
            raise SpecError(
                "the spec file does not exist",
                where=str(path),
                action=action,
            )
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise SpecError(
                "the file is too large for a spec",
                where=str(path),
                how_many=f"{size:,} bytes, {LARGEST_BYTES:,} at most",
                cause="a file of data under the name of a spec",
                action="name the right file; data belong into the folder of a source",
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecError(
            f"the file is not text in UTF-8: byte {error.object[error.start]:#04x}",
            where=f"{path}:{line}",
            cause="an editor that saved it in another encoding, or a file of another kind",
            action="save it as UTF-8",
        ) from error
    except SpecError:
        raise
    except (OSError, ValueError) as error:
        raise SpecError(
            f"the spec file could not be read: {shortened(str(error))}",
            where=shortened(str(path)),
            action="check its name and its permissions",
        ) from error


def _require_shallow(path: Path, text: str) -> None:
    """Walk over the parser's events, which nest nothing, before a tree is built of them."""
    loader = _SafeLoader(text)
    depth = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise SpecError(
                        "the file nests too deep",
                        where=_place(path, event.start_mark),
                        how_many=f"more than {DEEPEST} brackets or indentations inside one another",
                        cause="brackets that were never closed, or a file that no person wrote",
                        action="close the brackets",
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()


def _require_small(path: Path, root: yaml.Node | None) -> None:
    """Count the nodes as if each alias were written out; the depth of the text bounds the recursion."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def measure(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise SpecError(
                "an alias stands inside its own anchor",
                where=f"{path}:{node.start_mark.line + 1}",
                cause="the value would hold itself without end",
                action="write the value out",
            )
        open_nodes.add(id(node))
        total = 1 + sum(measure(child) for child in _children(node))
        open_nodes.discard(id(node))
        if total > MOST_NODES:
            raise SpecError(
                "the file is too large once its aliases are written out",
                where=f"{path}:{node.start_mark.line + 1}",
                how_many=f"more than {MOST_NODES:,} keys and values",
                cause="aliases (*name) of anchors that hold aliases themselves",
                action="write the values out, or split the file",
            )
        sizes[id(node)] = total
        return total

    if root is not None:
        measure(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _collect_lines(path: Path, node: yaml.Node | None, at: Location, lines: dict[Location, int]) -> None:
    if node is None:
        return
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError(
                    "a key is a word, and this one is a list or a mapping",
                    where=f"{path}:{line}",
                    cause="often a missing colon, or a question mark at the start of a line",
                    action="write key: value",
                )
            _require_a_word(path, key_node)
            key = str(key_node.value)
            if key in seen:
                raise SpecError(
                    f"the key {shortened(key)!r} stands twice in one mapping",
                    where=f"{path}:{line} (first on line {seen[key]})",
                    cause="YAML would silently keep only the last one",
                    action="remove one of them",
                )
            seen[key] = line
            lines[(*at, key)] = line
            _collect_lines(path, value_node, (*at, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _collect_lines(path, item, (*at, position), lines)
    elif isinstance(node, yaml.ScalarNode):
        _require_a_word(path, node)


def _require_a_word(path: Path, node: yaml.ScalarNode) -> None:
    """Refuse what YAML 1.1 reads as something else than it looks like."""
    written, where = str(node.value), f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    if node.tag == _BOOLEAN and not _TRUTH.fullmatch(written):
        raise SpecError(
            f"YAML reads {written} as {'true' if written.lower() in ('yes', 'on', 'y') else 'false'}",
            where=where,
            cause="yes, no, on and off are truth values in YAML, also where a name or a ticker was meant",
            action=f'quote it: "{written}"; or write true or false',
        )
    if node.tag in _SEXAGESIMAL and _CLOCK.fullmatch(written):
        raise SpecError(
            f"YAML reads {written} as one number to the base of sixty",
            where=where,
            cause="a time of day or a duration was meant",
            action=f'quote it: "{written}"',
        )


def _unmade(path: Path, root: yaml.Node | None, error: Exception) -> SpecError:
    """The error of a value that looks like a date or a number and is none, with its place."""
    found = next((node for node in _scalars(root) if not _can_be_made(node)), None)
    return SpecError(
        f"this cannot be read as a value: {shortened(str(found.value))}" if found else "the file cannot be read",
        where=f"{path}:{found.start_mark.line + 1}:{found.start_mark.column + 1}" if found else str(path),
        cause=shortened(str(error)),
        action="correct the value; quote it where a text is meant",
    )


def _scalars(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    waiting = [] if root is None else [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            yield node
        waiting.extend(reversed(list(_children(node))))


def _can_be_made(node: yaml.ScalarNode) -> bool:
    maker = yaml.constructor.SafeConstructor()
    try:
        maker.construct_document(node)
    except (ValueError, OverflowError, yaml.YAMLError):
        return False
    return True
