"""What an import writes into a home: which market it holds, and whether that market goes on.

A declaration is written after everything that can be known beforehand was read, and is taken back when the work that
follows is refused before it has stored anything: a home that was refused is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from quant_platform.contracts.errors import HomeMixed, SettingsError, SourceNotFound, SpecError
from quant_platform.contracts.findings import Finding
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.partition_files import SUFFIX
from quant_platform.lake.places import store_of
from quant_platform.sources import Source
from quant_platform.specification.home import HomeSpec, PerpMarketSpec, UniverseSpec
from quant_platform.specification.lake import LAKE_FILE
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.sources import SourceSpec

MARKS = ("home.yaml", "perps.yaml", "lake", LAKE_FILE)


@dataclass(frozen=True)
class Declaration:
    """A file that says which market a home holds, before it is written.

    Attributes
    ----------
    path
        ``home.yaml`` or ``perps.yaml``.
    content
        What it will say.
    findings
        What reading the source brought to light.
    sentences
        What a person should know about the span, for the terminal.
    """

    path: Path
    content: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()
    sentences: tuple[str, ...] = ()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Write the file; put back what was there if the block is refused before the lake holds a partition."""
        before = self.path.read_text(encoding="utf-8") if self.path.is_file() else None
        folder_was_there = self.path.parent.is_dir()
        atomic_text(self.path, yaml.safe_dump(dict(self.content), sort_keys=False))
        try:
            yield
        except BaseException:
            if before is not None and not holds_partitions(self.path.parent):
                atomic_text(self.path, before)
            elif before is None and not holds_partitions(self.path.parent):
                self.path.unlink(missing_ok=True)
                if not folder_was_there and not any(self.path.parent.iterdir()):
                    self.path.parent.rmdir()
            raise


def holds_partitions(home: Path) -> bool:
    """Whether a home holds a single partition of anything."""
    lake = home.resolve() / "lake"
    listing = store_of(lake.parent).listing([lake])
    waiting = [lake]
    while waiting:
        place = waiting.pop()
        children = [place / name for name in listing.names(place)]
        if any(child.suffix == SUFFIX for child in children):
            return True
        waiting += [child for child in children if listing.kind(child) == "folder"]
    return False


def require_home(folder: Path) -> None:
    """Refuse a folder that no ``quant demo`` and no import has made a home.

    Raises
    ------
    SettingsError
        With the name of a home that was perhaps meant.
    """
    if any((folder / mark).exists() for mark in MARKS):
        return
    around = [folder.parent, Path.cwd()]
    homes = {
        path
        for parent in around
        if parent.is_dir()
        for path in parent.iterdir()
        if path.is_dir() and any((path / mark).exists() for mark in MARKS)
    }
    named = {path.name: path for path in sorted(homes)}
    close = get_close_matches(folder.name, named, n=1, cutoff=0.4)
    meant = f"did you mean --home {named[close[0]]}? " if close else ""
    others = f"homes nearby: {', '.join(map(str, sorted(homes)[:5]))}; " if homes and not close else ""
    raise SettingsError(
        "there is no home here",
        where=str(folder),
        cause="a wrong --home or QUANT_HOME, or nothing was imported yet",
        action=f"{meant}{others}only `quant demo` and `quant import` make a home",
    )


