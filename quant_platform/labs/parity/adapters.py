"""One call for every framework, ours and the foreign ones: bars and decisions in, an execution out."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from quant_platform.contracts.errors import PlatformError
from quant_platform.engine.backtest import BacktestResult, Bars, Costs, EngineConfig, run
from quant_platform.engine.bars import PRICES
from quant_platform.engine.identities import verify
from quant_platform.labs.parity.decisions import DecisionTable
from quant_platform.labs.parity.environments import FRAMEWORKS, PEERS, require_installed
from quant_platform.labs.parity.execution import EQUITY, FILLS, TRADES, Execution
from quant_platform.labs.parity.terms import Terms

OURS = "quant_platform"
DEFAULT_TIMEOUT_SECONDS = 900.0


class NotSupportedByFramework(PlatformError, RuntimeError):
    """A framework cannot do what a case asks for; a mark has to say so."""

    code = "not_supported_by_framework"


class FrameworkFailed(PlatformError, RuntimeError):
    """The process of a framework crashed, was stopped, or left no result."""

    code = "framework_failed"


class Adapter(Protocol):
    """What every framework is behind."""

    @property
    def framework(self) -> str:
        """Its name."""
        ...

    def run_with_signals(
        self,
        data: Bars,
        decisions: DecisionTable,
        initial_capital: float,
        commission_rate: float,
        terms: Terms,
    ) -> Execution:
        """Trade decisions that were made before on bars.

        Parameters
        ----------
        data
            The market.
        decisions
            What to do, sizes included.
        initial_capital
            Money at the start; ample, so that no framework's own rule about cash decides anything.
        commission_rate
            Fraction of the traded value, per side.
        terms
            Everything else.
        """
        ...


@dataclass(frozen=True)
class OurAdapter:
    """The engine of this package."""

    framework: str = OURS

    def run_with_signals(
        self, data: Bars, decisions: DecisionTable, initial_capital: float, commission_rate: float, terms: Terms
    ) -> Execution:
        """See :class:`Adapter`; the accounting identities are checked after the run."""
        orders = decisions.as_orders(data, trigger_at_close=terms.trigger == "close")
        config = configured(initial_capital, commission_rate, terms)
        bars = _with_lots(data, terms.lot)
        began = time.process_time()
        result = run(bars, orders, config)
        seconds = time.process_time() - began
        verify(result)
        return execution_of(result, seconds)


def configured(initial_capital: float, commission_rate: float, terms: Terms) -> EngineConfig:
    """The engine's configuration for the terms of a case: no limit on cash or exposure, and a spread that is the slip.

    Notes
    -----
    What the engine calls half the spread is what others call slippage: a fraction of the price that a market order and
    a stop lose.
    """
    costs = Costs(
        commission_rate=commission_rate,
        half_spread=terms.slippage_rate,
        per_unit=terms.per_unit,
        per_order=terms.per_order,
        minimum=terms.minimum,
        slippage_fixed=terms.slippage_fixed,
        slip_targets=terms.slip_targets,
    )
    return EngineConfig(
        costs=costs,
        initial_cash=initial_capital,
        fill=terms.fill,
        leverage=float("inf"),
        exits_from=terms.exits_from,
        participation=terms.participation,
        units="fractional" if terms.lot is None else "lot",
    )


def execution_of(result: BacktestResult, seconds: float) -> Execution:
    """A result of the engine in the form that is compared."""
    trades = result.trades.select(
        "asset",
        pl.col("side").cast(pl.String),
        "entry_bar",
        "exit_bar",
        "quantity",
        "entry_price",
        pl.when(pl.col("exit_bar").is_not_null()).then("exit_price").alias("exit_price"),
        "commission",
        pl.col("net_pnl").alias("pnl"),
    )
    return Execution(
        framework=OURS,
        version="",
        trades=_typed(trades, TRADES),
        fills=_typed(result.fills.select("bar", "asset", "quantity", "price", "commission"), FILLS),
        equity=_typed(result.equity.select("bar", "equity"), EQUITY),
        seconds=seconds,
        counts={name: count for name, count in result.counts.items() if count},
    )


@dataclass(frozen=True, eq=False)
class Job:
    """The arguments of one ``run_with_signals``, for adapters that take several at once."""

    data: Bars
    decisions: DecisionTable
    initial_capital: float
    commission_rate: float
    terms: Terms


@dataclass(frozen=True)
class PeerAdapter:
    """A foreign framework, in a process and an environment of its own.

    Attributes
    ----------
    framework
        One of ``FRAMEWORKS``.
    timeout_seconds
        After which its process is stopped.
    python
        Another interpreter than that of its environment, for tests.
    script
        Another script than that of ``peers/``, for tests.
    """

    framework: str
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    python: Path | None = None
    script: Path | None = None

    def run_with_signals(
        self, data: Bars, decisions: DecisionTable, initial_capital: float, commission_rate: float, terms: Terms
    ) -> Execution:
        """See :class:`Adapter`.

        Raises
        ------
        FrameworkNotInstalled
            When it has no environment.
        NotSupportedByFramework
            When it cannot do what the terms or the decisions ask for.
        FrameworkFailed
            When its process crashed, took too long, or left a result that cannot be read.
        """
        (found,) = self.run_many([Job(data, decisions, initial_capital, commission_rate, terms)])
        if isinstance(found, Execution):
            return found
        raise found

    def run_many(self, jobs: Sequence[Job]) -> list[Execution | NotSupportedByFramework | FrameworkFailed]:
        """Run several jobs in one process, which imports and compiles once; a job that fails is an error in its place.

        Raises
        ------
        FrameworkNotInstalled, FrameworkFailed
            When the process as a whole cannot be started, ends early or takes longer than the time of all jobs.
        """
        for job in jobs:
            job.decisions.require_fits(job.data)
        python = self.python or require_installed(self.framework).python
        found: list[Execution | NotSupportedByFramework | FrameworkFailed] = []
        with tempfile.TemporaryDirectory(prefix="parity-") as made:
            folders = [Path(made) / str(number) for number in range(len(jobs))]
            for folder, job in zip(folders, jobs, strict=True):
                folder.mkdir()
                write_job(folder, job)
            self._start(python, Path(made), folders)
            for folder in folders:
                try:
                    found.append(self._read(folder))
                except (NotSupportedByFramework, FrameworkFailed) as error:
                    found.append(error)
        return found

    def _start(self, python: Path, place: Path, folders: Sequence[Path]) -> None:
        script = self.script or PEERS / f"{self.framework}_run.py"
        command = [str(python), "-W", "ignore", str(script), *map(str, folders)]
        seconds = self.timeout_seconds * len(folders)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        log = place / "log.txt"
        try:
            with log.open("w", encoding="utf-8") as stream:
                done = subprocess.run(
                    command, stdout=stream, stderr=subprocess.STDOUT, timeout=seconds, check=False,
                    env=environment,
                )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise FrameworkFailed(
                f"{self.framework} did not end within {seconds:g} s and was stopped",
                where=script.name,
                action="a longer time with --timeout, or a smaller case",
            ) from None
        except OSError as error:
            raise FrameworkFailed(
                f"{self.framework} could not be started: {error.strerror}",
                where=str(python),
                action=f"remove its folder, then quant parity install {self.framework}",
            ) from error
        if done.returncode != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise FrameworkFailed(
                f"{self.framework} ended with {done.returncode}: {lines[-1] if lines else 'it said nothing'}",
                where=script.name,
                cause="\n    ".join(["the last lines it wrote were", *lines[-8:-1]]) if len(lines) > 1 else "",
                action="the same case with another framework tells whether the case is at fault",
            )

    def _read(self, folder: Path) -> Execution:
        refused = folder / "unsupported.json"
        if refused.is_file():
            reason = json.loads(refused.read_text(encoding="utf-8"))["reason"]
            raise NotSupportedByFramework(reason, where=self.framework, action="mark the case; see labs/parity/marks")
        failed = folder / "failed.json"
        if failed.is_file():
            raise FrameworkFailed(json.loads(failed.read_text(encoding="utf-8"))["reason"], where=self.framework)
        try:
            said: Mapping[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            trades, fills, equity = (
                _typed(pl.read_parquet(folder / f"{name}.parquet"), kinds)
                for name, kinds in (("trades", TRADES), ("fills", FILLS), ("equity", EQUITY))
            )
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise FrameworkFailed(
                f"{self.framework} left no result that can be read: {error}", where="its folder"
            ) from error
        return Execution(
            framework=self.framework,
            version=said["version"],
            trades=trades,
            fills=fills,
            equity=equity,
            by_adapter=tuple(said["by_adapter"]),
            recomputed=tuple(said["recomputed"]),
            seconds=said["seconds"],
            peak_mb=said["peak_mb"],
            counts=said["counts"],
        )


def adapter_of(framework: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Adapter:
    """The adapter of a framework by its name."""
    return OurAdapter() if framework == OURS else PeerAdapter(framework, timeout_seconds)


def all_frameworks() -> tuple[str, ...]:
    """Ours first."""
    return (OURS, *FRAMEWORKS)


def write_job(folder: Path, job: Job) -> None:
    """Write what a script of ``peers/`` reads."""
    data, decisions = job.data, job.decisions
    path = folder / "decisions.parquet"
    decisions.frame.write_parquet(path)
    volume = np.full(data.shape, np.nan) if data.volume is None else data.volume
    columns = {name: getattr(data, name).ravel() for name in PRICES} | {"volume": volume.ravel()}
    pl.DataFrame(columns).write_parquet(folder / "bars.parquet")
    said = {
        "decisions_file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "decisions_hash": decisions.content_hash,
        "assets": list(data.assets),
        "stamps": data.stamps.tolist(),
        "initial_capital": job.initial_capital,
        "commission_rate": job.commission_rate,
        "terms": job.terms.as_json(),
        "delistings": [{"bar": e.bar, "asset": e.asset, "recovery": e.value} for e in data.delistings],
    }
    (folder / "run.json").write_text(json.dumps(said), encoding="utf-8")


def _typed(frame: pl.DataFrame, kinds: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())


def _with_lots(data: Bars, lot: float | None) -> Bars:
    if lot is None:
        return data
    return Bars(
        assets=data.assets,
        stamps=data.stamps,
        **{name: getattr(data, name) for name in (*PRICES, "volume", "half_spread", "tick", "minimum_notional")},
        lot=np.full(len(data.assets), lot),
        splits=data.splits,
        dividends=data.dividends,
        funding=data.funding,
        delistings=data.delistings,
    )
