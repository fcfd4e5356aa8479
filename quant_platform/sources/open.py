"""From a spec and the folders it reads to a source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.sources.protocol import Source
from quant_platform.specification.sources import SourceSpec

if TYPE_CHECKING:
    from quant_platform.sources.panel_files import PanelSource

MAIN_LOCATION = "data"


def open_source(
    spec: SourceSpec,
    location: Path | Mapping[str, Path] | None = None,
    *,
    today: date | None = None,
    simulated_until: datetime | None = None,
) -> Source:
    """Open the source a spec describes.

    Parameters
    ----------
    spec
        ``specs/sources/<name>.yaml``.
    location
        A folder, or folders by name: ``data`` is the main one, others (``fundamentals``) are named by the spec. A
        section whose folder is not given is not delivered. Network and simulated sources need none.
    today
        Bars dated later than this (plus ``max_future_days``) are refused; default the date of the machine.
    simulated_until
        A time with a zone beyond which a simulated market has not happened yet; None delivers all of it.

    Raises
    ------
    SourceNotFound
        When a folder does not exist, or a file source is opened without one.
    """
    folders = _existing(spec, location)
    if spec.simulated is not None:
        from quant_platform.sources.simulated import SimulatedSource

        return SimulatedSource(spec, simulated_until)
    if spec.yahoo is not None:
        from quant_platform.sources.yahoo import YahooSource

        return YahooSource(spec) if today is None else YahooSource(spec, today=lambda: today)
    if spec.panel is not None:
        raise SourceNotFound(
            f"the source {spec.name!r} has returns and no price bars",
            where="specs/sources",
            cause="a panel feeds the research suite alone; what needs bars cannot be made of it",
        )
    if spec.files is None:
        raise SpecError(f"the source {spec.name!r} has no section", where="specs/sources")
    if MAIN_LOCATION not in folders:
        raise SourceNotFound(
            f"the source {spec.name!r} reads files and was opened without a folder",
            where=f"locations given: {', '.join(folders) or 'none'}",
            action=f"give a folder under the name {MAIN_LOCATION!r}",
        )
    from quant_platform.sources.files import open_files

    return open_files(spec, spec.files, folders, today or date.today())


def open_panel_source(
    spec: SourceSpec, location: Path | Mapping[str, Path] | None = None, *, today: date | None = None
) -> PanelSource:
    """Open the files of a panel that a spec describes; see :func:`open_source` for the arguments.

    Raises
    ------
    SourceNotFound
        When a folder does not exist.
    SpecError
        When the source is of another kind.
    """
    if spec.panel is None:
        raise SpecError(f"the source {spec.name!r} is of kind {spec.kind}, not panel", where="specs/sources")
    from quant_platform.sources.panel_files import PanelSource

    return PanelSource(spec, spec.panel, _existing(spec, location), today or date.today())


def _existing(spec: SourceSpec, location: Path | Mapping[str, Path] | None) -> dict[str, Path]:
    """Folders by name, each of which is there."""
    folders = {MAIN_LOCATION: location} if isinstance(location, Path) else dict(location or {})
    for name, folder in folders.items():
        if not folder.is_dir():
            raise SourceNotFound(
                "the folder of the source does not exist",
                where=f"{folder} (location {name!r} of source {spec.name!r})",
                action="give the folder that holds the files",
            )
    return folders
