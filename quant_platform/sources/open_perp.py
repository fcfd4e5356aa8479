"""From a spec and the folder it reads to a source of perpetuals."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.sources.perp_protocol import PerpSource
from quant_platform.specification.perp_sources import PerpSourceSpec


def open_perp_source(
    spec: PerpSourceSpec,
    location: Path | None = None,
    *,
    cache: Path | None = None,
    simulated_until: datetime | None = None,
) -> PerpSource:
    """Open the source of perpetuals that a spec describes.

    Parameters
    ----------
    spec
        ``specs/sources/<name>.yaml`` of kind simulated_perp, binance or perp_files.
    location
        Folder of the files. For binance it holds a copy of the archive, and nothing is fetched; without it the files
        are fetched over HTTP into ``cache``.
    cache
        Folder that keeps what was fetched and verified.
    simulated_until
        A time with a zone beyond which a simulated market has not happened yet; None delivers all of it.

    Raises
    ------
    SourceNotFound
        When the folder does not exist, or a source of files is opened without one.
    """
    if location is not None and not location.is_dir():
        raise SourceNotFound(
            "the folder of the source does not exist",
            where=f"{location} (source {spec.name!r})",
            action="give the folder that holds the files",
        )
    if spec.simulated_perp is not None:
        from quant_platform.sources.simulated_perp import SimulatedPerpSource

        return SimulatedPerpSource(spec, simulated_until)
    if spec.binance is not None:
        from quant_platform.sources.binance import open_binance

        return open_binance(spec, spec.binance, location, cache)
    if spec.perp_files is None:
        raise SpecError(f"the source {spec.name!r} has no section", where="specs/sources")
    if location is None:
        raise SourceNotFound(
            f"the source {spec.name!r} reads files and was opened without a folder", action="give the folder"
        )
    from quant_platform.sources.perp_files import PerpFilesSource

    return PerpFilesSource(spec, location)
