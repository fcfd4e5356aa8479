"""Tables of operations: paper orders and what became of them, fills, weekly evidence, proposals, the dashboard.

Money is in the account's currency. ``law`` says what a price was made by: ``modelled`` is the engine's own cost model,
``venue`` a broker's, ``simulated...`` a simulated venue's. Only laws other than ``modelled`` teach about costs.
"""

from __future__ import annotations

import dataframely as dy

from quant_platform.contracts.schemas.equity import DIRECTIONS

MODELLED = "modelled"
SIDES = ("buy", "sell")
ACTIONS = ("enter", "leave")
SKIP_STAGES = ("decision", "open")
MOVES = ("up", "down", "stay")
PROPOSAL_KINDS = ("threshold", "costs", "no_trade_window", "sleeve")
EVIDENCE_KINDS = ("executed", "replayed")


def _number(text: str, *, min: float | None = None, max: float | None = None) -> dy.Float64:
    return dy.Float64(nullable=True, description=text, min=min, max=max)


def _stamp(text: str, *, nullable: bool = False) -> dy.Datetime:
    return dy.Datetime(time_unit="us", time_zone="UTC", nullable=nullable, description=text)


def _day() -> dy.Date:
    return dy.Date(primary_key=True, description="Exchange session, the partition key.")


def _week() -> dy.Date:
    return dy.Date(primary_key=True, description="Monday of the ISO week, the partition key; known at its last close.")


class OpsOrders(dy.Schema):
    """Paper orders sent after the close of a session for the next open; what is recorded stays as it was sent."""

    day = _day()
    order_id = dy.String(primary_key=True, description="Day, strategy, ticker and direction.")
    strategy = dy.String(description="setups, or the name of a signal.")
    ticker = dy.String(description="Upper-case ticker.")
    asset_class = dy.String(description="From the universe spec.")
    sleeve = dy.String(description="From the sleeves spec.")
    direction = dy.Enum(DIRECTIONS, description="long or short.")
    action = dy.Enum(ACTIONS, description="enter, or leave what is held.")
    quantity = dy.Float64(min=0.0, description="Units; of an order that leaves, 0: all of them.")
    reference = dy.Float64(min=0.0, description="Close of the day as traded, by which the order was sized.")
    stop = _number("Stop as a price of the day; null for an order that has none.")
    target = _number("Target as a price of the day.")
    confidence = _number("0 to 1.", min=0.0, max=1.0)
    expected_return = _number("Expected R times stop distance, a fraction, before the friction buffer.")
    weight_wanted = dy.Float64(min=0.0, description="Share of equity before the allocator.")
    weight = dy.Float64(min=0.0, description="Share of equity that was granted.")
    clipped_by = dy.List(dy.String(), description="Layers of the allocator that made it smaller.")
    spec_hash = dy.String(description="Hash of routing and sleeves under which it was sent.")
    terms = dy.String(
        nullable=True,
        description="What its position trades under until it is left, as JSON: costs, capital, leverage, currency, "
        "horizon; null for an order that leaves, which goes by the terms of the entry.",
    )


class OpsExecutions(dy.Schema):
    """Paper fills of a session, made by the engine; they say what the cost model assumes and teach nothing about it."""

    day = _day()
    execution_id = dy.String(primary_key=True, description="Order and number of the fill.")
    order_id = dy.String(description="The entry order whose position was traded.")
    strategy = dy.String(description="setups, or the name of a signal.")
    ticker = dy.String(description="Upper-case ticker.")
    asset_class = dy.String(description="From the universe spec.")
    sleeve = dy.String(description="From the sleeves spec.")
    side = dy.Enum(SIDES, description="buy or sell.")
    reason = dy.String(description="entry, stop, target, time, delisted, exit.")
    quantity = dy.Float64(min=0.0, description="Units.")
    entry = dy.Float64(min=0.0, description="Reference price of the entry order.")
    mid = dy.Float64(min=0.0, description="Price that the market showed.")
    fill = dy.Float64(min=0.0, description="Price that was paid.")
    commission = dy.Float64(description="In money.")
    spread = dy.Float64(description="In money.")
    impact = dy.Float64(description="In money.")
    currency = dy.String(description="ISO 4217.")
    executed_at = _stamp("Open of the session for what fills there, its close for what a bar holds inside.")
    source = dy.String(description="paper.")
    law = dy.String(description="modelled.")


