"""``quant init``: look at a folder and write the two spec files that import it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console

from quant_platform.contracts.errors import PlatformError, SettingsError
from quant_platform.lake.atomic import atomic_text
from quant_platform.specification.settings import settings
from quant_platform.specification.sources import PRICE_COLUMNS, Adjustment

if TYPE_CHECKING:
    from quant_platform.sources.files.guess import Guess

_ADJUSTMENTS = get_args(Adjustment)


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the data.", file_okay=False)],
    name: Annotated[str | None, typer.Option(help="Name of the two files; that of the folder if not given.")] = None,
    exchange: Annotated[str | None, typer.Option(help="ISO 10383 code of the calendar, for example XNYS.")] = None,
    adjustment: Annotated[
        str | None, typer.Option(help=f"What the vendor has adjusted prices for: {', '.join(_ADJUSTMENTS)}.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of this name.")] = False,
) -> None:
    """Look at a folder of bars, guess how it is written, and write specs/sources and specs/universe for it."""
    from quant_platform.market.calendar import calendar
    from quant_platform.sources.files.guess import guess_folder
    from quant_platform.specification.loading import load_spec
    from quant_platform.specification.sources import SourceSpec

    console = Console()
    if not folder.is_dir():
        raise SettingsError("the folder does not exist", where=str(folder), action="check the path")
    chosen = name or re.sub(r"[^a-z0-9_]+", "_", folder.resolve().name.lower()).strip("_") or "my_bars"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_\-]*", chosen):
        raise typer.BadParameter(f"{chosen!r} is not a name of letters, digits and _", param_hint="--name")
    specs = settings().specs
    source_file, universe_file = specs / "sources" / f"{chosen}.yaml", specs / "universe" / f"{chosen}.yaml"
    for path in (source_file, universe_file):
        if path.exists() and not force:
            raise SettingsError(
                "a spec of this name exists",
                where=str(path),
                action="choose another --name, or replace it with --force",
            )
    other = _another_kind(folder)
    if other:
        raise SettingsError("the folder has a layout of its own", where=str(folder), action=other)
    place = exchange or _ask("Which exchange (ISO 10383 code)", "--exchange", "XNYS")
    calendar(place)
    guess = guess_folder(folder, place)
    console.print(f"{guess.files} file{'s' if guess.files > 1 else ''} of bars as {guess.path}", highlight=False)
    for ours, vendor in guess.columns.items():
        console.print(f"  {ours:<8} {vendor}", highlight=False, markup=False)
    for key, value in guess.style.items():
        console.print(f"  {key}: {json.dumps(value, ensure_ascii=False)}", highlight=False, markup=False)
    for question in guess.open_questions:
        console.print(f"  look: {question}", style="yellow", highlight=False, markup=False)
    adjusted = adjustment or _ask(
        f"What has the vendor adjusted prices for ({', '.join(_ADJUSTMENTS)})", "--adjustment", None
    )
    if adjusted not in _ADJUSTMENTS:
        raise typer.BadParameter(
            f"was {adjusted!r}, must be one of {', '.join(_ADJUSTMENTS)}", param_hint="--adjustment"
        )
    atomic_text(source_file, _source_text(chosen, place, adjusted, folder, guess))
    atomic_text(universe_file, _universe_text(chosen, place, folder))
    try:
        from quant_platform.sources import open_source

        opened = open_source(load_spec(source_file, SourceSpec), folder.resolve())
        first = opened.tickers()[0]
        bars = opened.bars(first)
    except PlatformError:
        console.print(f"written: {source_file}, {universe_file}; reading with them fails:", style="yellow")
        raise
    console.print(
        f"read with it: {len(opened.tickers())} tickers; {first} has {bars.height:,} bars from {bars['session'][0]} "
        f"to {bars['session'][-1]}",
        highlight=False,
    )
    console.print(
        f"written: {source_file}\n         {universe_file}\nnext:    read both, then "
        f"quant import {chosen} {folder} --home data-{chosen}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _another_kind(folder: Path) -> str:
    """What to do with a folder whose layout a shipped spec reads; empty for tables of bars."""
    if (folder / "map_files").is_dir() or (folder / "equity" / "usa" / "map_files").is_dir():
        return f"it is Lean's: copy specs/sources/lean.yaml, then quant import lean {folder}"
    if (folder / "data" / "futures").is_dir() or (folder / "data" / "spot").is_dir():
        return (
            "it is a copy of Binance's archive: set the symbols in specs/sources/binance.yaml, then "
            f"quant import-perps binance {folder}"
        )
    if next(folder.rglob("*-futures.feather"), None) or next(folder.rglob("*-futures.parquet"), None):
        return (
            "it is freqtrade's: set the symbols in specs/sources/perp_files.yaml, then "
            f"quant import-perps perp_files {folder}"
        )
    return ""


def _ask(question: str, option: str, default: str | None) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(question, default=default))
    if default is not None:
        return default
    raise SettingsError(
        f"no file says it, and nobody can be asked: {question.lower()}",
        where="quant init",
        cause="a wrong answer makes every return around a split or dividend wrong",
        action=f"say it with {option}",
    )


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _source_text(name: str, exchange: str, adjustment: str, folder: Path, guess: Guess) -> str:
    lines = [
        f"# Written by `quant init` from the files of {folder.name}; docs/reference/specs.md has every key.",
        f"name: {_quoted(name)}",
        f"description: {_quoted(f'Daily bars of the folder {folder.resolve().name}.')}",
        "kind: files",
        f"exchange: {exchange}  # decides which days are sessions",
        f"universe: {_quoted(name)}",
        "# none: prices as they traded. split, split_dividend: what the vendor has done already.",
        f"adjustment: {adjustment}",
        "files:",
        f"  layout: {guess.layout}",
        "  max_future_days: 0  # a bar dated after today is refused: often day and month exchanged",
        '  # A vendor\'s ticker to ours, for example {"-": "."} for BRK-B, or {".US": ""}.',
        "  ticker: {replace: {}}",
        "  bars:",
        f"    path: {_quoted(guess.path)}" + ("  # the star stands for the ticker" if "*" in guess.path else ""),
        "    columns:",
    ]
    names = [ours for ours in ("ticker", "session", *PRICE_COLUMNS) if ours in guess.columns]
    lines += [f"      {ours}: {_quoted(guess.columns[ours])}" for ours in names]
    lines += [f"    {key}: {_quoted(value)}" for key, value in guess.style.items()]
    lines += [f"    # look: {question}" for question in guess.open_questions]
    if guess.split or guess.dividend:
        lines.append("    action_columns:  # corporate actions beside the bar of their ex-date")
        lines += [f"      split: {_quoted(guess.split)}"] if guess.split else []
        lines += [f"      cash_dividend: {_quoted(guess.dividend)}"] if guess.dividend else []
    lines.append("    on_duplicate_key: refuse  # or quarantine: keep both rows and let cleaning decide")
    if guess.actions and not (guess.split or guess.dividend):
        lines += [
            "  actions:  # correct the names of the columns if they are others",
            f"    path: {_quoted(guess.actions)}",
            "    ticker: ticker",
            "    ex_date: ex_date",
            "    kind: kind  # split, cash_dividend or delisting",
            "    value: value  # new shares per old, cash per unadjusted share, return after a delisting",
            "    unmatched: refuse  # or allow: actions of names without bars are counted and left out",
        ]
    return "\n".join(lines) + "\n"


def _universe_text(name: str, exchange: str, folder: Path) -> str:
    return (
        f"# Written by `quant init`.\nname: {_quoted(name)}\n"
        f"description: {_quoted(f'Every ticker of the folder {folder.resolve().name}.')}\n"
        f'exchange: {exchange}\ntickers: source  # or a list; quote names such as "ON" and "NO"\n'
    )
