"""Decisions that a person hands over: one row per order, or one row per target weight."""

from __future__ import annotations

import dataframely as dy

ACTIONS = ("long_entry", "long_exit", "short_entry", "short_exit", "trade")


def _level(text: str) -> dy.Float64:
    return dy.Float64(nullable=True, min_exclusive=0.0, description=text)


class DecisionOrders(dy.Schema):
    """Orders: what to do with an asset, decided with the close of a session."""

    asset = dy.String(nullable=False, description="Name of the asset, as in the bars.")
    date = dy.Datetime(nullable=False, time_unit="ns", description="Bar whose close made the decision.")
    action = dy.String(
        nullable=False, description=f"One of {', '.join(ACTIONS)}; trade buys or sells a signed quantity."
    )
    quantity = dy.Float64(nullable=True, description="Units; null for the sizing rule, needed and signed for trade.")
    stop = _level("Stop as a fraction of the average entry price.")
    target = _level("Target as a fraction of the average entry price.")
    trail = _level("Trailing stop as a fraction of the best price since the entry.")
    stop_price = _level("Stop as a price.")
    target_price = _level("Target as a price.")
    time_bars = dy.Int64(nullable=True, min=1, description="Bars to hold, the entry bar the first.")


class DecisionWeights(dy.Schema):
    """Target weights: fractions of equity by asset at each rebalance; an asset without a row is to be left."""

    asset = dy.String(primary_key=True, description="Name of the asset, as in the bars.")
    date = dy.Datetime(primary_key=True, time_unit="ns", description="Bar whose close decided the rebalance.")
    weight = dy.Float64(nullable=False, description="Signed fraction of equity.")


SCHEMES = ("whole", "anchored", "rolling")
SIDES = ("long", "short")
STATUSES = ("blueprint", "refused", "composite")
"""Of what is run: a blueprint, a cell that discovery refused, or the promoted strategies together."""


def _number(text: str, *, min: float | None = None, max: float | None = None) -> dy.Float64:
    return dy.Float64(nullable=True, description=text, min=min, max=max)


def _money(text: str) -> dy.Float64:
    return dy.Float64(nullable=False, description=text)


def _time(text: str, *, nullable: bool = False) -> dy.Datetime:
    return dy.Datetime(time_unit="us", time_zone="UTC", nullable=nullable, description=text)


class _Strategy(dy.Schema):
    """What identifies a strategy, in every table of the event lab's backtests."""

    cutoff = dy.String(
        primary_key=True,
        regex=r"^\d{4}-(0[1-9]|1[0-2])$",
        description="Month whose end closes the data, YYYY-MM; partition key.",
    )
    strategy_id = dy.String(
        primary_key=True, description="Blueprint id; REFUSED-... for a refused cell; COMPOSITE for all promoted ones."
    )


class BacktestTrades(_Strategy):
    """Positions from flat to flat of every strategy: over the whole run, and out of sample by fold."""

    scheme = dy.Enum(SCHEMES, primary_key=True, description="whole run, or out of sample of a walk-forward scheme.")
    number = dy.Int64(primary_key=True, min=0, description="Order of the trades within the scheme.")
    status = dy.Enum(STATUSES, description="blueprint, refused or composite.")
    fold = dy.Int32(nullable=True, min=0, description="Fold of the walk-forward; null in the whole run.")
    segment = dy.String(description="train, validation or test of discovery at the entry; none between them.")
    symbol = dy.String(description="Instrument.")
    side = dy.Enum(SIDES, description="long or short.")
    entry_bar = _time("Bar at whose open it began.")
    exit_bar = _time("Bar of the exit; null while open at the end.", nullable=True)
    exit_reason = dy.String(description="What ended it; none while open.")
    quantity = _money("Units bought or sold to enter.")
    entry_price = _money("Average price paid.")
    exit_price = _number("Average price of the exit.")
    price_pnl = _money("What prices gave, at the prices the market showed.")
    commission = _money("Commission.")
    spread = _money("Half spreads paid.")
    impact = _money("Impact paid.")
    funding = _money("Funding paid; negative where received.")
    net_pnl = _money("price_pnl less all costs.")
    net_bps = _money("net_pnl over the value of the entry, bps.")
    mae = _money("Worst price while held against the average entry, signed fraction.")
    mfe = _money("Best price while held against the average entry, signed fraction.")
    bars_held = dy.Int64(nullable=True, min=0, description="Bars from entry to exit; null while open.")
    vol_regime = dy.String(nullable=True, description="State at the event.")
    funding_bucket = dy.String(nullable=True, description="State at the event.")
    trend_state = dy.String(nullable=True, description="State at the event.")


