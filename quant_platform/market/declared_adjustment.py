"""Whether prices are adjusted for dividends as their source declares, measured on the dividends themselves.

One dividend cannot be seen: it moves a price by half a per cent where a day moves it by two. Many can. Over the
ex-dates of a year, the shortfall of each name against what it would have earned is regressed on the dividend over the
price, through the origin:

    shortfall_i = b x yield_i,   shortfall = reference move - move

b is 1 where prices drop by the dividend (not adjusted) and 0 where they do not (adjusted). The standard error is
White's.

References
----------
Elton and Gruber (1970), Review of Economics and Statistics 52:68-74, for the ex-day drop over the dividend (about .8 to
1 for US stocks); White (1980), Econometrica 48:817-838.
"""

from __future__ import annotations

import polars as pl

from quant_platform.contracts.findings import Finding

RESPONSE_SCHEMA = pl.Schema(
    {"year": pl.Int32, "dividends": pl.Int64, "response": pl.Float64, "standard_error": pl.Float64}
)
# Half way between adjusted and not: a response is told from the declared one beyond it.
_HALF = 0.5
_STANDARD_ERRORS = 3.0
# A larger one is seen on its own (`stated_facts`), and would decide its year alone.
_LARGEST_YIELD = 0.1


def ex_days(closes: pl.DataFrame, dividends: pl.DataFrame, reference: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per dividend: ``ticker, ex_date, yield, shortfall``.

    Parameters
    ----------
    closes
        ``ticker, session, close`` as delivered, NaN where missing.
    dividends
        ``ticker, ex_date, yield``: cash over the unadjusted close before the ex-date.
    reference
        ``ticker, session, move``: log total return of the same name at another vendor. By default the median log move
        of all names of the session, which needs at least five names.

    Notes
    -----
    A dividend without a move on its ex-date, or without a reference, is left out, and so is one of a tenth of the price
    or more.
    """
    moves = (
        closes.filter(pl.col("close").is_not_nan() & pl.col("close").is_not_null())
        .sort("ticker", "session")
        .with_columns(pl.col("close").log().diff().over("ticker").alias("own"))
        .drop_nulls("own")
    )
    if reference is None:
        usual = moves.group_by("session").agg(pl.col("own").median().alias("move"), pl.len().alias("names"))
        against = moves.join(usual.filter(pl.col("names") >= 5), on="session")
    else:
        against = moves.join(reference.select("ticker", "session", "move"), on=["ticker", "session"])
    ordinary = dividends.filter(pl.col("yield").is_between(0.0, _LARGEST_YIELD, closed="none"))
    return ordinary.join(against, left_on=["ticker", "ex_date"], right_on=["ticker", "session"]).select(
        "ticker", "ex_date", "yield", (pl.col("move") - pl.col("own")).alias("shortfall")
    )


def response_by_year(days: pl.DataFrame) -> pl.DataFrame:
    """The response b of each year with its standard error, columns of `RESPONSE_SCHEMA`, sorted by year.

    Parameters
    ----------
    days
        From `ex_days`.

    Notes
    -----
    **Missing values.** A year with fewer than two dividends has a NaN standard error, and says nothing.
    """
    square, product = pl.col("yield").pow(2), pl.col("yield") * pl.col("shortfall")
    fitted = days.with_columns(pl.col("ex_date").dt.year().alias("year")).with_columns(
        (product.sum() / square.sum()).over("year").alias("response")
    )
    error = pl.col("shortfall") - pl.col("response") * pl.col("yield")
    return (
        fitted.group_by("year")
        .agg(
            pl.len().cast(pl.Int64).alias("dividends"),
            pl.col("response").first(),
            pl.when(pl.len() > 1)
            .then((square * error.pow(2)).sum().sqrt() / square.sum())
            .otherwise(float("nan"))
            .alias("standard_error"),
        )
        .sort("year")
        .cast(RESPONSE_SCHEMA)
    )


def contradicted_years(response: pl.DataFrame, delivered: str) -> pl.DataFrame:
    """Years whose prices are adjusted otherwise than declared, by more than a half and three standard errors."""
    declared = 0.0 if delivered == "split_dividend" else 1.0
    off = (pl.col("response") - declared).abs()
    return response.filter((off > _HALF) & (off > _STANDARD_ERRORS * pl.col("standard_error")))


def declared_adjustment(response: pl.DataFrame, delivered: str, where: str) -> list[Finding]:
    """What the dividends say about the declared adjustment: one finding where years contradict it, or none."""
    wrong = contradicted_years(response, delivered)
    if wrong.is_empty():
        return []
    meant = "adjusted" if delivered == "split_dividend" else "not adjusted"
    found = "not adjusted" if delivered == "split_dividend" else "adjusted already"
    return [
        Finding(
            kind="declared_adjustment",
            where=where,
            what=f"prices are declared as {meant} for dividends, and over ex-dates they are {found} in some years",
            rows=wrong.height,
            total=response.height,
            examples=tuple(
                f"{row['year']}: response {row['response']:.2f} +- {row['standard_error']:.2f}"
                for row in wrong.to_dicts()
            ),
            action="state the adjustment that holds, or give the bars of these years as another source",
        )
    ]
