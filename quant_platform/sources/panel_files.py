"""A panel out of files: returns by name and session, and what else is known of the names on them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SpecError
from quant_platform.contracts.findings import Finding, examples
from quant_platform.sources.files.dates import to_dates
from quant_platform.sources.files.fundamentals import read_table
from quant_platform.sources.files.sections import with_tickers
from quant_platform.sources.files.text import (
    LINE,
    plain_text,
    refuse_rows,
    require_columns,
    to_numbers,
)
from quant_platform.sources.protocol import safe_ticker
from quant_platform.specification.sources import DatesFile, PanelFile, PanelSpec, SourceSpec

RETURNS = ("ret", "ret_open_to_close", "ret_open_to_open")
DESCRIPTORS = ("adv", "volatility", "market_cap", "industry", "member")
UTC_DAYS = "UTC"
_TRUTHS = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0, "y": 1.0, "n": 0.0, "yes": 1.0, "no": 0.0}
# A name whose usual move in a session is beyond these is stated in another unit.
_LARGEST_USUAL, _SMALLEST_USUAL = 0.2, 2e-5


@dataclass(frozen=True)
class PanelSource:
    """The files of a panel; each is read once, when it is asked for.

    Attributes
    ----------
    spec, panel
        What the files are and how their columns are called.
    folders
        Folders by name.
    today
        Rows dated later are refused.
    """

    spec: SourceSpec
    panel: PanelSpec
    folders: Mapping[str, Path]
    today: date

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Files are taken for real."""
        return False

    def tickers(self) -> list[str]:
        """Every name with a return, sorted."""
        return sorted(self.returns["ticker"].unique().to_list())

    @property
    def span(self) -> tuple[date, date]:
        """First and last session with a return."""
        days = self.returns["session"].sort()
        return days[0], days[-1]

    @cached_property
    def returns(self) -> pl.DataFrame:
        """``ticker, session, ret, ret_open_to_close, ret_open_to_open`` in fractions, sorted; null where unknown.

        Raises
        ------
        SourceNotFound, SourceMalformed
            When the file is not there or not what the spec says; for returns below minus one, or in another unit.

        Notes
        -----
        **Missing values.** A row without a return is kept where it is the first of its name: the name was listed. Any
        other is left out and counted in :meth:`reading_report`: nobody knows whether there was a price.
        """
        section = self.panel.returns
        columns = {name: getattr(section, name) for name in RETURNS}
        frame, where = self._rows(section, columns)
        scale = 0.01 if section.unit == "per_cent" else 1.0
        present = [name for name, vendor in columns.items() if vendor is not None]
        frame = frame.with_columns(pl.col(name) * scale for name in present)
        for name in present:
            refuse_rows_where(
                frame,
                frame[name] < -1.0,
                name,
                f"the column {columns[name]!r} holds returns below minus one",
                where,
                action="correct `unit` in the source spec (fraction or per_cent), or the file",
            )
        _refuse_unit(frame["ret"], section.unit, where)
        absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in RETURNS if name not in present]
        ordered = frame.with_columns(absent).select("ticker", "session", *RETURNS).sort("ticker", "session")
        first = pl.col("session") == pl.col("session").min().over("ticker")
        self._notes["returns"] = _without_returns(ordered.filter(pl.col("ret").is_null() & ~first), ordered, where)
        return ordered.filter(pl.col("ret").is_not_null() | first)

    @cached_property
    def descriptors(self) -> pl.DataFrame:
        """``ticker, session`` and those of ``adv, volatility, market_cap, industry, member`` that the spec maps.

        ``member`` is 1 or 0.

        Raises
        ------
        SourceNotFound, SourceMalformed
            When the file is not there or not what the spec says; for a negative size or a membership that is no truth.
        """
        section = self.panel.descriptors
        if section is None:
            return pl.DataFrame(schema={"ticker": pl.String, "session": pl.Date})
        columns = {name: getattr(section, name) for name in DESCRIPTORS}
        frame, where = self._rows(section, columns, texts=("industry", "member"))
        for name in ("adv", "volatility", "market_cap"):
            if columns[name] is not None:
                refuse_rows_where(
                    frame,
                    frame[name] < 0.0,
                    name,
                    f"the column {columns[name]!r} holds values below zero",
                    where,
                    action="correct the file, or the column in the source spec",
                )
        if columns["member"] is not None:
            truth = frame["member"].str.to_lowercase().str.strip_suffix(".0")
            known = truth.replace_strict(_TRUTHS, default=None, return_dtype=pl.Float64)
            refuse_rows_where(
                frame,
                known.is_null() & truth.is_not_null(),
                "member",
                f"the column {columns['member']!r} holds what is neither true nor false",
                where,
                action="write 1 or 0, true or false",
            )
            # A name is a member where the file says so: an empty cell does not.
            frame = frame.with_columns(known.fill_null(0.0).alias("member"))
        return frame.drop(LINE, strict=False).sort("ticker", "session")

    @cached_property
    def risk(self) -> pl.DataFrame:
        """``ticker, session`` and the styles that the spec maps, as the file states them.

        Raises
        ------
        SourceNotFound, SourceMalformed
            When the file is not there or not what the spec says.
        """
        section = self.panel.risk
        if section is None:
            return pl.DataFrame(schema={"ticker": pl.String, "session": pl.Date})
        frame, _ = self._rows(section, {str(style): vendor for style, vendor in section.columns.items()})
        return frame.drop(LINE, strict=False).sort("ticker", "session")

    @cached_property
    def dates(self) -> pl.Series | None:
        """The trading dates, sorted; None where the spec names no file.

        Raises
        ------
        SourceNotFound, SourceMalformed
            When the file is not there, or a date is repeated or cannot be read.
        """
        section = self.panel.dates
        if section is None:
            return None
        frame, where = self._read(section, [section.session])
        frame = to_dates(frame, section.session, where, section, exchange=self._exchange)
        repeated = frame.filter(pl.col(section.session).is_duplicated())
        if repeated.height:
            raise SourceMalformed(
                "trading dates are repeated",
                where=where,
                how_many=f"{repeated.height} of {frame.height} rows",
                rows=repeated.select(section.session).sort(section.session),
                action="state each date once",
            )
        return frame[section.session].rename("session").sort()

    def files(self) -> dict[str, Path]:
        """The files by their section of the spec."""
        return {
            name: self._path(section)
            for name in ("returns", "descriptors", "risk", "dates")
            if (section := getattr(self.panel, name)) is not None
        }

    def content_hashes(self) -> dict[str, str]:
        """SHA-256 of every file by section: what a panel was made from."""
        found = {}
        for name, path in self.files().items():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return found

    def reading_report(self) -> tuple[Finding, ...]:
        """What reading the rows brought to light."""
        known = set(self.tickers())
        found = list(self._notes["returns"])
        for name, frame in (("descriptors", self.descriptors), ("risk", self.risk)):
            strange = sorted(set(frame["ticker"].unique()) - known)
            if strange:
                found.append(
                    Finding(
                        "unmatched_names",
                        str(self.files()[name]),
                        "names have no return, and their rows say nothing",
                        len(strange),
                        frame["ticker"].n_unique(),
                        examples(strange),
                        action="check panel.ticker.replace in the source spec",
                    )
                )
        return tuple(found)

    @cached_property
    def _notes(self) -> dict[str, tuple[Finding, ...]]:
        return {}

    @property
    def _exchange(self) -> str | None:
        return None if self.spec.exchange == UTC_DAYS else self.spec.exchange

    def _path(self, section: PanelFile | DatesFile) -> Path:
        path = Path(section.path)
        if path.is_absolute() or ".." in path.parts:
            raise SpecError(f"a path leaves the folder of the source: {section.path!r}", where="source spec")
        if section.location not in self.folders:
            raise SpecError(
                f"the folder of the location {section.location!r} was not given",
                where=f"source spec {self.spec.name!r}",
                action=f"name it: --location {section.location}=FOLDER",
            )
        return self.folders[section.location] / path

    def _read(self, section: PanelFile | DatesFile, wanted: Sequence[str]) -> tuple[pl.DataFrame, str]:
        path = self._path(section)
        frame, _ = read_table(path, section)
        require_columns(frame.columns, wanted, str(path))
        return frame.select([*dict.fromkeys(wanted), *([LINE] if LINE in frame.columns else [])]), str(path)

    def _rows(
        self, section: PanelFile, columns: Mapping[str, str | None], texts: Sequence[str] = ()
    ) -> tuple[pl.DataFrame, str]:
        """Rows under our names: ``ticker, session``, the mapped columns as numbers or texts, and the line."""
        mapped = {name: vendor for name, vendor in columns.items() if vendor is not None}
        frame, where = self._read(section, [section.ticker, section.session, *mapped.values()])
        if frame.height == 0:
            raise SourceMalformed("the file has no rows", where=where, action="fetch it again")
        if frame[section.ticker].dtype.is_float():
            frame = frame.with_columns(pl.col(section.ticker).cast(pl.Int64))
        frame = with_tickers(frame, section.ticker, self.panel.ticker, where, "rows")
        for ticker in frame["__ours"].unique():
            safe_ticker(ticker, where=where)
        frame = to_dates(frame, section.session, where, section, exchange=self._exchange)
        numbers = [vendor for name, vendor in mapped.items() if name not in texts]
        frame = to_numbers(frame, list(dict.fromkeys(numbers)), where, section)
        frame = frame.with_columns(
            plain_text(frame[mapped[name]].cast(pl.String), section).alias(mapped[name])
            for name in texts
            if name in mapped
        )
        rows = frame.select(
            pl.col("__ours").alias("ticker"),
            pl.col(section.session).alias("session"),
            *(pl.col(vendor).alias(name) for name, vendor in mapped.items()),
            *([LINE] if LINE in frame.columns else []),
        )
        self._refuse(rows, where)
        return rows, where

    def _refuse(self, rows: pl.DataFrame, where: str) -> None:
        shown = ["ticker", "session", *([LINE] if LINE in rows.columns else [])]
        future = rows.filter(pl.col("session") > self.today + timedelta(days=self.panel.max_future_days))
        if future.height:
            raise SourceMalformed(
                f"rows are dated after today, {self.today}",
                where=where,
                how_many=f"{future.height} of {rows.height} rows",
                rows=future.select(shown),
                cause="day and month exchanged by the date format",
                action="correct date_format in the source spec, or the file",
            )
        repeated = rows.filter(pl.struct("ticker", "session").is_duplicated()).sort("ticker", "session")
        if repeated.height:
            raise SourceMalformed(
                "several rows have the same name and date",
                where=where,
                how_many=f"{repeated.height} of {rows.height} rows",
                rows=repeated.select(shown),
                cause="two share classes under one name, a file put together twice, or a rule in panel.ticker.replace "
                "that makes one name of two",
                action="write one row per name and date",
            )