class OpsSkips(dy.Schema):
    """What was not traded, and why."""

    day = _day()
    order_id = dy.String(primary_key=True, description="Day of the decision, strategy, ticker and direction.")
    code = dy.String(primary_key=True, description="Stable name of the reason.")
    stage = dy.Enum(SKIP_STAGES, description="decision: not sent; open: sent the day before and not filled.")
    strategy = dy.String(description="setups, or the name of a signal.")
    ticker = dy.String(description="Upper-case ticker.")
    asset_class = dy.String(description="From the universe spec.")
    direction = dy.Enum(DIRECTIONS, description="long or short.")
    reason = dy.String(description="The reason, with value and bound.")


class OpsTrades(dy.Schema):
    """Paper positions that were closed in a session, from flat to flat."""

    day = _day()
    order_id = dy.String(primary_key=True, description="The entry order.")
    strategy = dy.String(description="setups, or the name of a signal.")
    ticker = dy.String(description="Upper-case ticker.")
    asset_class = dy.String(description="From the universe spec.")
    sleeve = dy.String(description="Sleeve at the entry.")
    direction = dy.Enum(DIRECTIONS, description="long or short.")
    date_sig = dy.Date(description="Session of the decision.")
    date_entry = dy.Date(description="Session of the entry.")
    quantity = dy.Float64(min=0.0, description="Units.")
    entry_price = dy.Float64(min=0.0, description="Average price paid.")
    exit_price = dy.Float64(min=0.0, description="Average price got.")
    exit_reason = dy.String(description="stop, target, time, delisted, exit.")
    net_pnl = dy.Float64(description="In money, after every cost.")
    costs = dy.Float64(description="Commission, spread and impact, in money.")
    risk = _number("Money that the way to the stop would have lost; null without a stop.", min=0.0)
    r = _number("net_pnl over risk.")
    pnl_share = dy.Float64(description="net_pnl over the account's capital.")
    bars_held = dy.Int64(min=0, description="Sessions from entry to exit.")


class OpsMarks(dy.Schema):
    """Open paper positions as if they were liquidated at the close: evidence only, part of no profit and loss."""

    day = _day()
    order_id = dy.String(primary_key=True, description="The entry order.")
    strategy = dy.String(description="setups, or the name of a signal.")
    ticker = dy.String(description="Upper-case ticker.")
    sleeve = dy.String(description="Sleeve at the entry.")
    direction = dy.Enum(DIRECTIONS, description="long or short.")
    quantity = dy.Float64(min=0.0, description="Units.")
    entry_price = dy.Float64(min=0.0, description="Average price paid.")
    mark = dy.Float64(min=0.0, description="Last close.")
    exit_cost = dy.Float64(min=0.0, description="What the cost model would charge for leaving, in money.")
    marked_pnl = dy.Float64(description="In money, after costs so far and exit_cost.")
    marked_r = _number("marked_pnl over the risk of the entry.")
    synthetic = dy.Bool(description="Always true: nothing was sold.")


class OpsBook(dy.Schema):
    """The paper account at the close of a session."""

    day = _day()
    equity = dy.Float64(description="Marked at the close.")
    cash = dy.Float64(description="In money.")
    gross = dy.Float64(min=0.0, description="Value held over equity.")
    net = dy.Float64(description="Long less short over equity.")
    positions = dy.Int64(min=0, description="Names held.")
    drawdown = dy.Float64(description="Loss from the peak of equity, a fraction.")
    closed_pnl = dy.Float64(description="Of trades closed so far, in money.")
    halted = dy.Bool(description="Whether a kill switch stops orders after this close.")
    switches = dy.List(
        dy.String(), description="Switches that have tripped since the last reset, with value and bound."
    )


