"""The page that shows the benchmarks, from the results file alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Results = dict[str, Any]

REPLAY_LIMIT_SECONDS = 2.0
TIMES_FASTER_REQUIRED = 25.0
BUSY_LOAD_PER_CORE = 0.5
MOST_GROWTH = 1.25
LARGEST_DIFFERENCE = 1e-9


def page(results: Results) -> str:
    """Markdown of everything that was measured."""
    sections = [
        "# Benchmarks",
        _head(results),
        "## Equity replay",
        _replay(results),
        "## Factor study beside alphalens-reloaded",
        _factors(results),
        "### The same numbers",
        _agreement(results["alphalens"]["complete"]),
        "### Where the numbers differ, and why",
        _differences(results["alphalens"]["uneven"]),
        "### The whole study",
        _whole_study(results),
        "## Cleaning and features",
        _equity_tables(results["equity_tables"]),
        "## Event lab",
        _event_lab(results["event_features"]),
        "### Ten rolling features beside polars and pandas",
        _rolling(results["event_features"]["rolling"]),
        "## Lake",
        _lake(results["lake"]),
        "## How to repeat it",
        _repeat(results),
    ]
    return "\n\n".join(sections) + "\n"


def _head(results: Results) -> str:
    machine, load = results["machine"], results["load_average"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    busy = load["start"][0] > BUSY_LOAD_PER_CORE * machine["cores"]
    verdict = (
        "**Others used the machine during this run**: wall seconds say little, and processor seconds are somewhat high."
        if busy
        else "Nothing else of note ran."
    )
    return (
        f"{machine['processor']} ({machine['architecture']}), {machine['cores']} cores, {machine['memory_gib']} GiB of "
        f"memory, {machine['system']}. {versions}.\n\n"
        f"Load average (1, 5, 15 minutes) at the start {_plain(load['start'])}, at the end {_plain(load['end'])}, "
        f"the benchmarks themselves included. {verdict}\n\n"
        "Every figure is the median over the repetitions after a warm-up, with the range from the fastest to the "
        "slowest in brackets. *CPU* is processor time over all threads, *wall* what a clock on the wall shows. What is "
        "compared took turns within one run. The markets are simulated and seeded."
    )


def _replay(results: Results) -> str:
    found = results["replay"]
    seconds = found["all_tickers"]["cpu_seconds"]
    bars = found["names"] * found["sessions"]
    verdict = "met" if seconds < REPLAY_LIMIT_SECONDS else "**missed**"
    return (
        f"`replay_ticker` on {found['names']} tickers x {found['sessions']} sessions of `clean.equity_bars`, "
        f"{found['signal_sessions']} weekly signal sessions, both directions: {_count(found['candidates'])} candidates "
        "with their outcomes. One core, one Polars thread; reading and writing partitions is not included.\n\n"
        + _table(
            ["", "CPU s", "wall s"],
            [
                ["all tickers", *_both(found["all_tickers"])],
                ["first ticker of a process, kernels on the disk", *_both(found["first_ticker"])],
                ["first ticker ever, kernels compiled", *_both(found["first_ticker_compiling"])],
            ],
        )
        + f"\n\nThat is {_count(bars / seconds)} bars per CPU second. Required: under {REPLAY_LIMIT_SECONDS:g} s, "
        f"{verdict}."
    )


def _factors(results: Results) -> str:
    ours, peer = results["factor_study"], results["alphalens"]
    faster = peer["times_faster"]
    verdict = "met" if min(faster["cpu"], faster["wall"]) >= TIMES_FASTER_REQUIRED else "**missed**"
    versions = ", ".join(f"{name} {number}" for name, number in peer["versions"].items())
    return (
        f"{len(ours['factors'])} factors, {ours['names']} names x {ours['sessions']} sessions, {ours['rebalances']} "
        "weekly rebalances, 30-session forward returns that start one session after the signal. Equal work on both "
        "sides: forward returns, rank IC and quintile spread per date and factor, from factors that were computed "
        f"before; imports and reading are not timed. The peer ({versions}) runs in an environment of its own.\n\n"
        + _table(
            ["", "CPU s", "wall s", "times slower, CPU", "times slower, wall"],
            [
                ["quant_platform", *_both(peer["ours"]), "1", "1"],
                ["alphalens-reloaded, as documented", *_both(peer["alphalens"]), *_times(faster)],
                [
                    "alphalens-reloaded, forward returns made once",
                    *_both(peer["alphalens_shared"]),
                    *_times(peer["times_faster_shared"]),
                ],
            ],
        )
        + f"\n\nRequired: {TIMES_FASTER_REQUIRED:g} times faster, {verdict}."
    )


def _agreement(complete: dict[str, Any]) -> str:
    rows = [
        [
            f"`{name}`",
            str(row["dates"]),
            f"{row['mean_ic']:+.6f}",
            f"{abs(row['mean_ic'] - row['mean_ic_alphalens']):.0e}",
            f"{row['largest_ic_difference']:.0e}",
            f"{row['under_their_rules']['largest_spread_difference']:.0e}",
        ]
        for name, row in complete.items()
    ]
    return (
        "On complete data, where every name lives throughout, both compute the same: mean IC, the IC of each date, and "
        "twice alphalens' spread of each date.\n\n"
        + _table(["factor", "dates", "mean IC", "difference", "largest, by date", "largest of spread"], rows)
    )


def _differences(uneven: dict[str, Any]) -> str:
    rows = [
        [
            f"`{name}`",
            f"{row['dates']} / {row['dates_alphalens']}",
            f"{row['mean_ic']:+.6f} / {row['mean_ic_alphalens']:+.6f}",
            f"{row['largest_ic_difference']:.1e}",
            f"{1e4 * row['mean_spread']:+.2f} / {1e4 * row['mean_spread_alphalens']:+.2f}",
            f"{row['under_their_rules']['largest_ic_difference']:.0e}",
            f"{row['under_their_rules']['largest_spread_difference']:.0e}",
        ]
        for name, row in uneven.items()
    ]
    return (
        "A second market with 20 % of the names listed late, 5 % delisted, and bull runs in which many names stand at "
        "their 52-week high at once. Ours / alphalens:\n\n"
        + _table(
            [
                "factor",
                "dates",
                "mean IC",
                "largest IC difference of a date",
                "mean spread, bps",
                "IC, under their rules",
                "spread, under their rules",
            ],
            rows,
        )
        + "\n\n"
        "1. **Halved spread.** alphalens divides top minus bottom by two (a book of 100 % gross); ours is 100 % long "
        "and 100 % short.\n"
        "2. **Delisted names filled forward.** alphalens keeps the last price of a delisted name for ever. The return "
        "of a window that ends after the death is then the return to the last close, and a window that begins after it "
        "still has one, of zero. Ours ends with the last close and, where it is known, the delisting return, is "
        "counted, and there is none from after the death.\n"
        "3. **Dropped tie dates.** Where more than a fifth of the names tie at the extreme (proximity of exactly 1), "
        "two quantile edges coincide and alphalens drops the date, from the IC as well; ours keeps it, with average "
        "ranks.\n\n"
        "The last two columns apply these three rules to our own functions: what then remains as the largest "
        "difference on any date. On this market nothing else separates the two."
    )


def _whole_study(results: Results) -> str:
    found = results["factor_study"]
    horizons = ", ".join(map(str, found["horizons_of_spec"]))
    ours = found["ours"]
    rows = [
        ["equal work, as above", *_both(ours["equal_work"])],
        ["one horizon, with log returns, both tests and the bootstrap", *_both(ours["study_headline"])],
        [f"the same for the horizons {horizons}", *_both(ours["study_all_horizons"])],
        ["the asset: from long tables to its result", *_both(ours["asset_from_tables"])],
    ]
    return "What the platform computes on the same panel, all seven factors:\n\n" + _table(
        ["", "CPU s", "wall s"], rows
    )


def _equity_tables(found: dict[str, Any]) -> str:
    rows = [
        [label, *_both(found[name]), _count(found[f"{name}_rows_per_cpu_second"])]
        for name, label in (
            ("cleaning", "`raw.equity_bars` and dividends to `clean.equity_bars`"),
            ("features", f"`clean.equity_bars` to the {found['feature_count']} features of `features.equity`"),
        )
    ]
    return f"{_count(found['rows'])} rows, one core, one call per ticker; no reading and writing.\n\n" + _table(
        ["", "CPU s", "wall s", "rows per CPU second"], rows
    )


def _event_lab(found: dict[str, Any]) -> str:
    sizes, two, load = found["by_symbols"], found["two_threads"], found["load_average"]
    rows = [
        [
            f"{size['symbols']} symbols",
            _count(size["rows"]),
            *_both(size["timed"]),
            _count(size["rows_per_cpu_second"]),
            f"{size['peak_mib']:,.0f}",
        ]
        for size in sizes
    ]
    last = sizes[-1]
    per_second = _count(last["rows"] / two["timed"]["cpu_seconds"])
    threads = [f"{last['symbols']} symbols, two threads", _count(last["rows"]), *_both(two["timed"]), per_second]
    growth = cost_growth(found)
    verdict = "met" if growth <= MOST_GROWTH else "**missed**"
    return (
        f"`each_symbol` computes all {found['features']} features, the states and all {found['events']} events of "
        f"symbol after symbol, {_count(found['rows_per_symbol'])} five-minute bars each, every result let go before "
        "the next. One core but for the last row; no reading and writing. The highest use of memory of the process is "
        f"{found['memory_before_mib']:,.0f} MiB before anything is computed: the libraries and "
        f"the joined market of all symbols ({found['market_mib']:,.0f} MiB). The load average when this part began was "
        f"{_plain(load['start'])}, and {_plain(load['end'])} when it ended.\n\n"
        + _table(
            ["", "rows", "CPU s", "wall s", "rows per CPU second", "peak MiB"],
            [*rows, [*threads, f"{two['peak_mib']:,.0f}"]],
        )
        + "\n\nThe context of all symbols together (other symbols, sessions, news) takes "
        + f"{_seconds(found['context'], 'cpu')} CPU s before. From {sizes[0]['symbols']} to {last['symbols']} symbols "
        + f"a row becomes {growth:.2f} times as dear; required: at most {MOST_GROWTH:g}, {verdict}."
    )


def cost_growth(found: dict[str, Any]) -> float:
    """Processor time of a row in the largest market over that in the smallest: 1 where cost is linear."""
    first, last = found["by_symbols"][0], found["by_symbols"][-1]
    return float(first["rows_per_cpu_second"] / last["rows_per_cpu_second"])


def _rolling(found: dict[str, Any]) -> str:
    timed, faster, versions = found["timed"], found["times_faster"], found["versions"]
    rows = [
        ["quant_platform", *_both(timed["ours"]), "1", "1"],
        *(
            [f"{way} {versions[way]}", *_both(timed[way]), f"{faster[way]['cpu']:.1f}", f"{faster[way]['wall']:.1f}"]
            for way in ("polars", "pandas")
        ),
    ]
    largest = {way: max(row["largest"] for row in features.values()) for way, features in found["differences"].items()}
    apart = sum(row["missing_on_one_side"] for ways in found["differences"].values() for row in ways.values())
    verdict = "met" if max(largest.values()) <= LARGEST_DIFFERENCE and not apart else "**missed**"
    shown = "\n".join(f"| `{name}` | `{text}` |" for name, text in found["expressions"].items())
    return (
        f"One symbol, {_count(found['rows'])} bars with gaps, one core each, arrays in memory on both sides.\n\n"
        + _table(["", "CPU s", "wall s", "times slower, CPU", "times slower, wall"], rows)
        + f"\n\n| feature | expression |\n| --- | --- |\n{shown}\n\n"
        "`ret1` is the log return of a bar, `aret` its size, `bench_ret` the mean return of the other symbols; `pmed` "
        "and `pq` leave the current bar out, and a window needs nine tenths of its bars.\n\n"
        "The largest difference of any value, as a share of the largest value of its feature, is "
        f"{largest['polars']:.0e} to polars and {largest['pandas']:.0e} to pandas; {apart} values are missing on one "
        f"side alone. Required: {LARGEST_DIFFERENCE:.0e} and none, {verdict}."
    )


def _lake(found: dict[str, Any]) -> str:
    partitions, read = found["partitions"], found["partitions_read"]
    rows = [
        [label, *_both(found[name]), f"{_count(partitions / found[name]['wall_seconds'])} partitions/s"]
        for name, label in (
            ("write_one_process", "write all partitions, one process"),
            ("write_two_processes", "write all partitions, two processes"),
            ("write_many_one_process", "write all partitions, one process, flushes overlapping (`write_many`)"),
        )
    ]
    each = found["read_one_partition"]["wall_seconds"] / read
    aggregate = found["aggregate_all"]["wall_seconds"]
    rows += [
        [f"read {read} partitions, one at a time", *_both(found["read_one_partition"]), f"{1e3 * each:.2f} ms each"],
        [
            "aggregate all partitions in DuckDB, the catalogue opened anew",
            *_both(found["aggregate_all"]),
            f"{_count(found['rows'] / aggregate)} rows/s",
        ],
        ["build the catalogue from nothing", *_both(found["catalogue_from_nothing"]), ""],
        ["build the catalogue after one write", *_both(found["catalogue_after_one_write"]), ""],
    ]
    return (
        f"`clean.equity_bars` in {partitions} partitions, {_count(found['rows'])} rows, "
        f"{found['bytes'] / 2**20:.0f} MiB. Every write is validated, hashed, flushed to the disk and swapped in "
        "atomically. The aggregate groups all rows by ticker: count, lowest low, highest high, mean close, sum of "
        "dollar volume, standard deviation of the log close.\n\n" + _table(["", "CPU s", "wall s", ""], rows)
    )


def _repeat(results: Results) -> str:
    return (
        "`make bench` on an idle machine. It makes `.venv` and, for the peer, `.venv-peers` from "
        "`quant_platform_tests/benchmarks/requirements-peers.txt`, and then runs "
        f"`{results['command']}`, which writes `results.json` and this page. With the option `--reduced` everything "
        "runs on a small market in a minute, into `data/benchmarks`."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _both(timed: dict[str, Any]) -> list[str]:
    return [_seconds(timed, "cpu"), _seconds(timed, "wall")]


def _seconds(timed: dict[str, Any], clock: str) -> str:
    low, high = timed[f"{clock}_range"]
    median = timed[f"{clock}_seconds"]
    return f"{median:.3g}" if timed["repetitions"] == 1 else f"{median:.3g} [{low:.3g} - {high:.3g}]"


def _times(ratios: dict[str, float]) -> list[str]:
    return [f"{ratios['cpu']:.0f}", f"{ratios['wall']:.0f}"]


def _count(value: float) -> str:
    return f"{float(f'{value:.3g}') if isinstance(value, float) else value:,.0f}"


def _plain(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers)
