"""Tables of the research suite. Returns and costs are fractions of capital per session unless stated."""

from __future__ import annotations

import dataframely as dy

COLOURS = ("red", "yellow", "green")
REGISTRATIONS = (
    "registered, met on the locked holdout",
    "registered, not met",
    "registered, still locked",
    "not registered",
)


def _number(text: str, *, min: float | None = None) -> dy.Float64:
    return dy.Float64(nullable=True, allow_nan=True, description=text, min=min)


def _signal() -> dy.String:
    return dy.String(primary_key=True, description="Name of the signal, a partition key.")


def _snapshot() -> dy.String:
    return dy.String(primary_key=True, description="Snapshot that every number was computed on, a partition key.")


class SuiteReturns(dy.Schema):
    """Returns, liquidity and market cap of every name and session, delisted names and their last return included."""

    year = dy.String(primary_key=True, description="Calendar year of the session, the partition key.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    session = dy.Date(primary_key=True, description="Exchange session.")
    ret = _number("Simple total return from the last close before; on the session after a delisting, its return.")
    ret_open_to_close = _number("Simple return from this open to this close.")
    ret_open_to_open = _number("Simple total return from the last open before to this open.")
    funding_unknown_hours = _number(
        "Hours since the last close for which funding is not known: it is not in ret, and costs both sides; null where "
        "none is due.",
        min=0.0,
    )
    adv = _number("Mean traded value per session over the trailing window, in the listing currency.", min=0.0)
    volatility = _number("Standard deviation of daily returns over the trailing window.", min=0.0)
    market_cap = _number("Unadjusted close times shares outstanding as known on the day.", min=0.0)
    cap_bucket = dy.String(nullable=True, description="Cap bucket on the day; null where the cap is not known.")
    priced = dy.Bool(description="Whether the name has a price and could be traded.")
    member = dy.Bool(description="Whether it belonged to the universe.")
    paid_out = dy.Bool(description="True on the session after the last price of a delisted name.")


class SuiteExposures(dy.Schema):
    """Industry and style exposures, point in time; styles are standardised over the universe of the session."""

    year = dy.String(primary_key=True, description="Calendar year of the session, the partition key.")
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    session = dy.Date(primary_key=True, description="Exchange session whose close they have seen.")
    industry = dy.String(nullable=True, description="Industry on the day; null where it is not known.")
    beta = _number("Beta to the equal-weighted market, trailing.")
    size = _number("Log market cap.")
    value = _number("Book value over price, as published.")
    momentum = _number("Return of the trailing year without its last month.")
    volatility = _number("Log of trailing volatility.")
    liquidity = _number("Log of trailing traded value.")


class SuiteDates(dy.Schema):
    """Sessions of the panel with their opening and closing times."""

    session = dy.Date(primary_key=True, description="Exchange session.")
    exchange = dy.String(description="ISO 10383 code, or UTC.")
    opens_at = dy.Datetime(time_unit="us", time_zone="UTC", description="Opening time.")
    closes_at = dy.Datetime(time_unit="us", time_zone="UTC", description="Closing time; a half day closes early.")
    date_ret = dy.Date(
        nullable=True, description="First session whose close-to-close return a signal of this session can earn."
    )
    date_openret = dy.Date(
        nullable=True, description="First session at whose open a signal of this session can be traded."
    )


class SuiteSignals(dy.Schema):
    """Registered signals after validation, one row per security and date."""

    signal = _signal()
    security_id = dy.String(primary_key=True, description="Upper-case ticker.")
    date_sig = dy.Date(primary_key=True, description="Session whose bars the signal has seen.")
    date_avail = dy.Date(description="From when it may be acted on.")
    avail_hour = _number("Hours after midnight of date_avail in the exchange's time zone; null where not stated.")
    value = dy.Float64(description="The signal.")


class SuiteRejects(dy.Schema):
    """Rows of submitted signals that break the contract, each with the code of the first rule it broke."""

    signal = _signal()
    row = dy.Int64(primary_key=True, min=0, description="Position in the file, from 0.")
    code = dy.String(description="Stable code of the rule.")
    security_id = dy.String(nullable=True, description="As it was written.")
    date_sig = dy.String(nullable=True, description="As it was written.")
    date_avail = dy.String(nullable=True, description="As it was written.")
    value = dy.String(nullable=True, description="The signal as it was written.")
    detail = dy.String(nullable=True, description="What was wrong with it.")


class SuiteComposite(dy.Schema):
    """The models of a composite signal, one row per fold and member; other signals have no rows."""

    signal = _signal()
    fold = dy.Int64(primary_key=True, min=0, description="Which fold, in order of time.")
    member = dy.String(primary_key=True, description="Name of the member.")
    position = dy.Int64(min=0, description="Place among the members: each is what the earlier ones leave of it.")
    snapshot_id = dy.String(description="Snapshot that it was fitted on.")
    train_from = dy.Date(description="First session it was fitted on.")
    train_to = dy.Date(description="Last one; its return was known before the fold, the purge left out.")
    train_dates = dy.Int64(min=0, description="Sessions with enough names among these.")
    predict_from = dy.Date(description="First session on which its values can be traded.")
    predict_to = dy.Date(description="Last one.")
    penalty = dy.Float64(min=0.0, description="Of the ridge, chosen on inner folds.")
    weight = dy.Float64(description="Weight of the member's score; the composite's has unit variance.")
    slope = dy.Float64(description="Expected return over the horizon of one standard deviation of it, out of sample.")
    inner_correlation = _number("Mean correlation of scores and returns on the inner folds.")
    abstains = dy.Bool(description="Whether the fold has no values, since its slope is not above zero.")


class SuiteResults(dy.Schema):
    """Annual figures of every variant, overall and by slice."""

    signal = _signal()
    snapshot_id = _snapshot()
    variant = dy.String(primary_key=True, description="Short name of the variant.")
    slice_kind = dy.String(primary_key=True, description="overall, year, cap, industry or regime.")
    slice = dy.String(primary_key=True, description="Which slice; cap and industry slices are contributions.")
    sessions = dy.Int64(min=0, description="Sessions in the slice.")
    ann_return_gross = _number("Mean gross return per session times sessions per year.")
    ann_return_net = _number("The same after costs.")
    ann_volatility = _number("Standard deviation of net returns (divisor n - 1) times root of sessions per year.")
    sharpe_gross = _number("Mean over standard deviation of gross returns, annual, no risk-free rate.")
    sharpe_net = _number("The same of net returns.")
    sharpe_net_low = _number("Lower end of its interval (Mertens 2002).")
    sharpe_net_high = _number("Upper end.")
    max_drawdown_net = _number("Deepest loss of compounded net returns from their peak, the start included.")
    positive_days = _number("Share of sessions with a positive net return.")
    turnover = _number("Mean traded notional per session over capital, buys and sells of both legs.")
    ann_cost = _number("Mean cost per session times sessions per year.")
    share_of_gross = _number("Part of all gross profit that the slice earned.")


class SuiteDaily(dy.Schema):
    """Daily series of every variant, from the first trade on."""

    signal = _signal()
    snapshot_id = _snapshot()
    variant = dy.String(primary_key=True, description="Short name of the variant.")
    session = dy.Date(primary_key=True, description="Session that earned the return.")
    gross = dy.Float64(description="Return before costs.")
    net = dy.Float64(description="Return after costs.")
    linear_cost = dy.Float64(description="Fees and spread of the session's trades.")
    impact_cost = dy.Float64(description="Market impact of the session's trades at the variant's capital.")
    cumret = dy.Float64(description="Compounded net return since the start.")
    drawdown = dy.Float64(description="Loss from the peak of the compounded value, at most 0.")
    turnover = dy.Float64(min=0.0, description="Traded notional over capital, buys and sells of both legs.")
    long = dy.Float64(min=0.0, description="Exposure of the long leg after trading.")
    short = dy.Float64(min=0.0, description="Exposure of the short leg after trading, positive.")
    names_long = dy.Int64(min=0, description="Names held long.")
    names_short = dy.Int64(min=0, description="Names held short.")
    ic = _number("Rank IC of the signal traded on the session with the return after it.")
    regime = dy.String(description="Market volatility against its own past, known before the session.")


class SuiteFractiles(dy.Schema):
    """Mean returns by fractile of the signal."""

    signal = _signal()
    snapshot_id = _snapshot()
    variant = dy.String(primary_key=True, description="Short name of the variant.")
    fractile = dy.Int64(primary_key=True, min=1, description="1 is the lowest signal.")
    names = _number("Mean names per session.")
    mean_bps = _number("Mean return of the session after, in bps.")
    t_ewc = _number("EWC t of that mean.")
    p_ewc = _number("Its two-sided p.")
    ann_return = _number("Mean times sessions per year.")


class SuiteDiagnostics(dy.Schema):
    """Everything else in numbers: coverage, ICs by horizon and lag, tests, deflation, capacity."""

    signal = _signal()
    snapshot_id = _snapshot()
    variant = dy.String(primary_key=True, description="Short name of the variant; empty for the whole suite.")
    measure = dy.String(primary_key=True, description="What is measured.")
    at = dy.Float64(primary_key=True, description="Horizon, lag, bar or capital it is measured at; 0 where none.")
    value = _number("The number.")


class SuiteCorrelations(dy.Schema):
    """Signal and baselines: correlation of ranks and of net profits."""

    signal = _signal()
    snapshot_id = _snapshot()
    baseline = dy.String(primary_key=True, description="Name of the baseline.")
    signal_correlation = _number("Mean rank correlation over sessions.")
    pnl_correlation = _number("Correlation of net returns of the reference variant and the baseline.")
    baseline_sharpe_net = _number("Net Sharpe ratio of the baseline.")
    baseline_ic = _number("Mean rank IC of the baseline.")
    sessions = dy.Int64(min=0, description="Sessions both have.")


class SuiteTrials(dy.Schema):
    """The ledger: every variant ever evaluated; deflated Sharpe ratios count their trials here."""

    signal = _signal()
    snapshot_id = _snapshot()
    trial_id = dy.String(primary_key=True, description="Hash of signal, its content, snapshot and config.")
    variant = dy.String(description="Short name of the variant.")
    signal_hash = dy.String(description="Hash of the signal's rows.")
    config = dy.String(description="The variant as JSON.")
    sharpe_net = _number("Net Sharpe ratio per session, not annual.")
    sessions = dy.Int64(min=0, description="Sessions.")
    evaluated_at = dy.Datetime(time_unit="us", time_zone="UTC", description="When it was first evaluated.")


class SuiteVerdict(dy.Schema):
    """The traffic light, one row per rule, with the distance to the better side."""

    signal = _signal()
    snapshot_id = _snapshot()
    rule = dy.Int64(primary_key=True, min=0, description="Position of the rule; red rules come first.")
    verdict = dy.Enum(COLOURS, description="Colour of the signal; the same on every row.")
    reference = dy.String(description="Variant that is judged.")
    registration = dy.Enum(
        REGISTRATIONS,
        nullable=True,
        description="What stands beside the colour: whether the experiment was stated beforehand; null where the suite "
        "is older than that.",
    )
    code = dy.String(description="Stable name of the rule.")
    colour = dy.String(description="red, caution or green: what the rule is about.")
    text = dy.String(description="What was found, in words.")
    value = _number("What was measured.")
    threshold = _number("What the rule asks.")
    distance = _number("What is missing for the better side; 0 or less where nothing is.")
    met = dy.Bool(description="Whether the rule applies (red, caution) or is satisfied (green).")


class SuiteExperiments(dy.Schema):
    """A registered experiment held against its locked holdout, one row per variant and criterion.

    A signal without a registration has no rows; while the holdout is locked the values are null.
    """

    signal = _signal()
    snapshot_id = _snapshot()
    experiment = dy.String(description="Name of the experiment.")
    experiment_hash = dy.String(description="Hash of what was stated.")
    registered_at = dy.Datetime(time_unit="us", time_zone="UTC", description="When it was frozen.")
    registered_by = dy.String(description="Who registered it.")
    registrations = dy.Int64(min=1, description="Registrations of the signal up to this one, withdrawn ones included.")
    hypothesis = dy.String(description="What was believed and why.")
    expected_sign = dy.Int64(min=-1, max=1, description="Sign of the relation with later returns.")
    holdout_from = dy.Date(description="First locked session.")
    holdout_to = dy.Date(nullable=True, description="Last session that was looked at; null while it is locked.")
    opened_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True, description="When it was opened.")
    opened_by = dy.String(nullable=True, description="By whom.")
    state = dy.Enum(REGISTRATIONS, description="Whether the criteria were met.")
    variant = dy.String(primary_key=True, description="Variant that was named.")
    metric = dy.String(primary_key=True, description="What is measured on the locked sessions.")
    decides = dy.Bool(description="Whether it decides: the variant that was named first.")
    value = _number("Measured, in the direction of the expected sign.")
    above = dy.Float64(primary_key=True, description="What was asked for.")
    met = dy.Bool(nullable=True, description="Whether it is above that; null while the holdout is locked.")