def say(console: Console, declaration: Declaration) -> None:
    """Print what reading brought to light, and what was decided about the span."""
    for finding in declaration.findings:
        style = "dim" if finding.severity == "info" else "yellow"
        console.print(finding.sentence(), style=style, markup=False, highlight=False, soft_wrap=True)
    for sentence in declaration.sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def declared_home(
    folder: Path, source: str, universe: str, locations: Mapping[str, Path], specs: Path, *, live: bool = False
) -> Declaration:
    """Read everything of an equity source and say what ``home.yaml`` will hold.

    Parameters
    ----------
    live
        Whether the market goes on: no last session. A home that is live stays so.

    Raises
    ------
    HomeMixed
        When the folder already holds another market.
    SpecError
        When source and universe are of different exchanges, or the universe lists names that the source lacks.
    SourceNotFound, SourceMalformed
        When the source has no bar, a file is not readable, or names match nothing.
    CalendarError
        When the bars reach beyond the calendar of the exchange.
    """
    from quant_platform.market.calendar import session_array
    from quant_platform.sources import open_source
    from quant_platform.sources.protocol import reading_report

    resolved = {name: path.resolve() for name, path in locations.items()}
    path = folder / "home.yaml"
    present = load_spec(path, HomeSpec) if path.is_file() else None
    if present is not None and (present.source, present.universe, dict(present.locations)) != (
        source,
        universe,
        resolved,
    ):
        raise HomeMixed(
            f"this home holds {_market(present.source, present.universe, present.locations)}; "
            f"{_market(source, universe, resolved)} was about to be imported into it",
            where=str(path),
            cause="a home holds one market, so that no number can mix two",
            action="choose another folder with --home, or remove this one",
        )
    if present is None and holds_partitions(folder) and not (folder / "perps.yaml").is_file():
        raise _simulated(folder, "import")
    spec = load_spec(specs / "sources" / f"{source}.yaml", SourceSpec)
    names = load_spec(specs / "universe" / f"{universe}.yaml", UniverseSpec)
    if names.exchange != spec.exchange:
        raise SpecError(
            f"the universe is of {names.exchange}, the source of {spec.exchange}",
            where=f"{specs / 'universe' / universe}.yaml and {specs / 'sources' / source}.yaml",
            action="correct the exchange in one of them",
        )
    if spec.panel is not None:
        if names.tickers != "source":
            raise SpecError(
                "the universe lists names, and those of a panel are in its files",
                where=str(specs / "universe" / f"{universe}.yaml"),
                action="write `tickers: source`; who belongs to it when, the column `member` of the descriptors says",
            )
        first, last, findings = read_panel(spec, resolved)
    else:
        opened = open_source(spec, resolved)
        tickers = opened.tickers()
        if names.tickers != "source":
            _require_names(names.tickers, tickers, specs / "universe" / f"{universe}.yaml")
        first, last = market_span(opened)
        if spec.kind == "files":
            read_shared_files(opened)
        session_array(spec.exchange, first, last)
        findings = reading_report(opened)
    open_ended = live or (present is not None and present.last_session is None)
    content = {
        "source": source,
        "universe": universe,
        "locations": {name: str(location) for name, location in resolved.items()},
        "first_session": first,
        "last_session": None if open_ended else last,
    }
    before = None if present is None else (present.first_session, present.last_session)
    return Declaration(path, content, findings, _span_sentences(before, first, last, open_ended))


def read_panel(spec: SourceSpec, folders: Mapping[str, Path]) -> tuple[date, date, tuple[Finding, ...]]:
    """Read every file of a panel: the first and last session with a return, and what reading brought to light.

    Raises
    ------
    SourceNotFound, SourceMalformed
        When a file is not there, or not what the spec says.
    CalendarError
        When dates are no sessions of the exchange.
    """
    from quant_platform.labs.suite.own_panel import own_sessions
    from quant_platform.labs.suite.sessions import session_clock
    from quant_platform.pipeline.suite_panel import frames_of
    from quant_platform.sources.open import open_panel_source

    source = open_panel_source(spec, folders)
    findings = source.reading_report()
    own_sessions(frames_of(source), session_clock(spec.exchange))
    return *source.span, findings


def _span_sentences(
    before: tuple[date, date | None] | None, first: date, last: date, open_ended: bool
) -> tuple[str, ...]:
    if before is not None and before != (first, None if open_ended else last):
        was = f"{before[0]} to {before[1] or 'now'}"
        return (f"the folder has changed: the market reached from {was}, now from {first} to {_end(last, open_ended)}",)
    return (f"the market reaches from {first} to {_end(last, open_ended)}",)


def _end(last: date | str, open_ended: bool) -> str:
    if open_ended:
        return f"now and goes on (newest bar {last}): later runs read what has come since"
    return f"{last} and ends there: import again when the folder has grown, or import with --live if it goes on growing"


