"""One market as the stages and the command line see it: its lake and its specs; `sources` opens what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Literal, TypeVar, cast

from quant_platform.contracts.tables import TABLES, SqlTable, Table
from quant_platform.lake.catalogue import CatalogueKeeper, known_rows
from quant_platform.lake.inventory import inventory
from quant_platform.lake.lake import Lake
from quant_platform.specification.calendars import calendar_changes
from quant_platform.specification.home import HomeSpec, PerpMarketSpec, SchedulesSpec, UniverseSpec
from quant_platform.specification.lake import lake_spec
from quant_platform.specification.loading import SpecModel, load_spec
from quant_platform.specification.ontology import Ontology, ontology, spec_hash
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.settings import Settings, settings
from quant_platform.specification.sources import SourceSpec
from quant_platform.specification.spec_models import model_of, validated_hash

PUBLISHED = ("reports", "outputs")
"""Folders of a home whose files other machines see, where the lake is on object storage."""

M = TypeVar("M", bound=SpecModel)
T = TypeVar("T")


class Home:
    """The folders of one market and what is read from them, each part once and only when it is asked for."""

    def __init__(self, where: Settings) -> None:
        self.settings = where
        self._ontologies: dict[tuple[str, ...], Ontology] = {}
        self._shared: dict[str, tuple[str, object]] = {}

    @classmethod
    def from_environment(cls) -> Home:
        """Open the home that ``QUANT_HOME`` and ``QUANT_SPECS`` name."""
        return cls(settings())

    @property
    def specs(self) -> Path:
        """Folder of the spec files."""
        return self.settings.specs

    @property
    def spec_file(self) -> Path:
        """The file that says which market this is."""
        own = self.settings.home / "home.yaml"
        return own if own.is_file() else self.specs / "home.yaml"

    @property
    def perps_file(self) -> Path:
        """The file that says which perpetuals this home holds."""
        own = self.settings.home / "perps.yaml"
        return own if own.is_file() else self.specs / "perps.yaml"

    @property
    def has_equities(self) -> bool:
        """Whether this home holds equities: what was imported, or the simulated ones of a home without imports."""
        return (self.settings.home / "home.yaml").is_file() or not (self.settings.home / "perps.yaml").is_file()

    @property
    def has_bars(self) -> bool:
        """Whether these equities have price bars: all but those of a source of kind panel, whose returns are given."""
        return self.has_equities and self.source_spec.panel is None

    @property
    def has_perps(self) -> bool:
        """Whether this home holds perpetuals: what was imported, or the simulated ones of a home without imports."""
        return (self.settings.home / "perps.yaml").is_file() or not (self.settings.home / "home.yaml").is_file()

    @property
    def judges_on(self) -> Literal["bars", "returns", "perpetuals"]:
        """What the research suite judges signals on: bars of equities, returns of a panel without bars, perpetuals."""
        if self.has_equities:
            return "bars" if self.has_bars else "returns"
        return "perpetuals"

    @property
    def suite_exchange(self) -> str:
        """ISO 10383 code of the sessions of the research suite, or UTC for days."""
        return self.universe.exchange if self.has_equities else "UTC"

    @cached_property
    def perps(self) -> PerpMarketSpec:
        """Which perpetuals this home holds."""
        return load_spec(self.perps_file, PerpMarketSpec)

    @cached_property
    def perp_source_spec(self) -> PerpSourceSpec:
        """How the source of perpetuals is read."""
        return self.load(f"sources/{self.perps.source}.yaml", PerpSourceSpec)

    @cached_property
    def sql(self) -> tuple[SqlTable, ...]:
        """The tables that the specs declare in SQL, each after those it reads."""
        # Named in a text, because what reads SQL decides nothing about the other tables: their cache keys are made of
        # what their code imports, and this is imported by the home that all of them are given.
        found: tuple[SqlTable, ...] = import_module("quant_platform.lake.sql_tables").sql_tables(self.specs)
        return found

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The registered tables, then those that the specs declare in SQL."""
        return {**TABLES, **{found.table.name: found.table for found in self.sql}}

    @cached_property
    def lake(self) -> Lake:
        """The partition files."""
        return Lake(self.settings.lake, self.tables)

    @cached_property
    def spec(self) -> HomeSpec:
        """Which market this is."""
        return load_spec(self.spec_file, HomeSpec)

    @cached_property
    def universe(self) -> UniverseSpec:
        """The names that belong to the market."""
        return self.load(f"universe/{self.spec.universe}.yaml", UniverseSpec)

    @cached_property
    def schedules(self) -> SchedulesSpec:
        """When the jobs run."""
        return self.load("schedules.yaml", SchedulesSpec)

    @cached_property
    def source_spec(self) -> SourceSpec:
        """How the source is read."""
        return self.load(f"sources/{self.spec.source}.yaml", SourceSpec)

    @property
    def simulated(self) -> bool:
        """Whether every number of this home must say SIMULATED."""
        equities = self.has_equities and self.source_spec.simulated is not None
        return equities or (self.has_perps and self.perp_source_spec.simulated_perp is not None)

    def load(self, name: str, model: type[M]) -> M:
        """Read a spec file below the specs folder."""
        return load_spec(self.specs / name, model)

    def ontology(self, names: Iterable[str]) -> Ontology:
        """Hash some spec files, once; see :meth:`filled` for names with braces."""
        wanted = tuple(self.filled(name) for name in names)
        if wanted not in self._ontologies:
            self._ontologies[wanted] = ontology(self.specs, wanted)
        return self._ontologies[wanted]

    def validated(self, names: Iterable[str]) -> str:
        """Hash some spec files as their models read them, defaults included."""
        hashes = {}
        for name in names:
            for path in sorted(self.specs.glob(self.filled(name))):
                hashes[path.relative_to(self.specs).as_posix()] = validated_hash(path, model_of(name))
        return spec_hash(hashes)

    def filled(self, name: str) -> str:
        """A text with ``{source}``, ``{universe}`` and ``{perps}`` replaced by those of this home."""
        source, universe = (self.spec.source, self.spec.universe) if self.has_equities else ("*", "*")
        perps = self.perps.source if self.has_perps else "*"
        return name.format(source=source, universe=universe, perps=perps)

    def shared(self, name: str, version: str, make: Callable[[], T]) -> T:
        """Make what many partitions of one step read, once; it is let go with this object, that is after the step.

        Parameters
        ----------
        name
            What it is; one of each name is kept.
        version
            What it was made from: it is made anew where this is another than before.
        make
            Makes it.
        """
        if name not in self._shared or self._shared[name][0] != version:
            self._shared.pop(name, None)
            self._shared[name] = (version, make())
        return cast(T, self._shared[name][1])

    def refresh_catalogue(self, *, force: bool = True) -> bool:
        """Rebuild the DuckDB catalogue; not forced, at most once per debounce interval of ``specs/lake.yaml``.

        Forced, it also brings the pages here that other machines have written, where the lake is on object storage.

        Returns
        -------
        bool
            Whether it was rebuilt.
        """
        rebuilt = self._catalogue_keeper().refresh(force=force)
        if force:
            self.collect_pages()
        return rebuilt

    def follow_catalogue(self) -> None:
        """Let the DuckDB catalogue show what is in the lake now."""
        self._catalogue_keeper().follow()

    def collect_pages(self) -> None:
        """Bring the pages here that other machines have written, where the lake is on object storage."""
        for folder in PUBLISHED:
            self.lake.store.collect(self.lake.root.parent / folder)

    def _catalogue_keeper(self) -> CatalogueKeeper:
        return CatalogueKeeper(self.lake, self.settings.catalogue, debounce=lake_spec(self.specs).debounce)

    def table_sizes(self) -> list[tuple[str, int, int]]:
        """Name, partitions and rows of every table that has any."""
        rows: dict[str, list[int]] = {}
        # The catalogue knows the footers of most files.
        for row in inventory(self.lake, known_rows(self.settings.catalogue)):
            rows.setdefault(row.table_name, []).append(row.rows)
        return [(name, len(rows[name]), sum(rows[name])) for name in self.tables if name in rows]

    @property
    def title(self) -> str:
        """What this home holds, in a few words."""
        held = []
        if self.has_equities:
            held.append(f"{self.spec.source} ({self.spec.universe})")
        if self.has_perps:
            held.append(f"{self.perps.source} ({len(self.perps.symbols)} perpetuals)")
        return ("SIMULATED: " if self.simulated else "") + ", ".join(held)

    @property
    def dates(self) -> list[object]:
        """What of the market's definition decides the result of every stage."""
        found: list[object] = []
        if self.has_equities:
            found += [self.universe.exchange, self.spec.first_session, self.spec.last_session]
            changes = calendar_changes(self.universe.exchange)
            found += [] if changes is None else [changes.model_dump(mode="json")]
        return found
