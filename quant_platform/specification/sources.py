"""The model of ``specs/sources/*.yaml``: where raw data comes from and how its columns are called."""

from __future__ import annotations

from datetime import date
from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, model_validator

from quant_platform.specification.loading import SpecModel

PRICE_COLUMNS = ("open", "high", "low", "close", "volume")

Adjustment = Literal["none", "split", "split_dividend"]

# Dates written as one number: since 1970-01-01 in UTC, or, of a spreadsheet, days since 1899-12-30.
DATE_NUMBERS = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "epoch_days", "excel_days")


# What vendors write where they have no value; compared without blanks around and without regard to case.
MISSING_TEXTS = ("", "null", "nan", "n/a", "na", "#n/a", "none", "nil", "-", "--", ".")

Unmatched = Literal["refuse", "allow"]


class TickerRule(SpecModel):
    """How a vendor's ticker becomes ours: upper case, with these texts replaced."""

    replace: dict[str, str] = Field(default_factory=dict, description="Vendor's text to ours, for example - to a dot.")


class TextTable(SpecModel):
    """How a CSV file is written; of a Parquet file only the dates and the missing texts count."""

    separator: str = Field(
        default=",",
        min_length=1,
        max_length=1,
        description='Between the fields; a tab is written "\\t". Where decimal is a comma too, numbers are quoted.',
    )
    decimal: Literal[".", ","] = Field(default=".", description="Before the decimals of a number.")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field(
        default="", description="Between the thousands of a number; empty where there is nothing."
    )
    number_signs: str = Field(
        default="", description="Characters around a number that say nothing, for example a currency sign."
    )
    missing: tuple[str, ...] = Field(
        default=MISSING_TEXTS, description="Texts that say that there is no value; case does not count."
    )
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252"] = Field(
        default="utf-8", description="Of the text; a file that begins with a byte order mark says it itself."
    )
    header_line: int = Field(default=1, ge=1, description="Line that holds the names of the columns; above is skipped.")
    lines_after_header: int = Field(default=0, ge=0, description="Lines below it that are no data, for example units.")
    date_format: str = Field(
        default="%Y-%m-%d",
        min_length=2,
        description="strptime format of dates that are text or a number; or epoch_s, epoch_ms, epoch_us, epoch_ns, "
        "epoch_days, excel_days. The default also reads ISO 8601 with a time and an offset.",
    )
    time_zone: str | None = Field(
        default=None,
        description="IANA zone of stamps that have a time of day and no zone of their own; the exchange's if null.",
    )

    @model_validator(mode="after")
    def _readable(self) -> TextTable:
        if self.thousands and self.thousands == self.decimal:
            raise ValueError(f"thousands and decimal are both {self.decimal!r}")
        if self.separator == self.decimal and self.separator != ",":
            raise ValueError(f"separator and decimal are both {self.decimal!r}")
        if self.time_zone is not None and self.time_zone not in available_timezones():
            raise ValueError(f"time_zone {self.time_zone!r} is no IANA zone, for example Europe/Berlin")
        if "%" not in self.date_format and self.date_format not in DATE_NUMBERS:
            raise ValueError(f"date_format has no % and is none of {', '.join(DATE_NUMBERS)}")
        return self


class BarColumns(SpecModel):
    """Names of the columns of a bar in the vendor's file; one column may stand for several, as in a file of closes."""

    ticker: str | None = Field(default=None, description="Column of the ticker; null where the file is one ticker.")
    session: str = Field(description="Column of the date.")
    open: str = Field(description="Column of the opening price.")
    high: str = Field(description="Column of the highest price.")
    low: str = Field(description="Column of the lowest price.")
    close: str = Field(description="Column of the closing price.")
    volume: str = Field(description="Column of the shares traded; K, M or B behind a number are read.")


class ActionColumns(SpecModel):
    """Corporate actions that stand beside the bar of their ex-date."""

    split: str | None = Field(
        default=None, description="Column of new shares per old, also as 4:1 or 4/1; 0, 1 and no value are none."
    )
    cash_dividend: str | None = Field(
        default=None, description="Column of cash per unadjusted share; 0 and no value are none."
    )


