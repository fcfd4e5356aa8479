"""Telling somebody: alerts go into ``<home>/alerts.jsonl`` once each, and to a webhook where one is given."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from quant_platform.pipeline.home import Home
from quant_platform.specification import clock
from quant_platform.specification.operations import ALERTS, AlertsSpec

Post = Callable[[str, bytes, float], None]


def alerts_file(home: Home) -> Path:
    """Where the alerts of a home are, one JSON object a line, the newest last."""
    return home.settings.home / "alerts.jsonl"


def alerts_of(home: Home, day: date) -> list[dict[str, Any]]:
    """Alerts of a session as its dashboard holds them."""
    rows = home.lake.read("ops.dashboard", [day.isoformat()], missing="ignore")
    texts = [row["json"] for row in rows.iter_rows(named=True) if row["output"] == "alerts"]
    return [dict(one) for text in texts for one in json.loads(text)["content"]]


def tell(home: Home, subject: str, found: Sequence[Mapping[str, Any]], post: Post | None = None) -> list[str]:
    """Write down the alerts that are not written down yet, and send them to the webhook.

    Parameters
    ----------
    subject
        What they are of: a session or a run; with code and subject of an alert it makes it the same alert.
    found
        ``code``, ``subject`` and ``text`` of each.
    post
        Sends bytes to an address; :func:`post_json` if not given.

    Returns
    -------
    list of str
        A line for the log for each new alert, and one for each that the webhook did not take.
    """
    path, spec = alerts_file(home), home.load(ALERTS, AlertsSpec)
    known = set()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        earlier = json.loads(line)
        known.add((earlier["of"], earlier["code"], earlier["subject"]))
    lines = []
    for alert in found:
        if (subject, alert["code"], alert["subject"]) in known:
            continue
        row = {"of": subject, **alert, "simulated": home.simulated, "at": clock.now().isoformat(timespec="seconds")}
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        lines.append(f"ALERT {subject} {alert['code']} {alert['subject']}: {alert['text']}")
        if spec.webhook is not None:
            try:
                (post or post_json)(spec.webhook, json.dumps(row).encode(), spec.webhook_timeout_seconds)
            except (OSError, ValueError) as error:
                lines.append(f"the webhook {spec.webhook} did not take it: {error}")
    return lines


def post_json(address: str, body: bytes, timeout: float) -> None:
    """Send JSON to an address; the answer is not read."""
    request = urllib.request.Request(address, data=body, headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=timeout):
        pass
