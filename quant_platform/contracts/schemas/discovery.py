"""Tables of the event lab's discovery. Effects are in bps per trade, in the direction of the row's template."""

from __future__ import annotations

import dataframely as dy

QUESTIONS = ("direction", "relative_value", "risk")
TRACKS = ("standard", "fallback_only", "none")
FINDINGS = ("discovery", "no_effect", "cannot_say", "not_tested")
VERDICTS = ("pass", "fail", "insufficient")


def _number(text: str, *, min: float | None = None, max: float | None = None) -> dy.Float64:
    return dy.Float64(nullable=True, description=text, min=min, max=max)


def _key(text: str) -> dy.String:
    return dy.String(primary_key=True, description=text)


class _Cell(dy.Schema):
    """What identifies a cell, in every table of discovery."""

    cutoff = _key("Month whose end closes the data, YYYY-MM; partition key.")
    event_id = _key("Event, as in specs/events.")
    template = _key("Template, as in specs/templates.yaml.")
    horizon_bars = dy.Int32(primary_key=True, min=1, description="Bars from entry to exit at the latest.")
    symbol = _key("Symbol, or ALL for all symbols together.")
    dimension = _key("State that splits the events, or ALL.")
    state = _key("Value of that state at the event, or ALL.")
    family = dy.String(description="Family of the event.")
    question = dy.Enum(QUESTIONS, description="Tests of one question share a false discovery rate.")
    test = dy.String(description="The test this template reads: label, subset, levels.")
    alias_group = dy.String(description="Rows with the same one are readings of ONE test of one cell.")
    counted = dy.Bool(description="True in one row of each alias group, the one that counts as a test.")
    side = dy.Int8(
        min=-1, max=1, description="With the impulse 1, against it -1; chosen on training data where 0 is declared."
    )
    ontology_hash = dy.String(description="SHA-256 of all specs the row was made under.")


class DiscoveryCandidates(_Cell):
    """What followed an event, per event, symbol, horizon, template and state, on the training window."""

    kind = dy.String(description="hypothesis, or filter for measures that only warn.")
    train_start = dy.Datetime(time_unit="us", time_zone="UTC", description="First bar of the training window.")
    train_end = dy.Datetime(
        time_unit="us", time_zone="UTC", description="End of the window; outcomes that end later are left out."
    )
    entry_lag_bars = dy.Int32(min=1, description="Bars from the event's bar to the bar at whose open one enters.")
    n = dy.Int64(min=0, description="Events with an outcome.")
    n_days = dy.Int64(min=0, description="UTC days with such an event.")
    cluster = dy.String(description="What errors are clustered by: day or week, over all symbols of the cell.")
    n_clusters = dy.Int64(min=0, description="Clusters with such an event.")
    tested = dy.Bool(description="Enough events and days to be tested; decided without looking at outcomes.")
    effect_bps = _number("Mean outcome before cost.")
    standard_error_bps = _number("Clustered standard error of the effect.", min=0.0)
    cost_bps = _number("Mean cost of entry and exit on all legs.", min=0.0)
    funding_bps = _number("Mean funding paid while held; negative where received.")
    net_bps = _number("effect_bps less cost and funding.")
    stressed_bps = _number("As net_bps with the cost times the stress multiple.")
    t = _number("effect_bps over its standard error.")
    p_cluster = _number(
        "p of t, or of the wild bootstrap with few clusters; one-sided, for gains, where a trade has one side.",
        min=0.0,
        max=1.0,
    )
    wild = dy.Bool(description="Whether p_cluster is of the wild bootstrap.")
    p_placebo = _number("p among circular day shifts, as p_cluster; null where none is made.", min=0.0, max=1.0)
    placebo_as_large = dy.Int64(nullable=True, min=0, description="Shifts whose t is as large.")
    placebo_shifts = dy.Int64(nullable=True, min=0, description="Shifts that have a t.")
    p_raw = _number(
        "p_cluster, or the larger of it and p_placebo where placebo_decides says so; of the tested label.",
        min=0.0,
        max=1.0,
    )
    raw_effect_bps = _number("Effect on the unhedged return.")
    raw_t = _number("Its clustered t.")
    raw_p = _number("Its clustered two-sided p.", min=0.0, max=1.0)
    hedged_effect_bps = _number("Effect with the universe's move taken out; null where there is no hedge.")
    hedged_standard_error_bps = _number("Its clustered standard error.", min=0.0)
    hedged_t = _number("Its clustered t.")
    hedged_p = _number("Its clustered two-sided p.", min=0.0, max=1.0)
    block_signs = dy.String(description="Sign of the effect in each time block: +, - or 0 without events.")
    blocks_agreeing = dy.Int32(min=0, description="Blocks with the sign of the whole.")
    heterogeneity_p = _number("Cochran's Q over the blocks.", min=0.0, max=1.0)
    leave_one_out_t = _number("Smallest |t| in the effect's direction with one block left out.")
    recent_t = _number("t of the last blocks together, in the effect's direction.")
    leave_one_symbol_out_t = _number(
        "Smallest t in the effect's direction with one symbol left out; null in cells of one symbol."
    )
    largest_block_share = _number("Largest share of the total from one block.")
    mde_bps = _number("Minimum detectable effect of this single test at the spec's level and power.", min=0.0)