class BarFiles(TextTable):
    """Bars in CSV (also .gz) or Parquet files."""

    path: str = Field(
        description="long_file: path of the file below the location. file_per_ticker: a pattern with one *, "
        "which stands for the ticker, for example raw_sample/*.us.txt."
    )
    columns: BarColumns = Field(description="The vendor's names of the columns.")
    action_columns: ActionColumns | None = Field(
        default=None, description="Corporate actions in columns of the bars; null where they are elsewhere, or none."
    )
    ignored_columns: tuple[str, ...] = Field(default=(), description="Columns of the vendor that are known and unused.")
    on_duplicate_key: Literal["refuse", "quarantine"] = Field(
        default="refuse",
        description="Two rows of a ticker and date: refuse the file, or deliver both and let cleaning decide.",
    )


class LeanFolders(SpecModel):
    """The folders of the open Lean layout: zipped daily bars, factor files, map files."""

    daily: str = Field(description="Folder of <ticker>.zip.")
    factor_files: str = Field(description="Folder of <ticker>.csv: date, price factor, split factor, reference price.")
    map_files: str = Field(description="Folder of <ticker>.csv: last date, ticker then in use.")
    price_scale: float = Field(gt=0.0, description="A delivered price times this is in the listing currency.")
    delisting_return: float = Field(ge=-1.0, description="Assumed return after the last bar; the layout has none.")


class ActionFile(TextTable):
    """Corporate actions in one CSV file."""

    path: str = Field(description="Path below the location.")
    location: str = Field(default="data", description="Name of the location the path lies in.")
    ticker: str = Field(description="Column of the ticker.")
    ex_date: str = Field(description="Column of the ex-date; of a delisting, its last session.")
    kind: str = Field(description="Column that says split, cash_dividend or delisting.")
    value: str = Field(
        description="Column of new shares per old (or 4:1), cash per unadjusted share, or return after a delisting."
    )
    ticker_rule: TickerRule | None = Field(
        default=None, description="How this file's tickers become ours where it writes them another way than the bars."
    )
    unmatched: Unmatched = Field(
        default="refuse", description="Actions of names without bars: refuse the file, or count them and go on."
    )


class MembershipFile(TextTable):
    """Membership intervals in one CSV file."""

    path: str = Field(description="Path below the location.")
    location: str = Field(default="data", description="Name of the location the path lies in.")
    ticker: str = Field(description="Column of the ticker.")
    start_date: str = Field(description="Column of the first day of membership.")
    end_date: str = Field(description="Column of its end; an empty field means that it lasts.")
    ticker_rule: TickerRule | None = Field(
        default=None, description="How this file's tickers become ours where it writes them another way than the bars."
    )
    unmatched: Unmatched = Field(
        default="allow", description="Members without a single bar: refuse the file, or count them and go on."
    )
    max_absent_days: int = Field(
        default=366, ge=0, description="Days of membership without bars, at either end, from which a name is warned of."
    )
    min_traded_share: float = Field(
        default=0.01,
        ge=0.0,
        description="Value traded over that of the median member, below which bars under a name may be another firm's.",
    )
    end_is_first_day_out: bool = Field(
        description="Whether the end date is the first day without membership (true) or the last day with it (false)."
    )


class SectorFile(TextTable):
    """Dated lists of sectors in one Parquet or CSV file."""

    path: str = Field(description="Path below the location.")
    location: str = Field(default="data", description="Name of the location the path lies in.")
    ticker: str = Field(description="Column of the ticker.")
    known_at: str = Field(description="Column of the publication time, ISO 8601 with offset.")
    sector: str = Field(description="Column of the sector.")
    replace: dict[str, str] = Field(
        default_factory=dict, description="Spellings of one sector: the vendor's text to the one that stands for it."
    )
    ticker_rule: TickerRule | None = Field(
        default=None, description="How this file's tickers become ours where it writes them another way than the bars."
    )


