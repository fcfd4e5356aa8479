"""One plan for every feature, state and event, so that what they share is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from quant_platform.contracts.errors import ExpressionError, SpecError
from quant_platform.expressions import Formula, Kind, Location, Plan, compile_plan
from quant_platform.expressions.reading import names_in
from quant_platform.labs.events.detection.columns import COLUMNS
from quant_platform.specification.event_lab import EVENT_EXPRESSIONS, EventLab
from quant_platform.specification.events import EventSpec
from quant_platform.specification.places import Place
from quant_platform.specification.states import AfterEventState, BandState, RuleState


@dataclass(frozen=True)
class EventPlan:
    """The specs of the event lab, compiled.

    Parameters
    ----------
    lab
        The specs.
    plan
        Every feature by name, every part of an event as ``EVENT|part``, every expression of a state as ``state|label``.
    event_memory
        Event to the bars before the current one that its accepted onsets depend on, quiet period included.
    event_columns
        Event to the columns it reads.
    state_columns
        State to the columns it reads; for a window after events those of each event, which may be absent.
    warm_bars
        Bars before the first wanted one that every feature, state and event together need.
    """

    lab: EventLab
    plan: Plan
    event_memory: Mapping[str, int]
    event_columns: Mapping[str, frozenset[str]]
    state_columns: Mapping[str, frozenset[str]]
    warm_bars: int


def part(owner: str, name: str) -> str:
    """Name of an output that belongs to an event or a state; no expression can name it."""
    return f"{owner}|{name}"


def event_plan(lab: EventLab) -> EventPlan:
    """Check and compile the specs of the event lab.

    Raises
    ------
    ExpressionError
        An expression is not valid or yields the wrong kind; the message points into its file.
    SpecError
        The inputs an event declares are not those it reads.
    """
    outputs = {
        name: _formula(lab.features.places.get(name), name, feature.expression)
        for name, feature in lab.features.features.items()
    }
    definitions = {
        name: _formula(lab.features.places.get(name), name, text) for name, text in lab.features.definitions.items()
    }
    for name, event in lab.events.items():
        parameters = tuple(event.params.items())
        for piece in EVENT_EXPRESSIONS:
            text = getattr(event, piece)
            if text is not None:
                outputs[part(name, piece)] = _formula(lab.places[name, piece], name, text, parameters)
        for word, text in event.definitions.items():
            definitions[word] = _formula(lab.places[name, word], word, text, parameters)
    for name, state in lab.states.items():
        for label, text in _state_expressions(state).items():
            outputs[part(name, label)] = _formula(lab.places[name, label], name, text)
    plan = compile_plan(outputs, COLUMNS, definitions)
    _check_kinds(lab, plan, outputs)
    columns = {name: _union(plan.columns, name, lab.events[name]) for name in lab.events}
    _check_inputs(lab, columns)
    memory = {name: _event_memory(plan, name, event) for name, event in lab.events.items()}
    state_columns, state_memory = _states(lab, plan, memory, columns)
    warm = max([*(plan.memory[name] for name in lab.features.features), *memory.values(), *state_memory.values()])
    return EventPlan(lab, plan, memory, columns, state_columns, warm)


def one_event_plan(lab: EventLab, event: EventSpec) -> EventPlan:
    """Compile the onsets of one event, which may have other numbers than those of its file, and nothing else.

    Parameters
    ----------
    lab
        The specs; checked already, so that only what the event names is compiled.
    event
        One of its events, as it is or changed.
    """
    places = lab.features.places
    known = {
        name: _formula(places.get(name), name, feature.expression) for name, feature in lab.features.features.items()
    } | {name: _formula(places.get(name), name, text) for name, text in lab.features.definitions.items()}
    parameters = tuple(event.params.items())
    known |= {
        word: _formula(lab.places[event.id, word], word, text, parameters) for word, text in event.definitions.items()
    }
    outputs = {
        part(event.id, piece): _formula(lab.places[event.id, piece], event.id, getattr(event, piece), parameters)
        for piece in ("condition", "direction", "intensity")
    }
    needed: dict[str, Formula] = {}
    open_ = list(outputs.values())
    while open_:
        for name in sorted(names_in(open_.pop()) & known.keys() - needed.keys()):
            needed[name] = known[name]
            open_.append(known[name])
    plan = compile_plan(outputs, COLUMNS, needed)
    columns = frozenset[str]().union(*(plan.columns[name] for name in outputs))
    memory = _event_memory(plan, event.id, event)
    return EventPlan(replace(lab, events={event.id: event}), plan, {event.id: memory}, {event.id: columns}, {}, memory)


def _formula(place: Place | None, name: str, text: str, parameters: tuple[tuple[str, float], ...] = ()) -> Formula:
    location = Location(place.file, place.line, place.column) if place else Location(name)
    return Formula(text, parameters, location)


def _state_expressions(state: object) -> Mapping[str, str]:
    if isinstance(state, BandState):
        return {"expression": state.expression}
    return state.rules if isinstance(state, RuleState) else {}


def _check_kinds(lab: EventLab, plan: Plan, outputs: Mapping[str, Formula]) -> None:
    wanted = {part(name, piece): Kind.CONDITION for name in lab.events for piece in ("condition", "exit")}
    wanted |= {
        part(n, label): Kind.CONDITION for n, s in lab.states.items() if isinstance(s, RuleState) for label in s.rules
    }
    for name, node in plan.outputs.items():
        kind = wanted.get(name, Kind.NUMBER)
        if node.kind is not kind:
            raise _kind_error(name, outputs[name], kind, node.kind)


def _kind_error(name: str, formula: Formula, wanted: Kind, was: Kind) -> ExpressionError:
    action = "write where(condition,1,0)" if wanted is Kind.NUMBER else "compare it with a number"
    return formula.error(f"{name.replace('|', ': ')} must be a {wanted} and was a {was}", action=action)


def _union(columns: Mapping[str, frozenset[str]], name: str, event: EventSpec) -> frozenset[str]:
    return frozenset[str]().union(
        *(columns[part(name, piece)] for piece in EVENT_EXPRESSIONS if getattr(event, piece) is not None)
    )


def _check_inputs(lab: EventLab, columns: Mapping[str, frozenset[str]]) -> None:
    for name, event in lab.events.items():
        if set(event.inputs) != columns[name]:
            place = lab.places[name, "condition"]
            raise SpecError(
                f"the declared inputs of {name} are not the columns it reads",
                where=place.file,
                how_many=f"declared but not read: {sorted(set(event.inputs) - columns[name])}, "
                f"read but not declared: {sorted(columns[name] - set(event.inputs))}",
                cause="the rule does not measure what it claims, or was changed without its inputs",
                action="correct the rule or the list of inputs",
            )


def _event_memory(plan: Plan, name: str, event: EventSpec) -> int:
    values = max(plan.memory[part(name, piece)] for piece in ("direction", "intensity", "condition"))
    return values + (1 if event.onset == "rising" else 0) + event.cooldown_bars


def _states(
    lab: EventLab, plan: Plan, memory: Mapping[str, int], columns: Mapping[str, frozenset[str]]
) -> tuple[dict[str, frozenset[str]], dict[str, int]]:
    reads: dict[str, frozenset[str]] = {}
    needs: dict[str, int] = {}
    for name, state in lab.states.items():
        parts = [part(name, label) for label in _state_expressions(state)]
        reads[name] = frozenset[str]().union(*(plan.columns[p] for p in parts))
        needs[name] = max((plan.memory[p] for p in parts), default=0)
        if isinstance(state, BandState):
            needs[name] += lab.hysteresis_memory_bars + state.cadence_bars - 1
        elif isinstance(state, RuleState):
            needs[name] += state.cadence_bars - 1
        elif isinstance(state, AfterEventState):
            reads[name] = frozenset[str]().union(*(columns[event] for event in state.events))
            exits = [plan.memory.get(part(event, "exit"), 0) for event in state.events]
            windows = [memory[event] + lab.events[event].max_active_bars for event in state.events]
            needs[name] = max(
                [*windows, *(e + lab.events[n].max_active_bars for e, n in zip(exits, state.events, strict=True))]
            )
    return reads, needs
