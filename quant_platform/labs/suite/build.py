"""From clean bars, actions, fundamentals and memberships to the dense panel and its baselines, point in time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Formula, Kind, Plan, compile_plan, evaluate_frame
from quant_platform.labs.suite.panel import Panel, SignalPanel, dense_signal
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
# Bars that end earlier than this before the market's end are those of a name that is gone.
_ENDED_AFTER_SESSIONS = 10
_EXTREME = 3.0


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
    return of its delisting on the session after its last price, and 0 where none is stated; without a delisting,
    a name whose bars end ten sessions before the market's is treated as gone with a return of 0.
    """
    if tables.bars.height == 0:
        raise SchemaViolation("there are no bars to make a panel of", where="clean.equity_bars")
    span = tables.bars["session"].sort().gather([0, -1]).to_list()
    days = session_array(exchange, span[0], span[1])
    tickers = tuple(tables.bars["ticker"].unique().sort().to_list())
    grid = _Grid(days, tickers)
    bars = {name: grid.spread(tables.bars, name) for name in ("open", "close", "dollar_volume")}
    priced = np.isfinite(bars["close"]) & (bars["close"] > 0.0)
    returns, last_close = _returns(bars["close"], priced)
    open_priced = priced & np.isfinite(bars["open"])
    open_returns, last_open = _returns(bars["open"], open_priced)
    last, payout = _endings(tables.actions, priced, grid)
    _pay_out(returns, open_returns, last, payout, last_close, last_open)
    member = membership(tables.securities, universe, days, tickers)
    inside = priced & member
    history = spec.history
    adv = _rolling(bars["dollar_volume"], history.adv, "mean")
    volatility = _rolling(returns, history.volatility, "std")
    # A window that runs on after the last price would describe nobody.
    alive = np.maximum.accumulate(priced, axis=0) & (np.arange(len(days))[:, np.newaxis] <= last + 1)
    adv, volatility = np.where(alive, adv, np.nan), np.where(alive, volatility, np.nan)
    known = published(tables, exchange, history.fundamentals_max_age_days)
    missing: dict[str, str] = {}
    cap, bucket = _market_caps(known, grid, inside, spec, missing)
    industry, industries = _industries(tables.securities, universe, grid, missing)
    market = np.where(inside, returns, np.nan)
    styles = {
        "beta": _beta(returns, _mean_of(market), history.beta),
        "size": np.log(cap) if cap is not None else None,
        "value": _book_to_price(known, grid),
        "momentum": _momentum(last_close, priced, history.momentum, history.momentum_skip),
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
        missing["open"] = "the bars have no opens"
    if not np.isfinite(adv).any():
        missing["adv"] = "the bars have no traded values"
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
    tables: MarketTables, panel: Panel, spec: SuiteSpec, file: BaselinesFile
) -> tuple[list[SignalPanel], Mapping[str, str]]:
    """Compute the baselines on the rows of a panel.

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
    known = published(tables, panel.clock.name, spec.history.fundamentals_max_age_days)
    grid = _Grid(panel.sessions, panel.tickers)
    frames = []
    for one in known.partition_by("ticker", maintain_order=True):
        values, _ = evaluate_frame(plan, one)
        frames.append(one.select("ticker", "session").hstack(values))
    everything = pl.concat(frames)
    signals, missing = [], {}
    for name in file.baselines:
        inside = np.where(panel.universe, grid.spread(everything, name), np.nan)
        if np.isfinite(inside).any():
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
            "security_id": pl.Series(np.asarray(panel.tickers, dtype=object)[i], dtype=pl.String),
            "date_sig": pl.Series(panel.sessions[t], dtype=pl.Date),
            "date_avail": pl.Series(following[t], dtype=pl.Date),
            "avail_hour": pl.Series([None] * len(t), dtype=pl.Float64),
            "signal": signal.by_date[t, i],
        }
    )


def standardise(values: Floats, inside: Bools) -> Floats:
    """Standardise each row over the universe: mean 0, standard deviation 1, nothing beyond three of them.

    An exposure is a control, not a signal: one name with an absurd ratio must not decide what is left of the others.
    """
    kept = np.where(inside & np.isfinite(values), values, np.nan)
    count = np.maximum(np.isfinite(kept).sum(axis=1, keepdims=True), 1)
    mean = np.nansum(kept, axis=1, keepdims=True) / count
    sd = np.sqrt(np.nansum((kept - mean) ** 2, axis=1, keepdims=True) / count)
    z = np.divide(kept - mean, sd, out=np.zeros_like(kept), where=sd > 0.0)
    return np.where(np.isfinite(kept), np.clip(z, -_EXTREME, _EXTREME), np.nan)


class _Grid:
    """Places of sessions and tickers."""

    def __init__(self, days: Days, tickers: tuple[str, ...]) -> None:
        self.days = days
        self.tickers = tickers
        self.shape = (len(days), len(tickers))

    def places(self, frame: pl.DataFrame) -> tuple[Longs, Longs]:
        """Row and column of each line; -1 outside."""
        stamps = frame["session"].to_numpy().astype("datetime64[D]")
        rows = np.minimum(np.searchsorted(self.days, stamps), len(self.days) - 1)
        rows = np.where(self.days[rows] == stamps, rows, -1)
        names = frame["ticker"].cast(pl.String).cast(pl.Enum(self.tickers), strict=False)
        return rows, names.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()

    def spread(self, frame: pl.DataFrame, column: str) -> Floats:
        """One column as ``[T, N]``, NaN where there is no row."""
        rows, names = self.places(frame)
        out = np.full(self.shape, np.nan)
        inside = (rows >= 0) & (names >= 0)
        out[rows[inside], names[inside]] = frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()[inside]
        return out


def _returns(price: Floats, priced: Bools) -> tuple[Floats, Floats]:
    """Returns over the last known price, and that price up to and including each row."""
    rows = np.where(priced, np.arange(price.shape[0])[:, np.newaxis], -1)
    latest = np.maximum.accumulate(rows, axis=0)
    carried = np.where(latest >= 0, np.take_along_axis(price, np.maximum(latest, 0), axis=0), np.nan)
    returns = np.full(price.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        returns[1:] = price[1:] / carried[:-1] - 1.0
    return np.where(priced, returns, np.nan), carried


def _endings(actions: pl.DataFrame, priced: Bools, grid: _Grid) -> tuple[Longs, Floats]:
    sessions = priced.shape[0]
    some = priced.any(axis=0)
    final = np.where(some, sessions - 1 - priced[::-1].argmax(axis=0), sessions - 1)
    stated = dict(actions.filter(pl.col("kind") == "delisting").select("ticker", "value").iter_rows())
    payout = np.array([stated.get(name, 0.0) for name in grid.tickers], dtype=np.float64)
    delisted = np.array([name in stated for name in grid.tickers])
    gone = (delisted & (final < sessions - 1)) | (final < sessions - 1 - _ENDED_AFTER_SESSIONS)
    return np.where(gone, final, sessions).astype(np.int64), payout


def _pay_out(
    returns: Floats, open_returns: Floats, last: Longs, payout: Floats, last_close: Floats, last_open: Floats
) -> None:
    for name in np.flatnonzero(last < returns.shape[0] - 1):
        row = last[name]
        returns[row + 1, name] = payout[name]
        open_returns[row + 1, name] = last_close[row, name] * (1.0 + payout[name]) / last_open[row, name] - 1.0


def _rolling(values: Floats, window: int, what: str) -> Floats:
    """Trailing mean or standard deviation per column over at least half of the window."""
    frame = pl.DataFrame(values).fill_nan(None)
    column, half = pl.all(), max(2, window // 2)
    made = (
        column.rolling_mean(window, min_samples=half)
        if what == "mean"
        else column.rolling_std(window, min_samples=half)
    )
    return np.ascontiguousarray(frame.select(made).fill_null(np.nan).to_numpy())


def _mean_of(values: Floats) -> Floats:
    """Mean of each row over the names that have a value; NaN where none has."""
    present = np.isfinite(values)
    total, names = np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1)
    result: Floats = np.divide(total, names, out=np.full(total.shape, np.nan), where=names > 0)
    return result


def _beta(returns: Floats, market: Floats, window: int) -> Floats:
    """Trailing covariance with the market over its variance, on the rows on which name and market have a return."""
    present = np.isfinite(returns) & np.isfinite(market)[:, np.newaxis]
    r, m = np.where(present, returns, np.nan), np.where(present, market[:, np.newaxis], np.nan)
    mean_r, mean_m = _rolling(r, window, "mean"), _rolling(m, window, "mean")
    cross = _rolling(r * m, window, "mean") - mean_r * mean_m
    variance = _rolling(m * m, window, "mean") - mean_m**2
    beta: Floats = np.divide(cross, variance, out=np.full(cross.shape, np.nan), where=variance > 1e-12)
    return beta


def _momentum(carried: Floats, priced: Bools, start: int, skip: int) -> Floats:
    out = np.full(carried.shape, np.nan)
    if carried.shape[0] > start:
        with np.errstate(invalid="ignore", divide="ignore"):
            out[start:] = carried[start - skip : carried.shape[0] - skip] / carried[: carried.shape[0] - start] - 1.0
    return np.where(priced, out, np.nan)


def _market_caps(
    known: pl.DataFrame, grid: _Grid, inside: Bools, spec: SuiteSpec, missing: dict[str, str]
) -> tuple[Floats | None, npt.NDArray[np.int16]]:
    cap = grid.spread(known, "market_cap")
    cap = np.where(cap > 0.0, cap, np.nan)
    if not np.isfinite(cap).any():
        missing["market_cap"] = "the fundamentals have no shares outstanding"
        return None, np.zeros(grid.shape, dtype=np.int16)
    groups = rank_panel(cap, inside).groups(spec.cap_bucket_percentiles)
    return cap, (groups + 1).astype(np.int16)


def _book_to_price(known: pl.DataFrame, grid: _Grid) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = grid.spread(known, BOOK) / grid.spread(known, "close_unadjusted")
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _industries(
    securities: pl.DataFrame, universe: str, grid: _Grid, missing: dict[str, str]
) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    codes = np.full(grid.shape, -1, dtype=np.int16)
    mine = securities.filter((pl.col("universe") == universe) & pl.col("sector").is_not_null())
    names = tuple(mine["sector"].unique().sort().to_list())
    if not names:
        missing["industry"] = "the securities have no sectors"
        return codes, ()
    columns = {ticker: k for k, ticker in enumerate(grid.tickers)}
    for ticker, start, end, sector in mine.select("ticker", "start_date", "end_date", "sector").iter_rows():
        column = columns.get(ticker)
        if column is not None:
            first = int(np.searchsorted(grid.days, np.datetime64(start)))
            stop = len(grid.days) if end is None else int(np.searchsorted(grid.days, np.datetime64(end), side="right"))
            codes[first:stop, column] = names.index(sector)
    return codes, names