class BacktestFills(_Strategy):
    """Every fill of the whole run of a strategy."""

    number = dy.Int64(primary_key=True, min=0, description="In the order in which they happened.")
    bar = _time("Bar of the fill.")
    symbol = dy.String(description="Instrument.")
    reason = dy.String(description="entry, reversal, stop, target, time, ...")
    quantity = _money("Signed units.")
    price = _money("Price paid.")
    reference_price = _money("Price the market showed.")
    commission = _money("Commission.")
    spread = _money("Half spread paid, money.")
    impact = _money("Impact paid, money.")
    position = _money("Units held after it.")


class BacktestStrategyPnl(_Strategy):
    """The account of a strategy by UTC day."""

    day = dy.Date(primary_key=True, description="UTC day.")
    status = dy.Enum(STATUSES, description="blueprint, refused or composite.")
    segment = dy.String(description="train, validation or test of discovery; none between them.")
    equity = _money("Equity at the close of the day's last bar.")
    ret = _number("Return of the day; null once the account has nothing.")
    drawdown = dy.Float64(min=0.0, max=1.0, description="Deepest fall from the peak on the day, positive.")
    gross = _number("Gross exposure at the end of the day, multiple of equity.")
    entries = dy.Int64(min=0, description="Trades begun on the day.")


class BacktestWalkForward(_Strategy):
    """A strategy learnt on the days before each test window and traded in it."""

    scheme = dy.Enum(
        SCHEMES[1:], primary_key=True, description="anchored trains on everything before, rolling on less."
    )
    fold = dy.Int32(primary_key=True, min=0, description="Number of the test window.")
    train_start = _time("First bar of training.")
    train_end = _time("End of training: trades must have ended by then, which purges, an embargo before the test.")
    test_start = _time("First bar of the test window.")
    test_end = _time("End of the test window.")
    side = dy.Int8(min=-1, max=1, description="Side that training chose; 0 where it chose not to trade.")
    n_train = dy.Int64(min=0, description="Trades of that side in training.")
    train_net_bps = _number("Their mean result after costs.")
    n_test = dy.Int64(min=0, description="Trades out of sample.")
    test_net_bps = _number("Their mean result after costs.")
    test_pnl = _money("Their sum, money.")
    degradation_bps = _number("train_net_bps less test_net_bps.")


class BacktestRobustness(_Strategy):
    """What becomes of a strategy that is resampled, changed and run again, or looked at state by state."""

    kind = dy.String(primary_key=True, description="base, bootstrap, entry_later, threshold, cost, dropped or state.")
    variant = dy.String(primary_key=True, description="What was changed, and by how much.")
    n = dy.Int64(min=0, description="Trades; days for the bootstrap.")
    net_bps = _number("Mean result of a trade after costs.")
    total_return = _number("Over the run; the median of the bootstrap.")
    low = _number("Lower end of the bootstrap interval.")
    high = _number("Upper end.")
    max_drawdown = _number("Deepest fall from a peak, positive.", min=0.0)
    not_available = dy.String(nullable=True, description="Why there is no number.")


class BacktestAttribution(_Strategy):
    """Where the result of a strategy comes from; each dimension adds up to all of it."""

    dimension = dy.String(primary_key=True, description="symbol, side, event, hour, segment or cost_part.")
    value = dy.String(primary_key=True, description="Member of the dimension.")
    trades = dy.Int64(nullable=True, min=0, description="Trades; null for cost parts.")
    pnl = _money("Money.")


class BacktestAcceptance(_Strategy):
    """Whether the market a strategy enters in can carry it."""

    check = dy.String(primary_key=True, description="spread, depth, impact, participation or book.")
    n = dy.Int64(min=0, description="Entries.")
    n_unknown = dy.Int64(min=0, description="Entries at which it is not known.")
    median = _number("Median over the entries.")
    judged = _number("The quantile that is held against the bound.")
    bound = dy.Float64(description="The bound, of specs/backtest.yaml.")
    accepted = dy.Bool(description="Whether it holds; a missing book refuses.")
    reason = dy.String(description="In words.")