def declared_perps(folder: Path, source: str, location: Path | None, specs: Path, *, live: bool = False) -> Declaration:
    """Read what a source of perpetuals has and say what ``perps.yaml`` will hold; see `declared_home`."""
    from quant_platform.sources.open_perp import open_perp_source
    from quant_platform.sources.protocol import reading_report

    resolved = None if location is None else location.resolve()
    path = folder / "perps.yaml"
    present = load_spec(path, PerpMarketSpec) if path.is_file() else None
    if present is not None and (present.source, present.location) != (source, resolved):
        raise HomeMixed(
            f"this home holds the source {present.source!r} from {present.location}, "
            f"{source!r} from {resolved} was about to be imported into it",
            where=str(path),
            cause="a home holds one market of perpetuals, so that no number can mix two",
            action="choose another folder with --home, or remove this one",
        )
    if present is None and holds_partitions(folder) and not (folder / "home.yaml").is_file():
        raise _simulated(folder, "import-perps")
    spec = load_spec(specs / "sources" / f"{source}.yaml", PerpSourceSpec)
    open_ended = live or (present is not None and present.last_month is None)
    if open_ended and spec.binance is not None and spec.binance.last_month is not None:
        raise SpecError(
            f"the source ends in {spec.binance.last_month}, a live market does not",
            where=f"{specs / 'sources' / source}.yaml: binance.last_month",
            action="take last_month out of the source spec, or import without --live",
        )
    opened = open_perp_source(spec, resolved, cache=folder / "downloads")
    symbols = opened.symbols()
    months = sorted({month for symbol in symbols for month in opened.months(symbol)})
    if not months:
        raise SourceNotFound(
            "the source has no month",
            where=f"source {source!r}, folder {resolved or folder / 'downloads'}",
            cause="no file there has a name that the source spec asks for, under the symbols it lists",
            action=f"check the folder and {specs / 'sources' / source}.yaml",
        )
    # What is fetched is read once it is there: asking here would fetch everything one file after the other.
    findings = reading_report(opened) if resolved is not None else ()
    content = {
        "source": source,
        "location": None if resolved is None else str(resolved),
        "symbols": symbols,
        "first_month": months[0],
        "last_month": None if open_ended else months[-1],
    }
    sentences = [f"the market reaches from {months[0]} to {_end(months[-1], open_ended)}"]
    if present is not None and (present.last_month, tuple(present.symbols)) != (
        content["last_month"],
        tuple(symbols),
    ):
        was = f"{len(present.symbols)} perpetuals to {present.last_month or 'now'}"
        sentences.insert(0, f"the folder has changed: it held {was}, and now {len(symbols)}")
    return Declaration(path, content, findings, tuple(sentences))


def market_span(source: Source) -> tuple[date, date]:
    """First and last session of everything a source has; reads all of it, so a malformed file shows up here.

    Raises
    ------
    SourceNotFound
        When the source has no bar at all.
    """
    from quant_platform.sources.files import FilesSource

    if isinstance(source, FilesSource):
        first, last = source.extent["first"].min(), source.extent["last"].max()
    else:
        sessions = source.bars_many(source.tickers()).get_column("session")
        first, last = sessions.min(), sessions.max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise SourceNotFound(
            "the source has no bar", where=f"source {source.name!r}", action="check the folder and the source spec"
        )
    return first, last


def read_shared_files(source: Source) -> None:
    """Read what all tickers share (actions, fundamentals, membership), so that a malformed file is one error, here."""
    for ticker in source.tickers():
        source.actions(ticker)
    source.fundamentals(source.tickers()[0])
    source.securities()


def _require_names(wanted: list[str], there: list[str], file: Path) -> None:
    known = set(there)
    strange = [name for name in wanted if name not in known]
    if not strange:
        return
    shown = []
    for name in strange[:5]:
        close = get_close_matches(name, there, n=1, cutoff=0.5)
        shown.append(name + (f" ({close[0]}?)" if close else ""))
    raise SpecError(
        f"the universe lists names that the source does not have: {', '.join(shown)}",
        where=str(file),
        how_many=f"{len(strange)} of {len(wanted)} names",
        action="correct the names, or write `tickers: source` for all that the folder has",
    )


def _simulated(folder: Path, command: str) -> HomeMixed:
    return HomeMixed(
        "this home holds the simulated market",
        where=str(folder),
        action=f"choose another folder: quant {command} ... --home data-real",
    )


def _market(source: str, universe: str, locations: Mapping[str, Path]) -> str:
    folders = ", ".join(f"{name}={folder}" for name, folder in sorted(locations.items()))
    return f"{source!r} with the universe {universe!r} from {folders or 'no folder'}"
