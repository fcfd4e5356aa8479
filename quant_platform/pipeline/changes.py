"""Proposals in the hands of a person: listed, shown, applied, taken back. Nothing else writes specs.

Applying checks that the value in the file, the rest of the file and the evidence are what they were when the change was
proposed, writes the file with its comments and its order, and only once the new text reads as a valid spec. A record
below ``<home>/operations/changes`` says who did what, when, and holds the text of before.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from quant_platform.contracts.errors import ProposalRefused, UnknownProposal
from quant_platform.contracts.tables import table
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.labs.operations.proposals import evidence_rows
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.content_hash import content_hash
from quant_platform.pipeline.home import Home
from quant_platform.specification import clock
from quant_platform.specification.loading import load_spec, read_yaml
from quant_platform.specification.ontology import spec_hash
from quant_platform.specification.spec_models import model_of

_REVIEWER = re.compile(r"\S.{0,99}")
# A text that every YAML reads as a text without quotes: no time, date, number or truth value looks like it.
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_][\w ,.%()-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """What was done with a proposal.

    Attributes
    ----------
    proposal_id, file, path, old, new
        As proposed; values as JSON, None for old where nothing stood there.
    reviewed_by, applied_at
        Who applied it and when.
    before, after
        Text of the file.
    proposal
        The whole proposal, columns of ``ops.config_proposals`` with the week as an ISO date: the week may be made again
        under the new value, and then proposes something else.
    reverted_by, reverted_at
        Who took it back; None while it stands.
    """

    proposal_id: str
    file: str
    path: str
    old: str | None
    new: str
    reviewed_by: str
    applied_at: str
    before: str
    after: str
    proposal: Mapping[str, Any]
    reverted_by: str | None = None
    reverted_at: str | None = None


def changes_folder(home: Home) -> Path:
    """Where the records of a home are."""
    return home.settings.home / "operations" / "changes"


def record_of(home: Home, proposal_id: str) -> Record | None:
    """The record of a proposal; None where nobody applied it."""
    path = changes_folder(home) / f"{proposal_id}.json"
    return Record(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def all_proposals(home: Home) -> pl.DataFrame:
    """Every proposal that is stored or was applied, the newest week first.

    Returns
    -------
    DataFrame
        Columns of ``ops.config_proposals`` and ``state``: open, superseded, applied or reverted.
    """
    stored = home.lake.read("ops.config_proposals", missing="ignore")
    applied = [json.loads(path.read_text(encoding="utf-8"))["proposal"] for path in changes_folder(home).glob("*.json")]
    dated = [one | {"week": date.fromisoformat(one["week"])} for one in applied]
    gone = rows_frame("ops.config_proposals", dated).join(stored, on="proposal_id", how="anti")
    rows = pl.concat([stored, gone.select(stored.columns)]).sort(
        ["week", "kind", "path"], descending=[True, False, False]
    )
    newest = max((str(key) for key in home.lake.partitions("ops.config_proposals")), default="")
    states = []
    for row in rows.select("proposal_id", pl.col("week").cast(pl.String)).iter_rows(named=True):
        record = record_of(home, row["proposal_id"])
        if record is not None:
            states.append("reverted" if record.reverted_at else "applied")
        else:
            states.append("open" if row["week"] == newest else "superseded")
    return rows.with_columns(state=pl.Series(states, dtype=pl.String))


def proposal(home: Home, proposal_id: str) -> dict[str, Any]:
    """One proposal, of the newest week that makes it.

    Raises
    ------
    UnknownProposal
        When there is none of that id.
    """
    found = all_proposals(home).filter(pl.col("proposal_id") == proposal_id)
    if found.is_empty():
        raise UnknownProposal(
            f"there is no proposal {proposal_id!r}",
            where=str(home.settings.home),
            action="`quant proposals list` names them",
        )
    return found.row(0, named=True)


def apply(home: Home, proposal_id: str, reviewed_by: str) -> Record:
    """Write a proposed value into its spec.

    Parameters
    ----------
    reviewed_by
        Who looked at the evidence.

    Raises
    ------
    UnknownProposal
        When there is none of that id.
    ProposalRefused
        When it was applied already, when spec or evidence have moved since, or when nobody is named.
    SpecError
        When the spec would not be valid with it.
    """
    name = reviewer(reviewed_by)
    row = proposal(home, proposal_id)
    earlier = record_of(home, proposal_id)
    path, keys = home.specs / row["file"], row["path"].split("/")
    before = path.read_text(encoding="utf-8")
    # A process that died after its record and before the spec left the file as it was: the change is made now.
    if earlier is not None and earlier.reverted_at is None and before != earlier.before:
        raise ProposalRefused(
            f"the proposal was applied by {earlier.reviewed_by} at {earlier.applied_at}",
            where=f"{row['file']}: {row['path']}",
            action="`quant proposals revert` takes it back",
        )
    _require_spec(home, row, path, keys)
    _require_evidence(home, row)
    after = edited(before, keys, json.loads(row["new"]))
    _require_valid(path, row["file"], after)
    record = Record(
        proposal_id=proposal_id,
        file=row["file"],
        path=row["path"],
        old=row["old"],
        new=row["new"],
        reviewed_by=name,
        applied_at=clock.now().isoformat(timespec="seconds"),
        before=before,
        after=after,
        proposal={key: value for key, value in row.items() if key != "state"} | {"week": row["week"].isoformat()},
    )
    # The record stands before the spec moves: whoever finds a changed spec finds who changed it.
    _write(home, record)
    atomic_text(path, after)
    return record


def evidence_of(home: Home, row: Mapping[str, Any]) -> pl.DataFrame:
    """The rows that speak for a proposal, as they are stored now; apply refuses when they are not those of then.

    Parameters
    ----------
    row
        The proposal, as :func:`proposal` gives it.
    """
    key = json.loads(row["evidence_key"])
    stored = home.lake.read(row["evidence_table"], [key["partition"]], missing="ignore")
    return evidence_rows(stored, key["rows"]).sort(*table(row["evidence_table"]).primary_key)


def evidence_stands(home: Home, row: Mapping[str, Any]) -> bool:
    """Whether the rows that speak for a proposal are those that spoke for it when it was made."""
    return content_hash(evidence_of(home, row)) == str(row["evidence_hash"])


def evidence_query(row: Mapping[str, Any]) -> str:
    """The rows that speak for a proposal as a query for people."""
    key = json.loads(row["evidence_key"])
    (column,) = table(row["evidence_table"]).dimensions
    where = {column: key["partition"], **key["rows"]}
    conditions = " and ".join(f"t.{name} = '{value}'" for name, value in where.items())
    return f"from {row['evidence_table']} t where {conditions}"


def revert(home: Home, proposal_id: str, reviewed_by: str) -> Record:
    """Take an applied change back; other edits that the file has seen since stay.

    Raises
    ------
    UnknownProposal
        When nobody applied it.
    ProposalRefused
        When it is taken back already, or another value stands there by now.
    """
    name = reviewer(reviewed_by)
    record = record_of(home, proposal_id)
    if record is None:
        raise UnknownProposal(
            f"no applied proposal has the id {proposal_id!r}",
            where=str(changes_folder(home)),
            action="`quant proposals list` says which were applied",
        )
    path, keys = home.specs / record.file, record.path.split("/")
    text = path.read_text(encoding="utf-8")
    # A process that died after its record and before the spec left the change in the file: it is taken back now.
    if record.reverted_at is not None and text != record.after:
        raise ProposalRefused(f"it was taken back by {record.reverted_by} at {record.reverted_at}", where=str(path))
    there = value_at(path, keys)
    if not _equal(there, json.loads(record.new)):
        raise ProposalRefused(
            f"{record.path} is {json.dumps(there)} by now, not the {record.new} that was applied",
            where=str(path),
            cause="somebody edited it since",
            action="edit the file by hand",
        )
    restored = record.before if text == record.after else _without(text, record)
    _require_valid(path, record.file, restored)
    done = Record(**{**asdict(record), "reverted_by": name, "reverted_at": clock.now().isoformat(timespec="seconds")})
    _write(home, done)
    atomic_text(path, restored)
    return done


def value_at(path: Path, keys: list[str]) -> Any:
    """What stands at a place of a YAML file, as JSON has it; None where nothing does."""
    found, _ = read_yaml(path)
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return json.loads(json.dumps(found, default=str))


def edited(text: str, keys: list[str], value: Any) -> str:
    """A YAML text with one value set, or taken out where it is None; comments, order and quotes of the rest stay.

    Parameters
    ----------
    text
        The file.
    keys
        Keys from the top; mappings on the way are made where they are not there.
    value
        JSON value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(text)
    above, place = None, document
    for key in keys[:-1]:
        if not isinstance(place.get(key), dict):
            place[_quoted(key)] = {}
        above, place = place, place[key]
    if value is None:
        place.pop(keys[-1], None)
        if above is not None and not place:
            # Written as a block an empty mapping below a comment is no YAML.
            above[keys[-2]] = CommentedMap()
            above[keys[-2]].fa.set_flow_style()
    elif keys[-1] in place:
        place[keys[-1]] = _quoted(value)
    else:
        place[_quoted(keys[-1])] = _quoted(value)
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return buffer.getvalue()


