"""The cases: bars, the decisions made from them, and the terms on which every framework trades them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.contracts.errors import PlatformError
from quant_platform.engine.backtest import Bars, Event
from quant_platform.labs.parity.decisions import DecisionTable
from quant_platform.labs.parity.makers import moving_average_crossover, random_signals, stated, trades_to_weights
from quant_platform.labs.parity.terms import Terms
from quant_platform.labs.parity.worlds import Line, bars_of, bitcoin, members, random_bars

_CLOCK = Terms(calendar="24/7", lot=0.001)
_MONEY = 1_000_000.0


class CaseUnknown(PlatformError, ValueError):
    """There is no such case."""

    code = "case_unknown"


@dataclass(frozen=True)
class Case:
    """One thing on which frameworks may differ.

    Attributes
    ----------
    name, title
        Key, and what it shows in one sentence.
    bars
        Makes its bars, from a folder of real ones where it is given and the case is about real bars.
    decide
        Makes its decisions from them.
    real
        Whether real bars are read where there is a folder of them.
    """

    name: str
    title: str
    bars: Callable[[Path | None], Bars]
    decide: Callable[[Bars], DecisionTable]
    terms: Terms = field(default_factory=Terms)
    initial_capital: float = _MONEY
    commission_rate: float = 0.001
    real: bool = False


def _drawn(assets: int, count: int, seed: int, **more: Any) -> Callable[[Path | None], Bars]:
    return lambda _: random_bars(assets, count, seed, **more)


def _hand(*lines: list[Line | None], **more: Any) -> Callable[[Path | None], Bars]:
    return lambda _: bars_of(*lines, **more)


_FLAT: Line = (100.0, 101.0, 99.0, 100.0)
_SIGNALS = _drawn(5, 750, 11)
_BOTH = ("long", "short")


def _random(name: str, title: str, seed: int, terms: Terms | None = None, **more: Any) -> Case:
    return Case(name, title, _SIGNALS, partial(random_signals, seed=seed, **more), terms or Terms())


def _rebalanced(bars: Bars) -> DecisionTable:
    draw = np.random.default_rng(71)
    at = range(20, bars.shape[0] - 3, 21)
    weights = draw.normal(0.0, 1.0, (len(at), bars.shape[1]))
    weights[np.abs(weights) < 0.5] = 0.0
    return trades_to_weights(bars, weights / np.abs(weights).sum(axis=1, keepdims=True), list(at), 0.8 * _MONEY)


def _lines(*changed: tuple[int, Line | None], count: int = 8) -> list[Line | None]:
    lines: list[Line | None] = [_FLAT] * count
    for bar, line in changed:
        lines[bar] = line
    return lines


def _long(**levels: float) -> Callable[[Bars], DecisionTable]:
    return lambda _: stated((1, "A", "long_entry", 100.0), **levels)


def _last(bars: Bars) -> DecisionTable:
    end = bars.shape[0] - 1
    return stated((1, "A", "long_entry", 100.0), (end, "A", "long_exit"), (end, "B", "long_entry", 50.0))


_ALL = (
    Case(
        "ma_crossover_btc_daily",
        "Moving-average crossover (10, 20) of BTC, daily, around the clock.",
        lambda folder: bitcoin(folder, minutes=1440, bars=495),
        partial(moving_average_crossover, fast=10, slow=20, money=0.5 * _MONEY, lot=0.001),
        _CLOCK,
        real=True,
    ),
    Case(
        "ma_crossover_btc_5min",
        "Moving-average crossover (10, 20) of BTC in bars of five minutes.",
        lambda folder: bitcoin(folder, minutes=5, bars=8_640),
        partial(moving_average_crossover, fast=10, slow=20, money=0.1 * _MONEY, lot=0.001),
        Terms(calendar="24/7", lot=0.001, frequency="minute"),
        real=True,
    ),
    _random("long_only", "Random entries and exits, long.", 1),
    _random("short_only", "Random entries and exits, short.", 2, sides=("short",)),
    _random("long_short", "Both sides; an entry of the other side turns the position at one open.", 3, sides=_BOTH),
    _random("stop", "A stop 3 % from the entry.", 4, sides=_BOTH, levels={"stop": 0.03}),
    _random("target", "A target 4 % from the entry.", 5, sides=_BOTH, levels={"target": 0.04}),
    _random("trailing", "A trailing stop 4 % behind the best price.", 6, sides=_BOTH, levels={"trail": 0.04}),
    _random("bracket", "Stop 3 % and target 5 %.", 7, sides=_BOTH, levels={"stop": 0.03, "target": 0.05}),
    _random("time_exit", "Left at the open after ten bars.", 8, exits=0.0, levels={"time_bars": 10}),
    _random("stop_and_trail", "Stop 2 % and trail 4 %: the nearer one stands.", 9, sides=_BOTH,
            levels={"stop": 0.02, "trail": 0.04}),
    _random("target_and_trail", "Target 5 % and trail 4 %.", 10, sides=_BOTH, levels={"target": 0.05, "trail": 0.04}),
    _random("bracket_and_time", "Stop 3 %, target 5 %, ten bars at most, both sides, exits and turns.", 12, sides=_BOTH,
            levels={"stop": 0.03, "target": 0.05, "time_bars": 10}),
    Case("bracket_wild", "The same on bars three times as wild: gaps through stops and over targets.",
         _drawn(5, 750, 13, volatility=0.045),
         partial(random_signals, seed=13, sides=_BOTH, levels={"stop": 0.03, "target": 0.05, "time_bars": 10})),
    _random("levels_at_close", "Stop 3 % and target 5 % compared with closes, left at the next open.", 14,
            Terms(trigger="close"), levels={"stop": 0.03, "target": 0.05}),
    _random("levels_from_entry_bar", "Stop 3 % and target 5 % that stand from the bar of the entry on.", 15,
            Terms(exits_from="entry_bar"), levels={"stop": 0.03, "target": 0.05}),
    _random("commission_per_share", "0.005 a share.", 16, Terms(per_unit=0.005), sides=_BOTH),
    _random("commission_per_share_minimum", "0.005 a share, at least 1 an order.", 17,
            Terms(per_unit=0.005, minimum=1.0)),
    _random("commission_rate_minimum", "The rate, at least 10 an order.", 18, Terms(minimum=10.0)),
    _random("commission_per_order", "2.5 an order on top of the rate.", 19, Terms(per_order=2.5)),
    _random("slippage_rate", "Market orders lose 0.1 % of the price.", 20, Terms(slippage_rate=0.001), sides=_BOTH),
    _random("slippage_rate_stop", "Stops lose it too.", 21, Terms(slippage_rate=0.001), sides=_BOTH,
            levels={"stop": 0.03}),
    _random("slippage_rate_bracket", "Stops lose it, targets do not.", 22, Terms(slippage_rate=0.001), sides=_BOTH,
            levels={"stop": 0.03, "target": 0.05}),
    _random("slippage_fixed", "Market orders lose 0.05 a unit.", 23, Terms(slippage_fixed=0.05), sides=_BOTH),
    _random("same_close", "Filled at the close that decided: for comparisons only.", 24, Terms(fill="same_close"),
            sides=_BOTH),
    _random("whole_units", "Fractions are decided, whole units traded.", 25, Terms(lot=1.0), fraction=0.37),
    _random("fractional_units", "Multiples of a millionth of a unit.", 26, largest=400_000_000, fraction=1e-6),
    _random("lot_units", "Lots of a tenth of a unit.", 27, Terms(lot=0.1), fraction=0.37),
    Case("rebalance", "Twenty assets, long and short, brought to new weights every month.",
         _drawn(20, 750, 28), _rebalanced),
    Case("rebalance_500", "Five hundred assets.", _drawn(500, 120, 29), _rebalanced),
    _random("entry_and_exit_on_one_bar", "Entry and exit decided on one bar: flat enters, held leaves.", 30,
            entries=0.3, exits=0.3, together=True),
    Case("gap_through_stop", "The open is beyond the stop: it is left at the open.",
         _hand(_lines((4, (95.0, 96.0, 94.0, 95.0)))), _long(stop=0.03)),
    Case("stop_and_target_in_one_bar", "A bar holds both: the stop.",
         _hand(_lines((4, (100.0, 106.0, 96.0, 100.0)))), _long(stop=0.03, target=0.05)),
    Case("open_over_target_with_stop", "The open is over the target and the bar holds the stop: left at the open.",
         _hand(_lines((4, (107.0, 108.0, 96.0, 100.0)))), _long(stop=0.03, target=0.05)),
    Case("touch", "A low that touches the stop to the cent.",
         _hand(_lines((4, (100.0, 101.0, 97.0, 99.0)))), _long(stop=0.03)),
    Case("stop_on_entry_bar", "A stop pierced by the bar of the entry alone is none.",
         _hand(_lines((2, (100.0, 101.0, 96.0, 100.0)))), _long(stop=0.03)),
    Case("exit_decided_and_stop", "An exit was decided and the next bar holds the stop: left once, at the open.",
         _hand(_lines((4, (99.0, 100.0, 95.0, 96.0)))),
         lambda _: stated((1, "A", "long_entry", 100.0), (3, "A", "long_exit"), stop=0.03)),
    Case("halted_bar", "A bar without trading: the order waits for the next open.",
         _hand(_lines((2, None), (3, (103.0, 104.0, 102.0, 103.0)), (5, None), (6, (105.0, 106.0, 104.0, 105.0)))),
         lambda _: stated((1, "A", "long_entry", 100.0), (4, "A", "long_exit"))),
    Case("halted_random", "Two of a hundred bars are missing; stops 3 %.", _drawn(5, 750, 31, halted=0.02),
         partial(random_signals, seed=31, entries=0.05, exits=0.03, levels={"stop": 0.03})),
    Case("delisting", "A delisted asset leaves at its last close.",
         _hand(_lines((4, (90.0, 91.0, 79.0, 80.0)), (5, None), (6, None), (7, None)), _lines(),
               delisted=Event(5, 0, 1.0)), _long(), commission_rate=0.0),
    Case("delisting_recovery", "It leaves at a tenth of its last close.",
         _hand(_lines((4, (90.0, 91.0, 79.0, 80.0)), (5, None), (6, None), (7, None)), _lines(),
               delisted=Event(5, 0, 0.1)), _long(), commission_rate=0.0),
    Case("last_bar", "Decided on the last bar: nothing.", _hand(_lines(), _lines()), _last),
    Case("participation", "A tenth of the volume a bar: the rest waits for later bars.",
         _hand(_lines((2, (102.0, 103.0, 101.0, 102.0)), (3, (103.0, 104.0, 102.0, 103.0)),
                      (4, (104.0, 105.0, 103.0, 104.0))), volume=[400.0] * 8),
         _long(), Terms(participation=0.1, lot=1.0)),
    Case("sp500_members", "Ten members of the S&P 500, both sides, stop 3 % and target 5 %.",
         lambda folder: members(folder, ("AAPL", "CAT", "GE", "IBM", "JNJ", "JPM", "KO", "MSFT", "WMT", "XOM"),
                                date(2005, 1, 3), date(2009, 12, 31)),
         partial(random_signals, seed=33, sides=_BOTH, levels={"stop": 0.03, "target": 0.05}), real=True),
)  # fmt: skip

CASES: Mapping[str, Case] = {case.name: case for case in _ALL}


def case_named(name: str) -> Case:
    """A case by its name.

    Raises
    ------
    CaseUnknown
        With those that there are.
    """
    if name not in CASES:
        raise CaseUnknown(f"there is no case {name!r}", where="parity", action=f"one of {', '.join(CASES)}")
    return CASES[name]


def at_scale(assets: int, bars: int, *, minutes: bool = False) -> Case:
    """Random decisions of any size, whole units, both sides: what is run at scale and what is timed.

    Parameters
    ----------
    assets, bars
        How many.
    minutes
        Bars of a minute around the clock instead of sessions.
    """
    step = {"step": timedelta(minutes=1), "volatility": 0.001} if minutes else {}
    return Case(
        f"scale_{assets}x{bars}",
        f"{assets} assets and {bars} {'minutes' if minutes else 'sessions'} of random decisions, both sides.",
        _drawn(assets, bars, 99, **step),
        partial(random_signals, seed=99, sides=_BOTH, entries=0.02, exits=0.02, largest=100),
        Terms(calendar="24/7", frequency="minute") if minutes else Terms(),
        initial_capital=1e8,
    )
