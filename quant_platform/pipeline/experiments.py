"""Registered experiments: ``<home>/experiments/<name>/``, written once and never changed.

``registration.json`` has what was stated, its hash, who registered it and when, and the first session that is locked.
``opening.json`` appears when somebody opens the holdout, once: who, when, on which snapshot. It is there before
anything of the holdout is computed, so that a run that dies afterwards can be started again and is still the one look.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from quant_platform.contracts.errors import (
    ExperimentChanged,
    ExperimentLate,
    NotAvailable,
    SettingsError,
    SignalNameInvalid,
    StorageFailed,
    UnknownExperiment,
)
from quant_platform.labs.suite.contract import safe_signal_name
from quant_platform.labs.suite.experiments import Opening, Registration, holdout_start
from quant_platform.labs.suite.experiments import register as frozen_hash
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.data_catalog import DATES
from quant_platform.lake.manifest import Snapshot
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import known_securities, registered_hash
from quant_platform.pipeline.suite_market import bar_sessions
from quant_platform.specification.loading import load_spec
from quant_platform.specification.ontology import spec_hash
from quant_platform.specification.suite import ExperimentSpec

_STATED, _OPENED = "registration.json", "opening.json"
_WHO_CHARACTERS = 100


def experiments_folder(home: Home) -> Path:
    """Where the registered experiments of a home are."""
    return home.settings.home / "experiments"


def experiment_file(home: Home, wanted: str) -> Path:
    """The file of a statement: a path, or the name of one in ``specs/experiments``."""
    declared = home.specs / "experiments" / f"{wanted}.yaml"
    return declared if declared.is_file() else Path(wanted)


def register_experiment(home: Home, path: Path, *, registered_by: str | None = None) -> Registration:
    """Freeze what a file states, and lock the last part of the sessions that the home has bars of.

    Parameters
    ----------
    home
        Where.
    path
        A file as in ``specs/experiments``.
    registered_by
        Who; the author that the file names when not given.

    Returns
    -------
    Registration
        The one of before where the same text is registered under this name already.

    Raises
    ------
    SpecError
        When the file is not what it should be.
    ExperimentChanged
        When another text is registered under this name.
    ExperimentLate
        When the signal, or one of the same rows, was judged on sessions that would be locked.
    SettingsError
        When the home holds no bars yet: there is nothing to lock.
    StorageFailed
        When the file system refuses; nothing is registered then.
    """
    experiment = load_spec(path, ExperimentSpec)
    known = registrations(home)
    made = frozen_hash(experiment, {one.experiment.name: one.hash for one in known})
    before = [one for one in known if one.experiment.name == experiment.name]
    if before:
        return before[0]
    if not known_securities(home):
        raise SettingsError(
            "there are no bars, and so no sessions that could be locked",
            where=str(home.settings.lake),
            action="fill the home first: quant demo or quant import",
        )
    sessions = (bar_sessions(home) if home.has_bars else home.lake.read(DATES))["session"].to_numpy()
    first = holdout_start(sessions, experiment.holdout_share)
    _require_unseen(home, experiment, first, known)
    content = {
        "experiment": experiment.model_dump(mode="json"),
        "hash": made,
        "registered_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "registered_by": _who(registered_by or experiment.author),
        "holdout_from": first.isoformat(),
    }
    target = experiments_folder(home) / safe_signal_name(experiment.name) / _STATED
    if not _written_once(target, content):
        # Somebody else has registered the name between the look above and now.
        return register_experiment(home, path, registered_by=registered_by)
    return registration_named(home, experiment.name)


def registrations(home: Home, *, at: datetime | None = None) -> list[Registration]:
    """Every registered experiment, oldest first.

    Parameters
    ----------
    home
        Where.
    at
        As it was known at that time, UTC; now when not given.

    Raises
    ------
    ExperimentChanged
        When a record was edited.
    """
    records = [_record(path) for path in experiments_folder(home).glob(f"[!.]*/{_STATED}")]
    counts: dict[str, int] = {}
    found = []
    for path, record in sorted(records, key=lambda one: (one[1]["registered_at"], one[1]["hash"])):
        registered_at = datetime.fromisoformat(record["registered_at"])
        if at is not None and registered_at > at:
            continue
        try:
            experiment = ExperimentSpec.model_validate(record["experiment"])
        except ValidationError as error:
            raise _edited(path) from error
        counts[experiment.signal] = counts.get(experiment.signal, 0) + 1
        found.append(
            Registration(
                experiment=experiment,
                hash=record["hash"],
                registered_at=registered_at,
                registered_by=record["registered_by"],
                holdout_from=date.fromisoformat(record["holdout_from"]),
                number=counts[experiment.signal],
                opening=_opening(path.with_name(_OPENED), at),
            )
        )
    return found


def registration_named(home: Home, name: str) -> Registration:
    """Look an experiment up.

    Raises
    ------
    UnknownExperiment
        With the closest name.
    """
    known = {one.experiment.name: one for one in registrations(home)}
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise UnknownExperiment(
            f"no experiment {name!r} is registered",
            where=str(experiments_folder(home)),
            action=f"did you mean {close[0]!r}?" if close else "register one: quant signal register FILE",
        )
    return known[name]


def registration_of(home: Home, signal: str, *, at: datetime | None = None) -> Registration | None:
    """The experiment in force for a signal, the one that was registered last; None without one.

    Parameters
    ----------
    home
        Where.
    signal
        Its name.
    at
        As it was known at that time, UTC; now when not given.
    """
    found = [one for one in registrations(home, at=at) if one.experiment.signal == signal]
    return found[-1] if found else None


def open_holdout(home: Home, signal: str, snapshot: Snapshot, *, opened_by: str) -> Registration:
    """Put the one look at the holdout of a signal's experiment on record; what is computed then may see it.

    Parameters
    ----------
    home
        Where.
    signal
        Its name.
    snapshot
        The data it is opened on.
    opened_by
        Who.

    Returns
    -------
    Registration
        With its opening; also where the same holdout was opened on this snapshot before and by the same person, so that
        a run that died can be started again.

    Raises
    ------
    UnknownExperiment
        When the signal has no experiment.
    ExperimentChanged
        When this registration was opened before.
    NotAvailable
        When the snapshot ends before the holdout, or does not say when it ends.
    """
    registration = registration_of(home, signal)
    if registration is None:
        raise UnknownExperiment(
            f"no experiment is registered for the signal {signal!r}",
            where=str(experiments_folder(home)),
            cause="the whole sample of a signal without a registration is open",
            action="state what you expect and register it before you judge the signal: quant signal register FILE",
        )
    last = next((table.date_to for table in snapshot.tables if table.name == DATES), None)
    if last is None or date.fromisoformat(last[:10]) < registration.holdout_from:
        raise NotAvailable(
            f"the snapshot ends on {last}, before the holdout begins on {registration.holdout_from}",
            where=snapshot.snapshot_id,
            action="open it on a snapshot that holds these sessions",
        )
    who = _who(opened_by)
    content = {
        "experiment_hash": registration.hash,
        "opened_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "opened_by": who,
        "snapshot_id": snapshot.snapshot_id,
        "holdout_to": last[:10],
    }
    _written_once(experiments_folder(home) / registration.experiment.name / _OPENED, content)
    opened = registration_named(home, registration.experiment.name)
    assert opened.opening is not None, "it was written, or was there"
    if (opened.opening.snapshot_id, opened.opening.opened_by) != (snapshot.snapshot_id, who):
        raise ExperimentChanged(
            f"the holdout of {registration.experiment.name!r} was opened before",
            where=f"on {opened.opening.snapshot_id}, {opened.opening.opened_at:%Y-%m-%d %H:%M} UTC, "
            f"by {opened.opening.opened_by}",
            cause="a second look would be a choice made with the answer in hand",
            action="leave the option out to see what the one look has said; a new experiment needs new sessions",
        )
    return opened


def _require_unseen(home: Home, experiment: ExperimentSpec, first: date, known: list[Registration]) -> None:
    """Refuse a statement about sessions on which its signal was judged, under this name or another."""
    name = pl.col("signal") == experiment.signal
    rows = registered_hash(home, experiment.signal)
    mine = name | (pl.col("signal_hash") == rows) if rows is not None else name
    trials = home.lake.read("suite.trials", missing="ignore").filter(mine)
    looks = home.lake.read("suite.looks", missing="ignore").filter(mine)
    seen = looks.filter(pl.col("date_to") >= first).select("signal", "snapshot_id", "looked_at", "looked_by", "date_to")
    # A trial without a look was made before looks were counted; it has seen its whole snapshot.
    uncounted = trials.join(looks, on=["signal", "snapshot_id"], how="anti")
    opened = [
        one
        for one in known
        if one.experiment.signal == experiment.signal and one.opening is not None and one.opening.holdout_to >= first
    ]
    if seen.height or uncounted.height or opened:
        raise ExperimentLate(
            f"the signal {experiment.signal!r} was judged on sessions from {first} on, which would be locked",
            how_many=f"{seen.height} looks, {uncounted['trial_id'].n_unique()} trials of before looks were counted, "
            f"{len(opened)} opened experiments",
            rows=seen.sort("looked_at"),
            cause="what was seen cannot be stated beforehand any more",
            action="wait for sessions that nobody has seen, or register the next idea before it is judged",
        )


def _record(path: Path) -> tuple[Path, dict[str, Any]]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if spec_hash(record["experiment"]) == record["hash"]:
            return path, record
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _edited(path) from error
    raise _edited(path)


def _opening(path: Path, at: datetime | None) -> Opening | None:
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        opening = Opening(
            opened_at=datetime.fromisoformat(record["opened_at"]),
            opened_by=record["opened_by"],
            snapshot_id=record["snapshot_id"],
            holdout_to=date.fromisoformat(record["holdout_to"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _edited(path) from error
    return opening if at is None or opening.opened_at <= at else None


def _edited(path: Path) -> ExperimentChanged:
    return ExperimentChanged(
        "the record of an experiment is not what was written",
        where=str(path),
        cause="it was edited or is damaged",
        action="restore it from a backup; a registration that was changed is none",
    )


def _who(name: str) -> str:
    who = " ".join(name.split())
    if not 0 < len(who) <= _WHO_CHARACTERS:
        raise SignalNameInvalid(
            f"the person has {len(who)} characters", action=f"name somebody in 1 to {_WHO_CHARACTERS} characters"
        )
    return who


def _written_once(path: Path, content: Mapping[str, object]) -> bool:
    """Write a file that is not there yet, whole; False where it was there."""
    writing = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        atomic_text(writing, json.dumps(content, indent=1, ensure_ascii=False))
        try:
            # A link fails where the name is taken, which a rename does not.
            os.link(writing, path)
        except FileExistsError:
            return False
    except OSError as error:
        raise StorageFailed(
            error.strerror or str(error), where=str(path), action="make room, or check who may write there"
        ) from error
    finally:
        writing.unlink(missing_ok=True)
    return True
