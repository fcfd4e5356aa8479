"""Everything the detectors of the event lab are made of, read together and checked against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.events import EventSpec, FamilySpec, RegistrySpec, load_events
from quant_platform.specification.features import FeatureSet, load_features
from quant_platform.specification.loading import load_spec, read_yaml
from quant_platform.specification.market_context import ContextSpec
from quant_platform.specification.places import Place, place_of
from quant_platform.specification.states import AfterEventState, BandState, RuleState, State, StatesSpec

# What a row of the event tables depends on; for the ontology hash of the assets.
EVENT_LAB_FILES = ("features/market_5m*.yaml", "states.yaml", "families.yaml", "context.yaml", "events/*.yaml")
EVENT_EXPRESSIONS = ("condition", "direction", "intensity", "exit")


@dataclass(frozen=True)
class EventLab:
    """The specs of features, context, states, families and events.

    Parameters
    ----------
    features
        Features of five-minute bars.
    states
        State name to its spec, in order.
    hysteresis_memory_bars
        How far back a label in the margin of an edge looks.
    families
        Family name to its defaults.
    registry
        Bounds of the registry checks.
    events
        Event id to its spec with the defaults of its family, in alphabetical order, inactive ones included.
    context
        Universe, clocks, calendars and fees.
    places
        Where each expression of an event or state stands, by (owner, part).
    """

    features: FeatureSet
    states: Mapping[str, State]
    hysteresis_memory_bars: int
    families: Mapping[str, FamilySpec]
    registry: RegistrySpec
    events: Mapping[str, EventSpec]
    context: ContextSpec
    places: Mapping[tuple[str, str], Place]

    @property
    def active(self) -> dict[str, EventSpec]:
        """Events that are computed."""
        return {name: event for name, event in self.events.items() if event.status == "active"}


def load_event_lab(specs: Path) -> EventLab:
    """Read and check the specs of the event lab.

    Parameters
    ----------
    specs
        Folder of the specs.

    Raises
    ------
    SpecError
        A file is not valid, or names a state, event or definition that another file does not have or has too.

    Notes
    -----
    Read once per process, and again when a file has changed, come or gone: a run asks for it in every step.
    """
    paths = sorted(path for pattern in EVENT_LAB_FILES for path in specs.glob(pattern))
    return _read(specs, tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


@lru_cache(maxsize=4)
def _read(specs: Path, states_of_files: tuple[tuple[Path, int, int], ...]) -> EventLab:
    del states_of_files
    events, families = load_events(specs)
    folder = specs / "features"
    features = load_features([folder / "market_5m.yaml", *sorted(folder.glob("market_5m_*.yaml"))])
    states = load_spec(specs / "states.yaml", StatesSpec)
    context = load_spec(specs / "context.yaml", ContextSpec)
    places = dict(_places(specs, events, states))
    _refuse_double_definitions(events, features, places)
    _refuse_unknown_states(specs, families.families, events, states)
    return EventLab(
        features,
        states.states,
        states.hysteresis_memory_bars,
        families.families,
        families.registry,
        events,
        context,
        places,
    )


def _places(
    specs: Path, events: Mapping[str, EventSpec], states: StatesSpec
) -> Iterator[tuple[tuple[str, str], Place]]:
    for name, event in events.items():
        path = specs / "events" / f"{name}.yaml"
        lines = read_yaml(path)[1]
        for part in EVENT_EXPRESSIONS:
            text = getattr(event, part)
            if text is not None:
                yield (name, part), place_of(path, lines, (part,), text)
        for definition, text in event.definitions.items():
            yield (name, definition), place_of(path, lines, ("definitions", definition), text)
    path = specs / "states.yaml"
    lines = read_yaml(path)[1]
    for name, state in states.states.items():
        if isinstance(state, BandState):
            at = ("states", name, "expression")
            yield (name, "expression"), place_of(path, lines, at, state.expression)
        elif isinstance(state, RuleState):
            for label, text in state.rules.items():
                yield (name, label), place_of(path, lines, ("states", name, "rules", label), text)


def _refuse_double_definitions(
    events: Mapping[str, EventSpec], features: FeatureSet, places: Mapping[tuple[str, str], Place]
) -> None:
    taken = {name: f"{place.file}:{place.line}" for name, place in features.places.items()}
    for event, spec in events.items():
        for name in spec.definitions:
            here = places[event, name]
            at = f"{here.file}:{here.line}"
            if name in taken:
                raise SpecError(
                    f"{name!r} is defined twice",
                    where=f"{at} (also {taken[name]})",
                    action="choose a name that no feature and no other event uses",
                )
            taken[name] = at


def _refuse_unknown_states(
    specs: Path, families: Mapping[str, FamilySpec], events: Mapping[str, EventSpec], states: StatesSpec
) -> None:
    for owner, named in [
        *((f"{specs / 'families.yaml'}: {name}", family.conditioning) for name, family in families.items()),
        *((f"{specs / 'events' / name}.yaml", event.conditioning or ()) for name, event in events.items()),
    ]:
        unknown = [name for name in named if name not in states.states]
        if unknown:
            raise SpecError(
                f"there is no state {unknown[0]!r}",
                where=f"{owner}, conditioning",
                action=f"choose among: {', '.join(states.states)}",
            )
    for name, state in states.states.items():
        absent = [e for e in state.events if e not in events] if isinstance(state, AfterEventState) else []
        if absent:
            raise SpecError(
                f"there is no event {absent[0]!r}",
                where=f"{specs / 'states.yaml'}: states.{name}.events",
                action="name a file of specs/events",
            )
