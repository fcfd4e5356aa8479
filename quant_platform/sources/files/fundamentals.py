"""Dated snapshots of fundamentals to long form, each value with the time it was published."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.findings import Finding
from quant_platform.contracts.schemas.raw import UTC_STAMP
from quant_platform.sources.files.sections import Section, with_tickers
from quant_platform.sources.files.text import read_csv, require_columns, require_file
from quant_platform.sources.protocol import fundamentals_schema
from quant_platform.specification.sources import FilesSpec, FundamentalsFile, Metric, SourceSpec, TextTable

_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_NUMBER = r"^\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([KMBT]?)\s*$"


def read_fundamentals(path: Path, section: FundamentalsFile, spec: SourceSpec, files: FilesSpec) -> Section:
    """``raw.fundamentals`` of all tickers and snapshots.

    Raises
    ------
    SourceMalformed
        When a value is neither a number (with K, M, B or T behind it) nor one of the texts that mean missing, a
        publication time cannot be read, a row has no ticker, or one ticker stands twice in a snapshot.

    Notes
    -----
    **Timing.** ``known_at`` is the publication time of the snapshot, not the period the value speaks about.

    **Missing values.** A value the vendor left out is a row with a null: it says that nothing was known any more,
    and so ends the validity of the value before it.
    """
    frame, findings = read_table(path, section)
    vendor_columns = [column for metric in section.metrics for column in metric.columns]
    require_columns(frame.columns, [section.ticker, section.known_at, *vendor_columns], str(path))
    frame = frame.with_columns(pl.col(column).cast(pl.String) for column in dict.fromkeys(vendor_columns))
    stamps = publication_times(frame, section.ticker, section.known_at, path)
    base = with_tickers(frame, section.ticker, section.ticker_rule or files.ticker, str(path), "values")
    base = base.with_columns(pl.col("__ours").alias("__ticker"), stamps.cast(UTC_STAMP).alias("__known_at"))
    repeated = base.filter(pl.struct("__ticker", "__known_at").is_duplicated())
    if repeated.height:
        raise SourceMalformed(
            "a ticker stands twice in one snapshot",
            where=str(path),
            how_many=f"{repeated.height} of {frame.height} rows",
            rows=repeated.select("__ticker", "__known_at"),
        )
    long = pl.concat([_metric(base, metric, section, spec, str(path)) for metric in section.metrics])
    return Section(long.sort("ticker", "metric", "known_at"), str(path), findings)


def publication_times(frame: pl.DataFrame, ticker: str, known_at: str, path: Path) -> pl.Series:
    """Publication times in UTC.

    Raises
    ------
    SourceMalformed
        When one cannot be read, or has no offset.
    """
    stamps = (
        frame[known_at].cast(pl.String).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
        if not isinstance(frame.schema[known_at], pl.Datetime)
        else _aware(frame[known_at], path)
    )
    unreadable = frame.filter(stamps.is_null())
    if unreadable.height:
        raise SourceMalformed(
            "publication times are not ISO 8601 with an offset",
            where=f"{path}, column {known_at!r}",
            how_many=f"{unreadable.height} of {frame.height} rows",
            rows=unreadable.select(ticker, known_at),
            cause="a time without a zone: nobody can say from when the value was known",
            action="write the offset behind the time, for example 2024-05-01T16:05:00-04:00",
        )
    return stamps


def read_table(path: Path, section: TextTable) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    """A Parquet file, or a CSV file as text with what was passed over.

    Raises
    ------
    SourceNotFound
        When there is no such file.
    SourceMalformed
        When it cannot be read.
    """
    require_file(path)
    if path.suffix != ".parquet":
        table = read_csv(path, section)
        return table.frame, table.findings
    try:
        return pl.read_parquet(path), ()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceMalformed(
            f"the file is not readable Parquet: {str(error).splitlines()[0]}",
            where=str(path),
            cause="a truncated download, or another format under this name",
            action="fetch it again",
        ) from error


def _aware(stamps: pl.Series, path: Path) -> pl.Series:
    if not isinstance(stamps.dtype, pl.Datetime) or stamps.dtype.time_zone is None:
        raise SourceMalformed(
            "publication times have no zone",
            where=f"{path}, column {stamps.name!r}",
            cause="nobody can say from when the values were known",
            action="write the column with a time zone",
        )
    return stamps.dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))


def _metric(
    base: pl.DataFrame, metric: Metric, section: FundamentalsFile, spec: SourceSpec, where: str
) -> pl.DataFrame:
    value = pl.coalesce([pl.col(f"__value_{k}") for k in range(len(metric.columns))])
    stated = pl.any_horizontal(pl.col(column).is_not_null() for column in metric.columns)
    parsed = base.with_columns(
        _value(column, metric, section).alias(f"__value_{k}") for k, column in enumerate(metric.columns)
    )
    for k, column in enumerate(metric.columns):
        text = pl.col(column).str.strip_chars()
        wrong = parsed.filter(
            pl.col(column).is_not_null() & ~_says_nothing(text, section) & pl.col(f"__value_{k}").is_null()
        )
        if wrong.height:
            raise SourceMalformed(
                f"values of {metric.name} are not numbers",
                where=f"{where}, column {column!r}",
                how_many=f"{wrong.height} of {base.height} rows",
                rows=wrong.select(pl.col("__ticker").alias("ticker"), pl.col("__known_at").alias("known_at"), column),
                action="add the text to fundamentals.missing in the source spec if it means that there is no value",
            )
    # Where no column of the metric exists in that version of the header, nothing was said about it.
    return (
        parsed.filter(stated)
        .select(
            pl.col("__ticker").alias("ticker"),
            pl.lit(metric.name).alias("metric"),
            pl.col("__known_at").alias("known_at"),
            value.alias("value"),
            pl.lit(metric.unit).alias("unit"),
            pl.lit(spec.name).alias("source"),
        )
        .cast(fundamentals_schema())
    )


def _says_nothing(text: pl.Expr, section: FundamentalsFile) -> pl.Expr:
    return text.str.to_lowercase().is_in([word.strip().lower() for word in section.missing])


def _value(column: str, metric: Metric, section: FundamentalsFile) -> pl.Expr:
    text = pl.col(column).str.strip_chars()
    plain = text.str.replace_all(section.thousands, "", literal=True) if section.thousands else text
    plain = plain.str.replace(section.decimal, ".", literal=True) if section.decimal != "." else plain
    number = plain.str.extract(_NUMBER, 1).cast(pl.Float64, strict=False)
    suffix = plain.str.extract(_NUMBER, 2)
    scale = suffix.replace_strict(
        {**_SUFFIXES, "": metric.bare_scale.get(column, 1.0)}, default=None, return_dtype=pl.Float64
    )
    return pl.when(_says_nothing(text, section)).then(None).otherwise(number * scale)