class DiscoveryHypotheses(_Cell):
    """Candidates after shrinkage, false discovery control over all events, and the gates."""

    n = dy.Int64(min=0, description="As in discovery.candidates.")
    n_days = dy.Int64(min=0, description="As in discovery.candidates.")
    tested = dy.Bool(description="As in discovery.candidates.")
    effect_bps = _number("As in discovery.candidates.")
    standard_error_bps = _number("As in discovery.candidates.", min=0.0)
    cost_bps = _number("As in discovery.candidates.", min=0.0)
    funding_bps = _number("As in discovery.candidates.")
    t = _number("As in discovery.candidates.")
    prior_bps = _number("What all relatives say about the cell, its own data left out.")
    own_weight = _number("Weight of the cell's own data in the shrunk effect.", min=0.0, max=1.0)
    shrunk_bps = _number("Posterior mean of the effect.")
    posterior_sd_bps = _number("Posterior standard deviation.", min=0.0)
    shrunk_net_bps = _number("shrunk_bps less cost and funding.")
    shrunk_stressed_bps = _number("shrunk_bps less stressed cost and funding.")
    net_low_bps = _number(
        "Lower limit of effect_bps less cost and funding: of all intervals of selected cells, one in twenty may miss; "
        "null where none was selected."
    )
    p_raw = _number("As in discovery.candidates.", min=0.0, max=1.0)
    p_shrunk = _number("p of the posterior; no valid p of the cell by itself.", min=0.0, max=1.0)
    p_fdr = _number(
        "What decisions are made on: p_raw, or its larger with p_shrunk where the spec lets shrinkage veto.",
        min=0.0,
        max=1.0,
    )
    n_tests = dy.Int64(min=0, description="Tests of this question over all events, alias groups counted once.")
    fdr_group = dy.String(description="Event, test and horizon: the group of both q below.")
    q_group = _number("Benjamini-Hochberg inside the group alone. No control over the whole report.", max=1.0)
    q_level1 = _number("Adjusted Simes p of the group among all groups.", min=0.0, max=1.0)
    selected_level1 = dy.Bool(description="Whether the group was selected.")
    level_within = _number("Level inside selected groups: q R / G.", min=0.0, max=1.0)
    selected = dy.Bool(description="Whether the two-level procedure rejects the cell.")
    q_global = _number("Benjamini-Hochberg over all tests of the question.", min=0.0, max=1.0)
    mde_bps = _number("Minimum detectable effect at the level that n_tests leave to one test.", min=0.0)
    plausible_bps = _number("Largest plausible effect at this horizon.", min=0.0)
    gate_sample = dy.Bool(description="Tested at all; judged on n.")
    gate_economic = dy.Bool(description="shrunk_net_bps reaches its bar.")
    gate_economic_conservative = dy.Bool(description="shrunk_stressed_bps reaches its bar.")
    gate_pays = dy.Bool(description="net_low_bps reaches its bar.")
    gate_stability = dy.Bool(description="Enough blocks_agreeing.")
    blocks_agreeing = dy.Int32(min=0, description="As in discovery.candidates.")
    gate_heterogeneity = dy.Bool(description="heterogeneity_p reaches its bar.")
    heterogeneity_p = _number("As in discovery.candidates.", min=0.0, max=1.0)
    gate_leave_one_out = dy.Bool(description="leave_one_out_t reaches its bar.")
    leave_one_out_t = _number("As in discovery.candidates.")
    gate_recent = dy.Bool(description="recent_t reaches its bar.")
    recent_t = _number("As in discovery.candidates.")
    gate_symbols = dy.Bool(description="leave_one_symbol_out_t reaches its bar; true in cells of one symbol.")
    leave_one_symbol_out_t = _number("As in discovery.candidates.")
    gate_concentration = dy.Bool(description="largest_block_share is at most its bar.")
    largest_block_share = _number("As in discovery.candidates.")
    gate_state_information = dy.Bool(description="own_weight reaches its bar.")
    gate_discovery = dy.Bool(description="selected by the two-level procedure; judged on q_level2.")
    q_level2 = _number("Adjusted p inside the group, held against level_within.", max=1.0)
    gate_power = dy.Bool(description="mde_bps is at most plausible_bps; informs the finding, refuses nothing.")
    gates_failed = dy.List(dy.String(), description="Names of the refusing gates that failed.")
    track = dy.Enum(TRACKS, description="standard: every gate passed; fallback_only: the weaker bar, never promoted.")
    finding = dy.Enum(FINDINGS, description="What may be said about the cell, in one word.")


