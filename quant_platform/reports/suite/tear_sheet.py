"""The tear sheet of a signal on a snapshot: verdict, variants, performance, prediction, uniqueness, capacity."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quant_platform.reports.charts.pages import (
    contents,
    heading,
    page,
    tiles,
)
from quant_platform.reports.suite.explaining import capacity_section, prediction_section, uniqueness_section
from quant_platform.reports.suite.findings import Findings, Origin
from quant_platform.reports.suite.judging import (
    headline,
    registration_section,
    slices_section,
    variants_section,
    verdict_section,
    where_section,
)
from quant_platform.reports.suite.performing import over_time_section, performance_section
from quant_platform.reports.suite.sheet import SECTIONS, Sheet


def render_tear_sheet(frames: Mapping[str, pl.DataFrame], findings: Findings, origin: Origin) -> str:
    """Draw the page of one suite.

    Parameters
    ----------
    frames
        Rows of ``suite.results``, ``daily``, ``fractiles``, ``diagnostics``, ``correlations``, ``experiments`` and
        ``verdict`` of one signal on one snapshot, by table name.
    findings
        What it says in words.
    origin
        Where it comes from.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    sheet = Sheet(frames, findings, origin)
    title = f"Tear sheet of {origin.signal}"
    sentence = (
        f"{sheet.colour.upper()} on {origin.snapshot_id}, judged on {sheet.reference}: "
        f"{'; '.join(findings.because) or 'every rule is satisfied'}. {sheet.registered.capitalize()}."
    )
    return page(
        title,
        heading("Research suite", title, sentence),
        contents(SECTIONS),
        tiles(headline(sheet)),
        verdict_section(sheet),
        registration_section(sheet),
        variants_section(sheet),
        performance_section(sheet),
        over_time_section(sheet),
        slices_section(sheet),
        prediction_section(sheet),
        uniqueness_section(sheet),
        capacity_section(sheet),
        where_section(sheet),
        simulated=origin.simulated,
    )
