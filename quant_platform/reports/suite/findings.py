"""What a tear sheet says beside the rows of its suite: in words, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """What a tear sheet says about where it comes from.

    Attributes
    ----------
    signal, snapshot_id
        What was judged, on what.
    author, submitted_at, signal_hash
        Of the registration.
    preset
        The matrix.
    simulated
        Whether any of the data is simulated.
    names
        How the securities of the snapshot were chosen.
    meaning
        What it means that the experiment was or was not registered.
    looks
        How often the holdout was looked at, in words.
    """

    signal: str
    snapshot_id: str
    author: str
    submitted_at: str
    signal_hash: str
    preset: str
    simulated: bool
    names: str
    meaning: str
    looks: str


@dataclass(frozen=True)
class Findings:
    """What a suite says in words and no table holds.

    Attributes
    ----------
    because
        The reasons that decided the colour.
    to_next
        What stands between it and the next colour.
    what_would_change
        Assumptions that would move it.
    not_available
        Variant to the cause why it was not computed.
    """

    because: Sequence[str]
    to_next: Sequence[str]
    what_would_change: Sequence[str]
    not_available: Mapping[str, str]