class OpsFills(dy.Schema):
    """Fills of a venue: imported from a broker's files, or those that a simulated venue gave to paper orders."""

    fill_id = dy.String(primary_key=True, description="The broker's own id.")
    ticker = dy.String(description="Upper-case ticker.")
    asset_class = dy.String(description="From the universe spec.")
    side = dy.Enum(SIDES, description="buy or sell.")
    quantity = dy.Float64(min=0.0, description="Units.")
    price = dy.Float64(min=0.0, description="Price that was paid.")
    mid = _number("Middle of the quote when the order arrived; null where the broker does not say.", min=0.0)
    fees = dy.Float64(description="In money; a rebate is negative.")
    currency = dy.String(description="In which price and fees are, for example USD, USDT.")
    executed_at = _stamp("When it was filled.")
    session = dy.Date(nullable=True, description="Day of the exchange that it belongs to; of perpetuals the UTC day.")
    order_id = dy.String(nullable=True, description="Paper order that it belongs to, where somebody says so.")
    volatility_daily = _number("Daily volatility over the sessions before; null where not known.", min=0.0)
    volume_daily = _number("Mean units traded a day over the sessions before; null where not known.", min=0.0)
    law = dy.String(description="venue, or simulated...; never modelled.")
    source = dy.String(description="File that it came from, or simulated.")


class OpsThresholdSweep(dy.Schema):
    """Routing thresholds of one name moved over a grid, over stored candidates; and how the choice itself did."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    min_confidence = dy.Float64(primary_key=True, description="Floor of the confidence, 0 to 1.")
    min_expected_return = dy.Float64(primary_key=True, description="Floor of the expected return, a fraction.")
    max_risk = dy.Float64(primary_key=True, description="Largest stop distance, a fraction; 1 where it is off.")
    asset_class = dy.String(description="From the universe spec.")
    seen_until = dy.Date(description="Last session whose outcomes were used.")
    n = dy.Int64(min=0, description="Closed trades within the lookback that the cell passes.")
    n_independent = dy.Int64(min=0, description="Of them those that do not overlap in time.")
    annual_pnl = _number("R a year times the risk per trade, a fraction of equity.")
    profit_factor = _number("Gains over losses; null without a loss.", min=0.0)
    win_rate = _number("Share of trades above zero.", min=0.0, max=1.0)
    mean_r = _number("Mean realised R after cost.")
    error_r = _number("Its standard error, of independent trades.")
    shrunk_r = _number("mean_r moderated by the other names' same cell.")
    own_weight = _number("Share of the own mean in shrunk_r.", min=0.0, max=1.0)
    neighbour_pnl = _number("Mean annual_pnl of the cells one step away.")
    admissible = dy.Bool(description="Whether profit factor, win rate and n suffice.")
    chosen = dy.Bool(description="The admissible cell with the highest annual_pnl.")
    rule_pnl = _number("annual_pnl of the rule out of sample: chosen on the past, held for a step, over and over.")
    rule_n = dy.Int64(min=0, description="Trades of those steps.")
    rule_steps = dy.Int64(min=0, description="Steps judged.")
    closed_overall = dy.Int64(min=0, description="Closed paper trades over all names.")


class OpsTrials(dy.Schema):
    """The ledger of the threshold sweep: every cell of every name ever evaluated, per state of its data."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    trial_id = dy.String(primary_key=True, description="Hash of specs, data and cell.")
    cell = dy.String(description="The floors of the cell.")
    seen_until = dy.Date(description="Last session whose outcomes were used.")
    n = dy.Int64(min=0, description="Closed trades.")
    mean_r = _number("Mean realised R.")
    spec_hash = dy.String(description="Hash of the specs under which it was evaluated.")


class OpsTransactionCosts(dy.Schema):
    """What trading has cost by group, from fills whose law is not the engine's; and the cost model fitted to them."""

    week = _week()
    group = dy.String(primary_key=True, description="Asset class or ticker.")
    measure = dy.String(primary_key=True, description="round_trip_p50 ..., half_spread, impact_coefficient, fee.")
    unit = dy.String(description="bps, or none for the coefficient.")
    n = dy.Int64(min=0, description="Round trips, or fills of the fit.")
    value = _number("The estimate; null where n does not suffice.")
    error = _number("Its standard error.")
    low = _number("Lower limit.")
    high = _number("Upper limit.")
    modelled = _number("What the routing spec assumes.")
    n_left_out = dy.Int64(min=0, description="Fills without what the measure needs: middle, volume or volatility.")
    laws = dy.List(dy.String(), description="Laws of the fills.")


