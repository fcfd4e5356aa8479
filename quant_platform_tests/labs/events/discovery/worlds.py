"""Small martingale markets with events that know nothing, and with events after which a drift is planted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from quant_platform.market.perp_panel import BARS_PER_DAY, PricePanel
from quant_platform.specification.discovery import DiscoverySpec, DiscoverySpecs, GatesSpec, TemplatesFile
from quant_platform.specification.events import EventSpec
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings

START = datetime(2024, 1, 1, tzinfo=UTC)
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
TEMPLATES = ("continuation", "mean_reversion", "trend_continuation", "overshoot_repair", "pullback_entry")


def panel(
    seed: int, *, days: int = 90, symbols: tuple[str, ...] = SYMBOLS, drift: np.ndarray | None = None
) -> PricePanel:
    """Correlated martingales with volatility that clusters; ``drift[s, t]`` is added to the log return of bar t."""
    rng = np.random.default_rng(seed)
    bars, count = days * BARS_PER_DAY, len(symbols)
    daily = np.repeat(np.exp(0.4 * rng.normal(size=days)), BARS_PER_DAY)
    sigma = 1e-3 * daily
    returns = sigma * (np.sqrt(0.5) * rng.normal(size=bars) + np.sqrt(0.5) * rng.normal(size=(count, bars)))
    if drift is not None:
        returns = returns + drift
    close = np.cumsum(returns, axis=1)
    opens = np.hstack([np.zeros((count, 1)), close[:, :-1]])
    # Extremes of a Brownian bridge over the bar, so that a level is reached as often as by a continuous martingale.
    bridge = np.sqrt(returns**2 - 2.0 * sigma**2 * np.log(rng.random((2, count, bars))))
    squares = np.cumsum(returns**2, axis=1)

    def rms(n: int) -> np.ndarray:
        out = np.full_like(returns, np.nan)
        out[:, n:] = np.sqrt(np.maximum(squares[:, n:] - squares[:, :-n], 0.0) / n)
        return out

    def trend(n: int) -> np.ndarray:
        out = np.full_like(returns, np.nan)
        out[:, n:] = close[:, n:] - close[:, :-n]
        return out / (rms(n) * np.sqrt(n))

    return PricePanel(
        symbols,
        START,
        {
            "open": np.exp(opens) * 100.0,
            "close": np.exp(close) * 100.0,
            "high": np.exp(opens + 0.5 * (returns + bridge[0])) * 100.0,
            "low": np.exp(opens + 0.5 * (returns - bridge[1])) * 100.0,
            "spread_bps": np.full_like(returns, 1.0),
            "quote_volume": np.full_like(returns, 1e6),
            "funding_settle": np.zeros_like(returns),
            "funding_rate": np.zeros_like(returns),
            "rv12": rms(12),
            "rv288": rms(288),
            "tstat96": trend(96),
            "tstat288": trend(288),
            "beta2016b": np.full_like(returns, 1.0),
        },
    )


def random_events(
    seed: int, event_ids: list[str], *, days: int = 90, per_day: float = 2.0, symbols=SYMBOLS
) -> pl.DataFrame:
    """Events at random bars, half of them on bars that all symbols share."""
    rng = np.random.default_rng(seed)
    frames = []
    for event_id in event_ids:
        shared = rng.choice(days * BARS_PER_DAY, int(days * per_day / 2), replace=False)
        for symbol in symbols:
            own = rng.choice(days * BARS_PER_DAY, int(days * per_day / 2), replace=False)
            at = np.unique(np.concatenate([shared, own]))
            frames.append(
                pl.DataFrame(
                    {
                        "event_id": event_id,
                        "symbol": symbol,
                        "bar": [START + timedelta(minutes=5 * int(t)) for t in at],
                        "direction": rng.choice([-1, 1], at.size),
                        "vol_regime": rng.choice(["low", "mid", "high"], at.size),
                    }
                )
            )
    return pl.concat(frames).with_columns(pl.col("bar").cast(pl.Datetime("us", "UTC")))


def event_spec(event_id: str, family: str = "TESTS", **changes: object) -> EventSpec:
    """Return an event that is only a name with horizons, templates and one conditioning state."""
    return EventSpec.model_validate(
        {
            "id": event_id,
            "version": 1,
            "family": family,
            "mechanism": "none",
            "inputs": ("close",),
            "condition": "close > 0",
            "onset": "level",
            "direction": "sgn(close)",
            "direction_kind": "signed",
            "intensity": "close",
            "max_active_bars": 12,
            "cooldown_bars": 0,
            "entry_lag_bars": 1,
            "prevalence_per_10k": {"min": 0.0, "max": 500.0},
            "horizons_bars": (3, 12),
            "templates": TEMPLATES,
            "filters": (),
            "conditioning": ("vol_regime",),
            "review": "none",
            **changes,
        }
    )


def specs(events: list[EventSpec], **discovery: object) -> DiscoverySpecs:
    """Return the shipped templates, defaults and gates around these events."""
    folder = settings().specs
    shipped = load_spec(folder / "discovery.yaml", DiscoverySpec)
    return DiscoverySpecs(
        events={event.id: event for event in events},
        templates=load_spec(folder / "templates.yaml", TemplatesFile).templates,
        discovery=DiscoverySpec.model_validate({**shipped.model_dump(), **discovery}),
        gates=load_spec(folder / "gates.yaml", GatesSpec),
        ontology_hash="0" * 64,
    )
