"""Figures and one-file pages that open offline: nothing is fetched, nothing is computed that a table does not hold.

A page is built from plain layers: `markup` writes escaped HTML, `figures` says what a figure shows and `drawing` turns
it into inline SVG, and `pages` has the blocks (banner, tiles, section, table) that every report shares.
"""

from quant_platform.reports.equity.report import render_equity_report
from quant_platform.reports.events.report import render_discovery_report

__all__ = ["render_discovery_report", "render_equity_report"]
