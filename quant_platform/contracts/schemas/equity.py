"""Tables of the equity signal lab. Prices are adjusted; R is the planned risk |entry_reference - stop|."""

from __future__ import annotations

import dataframely as dy

DIRECTIONS = ("long", "short")
OUTCOMES = ("target", "stop", "timeout", "delisted", "no_entry", "pending")
GROUPS = ("all", "qualified", "direction", "year")


def _number(text: str, *, min: float | None = None, max: float | None = None) -> dy.Float64:
    return dy.Float64(nullable=True, description=text, min=min, max=max)


class FeaturesEquity(dy.Schema):
    """Key columns of ``features.equity``; the feature columns come from ``specs/features/equity*.yaml``."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    session = dy.Date(primary_key=True, description="Exchange session whose close the features have seen.")


class ReplayCandidates(dy.Schema):
    """Setups rebuilt at the last session of each ISO week from bars up to that day, and what became of them."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    date_sig = dy.Date(
        primary_key=True, description="Last session of the ISO week; the setup has seen bars up to its close."
    )
    direction = dy.Enum(DIRECTIONS, primary_key=True, description="long or short.")
    date_avail = dy.Date(nullable=True, description="Next session, the earliest entry; null while it has not come.")
    entry_reference = dy.Float64(min=0.0, description="Close of date_sig, from which levels are measured.")
    stop = dy.Float64(min=0.0, description="Stop price.")
    target = dy.Float64(min=0.0, description="First target price.")
    target_2 = _number("Second target price, the next level; null without one.")
    atr = dy.Float64(min=0.0, description="Average true range (14) at date_sig, in price.")
    rr = dy.Float64(min=0.0, description="Reward over risk, (target - entry_reference) / R.")
    stop_distance_bps = dy.Float64(min=0.0, description="R over entry_reference, in basis points.")
    volatility_daily = dy.Float64(
        min=0.0, description="Daily log-return volatility used for the barrier probabilities."
    )
    target_probability = dy.Float64(
        min=0.0, max=1.0, description="Modelled chance that the target comes first within the horizon."
    )
    stop_probability = dy.Float64(
        min=0.0, max=1.0, description="Modelled chance that the stop comes first within the horizon."
    )
    timeout_probability = dy.Float64(
        min=0.0, max=1.0, description="Modelled chance that neither comes within the horizon."
    )
    expected_value_r = dy.Float64(description="Expected outcome in R before cost under the modelled probabilities.")
    confidence = dy.Float64(
        min=0.0, max=100.0, description="0 to 100, from touches, recency and volume of the two levels."
    )
    conflict = dy.Bool(description="True where the other direction has a valid setup of the same ticker and date.")
    outcome = dy.Enum(OUTCOMES, description="What came first; pending while it is not known.")
    date_entry = dy.Date(nullable=True, description="Session of the entry at its open.")
    entry_price = _number("Open of date_entry.")
    date_exit = dy.Date(nullable=True, description="Session of the exit.")
    exit_price = _number("Price of the exit.")
    gross_r = _number("Outcome in R before cost.")
    realised_r = _number("Outcome in R after cost_bps / stop_distance_bps.")
    bars_held = dy.Int32(nullable=True, min=0, description="Sessions from entry to exit, the entry session counted.")
    mae_r = _number("Maximum adverse excursion in R, zero or negative.")
    mfe_r = _number("Maximum favourable excursion in R, zero or positive.")
    resolved_at = dy.Date(
        nullable=True, description="Session at whose close the outcome was known; null while pending."
    )