class Metric(SpecModel):
    """One quantity and the columns it stood in over time."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Our name.")
    unit: str = Field(description="Unit of the stored value.")
    columns: tuple[str, ...] = Field(min_length=1, description="The vendor's names; a row uses the one that is filled.")
    bare_scale: dict[str, float] = Field(
        default_factory=dict,
        description="Column to factor for numbers without K, M or B behind them; 1 where absent.",
    )


class FundamentalsFile(TextTable):
    """Dated snapshots of fundamentals in one Parquet or CSV file."""

    path: str = Field(description="Path below the location.")
    location: str = Field(default="data", description="Name of the location the path lies in.")
    ticker: str = Field(description="Column of the ticker.")
    known_at: str = Field(description="Column of the publication time, ISO 8601 with offset.")
    ticker_rule: TickerRule | None = Field(
        default=None, description="How this file's tickers become ours where it writes them another way than the bars."
    )
    unmatched: Unmatched = Field(
        default="allow", description="Values of names without bars: refuse the file, or count them and go on."
    )
    metrics: tuple[Metric, ...] = Field(min_length=1, description="The quantities that are taken over.")


class FilesSpec(SpecModel):
    """A folder of files."""

    layout: Literal["file_per_ticker", "long_file", "lean_zip"] = Field(
        description="One file per ticker, one file of all tickers, or the open Lean layout."
    )
    bars: BarFiles | None = Field(default=None, description="For file_per_ticker and long_file.")
    lean: LeanFolders | None = Field(default=None, description="For lean_zip.")
    actions: ActionFile | None = Field(
        default=None, description="Corporate actions; null where prices need none, or there are none."
    )
    membership: MembershipFile | None = Field(
        default=None, description="Membership intervals; null makes every ticker a member from its first bar."
    )
    fundamentals: FundamentalsFile | None = Field(default=None, description="Fundamentals; null where there are none.")
    sectors: SectorFile | None = Field(
        default=None,
        description="Dated lists of sectors; null where they are not known. Before the first list none is.",
    )
    ticker: TickerRule = Field(default_factory=TickerRule, description="How the vendor's tickers become ours.")
    max_future_days: int = Field(ge=0, description="Days after today a bar may carry before the file is refused.")

    @model_validator(mode="after")
    def _section_of_the_layout(self) -> FilesSpec:
        wanted, other = ("lean", "bars") if self.layout == "lean_zip" else ("bars", "lean")
        if getattr(self, wanted) is None:
            raise ValueError(f"layout {self.layout} needs the section {wanted!r}")
        if getattr(self, other) is not None:
            raise ValueError(f"layout {self.layout} does not use the section {other!r}")
        if self.bars is not None:
            if self.layout == "long_file" and self.bars.columns.ticker is None:
                raise ValueError("layout long_file needs bars.columns.ticker")
            if self.layout == "file_per_ticker" and self.bars.path.count("*") != 1:
                raise ValueError("layout file_per_ticker needs exactly one * in bars.path")
            if self.bars.action_columns is not None and self.actions is not None:
                raise ValueError("corporate actions are either in bars.action_columns or in the section 'actions'")
        return self


class PanelFile(TextTable):
    """One Parquet or CSV file with a row per name and session; a row was known at the close of its session."""

    path: str = Field(description="Path below the location.")
    location: str = Field(default="data", description="Name of the location the path lies in.")
    ticker: str = Field(description="Column of the name.")
    session: str = Field(description="Column of the date.")


class ReturnsFile(PanelFile):
    """Returns by name and session: a row says that the name had a price on it."""

    ret: str = Field(description="Column of the total return from the close before to this close.")
    ret_open_to_close: str | None = Field(
        default=None, description="Column of the return from the open to the close; null where it is not known."
    )
    ret_open_to_open: str | None = Field(
        default=None, description="Column of the return from the open before to this open; null where it is not known."
    )
    unit: Literal["fraction", "per_cent"] = Field(description="Of the returns: 0.01 or 1 for one per cent.")


class SlowFile(PanelFile):
    """A file whose rows hold until the next one of the name: descriptors by month, for example."""

    max_age_days: int = Field(
        default=0, ge=0, description="Calendar days for which a row holds where no later one came; 0 for daily rows."
    )


class DescriptorsFile(SlowFile):
    """What is known of a name beside its returns."""

    adv: str | None = Field(default=None, description="Column of the average traded value per session.")
    volatility: str | None = Field(
        default=None,
        description="Column of the volatility per session, a fraction; if null it is computed from the returns.",
    )
    market_cap: str | None = Field(default=None, description="Column of the market cap.")
    industry: str | None = Field(default=None, description="Column of the industry.")
    member: str | None = Field(
        default=None,
        description="Column that says whether the name belongs to the universe (1 or 0, true or false); if null every "
        "name with a return does.",
    )


StyleName = Literal["beta", "size", "value", "momentum", "volatility", "liquidity"]


class RiskFile(SlowFile):
    """Style exposures of a risk model, in any scale: they are standardised over the universe of each session."""

    columns: dict[StyleName, str] = Field(min_length=1, description="Column of each style.")


class DatesFile(TextTable):
    """The trading dates, one a row."""

    path: str = Field(description="Path below the location.")
    location: str = Field(default="data", description="Name of the location the path lies in.")
    session: str = Field(description="Column of the date.")


class PanelSpec(SpecModel):
    """Somebody's own files of returns, risk, descriptors and trading dates: a panel without price bars."""

    returns: ReturnsFile = Field(description="The file of returns.")
    descriptors: DescriptorsFile | None = Field(default=None, description="The file of descriptors; null without one.")
    risk: RiskFile | None = Field(
        default=None, description="The file of style exposures; if null those that returns and descriptors give."
    )
    dates: DatesFile | None = Field(
        default=None, description="The file of trading dates; if null the sessions of the exchange."
    )
    ticker: TickerRule = Field(default_factory=TickerRule, description="How the files' names become ours.")
    max_future_days: int = Field(default=0, ge=0, description="Days after today a row may carry before it is refused.")


