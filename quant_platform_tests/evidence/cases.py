"""``python -m quant_platform_tests.evidence.cases FOLDER``: small inputs of public problems, imported as people would.

FOLDER holds a case per folder, with ``source.yaml`` and ``universe.yaml`` or a folder ``specs``. Each case is imported
into a home of its own by the command; what must come out stands here, worked out by hand from what the case holds.
Writes ``docs/evidence/cases.md``; ends with 1 when a case ends otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import yaml

from quant_platform.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from quant_platform.cli import main; main()"]


@dataclass(frozen=True)
class Ended:
    """What an import said and left."""

    code: int
    out: str
    err: str
    home: Path

    def read(self, table: str) -> pl.DataFrame:
        """The rows of a table."""
        return Lake(self.home / "lake").read(table)

    @property
    def left_nothing(self) -> bool:
        """Whether a refused import left no declaration behind."""
        return not (self.home / "home.yaml").exists() and not (self.home / "perps.yaml").exists()

    def refused(self, *said: str) -> bool:
        """Whether it was refused in words, and nothing was left."""
        return (
            self.code != 0
            and self.left_nothing
            and "Traceback" not in self.err
            and all(text in self.err for text in (*said, "next:"))
        )

    def clean(self, rows: int) -> bool:
        """Whether so many bars have a close, and none was kept out."""
        bars = self.read("clean.equity_bars").filter(pl.col("close").is_finite())
        return self.code == 0 and bars.height == rows and self.read("clean.equity_quarantine").is_empty()


def _berlin(ended: Ended) -> bool:
    bars = ended.read("clean.equity_bars")
    return ended.clean(766) and bars["session"].min() == date(2020, 1, 2) and 5 in bars["session"].dt.weekday()


def _actions(ended: Ended) -> bool:
    names = "4 of 12 names: BANKRUPT, BOTH, REV190, SATDELIST (PCTDELIST?)"
    return ended.refused("corporate actions are of names without bars", names)


def _split(ended: Ended) -> bool:
    # A split that the prices do not show would have halved every close before its Saturday: 89.84 to 44.92.
    closes = ended.read("clean.equity_bars").filter(
        pl.col("ticker") == "ECHO", pl.col("session").is_in([date(2024, 6, 14), date(2024, 6, 17)])
    )["close"]
    said = "ECHO 2024-06-15 split 2" in ended.out and "5 names on a session; a cross-section needs 20" in ended.out
    return ended.code == 0 and said and closes.round(2).to_list() == [89.84, 91.56]


def _open_interest(stamp: datetime, value: float) -> Callable[[Ended], bool]:
    def holds(ended: Ended) -> bool:
        known = ended.read("raw.open_interest").filter(stamp=stamp)["open_interest"].to_list()
        return ended.code == 0 and len(known) == 1 and abs(known[0] - value) < 1e-4

    return holds


def _midnight(ended: Ended) -> bool:
    files = ("AAAUSDT-metrics-2024-01-30.zip", "AAAUSDT-metrics-2024-01-31.zip", "1 of 577")
    own = _open_interest(datetime(2024, 1, 31, tzinfo=UTC), 48034.750461)
    return own(ended) and all(text in ended.out for text in files)


def _funding(ended: Ended) -> bool:
    settled = ended.read("raw.funding")
    hours = settled["settle_time"].dt.hour().unique().sort().to_list()
    return ended.code == 0 and settled.height == 6 and hours == [0, 8, 16] and "unknown_funding" in ended.out


CASES: dict[str, tuple[str, Callable[[Ended], bool]]] = {
    "equities/action_without_ticker": (
        "refused with file, line and what is missing",
        lambda ended: ended.refused("actions.csv, line 2", "the column 'ticker' is empty"),
    ),
    "equities/actions_against_prices": ("refused: five actions are of names without bars, all named", _actions),
    "equities/actions_of_another_spelling": (
        "refused: both actions are counted and named, one with the spelling it may have",
        lambda ended: ended.refused("2 of 2 rows, 2 of 2 names: AAA.US (AAA?), ZZZ"),
    ),
    "equities/blank_last_line": ("read: 124 bars", lambda ended: ended.clean(124)),
    "equities/close_only": ("read: 61 closes", lambda ended: ended.clean(61)),
    "equities/exchange_shanghai": (
        "read: three names on the sessions of Shanghai, none kept out",
        lambda ended: ended.clean(1077),
    ),
    "equities/lean_factor_infinite": (
        "read: the infinite factor is skipped as Lean skips it, with file and line",
        lambda ended: ended.clean(253) and "1 of 3" in ended.out and "aaa.csv (line 1)" in ended.out,
    ),
    "equities/parquet_time_zone_berlin": (
        "read: 766 of 766 rows, the first on 2020-01-02, Fridays among them",
        _berlin,
    ),
    "equities/parquet_with_own_source_row": ("read: 122 bars of two names", lambda ended: ended.clean(122)),
    "equities/split_not_in_prices": (
        "the split of 2024-06-15 is refused, the close stays below 91, and a sentence says why no factor is judged",
        _split,
    ),
    "equities/tab_separated": ("read: 61 bars", lambda ended: ended.clean(61)),
    "equities/yahoo_null_rows": (
        "read: 60 bars; the row of nulls is kept out, counted and past the limit",
        lambda ended: ended.read("clean.equity_quarantine").height == 1 and "limit_broken" in ended.out,
    ),
    "equities/yfinance_three_line_header": ("read: 61 bars", lambda ended: ended.clean(61)),
    "perpetuals/funding_file_1h": (
        "six settlements at 0, 8 and 16 o'clock, and the share of bars without funding is said",
        _funding,
    ),
    "perpetuals/metrics_midnight_twice": ("the file of the day stands, both files named, one of 577", _midnight),
    "perpetuals/no_funding_file": (
        "read, with funding of the symbol that has it and unknown, not zero, for the other",
        lambda ended: (
            ended.code == 0
            and set(ended.read("raw.funding")["symbol"]) == {"AAAUSDT"}
            and "BTCUSDT_240329" in ended.out
        ),
    ),
    "perpetuals/oi_month_start": (
        "the first stamp of February is 49155.6176, the published value",
        _open_interest(datetime(2024, 2, 1, tzinfo=UTC), 49155.617563),
    ),
}


def imported(case: Path, work: Path) -> Ended:
    """Import one case with the shipped specs and its own."""
    specs, home = work / "specs", work / "home"
    shutil.copytree(ROOT / "specs", specs)
    if (case / "specs").is_dir():
        shutil.copytree(case / "specs", specs, dirs_exist_ok=True)
    name = ""
    for path in case.glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        is_source = "kind" in content
        name = content["name"] if is_source else name
        shutil.copyfile(path, specs / ("sources" if is_source else "universe") / f"{content['name']}.yaml")
    if case.parent.name == "equities":
        words = ["import", name, str(case), "--only-raw"]
    else:
        words = ["import-perps", "binance" if (case / "specs").is_dir() else "perp_files", str(case)]
    environment = os.environ | {"QUANT_SPECS": str(specs), "COLUMNS": "200"}
    ended = subprocess.run(
        [*COMMAND, *words, "--home", str(home)], env=environment, capture_output=True, text=True, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr, home)


def main(arguments: list[str] | None = None) -> int:
    """Import every case and write the page; 1 when one ends otherwise than it must."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("folder", type=Path, help="the cases")
    parser.add_argument("--only", help="one case, to look at; no page is written")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence")
    asked = parser.parse_args(arguments)
    there = {f"{path.parent.name}/{path.name}" for path in asked.folder.glob("*/*") if path.is_dir()}
    if there != set(CASES):
        print(f"cases and expectations differ: {', '.join(sorted(there ^ set(CASES)))}", file=sys.stderr)
        return 1
    rows = []
    for name, (right, holds) in CASES.items():
        if asked.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            ended = imported(asked.folder / name, Path(folder))
            rows.append((name, ended.code, right, holds(ended)))
        print(f"{name:<45} exit {ended.code}  {'as it must' if rows[-1][-1] else 'OTHERWISE'}", flush=True)
    good = sum(held for *_, held in rows)
    lines = [
        "# Small inputs of public problems",
        "",
        "Each was built from the description of a problem that somebody met in public, and is imported by the command",
        f"into a home of its own. {good} of {len(rows)} end as they must. Made by",
        "`python -m quant_platform_tests.evidence.cases FOLDER`.",
        "",
        "| case | exit code | what must come out | does it |",
        "|---|---:|---|---|",
        *(f"| `{name}` | {code} | {right} | {'yes' if held else '**no**'} |" for name, code, right, held in rows),
    ]
    if asked.only is None:
        (asked.output / "cases.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
