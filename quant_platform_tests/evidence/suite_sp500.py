"""``python -m quant_platform_tests.evidence.suite_sp500``: what suites say of the baselines on S&P 500 members.

Judges the registered baselines of a home (``quant import``, ``quant snapshot create``, ``quant signal baselines``)
under STANDARD, holds their long-short books against the published factors of Kenneth French's library, and writes
``docs/results/suite_sp500.json`` and ``suite_sp500.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from quant_platform.cli.suite import judge
from quant_platform.pipeline.baselines import submit_baselines
from quant_platform.pipeline.composites import last_snapshot
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings, settings
from quant_platform_tests.evidence.run import rounded_to

ROOT = Path(__file__).resolve().parents[2]
NAME = "suite_sp500"
# Baseline, and the published factor that is meant to measure the same: file, column.
FACTORS = {
    "momentum_12_1": ("F-F_Momentum_Factor_daily.CSV", "Mom"),
    "value": ("F-F_Research_Data_Factors_daily.CSV", "HML"),
    "size": ("F-F_Research_Data_Factors_daily.CSV", "SMB"),
}
MARKET = ("F-F_Research_Data_Factors_daily.CSV", "Mkt-RF")
FIGURES = (
    "sessions", "ann_return_gross", "ann_return_net", "ann_volatility", "sharpe_gross", "sharpe_net", "sharpe_net_low",
    "sharpe_net_high", "max_drawdown_net", "turnover", "ann_cost",
)  # fmt: skip
IC_MEASURES = ("ic_mean", "ic_n", "ic_n_independent", "ic_t_nonoverlapping", "ic_t_ewc")
WHOLE = ("deflated_probability", "effective_trials", "overfitting_probability", "break_even_bps", "partial_ic")
_DIGITS = 6


def read_factor(path: Path, column: str) -> pl.DataFrame:
    """One daily factor of the library: ``session`` and ``published``, a fraction; missing values are left out.

    Raises
    ------
    ValueError
        When the file has no such column, or no row.
    """
    header, rows = None, []
    for line in path.read_text(encoding="latin-1").splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if header is None:
            header = cells if column in cells else None
        elif len(cells[0]) == 8 and cells[0].isdigit():
            rows.append((cells[0], float(cells[header.index(column)])))
    if header is None or not rows:
        raise ValueError(f"{path} has no column {column!r} with rows below it")
    frame = pl.DataFrame(rows, schema={"session": pl.String, "published": pl.Float64}, orient="row")
    return frame.filter(pl.col("published") > -99.0).select(
        pl.col("session").str.to_date("%Y%m%d"), pl.col("published") / 100.0
    )


def by_month(daily: pl.DataFrame, column: str) -> pl.DataFrame:
    """Compound a daily return over calendar months; the first and last month are left out, they may be cut."""
    months = (
        daily.group_by(pl.col("session").dt.strftime("%Y-%m").alias("month"))
        .agg(((1.0 + pl.col(column)).product() - 1.0).alias(column))
        .sort("month")
    )
    return months.slice(1, max(0, months.height - 2))


def against_factor(daily: pl.DataFrame, factor: pl.DataFrame) -> dict[str, Any]:
    """Hold the gross returns of a book (``session, gross``) against a published factor, month by month."""
    both = by_month(daily, "gross").join(
        by_month(factor.join(daily.select("session"), on="session", how="semi"), "published"), on="month"
    )
    ours, theirs = both["gross"].to_numpy(), both["published"].to_numpy()
    slope, _ = np.polyfit(theirs, ours, 1)
    return {
        "months": both.height,
        "first": both["month"][0],
        "last": both["month"][-1],
        "correlation": float(np.corrcoef(ours, theirs)[0, 1]),
        "slope": float(slope),
        "ours": _annual(ours),
        "theirs": _annual(theirs),
    }


def _annual(monthly: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    return {"mean": float(12.0 * monthly.mean()), "volatility": float(np.sqrt(12.0) * monthly.std(ddof=1))}


def coverage(home: Home) -> list[dict[str, Any]]:
    """Members of the universe on the last session of each year, and how many of them have a price on it."""
    securities = home.lake.read("raw.securities").filter(pl.col("universe") == home.universe.name)
    returns = home.lake.read("suite.returns", columns=["session", "member"])
    rows = []
    for last in returns.group_by(pl.col("session").dt.year()).agg(pl.col("session").max().alias("last"))["last"].sort():
        held = (pl.col("start_date") <= last) & (pl.col("end_date").is_null() | (pl.col("end_date") >= last))
        priced = returns.filter((pl.col("session") == last) & pl.col("member")).height
        members = securities.filter(held)["ticker"].n_unique()
        rows.append({"year": last.year, "members": members, "priced": priced})
    return rows


def measured(home: Home, snapshot: str, signals: Mapping[str, str], factors: Path) -> dict[str, Any]:
    """Everything the page says, read from the tables of the suites."""
    keys = {baseline: (name, snapshot) for baseline, name in signals.items()}
    days = home.lake.read("suite.dates", columns=["session"])
    market = read_factor(factors / MARKET[0], MARKET[1]).join(days, on="session", how="semi")
    found: dict[str, Any] = {
        "snapshot": snapshot,
        "coverage": coverage(home),
        "market_mean": 252.0 * float(market["published"].to_numpy().mean()),
        "baselines": {},
        "factors": {},
    }
    for baseline, key in keys.items():
        verdict = home.lake.read("suite.verdict", [key])
        results = home.lake.read("suite.results", [key])
        numbers = home.lake.read("suite.diagnostics", [key])
        daily = home.lake.read("suite.daily", [key]).filter(pl.col("variant") == verdict["reference"][0])
        reference = verdict["reference"][0]
        own = numbers.filter(pl.col("variant") == reference)
        others = home.lake.read("suite.correlations", [key])
        found["baselines"][baseline] = {
            "verdict": str(verdict["verdict"][0]),
            "reference": reference,
            "first": str(daily["session"].min()),
            "last": str(daily["session"].max()),
            "names": _one(own, "names_mean"),
            "rules": verdict.select("code", "colour", "text", "met").to_dicts(),
            "variants": {
                row["variant"]: {name: row[name] for name in FIGURES}
                for row in results.filter(pl.col("slice_kind") == "overall").iter_rows(named=True)
            },
            "years": {
                row["slice"]: row["sharpe_net"]
                for row in results.filter(
                    (pl.col("slice_kind") == "year") & (pl.col("variant") == reference)
                ).iter_rows(named=True)
            },
            "ic": {
                str(int(horizon)): {
                    name: _one(own.filter(pl.col("at") == horizon), name) for name in IC_MEASURES
                }
                for horizon in own.filter(pl.col("measure") == "ic_mean")["at"].sort()
            },
            "whole": {name: _one(numbers.filter(pl.col("variant") == ""), name) for name in WHOLE},
            "fractiles": home.lake.read("suite.fractiles", [key])
            .filter(pl.col("variant") == reference)
            .sort("fractile")["mean_bps"]
            .to_list(),
            "correlations": {
                row["baseline"]: {"signal": row["signal_correlation"], "profit": row["pnl_correlation"]}
                for row in others.sort("baseline").iter_rows(named=True)
            },
        }  # fmt: skip
        both = daily.join(market, on="session")
        found["baselines"][baseline]["beta"] = both.select(
            pl.cov("gross", "published") / pl.col("published").var()
        ).item()
        if baseline in FACTORS:
            file, column = FACTORS[baseline]
            published = read_factor(factors / file, column)
            found["factors"][baseline] = {"factor": column, **against_factor(daily, published)}
    return rounded_to(found, _DIGITS)


def _one(numbers: pl.DataFrame, measure: str) -> float | None:
    values = numbers.filter(pl.col("measure") == measure)["value"]
    return values[0] if values.len() else None


def render(found: Mapping[str, Any]) -> str:
    """The page."""
    baselines: Mapping[str, Any] = found["baselines"]
    first, last = found["coverage"][0], found["coverage"][-1]
    betas = ", ".join(f"{name} {_n(one['beta'], 2)}" for name, one in baselines.items())
    lines = [
        f"<!-- Generated by `python -m quant_platform_tests.evidence.{NAME}` from the tables of the home. -->",
        "",
        "# The baselines on S&P 500 members, 2000 to 2015",
        "",
        "Each baseline of `specs/suite/baselines.yaml` as a signal of its own, judged under STANDARD: deciles of the",
        "members, equal weights, rebalanced every session, 5 bps one way. One snapshot, the rules of",
        "`specs/suite/verdict.yaml` as shipped, nothing chosen afterwards.",
        "",
        "```sh",
        *(f"{command} --home data-sp500" for command in COMMANDS),
        f"python -m quant_platform_tests.evidence.{NAME} data-sp500 DATA/ken_french/daily",
        "```",
        "",
        *_reading(found),
        "## Verdicts",
        "",
        _table(
            ["baseline", "verdict", "from", "names", "net Sharpe [95 %]", "gross", "net, a year", "drawdown",
             "turnover", "break-even bps", "one more lag", "industry residuals (sessions)"],
            [_line(name, one) for name, one in baselines.items()],
        ),
        "",
        "`turnover` is what is traded per session over the capital, buys and sells of both legs; `break-even` the",
        "one-way cost at which nothing is left; `one more lag` the net Sharpe ratio when entry waits one more session.",
        "",
        "What decided each verdict:",
        "",
        *(f"- **{name}**, {one['verdict']}: {'; '.join(_because(one))}." for name, one in baselines.items()),
        "",
        "## Rank ICs",
        "",
        "Mean IC by horizon in sessions, with the t over non-overlapping windows (and the EWC t). An IC of many",
        "overlapping days has no other t here.",
        "",
        _table(
            ["baseline", *(f"{horizon}" for horizon in next(iter(baselines.values()))["ic"])],
            [
                [name, *(f"{_n(line['ic_mean'], 4)} (t {_n(line['ic_t_nonoverlapping'], 2)}, "
                         f"{_n(line['ic_t_ewc'], 2)})" for line in one["ic"].values())]
                for name, one in baselines.items()
            ],
        ),
        "",
        "## Mean return of the session after, by decile of the signal, bps",
        "",
        _table(
            ["baseline", *(str(k + 1) for k in range(10))],
            [[name, *(_n(value, 1) for value in one["fractiles"])] for name, one in baselines.items()],
        ),
        "",
        "## Net Sharpe ratio by year",
        "",
        _years(baselines),
        "",
        "## Profits beside profits",
        "",
        "Correlation of daily net returns of the judged variants; each suite states it with the others' books.",
        "",
        _table(
            ["", *baselines],
            [[name, *(_n(one["correlations"].get(other, {}).get("profit"), 2) for other in baselines)]
             for name, one in baselines.items()],
        ),
        "",
        "## Beside the published factors",
        "",
        "Gross returns of our book, compounded over calendar months, beside the daily factors of Kenneth French's",
        "library (CRSP vintage 2024-07) compounded the same way. Theirs are means of value-weighted portfolios of big",
        "and of small stocks of NYSE, AMEX and NASDAQ, for momentum and value beyond the 30th and 70th",
        "percentile; ours are equal-weighted deciles of large names, 100 % a leg, so ours are more volatile.",
        "",
        _table(
            ["baseline", "factor", "months", "monthly correlation", "slope", "ours: mean, volatility a year",
             "theirs"],
            [
                [name, one["factor"], f"{one['months']} ({one['first']} to {one['last']})",
                 f"**{one['correlation']:.2f}**", f"{one['slope']:.2f}",
                 f"{one['ours']['mean']:.1%}, {one['ours']['volatility']:.1%}",
                 f"{one['theirs']['mean']:.1%}, {one['theirs']['volatility']:.1%}"]
                for name, one in found["factors"].items()
            ],
        ),
        "",
        "## What stands against these numbers",
        "",
        f"- **Survivors.** Of {first['members']} members at the end of {first['year']} {first['priced']} have a price",
        f"  in the file, of {last['members']} at the end of {last['year']} {last['priced']}; what is missing mostly",
        "  failed or was bought. What had fallen and is still here has recovered: a rule that buys it (reversal) looks",
        "  too good, and a rule that sells it (momentum, low volatility, the 52-week high) too bad.",
        "- **Dividends.** The file says that it is adjusted for them; before 2011 it is not",
        "  ([cleaning](../explanation/cleaning.md)). Payers earn too little there, by about their yield.",
        "- **Value and size** begin with the dated fundamentals, at the end of 2012: three years. A book value per",
        "  share stands in the vendor's shares of the day; the price stated beside it puts it on those of the bars.",
        "  The lists of 2014-12-07 and 2015-07-09 are further apart than `fundamentals_max_age_days`: in between the",
        "  books hold what they held.",
        "- **Sectors** are known from 2013-02-11 on, from the same dated lists, and used from then only. Industry",
        "  residuals therefore speak of less than three years, whatever the other variants of the signal cover.",
        "- **Beta.** Legs are equal in money, not in beta. Beta of the daily gross returns to the market less cash,",
        f"  which earned {found['market_mean']:.1%} a year over these sessions:",
        f"  {betas}.",
        "- **Clones.** A baseline is held against the five others, and some of them are one bet.",
        "- **Costs** are 5 bps one way for every name and year. Until 2001 a tick was a sixteenth of a dollar,",
        "  12.5 bps of 50 dollars.",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


COMMANDS = (
    "quant import sp500_daily DATA/us_sp500_daily_2000_2015 --universe sp500 "
    "--location fundamentals=DATA/sp500_fundamentals_pit --only-raw",
    "quant run suite_dates",
    "quant run suite_panel",
    "quant snapshot create US",
    "quant signal baselines",
)


def _reading(found: Mapping[str, Any]) -> list[str]:
    """Two sentences on top, made of the numbers."""
    baselines: Mapping[str, Any] = found["baselines"]
    colours = [one["verdict"] for one in baselines.values()]
    best = max(baselines, key=lambda name: _reference(baselines[name])["sharpe_net"])
    figures = _reference(baselines[best])
    said = ", ".join(f"{colours.count(colour)} {colour}" for colour in ("green", "yellow", "red") if colour in colours)
    sentence = (
        f"> {len(colours)} baselines: {said}. The best net Sharpe ratio is {figures['sharpe_net']:.2f} "
        f"({figures['sharpe_net_low']:.2f} to {figures['sharpe_net_high']:.2f}), of {best}"
    )
    if "momentum_12_1" in found["factors"]:
        one = found["factors"]["momentum_12_1"]
        sentence += (
            f". Momentum's book and the published factor have a monthly correlation of {one['correlation']:.2f} over "
            f"{one['months']} months"
        )
    return [f"{sentence}.", ""]


def _reference(one: Mapping[str, Any]) -> Mapping[str, Any]:
    figures: Mapping[str, Any] = one["variants"][one["reference"]]
    return figures


def _line(name: str, one: Mapping[str, Any]) -> list[str]:
    figures = _reference(one)
    lagged = one["variants"].get("lag1_residoff", {}).get("sharpe_net")
    industry = one["variants"].get("lag0_residindustry")
    return [
        name,
        one["verdict"],
        one["first"],
        _n(one["names"], 0),
        f"{figures['sharpe_net']:.2f} [{figures['sharpe_net_low']:.2f}, {figures['sharpe_net_high']:.2f}]",
        f"{figures['sharpe_gross']:.2f}",
        f"{figures['ann_return_net']:.1%}",
        f"{figures['max_drawdown_net']:.1%}",
        f"{figures['turnover']:.2f}",
        _n(one["whole"]["break_even_bps"], 1),
        _n(lagged, 2),
        f"{_n(industry['sharpe_net'], 2)} ({industry['sessions']:,})" if industry else "not available",
    ]


def _because(one: Mapping[str, Any]) -> list[str]:
    """The rules that decided a colour."""
    rules: Sequence[Mapping[str, Any]] = one["rules"]
    if one["verdict"] == "red":
        return [rule["text"] for rule in rules if rule["colour"] == "red" and rule["met"]]
    short = [rule["text"] for rule in rules if rule["colour"] == "green" and not rule["met"]]
    return short + [rule["text"] for rule in rules if rule["colour"] == "caution" and rule["met"]]


def _years(baselines: Mapping[str, Any]) -> str:
    years = sorted({year for one in baselines.values() for year in one["years"]})
    rows = [[year, *(_n(one["years"].get(year), 2) for one in baselines.values())] for year in years]
    return _table(["year", *baselines], rows)


def _n(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    """Judge, read, write."""
    parser = argparse.ArgumentParser(prog=f"python -m quant_platform_tests.evidence.{NAME}", description=__doc__)
    parser.add_argument("home", type=Path, help="Home of the S&P 500 set, with a snapshot.")
    parser.add_argument("factors", type=Path, help="Folder of the library's daily files.")
    options = parser.parse_args()
    home = Home(Settings(home=options.home.resolve(), specs=settings().specs))
    snapshot = last_snapshot(home)
    if snapshot is None:
        parser.error("the home has no snapshot: quant snapshot create US")
    # What is registered with the same rows, on whichever snapshot, stays as it is.
    signals = {name: said.name for name, said in submit_baselines(home, snapshot)[0].items()}
    judge(home, Console(), list(signals.values()), snapshot=snapshot)
    found = {"made_on": str(date.today()), **measured(home, snapshot, signals, options.factors)}
    folder = ROOT / "docs" / "results"
    (folder / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(render(found), encoding="utf-8")


if __name__ == "__main__":
    main()
