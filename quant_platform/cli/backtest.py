"""``quant backtest``: decisions in a file, bars in a file or in the home, out come trades, equity and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer
from rich.console import Console

from quant_platform.cli.homes import HomeOption, open_home
from quant_platform.contracts.errors import SourceMalformed, SourceNotFound, SpecError
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.specification.strategies import StrategySpec

if TYPE_CHECKING:
    from quant_platform.engine.decisions import Decisions
    from quant_platform.engine.result import BacktestResult
    from quant_platform.pipeline.home import Home


def backtest(
    decisions: Annotated[
        Path | None,
        typer.Argument(help="CSV or Parquet of orders or weights; without one the strategy decides.", dir_okay=False),
    ] = None,
    bars: Annotated[
        str, typer.Option(help="A CSV or Parquet file, a folder of them, or a table of the home.")
    ] = "clean.equity_bars",
    config: Annotated[str, typer.Option(help="A strategy file, or the name of one in specs/strategies.")] = "default",
    output: Annotated[Path, typer.Option(help="Folder that trades, fills, equity and figures are written to.")] = Path(
        "backtest"
    ),
    home: HomeOption = None,
) -> None:
    """Trade decisions on bars, with costs, and write trades, fills, equity and figures."""
    from quant_platform.engine.backtest import Bars, run
    from quant_platform.engine.decision_table import read_decisions
    from quant_platform.engine.identities import verify
    from quant_platform.pipeline.strategies import decide_on_home, known_recoveries
    from quant_platform.strategies.configuration import decide, engine_config, trading_bars

    place, opened = Path(bars), None
    spec = load_spec(_strategy_file(config), StrategySpec)
    if decisions is None and spec.decisions is None:
        raise SpecError(
            "nobody decides: the strategy states no decisions, and no table of them was handed over",
            where=config,
            action="name a table first, or a strategy that decides: quant backtest --config crossover",
        )
    if place.exists():
        frame = _files(place)
    elif len(place.parts) > 1 or place.suffix.lower() in (".csv", ".parquet"):
        raise SourceNotFound(
            "there is no such file or folder of bars",
            where=bars,
            action="check the path; a table of the home is named like clean.equity_bars",
        )
    else:
        opened = open_home(home)
        frame = opened.lake.read(bars)
    if frame.is_empty():
        raise SourceNotFound("there is no bar", where=bars, action="name a file, or a table that holds bars")
    ends = None if opened is None or not opened.has_bars else known_recoveries(opened)
    traded = trading_bars(spec, Bars.from_frame(frame), ends)
    decided: Decisions
    if decisions is not None:
        decided = read_decisions(decisions, traded)
    else:
        decided = decide(spec, traded) if opened is None else decide_on_home(opened, spec, traded)
    result = run(traded, decided, engine_config(spec))
    verify(result)
    limited = any(value is not None for value in spec.risk.model_dump().values())
    output.mkdir(parents=True, exist_ok=True)
    for name in ("trades", "fills", "equity", "exposures", "clips", "trips"):
        getattr(result, name).write_parquet(output / f"{name}.parquet")
    figures = {name: value if math.isfinite(value) else None for name, value in asdict(result.metrics).items()}
    summary = {"strategy": spec.model_dump(), "metrics": figures, "counts": dict(result.counts)}
    (output / "metrics.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    page = _page(result, spec, decisions.stem if decisions is not None else Path(config).stem, figures, opened)
    (output / "report.html").write_text(page, encoding="utf-8")
    stopped = ", ".join(f"{row['switch']} on {row['stamp']:%Y-%m-%d}" for row in result.trips.iter_rows(named=True))
    counted = ", ".join(f"{name} {count}" for name, count in result.counts.items() if count)
    lines = [
        f"{result.metrics.trades} closed trades, {result.fills.height} fills on {len(traded.assets)} assets "
        f"and {len(traded.stamps)} bars",
        f"  return     {result.metrics.total_return:.2%}, {result.metrics.annual_return:.2%} a year",
        f"  Sharpe     {result.metrics.sharpe:.2f}, standard error {result.metrics.sharpe_error:.2f}",
        f"  drawdown   {result.metrics.max_drawdown:.2%}",
        f"  costs      {result.metrics.cost_bps:.1f} bps of what was traded, "
        f"break-even {result.metrics.break_even_bps:.1f}",
        f"  counted    {counted or 'nothing unusual'}",
        *([f"  risk       {result.clips.height} weights cut; stopped by {stopped or 'no switch'}"] if limited else []),
        f"  written    {output}/: trades, fills, equity, exposures, clips, trips, metrics.json",
        f"  page       {output}/report.html",
    ]
    Console().print("\n".join(lines), highlight=False, soft_wrap=True)


def _page(
    result: BacktestResult, spec: StrategySpec, title: str, figures: Mapping[str, float | None], home: Home | None
) -> str:
    # Drawing imports Altair, which nobody should wait for before the run.
    from quant_platform.reports.backtest.page import Subject, render_backtest

    settings_shown = spec.model_dump(exclude={"description", "decisions", "costs", "sizing", "risk"}) | {
        f"{part}.{name}": value
        for part in ("costs", "sizing", "risk")
        for name, value in spec.model_dump(include={part})[part].items()
    }
    subject = Subject(
        title=title,
        description=spec.description,
        days_per_year=spec.periods_per_year,
        initial_cash=spec.initial_cash,
        simulated=home is not None and home.simulated,
        settings=settings_shown,
    )
    frames = {name: getattr(result, name) for name in ("equity", "exposures", "trades")}
    return render_backtest(frames, figures, result.counts, subject)


def _strategy_file(named: str) -> Path:
    """A path as it is, and a bare word as the name of a shipped strategy."""
    path = Path(named)
    return path if path.suffix or path.exists() else settings().specs / "strategies" / f"{named}.yaml"


def _files(place: Path) -> pl.DataFrame:
    """Bars of a file, or of all files of a folder."""
    found = [place] if place.is_file() else sorted([*place.glob("*.parquet"), *place.glob("*.csv")])
    if not found:
        raise SourceNotFound("the folder holds no CSV or Parquet file", where=str(place), action="check the path")
    return pl.concat([_bars_of(path) for path in found], how="diagonal_relaxed")


def _bars_of(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise SourceMalformed(
            f"the file of bars cannot be read: {' '.join(str(error).split())[:200]}",
            where=str(path),
            cause="an empty or broken file, or another format than its name says",
            action="write a CSV file with commas, or Parquet with the suffix .parquet",
        ) from error