class BacktestPromotions(_Strategy):
    """Which strategies are promoted, with every reason against."""

    status = dy.Enum(STATUSES, description="blueprint, refused or composite.")
    was_run = dy.Bool(description="Whether it was traded at all.")
    n_trades = dy.Int64(nullable=True, min=0, description="Closed trades of the whole run.")
    n_days = dy.Int64(nullable=True, min=0, description="Days after training that the ratios are of.")
    sharpe = _number("Annual Sharpe ratio of those days, after costs.")
    sharpe_error = _number("Its standard error.")
    psr = _number("Probabilistic Sharpe ratio: chance that the true one is above zero.", min=0.0, max=1.0)
    dsr = _number("The same above the best of as many worthless trials.", min=0.0, max=1.0)
    n_trials = dy.Int64(nullable=True, min=0, description="Cells that discovery looked at out of sample.")
    largest_correlation = _number("Of daily results with one promoted before.", min=-1.0, max=1.0)
    regime_share = _number("Largest share of the gains from one volatility regime.", min=0.0)
    positive_folds = _number("Share of anchored folds that traded and earned.", min=0.0, max=1.0)
    max_drawdown = _number("Deepest fall over the whole run, positive.", min=0.0)
    total_return = _number("Return over the whole run.")
    promoted = dy.Bool(description="Whether nothing speaks against it.")
    reasons = dy.List(dy.String(), description="Every reason against, with its number.")


class BacktestAllocation(_Strategy):
    """Capital of every promoted strategy, and what the risk layers took from it."""

    share = dy.Float64(min=0.0, max=1.0, description="Share of the capital.")
    volatility = _number("Annual volatility of its daily results that the share is from.", min=0.0)
    rebalances = dy.Int64(min=0, description="Moments at which targets of anything changed.")
    clipped_strategy = dy.Int64(min=0, description="Targets that the limit of its own gross weight made smaller.")
    clipped_symbol = dy.Int64(min=0, description="Targets that the limit of a symbol made smaller.")
    clipped_portfolio = dy.Int64(min=0, description="Targets that the limit of everything made smaller.")
    clipped_new_exposure = dy.Int64(min=0, description="Targets that the limit of new exposure made smaller.")
    granted = _number("Gross weight granted over gross weight asked for.", min=0.0, max=1.0)


class BacktestDrift(dy.Schema):
    """Whether the distribution of a feature has moved since training."""

    cutoff = dy.String(
        primary_key=True,
        regex=r"^\d{4}-(0[1-9]|1[0-2])$",
        description="Month whose end closes the data, YYYY-MM; partition key.",
    )
    symbol = dy.String(primary_key=True, description="Instrument.")
    feature = dy.String(primary_key=True, description="Column of the price panel.")
    n_reference = dy.Int64(min=0, description="Values of training.")
    n_current = dy.Int64(min=0, description="Values after it.")
    psi = _number("Population stability index.", min=0.0)
    bound = _number("What sampling alone stays below.", min=0.0)
    alarm = dy.Bool(description="Above the bound and above the size that matters.")
    not_available = dy.String(nullable=True, description="Why there is no index.")


class BacktestReport(dy.Schema):
    """Index of the reports: headline, JSON, Markdown, page and manifest of a cutoff."""

    cutoff = dy.String(
        primary_key=True,
        regex=r"^\d{4}-(0[1-9]|1[0-2])$",
        description="Month whose end closes the data, YYYY-MM; partition key.",
    )
    simulated = dy.Bool(description="True where the market is simulated.")
    ontology_hash = dy.String(description="SHA-256 of all specs it was made under.")
    strategies = dy.Int64(min=0, description="Strategies that were run, refused cells included.")
    promoted = dy.Int64(min=0, description="Strategies that were promoted.")
    headline = dy.String(description="The result in one sentence.")
    json = dy.String(description="The report as JSON.")
    markdown = dy.String(description="The report as Markdown.")
    html_path = dy.String(description="The page, relative to the home folder.")
    manifest_path = dy.String(description="What it was made from and with, relative to the home folder.")
