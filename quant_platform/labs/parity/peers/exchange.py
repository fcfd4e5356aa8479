# mypy: ignore-errors
# Runs under the interpreter of a foreign framework, whose packages are not installed where the types are checked.
"""What the scripts of this folder share: reading a job, the reading of decisions, and writing what came of it.

Standard library, numpy and pyarrow only; nothing of quant_platform is imported.
"""

import hashlib
import json
import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LONG_ENTRY, LONG_EXIT, SHORT_ENTRY, SHORT_EXIT, TRADE = 1, 2, 4, 8, 16
BITS = {
    "long_entry": LONG_ENTRY,
    "long_exit": LONG_EXIT,
    "short_entry": SHORT_ENTRY,
    "short_exit": SHORT_EXIT,
    "trade": TRADE,
}
PRICES = ("open", "high", "low", "close")


class NotSupported(Exception):
    """The framework cannot do what the job asks for, whatever the adapter does."""


class Job:
    """A folder with ``run.json``, ``bars.parquet`` and ``decisions.parquet``, read and checked against its hash."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.run = json.loads((self.folder / "run.json").read_text())
        path = self.folder / "decisions.parquet"
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != self.run["decisions_file_sha256"]:
            raise ValueError(f"decisions.parquet has the hash {found}, {self.run['decisions_file_sha256']} was stated")
        self.terms = self.run["terms"]
        self.assets = self.run["assets"]
        self.capital = self.run["initial_capital"]
        self.rate = self.run["commission_rate"]
        self.stamps = np.array(self.run["stamps"], dtype="datetime64[ns]")
        shape = len(self.stamps), len(self.assets)
        bars = pq.read_table(self.folder / "bars.parquet")
        self.bars = {name: bars[name].to_numpy().reshape(shape) for name in (*PRICES, "volume")}
        self.halted = np.isnan(self.bars["open"]) | (self.bars["volume"] == 0)
        table = pq.read_table(path)
        column = {name: index for index, name in enumerate(self.assets)}
        self.rows = [
            Decision(
                row["bar"], column[row["asset"]], BITS[row["action"]], row["quantity"], row["stop"], row["target"],
                row["trail"], row["time_bars"] or 0,
            )
            for row in table.to_pylist()
        ]  # fmt: skip

    @property
    def shape(self):
        """Bars and assets."""
        return len(self.stamps), len(self.assets)

    def merged(self):
        """Decisions by bar: per asset one with all signals of that bar, as the engine reads them; trades stay apart."""
        by_bar = {}
        for row in self.rows:
            here = by_bar.setdefault(row.bar, [])
            if row.bits != TRADE and here and here[-1].asset == row.asset and here[-1].bits != TRADE:
                here[-1] = here[-1].joined(row)
            else:
                here.append(row)
        return by_bar

    def has(self, name):
        """Whether any decision states a stop, a target, a trail, or a time."""
        return any(getattr(row, name) for row in self.rows)


class Decision:
    """Signals of one bar and asset, or one trade."""

    __slots__ = ("asset", "bar", "bits", "quantity", "stop", "target", "time", "trail")

    def __init__(self, bar, asset, bits, quantity, stop, target, trail, time):
        self.bar, self.asset, self.bits, self.quantity = bar, asset, bits, quantity
        self.stop, self.target, self.trail, self.time = stop, target, trail, time

    def joined(self, other):
        """The signals of both; levels are those of the entry."""
        entry = self if self.quantity is not None else other
        return Decision(
            self.bar, self.asset, self.bits | other.bits, entry.quantity, entry.stop, entry.target, entry.trail,
            entry.time,
        )  # fmt: skip

    def read(self, position):
        """What signals mean to a position: whether it leaves, and the side that is entered (0 for none).

        Flat: an entry enters, both are neither. Held: the exit of its side leaves, the entry of the other side turns.
        """
        long, short = self.bits & LONG_ENTRY, self.bits & SHORT_ENTRY
        if position > 0:
            if short:
                return True, -1
            return bool(self.bits & LONG_EXIT), 0
        if position < 0:
            if long:
                return True, 1
            return bool(self.bits & SHORT_EXIT), 0
        if bool(long) == bool(short):
            return False, 0
        return False, 1 if long else -1


class Held:
    """What a position carries that the framework has no place for."""

    __slots__ = ("bar", "best", "decision", "fill", "leaving", "orders", "side")

    def __init__(self, side, bar, fill, decision):
        self.side, self.bar, self.fill, self.decision = side, bar, fill, decision
        self.best, self.leaving, self.orders = fill, False, []

    def saw(self, high, low):
        """Take a completed bar into the extreme that a trail follows."""
        self.best = max(self.best, high) if self.side > 0 else min(self.best, low)

    def stop_level(self):
        """The nearer of stop and trail, None for none."""
        said, found = self.decision, []
        if said.stop:
            found.append(self.fill * (1 - self.side * said.stop))
        if said.trail:
            found.append(self.best * (1 - self.side * said.trail))
        if not found:
            return None
        return max(found) if self.side > 0 else min(found)

    def target_level(self):
        """The target, None for none."""
        return self.fill * (1 + self.side * self.decision.target) if self.decision.target else None

    def is_over(self, bar):
        """Whether its time is over at the close of a bar."""
        return bool(self.decision.time) and bar >= self.bar + self.decision.time - 1

    def meets(self, price):
        """Whether a close has reached one of its levels."""
        stop, target = self.stop_level(), self.target_level()
        return (stop is not None and self.side * price <= self.side * stop) or (
            target is not None and self.side * price >= self.side * target
        )


def lots(quantity, terms, by_adapter):
    """Round a quantity down to whole lots, which the framework itself does not do."""
    if terms["lot"] is None:
        return quantity
    inverse = round(1 / terms["lot"])
    if terms["lot"] < 1 and abs(inverse * terms["lot"] - 1) < 1e-9:
        rounded = np.floor(abs(quantity) * inverse + 1e-9) / inverse * np.sign(quantity)
    else:
        rounded = np.floor(abs(quantity) / terms["lot"] + 1e-9) * terms["lot"] * np.sign(quantity)
    if rounded != quantity:
        by_adapter.add("rounding to lots")
    return rounded


def trades_of(fills, last_close):
    """Fills to trades, from flat to flat: prices are averages of the fills, an open trade is marked.

    A fill that turns a position counts to both trades by quantity.
    """
    open_, done = {}, []
    for bar, asset, quantity, price, fee in fills:
        while quantity:
            trade = open_.get(asset)
            if trade is None:
                trade = open_[asset] = {"asset": asset, "side": 1 if quantity > 0 else -1, "entry_bar": bar}
                trade.update(held=0.0, bought=0.0, paid=0.0, sold=0.0, received=0.0, commission=0.0)
            side, part = trade["side"], quantity
            if quantity * side < 0 and abs(quantity) > trade["held"]:
                part = -side * trade["held"]
            share = fee * (part / quantity)
            trade["commission"] += share
            if part * side > 0:
                trade["held"] += abs(part)
                trade["bought"] += abs(part)
                trade["paid"] += abs(part) * price
            else:
                trade["held"] -= abs(part)
                trade["sold"] += abs(part)
                trade["received"] += abs(part) * price
                if trade["held"] <= 1e-12 * trade["bought"]:
                    trade["exit_bar"] = bar
                    done.append(open_.pop(asset))
            fee, quantity = fee - share, quantity - part
    rows = []
    for trade in [*done, *open_.values()]:
        money = trade["received"] - trade["paid"]
        if "exit_bar" not in trade:
            money += trade["held"] * last_close[trade["asset"]]
        rows.append(
            {
                "asset": trade["asset"],
                "side": "long" if trade["side"] > 0 else "short",
                "entry_bar": trade["entry_bar"],
                "exit_bar": trade.get("exit_bar"),
                "quantity": trade["bought"],
                "entry_price": trade["paid"] / trade["bought"],
                "exit_price": trade["received"] / trade["sold"] if "exit_bar" in trade else None,
                "commission": trade["commission"],
                "pnl": trade["side"] * money - trade["commission"],
            }
        )
    return rows


def last_closes(job):
    """The last known close of each asset."""
    close = job.bars["close"]
    return [float(column[~np.isnan(column)][-1]) if not np.isnan(column).all() else float("nan") for column in close.T]


def write(job, version, fills, trades, equity, by_adapter, recomputed, seconds, counts=None):
    """Write what came of a job."""
    names = job.assets
    schema = {
        "fills": [("bar", pa.int64()), ("asset", pa.string()), ("quantity", pa.float64()), ("price", pa.float64()),
                  ("commission", pa.float64())],
        "trades": [("asset", pa.string()), ("side", pa.string()), ("entry_bar", pa.int64()), ("exit_bar", pa.int64()),
                   ("quantity", pa.float64()), ("entry_price", pa.float64()), ("exit_price", pa.float64()),
                   ("commission", pa.float64()), ("pnl", pa.float64())],
    }  # fmt: skip
    keys = [name for name, _ in schema["fills"]]
    rows = {
        "fills": [dict(zip(keys, (b, names[a], float(q), float(p), float(f)), strict=True)) for b, a, q, p, f in fills],
        "trades": [{**trade, "asset": names[trade["asset"]]} for trade in trades],
    }
    for name, found in rows.items():
        pq.write_table(pa.Table.from_pylist(found, schema=pa.schema(schema[name])), job.folder / f"{name}.parquet")
    curve = pa.table({"bar": np.arange(len(equity)), "equity": np.asarray(equity, dtype=float)})
    pq.write_table(curve, job.folder / "equity.parquet")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    said = {
        "version": version, "by_adapter": sorted(by_adapter), "recomputed": sorted(recomputed), "seconds": seconds,
        "peak_mb": peak, "counts": counts or {},
    }  # fmt: skip
    (job.folder / "result.json").write_text(json.dumps(said))


def main(run):
    """Do the jobs of the folders on the command line, one after the other in one process.

    What is not supported is said in a file. A single job that fails ends the process as it ends; of several, the one
    that fails says so in a file and the next is done.
    """
    folders = [Path(argument) for argument in sys.argv[1:]]
    for folder in folders:
        try:
            run(Job(folder))
        except NotSupported as error:
            (folder / "unsupported.json").write_text(json.dumps({"reason": str(error)}))
        except Exception as error:  # whatever a framework raises is its answer to this job
            if len(folders) == 1:
                raise
            (folder / "failed.json").write_text(json.dumps({"reason": f"{type(error).__name__}: {error}"}))