def _without(text: str, record: Record) -> str:
    """A file's text with an applied change taken out of it, and with it the mappings that were made on the way."""
    keys = record.path.split("/")
    if record.old is not None:
        return edited(text, keys, json.loads(record.old))
    text = edited(text, keys, None)
    for depth in range(len(keys) - 1, 0, -1):
        if _stands(record.before, keys[:depth]) is None and _stands(text, keys[:depth]) == {}:
            text = edited(text, keys[:depth], None)
    return text


def _stands(text: str, keys: list[str]) -> Any:
    """What stands at a place of a YAML text; None where nothing does."""
    from ruamel.yaml import YAML

    found = YAML(typ="safe").load(text)
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _quoted(value: Any) -> Any:
    """A JSON value as YAML reads it back: texts that look like something else in quotes, small numbers in digits."""
    from ruamel.yaml.scalarfloat import ScalarFloat
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, float) and value > 0.0 and "e-" in repr(value):
        # 4e-05 is a text in YAML 1.1.
        digits = f"{Decimal(repr(value)):f}"
        return ScalarFloat(value, width=len(digits), prec=digits.index("."))
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else DoubleQuotedScalarString(value)
    if isinstance(value, dict):
        return {_quoted(key): _quoted(one) for key, one in value.items()}
    return [_quoted(one) for one in value] if isinstance(value, list) else value


