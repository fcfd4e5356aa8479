"""How much evidence there is yet: closed trades towards what a proposal needs, and whether core names are seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from quant_platform.specification.operations import EvidenceSpec, RoutingSpec


@dataclass(frozen=True)
class Growth:
    """Progress of the evidence.

    Attributes
    ----------
    closed, wanted
        Closed paper trades over all, and how many are needed before thresholds and sleeves are proposed.
    core
        Closed trades of each core name, and how many are aimed at.
    core_wanted
        The aim of each.
    unknown_core
        Core names that this home does not hold.
    unscanned
        Sessions of the account in which a scan did not exist.
    lookback_days
        That every weekly table looks back.
    covered_days
        Calendar days between the first order and the last session: with fewer the lookback is not full yet.
    """

    closed: int
    wanted: int
    core: Mapping[str, int]
    core_wanted: int
    unknown_core: tuple[str, ...]
    unscanned: tuple[str, ...]
    lookback_days: int
    covered_days: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def growth(
    trades: pl.DataFrame,
    book: pl.DataFrame,
    scanned: Collection[str],
    names: Collection[str],
    evidence: EvidenceSpec,
    routing: RoutingSpec,
) -> Growth:
    """Count what there is.

    Parameters
    ----------
    trades, book
        Rows of ``ops.trades`` and ``ops.book`` up to a session.
    scanned
        Sessions of ``live.scan``, as ISO dates.
    names
        Names that the home holds.
    evidence, routing
        What is aimed at, and the core names.
    """
    counts = dict(trades.group_by("ticker").len().iter_rows())
    days = book["day"].sort().to_list()
    return Growth(
        closed=trades.height,
        wanted=evidence.minimum_closed,
        core={name: int(counts.get(name, 0)) for name in routing.core_tickers if name in names},
        core_wanted=evidence.minimum_closed_core,
        unknown_core=tuple(name for name in routing.core_tickers if name not in names),
        unscanned=tuple(day.isoformat() for day in days if day.isoformat() not in scanned),
        lookback_days=evidence.lookback_days,
        covered_days=(days[-1] - days[0]).days + 1 if days else 0,
    )
