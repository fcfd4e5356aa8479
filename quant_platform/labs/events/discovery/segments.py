"""Train, validation and test: whole days of a panel, with purge and embargo between them."""

from __future__ import annotations

from dataclasses import dataclass

from quant_platform.market.perp_panel import BARS_PER_DAY
from quant_platform.specification.discovery import SplitSpec


@dataclass(frozen=True)
class Segment:
    """A stretch of whole days, ``first_day <= day < last_day``, counted from the start of the panel."""

    name: str
    first_day: int
    last_day: int

    @property
    def bars(self) -> slice:
        """The same stretch in bars."""
        return slice(self.first_day * BARS_PER_DAY, max(self.first_day, self.last_day) * BARS_PER_DAY)


def segments(days: int, split: SplitSpec, family: str) -> tuple[Segment, Segment, Segment]:
    """Cut a panel into train, validation and test.

    Notes
    -----
    **Timing.** Outcomes that end after a segment are left out of it (purge), and the next segment begins an embargo
    later. Looking back does not leak, so features need no purge.
    """
    embargo = split.embargo_days_by_family.get(family, split.embargo_days)
    first = int(days * split.train_share)
    second = int(days * (split.train_share + split.validation_share) + 1e-9)
    return (
        Segment("train", 0, first),
        Segment("validation", min(first + embargo, second), second),
        Segment("test", min(second + embargo, days), days),
    )