def reviewer(name: str) -> str:
    """A name that can stand in a record, without blanks around it; one that is none is refused."""
    if not _REVIEWER.fullmatch(name.strip()):
        raise ProposalRefused(
            "nobody is named who reviewed it", where="--reviewed-by", action="give a name of up to 100 characters"
        )
    return name.strip()


def _require_spec(home: Home, row: Mapping[str, Any], path: Path, keys: list[str]) -> None:
    there = value_at(path, keys)
    old = None if row["old"] is None else json.loads(row["old"])
    # A value that the file leaves to its default was proposed against that default.
    if there is not None and not _equal(there, old) and not (isinstance(old, dict | list) and _same(there, old)):
        raise ProposalRefused(
            f"{row['path']} is {json.dumps(there)} by now; the proposal was made when it was {row['old']}",
            where=str(path),
            cause="the spec was edited since",
            action="run `quant operations weekly` again: it proposes against what is in force",
        )
    if _hash_without_siblings(home, row, path) != row["spec_hash"]:
        raise ProposalRefused(
            "another value of the file was changed since the proposal was made",
            where=str(path),
            cause="the evidence was gathered under the spec of then",
            action="run `quant operations weekly` again: it proposes against what is in force",
        )


def _hash_without_siblings(home: Home, row: Mapping[str, Any], path: Path) -> str:
    """Hash of what the file would say without the changes that were applied from the same week's proposals."""
    same_week = home.lake.read("ops.config_proposals", [row["week"].isoformat()])
    text = path.read_text(encoding="utf-8")
    for sibling in same_week.filter(pl.col("file") == row["file"])["proposal_id"]:
        record = record_of(home, sibling)
        if record is not None and record.reverted_at is None:
            text = _without(text, record)
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        content = spec_hash(load_spec(trial, model_of(row["file"])).model_dump(mode="json"))
    return spec_hash({row["file"]: content})[:16]


def _equal(there: Any, stated: Any) -> bool:
    """Whether a file says a JSON value; a number that YAML takes for a text, such as 4e-05, is that number."""
    if isinstance(there, str) and isinstance(stated, float):
        try:
            return float(there) == stated
        except ValueError:
            return False
    return bool(there == stated)


def _same(there: Any, old: Any) -> bool:
    """Whether a mapping or list says the same; what only one of them states is left to its default by the other."""
    if isinstance(there, dict) and isinstance(old, dict):
        return all(key in old and _same(value, old[key]) for key, value in there.items())
    if isinstance(there, list) and isinstance(old, list):
        return len(there) == len(old) and all(_same(a, b) for a, b in zip(there, old, strict=True))
    return str(there) == str(old)[: len(str(there))] if isinstance(there, str) else bool(there == old)


def _require_evidence(home: Home, row: Mapping[str, Any]) -> None:
    if not evidence_stands(home, row):
        raise ProposalRefused(
            "the evidence is not what it was when the change was proposed",
            where=f"{row['evidence_table']}, partition {json.loads(row['evidence_key'])['partition']}",
            cause="the table was made again, from more data or under other specs",
            action="run `quant operations weekly` again, and look at what it proposes now",
        )
    newest = max(str(one) for one in home.lake.partitions("ops.config_proposals"))
    if row["week"].isoformat() != newest:
        raise ProposalRefused(
            f"the proposal is of the week {row['week']}, the evidence of {newest} is there by now",
            where="ops.config_proposals",
            action="`quant proposals list` shows what the newest week proposes",
        )


def _require_valid(path: Path, name: str, text: str) -> None:
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(text, encoding="utf-8")
        load_spec(trial, model_of(name))


def _write(home: Home, record: Record) -> None:
    folder = changes_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_text(folder / f"{record.proposal_id}.json", json.dumps(asdict(record), indent=1))