VendorErrorKind = Literal[
    "duplicate_row",
    "decimal_shift",
    "decimal_shift_row",
    "missing_session",
    "non_positive",
    "ohlc_inconsistent",
    "stale_row",
]


class VendorErrors(SpecModel):
    """Errors planted into the delivered bars, so that quarantine has something to find."""

    kind: VendorErrorKind = Field(description="What is planted.")
    count: int = Field(ge=1, description="How many, each in another name.")


class WorldSpec(SpecModel):
    """What is true in a simulated world. In the null world nothing predicts anything."""

    market_premium_annual: float = Field(description="Expected simple return of the market per year.")
    beta_sd: float = Field(ge=0.0, description="Spread of market betas around 1.")
    style_loading_equal_norm: bool = Field(description="Whether all names carry the same amount of style risk.")
    idio_volatility_log_sd: float = Field(ge=0.0, description="Spread of log idiosyncratic volatility over names.")
    alpha_sd_annual: float = Field(ge=0.0, description="Stationary spread of the slow expected return, per year.")
    alpha_half_life_sessions: float = Field(gt=0.0, description="Half-life of that expected return.")
    low_volatility_premium_annual: float = Field(
        description="Expected return per year for one log standard deviation less idiosyncratic volatility."
    )
    reversal_share: float = Field(ge=0.0, lt=1.0, description="Part of an idiosyncratic shock that is transitory.")
    reversal_persistence: float = Field(ge=0.0, lt=1.0, description="What is left of a transitory error after a day.")
    failure_hazard_monthly: float = Field(ge=0.0, le=1.0, description="Chance of delisting per month after the fall.")
    failure_return: float = Field(ge=-1.0, description="Return after the last bar of a failure.")
    merger_hazard_monthly: float = Field(ge=0.0, le=1.0, description="Chance of a merger per month.")
    merger_return: float = Field(ge=-1.0, description="Return after the last bar of a merger.")