class OpsSlippageWindows(dy.Schema):
    """Slippage by asset class and hour of the day; an hour without fills is empty, not zero."""

    week = _week()
    asset_class = dy.String(primary_key=True, description="Asset class.")
    hour = dy.Int32(primary_key=True, min=0, max=23, description="Hour of the day in that time zone.")
    timezone = dy.String(
        nullable=True,
        description="Time zone of the hour: that of the exchange for what is traded there, so that the hour of the "
        "opening is one hour all year; UTC for the rest, and where null.",
    )
    n = dy.Int64(min=0, description="Fills.")
    mean_bps = _number("Mean slippage against the middle, signed so that paying is positive.")
    low_bps = _number("Lower limit of the mean; sessions are the independent pieces.")
    high_bps = _number("Upper limit.")
    excess_bps = _number("mean_bps less the mean of the class's other hours.")
    excess_low_bps = _number("Lower limit of the excess.")
    proposed = dy.Bool(description="Whether the hour is bad enough to be left out.")


class OpsSleeveSummary(dy.Schema):
    """How every name did within the lookback: paper trades, and replayed candidates that routing would have passed."""

    week = _week()
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    evidence = dy.Enum(EVIDENCE_KINDS, primary_key=True, description="executed or replayed.")
    sleeve = dy.String(description="Its sleeve.")
    asset_class = dy.String(description="From the universe spec.")
    n = dy.Int64(min=0, description="Closed trades.")
    profit_factor = _number("Gains over losses; null without a loss.", min=0.0)
    win_rate = _number("Share of trades above zero.", min=0.0, max=1.0)
    win_rate_low = _number("Lower limit of the win rate, of independent trades.")
    win_rate_high = _number("Upper limit.")
    annual_pnl = _number("Fraction of equity a year.")
    mean_r = _number("Mean R after cost.")
    mean_r_low = _number("Lower limit, of independent trades.")
    mean_r_high = _number("Upper limit.")
    max_drawdown = _number("Largest fall of the summed PnL from its peak, a fraction of equity.", min=0.0)


class OpsSleevePromotions(dy.Schema):
    """Whether a name's trades speak for another sleeve, and for how many weeks they have said so."""

    week = _week()
    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    sleeve = dy.String(description="Where it stands.")
    says = dy.Enum(MOVES, description="What this week's evidence says.")
    streak = dy.Int64(min=0, description="Weeks in a row, this one included, that said the same move.")
    held_weeks = dy.Int64(
        nullable=True, min=0, description="Weeks since it was put there; null for the default sleeve."
    )
    proposed = dy.String(nullable=True, description="Sleeve that is proposed; null where none.")
    reason = dy.String(description="What decided, in words.")
    n = dy.Int64(min=0, description="Closed trades.")
    mean_r = _number("Mean R after cost.")
    mean_r_low = _number("Lower limit.")
    mean_r_high = _number("Upper limit.")


class OpsConfigProposals(dy.Schema):
    """Changes to specs that the evidence of a week speaks for; nothing but a person applies them."""

    week = _week()
    proposal_id = dy.String(primary_key=True, description="Hash of file, place, values and evidence.")
    kind = dy.Enum(PROPOSAL_KINDS, description="threshold, costs, no_trade_window or sleeve.")
    file = dy.String(description="Spec file below specs/.")
    path = dy.String(description="Place in it, keys joined by /.")
    old = dy.String(nullable=True, description="Value there as JSON; null where there is none.")
    new = dy.String(description="Value proposed, as JSON.")
    n = dy.Int64(min=0, description="Observations behind it.")
    estimate = _number("What was measured.")
    low = _number("Lower limit.")
    high = _number("Upper limit.")
    expected_effect = dy.String(description="What the change is expected to do, in words.")
    trials = dy.Int64(min=0, description="Trials in the ledger that the choice was made among.")
    spec_hash = dy.String(description="Hash of the spec file's content when it was proposed.")
    evidence_table = dy.String(description="Table of the evidence.")
    evidence_key = dy.String(description="Its partition, and the rows in it, as JSON.")
    evidence_hash = dy.String(description="Content hash of those rows.")


class OpsDashboard(dy.Schema):
    """The outputs of a session as JSON, in the layout that ``schema`` names."""

    day = _day()
    output = dy.String(primary_key=True, description="Name of the file below outputs/, without the suffix.")
    layout = dy.String(description="Name and version of the layout.")
    simulated = dy.Bool(description="True where the market is simulated.")
    alerts = dy.Int64(min=0, description="Alerts in it.")
    json = dy.String(description="The content.")
