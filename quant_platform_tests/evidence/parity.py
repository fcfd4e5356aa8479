"""``python -m quant_platform_tests.evidence.parity``: every case through every framework; writes docs/evidence/."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quant_platform.labs.parity.adapters import OURS, all_frameworks
from quant_platform.labs.parity.cases import CASES, Case, at_scale, case_named
from quant_platform.labs.parity.defaults import probe_defaults
from quant_platform.labs.parity.environments import FRAMEWORKS
from quant_platform.labs.parity.page import defaults_page, page, row_of
from quant_platform.labs.parity.study import Outcome, prepare, study_many, trade

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make parity"


def write(
    cases: Sequence[Case],
    output: Path,
    *,
    data: Path | None,
    frameworks: Sequence[str] = FRAMEWORKS,
    timeout: float = 3_600.0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run cases and write ``parity.json`` and ``parity.md``; what was written before of others stays."""
    path = output / "parity.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    prepared = [prepare(case, data) for case in cases]
    real = data is not None
    traded = [(one, trade(one)) for one in prepared]
    ours = [row_of(one, Outcome(one.case.name, OURS, "agrees", made, None, None), real=real) for one, made in traded]
    found = _written(rows, ours, output)
    for framework in frameworks:
        outcomes = study_many(traded, framework, timeout_seconds=timeout)
        made = [row_of(one, outcome, real=real) for one, outcome in zip(prepared, outcomes, strict=True)]
        for row in made:
            say(f"{row['case']:<30}{framework:<12}{row['outcome']:<14}{row['differing_trades']} of {row['trades']}")
        found = _written(found["rows"], made, output)
    return found


def _written(before: list[dict[str, Any]], made: list[dict[str, Any]], output: Path) -> dict[str, Any]:
    """Put rows in the place of those of before, and write both files."""
    known = {(row["case"], row["framework"]) for row in made}
    rows = [row for row in before if (row["case"], row["framework"]) not in known] + made
    place = {name: number for number, name in enumerate(CASES)}
    order = list(all_frameworks())
    rows.sort(key=lambda row: (place.get(row["case"], len(place)), row["case"], order.index(row["framework"])))
    versions = {"Python": platform.python_version()}
    versions |= {row["framework"]: row["version"] for row in rows if row["version"]}
    found = {"command": COMMAND, "versions": versions, "rows": rows}
    output.mkdir(parents=True, exist_ok=True)
    (output / "parity.json").write_text(json.dumps(found, indent=0, allow_nan=False) + "\n")
    (output / "parity.md").write_text(page(rows, COMMAND, versions))
    return found


def write_defaults(output: Path) -> None:
    """Run the probes of the defaults and write ``parity_defaults.json`` and ``parity_defaults.md``."""
    found = [asdict(default) for default in probe_defaults()]
    output.mkdir(parents=True, exist_ok=True)
    (output / "parity_defaults.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (output / "parity_defaults.md").write_text(defaults_page(found, COMMAND))


def main(arguments: list[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--framework", action="append")
    parser.add_argument(
        "--scale", nargs=2, type=int, metavar=("ASSETS", "SESSIONS"), help="run random decisions of this size instead"
    )
    parser.add_argument("--defaults", action="store_true", help="run the probes of the defaults instead")
    chosen = parser.parse_args(arguments)
    data = chosen.data if chosen.data.is_dir() else None
    if chosen.defaults:
        write_defaults(chosen.output)
        return
    cases = [at_scale(*chosen.scale)] if chosen.scale else [case_named(name) for name in chosen.cases]
    write(cases, chosen.output, data=data, frameworks=chosen.framework or FRAMEWORKS)


if __name__ == "__main__":
    main()