def refuse_rows_where(
    frame: pl.DataFrame, wrong: pl.Series, column: str, what: str, where: str, *, action: str
) -> None:
    """Raise ``SourceMalformed`` where any row is marked as wrong; a null mark is none."""
    marked = wrong.fill_null(False)
    if marked.any():
        refuse_rows(frame, marked, column, what, where, action=action)


def _refuse_unit(returns: pl.Series, unit: str, where: str) -> None:
    """Raise where the usual move of a session is one that no market has."""
    usual = returns.filter(returns != 0.0).abs().median()
    if not isinstance(usual, float) or _SMALLEST_USUAL < usual < _LARGEST_USUAL:
        return
    raise SourceMalformed(
        f"the usual return of a session would be {usual:.2g}, which no market has",
        where=where,
        cause=f"the returns are not stated as the spec says, unit: {unit}",
        action="correct `unit` in the source spec: fraction is 0.01 for one per cent, per_cent is 1",
    )


def _without_returns(rows: pl.DataFrame, whole: pl.DataFrame, where: str) -> tuple[Finding, ...]:
    if rows.height == 0:
        return ()
    return (
        Finding(
            "rows_without_returns",
            where,
            "rows between others have no return; they are left out, as if the name had no price",
            rows.height,
            whole.height,
            examples(f"{ticker} {day}" for ticker, day in rows.select("ticker", "session").iter_rows()),
        ),
    )
