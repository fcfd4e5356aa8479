"""Whether the features of a market have moved since training."""

from __future__ import annotations

import numpy as np
import polars as pl

from quant_platform.contracts.errors import StatisticError
from quant_platform.contracts.schemas.backtest import BacktestDrift
from quant_platform.engine.drift import drift_alarm
from quant_platform.labs.events.discovery.segments import Segment
from quant_platform.market.perp_panel import OPTIONAL, PricePanel
from quant_platform.specification.event_backtest import DriftSpec

FEATURES = tuple(name for name in OPTIONAL if name not in ("spot_close", "funding_settle"))


def drift_rows(panel: PricePanel, training: Segment, cutoff: str, spec: DriftSpec) -> pl.DataFrame:
    """Rows of ``backtest.drift``: every feature of the panel, by symbol, training against what came after.

    Notes
    -----
    One value in ``every_bars`` is taken, because neighbouring bars repeat each other: the bound counts values as if
    they were independent.
    """
    rows: list[dict[str, object]] = []
    for row, symbol in enumerate(panel.symbols):
        for name in FEATURES:
            values = panel.column(name)[row]
            base: dict[str, object] = {"cutoff": cutoff, "symbol": symbol, "feature": name}
            parts = values[training.bars], values[training.bars.stop :]
            seen = [int((~np.isnan(part[:: spec.every_bars])).sum()) for part in parts]
            counted = base | {"n_reference": seen[0], "n_current": seen[1], "alarm": False}
            try:
                found = drift_alarm(
                    *parts,
                    every=spec.every_bars,
                    bins=spec.bins,
                    confidence=spec.confidence,
                    smallest=spec.smallest,
                )
            except StatisticError as error:
                rows.append(counted | {"not_available": error.what})
                continue
            rows.append(counted | {"psi": found.index.value, "bound": found.index.bound, "alarm": found.raised})
    schema = {name: column.dtype for name, column in BacktestDrift.columns().items()}
    return pl.DataFrame(rows, schema=schema).sort(BacktestDrift.primary_key())