class SimulatedSpec(SpecModel):
    """A simulated equity market; every number of METHODS 6.3."""

    seed: int = Field(ge=0, description="Seed of the whole market; the same spec gives the same bits.")
    names: int = Field(ge=1, le=5000, description="Number of names.")
    years: int = Field(ge=1, le=50, description="Length of the market, in years.")
    start: date = Field(description="First day of the market.")
    world: Literal["planted", "null"] = Field(description="Which of the two worlds is in force.")
    planted: WorldSpec = Field(description="A world with premia.")
    null: WorldSpec = Field(description="A world in which nothing predicts anything and names are alike in law.")
    market_volatility_daily: float = Field(gt=0.0, description="Volatility of the market, log return per session.")
    market_log_volatility_persistence: float = Field(
        ge=0.0, lt=1.0, description="AR(1) coefficient of the market's log volatility, per session."
    )
    market_log_volatility_sd: float = Field(
        ge=0.0, description="Stationary standard deviation of the market's log volatility."
    )
    market_shock_degrees: float = Field(gt=2.0, description="Degrees of freedom of the market's Student t shocks.")
    style_volatility_daily: tuple[float, ...] = Field(
        min_length=1, description="Volatility of each style factor, return per session."
    )
    idio_volatility_daily: float = Field(gt=0.0, description="Median idiosyncratic volatility, return per session.")
    idio_shock_degrees: float = Field(gt=2.0, description="Degrees of freedom of the idiosyncratic Student t shocks.")
    max_daily_move: float = Field(gt=0.0, lt=1.0, description="Symmetric bound on the shock of a day.")
    late_listing_share: float = Field(
        ge=0.0, le=1.0, description="Chance that a name lists after the start, within the first 80 % of the sessions."
    )
    failure_drawdown: float = Field(
        gt=0.0, lt=1.0, description="Loss from the peak in total return from which a name may fail, as a fraction."
    )
    start_price: float = Field(gt=0.0, description="Median first price.")
    start_price_log_sd: float = Field(ge=0.0, description="Standard deviation of the log of the first price.")
    split_above: float = Field(gt=0.0, description="Price above which a name splits.")
    split_ratio: float = Field(gt=1.0, description="New shares per old of a split.")
    reverse_split_below: float = Field(gt=0.0, description="Price below which a name joins shares.")
    reverse_split_ratio: float = Field(gt=0.0, lt=1.0, description="New shares per old of a reverse split.")
    dividend_payer_share: float = Field(
        ge=0.0, le=1.0, description="Chance that a name pays dividends, every 63 sessions."
    )
    dividend_yield_annual: float = Field(ge=0.0, lt=1.0, description="Dividend of a payer over its price, per year.")
    overnight_share: float = Field(gt=0.0, lt=1.0, description="Share of a day's variance before the open.")
    dollar_volume: float = Field(gt=0.0, description="Median traded value, in the listing currency per session.")
    dollar_volume_log_sd: float = Field(ge=0.0, description="Spread of log traded value over names.")
    vendor_errors: tuple[VendorErrors, ...] = Field(default=(), description="Errors planted into the delivered bars.")
    industries: tuple[str, ...] = Field(
        default=(), description="Names of the industries; a name belongs to one by chance. Empty for none."
    )
    industry_volatility_daily: float = Field(
        default=0.0, ge=0.0, description="Volatility of each industry's return factor, return per session."
    )
    market_cap: float | None = Field(
        default=None, gt=0.0, description="Median market cap at the first session of a name; null for no share counts."
    )
    market_cap_log_sd: float = Field(default=0.0, ge=0.0, description="Spread of the log of that cap over names.")

    @property
    def truth(self) -> WorldSpec:
        """The world in force."""
        return self.planted if self.world == "planted" else self.null


class YahooSpec(SpecModel):
    """Yahoo through yfinance."""

    tickers: tuple[str, ...] = Field(description="Names to fetch, as Yahoo writes them.")
    history_start: date = Field(description="First session asked for where nothing is known yet.")
    max_attempts: int = Field(ge=1, description="Requests per ticker before the source counts as rate-limited.")
    first_delay_seconds: float = Field(ge=0.0, description="Wait after the first refusal; doubles with each.")
    max_delay_seconds: float = Field(ge=0.0, description="Longest wait between two requests.")


class SourceSpec(SpecModel):
    """Where raw data comes from, and how it is read."""

    name: str = Field(description="Name of the source, as it stands in every raw row.")
    description: str = Field(description="One sentence.")
    kind: Literal["simulated", "files", "yahoo", "panel"] = Field(
        description="Which of the sections below says the rest."
    )
    exchange: str = Field(description="ISO 10383 code of the calendar.")
    universe: str = Field(description="Name of the universe in raw.securities.")
    adjustment: Adjustment = Field(description="What the vendor has already adjusted prices for.")
    files: FilesSpec | None = Field(default=None, description="The section of kind files; null for others.")
    simulated: SimulatedSpec | None = Field(default=None, description="The section of kind simulated; null for others.")
    yahoo: YahooSpec | None = Field(default=None, description="The section of kind yahoo; null for others.")
    panel: PanelSpec | None = Field(default=None, description="The section of kind panel; null for others.")

    @model_validator(mode="after")
    def _section_of_the_kind(self) -> SourceSpec:
        for section in ("files", "simulated", "yahoo", "panel"):
            present = getattr(self, section) is not None
            if present and section != self.kind:
                raise ValueError(f"kind {self.kind} does not use the section {section!r}")
            if not present and section == self.kind:
                raise ValueError(f"kind {self.kind} needs the section {section!r}")
        return self