class SuiteLooks(dy.Schema):
    """Every suite is a look at the sessions it has seen; a holdout counts the looks of anybody here."""

    signal = _signal()
    snapshot_id = _snapshot()
    look_id = dy.String(primary_key=True, description="Hash of signal, its content, snapshot, preset and experiment.")
    signal_hash = dy.String(description="Hash of the signal's rows.")
    preset = dy.String(description="Matrix of variants.")
    experiment = dy.String(description="Registered experiment it belongs to; empty without one.")
    experiment_hash = dy.String(description="Hash of what was stated; empty without one.")
    date_from = dy.Date(description="First session it has seen.")
    date_to = dy.Date(description="Last session it has seen; before the holdout while that is locked.")
    looked_at = dy.Datetime(time_unit="us", time_zone="UTC", description="When, the first time.")
    looked_by = dy.String(description="Who opened the holdout, or the author of the signal.")


class SuiteTracking(dy.Schema):
    """Every suite that was logged to MLflow, one row per run: what it was made from, and the hash of what it made."""

    signal = _signal()
    snapshot_id = _snapshot()
    run_id = dy.String(primary_key=True, description="Run of Dagster that made the suite.")
    mlflow_run_id = dy.String(description="Run of MLflow that shows it.")
    run_name = dy.String(description="Its name there: signal and time of the run.")
    preset = dy.String(description="Matrix of variants.")
    verdict = dy.Enum(COLOURS, description="Colour of the signal.")
    registration = dy.Enum(
        REGISTRATIONS, nullable=True, description="What stands beside the colour; null where the suite is older."
    )
    author = dy.String(description="Who registered the signal.")
    evaluated_at = dy.Datetime(time_unit="us", time_zone="UTC", description="When it was evaluated.")
    signal_hash = dy.String(description="Hash of the signal's rows.")
    code_version = dy.String(description="Version of the code that made it.")
    ontology_hash = dy.String(description="Hash of the specs that decided it.")
    platform = dy.String(description="Version of quant_platform.")
    git_sha = dy.String(description="Commit of the working tree it was logged from; empty outside one.")
    content_hashes = dy.String(description="Content hash of its rows by table, as JSON.")
