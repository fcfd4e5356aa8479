"""A whole suite: a preset's matrix beside the baselines, and everything a verdict needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.audit import Audit, audit_signal
from quant_platform.labs.suite.backtest import (
    BacktestResult,
    PreparedSignal,
    Workbench,
    available,
    require_panel,
    run_variants,
)
from quant_platform.labs.suite.capacity import Capacity, break_even_bps, capacity
from quant_platform.labs.suite.experiments import Outcome, Registration, judge_experiment
from quant_platform.labs.suite.panel import SignalPanel
from quant_platform.labs.suite.trials import Selection, merge_ledger, select, trial_rows
from quant_platform.labs.suite.uniqueness import PartialIC, correlations, partial_ic
from quant_platform.labs.suite.verdict import Verdict, judge, reference_of
from quant_platform.specification.suite import PresetSpec, SuiteSpecs
from quant_platform.statistics.one_thread import in_one_thread


@dataclass(frozen=True)
class SuiteResult:
    """Everything a suite found about one signal on one snapshot.

    Attributes
    ----------
    signal, snapshot_id, simulated, preset
        What was judged, on what.
    results
        Variant to result, in the preset's order.
    reference
        Name of the variant that is judged.
    baselines
        Baseline to its result at the reference's settings.
    not_available
        Variant or baseline to the cause why it was not computed; never computed as something else.
    correlations, partial
        Uniqueness.
    selection
        Deflation, minimum track record, overfitting.
    break_even_bps
        One-way cost at which the reference earns nothing.
    capacity
        None where no traded values are known.
    audit
        Marks of look-ahead.
    trials
        Ledger rows of this run.
    verdict
        The colour with its reasons.
    outcome
        What stands beside the colour: whether it was registered, and what the locked holdout said.
    """

    signal: str
    snapshot_id: str
    simulated: bool
    preset: str
    results: Mapping[str, BacktestResult]
    reference: str
    baselines: Mapping[str, BacktestResult]
    not_available: Mapping[str, str]
    correlations: pl.DataFrame
    partial: PartialIC
    selection: Selection
    break_even_bps: float
    capacity: Capacity | None
    audit: Audit
    trials: pl.DataFrame
    verdict: Verdict
    outcome: Outcome

    @property
    def best(self) -> str:
        """Variant with the highest net Sharpe ratio: what a search would have shown."""
        ranked = {name: result.overall("sharpe_net") for name, result in self.results.items()}
        return max(ranked, key=lambda name: (ranked[name] == ranked[name], ranked[name]))

    def summary(self) -> pl.DataFrame:
        """Summaries of all variants, one below the other, with ``signal`` and ``snapshot_id`` in front."""
        frames = [result.summary for result in self.results.values()]
        return pl.concat(frames).select(
            pl.lit(self.signal).alias("signal"), pl.lit(self.snapshot_id).alias("snapshot_id"), pl.all()
        )

    def to_frame(self) -> pl.DataFrame:
        """Return the summary."""
        return self.summary()


@in_one_thread
def run_suite(
    signal: SignalPanel,
    baselines: Sequence[SignalPanel] | Mapping[str, tuple[PreparedSignal, BacktestResult]],
    bench: Workbench,
    preset: PresetSpec,
    specs: SuiteSpecs,
    *,
    signal_hash: str,
    evaluated_at: datetime,
    ledger: pl.DataFrame | None = None,
    earlier: SignalPanel | None = None,
    allow_look_ahead: bool = False,
    registration: Registration | None = None,
) -> SuiteResult:
    """Judge one signal.

    Parameters
    ----------
    signal
        Aligned with the panel of the workbench.
    baselines
        Their signals, or what :func:`prepare_baselines` made of them, to be shared by many suites. One of the signal's
        own name is left out.
    bench
        Panel and numbers.
    preset
        The matrix.
    specs
        Rules.
    signal_hash
        Content hash of the signal's rows, for the ledger.
    evaluated_at
        Time of the run, UTC.
    ledger
        All trials so far.
    earlier
        An earlier version of the signal, for the audit.
    allow_look_ahead
        Go on with a signal that the audit has found guilty, for looking at it; its verdict is then red.
    registration
        The experiment the signal is registered for. Its variants are computed beside those of the preset. While its
        holdout is locked the panel of the workbench has to end before it.

    Raises
    ------
    LookAheadFound
        When the audit finds something and ``allow_look_ahead`` is not set.
    NotAvailable
        When the panel is too narrow for a cross-section, or can carry no variant of the preset.
    SignalEmpty
        When no date has enough names.
    """
    panel = bench.panel
    require_panel(panel, specs.suite)
    audit = audit_signal(signal, panel, specs.audit, min_names=specs.suite.min_names, earlier=earlier)
    if not allow_look_ahead:
        audit.require_passed(signal.name)
    stated = registration.experiment.variants if registration is not None else ()
    configs, missing = available(tuple(dict.fromkeys((*preset.configs(), *stated))), panel)
    if not configs:
        raise NotAvailable(
            f"the panel can carry no variant of {preset.name}",
            rows=[{"variant": name, "cause": cause} for name, cause in missing.items()],
            action="choose another preset",
        )
    prepared = bench.prepare(signal)
    results = run_variants(prepared, configs, bench, slices=preset.slices)
    reference = results[reference_of(configs, specs.verdict).variant]
    if isinstance(baselines, Mapping):
        known = {name: pair for name, pair in baselines.items() if name != signal.name}
    else:
        known = prepare_baselines([one for one in baselines if one.name != signal.name], bench, preset)
    table = correlations(prepared, reference, known)
    left = partial_ic(prepared, {name: pair[0] for name, pair in known.items()})
    made = trial_rows(results.values(), signal_hash=signal_hash, evaluated_at=evaluated_at)
    selection = select(
        reference,
        results.values(),
        merge_ledger(ledger, made),
        confidence=specs.suite.confidence,
        blocks=specs.suite.overfitting_blocks,
        periods_per_year=panel.periods_per_year,
    )
    outcome = judge_experiment(registration, results, panel)
    verdict = judge(
        reference,
        list(results.values()),
        selection,
        table,
        left,
        specs.verdict,
        periods_per_year=panel.periods_per_year,
        not_available=list(missing.values()),
        look_ahead=[finding.message for finding in audit.findings],
        holdout=outcome.criteria.filter("decides"),
    )
    carries = None
    if "adv" not in panel.not_available:
        carries = capacity(prepared, reference.config, specs.suite, floor=specs.verdict.red.sharpe_below)
    return SuiteResult(
        signal=signal.name,
        snapshot_id=panel.snapshot_id,
        simulated=panel.simulated,
        preset=preset.name,
        results=results,
        reference=reference.variant,
        baselines={name: pair[1] for name, pair in known.items()},
        not_available=missing,
        correlations=table,
        partial=left,
        selection=selection,
        break_even_bps=break_even_bps(reference.book),
        capacity=carries,
        audit=audit,
        trials=made,
        verdict=verdict,
        outcome=outcome,
    )


@in_one_thread
def prepare_baselines(
    baselines: Sequence[SignalPanel], bench: Workbench, preset: PresetSpec
) -> dict[str, tuple[PreparedSignal, BacktestResult]]:
    """Rank and run every baseline at the reference's settings; one that forms no portfolio at all is left out."""
    config = preset.configs()[0].model_copy(update={"residualize": "off", "lag": 0})
    found = {}
    for signal in baselines if preset.baselines else ():
        prepared = bench.prepare(signal)
        if not prepared.targets(config).formed.any():
            continue
        result = run_variants(prepared, [config], bench, slices=("overall",), detail="brief")[config.variant]
        found[signal.name] = (prepared, result)
    return found
