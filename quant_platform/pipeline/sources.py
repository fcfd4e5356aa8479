"""The opened sources of a home: kept out of `home`, so that only what reads the outside world reaches their code."""

from __future__ import annotations

from pathlib import Path

from quant_platform.contracts.errors import SettingsError
from quant_platform.pipeline.home import Home
from quant_platform.sources.open import open_panel_source, open_source
from quant_platform.sources.open_perp import open_perp_source
from quant_platform.sources.panel_files import PanelSource
from quant_platform.sources.perp_protocol import PerpSource
from quant_platform.sources.protocol import Source
from quant_platform.specification import clock


def source_of(home: Home) -> Source:
    """The source of equities, opened once for a home.

    Raises
    ------
    SettingsError
        When the time is a stated one and the source is not simulated.
    """

    def opened() -> Source:
        _refuse_stated_time(home.source_spec.simulated is not None, home.spec_file)
        now = clock.now()
        goes_on = home.spec.last_session is None
        return open_source(
            home.source_spec, home.spec.locations, today=now.date(), simulated_until=now if goes_on else None
        )

    return home.shared("source", home.spec.source, opened)


def panel_source_of(home: Home) -> PanelSource:
    """The files of a panel, opened once for a home; see :func:`source_of`."""

    def opened() -> PanelSource:
        _refuse_stated_time(False, home.spec_file)
        return open_panel_source(home.source_spec, home.spec.locations, today=clock.now().date())

    return home.shared("panel source", home.spec.source, opened)


def perp_source_of(home: Home) -> PerpSource:
    """The source of perpetuals, opened once for a home; see :func:`source_of`."""

    def opened() -> PerpSource:
        _refuse_stated_time(home.perp_source_spec.simulated_perp is not None, home.perps_file)
        return open_perp_source(
            home.perp_source_spec,
            home.perps.location,
            cache=home.settings.home / "downloads",
            simulated_until=clock.now() if home.perps.last_month is None else None,
        )

    return home.shared("perp source", home.perps.source, opened)


def _refuse_stated_time(simulated: bool, declared: Path) -> None:
    if clock.is_set() and not simulated:
        raise SettingsError(
            f"{clock.VARIABLE} states a time, and this home is not simulated",
            where=str(declared),
            cause="real data have a real time; another one would decide what counts as final",
            action=f"unset {clock.VARIABLE}",
        )


def tickers_of(home: Home) -> list[str]:
    """Every ticker of the universe, sorted; none in a home without bars of equities."""
    if not home.has_bars:
        return []
    if home.universe.tickers == "source":
        return sorted(source_of(home).tickers())
    return sorted(home.universe.tickers)