class SignalsMomentumRank(dy.Schema):
    """12-1 momentum over the point-in-time universe at the last session of a week."""

    week = dy.Date(primary_key=True, description="Monday of the ISO week, the partition key.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    date_sig = dy.Date(description="Last session of the week; the momentum has seen bars up to its close.")
    date_avail = dy.Date(nullable=True, description="Next session; null while it has not come.")
    momentum_12_1 = dy.Float64(description="P[t-21] / P[t-252] - 1 from adjusted closes.")
    rank = dy.Float64(min=1.0, description="Average rank, 1 is the weakest.")
    percentile = dy.Float64(min=0.0, max=100.0, description="100 x (rank - 0.5) / universe_size.")
    universe_size = dy.Int32(min=1, description="Members with a momentum on that date.")


class ReplayQualified(dy.Schema):
    """The gate's verdict on every candidate of a week."""

    week = dy.Date(primary_key=True, description="Monday of the ISO week, the partition key.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    date_sig = dy.Date(primary_key=True, description="Last session of the week.")
    direction = dy.Enum(DIRECTIONS, primary_key=True, description="long or short.")
    momentum_percentile = _number(
        "Percentile in the direction of the trade (100 - p for shorts); null when not attached.",
        min=0.0,
        max=100.0,
    )
    rr = dy.Float64(description="As in replay.candidates.")
    target_probability = dy.Float64(description="As in replay.candidates.")
    expected_value_r = dy.Float64(description="As in replay.candidates.")
    confidence = dy.Float64(description="As in replay.candidates.")
    conflict = dy.Bool(description="As in replay.candidates.")
    qualified = dy.Bool(description="True where no rule refused.")
    refusals = dy.List(
        dy.String(),
        description="Every rule that refused, with the value and the floor; empty when qualified.",
    )
    outcome = dy.Enum(OUTCOMES, description="As in replay.candidates.")
    realised_r = _number("As in replay.candidates.")
    bars_held = dy.Int32(nullable=True, description="As in replay.candidates.")
    resolved_at = dy.Date(nullable=True, description="As in replay.candidates.")


class ReplayHitRate(dy.Schema):
    """How the resolved candidates did, using only outcomes known at the as-of week."""

    as_of_week = dy.Date(primary_key=True, description="Monday of the ISO week, the partition key.")
    group = dy.Enum(GROUPS, primary_key=True, description="all, qualified, direction or year.")
    value = dy.String(primary_key=True, description="Member of the group, for example all:long or qualified:2012.")
    n = dy.Int64(min=0, description="Resolved trades (target, stop, timeout, delisted).")
    n_weeks = dy.Int64(min=0, description="Weeks that hold one; with too few there is no interval.")
    n_no_entry = dy.Int64(min=0, description="Setups that were already beyond stop or target at the next open.")
    hit_rate = _number("Share of trades whose target came first.", min=0.0, max=1.0)
    hit_rate_low = _number("95 % lower bound, from weekly sums: trades overlap; null where there is none.")
    hit_rate_high = _number("95 % upper bound.")
    expectancy_r = _number("Mean realised R after cost.")
    expectancy_low = _number("95 % lower bound, from weekly sums: trades overlap; null where there is none.")
    expectancy_high = _number("95 % upper bound.")
    profit_factor = _number("Sum of gains over sum of losses; null without a loss.", min=0.0)
    mean_bars_held = _number("Mean sessions held.", min=0.0)


class ReplayCalibration(dy.Schema):
    """Reliability of the target probability, and a recalibration judged out of sample."""

    as_of_week = dy.Date(primary_key=True, description="Monday of the ISO week, the partition key.")
    model = dy.String(primary_key=True, description="stated or recalibrated.")
    bin = dy.Int32(primary_key=True, min=-1, description="Equal-count bin from 0; -1 is the summary row.")
    n = dy.Int64(min=0, description="Resolved trades in the bin.")
    mean_probability = _number("Mean modelled probability.")
    observed_rate = _number("Share whose target came first.")
    observed_low = _number("95 % lower bound, from weekly sums: trades overlap; null where there is none.")
    observed_high = _number("95 % upper bound.")
    brier = _number("Summary row: Brier score.")
    reliability = _number("Summary row: Murphy (1973) reliability.")
    resolution = _number("Summary row: resolution.")
    uncertainty = _number("Summary row: uncertainty.")
    expected_calibration_error = _number("Summary row: count-weighted mean |observed - modelled| over the bins.")
    spiegelhalter_z = _number("Summary row: Spiegelhalter z.")
    intercept = _number("Summary row of recalibrated: a in logit p = a + b logit p0, fitted on all resolved trades.")
    slope = _number("Summary row of recalibrated: b.")
    brier_change = _number(
        "Summary row of recalibrated: out-of-sample Brier minus that of the stated model on the same trades."
    )
    brier_change_low = _number("95 % lower bound, from weekly sums; null where there is none.")
    brier_change_high = _number("95 % upper bound.")


class ReplayActivationSweep(dy.Schema):
    """The gate applied again to stored candidates with one threshold moved."""

    sweep = dy.String(primary_key=True, description="Name of the sweep, the partition key.")
    parameter = dy.String(primary_key=True, description="The gate parameter that is moved.")
    threshold = dy.Float64(primary_key=True, description="Its value in this cell; -1 stands for off.")
    is_current = dy.Bool(description="True for the threshold in force.")
    n_cells = dy.Int64(min=1, description="Cells evaluated in this sweep.")
    n_trials = dy.Int64(min=1, description="Distinct gates evaluated in all sweeps together: the number of trials.")
    n_candidates = dy.Int64(min=0, description="Candidates judged.")
    n_qualified = dy.Int64(min=0, description="Candidates that passed.")
    n_resolved = dy.Int64(min=0, description="Of them, trades with a known outcome.")
    n_weeks = dy.Int64(min=0, description="Weeks that hold them.")
    hit_rate = _number("Share whose target came first.")
    expectancy_r = _number("Mean realised R after cost.")
    expectancy_low = _number("95 % lower bound, from weekly sums: trades overlap; null where there is none.")
    expectancy_high = _number("95 % upper bound.")
    t = _number("Expectancy over the same error.")
    p_value = _number(
        "Two-sided p of zero expectancy, of this t; below 5 % exactly where zero is outside the interval."
    )
    p_adjusted = _number("Holm over the distinct gates of all sweeps together.")


class ReplayTrials(dy.Schema):
    """The equity lab's ledger of every trial: factors at every horizon, and gates of every sweep."""

    trial_id = dy.String(primary_key=True, description="Hash of specs, data and cell: the same trial has the same id.")
    study = dy.Enum(("factor", "sweep"), description="factor: an IC; sweep: the expectancy of a gate.")
    cell = dy.String(description="Name of the factor, the parameter and its threshold, or the gate in force.")
    horizon_sessions = dy.Int32(nullable=True, min=1, description="Horizon of a factor's IC.")
    seen_until = dy.Date(description="Last session of the data it saw.")
    n = dy.Int64(nullable=True, min=0, description="Independent windows of an IC, trades of a gate.")
    n_weeks = dy.Int64(nullable=True, min=0, description="Weeks that hold them.")
    estimate = _number("Mean IC, or expectancy in R after cost.")
    t = _number("Its t; null where there is none.")
    p = _number("Its p before any correction.", min=0.0, max=1.0)
    spec_hash = dy.String(description="Ontology hash it was made under.")


class FactorsInformationCoefficient(dy.Schema):
    """Per rebalance rows (kind = rebalance) and summaries by horizon (kind = summary) of one factor."""

    factor = dy.String(primary_key=True, description="Name of the factor, the partition key.")
    kind = dy.Enum(("rebalance", "summary"), primary_key=True, description="rebalance or summary.")
    horizon_sessions = dy.Int32(primary_key=True, min=1, description="Forward return horizon in sessions.")
    date_sig = dy.Date(primary_key=True, description="Rebalance date; in a summary row the last one used.")
    n_names = _number("Names in the cross-section; in a summary row the mean.")
    n_delisted = _number("Names whose forward return ends at a delisting.")
    n_unknown_end = _number("Names whose bars end inside the window and of which nobody said what came after.")
    ic = _number("Spearman correlation with the forward return; in a summary row the mean.")
    ic_log = _number("Pearson correlation of the factor's rank with the forward log return; in a summary row the mean.")
    spread = _number("Top minus bottom quintile mean forward return (not halved).")
    log_spread = _number("Top minus bottom quintile mean forward log return.")
    n_weeks = dy.Int32(nullable=True, description="Summary: rebalances with an IC.")
    n_independent = dy.Int32(nullable=True, description="Summary: non-overlapping windows.")
    ic_sd = _number("Summary: standard deviation of the IC.")
    icir = _number("Summary: mean over standard deviation.")
    t_nonoverlapping = _number("Summary: the primary t, over non-overlapping windows, phases averaged.")
    p_nonoverlapping = _number(
        "Summary: combined p, the Cauchy combination of the p of all phases; not the p of the t beside it."
    )
    t_ewc = _number("Summary: equal-weighted cosine t, the second opinion.")
    p_ewc = _number("Summary: its two-sided p.")
    spread_low = _number("Summary: 95 % block-bootstrap lower bound of the spread.")
    spread_high = _number("Summary: 95 % block-bootstrap upper bound.")
    t_blocks = _number("Summary: t of the means of four long blocks, for dependence that may last for years.")
    p_blocks = _number("Summary: its two-sided p.")
    half_width = _number("Summary: two standard errors of the mean IC, by the error of t_ewc.")
    reliable = dy.Bool(nullable=True, description="Summary: enough independent windows to be read.")
    unreliable_because = dy.String(nullable=True, description="Summary: the reason when not reliable.")
    precise = dy.Bool(nullable=True, description="Summary: half_width is small enough.")
    imprecise_because = dy.String(nullable=True, description="Summary: the reason when not precise.")


class ReplayReport(dy.Schema):
    """Index of the weekly reports: where the JSON and the HTML page are, and their headline."""

    as_of_week = dy.Date(primary_key=True, description="Monday of the ISO week, the partition key.")
    date_sig = dy.Date(description="Last session the report has seen.")
    simulated = dy.Bool(description="True where the market is simulated.")
    spec_hash = dy.String(description="Ontology hash of every spec the report depends on.")
    trial_count = dy.Int64(min=0, description="Trials behind it: factors x horizons, and distinct gates of all sweeps.")
    headline = dy.String(description="The result in one sentence.")
    json = dy.String(description="The whole report as JSON.")
    html_path = dy.String(description="The page, relative to the home folder.")


class LiveScan(dy.Schema):
    """Setups of the day, by the same functions as the replay, with the momentum percentile and the gate."""

    day = dy.Date(primary_key=True, description="Exchange session, the partition key; also date_sig.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    direction = dy.Enum(DIRECTIONS, primary_key=True, description="long or short.")
    entry_reference = dy.Float64(description="Close of the day.")
    stop = dy.Float64(description="Stop price.")
    target = dy.Float64(description="First target price.")
    target_2 = _number("Second target price.")
    rr = dy.Float64(description="Reward over risk.")
    stop_distance_bps = dy.Float64(description="R over entry_reference, in basis points.")
    target_probability = dy.Float64(description="As in replay.candidates.")
    expected_value_r = dy.Float64(description="As in replay.candidates.")
    confidence = dy.Float64(description="As in replay.candidates.")
    conflict = dy.Bool(description="As in replay.candidates.")
    momentum_percentile = _number("As in replay.qualified.")
    qualified = dy.Bool(description="True where no rule refused.")
    refusals = dy.List(dy.String(), description="Every rule that refused.")


class LiveOutcomes(dy.Schema):
    """Qualified setups of earlier scans evaluated against the bars up to the day."""

    day = dy.Date(primary_key=True, description="Exchange session, the partition key: bars up to its close are used.")
    date_sig = dy.Date(primary_key=True, description="Day of the scan that found the setup.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    direction = dy.Enum(DIRECTIONS, primary_key=True, description="long or short.")
    outcome = dy.Enum(OUTCOMES, description="As in replay.candidates; pending while open.")
    date_entry = dy.Date(nullable=True, description="Session of the entry.")
    entry_price = _number("Open of date_entry.")
    date_exit = dy.Date(nullable=True, description="Session of the exit.")
    exit_price = _number("Price of the exit.")
    realised_r = _number("Outcome in R after cost; while open the mark to the last close.")
    bars_held = dy.Int32(nullable=True, description="Sessions held so far.")
    mae_r = _number("Maximum adverse excursion in R so far.")
    mfe_r = _number("Maximum favourable excursion in R so far.")


class LiveMarks(dy.Schema):
    """Open setups in the session that is running: the last price and R so far, of no use for statistics.

    Every intraday run writes the session's partition anew.
    """

    day = dy.Date(primary_key=True, description="Exchange session of the run, the partition key.")
    date_sig = dy.Date(primary_key=True, description="Day of the scan that found the setup.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    direction = dy.Enum(DIRECTIONS, primary_key=True, description="long or short.")
    outcome = dy.Enum(OUTCOMES, description="As in replay.candidates, so far; pending while open.")
    entry_price = _number("Open of the session after date_sig; null before it, and where it was not traded.")
    last_price = _number("Newest price, that of the running bar where there is one.")
    live_rr = _number("R so far after cost, of an open setup at last_price, of one that has ended its result.")
    as_of = dy.Datetime(time_zone="UTC", time_unit="us", description="When last_price was asked for, or its close.")
