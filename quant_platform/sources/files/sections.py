"""Corporate actions and membership intervals out of CSV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.contracts.findings import Finding
from quant_platform.contracts.schemas.raw import ACTION_KINDS
from quant_platform.market.calendar import previous_session
from quant_platform.sources.files.bars import respelled
from quant_platform.sources.files.dates import to_dates
from quant_platform.sources.files.text import (
    LINE,
    PLAIN,
    plain_text,
    read_csv,
    require_columns,
    to_numbers,
)
from quant_platform.sources.protocol import action_known_at, actions_schema, safe_ticker, securities_schema
from quant_platform.specification.sources import (
    ActionColumns,
    ActionFile,
    FilesSpec,
    MembershipFile,
    SourceSpec,
    TextTable,
    TickerRule,
)

_RATIO = r"^([\d.,]+)\s*[:/]\s*([\d.,]+)$"


@dataclass(frozen=True)
class Section:
    """Rows of one section of the spec, with the names as the file writes them, and what reading brought to light.

    ``rows`` has the columns of its table; its ``ticker`` is ours by the rule of the file, not yet known to have bars.
    """

    rows: pl.DataFrame
    where: str
    findings: tuple[Finding, ...] = ()


def read_actions(path: Path, section: ActionFile, spec: SourceSpec, files: FilesSpec) -> Section:
    """``raw.corporate_actions`` of all tickers; a file with its header alone says that there are none.

    Raises
    ------
    SourceNotFound
        When there is no such file: that nothing is known about splits is not the same as that there were none.
    SourceMalformed
        For text in a number, dates in another format, an unknown kind, a split whose ratio is not above zero, a row
        without ticker, or one action stated twice.
    """
    if not path.is_file():
        raise SourceNotFound(
            "the file of corporate actions does not exist",
            where=str(path),
            cause="the source spec names one; prices without their splits and dividends would be wrong in silence",
            action="write it, with its header alone if there are none; or take `actions` out of the spec, and say "
            "under `adjustment` what the vendor has done",
        )
    table = read_csv(path, section, may_have_no_rows=True)
    frame, where = table.frame, str(path)
    require_columns(frame.columns, [section.ticker, section.ex_date, section.kind, section.value], where)
    frame = with_tickers(frame, section.ticker, section.ticker_rule or files.ticker, where, "actions")
    frame = to_dates(frame, section.ex_date, where, section, exchange=spec.exchange)
    frame = frame.with_columns(pl.col(section.kind).str.strip_chars())
    frame = to_ratios(frame, section.value, section, only=pl.col(section.kind) == "split")
    frame = to_numbers(frame, [section.value], where, section)
    wrong = frame.filter(~pl.col(section.kind).is_in(ACTION_KINDS).fill_null(False) | pl.col(section.value).is_null())
    if wrong.height:
        raise SourceMalformed(
            "actions have an unknown kind or no value",
            where=f"{path}, line {wrong[LINE][0]}",
            how_many=f"{wrong.height} of {frame.height} rows",
            rows=wrong.select(section.ticker, section.ex_date, section.kind, section.value),
            action=f"a kind is one of {', '.join(ACTION_KINDS)}",
        )
    refuse_no_ratio(frame.filter(pl.col(section.kind) == "split"), section.value, where)
    rows = [
        (ticker, day, kind, value, action_known_at(kind, day), spec.name)
        for ticker, day, kind, value in frame.select("__ours", section.ex_date, section.kind, section.value).iter_rows()
    ]
    actions = pl.DataFrame(rows, schema=actions_schema(), orient="row")
    repeated = actions.filter(pl.struct("ticker", "ex_date", "kind").is_duplicated())
    if repeated.height:
        raise SourceMalformed(
            "an action is stated twice",
            where=where,
            how_many=f"{repeated.height} of {actions.height} rows",
            rows=repeated.select("ticker", "ex_date", "kind", "value"),
            action="several dividends of one day are one action with their sum",
        )
    return Section(actions.sort("ticker", "ex_date", "kind"), where, table.findings)


def actions_beside_bars(
    frame: pl.DataFrame, dates: pl.Series, beside: ActionColumns, style: TextTable, spec: SourceSpec, where: str
) -> pl.DataFrame:
    """``raw.corporate_actions`` of one ticker out of columns of its bars.

    Parameters
    ----------
    frame
        Rows in the vendor's columns with ``__ticker``.
    dates
        Session of each row.

    Raises
    ------
    SourceMalformed
        For text in a number, and for a split below zero; in a column of bars, 0 and 1 say that there was none.
    """
    rows: list[tuple[object, ...]] = []
    tickers = frame["__ticker"]
    for kind, column in (("split", beside.split), ("cash_dividend", beside.cash_dividend)):
        if column is None:
            continue
        values = to_ratios(frame, column, style, only=pl.lit(kind == "split"))
        parsed = to_numbers(values, [column], where, style)
        numbers = parsed[column]
        if kind == "split":
            refuse_no_ratio(parsed.filter(pl.col(column) != 0), column, where)
        for ticker, day, value in zip(tickers, dates, numbers, strict=True):
            if value is not None and value != 0 and not (kind == "split" and value == 1):
                rows.append((ticker, day, kind, value, action_known_at(kind, day), spec.name))
    return pl.DataFrame(rows, schema=actions_schema(), orient="row").sort("ticker", "ex_date", "kind")


def refuse_no_ratio(splits: pl.DataFrame, column: str, where: str) -> None:
    """Raise ``SourceMalformed`` where new shares per old are not above zero: every price before it would be lost."""
    wrong = splits.filter(pl.col(column) <= 0)
    if wrong.height:
        raise SourceMalformed(
            "the ratio of a split is not above zero",
            where=f"{where}, line {wrong[LINE][0]}" if LINE in wrong.columns else where,
            how_many=f"{wrong.height} of {splits.height} splits",
            rows=wrong.drop("__ours", "__row", strict=False).rename({LINE: "line"}, strict=False),
            cause="a ratio is new shares per old: 4 for four to one, 0.1 for one to ten",
            action="correct the value, or remove the row",
        )


def to_ratios(frame: pl.DataFrame, column: str, style: TextTable, *, only: pl.Expr) -> pl.DataFrame:
    """Write ``4:1`` and ``4/1`` as the number they are, where `only` holds; everything else stays as it is."""
    if frame[column].dtype != pl.String:
        return frame
    text = pl.col(column).str.strip_chars()
    parts = [
        text.str.extract(_RATIO, k).str.replace(style.decimal, ".", literal=True).cast(pl.Float64, strict=False)
        for k in (1, 2)
    ]
    ratio = (parts[0] / parts[1]).cast(pl.String).str.replace(".", style.decimal, literal=True)
    return frame.with_columns(
        pl.when(only & text.str.contains(_RATIO).fill_null(False) & (parts[1] > 0)).then(ratio).otherwise(column)
    )


def read_membership(path: Path, section: MembershipFile, spec: SourceSpec, files: FilesSpec) -> Section:
    """``raw.securities``: every interval of the file, also of names without bars.

    Raises
    ------
    SourceMalformed
        For dates in another format, a row without ticker, an interval that ends before it starts, or one that is
        stated twice.
    """
    table = read_csv(path, section)
    frame, where = table.frame, str(path)
    require_columns(frame.columns, [section.ticker, section.start_date, section.end_date], where)
    frame = with_tickers(frame, section.ticker, section.ticker_rule or files.ticker, where, "members")
    for name in frame["__ours"].unique():
        safe_ticker(name, where=where)
    frame = to_dates(frame, section.start_date, where, section, exchange=spec.exchange)
    frame = to_dates(frame, section.end_date, where, section, exchange=spec.exchange, nullable=True)
    if section.end_is_first_day_out:
        days = frame[section.end_date].drop_nulls().unique().to_list()
        last_day_in = {day: previous_session(spec.exchange, day) for day in days}
        frame = frame.with_columns(
            pl.col(section.end_date).replace_strict(last_day_in, default=None, return_dtype=pl.Date)
        )
    wrong = frame.filter(pl.col(section.end_date) < pl.col(section.start_date))
    if wrong.height:
        raise SourceMalformed(
            "membership intervals end before they start",
            where=f"{path}, line {wrong[LINE][0]}",
            how_many=f"{wrong.height} of {frame.height} rows",
            rows=wrong.select(section.ticker, section.start_date, section.end_date),
        )
    securities = frame.select(
        pl.col("__ours").alias("ticker"),
        pl.lit(spec.universe).alias("universe"),
        pl.col(section.start_date).alias("start_date"),
        pl.col(section.end_date).alias("end_date"),
        pl.lit(None).alias("name"),
        pl.lit(None).alias("sector"),
        pl.lit(spec.name).alias("source"),
    ).cast(securities_schema())
    repeated = securities.filter(pl.struct("ticker", "start_date").is_duplicated())
    if repeated.height:
        raise SourceMalformed(
            "a membership interval is stated twice",
            where=where,
            how_many=f"{repeated.height} of {securities.height} rows",
            rows=repeated.select("ticker", "start_date", "end_date"),
        )
    return Section(securities.sort("ticker", "start_date"), where, table.findings)


def with_tickers(frame: pl.DataFrame, column: str, rule: TickerRule, where: str, rows_are: str) -> pl.DataFrame:
    """Our ticker of each row as ``__ours``.

    Raises
    ------
    SourceMalformed
        When a row has none.
    """
    text = plain_text(frame[column].cast(pl.String), PLAIN.model_copy(update={"missing": ("",)}))
    without = frame.filter(text.is_null())
    if without.height:
        raise SourceMalformed(
            f"{rows_are} have no ticker: the column {column!r} is empty",
            where=f"{where}, line {without[LINE][0]}" if LINE in without.columns else where,
            how_many=f"{without.height} of {frame.height} rows",
            rows=without.drop(LINE, strict=False),
            action="write the ticker, or remove the row",
        )
    spelled = {name: respelled(name, rule) for name in text.unique()}
    return frame.with_columns(text.replace_strict(spelled, return_dtype=pl.String).alias("__ours"))
