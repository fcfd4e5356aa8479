"""Simulated perpetuals whose truth is known: the expected return of every bar is kept as the oracle."""

from quant_platform.sources.simulated_perp.market import SimulatedPerpMarket, simulate
from quant_platform.sources.simulated_perp.source import SimulatedPerpSource

__all__ = ["SimulatedPerpMarket", "SimulatedPerpSource", "simulate"]
