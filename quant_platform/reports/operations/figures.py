"""The figures of operations that the web app and a notebook show."""

from __future__ import annotations

import polars as pl

from quant_platform.reports.charts import builders
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.queries import literal


def slippage_heat(windows: pl.DataFrame, *, simulated: bool, width: int = 620) -> Figure:
    """Mean slippage by asset class and hour; an hour without fills is a dashed square, not a zero.

    Parameters
    ----------
    windows
        Rows of ``ops.slippage_windows`` of one week, not none.
    simulated
        Whether the figure must say SIMULATED.
    width
        In pixels.
    """
    week = windows["week"][0]
    words = Words(
        "Slippage by hour",
        "Mean price paid against the middle, in bps, by hour of the day, UTC. A dashed square holds no fill.",
        sql=f"select asset_class, hour, n, mean_bps, low_bps, high_bps\nfrom ops.slippage_windows\n"
        f"where week = {literal(str(week))}\norder by asset_class, hour",
        simulated=simulated,
    )
    rows = windows.select(
        "asset_class", pl.col("hour").cast(pl.String).str.zfill(2), "n", "mean_bps", "low_bps", "high_bps"
    )
    return builders.heat(
        rows,
        words,
        x=Field("hour", "hour, UTC", "category"),
        y=Field("asset_class", "asset class", "category"),
        value=Field("mean_bps", "mean slippage, bps"),
        written=lambda value: f"{value:.0f}",
        tips=(Field("n", "fills"), Field("low_bps", "lower limit"), Field("high_bps", "upper limit")),
        width=width,
    )
