"""Registered signals: ``<home>/signals/<name>/``, written once and never changed.

``signal.parquet`` has the rows that satisfy the contract, ``rejects.parquet`` those that were left out, and
``submission.json`` says who registered what, when, with the hash that proves it. A folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import (
    SettingsError,
    SignalChanged,
    SignalNameInvalid,
    SignalTaken,
    StorageFailed,
    UnknownSignal,
)
from quant_platform.labs.suite.contract import SUMMARY_SCHEMA, Validated, safe_signal_name, validate
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.lake.atomic import atomic_bytes, atomic_text
from quant_platform.lake.content_hash import content_hash
from quant_platform.pipeline.home import Home
from quant_platform.specification.suite import ContractSpec

BARS, RETURNS, PERPETUALS = "clean.equity_bars", "suite.returns", "clean.market_5m"
NOBODY = "unknown"
_GOOD, _REJECTS, _MODELS, _SAID = "signal.parquet", "rejects.parquet", "models.parquet", "submission.json"
_AUTHOR_CHARACTERS = 100


@dataclass(frozen=True)
class Submission:
    """What is known of a registered signal.

    Attributes
    ----------
    name
        Its name, the partition key of everything that is made of it.
    author
        Who registered it, ``unknown`` where nobody said.
    submitted_at
        When, UTC, ISO 8601.
    signal_hash
        Content hash of the rows of ``signal.parquet``.
    rejects_hash
        Content hash of the rows of ``rejects.parquet``.
    file_name, file_hash
        The file it came from, and its SHA-256.
    rows, rejected
        Rows taken and left out.
    securities, first_date, last_date
        What the rows cover; ISO dates of ``date_sig``.
    region, universe, version
        What was said of it; empty where nothing was.
    models_hash
        Content hash of the models of a composite; empty for other signals.
    baseline
        The baseline that it is; empty for other signals.
    """

    name: str
    author: str
    submitted_at: str
    signal_hash: str
    rejects_hash: str
    file_name: str
    file_hash: str
    rows: int
    rejected: int
    securities: int
    first_date: str
    last_date: str
    region: str
    universe: str
    version: str
    models_hash: str = ""
    baseline: str = ""


def signals_folder(home: Home) -> Path:
    """Where the registered signals of a home are."""
    return home.settings.home / "signals"


def validate_file(home: Home, path: Path) -> Validated:
    """Check a signal file against the contract and the securities of a home; nothing is stored.

    Raises
    ------
    SignalInvalid
        Where there is nothing to judge row by row.
    SettingsError
        When it holds no bars yet.
    """
    return validate_frame(home, path)


def validate_frame(home: Home, source: pl.DataFrame | Path | str) -> Validated:
    """Check a frame or a file as :func:`validate_file` does."""
    known = known_securities(home)
    if not known:
        raise SettingsError(
            f"there are no {home.judges_on} to hold a signal against",
            where=str(home.settings.lake),
            action="fill the home first: quant demo or quant import",
        )
    return validate(
        source,
        session_clock(home.suite_exchange),
        known,
        contract=home.load("suite/contract.yaml", ContractSpec),
        today=datetime.now(UTC).date(),
    )


def known_securities(home: Home) -> list[str]:
    """The names that a signal may speak of: those with bars, with returns where there are no bars, or perpetuals."""
    if home.judges_on == "bars":
        return [str(key) for key in home.lake.partitions(BARS)]
    if home.judges_on == "perpetuals":
        return sorted({key[0] for key in home.lake.partitions(PERPETUALS) if isinstance(key, tuple)})
    if not home.lake.partitions(RETURNS):
        return []
    return [str(name) for name in home.lake.read(RETURNS, columns=["ticker"])["ticker"].unique().sort()]


def submit(
    home: Home,
    path: Path,
    validated: Validated,
    *,
    name: str | None = None,
    author: str = NOBODY,
    region: str | None = None,
    universe: str | None = None,
    version: str | None = None,
    models: pl.DataFrame | None = None,
    baseline: str = "",
) -> Submission:
    """Register the good rows of a validated file under a name, once and for all.

    Parameters
    ----------
    home
        Where.
    path
        The file that was validated.
    validated
        What the checks found.
    name
        Of the signal; the file's own ``signal_name`` when not given.
    author
        Who stands behind it.
    region, universe, version
        Said of it; the file's own values when not given.
    models
        Of a composite, kept beside its rows.
    baseline
        The baseline that it is: its suite leaves that one out of what it is held against.

    Returns
    -------
    Submission
        The one of before where the same rows are registered under this name already.

    Raises
    ------
    SignalNameInvalid
        Without a usable name or author.
    SignalEmpty
        When no row satisfies the contract.
    SignalTaken
        When other rows are registered under this name.
    StorageFailed
        When the file system refuses; nothing is registered then.
    """
    chosen = name or validated.name
    if chosen is None:
        raise SignalNameInvalid(
            "the signal has no name", where=path.name, action="give one with --name, or in a column signal_name"
        )
    safe_signal_name(chosen)
    validated.require_rows()
    who = " ".join(author.split()) or NOBODY
    if len(who) > _AUTHOR_CHARACTERS:
        raise SignalNameInvalid(
            f"the author has {len(who)} characters", action=f"name somebody in at most {_AUTHOR_CHARACTERS}"
        )
    dates = validated.good["date_sig"]
    made = Submission(
        name=chosen,
        author=who,
        submitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        signal_hash=content_hash(validated.good),
        rejects_hash=content_hash(validated.rejects),
        file_name=path.name,
        file_hash=_file_hash(path),
        rows=validated.good.height,
        rejected=validated.rejects.height,
        securities=validated.good["security_id"].n_unique(),
        first_date=str(dates.min()),
        last_date=str(dates.max()),
        region=region or validated.region or "",
        universe=universe or validated.universe or "",
        version=version or validated.version or "",
        models_hash=content_hash(models) if models is not None else "",
        baseline=baseline,
    )
    folder = signals_folder(home) / chosen
    if folder.exists():
        return _same_as_before(home, made)
    writing = folder.with_name(f".{chosen}.{secrets.token_hex(4)}")
    try:
        atomic_bytes(writing / _GOOD, _parquet(validated.good))
        atomic_bytes(writing / _REJECTS, _parquet(validated.rejects))
        if models is not None:
            atomic_bytes(writing / _MODELS, _parquet(models))
        atomic_text(writing / _SAID, json.dumps(asdict(made), indent=1, ensure_ascii=False))
        try:
            writing.rename(folder)
        except OSError:
            # Somebody else may have registered the name between the look above and now.
            if folder.exists():
                return _same_as_before(home, made)
            raise
    except OSError as error:
        raise StorageFailed(
            error.strerror or str(error), where=str(folder), action="make room, or check who may write there"
        ) from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return made


def submission(home: Home, name: str) -> Submission:
    """Look a registered signal up.

    Raises
    ------
    UnknownSignal
        With the closest name.
    """
    path = signals_folder(home) / safe_signal_name(name) / _SAID
    if not path.is_file():
        names = [one.name for one in submissions(home)]
        close = get_close_matches(name, names, n=1)
        raise UnknownSignal(
            f"no signal {name!r} is registered",
            where=str(signals_folder(home)),
            action=f"did you mean {close[0]!r}?" if close else f"register one: quant signal submit FILE --name {name}",
        )
    try:
        return Submission(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise SignalChanged(
            "the record of the signal cannot be read", where=str(path), cause="it was edited or is damaged"
        ) from error


def submissions(home: Home) -> list[Submission]:
    """Every registered signal, by name."""
    found = sorted(signals_folder(home).glob(f"[!.]*/{_SAID}"))
    return [submission(home, path.parent.name) for path in found]


def registered_hash(home: Home, name: str) -> str | None:
    """Content hash of a registered signal; None where the name is free."""
    return submission(home, name).signal_hash if (signals_folder(home) / name / _SAID).is_file() else None


def registered_rows(home: Home, name: str) -> tuple[Submission, Validated]:
    """Read a registered signal, and prove that it is what was registered.

    Raises
    ------
    UnknownSignal
        Without such a signal.
    SignalChanged
        When a file has another hash than it was registered with, or is gone.
    """
    said = submission(home, name)
    folder = signals_folder(home) / name
    good = _proved(folder / _GOOD, said.signal_hash)
    rejects = _proved(folder / _REJECTS, said.rejects_hash)
    return said, Validated(
        good=good,
        rejects=rejects,
        summary=pl.DataFrame(schema=SUMMARY_SCHEMA),
        name=name,
        region=said.region or None,
        universe=said.universe or None,
        version=said.version or None,
        rows=good.height + rejects.height,
    )


def registered_models(home: Home, said: Submission) -> pl.DataFrame | None:
    """Read the models of a composite, and prove that they are what was registered; None for another signal.

    Raises
    ------
    SignalChanged
        When the file has another hash than it was registered with, or is gone.
    """
    return _proved(signals_folder(home) / said.name / _MODELS, said.models_hash) if said.models_hash else None


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_as_before(home: Home, made: Submission) -> Submission:
    before = submission(home, made.name)
    if before.signal_hash == made.signal_hash:
        return before
    raise SignalTaken(
        f"a signal {made.name!r} is registered with other rows",
        where=f"{signals_folder(home) / made.name}, registered {before.submitted_at} by {before.author}",
        how_many=f"{before.rows} rows there, {made.rows} here",
        action=f"register a changed signal under another name: --name {made.name}_v2",
    )


def _proved(path: Path, expected: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SignalChanged("the file of the signal cannot be read", where=str(path)) from error
    if content_hash(frame) != expected:
        raise SignalChanged(
            "the file is not what was registered",
            where=str(path),
            cause="it was edited after it was registered",
            action="restore it, or register the changed signal under another name",
        )
    return frame


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
