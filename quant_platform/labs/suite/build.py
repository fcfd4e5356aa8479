"""From clean bars, actions, fundamentals and memberships to the dense panel and its baselines, point in time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Formula, Kind, Plan, compile_plan, evaluate_stacked
from quant_platform.labs.suite.derived import (
    Grid,
    endings,
    mean_of,
    rolling,
    standardise,
    trailing_beta,
    trailing_momentum,
)
from quant_platform.labs.suite.own_panel import index_bars
from quant_platform.labs.suite.panel import NOT_KNOWN, Panel, SignalPanel, dense_signal
from quant_platform.labs.suite.published import BAR_COLUMNS, BOOK, MarketTables, published
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.market.calendar import session_array
from quant_platform.market.universe import membership
from quant_platform.specification.suite import BaselinesFile, SuiteSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]
Days = npt.NDArray[np.datetime64]

STYLES = ("beta", "size", "value", "momentum", "volatility", "liquidity")
BASELINE_COLUMNS = (*BAR_COLUMNS, BOOK, "market_cap")


def build_panel(
    tables: MarketTables,
    spec: SuiteSpec,
    *,
    exchange: str,
    universe: str,
    snapshot_id: str = "",
    simulated: bool = False,
) -> Panel:
    """Make the dense panel of a market.

    Raises
    ------
    SchemaViolation
        When there are no bars, or the universe has no members.

    Notes
    -----
    **Timing.** Everything on a row was known at its close: trailing windows end on it, fundamentals join backward on
    the time they became known, membership and sector are those of the day.

    **Splits.** A value per share that was published before a split is restated to the shares of the day by the ratio of
    split factors, which is a fact of the days between. Adjusted prices enter as ratios only.

    **Missing values.** The return after a hole in the prices holds the whole move. A delisted name earns the stated
    return of its delisting on the session after its last price. A name whose bars end ten sessions before the market's
    is gone as well. Where no source says what came then, the return is missing: a book is charged for it
    (`costs.cost_rates`), and no statistic has that name over a window that ends with it.
    """
    if tables.bars.height == 0:
        raise SchemaViolation("there are no bars to make a panel of", where="clean.equity_bars")
    span = tables.bars["session"].sort().gather([0, -1]).to_list()
    days = session_array(exchange, span[0], span[1])
    tickers = tuple(tables.bars["ticker"].unique().sort().to_list())
    grid = Grid(days, tickers)
    bars = {name: grid.spread(tables.bars, name) for name in ("open", "close", "dollar_volume")}
    priced = np.isfinite(bars["close"]) & (bars["close"] > 0.0)
    returns, last_close = _returns(bars["close"], priced)
    open_priced = priced & np.isfinite(bars["open"])
    open_returns, last_open = _returns(bars["open"], open_priced)
    last, payout = endings(tables.actions, priced, grid)
    _pay_out(returns, open_returns, last, payout, last_close, last_open)
    member = membership(tables.securities, universe, days, tickers)
    inside = priced & member
    history = spec.history
    adv = rolling(bars["dollar_volume"], history.adv, "mean")
    volatility = rolling(returns, history.volatility, "std")
    # A window that runs on after the last price would describe nobody.
    alive = np.maximum.accumulate(priced, axis=0) & (np.arange(len(days))[:, np.newaxis] <= last + 1)
    adv, volatility = np.where(alive, adv, np.nan), np.where(alive, volatility, np.nan)
    known = published(tables, exchange, history.fundamentals_max_age_days)
    missing: dict[str, str] = {}
    cap, bucket = _market_caps(known, grid, inside, spec, missing)
    industry, industries = _industries(tables.securities, universe, grid, missing)
    market = np.where(inside, returns, np.nan)
    styles = {
        "beta": trailing_beta(returns, mean_of(market), history.beta),
        "size": np.log(cap) if cap is not None else None,
        "value": _book_to_price(known, grid),
        "momentum": trailing_momentum(last_close, priced, history.momentum, history.momentum_skip),
        "volatility": np.log(np.where(volatility > 0.0, volatility, np.nan)),
        "liquidity": np.log(np.where(adv > 0.0, adv, np.nan)),
    }
    exposures = {}
    for name, values in styles.items():
        if values is None or not np.isfinite(np.where(inside, values, np.nan)).any():
            missing[f"exposure {name}"] = "its inputs are not among the data"
        else:
            exposures[name] = standardise(values, inside)
    if not exposures:
        missing["exposures"] = "no style exposure could be computed"
    if not np.isfinite(bars["open"]).any():
        missing["open"] = NOT_KNOWN["open"]
    if not np.isfinite(adv).any():
        missing["adv"] = NOT_KNOWN["adv"]
    return Panel(
        sessions=days,
        tickers=tickers,
        returns=returns,
        open_returns=None if "open" in missing else open_returns,
        intraday=None if "open" in missing else np.where(open_priced, bars["close"] / bars["open"] - 1.0, np.nan),
        priced=priced,
        universe=inside,
        last=last,
        adv=adv,
        volatility=volatility,
        market_cap=cap,
        cap_bucket=bucket,
        cap_buckets=("unknown", *spec.cap_bucket_names),
        industry=industry,
        industries=industries,
        exposures=exposures,
        clock=session_clock(exchange),
        periods_per_year=spec.sessions_per_year,
        not_available=missing,
        snapshot_id=snapshot_id,
        simulated=simulated,
    )


def baseline_plan(file: BaselinesFile) -> Plan:
    """Check the expressions of the baselines; raises ExpressionError."""
    return compile_plan(
        {name: Formula(one.expression) for name, one in file.baselines.items()},
        dict.fromkeys(BASELINE_COLUMNS, Kind.NUMBER),
        {name: Formula(text) for name, text in file.definitions.items()},
    )


def baseline_signals(
    tables: MarketTables | None, panel: Panel, spec: SuiteSpec, file: BaselinesFile
) -> tuple[list[SignalPanel], Mapping[str, str]]:
    """Compute the baselines on the rows of a panel.

    Parameters
    ----------
    tables
        What the panel was made of; None for a panel without bars, whose returns are read as an index of prices.
    panel
        The rows.
    spec
        The suite's numbers.
    file
        The baselines.

    Returns
    -------
    tuple
        The signals that have values, and by name of the others the cause why they have none.

    Notes
    -----
    **Timing.** The expression language sees trailing data only; a value stands on the session whose close it has seen,
    and is traded at the next open or close.
    """
    plan = baseline_plan(file)
    if tables is not None:
        known = published(tables, panel.clock.name, spec.history.fundamentals_max_age_days)
    else:
        known = index_bars(panel)
        absent = [name for name in BASELINE_COLUMNS if name not in known.columns]
        known = known.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    return evaluated_signals(plan, known, panel)


def evaluated_signals(plan: Plan, rows: pl.DataFrame, panel: Panel) -> tuple[list[SignalPanel], dict[str, str]]:
    """Evaluate a plan over the rows of each name, and spread it over the universe of a panel.

    Parameters
    ----------
    plan
        Compiled expressions.
    rows
        ``ticker, session`` and the columns of the plan, one row per session between the first and the last of a name,
        oldest first within a name.
    panel
        The rows on which values stand.

    Returns
    -------
    tuple
        The signals that have values, and by name of the others the cause why they have none.
    """
    grid = Grid(panel.sessions, panel.tickers)
    runs = rows["ticker"].rle()
    if runs.struct.field("value").n_unique() < runs.len():
        rows = rows.sort("ticker", maintain_order=True)
        runs = rows["ticker"].rle()
    places = grid.places(rows)
    signals, missing = [], {}
    for name, values in evaluate_stacked(plan, rows, runs.struct.field("len").to_list()).items():
        inside = np.where(panel.universe, places.lay(values), np.nan) if np.isfinite(values).any() else None
        if inside is not None and np.isfinite(inside).any():
            signals.append(dense_signal(name, inside))
        else:
            missing[name] = "its inputs are not among the data"
    return signals, missing


def contract_rows(signal: SignalPanel, panel: Panel) -> pl.DataFrame:
    """Return a signal of the platform in the format of the contract, available from the session after ``date_sig``.

    Rows of the last session have no next one in the panel; the calendar gives it.
    """
    t, i = np.nonzero(np.isfinite(signal.by_date))
    following = panel.clock.days[panel.clock.rows(panel.sessions) + 1]
    return pl.DataFrame(
        {
            "security_id": pl.Series(panel.tickers, dtype=pl.String).gather(i),
            "date_sig": pl.Series(panel.sessions[t], dtype=pl.Date),
            "date_avail": pl.Series(following[t], dtype=pl.Date),
            "avail_hour": pl.Series([None] * len(t), dtype=pl.Float64),
            "signal": signal.by_date[t, i],
        }
    )


def _returns(price: Floats, priced: Bools) -> tuple[Floats, Floats]:
    """Returns over the last known price, and that price up to and including each row."""
    rows = np.where(priced, np.arange(price.shape[0])[:, np.newaxis], -1)
    latest = np.maximum.accumulate(rows, axis=0)
    carried = np.where(latest >= 0, np.take_along_axis(price, np.maximum(latest, 0), axis=0), np.nan)
    returns = np.full(price.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        returns[1:] = price[1:] / carried[:-1] - 1.0
    return np.where(priced, returns, np.nan), carried


def _pay_out(
    returns: Floats, open_returns: Floats, last: Longs, payout: Floats, last_close: Floats, last_open: Floats
) -> None:
    for name in np.flatnonzero(last < returns.shape[0] - 1):
        row = last[name]
        returns[row + 1, name] = payout[name]
        open_returns[row + 1, name] = last_close[row, name] * (1.0 + payout[name]) / last_open[row, name] - 1.0


def _market_caps(
    known: pl.DataFrame, grid: Grid, inside: Bools, spec: SuiteSpec, missing: dict[str, str]
) -> tuple[Floats | None, npt.NDArray[np.int16]]:
    cap = grid.spread(known, "market_cap")
    cap = np.where(cap > 0.0, cap, np.nan)
    if not np.isfinite(cap).any():
        missing["market_cap"] = NOT_KNOWN["market_cap"]
        return None, np.zeros(grid.shape, dtype=np.int16)
    groups = rank_panel(cap, inside).groups(spec.cap_bucket_percentiles)
    return cap, (groups + 1).astype(np.int16)


def _book_to_price(known: pl.DataFrame, grid: Grid) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = grid.spread(known, BOOK) / grid.spread(known, "close_unadjusted")
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _industries(
    securities: pl.DataFrame, universe: str, grid: Grid, missing: dict[str, str]
) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    codes = np.full(grid.shape, -1, dtype=np.int16)
    mine = securities.filter((pl.col("universe") == universe) & pl.col("sector").is_not_null())
    names = tuple(mine["sector"].unique().sort().to_list())
    if not names:
        missing["industry"] = NOT_KNOWN["industry"]
        return codes, ()
    columns = {ticker: k for k, ticker in enumerate(grid.tickers)}
    for ticker, start, end, sector in mine.select("ticker", "start_date", "end_date", "sector").iter_rows():
        column = columns.get(ticker)
        if column is not None:
            first = int(np.searchsorted(grid.days, np.datetime64(start)))
            stop = len(grid.days) if end is None else int(np.searchsorted(grid.days, np.datetime64(end), side="right"))
            codes[first:stop, column] = names.index(sector)
    return codes, names
