"""Between arrays and tables: the panel as its three tables and back, and what a suite found as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.ordering import sorted_by
from quant_platform.contracts.tables import table
from quant_platform.labs.suite.backtest import BacktestResult
from quant_platform.labs.suite.build import STYLES
from quant_platform.labs.suite.contract import Validated
from quant_platform.labs.suite.experiments import CRITERIA_SCHEMA
from quant_platform.labs.suite.panel import NOT_KNOWN, Panel, Places
from quant_platform.labs.suite.sessions import DayRows, Days, SessionClock, session_clock
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform.specification.suite import SuiteSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def returns_frame(panel: Panel) -> pl.DataFrame:
    """``suite.returns``: a row for every session on which a name has a price or is paid out, and those between."""
    t, i, keys = _living(panel)
    opens, unknown = panel.open_returns, panel.funding_unknown_hours
    buckets = np.asarray([None, *panel.cap_buckets[1:]], dtype=object)[panel.cap_bucket[t, i]]
    return _typed(
        "suite.returns",
        {
            **keys,
            "ret": panel.returns[t, i],
            "ret_open_to_close": panel.intraday[t, i] if panel.intraday is not None else np.full(len(t), np.nan),
            "ret_open_to_open": opens[t, i] if opens is not None else np.full(len(t), np.nan),
            "funding_unknown_hours": np.full(len(t), np.nan) if unknown is None else unknown[t, i],
            "adv": panel.adv[t, i],
            "volatility": panel.volatility[t, i],
            "market_cap": panel.market_cap[t, i] if panel.market_cap is not None else np.full(len(t), np.nan),
            "cap_bucket": pl.Series(buckets.tolist(), dtype=pl.String),
            "priced": panel.priced[t, i],
            "member": panel.universe[t, i],
            "paid_out": t == panel.last[i] + 1,
        },
    )


def exposures_frame(panel: Panel) -> pl.DataFrame:
    """``suite.exposures``: industry and styles of every row of ``suite.returns``."""
    t, i, keys = _living(panel)
    names = np.asarray([*panel.industries, None], dtype=object)[panel.industry[t, i]]
    missing = np.full(len(t), np.nan)
    styles = {name: panel.exposures[name][t, i] if name in panel.exposures else missing for name in STYLES}
    return _typed("suite.exposures", {**keys, "industry": pl.Series(names.tolist(), dtype=pl.String), **styles})


def dates_frame(panel: Panel) -> pl.DataFrame:
    """``suite.dates``: the sessions, their hours, and which return a signal of the session can earn."""
    return sessions_frame(panel.sessions, panel.clock)


def sessions_frame(sessions: Days, clock: SessionClock) -> pl.DataFrame:
    """``suite.dates`` of sessions of a clock."""
    rows, days = clock.rows(sessions), clock.days
    return _typed(
        "suite.dates",
        {
            "session": sessions,
            "exchange": pl.Series([clock.name] * len(rows), dtype=pl.String),
            "opens_at": pl.Series(clock.opens[rows]).dt.replace_time_zone("UTC"),
            "closes_at": pl.Series(clock.closes[rows]).dt.replace_time_zone("UTC"),
            "date_ret": days[np.minimum(rows + 2, len(days) - 1)],
            "date_openret": days[np.minimum(rows + 1, len(days) - 1)],
        },
    )


def panel_of_frames(
    returns: pl.DataFrame,
    exposures: pl.DataFrame,
    dates: pl.DataFrame,
    spec: SuiteSpec,
    *,
    snapshot_id: str,
    simulated: bool,
) -> Panel:
    """Make the panel of the three tables again.

    Raises
    ------
    SchemaViolation
        When the sessions of the dates are not those of the returns, or there are none.
    """
    sessions = dates["session"].sort().to_numpy().astype("datetime64[D]")
    if returns.height == 0 or len(sessions) == 0:
        raise SchemaViolation("there are no rows to make a panel of", where="suite.returns, suite.dates")
    exchange = str(dates["exchange"][0])
    tickers = tuple(returns["ticker"].unique().sort().to_list())
    shape = (len(sessions), len(tickers))
    places = _places(returns, sessions, tickers)

    def known(column: str, frame: pl.DataFrame = returns, at: Places = places) -> Floats | None:
        """A column on the panel; None where none of its values is a number."""
        values = frame[column]
        if values.null_count() == values.len():
            return None
        found = at.lay(values.cast(pl.Float64).to_numpy())
        return found if np.isfinite(found).any() else None

    def spread(column: str) -> Floats:
        found = known(column)
        return np.full(shape, np.nan) if found is None else found

    def flags(column: str) -> Bools:
        return places.flag(returns[column].fill_null(value=False).to_numpy())

    paid = flags("paid_out")
    last = np.where(paid.any(axis=0), paid.argmax(axis=0) - 1, shape[0]).astype(np.int64)
    cap, opens, adv = known("market_cap"), known("ret_open_to_open"), known("adv")
    # Snapshots made before the column was there have none.
    unknown = known("funding_unknown_hours") if "funding_unknown_hours" in returns.columns else None
    lacking = {"market_cap": cap is None, "open": opens is None, "adv": adv is None}
    missing = {name: NOT_KNOWN[name] for name, absent in lacking.items() if absent}
    alike = all(exposures[name].equals(returns[name]) for name in ("session", "ticker"))
    exposed = places if alike else _places(exposures, sessions, tickers)
    industries = tuple(exposures["industry"].unique().drop_nulls().sort().to_list())
    if not industries:
        missing["industry"] = NOT_KNOWN["industry"]
    styles = {}
    for name in STYLES:
        values = known(name, exposures, exposed)
        if values is None:
            missing[f"exposure {name}"] = "its inputs are not among the data"
        else:
            styles[name] = values
    if not styles:
        missing["exposures"] = "no style exposure could be computed"
    return Panel(
        sessions=sessions,
        tickers=tickers,
        returns=spread("ret"),
        open_returns=opens,
        intraday=None if opens is None else spread("ret_open_to_close"),
        priced=flags("priced"),
        universe=flags("member"),
        last=last,
        adv=np.full(shape, np.nan) if adv is None else adv,
        volatility=spread("volatility"),
        market_cap=cap,
        cap_bucket=_codes(returns["cap_bucket"], spec.cap_bucket_names, places) + np.int16(1),
        cap_buckets=("unknown", *spec.cap_bucket_names),
        industry=_codes(exposures["industry"], industries, exposed),
        industries=industries,
        exposures=styles,
        clock=session_clock(exchange),
        periods_per_year=spec.days_per_year if exchange == "UTC" else spec.sessions_per_year,
        not_available=missing,
        snapshot_id=snapshot_id,
        simulated=simulated,
        funding_unknown_hours=unknown,
    )


def signal_frame(signal: str, validated: Validated) -> pl.DataFrame:
    """``suite.signals`` of one signal."""
    return _select("suite.signals", validated.good.rename({"signal": "value"}).with_columns(signal=pl.lit(signal)))


def rejects_frame(signal: str, validated: Validated) -> pl.DataFrame:
    """``suite.rejects`` of one signal."""
    return _select("suite.rejects", validated.rejects.rename({"signal": "value"}).with_columns(signal=pl.lit(signal)))


def composite_frame(signal: str, models: pl.DataFrame | None) -> pl.DataFrame:
    """``suite.composite`` of one signal; without rows where it is none."""
    if models is None:
        return table("suite.composite").schema.create_empty()
    return _select("suite.composite", models.with_columns(signal=pl.lit(signal)))


def suite_frames(found: SuiteResult) -> dict[str, pl.DataFrame]:
    """Everything a suite found, as rows of its tables by table name."""
    results = list(found.results.values())
    keys = (pl.lit(found.signal).alias("signal"), pl.lit(found.snapshot_id).alias("snapshot_id"))

    def stacked(name: str, frames: Iterable[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
        parts = [frame.with_columns(*keys, pl.lit(variant).alias("variant")) for variant, frame in frames]
        return _select(name, pl.concat(parts)) if parts else table(name).schema.create_empty()

    state = pl.lit(found.outcome.state).alias("registration")
    reasons = (
        found.verdict.to_frame()
        .with_row_index("rule")
        .with_columns(
            *keys, pl.lit(found.verdict.colour).alias("verdict"), pl.lit(found.reference).alias("reference"), state
        )
    )
    return {
        "suite.results": _select("suite.results", found.summary()),
        "suite.daily": stacked("suite.daily", ((r.variant, r.daily) for r in results)),
        "suite.fractiles": stacked(
            "suite.fractiles", ((r.variant, r.fractiles.table) for r in results if r.fractiles is not None)
        ),
        "suite.diagnostics": _diagnostics(found),
        "suite.correlations": _select("suite.correlations", found.correlations.with_columns(*keys)),
        "suite.trials": _select("suite.trials", found.trials),
        "suite.experiments": _experiments(found),
        "suite.verdict": _select("suite.verdict", reasons),
    }


def _experiments(found: SuiteResult) -> pl.DataFrame:
    registration, criteria = found.outcome.registration, found.outcome.criteria
    if registration is None:
        return table("suite.experiments").schema.create_empty()
    stated, opening = registration.experiment, registration.opening
    if opening is None:
        asked = [
            (config.variant, place == 0, criterion.metric, None, criterion.above, None)
            for place, config in enumerate(stated.variants)
            for criterion in stated.criteria
        ]
        criteria = pl.DataFrame(asked, schema=CRITERIA_SCHEMA, orient="row")
    whole = {
        "signal": found.signal,
        "snapshot_id": found.snapshot_id,
        "experiment": stated.name,
        "experiment_hash": registration.hash,
        "registered_at": registration.registered_at,
        "registered_by": registration.registered_by,
        "registrations": registration.number,
        "hypothesis": stated.hypothesis,
        "expected_sign": stated.expected_sign,
        "holdout_from": registration.holdout_from,
        "holdout_to": opening.holdout_to if opening is not None else None,
        "opened_at": opening.opened_at if opening is not None else None,
        "opened_by": opening.opened_by if opening is not None else None,
        "state": found.outcome.state,
    }
    return _select("suite.experiments", criteria.with_columns(pl.lit(value).alias(n) for n, value in whole.items()))


def _diagnostics(found: SuiteResult) -> pl.DataFrame:
    rows: list[tuple[str, str, float, float]] = []
    for result in found.results.values():
        rows.extend((result.variant, *line) for line in _of_variant(result))
    selection, partial = found.selection, found.partial
    whole: Mapping[str, float] = {
        "deflated_probability": selection.deflated.probability,
        "deflated_benchmark": selection.deflated.benchmark,
        "trials": float(selection.trials),
        "effective_trials": selection.effective_trials,
        "minimum_track_record_years": selection.minimum_years,
        "overfitting_probability": selection.overfitting.probability,
        "break_even_bps": found.break_even_bps,
        "partial_ic": partial.mean,
        "partial_ic_p": partial.p,
        "partial_ic_share": partial.share,
    }
    rows.extend(("", name, 0.0, value) for name, value in whole.items())
    rows.extend(("", "audit_ic", float(bar), ic) for bar, ic in found.audit.profile.select("bar", "ic").iter_rows())
    if found.capacity is not None:
        rows.append(("", "capacity_capital", found.capacity.floor, found.capacity.capital))
        for capital, ratio, earned, cost in found.capacity.curve.iter_rows():
            rows.append(("", "capacity_sharpe_net", capital, ratio))
            rows.append(("", "capacity_ann_return_net", capital, earned))
            rows.append(("", "capacity_ann_cost", capital, cost))
        rows.extend(("", f"held_{name}", 0.0, value) for name, value in found.capacity.holdings.items())
    frame = pl.DataFrame(rows, schema=["variant", "measure", "at", "value"], orient="row")
    # DuckDB and JSON have no infinity that every reader understands; a null says that there is none.
    finite = pl.when(pl.col("value").is_finite()).then(pl.col("value"))
    return _select(
        "suite.diagnostics",
        frame.with_columns(finite, signal=pl.lit(found.signal), snapshot_id=pl.lit(found.snapshot_id)),
    )


def _of_variant(result: BacktestResult) -> Iterable[tuple[str, float, float]]:
    yield from ((name, 0.0, value) for name, value in result.diagnostics.items())
    for row in result.ic.iter_rows(named=True):
        horizon = float(row["horizon_sessions"])
        yield from (
            (f"ic_{name}", horizon, float(row[name]))
            for name in ("mean", "sd", "icir", "n", "n_independent", "t_nonoverlapping", "p_nonoverlapping", "t_ewc")
        )
    if result.ic_decay is not None:
        yield from (("ic_decay", float(lag), mean) for lag, mean in result.ic_decay.select("lag", "mean").iter_rows())
    if result.fractiles is not None:
        found = result.fractiles
        yield from (
            ("fractile_spread_bps", 0.0, found.spread_mean_bps),
            ("fractile_spread_t", 0.0, found.spread_t),
            ("fractile_trend_t", 0.0, found.trend_t),
            ("fractile_trend_p", 0.0, found.trend_p),
            ("monotonicity_p_broken", 0.0, found.monotonicity.p_broken),
            ("monotonicity_p_flat", 0.0, found.monotonicity.p_flat),
            ("monotonicity_rising_steps", 0.0, found.monotonicity.rising_steps),
        )


def _living(panel: Panel) -> tuple[Any, Any, dict[str, Any]]:
    """Rows from a name's first price to its last, or to its payment."""
    first = np.where(panel.priced.any(axis=0), panel.priced.argmax(axis=0), panel.shape[0])
    rows = np.arange(panel.shape[0])[:, np.newaxis]
    i, t = np.nonzero(((rows >= first) & (rows <= panel.last + 1)).T)
    year = (panel.sessions.astype("datetime64[Y]").astype(np.int64) + 1970)[t]
    return (
        t,
        i,
        {
            "year": pl.Series(year).cast(pl.String),
            "ticker": pl.Series(panel.tickers, dtype=pl.String).gather(i),
            "session": pl.Series(panel.sessions[t], dtype=pl.Date),
        },
    )


