"""A simulated equity market whose truth is known: splits, dividends, delistings, planted premia or none at all."""

from quant_platform.sources.simulated.market import SimulatedMarket, simulate
from quant_platform.sources.simulated.source import SimulatedSource

__all__ = ["SimulatedMarket", "SimulatedSource", "simulate"]
