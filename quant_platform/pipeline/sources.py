"""The opened sources of a home: kept out of `home`, so that only what reads the outside world reaches their code."""

from __future__ import annotations

from quant_platform.pipeline.home import Home
from quant_platform.sources.open import open_source
from quant_platform.sources.open_perp import open_perp_source
from quant_platform.sources.perp_protocol import PerpSource
from quant_platform.sources.protocol import Source


def source_of(home: Home) -> Source:
    """The source of equities, opened once for a home."""
    return home.shared("source", home.spec.source, lambda: open_source(home.source_spec, home.spec.locations))


def perp_source_of(home: Home) -> PerpSource:
    """The source of perpetuals, opened once for a home."""

    def opened() -> PerpSource:
        return open_perp_source(home.perp_source_spec, home.perps.location, cache=home.settings.home / "downloads")

    return home.shared("perp source", home.perps.source, opened)


def tickers_of(home: Home) -> list[str]:
    """Every ticker of the universe, sorted; none in a home without equities."""
    if not home.has_equities:
        return []
    if home.universe.tickers == "source":
        return sorted(source_of(home).tickers())
    return sorted(home.universe.tickers)
