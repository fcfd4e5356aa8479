"""Reading one spec file: YAML to a frozen, typed model, with errors that name file, line and the closest valid key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from quant_platform.contracts.errors import SHOWN_ROWS, SpecError
from quant_platform.specification.yaml_text import Location as Location
from quant_platform.specification.yaml_text import parse_yaml, read_text, shortened
from quant_platform.specification.yaml_text import read_yaml as read_yaml

_WANTS_TEXT = ("string_type", "literal_error")
_QUOTE_IT = "quote it: without quotes ON, NO, YES, OFF and TRUE are true or false, and 0123 or 2024-01-02 are no text"

# The unit at the end of a key, and a century of it; bars are those of five minutes, the shortest there are in a spec.
_CENTURY = {
    "seconds": 3_155_760_000,
    "hours": 876_600,
    "days": 36_525,
    "sessions": 36_525,
    "weeks": 5_218,
    "months": 1_200,
    "years": 100,
    "bars": 10_519_200,
}
_SPAN = re.compile(rf"(?:^|_)({'|'.join(_CENTURY)})(?:_|$)")
_LARGEST = 2**63 - 1

M = TypeVar("M", bound="SpecModel")


MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"
"""A month as specs write it: YYYY-MM, and no thirteenth."""


class SpecModel(BaseModel):
    """Base of every spec: frozen; an unknown key and a number without end are errors.

    Texts keep their blanks, which may be meant: a separator, the name of a column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
        When the file does not exist, is not YAML, holds a key twice, an unknown key, a number of no measure (a span of
        more than a century, a whole number of more than 64 bits) or a value that the model refuses.
        The message names file and line, and for an unknown key the closest valid one.
    """
    found = _loaded(read_text(path), path, model)
    assert isinstance(found, model)
    return found


# A model is frozen, and a process that runs a graph asks for the same hundred files at every step.
@lru_cache(maxsize=1024)
def _loaded(text: str, path: Path, model: type[SpecModel]) -> SpecModel:
    return _validated(*parse_yaml(text, path), path, model)


def load_text(text: str, path: Path, model: type[M]) -> M:
    """Validate YAML that stands inside another file, on the lines that it has there; raises SpecError."""
    return _validated(*parse_yaml(text, path), path, model)


def _validated(document: Any, lines: Mapping[Location, int], path: Path, model: type[M]) -> M:
    misread = next(_truths_for_numbers(model, document, ()), None)
    if misread is not None:
        raise SpecError(
            f"{'.'.join(map(str, misread))}: a number was expected and this is a truth value",
            where=f"{path}:{line_of(lines, misread)}",
            cause="true and false would count as 1 and 0",
            action="write the number; docs/reference/specs.md lists every key",
        )
    for at, problem in _without_measure(document, (), ""):
        raise SpecError(
            f"{'.'.join(map(str, at))}: {problem}",
            where=f"{path}:{line_of(lines, at)}",
            action="write the number that is meant; docs/reference/specs.md lists every key",
        )
    try:
        return model.model_validate(_without_line_ends(document))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        problems = [_problem(path, model, lines, item) for item in found[:SHOWN_ROWS]]
        raise SpecError(
            problems[0]["problem"],
            where=problems[0]["at"],
            how_many=f"{len(found)} problem{'s' if len(found) > 1 else ''} in this file",
            rows=problems if len(problems) > 1 else None,
            action="correct the file; docs/reference/specs.md lists every key",
        ) from error


def _truths_for_numbers(annotation: Any, value: Any, at: Location) -> Iterator[Location]:
    """Where a truth value stands in the place of a number: pydantic, like Python, would take true for 1."""
    choices = _choices(annotation)
    if isinstance(value, bool):
        if not {bool, Any} & choices and {int, float} & choices:
            yield at
    elif isinstance(value, dict):
        for key, item in value.items():
            places = [*_fields_named(choices, key), *_inside(choices, dict, -1)]
            found = [list(_truths_for_numbers(place, item, (*at, str(key)))) for place in places]
            # Of several models that have this key, one may want a truth value.
            if found and all(found):
                yield from found[0]
    elif isinstance(value, list):
        for position, item in enumerate(value):
            for place in (*_inside(choices, list, 0), *_inside(choices, tuple, 0)):
                yield from _truths_for_numbers(place, item, (*at, position))


def _without_measure(value: Any, at: Location, unit: str) -> Iterator[tuple[Location, str]]:
    """Where a number is larger than anything it could count, which would overflow far from the file that says it."""
    if isinstance(value, dict):
        for key, item in value.items():
            said = _SPAN.search(str(key))
            yield from _without_measure(item, (*at, str(key)), said.group(1) if said else unit)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _without_measure(item, (*at, position), unit)
    elif (number := _number(value)) is not None:
        if unit and abs(number) > _CENTURY[unit]:
            yield at, f"a span of more than a century ({_CENTURY[unit]:,} {unit}), was {shortened(repr(value))}"
        elif isinstance(value, int) and abs(value) > _LARGEST:
            yield at, f"a whole number of more than 64 bits, was {shortened(repr(value))}"


def _number(value: Any) -> float | None:
    """The number a model would make of a value; YAML itself leaves ``1e300`` a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("inf") if isinstance(value, int) else None


def _choices(annotation: Any) -> set[Any]:
    """The types an annotation allows, with unions and what is said beside a type taken apart."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return {choice for inner in get_args(annotation) for choice in _choices(inner)}
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    return {annotation}


def _fields_named(choices: Iterable[Any], key: object) -> list[Any]:
    models = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
    return [model.model_fields[str(key)].annotation for model in models if str(key) in model.model_fields]


def _inside(choices: Iterable[Any], container: type, position: int) -> list[Any]:
    return [get_args(choice)[position] for choice in choices if get_origin(choice) is container and get_args(choice)]


def _without_line_ends(value: Any) -> Any:
    """Take the line ends off that YAML's block texts bring with them."""
    if isinstance(value, str):
        return value.strip("\r\n")
    if isinstance(value, dict):
        return {key: _without_line_ends(item) for key, item in value.items()}
    return [_without_line_ends(item) for item in value] if isinstance(value, list) else value


def line_of(lines: Mapping[Location, int], location: Location) -> int:
    """Line of a location, or of the closest enclosing one that has a line."""
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 1)


def _problem(path: Path, model: type[BaseModel], lines: Mapping[Location, int], item: Any) -> dict[str, str]:
    location: Location = tuple(item["loc"])
    name = shortened(".".join(str(part) for part in location)) or "the file"
    at = f"{path}:{line_of(lines, location)}"
    if item["type"] == "extra_forbidden":
        close = get_close_matches(shortened(str(location[-1])), _valid_keys(model, location[:-1]), n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return {"at": at, "problem": f"unknown key {name!r}{hint}"}
    if item["type"] == "missing":
        return {"at": at, "problem": f"the key {name!r} is missing"}
    if item["type"] in _WANTS_TEXT and isinstance(item["input"], bool | int | float | date):
        was = shortened(repr(item["input"]))
        return {"at": at, "problem": f"{name}: text was wanted, and YAML reads it as {was}; {_QUOTE_IT}"}
    return {"at": at, "problem": f"{name}: {item['msg']}, was {shortened(repr(item['input']))}"}


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