class DiscoveryBridge(_Cell):
    """Survivors on data that discovery has not seen, direction fixed."""

    track = dy.Enum(TRACKS, description="As in discovery.hypotheses.")
    window = dy.String(primary_key=True, description="validation or test.")
    window_start = dy.Datetime(time_unit="us", time_zone="UTC", description="First bar after the embargo.")
    window_end = dy.Datetime(time_unit="us", time_zone="UTC", description="End of the window.")
    n_trades = dy.Int64(min=0, description="Trades in the window.")
    n_days = dy.Int64(min=0, description="UTC days with a trade.")
    gross_bps = _number("Mean outcome before cost.")
    standard_error_bps = _number("Clustered standard error.", min=0.0)
    t = _number("net_bps over the standard error.")
    p_one_sided = _number("p that the expectancy after cost is not above zero.", min=0.0, max=1.0)
    p_adjusted = _number(
        "The same after Benjamini-Hochberg over the standard cells with enough trades; null outside that family.",
        min=0.0,
        max=1.0,
    )
    cost_bps = _number("Mean cost at 1.0x.", min=0.0)
    funding_bps = _number("Mean funding paid.")
    net_bps = _number("Expectancy after cost and funding at 1.0x.")
    stressed_bps = _number("Expectancy at stressed cost.")
    edge_over_cost = _number("gross_bps less funding, over cost_bps.")
    in_sample_bps = _number("effect_bps of training, for comparison only.")
    out_over_in = _number("gross_bps over in_sample_bps.")
    verdict = dy.Enum(VERDICTS, description="insufficient where there are too few trades to say.")
    reasons = dy.List(dy.String(), description="Every bar that was missed, with the number.")


class DiscoveryBlueprints(dy.Schema):
    """Strategy blueprints of what passed the bridge, one document each."""

    cutoff = _key("Month whose end closes the data, YYYY-MM; partition key.")
    blueprint_id = _key("Stable name: event, template, horizon, symbol, state and a hash of the rule.")
    event_id = dy.String(description="Event that is traded.")
    template = dy.String(description="Template that is traded.")
    symbols = dy.List(dy.String(), description="Symbols that may be traded.")
    side = dy.Int8(min=-1, max=1, description="Multiplies the event's direction.")
    horizon_bars = dy.Int32(min=1, description="Bars from entry to exit at the latest.")
    validation_net_bps = _number("Out-of-sample expectancy after cost.")
    ontology_hash = dy.String(description="SHA-256 of all specs it was made under.")
    snapshot_id = dy.String(nullable=True, description="Snapshot of the data; null where none was made.")
    document = dy.String(description="The blueprint as JSON, valid under docs/reference/blueprint.schema.json.")


class DiscoveryTrials(dy.Schema):
    """The ledger of every test ever evaluated; alias groups count once."""

    cutoff = _key("Month whose end closes the data, YYYY-MM; partition key.")
    trial_id = _key("Hash of specs, data window and cell: the same evaluation has the same id.")
    event_id = dy.String(description="Event.")
    alias_group = dy.String(description="The test of the cell.")
    question = dy.Enum(QUESTIONS, description="Question of the test.")
    horizon_bars = dy.Int32(min=1, description="Horizon.")
    train_start = dy.Datetime(time_unit="us", time_zone="UTC", description="First bar of the data it saw.")
    train_end = dy.Datetime(time_unit="us", time_zone="UTC", description="End of the data it saw.")
    tested = dy.Bool(description="Whether a p was asked for.")
    n = dy.Int64(min=0, description="Events.")
    t = _number("Clustered t.")
    p_raw = _number("p before any correction.", min=0.0, max=1.0)
    trade_sharpe = _number("Mean over standard deviation per trade, from t and n; for the deflated Sharpe ratio.")
    ontology_hash = dy.String(description="SHA-256 of all specs it was made under.")
