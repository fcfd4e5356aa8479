"""The model of the perpetual sources in ``specs/sources``: simulated_perp, binance, perp_files."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from quant_platform.specification.loading import MONTH, SpecModel


class Plant(SpecModel):
    """Drift after a latent trigger: the sum over the window, in the direction the plant is for."""

    threshold: float = Field(gt=0.0, description="Size of the trigger, in its own unit, above which drift begins.")
    bars: int = Field(ge=1, description="Bars over which the drift is spread, beginning with the next bar.")
    total_bps: float = Field(ge=0.0, description="Sum of the drift over the window, bps of log return.")


class PerpWorld(SpecModel):
    """What is planted. A new trigger of the same kind restarts its window; windows of several kinds add."""

    liquidation_reversal: Plant = Field(
        description="After liquidations above this fraction of open interest in a bar, against the forced side."
    )
    jump_continuation: Plant = Field(description="After a shock above this many standard deviations, in its direction.")
    funding_fade: Plant = Field(
        description="From a settlement above this many bps per 8 hours, against the side that pays."
    )


class VolatilitySpec(SpecModel):
    """Regimes, log-volatility processes and clock of the simulated returns."""

    daily_by_regime: tuple[float, float, float] = Field(
        description="Daily volatility of the regimes calm, normal, stressed, as log return."
    )
    stay_days_by_regime: tuple[float, float, float] = Field(description="Mean stay in each regime, days.")
    common_half_life_hours: tuple[float, float] = Field(description="Half-lives of the two common processes, hours.")
    common_sd: tuple[float, float] = Field(description="Their stationary standard deviations, in log volatility.")
    symbol_half_life_hours: tuple[float, float] = Field(description="Half-lives of the two processes per symbol.")
    symbol_sd: tuple[float, float] = Field(description="Their stationary standard deviations, in log volatility.")
    clock_amplitude: tuple[float, float] = Field(description="Amplitude of the daily and the half-daily cosine.")
    weekend_log: float = Field(description="Added to log volatility on Saturdays and Sundays, UTC.")
    feedback_decay: float = Field(ge=0.0, lt=1.0, description="Decay per bar of the feedback of past shocks.")
    feedback_leverage: float = Field(description="Feedback per signed shock: negative where falls raise volatility.")
    feedback_size: float = Field(ge=0.0, description="Feedback per unit by which a shock exceeds its mean size.")
    max_log_ratio: float = Field(gt=0.0, description="Cap on log volatility above that of the normal regime.")
    shock_degrees: float = Field(gt=2.0, description="Degrees of freedom of the Student t shocks.")
    market_loading: tuple[float, float] = Field(description="Market loading of the first and the last symbol.")


class JumpSpec(SpecModel):
    """Self-exciting jumps, symmetric around zero."""

    base_per_day: float = Field(ge=0.0, description="Jumps per day and symbol without excitation.")
    excitation: float = Field(ge=0.0, description="Added to the chance of a jump per bar by each jump.")
    decay_bars: float = Field(gt=0.0, description="Bars in which that excitation falls to 1/e.")
    min_size: float = Field(ge=0.0, description="Smallest jump, in standard deviations of a bar.")
    mean_excess: float = Field(ge=0.0, description="Mean of the exponential part above it, in standard deviations.")


class CarrySpec(SpecModel):
    """Crowding, basis, funding."""

    crowding_persistence: float = Field(ge=0.0, lt=1.0, description="AR(1) coefficient of crowding, per bar.")
    crowding_per_shock: float = Field(ge=0.0, description="What a shock of one standard deviation adds to crowding.")
    crowding_noise: float = Field(ge=0.0, description="Standard deviation of what else moves crowding, per bar.")
    basis_mean_bps: float = Field(description="Basis where nobody is crowded, bps.")
    basis_crowd_bps: float = Field(ge=0.0, description="Largest contribution of crowding to the basis, bps.")
    basis_half_life_bars: float = Field(gt=0.0, description="Half-life of the basis around that, bars.")
    basis_noise_bps: float = Field(ge=0.0, description="Standard deviation of the basis' own noise, bps per bar.")
    basis_shock_bps: float = Field(ge=0.0, description="Basis per standard deviation of a shock beyond three.")
    interest_bps: float = Field(description="Interest part of funding, bps per 8 hours.")
    clamp_bps: float = Field(ge=0.0, description="Bound on interest less premium, bps per 8 hours.")
    cap_bps: float = Field(gt=0.0, description="Bound on the funding rate, bps per 8 hours.")
    interval_hours: Literal[1, 4, 8] = Field(description="Hours between settlements.")
    stamp_jitter_ms: int = Field(ge=0, description="Largest lateness of a settlement's stamp, milliseconds.")


class PositionSpec(SpecModel):
    """Open interest and liquidations."""

    open_interest_usd: float = Field(gt=0.0, description="Median open interest of the first symbol, USD.")
    reversion: float = Field(ge=0.0, lt=1.0, description="Pull of log open interest to its level, per bar.")
    crowd_growth: float = Field(ge=0.0, description="Growth per standard deviation of a move along the crowd.")
    noise: float = Field(ge=0.0, description="Standard deviation of log open interest's own noise, per bar.")
    liquidation_scale: float = Field(ge=0.0, description="Fraction of open interest per squared unit of adverse move.")
    liquidation_threshold: float = Field(ge=0.0, description="Adverse 3-bar move that harms nobody, in normal sigmas.")
    liquidation_cap: float = Field(gt=0.0, le=1.0, description="Largest fraction of open interest per bar and side.")
    cascade_decay: float = Field(ge=0.0, lt=1.0, description="Decay per bar of the cascade.")
    cascade_full: float = Field(gt=0.0, description="Liquidations over open interest that make a cascade of size one.")
    cascade_log_volatility: float = Field(ge=0.0, description="Log volatility per unit of cascade, one unit at most.")


class BookFlowSpec(SpecModel):
    """Spread, depth, volume and taker flow."""

    spread_bps: float = Field(gt=0.0, description="Median spread of the first symbol, bps of mid.")
    depth_usd: float = Field(gt=0.0, description="Median depth per side of the first symbol, USD.")
    vacuum_per_day: float = Field(ge=0.0, description="Random withdrawals of liquidity, per day and symbol.")
    shock_decay: float = Field(ge=0.0, lt=1.0, description="Decay per bar of a shock to liquidity.")
    daily_volume_usd: float = Field(gt=0.0, description="Median traded value of the first symbol, USD per day.")
    trade_usd: float = Field(gt=0.0, description="Mean value of a trade, USD.")
    taker_persistence: float = Field(ge=0.0, lt=1.0, description="AR(1) coefficient of the takers' buying share.")
    taker_noise: float = Field(ge=0.0, description="Standard deviation of what moves it, per bar.")
    taker_per_shock: float = Field(ge=0.0, description="Buying share per standard deviation of the bar's return.")
    taker_reversed_share: float = Field(ge=0.0, le=1.0, description="Share of bars in which that has the wrong sign.")


class SimulatedPerpSpec(SpecModel):
    """A simulated market of perpetuals and their spot pairs whose expected returns are known."""

    seed: int = Field(ge=0, description="Everything random comes from it.")
    symbols: int = Field(ge=1, le=50, description="Number of perpetuals; the first is the largest.")
    start: date = Field(description="First day, the first of a month.")
    months: int = Field(ge=1, le=60, description="Length of the market, in calendar months.")
    burn_in_days: int = Field(ge=1, description="Days simulated before the start and thrown away.")
    world: Literal["null", "planted", "planted_strong", "planted_paying"] = Field(
        description="Which of the worlds is in force."
    )
    planted: PerpWorld = Field(description="Drift of the size one might hope for.")
    planted_strong: PerpWorld = Field(description="Drift that a sound pipeline must find.")
    planted_paying: PerpWorld = Field(
        description="As planted_strong, with one plant so strong that what trades it pays its cost out of sample."
    )
    start_price: float = Field(gt=0.0, description="First price of the first symbol; the others have smaller ones.")
    volatility: VolatilitySpec = Field(description="Regimes and volatility.")
    jumps: JumpSpec = Field(description="Jumps.")
    carry: CarrySpec = Field(description="Basis and funding.")
    positions: PositionSpec = Field(description="Open interest and liquidations.")
    book_flow: BookFlowSpec = Field(description="Book and flow.")

    @model_validator(mode="after")
    def _starts_with_a_month(self) -> SimulatedPerpSpec:
        if self.start.day != 1:
            raise ValueError("start must be the first day of a month")
        return self

    @property
    def truth(self) -> PerpWorld | None:
        """The plants in force; None in the null world."""
        worlds = {
            "null": None,
            "planted": self.planted,
            "planted_strong": self.planted_strong,
            "planted_paying": self.planted_paying,
        }
        return worlds[self.world]


class SpotPair(SpecModel):
    """The spot pair of a perpetual that counts in other units, such as 1000SHIBUSDT and SHIBUSDT."""

    symbol: str = Field(description="The spot pair as its file names it.")
    units: float = Field(gt=0.0, description="Spot units in one unit of the perpetual: 1000 for 1000SHIBUSDT.")


class BinanceSpec(SpecModel):
    """The public archive of Binance: zips per symbol and month or day, each with a file that holds its SHA-256."""

    base_url: str = Field(description="Where the archive lives; the paths below it are the layout of the archive.")
    symbols: tuple[str, ...] = Field(min_length=1, description="USD-M perpetuals to read.")
    first_month: str = Field(pattern=MONTH, description="First month, YYYY-MM.")
    last_month: str | None = Field(
        default=None,
        pattern=MONTH,
        description="Last month, YYYY-MM; null for the running one, whose bars come in files of days.",
    )
    perp_interval: Literal["1m", "5m"] = Field(description="Bars of the perpetuals.")
    spot_interval: Literal["1m", "5m"] | None = Field(description="Bars of spot; null reads none.")
    spot_symbols: dict[str, SpotPair] = Field(
        default_factory=dict, description="Our symbol to the spot pair it is compared with, where that is another."
    )
    funding: bool | tuple[str, ...] = Field(
        description="Read funding rates: of all symbols, of none, or of those that are listed. A month the archive "
        "lacks is unknown, never zero, and counted."
    )
    metrics: bool = Field(description="Read open interest, from the daily files of metrics.")
    book: Literal["none", "book_ticker", "book_depth"] = Field(
        description="Read the book: bookTicker gives the spread and the best level, bookDepth the depth within a band."
    )
    book_depth_percent: float = Field(gt=0.0, description="Band of bookDepth around the mid, percent.")
    irregular_rows: Literal["refuse", "quarantine"] = Field(
        description="Rows out of order, repeated, of another month or interval: refuse the file, or let cleaning judge."
    )
    missing_checksum: Literal["refuse", "accept"] = Field(
        description="A zip without its .CHECKSUM file. What has one is always verified."
    )
    max_attempts: int = Field(ge=1, description="Requests per file before the archive counts as unreachable.")
    first_delay_seconds: float = Field(
        ge=0.0, description="Wait after the first failure; doubles with each. What Retry-After says goes before."
    )
    max_delay_seconds: float = Field(default=120.0, ge=0.0, description="Longest wait between two attempts.")
    timeout_seconds: float = Field(gt=0.0, description="Wait for an answer.")

    @model_validator(mode="after")
    def _names_of_its_own(self) -> BinanceSpec:
        named = [*self.spot_symbols, *(self.funding if isinstance(self.funding, tuple) else ())]
        strange = [name for name in named if name not in self.symbols]
        if strange:
            raise ValueError(f"not among symbols: {', '.join(strange)}")
        if self.last_month is not None and self.last_month < self.first_month:
            raise ValueError(f"last_month {self.last_month} lies before first_month {self.first_month}")
        return self

    def wants_funding(self, symbol: str) -> bool:
        """Whether funding rates of a symbol are read."""
        return self.funding if isinstance(self.funding, bool) else symbol in self.funding


class PerpFilesSpec(SpecModel):
    """Bars and funding in one file per symbol and kind, as freqtrade writes them (feather or Parquet)."""

    symbols: dict[str, str] = Field(min_length=1, description="Our symbol to the text that stands for * below.")
    perp: str = Field(description="Path of the perpetual's bars; * stands for the pair.")
    spot: str | None = Field(default=None, description="Path of the spot bars; null where there are none.")
    funding: str | None = Field(
        default=None,
        description="Path of the funding rates; null where there are none. A time frame in it (-8h-) stands for any: "
        "how often a venue settles is read from the stamps.",
    )
    spot_symbols: dict[str, SpotPair] = Field(
        default_factory=dict,
        description="Our symbol to the spot pair it is compared with, where that is another; its symbol is the text "
        "that stands for *.",
    )
    bar_seconds: Literal[60, 300] = Field(description="Length of a bar.")
    funding_rate_column: str = Field(default="open", description="Column of a funding file that holds the rate.")


class PerpSourceSpec(SpecModel):
    """Where raw perpetual and spot data comes from, and how it is read."""

    name: str = Field(description="Name of the source, as it stands in every raw row.")
    description: str = Field(description="One sentence.")
    kind: Literal["simulated_perp", "binance", "perp_files"] = Field(
        description="Which of the sections below says the rest."
    )
    simulated_perp: SimulatedPerpSpec | None = Field(
        default=None, description="The section of kind simulated_perp; null for others."
    )
    binance: BinanceSpec | None = Field(default=None, description="The section of kind binance; null for others.")
    perp_files: PerpFilesSpec | None = Field(
        default=None, description="The section of kind perp_files; null for others."
    )

    @model_validator(mode="after")
    def _section_of_the_kind(self) -> PerpSourceSpec:
        for section in ("simulated_perp", "binance", "perp_files"):
            present = getattr(self, section) is not None
            if present and section != self.kind:
                raise ValueError(f"kind {self.kind} does not use the section {section!r}")
            if not present and section == self.kind:
                raise ValueError(f"kind {self.kind} needs the section {section!r}")
        return self
