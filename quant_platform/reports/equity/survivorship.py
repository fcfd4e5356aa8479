"""What the names that are not in the data would have done to a number, said beside the number."""

from __future__ import annotations

from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.fields import Fields, fields, value_of
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import Tile, paragraph
from quant_platform.reports.charts.tables import number_cell

UNKNOWN = "how many names of the past are not in the data is not known"


def survivorship_tile(report: Fields) -> Tile:
    """The share of members without bars, among the headline numbers; where it is not known, what still trades."""
    universe = fields(report, "universe")
    if value_of(universe, "missing_share") is None:
        return Tile(
            "Names with bars that still trade",
            number_cell(universe.get("survivorship_share"), 1, percent=True, missing="there is no name"),
            f"{UNKNOWN}: near 100% over many years means that the dead are missing",
        )
    return Tile(
        "Members without any bar",
        number_cell(universe.get("missing_share"), 1, percent=True),
        f"{_missing(universe)}; their losses and gains are in no number of this page"
        if value_of(universe, "missing_share")
        else "every name that was ever a member has bars",
    )


def survivorship_warning(report: Fields) -> Html | None:
    """A sentence for numbers that missing names flatter; None where every member has bars."""
    universe = fields(report, "universe")
    if value_of(universe, "missing_share") == 0.0:
        return None
    trade = value_of(universe, "survivorship_share")
    still = "" if trade is None else f" Of the names with bars {formatting.percent(trade)} still trade."
    return paragraph(
        f"Survivorship: {_missing(universe)}.{still} Names that vanish are mostly volatile ones far below their high. "
        "Without them such names seem to recover: longs, reversals and high volatility look better than they were, "
        "and factors like low volatility and nearness to the 52-week high worse, down to the wrong sign.",
        kind="warning",
    )


def sign_remark(report: Fields, row: Fields) -> str:
    """What to say of a factor whose mean IC has the other sign than its spec states; nothing otherwise."""
    mean, stated = value_of(row, "ic"), value_of(row, "expected_sign")
    if not mean or not stated or mean * stated > 0:
        return ""
    told = f"the sign is not the one that its spec states ({'positive' if stated > 0 else 'negative'})"
    share = value_of(fields(report, "universe"), "missing_share")
    if share == 0.0:
        return told
    known = UNKNOWN if share is None else f"{formatting.percent(share)} of the members have no bars"
    return f"{told}; {known}, which alone can turn a sign"


def _missing(universe: Fields) -> str:
    ever, without = value_of(universe, "n_members_ever"), value_of(universe, "n_members_without_bars")
    if ever is None or without is None:
        return UNKNOWN
    return f"{formatting.count(without)} of {formatting.count(ever)} names that were ever members have no bars"
