"""``python -m quant_platform_tests.evidence.suite_peers ENVIRONMENTS``: the suite's numbers beside those of others.

One panel without a hole and without a tie, one signal, one variant. The same arrays go to each library in an
environment of its own below ENVIRONMENTS (``alphalens, quantstats, jquantstats, qlib``, made with ``python -m venv``
and pip, outside of the repository); writes ``docs/evidence/suite_peers.json`` and ``suite_peers.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from scipy.stats import kurtosis, skew

from quant_platform.labs.suite.backtest import PreparedSignal, Workbench, run_variants
from quant_platform.labs.suite.evidence import rank_autocorrelation
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.reports.backtest.series import rolling_sharpe
from quant_platform.specification.suite import BacktestConfig, load_suite
from quant_platform.statistics.sharpe import probabilistic_sharpe
from quant_platform.statistics.sharpe_interval import drawdowns, sharpe_estimate
from quant_platform_tests.homes import SHIPPED
from quant_platform_tests.labs.suite.worlds import make_panel

ROOT = Path(__file__).resolve().parents[2]
NAME = "suite_peers"
SCRIPT = Path(__file__).with_name("suite_peer.py")
# Library, the folder of its environment, and what is installed there.
TOOLS = {
    "alphalens-reloaded": ("alphalens", "alphalens-reloaded==0.5.1 empyrical-reloaded==0.7.1"),
    "empyrical-reloaded": ("alphalens", ""),
    "quantstats": ("quantstats", "quantstats==0.0.86"),
    "jquantstats": ("jquantstats", "jquantstats==0.13.1 pandas"),
    "qlib": ("qlib", "pyqlib==0.9.7"),
}
SEED, NAMES, SESSIONS, WINDOW = 20_001, 60, 520, 126
CONFIG = BacktestConfig(mincos=3)
AGREES = 1e-12

Floats = npt.NDArray[np.float64]
Number = float | Floats


@dataclass(frozen=True)
class Line:
    """One number held against one library.

    Attributes
    ----------
    number
        What it is.
    tool, theirs
        The library, and its name of the number.
    ours
        Ours, single or by session.
    bridge
        Brings their numbers to our definition where the definitions differ, from all of their numbers by name.
    cause
        What differs between the definitions; empty where nothing does.
    """

    number: str
    tool: str
    theirs: str
    ours: Number
    bridge: Callable[[Mapping[str, Floats]], Number] | None = None
    cause: str = ""


@dataclass(frozen=True)
class Study:
    """What the others are given, and what is held against them."""

    arrays: Mapping[str, Any]
    lines: Sequence[Line]


def study(seed: int = SEED, names: int = NAMES, sessions: int = SESSIONS) -> Study:
    """Compute one variant on one panel with our core, and say what is compared with whom."""
    numbers = load_suite(SHIPPED)
    panel = make_panel(seed, names=names, sessions=sessions)
    rng = np.random.default_rng([seed, 1])
    values = rng.standard_normal((sessions, names))
    for row in range(1, sessions):
        values[row] = 0.9 * values[row - 1] + math.sqrt(0.19) * values[row]
    bench = Workbench(panel, numbers.suite, numbers.costs)
    prepared: PreparedSignal = bench.prepare(dense_signal("one", values))
    found = run_variants(prepared, [CONFIG], bench)[CONFIG.variant]
    assert found.fractiles is not None, "full detail was asked for"
    rows = slice(found.book.first, None)
    net, market, days = found.book.net[rows], panel.market_return()[rows], panel.sessions[rows]
    targets = prepared.targets(CONFIG).weights[rows]
    arrays = {
        "days": days.astype("datetime64[ns]"),
        "factor": prepared.values("off", from_open=False)[rows],
        "returns": panel.returns[rows],
        "forward": panel.forward(1)[rows],
        "net": net,
        "market": market,
    }
    groups, ic = found.fractiles.by_date[rows], found.first_ic[rows]
    # What stands on a session was traded at its close and earns on the next.
    earned = np.append(found.book.gross[rows][1:], np.nan)
    moved = np.append(np.nan, np.abs(np.diff(targets, axis=0)).sum(axis=1))
    drift = found.book.traded[rows][1:].mean() - moved[1:].mean()
    correlation = rank_autocorrelation(rank_panel(arrays["factor"][:-1]), (1,), numbers.suite)
    estimate = sharpe_estimate(net, level=numbers.suite.confidence)
    likely = probabilistic_sharpe(estimate.ratio, estimate.n, skewness=estimate.skewness, kurtosis=estimate.kurtosis)
    sharpe, volatility = found.overall("sharpe_net"), found.overall("ann_volatility")
    deepest, positive = found.overall("max_drawdown_net"), found.overall("positive_days")
    compounded = float(found.daily["cumret"][-1])
    added = np.cumsum(net)
    months = _months(days, net)
    rolling = rolling_sharpe(found.daily, WINDOW, panel.periods_per_year)["sharpe"].to_numpy()
    in_years = "theirs infers the sessions of a year from the dates, ours are stated"
    halved = "theirs is halved, 50 % a leg; ours has 100 % a leg"
    few = "theirs takes 238 sessions a year, ours 252"

    def yearly(name: str) -> Callable[[Mapping[str, Floats]], Number]:
        return lambda found: found[name] * np.sqrt(panel.periods_per_year / found["periods_per_year"])

    lines = [
        Line("rank IC by session", "alphalens-reloaded", "ic", ic),
        Line("rank IC by session", "qlib", "ic", ic),
        Line("t of the mean IC, one session", "alphalens-reloaded", "ic_t", float(found.ic["t_nonoverlapping"][0])),
        *(
            Line(f"mean return of decile {k + 1} by session", "alphalens-reloaded", f"quantile_{k + 1}", groups[:, k])
            for k in range(groups.shape[1])
        ),
        Line("top less bottom decile by session", "alphalens-reloaded", "spread", groups[:, -1] - groups[:, 0],
             lambda found: 2.0 * found["spread"], halved),
        Line("gross profit of the book by session", "alphalens-reloaded", "spread", earned,
             lambda found: 2.0 * found["spread"], halved),
        Line("gross profit of the book by session", "qlib", "spread", earned, lambda found: 2.0 * found["spread"],
             halved),
        Line("rank autocorrelation, mean", "alphalens-reloaded", "autocorrelation", float(correlation["mean"][0]),
             lambda found: float(np.nanmean(found["autocorrelation"])),
             "theirs is by session, and leaves the last one out, which has no return after it"),
        Line("traded from target to target by session", "alphalens-reloaded", "turnover_1", moved,
             lambda found: 2.0 * (found["turnover_1"] + found["turnover_10"]),
             "theirs is the share of new names in one decile; a new name of a leg is bought and another sold. The "
             f"`turnover` of a suite also holds what brings drifted weights back, here {drift:.4f} a session"),
        Line("Sharpe ratio, net", "empyrical-reloaded", "sharpe", sharpe),
        Line("Sharpe ratio, net", "quantstats", "sharpe", sharpe),
        Line("Sharpe ratio, net", "jquantstats", "sharpe", sharpe, yearly("sharpe"), in_years),
        Line("Sharpe ratio, net", "qlib", "information_ratio", sharpe,
             lambda found: found["information_ratio"] * math.sqrt(252.0 / 238.0), few),
        Line("volatility a year", "empyrical-reloaded", "volatility", volatility),
        Line("volatility a year", "quantstats", "volatility", volatility),
        Line("volatility a year", "jquantstats", "volatility", volatility, yearly("volatility"), in_years),
        Line("deepest drawdown", "empyrical-reloaded", "drawdown", deepest),
        Line("deepest drawdown", "quantstats", "drawdown", deepest),
        Line("deepest drawdown", "jquantstats", "drawdown", deepest),
        Line("deepest drawdown of added returns", "qlib", "drawdown",
             float((added - np.maximum.accumulate(added)).min()), None,
             "theirs adds returns; ours are compounded, so this one was made of our net returns for the comparison"),
        Line("drawdown by session", "quantstats", "underwater", drawdowns(net)),
        Line("compounded net return", "empyrical-reloaded", "cumulative", compounded),
        Line("compounded net return", "quantstats", "cumulative", compounded),
        Line("compounded net return", "jquantstats", "cumulative", compounded),
        Line("compound rate a year", "empyrical-reloaded", "cagr", (1.0 + compounded) ** (252.0 / net.size) - 1.0, None,
             "the net return of a suite is the mean times 252, since capital is constant; this one is of its `cumret`"),
        Line("net return a year", "qlib", "annual_return", found.overall("ann_return_net"),
             lambda found: found["annual_return"] * 252.0 / 238.0, few),
        Line("share of sessions above zero", "quantstats", "win_rate", positive, _of_all(net),
             "theirs is of the sessions that are not zero"),
        Line("share of sessions above zero", "jquantstats", "win_rate", positive, _of_all(net),
             "theirs is of the sessions that are not zero"),
        Line(f"rolling Sharpe ratio, {WINDOW} sessions", "empyrical-reloaded", "rolling_sharpe", rolling),
        Line("net return by month", "empyrical-reloaded", "months", months),
        Line("net return by month", "quantstats", "months", months),
        Line("probability that the Sharpe ratio is above 0", "quantstats", "probabilistic_sharpe",
             probabilistic_sharpe(estimate.ratio, estimate.n, skewness=float(skew(net, bias=False)),
                                  kurtosis=float(kurtosis(net, bias=False)) + 3.0), None,
             f"theirs corrects its moments for small samples, as this one does; that of a suite is {likely:.6g}"),
        Line("probability that the Sharpe ratio is above 0", "jquantstats", "probabilistic_sharpe",
             float(ndtr(estimate.ratio * math.sqrt(estimate.n))), None,
             "at a benchmark of 0 theirs is Phi(ratio x root n), without skewness and kurtosis, as this "
             f"one is; that of a suite is {likely:.6g}"),
    ]  # fmt: skip
    return Study(arrays, lines)


def _of_all(net: Floats) -> Callable[[Mapping[str, Floats]], Number]:
    share = float((net != 0.0).mean())
    return lambda found: found["win_rate"] * share


def _months(days: npt.NDArray[np.datetime64], net: Floats) -> Floats:
    month = days.astype("datetime64[M]")
    return np.array([np.prod(1.0 + net[month == one]) - 1.0 for one in np.unique(month)])


def asked(tool: str, environments: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Run a library on the arrays: its versions and numbers, or the reason why there are none."""
    folder, packages = TOOLS[tool]
    python = environments / folder / "bin" / "python"
    if not python.is_file():
        return {"reason": f"not installed: there is no environment {folder!r} ({packages})"}
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "data.npz"
        np.savez(path, **arrays)
        run = subprocess.run(
            [str(python), str(SCRIPT), tool, str(path)], capture_output=True, text=True, timeout=900, check=False
        )
    if run.returncode != 0:
        return {"reason": f"it failed: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else 'silently'}"}
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def held_against(line: Line, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The largest difference of a line, as defined by each and once the named cause is taken out."""
    told = {"number": line.number, "tool": line.tool, "theirs": line.theirs, "cause": line.cause}
    if "reason" in answer:
        return {**told, "reason": answer["reason"]}
    theirs = {
        name: np.array([math.nan if one is None else one for one in np.atleast_1d(value).tolist()], dtype=np.float64)
        for name, value in answer["numbers"].items()
    }
    bridged = theirs[line.theirs] if line.bridge is None else line.bridge(theirs)
    ours = np.atleast_1d(np.asarray(line.ours, dtype=np.float64))
    found = {
        **told,
        "ours": float(np.nanmean(ours)),
        "as_they_say": float(np.nanmean(theirs[line.theirs])),
        "values": int(np.isfinite(ours).sum()),
        "difference": largest_difference(ours, bridged),
    }
    return {**found, "agrees": found["difference"] <= AGREES}


def largest_difference(ours: Number, theirs: Number) -> float:
    """Largest difference relative to the largest value; infinite where one has a value and the other none.

    A last session that cannot earn any more is left to the one that leaves it empty.
    """
    one, other = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (ours, theirs))
    if one.shape != other.shape:
        return math.inf
    both = np.isfinite(one) & np.isfinite(other)
    if (np.isfinite(one[:-1]) != np.isfinite(other[:-1])).any() or not both.any():
        return math.inf
    return float(np.abs(one[both] - other[both]).max() / max(np.abs(one[both]).max(), 1e-300))


def page(found: Mapping[str, Any]) -> str:
    """The table."""
    rows = found["lines"]
    told = [row for row in rows if "reason" not in row]
    exact = [row for row in told if row["agrees"] and not row["cause"]]
    named = [row for row in told if row["agrees"] and row["cause"]]
    apart = [row for row in told if not row["agrees"]]
    lines = [
        f"<!-- Generated by `python -m quant_platform_tests.evidence.{NAME}`. -->",
        "",
        "# The suite's numbers beside those of other libraries",
        "",
        f"One panel of {found['names']} names and {found['sessions']} sessions without a hole or a tie, one signal,",
        f"the variant `{found['variant']}`. Every library was given the same arrays. Of {len(told)} numbers",
        f"{len(exact)} are the same to 1e-12 as they stand, {len(named)} once the named difference is taken out"
        + (f", and {len(apart)} are not." if apart else "."),
        "",
        f"Versions: {'; '.join(f'{tool} {_versions(one)}' for tool, one in found['tools'].items())}.",
        "",
        "| number | library | ours | theirs | largest difference | what differs |",
        "|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        if "reason" in row:
            lines.append(f"| {row['number']} | {row['tool']} | | | | {row['reason']} |")
            continue
        difference = "0" if row["difference"] == 0 else f"{row['difference']:.0e}"
        mark = difference if row["agrees"] else f"**{difference}**"
        lines.append(
            f"| {row['number']} | {row['tool']} `{row['theirs']}` | {row['ours']:.6g} | {row['as_they_say']:.6g} "
            f"| {mark} | {row['cause']} |"
        )
    lines += [
        "",
        "`ours` and `theirs` are means where a number stands by session; the difference is the largest over sessions,",
        "relative to the largest value, and taken after the cause on its line. Where data are not complete the",
        "libraries differ by more: holes, delistings and ties are filled, moved or dropped by rules of their own.",
        "",
        "```sh",
        *(
            f"python -m venv ENVIRONMENTS/{folder} && ENVIRONMENTS/{folder}/bin/pip install {packages}"
            for folder, packages in TOOLS.values()
            if packages
        ),
        f"python -m quant_platform_tests.evidence.{NAME} ENVIRONMENTS",
        "```",
        "",
    ]
    return "\n".join(lines)


def _versions(answer: Mapping[str, Any]) -> str:
    if "reason" in answer:
        return answer["reason"].split(":")[0]
    package, *_ = answer["versions"]
    return f"{answer['versions'][package]} (pandas {answer['versions']['pandas']})"


def main(arguments: list[str] | None = None) -> None:
    """Compute, ask, compare, write."""
    parser = argparse.ArgumentParser(prog=f"python -m quant_platform_tests.evidence.{NAME}", description=__doc__)
    parser.add_argument("environments", type=Path, help="Folder of the libraries' environments.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="Folder of the page.")
    options = parser.parse_args(arguments)
    made = study()
    answers = {tool: asked(tool, options.environments.absolute(), made.arrays) for tool in TOOLS}
    found = {
        "names": NAMES,
        "sessions": SESSIONS,
        "variant": CONFIG.variant,
        "tools": {tool: {k: v for k, v in one.items() if k != "numbers"} for tool, one in answers.items()},
        "lines": [held_against(line, answers[line.tool]) for line in made.lines],
    }
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, allow_nan=False, default=str) + "\n"
    (options.output / f"{NAME}.json").write_text(text, encoding="utf-8")
    (options.output / f"{NAME}.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
