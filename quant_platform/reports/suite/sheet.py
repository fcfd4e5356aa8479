"""What the sections of a tear sheet share: the rows of one suite, its words, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.figures import Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import (
    section,
)
from quant_platform.reports.queries import literal
from quant_platform.reports.suite.findings import Findings, Origin

SECTIONS = {
    "verdict": "Verdict",
    "registration": "Registration",
    "variants": "Variants",
    "performance": "Performance",
    "over_time": "Over time",
    "slices": "By year and slice",
    "prediction": "Prediction",
    "uniqueness": "Uniqueness",
    "capacity": "Capacity",
    "origin": "Where it comes from",
}
SHOWN_FALLS = 5
AUTOCORRELATION_LAGS = (1, 5, 21, 63)
NOT_HELD = "not among the results"


class Sheet:
    """The rows of one suite and of the variant that is judged; the sections of the page are functions of it."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], findings: Findings, origin: Origin) -> None:
        self.results, self.verdicts = frames["suite.results"], frames["suite.verdict"]
        self.colour, self.reference = str(self.verdicts["verdict"][0]), str(self.verdicts["reference"][0])
        self.registered = str(self.verdicts["registration"][0])
        self.criteria = frames["suite.experiments"]
        judged = pl.col("variant") == self.reference
        self.daily = frames["suite.daily"].filter(judged).sort("session")
        self.fractiles = frames["suite.fractiles"].filter(judged).sort("fractile")
        self.diagnostics, self.correlations = frames["suite.diagnostics"], frames["suite.correlations"]
        self.findings, self.origin = findings, origin
        overall = self.results.filter(pl.col("slice_kind") == "overall")
        self.overall = {row["variant"]: row for row in overall.iter_rows(named=True)}
        self.best = max(self.overall, key=lambda name: formatting.finite(self.overall[name]["sharpe_net"]) or -1e9)

    def measured(self, measure: str, variant: str = "") -> float | None:
        """One number of ``suite.diagnostics``."""
        rows = self.diagnostics.filter((pl.col("measure") == measure) & (pl.col("variant") == variant))
        return formatting.finite(rows["value"][0]) if rows.height else None

    def query(self, columns: str, name: str, *, more: str = "") -> str:
        """SQL that gives the rows of the judged variant."""
        return (
            f"select {columns}\nfrom {name}\nwhere signal = {literal(self.origin.signal)} "
            f"and snapshot_id = {literal(self.origin.snapshot_id)}"
            f"\n  and variant = {literal(self.reference)}{more}"
        )

    def words(self, title: str, description: str, sql: str, note: str = "") -> Words:
        """Words of a figure of this page."""
        return Words(title, description, note=note, sql=sql, simulated=self.origin.simulated)

    def part(self, anchor: str, explanation: str, *blocks: Html | None) -> Html:
        """A section."""
        return section(SECTIONS[anchor], explanation, *blocks, anchor=anchor, simulated=self.origin.simulated)

    @property
    def sessions_per_year(self) -> float:
        """What a mean per session was multiplied by: read back from the stored figures, so that it cannot differ."""
        mean, annual = self.daily["net"].mean(), formatting.finite(self.overall[self.reference]["ann_return_net"])
        return float(round(annual / mean)) if isinstance(mean, float) and mean and annual else math.nan

    def daily_rows(self, columns: str) -> str:
        """SQL that gives columns of the daily rows of the judged variant."""
        return self.query(columns, "suite.daily")
