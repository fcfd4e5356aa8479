"""Reading one spec file: YAML to a frozen, typed model, with errors that name file, line and the closest valid key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from quant_platform.contracts.errors import SpecError

Location = tuple[int | str, ...]

_WANTS_TEXT = ("string_type", "literal_error")
_QUOTE_IT = "quote it: without quotes ON, NO, YES, OFF and TRUE are true or false, and 0123 or 2024-01-02 are no text"
M = TypeVar("M", bound="SpecModel")


class SpecModel(BaseModel):
    """Base of every spec: frozen, and an unknown key is an error."""

    # Blanks inside quotes are meant: a column may be called " close", and a separator may be a tab.
    model_config = ConfigDict(frozen=True, extra="forbid")


# The parser in C is ten times faster and says the same; a PyYAML built without it still works.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_spec(path: Path, model: type[M]) -> M:
    """Read and validate one spec file.

    Parameters
    ----------
    path
        A YAML file.
    model
        The model it must satisfy.

    Raises
    ------
    SpecError
        When the file does not exist, is not YAML, holds a key twice, an unknown key or a value that the model refuses.
        The message names file and line, and for an unknown key the closest valid one.
    """
    document, lines = read_yaml(path)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = [_problem(path, model, lines, item) for item in error.errors(include_url=False)]
        raise SpecError(
            problems[0]["problem"],
            where=problems[0]["at"],
            how_many=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in this file",
            rows=problems if len(problems) > 1 else None,
            action="correct the file; docs/reference/specs.md lists every key",
        ) from error


def read_yaml(path: Path) -> tuple[Any, dict[Location, int]]:
    """Read a YAML file and the line (from 1) on which each of its keys and items stands."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        neighbours = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        close = get_close_matches(path.name, neighbours, n=1)
        raise SpecError(
            "the spec file does not exist",
            where=str(path),
            action=f"did you mean {close[0]}?" if close else "check the name, or QUANT_SPECS if specs live elsewhere",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the spec file could not be read: {error}", where=str(path)) from error
    loader = _SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[Location, int] = {}
        _collect_lines(path, node, (), lines)
        document = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise SpecError(
            f"the file is not valid YAML: {error.problem}",
            where=f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path),
            cause="often a missing space after a colon, a tab, or an unclosed bracket or quote",
        ) from error
    finally:
        loader.dispose()
    return document, lines


def _collect_lines(path: Path, node: yaml.Node | None, at: Location, lines: dict[Location, int]) -> None:
    if node is None:
        return
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in seen:
                raise SpecError(
                    f"the key {key!r} stands twice in one mapping",
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


def line_of(lines: Mapping[Location, int], location: Location) -> int:
    """Line of a location, or of the closest enclosing one that has a line."""
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 1)


def _problem(path: Path, model: type[BaseModel], lines: Mapping[Location, int], item: Any) -> dict[str, str]:
    location: Location = tuple(item["loc"])
    name = ".".join(str(part) for part in location) or "the file"
    at = f"{path}:{line_of(lines, location)}"
    if item["type"] == "extra_forbidden":
        close = get_close_matches(str(location[-1]), _valid_keys(model, location[:-1]), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return {"at": at, "problem": f"unknown key {name!r}{hint}"}
    if item["type"] == "missing":
        return {"at": at, "problem": f"the key {name!r} is missing"}
    if item["type"] in _WANTS_TEXT and isinstance(item["input"], bool | int | float | date):
        return {"at": at, "problem": f"{name}: text was wanted, and YAML reads it as {item['input']!r}; {_QUOTE_IT}"}
    return {"at": at, "problem": f"{name}: {item['msg']}, was {item['input']!r}"}


def _valid_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Field names that are valid at a location, following nested models."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            found = current.model_fields.get(str(part))
            if found is None:
                return []
            current = found.annotation
            # The next part of the location is the key of a mapping or the position in a list, not a field.
            if get_origin(current) in (dict, list, tuple):
                continue
        current = _model_inside(current)
        if current is None:
            return []
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _model_inside(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_inside(argument)
        if found is not None:
            return found
    return None
