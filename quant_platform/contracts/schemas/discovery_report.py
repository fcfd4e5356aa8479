"""The index of discovery reports."""

from __future__ import annotations

import dataframely as dy


class DiscoveryReport(dy.Schema):
    """Index of the discovery reports: their headline, the JSON, and where the HTML page is."""

    cutoff = dy.String(
        primary_key=True,
        regex=r"^\d{4}-(0[1-9]|1[0-2])$",
        description="Month whose end closes the data, YYYY-MM; partition key.",
    )
    last_bar_date = dy.Date(description="UTC day of the last bar the report has seen.")
    simulated = dy.Bool(description="True where the market is simulated.")
    ontology_hash = dy.String(description="SHA-256 of all specs the report was made under.")
    trial_count = dy.Int64(min=0, description="Distinct tests in the ledger, of all cutoffs and runs it was given.")
    headline = dy.String(description="The result in one sentence; that nothing survived is a result.")
    json = dy.String(description="The whole report as JSON.")
    html_path = dy.String(description="The page, relative to the home folder.")
