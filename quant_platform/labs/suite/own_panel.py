"""From somebody's own returns, descriptors and exposures to the dense panel: no price bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import CalendarError, SchemaViolation
from quant_platform.labs.suite.derived import (
    Grid,
    endings,
    mean_of,
    rolling,
    standardise,
    trailing_beta,
    trailing_momentum,
)
from quant_platform.labs.suite.panel import NOT_KNOWN, Panel
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.labs.suite.sessions import SessionClock, session_clock
from quant_platform.specification.suite import SuiteSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Days = npt.NDArray[np.datetime64]

_NO_ACTIONS = pl.DataFrame(schema={"ticker": pl.String, "kind": pl.String, "value": pl.Float64})


@dataclass(frozen=True)
class OwnFrames:
    """What a panel without bars is made of.

    Attributes
    ----------
    returns
        ``ticker, session, ret, ret_open_to_close, ret_open_to_open``, unique by name and session; a row says that the
        name had a price. ``funding_unknown_hours`` as well where funding is due.
    descriptors
        ``ticker, session`` and any of ``adv, volatility, market_cap, industry, member``.
    risk
        ``ticker, session`` and style exposures in any scale; empty to take those that the rest gives.
    dates
        The trading dates; None for those of the clock.
    descriptors_age, risk_age
        Calendar days for which a row holds where no later one came; 0 for daily rows.
    """

    returns: pl.DataFrame
    descriptors: pl.DataFrame
    risk: pl.DataFrame
    dates: pl.Series | None
    descriptors_age: int
    risk_age: int


def own_sessions(frames: OwnFrames, clock: SessionClock) -> Days:
    """Sessions from the first return to the last.

    Raises
    ------
    SchemaViolation
        When there are no returns.
    CalendarError
        When the trading dates between them are not the sessions of the clock.

    Notes
    -----
    **Timing.** A signal is traded at the first close after it was known, which the clock decides: dates that it does
    not know would move trades by a day, in silence.
    """
    if frames.returns.height == 0:
        raise SchemaViolation("there are no returns to make a panel of", where="suite.returns")
    days = frames.returns["session"].sort().to_numpy().astype("datetime64[D]")
    known: Days = clock.days[(clock.days >= days[0]) & (clock.days <= days[-1])]
    if frames.dates is not None:
        stated = frames.dates.to_numpy().astype("datetime64[D]")
        stated = stated[(stated >= days[0]) & (stated <= days[-1])]
        _require_same(stated, known, clock.name)
    _require_sessions(frames.returns, "returns", known, clock.name)
    for what, frame, age in (
        ("descriptors", frames.descriptors, frames.descriptors_age),
        ("risk", frames.risk, frames.risk_age),
    ):
        if age == 0:
            _require_sessions(frame, what, known, clock.name)
    return known


def own_panel(frames: OwnFrames, spec: SuiteSpec, *, exchange: str) -> Panel:
    """Make the dense panel of returns.

    Parameters
    ----------
    frames
        What the files hold.
    spec
        Windows and buckets.
    exchange
        ISO 10383 code of the calendar, or UTC.

    Raises
    ------
    SchemaViolation
        When there are no returns.
    CalendarError
        When dates are no sessions of the exchange.

    Notes
    -----
    **Timing.** A row of any file was known at the close of its session. A descriptor or an exposure that is older than
    a session holds until the next row of its name, for the days that the source spec allows.

    **Missing values.** A name without a row on a session has no price on it, keeps its position, and earns what the
    next row states. A name whose rows end ten sessions before the market's is gone: whatever its delisting paid stands
    in its last row, and 0 is paid after it.

    Volatility is computed from the returns where no descriptor states it, and so are beta, momentum and volatility as
    styles where there is no file of them; size needs market caps, liquidity traded values, value a file.
    """
    clock = session_clock(exchange)
    days = own_sessions(frames, clock)
    tickers = tuple(frames.returns["ticker"].unique().sort().to_list())
    grid = Grid(days, tickers)
    listed = _present(frames.returns, grid)
    returns = grid.spread(frames.returns, "ret")
    last, _ = endings(_NO_ACTIONS, listed, grid)
    alive = np.maximum.accumulate(listed, axis=0) & (np.arange(len(days))[:, np.newaxis] <= last + 1)
    # On a session without a return nothing moves: the next one holds the whole move.
    level = np.where(np.maximum.accumulate(listed, axis=0), np.cumprod(1.0 + np.nan_to_num(returns), axis=0), np.nan)
    opens = {name: grid.spread(frames.returns, name) for name in ("ret_open_to_open", "ret_open_to_close")}
    gone = np.flatnonzero(last < len(days) - 1)
    for values in (returns, opens["ret_open_to_open"]):
        values[last[gone] + 1, gone] = 0.0  # as the last row says it all
    stated = {
        name: np.where(alive, _held(frames.descriptors, name, grid, frames.descriptors_age), np.nan)
        for name in ("adv", "volatility", "market_cap", "member")
    }
    inside = listed if "member" not in frames.descriptors.columns else listed & (stated["member"] == 1.0)
    funding = None
    if "funding_unknown_hours" in frames.returns.columns:
        funding = grid.spread(frames.returns, "funding_unknown_hours")
    volatility = stated["volatility"]
    if "volatility" not in frames.descriptors.columns:
        volatility = np.where(alive, rolling(returns, spec.history.volatility, "std"), np.nan)
    missing: dict[str, str] = {}
    cap = np.where(stated["market_cap"] > 0.0, stated["market_cap"], np.nan)
    bucket = np.zeros(grid.shape, dtype=np.int16)
    if np.isfinite(cap).any():
        bucket = (rank_panel(cap, inside).groups(spec.cap_bucket_percentiles) + 1).astype(np.int16)
    else:
        missing["market_cap"] = NOT_KNOWN["market_cap"]
    industry, industries = _industries(frames.descriptors, grid, frames.descriptors_age)
    if not industries:
        missing["industry"] = NOT_KNOWN["industry"]
    if not np.isfinite(stated["adv"]).any():
        missing["adv"] = NOT_KNOWN["adv"]
    has_opens = bool(np.isfinite(opens["ret_open_to_open"][listed]).any())
    if not has_opens:
        missing["open"] = NOT_KNOWN["open"]
    styles = (
        {name: _held(frames.risk, name, grid, frames.risk_age) for name in _columns(frames.risk)}
        if frames.risk.height
        else _styles(returns, level, listed, inside, cap, stated["adv"], volatility, spec)
    )
    exposures = {
        name: standardise(values, inside) for name, values in styles.items() if np.isfinite(values[inside]).any()
    }
    if not exposures:
        missing["exposures"] = "no style exposure was given, and none could be computed"
    return Panel(
        sessions=days,
        tickers=tickers,
        returns=returns,
        open_returns=opens["ret_open_to_open"] if has_opens else None,
        intraday=opens["ret_open_to_close"] if has_opens else None,
        priced=listed,
        universe=inside,
        last=last,
        adv=stated["adv"],
        volatility=volatility,
        market_cap=None if "market_cap" in missing else cap,
        cap_bucket=bucket,
        cap_buckets=("unknown", *spec.cap_bucket_names),
        industry=industry,
        industries=industries,
        exposures=exposures,
        clock=clock,
        periods_per_year=spec.days_per_year if exchange == "UTC" else spec.sessions_per_year,
        not_available=missing,
        funding_unknown_hours=funding,
    )


def index_bars(panel: Panel) -> pl.DataFrame:
    """The returns of a panel as the bars that a baseline reads: ``ticker, session, close, market_cap``.

    The close is an index of the returns: 1 before the first of them, carried over sessions without one, NaN on these.
    What a ratio of closes says, it says as prices would.
    """
    since = np.maximum.accumulate(panel.priced, axis=0)
    level = np.cumprod(1.0 + np.where(panel.priced, np.nan_to_num(panel.returns), 0.0), axis=0)
    i, t = np.nonzero((since & (np.arange(panel.shape[0])[:, np.newaxis] <= panel.last)).T)
    cap = panel.market_cap if panel.market_cap is not None else np.full(panel.shape, np.nan)
    return pl.DataFrame(
        {
            "ticker": pl.Series(panel.tickers, dtype=pl.Enum(panel.tickers)).gather(i),
            "session": pl.Series(panel.sessions[t], dtype=pl.Date),
            "close": np.where(panel.priced, level, np.nan)[t, i],
            "market_cap": pl.Series(cap[t, i]).fill_nan(None),
        }
    )


def _styles(
    returns: Floats,
    level: Floats,
    listed: Bools,
    inside: Bools,
    cap: Floats,
    adv: Floats,
    volatility: Floats,
    spec: SuiteSpec,
) -> Mapping[str, Floats]:
    history = spec.history
    market = mean_of(np.where(inside, returns, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "beta": trailing_beta(returns, market, history.beta),
            "size": np.log(cap),
            "momentum": trailing_momentum(level, listed, history.momentum, history.momentum_skip),
            "volatility": np.log(np.where(volatility > 0.0, volatility, np.nan)),
            "liquidity": np.log(np.where(adv > 0.0, adv, np.nan)),
        }


def _columns(frame: pl.DataFrame) -> Sequence[str]:
    return [name for name in frame.columns if name not in ("ticker", "session")]


def _present(frame: pl.DataFrame, grid: Grid) -> Bools:
    return grid.places(frame).flag(np.ones(frame.height, dtype=np.bool_))


def _held(frame: pl.DataFrame, column: str, grid: Grid, age_days: int) -> Floats:
    """A column on the grid, each row from its day on until the next one of the name or until it is too old.

    A null hides the value before it: what was withdrawn is not known any more.
    """
    out = np.full(grid.shape, np.nan)
    if column not in frame.columns or frame.height == 0:
        return out
    known = frame.filter(pl.col("ticker").is_in(list(grid.tickers))).sort("session")
    stamps = known["session"].to_numpy().astype("datetime64[D]")
    # Known at the close of its day, that is on the first session that does not lie before it.
    rows = np.searchsorted(grid.days, stamps)
    names = known["ticker"].cast(pl.Enum(grid.tickers)).to_physical().cast(pl.Int64).to_numpy()
    values = known[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    inside = rows < len(grid.days)
    at = np.full(grid.shape, -1, dtype=np.int64)
    # Rows before the panel begins hold from its first session on; later ones of one place win.
    at[rows[inside], names[inside]] = np.flatnonzero(inside)
    at = np.maximum.accumulate(at, axis=0)
    some = at >= 0
    age = grid.days[:, np.newaxis] - stamps[np.maximum(at, 0)]
    fresh = some & (age <= np.timedelta64(age_days, "D"))
    out[fresh] = values[at[fresh]]
    return out


def _industries(frame: pl.DataFrame, grid: Grid, age_days: int) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    if "industry" not in frame.columns or frame["industry"].null_count() == frame.height:
        return np.full(grid.shape, -1, dtype=np.int16), ()
    names = tuple(frame["industry"].drop_nulls().unique().sort().to_list())
    codes = {name: float(place) for place, name in enumerate(names)}
    coded = frame.with_columns(pl.col("industry").replace_strict(codes, default=None, return_dtype=pl.Float64))
    held = _held(coded, "industry", grid, age_days)
    return np.where(np.isfinite(held), held, -1.0).astype(np.int16), names


def _require_sessions(frame: pl.DataFrame, what: str, known: Days, name: str) -> None:
    """Raise where rows between the first and the last session are dated on none."""
    days = frame["session"].unique().to_numpy().astype("datetime64[D]")
    strange = np.setdiff1d(days[(days >= known[0]) & (days <= known[-1])], known)
    if not strange.size:
        return
    wrong = frame.filter(pl.col("session").is_in(strange.tolist()))
    raise CalendarError(
        f"rows are dated on days that are no session of {name}",
        where=f"the file of {what}",
        how_many=f"{wrong.height} of {frame.height} rows, {strange.size} days",
        rows=wrong.select(wrong.columns[:3]).sort("session", "ticker").head(5),
        cause="another exchange than the source spec names, a time zone that moves dates by one, or a day that the "
        "calendar does not know; of descriptors and risk, values by month without `max_age_days`",
        action=f"correct `exchange`, `time_zone` or `max_age_days`, or add the day in specs/calendars/{name}.yaml",
    )


def _require_same(stated: Days, known: Days, name: str) -> None:
    strange, lacking = np.setdiff1d(stated, known), np.setdiff1d(known, stated)
    if not strange.size and not lacking.size:
        return
    rows = [{"date": str(day), "what": f"stated, no session of {name}"} for day in strange[:3]]
    rows += [{"date": str(day), "what": f"session of {name}, not stated"} for day in lacking[: 5 - len(rows)]]
    raise CalendarError(
        f"the trading dates are not the sessions of {name}",
        where="the file of trading dates",
        how_many=f"{strange.size} dates are no session, {lacking.size} sessions are not stated",
        rows=rows,
        cause="another exchange than the source spec names, or days that its calendar does not know",
        action=f"correct `exchange` in the source spec, or add and strike the days in specs/calendars/{name}.yaml",
    )
