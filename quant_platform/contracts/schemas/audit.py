"""What an audit found, one row per kind of thing and place."""

from __future__ import annotations

import dataframely as dy

SEVERITIES = ("info", "warning", "refused")


class AuditFindings(dy.Schema):
    """Everything that was kept out, contradicted, left unmatched or left empty, in words and counted."""

    position = dy.Int64(primary_key=True, min=0, description="Order in which the audit says it, the gravest first.")
    kind = dy.String(description="Stable code, for example rows_kept_out or contradicted_action.")
    where = dy.String(description="Table, rule or column.")
    what = dy.String(description="What was found, as one clause.")
    rows = dy.Int64(min=1, description="Rows or items it concerns.")
    total = dy.Int64(nullable=True, min=1, description="Of how many; null where there is no sensible whole.")
    share = dy.Float64(nullable=True, min=0.0, description="rows over total.")
    examples = dy.List(dy.String(), description="Up to five of them.")
    action = dy.String(description="What the reader can do about it.")
    severity = dy.Enum(
        SEVERITIES,
        description="info: as it should be; warning: numbers may suffer; refused: kept out, or past a limit.",
    )


class AuditPerpFindings(AuditFindings):
    """The audit of the perpetuals of a home."""
