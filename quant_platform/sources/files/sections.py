"""Corporate actions and membership intervals out of CSV files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.contracts.schemas.raw import ACTION_KINDS
from quant_platform.market.calendar import previous_session
from quant_platform.sources.files.bars import our_ticker
from quant_platform.sources.files.text import LINE, read_csv_text, require_columns, to_dates, to_numbers
from quant_platform.sources.protocol import action_known_at, actions_schema, securities_schema
from quant_platform.specification.sources import ActionFile, FilesSpec, MembershipFile, SourceSpec


def read_actions(path: Path, section: ActionFile, spec: SourceSpec, files: FilesSpec) -> pl.DataFrame:
    """``raw.corporate_actions`` of all tickers; a file with its header alone says that there are none.

    Raises
    ------
    SourceNotFound
        When there is no such file: that nothing is known about splits is not the same as that there were none.
    SourceMalformed
        For text in a number, dates in another format, an unknown kind, or one action stated twice.
    """
    if not path.is_file():
        raise SourceNotFound(
            "the file of corporate actions does not exist",
            where=str(path),
            cause="the source spec names one; prices without their splits and dividends would be wrong in silence",
            action="write it, with its header alone if there are none; or take `actions` out of the spec, and say "
            "under `adjustment` what the vendor has done",
        )
    frame = read_csv_text(path, may_have_no_rows=True)
    require_columns(frame.columns, [section.ticker, section.ex_date, section.kind, section.value], str(path))
    frame = to_dates(frame, section.ex_date, section.date_format, str(path))
    frame = to_numbers(frame, [section.value], str(path))
    frame = frame.with_columns(pl.col(section.kind).str.strip_chars())
    wrong = frame.filter(~pl.col(section.kind).is_in(ACTION_KINDS) | pl.col(section.value).is_null())
    if wrong.height:
        raise SourceMalformed(
            "actions have an unknown kind or no value",
            where=f"{path}, line {wrong[LINE][0]}",
            how_many=f"{wrong.height} of {frame.height} rows",
            rows=wrong.select(section.ticker, section.ex_date, section.kind, section.value),
            action=f"a kind is one of {', '.join(ACTION_KINDS)}",
        )
    rows = [
        (our_ticker(ticker, files, where=str(path)), day, kind, value, action_known_at(kind, day), spec.name)
        for ticker, day, kind, value in frame.select(
            section.ticker, section.ex_date, section.kind, section.value
        ).iter_rows()
    ]
    actions = pl.DataFrame(rows, schema=actions_schema(), orient="row")
    repeated = actions.filter(pl.struct("ticker", "ex_date", "kind").is_duplicated())
    if repeated.height:
        raise SourceMalformed(
            "an action is stated twice",
            where=str(path),
            how_many=f"{repeated.height} of {actions.height} rows",
            rows=repeated.select("ticker", "ex_date", "kind", "value"),
            action="several dividends of one day are one action with their sum",
        )
    return actions.sort("ticker", "ex_date", "kind")


def read_membership(path: Path, section: MembershipFile, spec: SourceSpec, files: FilesSpec) -> pl.DataFrame:
    """``raw.securities``: every interval of the file, also of names without bars.

    Raises
    ------
    SourceMalformed
        For dates in another format, an interval that ends before it starts, or one that is stated twice.
    """
    frame = read_csv_text(path)
    require_columns(frame.columns, [section.ticker, section.start_date, section.end_date], str(path))
    frame = to_dates(frame, section.start_date, section.date_format, str(path))
    frame = to_dates(frame, section.end_date, section.date_format, str(path), nullable=True)
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
    vendor = frame[section.ticker].to_list()
    securities = frame.select(
        pl.Series("ticker", [our_ticker(str(name), files, where=str(path)) for name in vendor], dtype=pl.String),
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
            where=str(path),
            how_many=f"{repeated.height} of {securities.height} rows",
            rows=repeated.select("ticker", "start_date", "end_date"),
        )
    return securities.sort("ticker", "start_date")