def _typed(name: str, columns: Mapping[str, Any]) -> pl.DataFrame:
    return _select(name, pl.DataFrame(dict(columns)))


def _select(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of a table in its order and types, NaN as null, sorted by its key."""
    schema = table(name).schema
    columns = schema.columns()
    chosen = frame.select(pl.col(column).cast(found.dtype) for column, found in columns.items())
    floats = [column for column, found in columns.items() if found.dtype == pl.Float64]
    return sorted_by(chosen.with_columns(pl.col(floats).fill_nan(None)), schema.primary_key())


def _places(frame: pl.DataFrame, sessions: Days, tickers: tuple[str, ...]) -> Places:
    rows = DayRows(sessions).rows(frame["session"].to_numpy())
    wrong = rows < 0
    names = frame["ticker"].cast(pl.String).cast(pl.Enum(tickers), strict=False)
    if wrong.any() or names.null_count():
        raise SchemaViolation(
            "rows lie outside the sessions of suite.dates or the names of suite.returns",
            how_many=f"{int(wrong.sum()) + names.null_count()} of {frame.height} rows",
            cause="tables of two snapshots were mixed",
        )
    return Places((len(sessions), len(tickers)), rows, names.to_physical().cast(pl.Int64).to_numpy())


def _codes(series: pl.Series, names: tuple[str, ...], places: Places) -> npt.NDArray[np.int16]:
    codes = series.cast(pl.String).cast(pl.Enum(names), strict=False).to_physical().cast(pl.Int16)
    return places.code(codes.fill_null(-1).to_numpy())
