"""The structures of the risk model, field by field those of ``contracts/types``.

All amounts, prices, sizes and rates are WAD integers unless the name says otherwise. Every
structure is a tuple in the order of the Solidity struct, so it can be encoded as it stands.

Source: specification, sections 3, 7, 8 and 13; Predictive margin.
"""

from enum import IntEnum
from typing import NamedTuple

WAD = 10**18
PPM = 10**6
E8 = 10**8
DAY = 86_400
YEAR = 365 * DAY


class MarginMode(IntEnum):
    """Generation of the margin requirement an account is held to."""

    PORTFOLIO = 0
    ISOLATED = 1
    PREDICTIVE = 2


class Health(IntEnum):
    """State of an account, from best to worst."""

    HEALTHY = 0
    MARGIN_CALL = 1
    LIQUIDATABLE = 2
    INSOLVENT = 3


class AccountStatus(IntEnum):
    """Health of an account together with whether it is for sale; the first four are `Health`."""

    HEALTHY = 0
    MARGIN_CALL = 1
    LIQUIDATABLE = 2
    INSOLVENT = 3
    IN_AUCTION = 4
    RECOVERING = 5


class LastStep(IntEnum):
    """Who pays when protocol capital and insurance do not do."""

    SOCIALISE = 0
    DELEVERAGE = 1


class Portfolio(NamedTuple):
    """One account as the risk model sees it, interest and funding up to date.

    Attributes
    ----------
    cash : int
        USD, signed.
    margin_mode : int
        A `MarginMode`.
    collateral : tuple of int
        Asset id in bits 248-255, balance of whole tokens (WAD) in bits 0-127; ascending.
    positions : tuple of int
        Position slots (specification, section 3), each instrument at most once.
    open_interest : tuple of int
        Underlying id in bits 248-255, open interest of both sides (units) in bits 0-127.
    """

    cash: int
    margin_mode: int
    collateral: tuple[int, ...]
    positions: tuple[int, ...]
    open_interest: tuple[int, ...]


class Assessment(NamedTuple):
    """What decides whether an account may act, USD; equities are signed."""

    equity: int
    initial_equity: int
    collateral_equity: int
    maintenance_margin: int
    initial_margin: int
    oldest_timestamp: int


class AuctionParameters(NamedTuple):
    """Rules of auctions and of the waterfall (specification, Liquidation, 10)."""

    opening_discount: int
    cusp_discount: int
    fast_seconds: int
    slow_seconds: int
    buffer: int
    dust_margin: int
    reward_rate: int
    reward_cap: int
    insolvency_bonus: int
    last_step: int
    max_socialised_share: int
    max_deleverage_share: int


class Window(NamedTuple):
    """Bound of forced volume in one market: units, 0 for none, and seconds to empty in."""

    capacity: int = 0
    period_seconds: int = 0


class AuctionPreview(NamedTuple):
    """What a bid would find; USD and fractions, `price` negative if the bidder is paid."""

    status: int
    assessment: Assessment
    elapsed_seconds: int
    discount: int
    price: int
    restoring_fraction: int
    largest_fraction: int


class UnderlyingBreakdown(NamedTuple):
    """Every intermediate of a requirement for one underlying (specification, sections 8 and 9)."""

    underlying: int
    netted: tuple[int, ...]
    worst_loss: int
    binding_scenario: int
    isolated_loss: int
    delta: int
    gross_delta: int
    basis_charge: int
    short_option_charge: int
    concentration_charge: int
    confidence_charge: int
    scan_range_charge: int
    open_interest_charge: int
    isolated_concentration_charge: int
    isolated_confidence_charge: int
    isolated_scan_range_charge: int
    isolated_open_interest_charge: int


class Exposure(NamedTuple):
    """What a book loses in one underlying on the nodes of predictive margin, USD; 11 nodes a class.

    Attributes
    ----------
    underlying : int
    deviation : int
        Standard deviation of the price over the horizon, fraction.
    delta : int
        Net dollar delta, signed.
    slack : int
        Bound on the error of everything below.
    scenario_loss : int
        Worst netted loss over all scenarios if a list in force does not cover the underlying, or 0.
    vol_errors : tuple of int
        Per vol interval, what options may lose between two classes beyond the interpolation; per
        unit of move.
    pnl : tuple of int
        Net profit and loss at every node; 44, 11 without options, none if no list covers it.
    slopes : tuple of int
        Slope in the move, at every node, of what is convex in it.
    """

    underlying: int
    deviation: int
    delta: int
    slack: int
    scenario_loss: int
    vol_errors: tuple[int, int, int]
    pnl: tuple[int, ...]
    slopes: tuple[int, ...]


class PredictiveParameters(NamedTuple):
    """Parameters of predictive margin (specification, Predictive margin, 9)."""

    tail_share: int = WAD // 40
    horizon_seconds: int = DAY
    floor_weight: int = 6 * WAD // 10
    parametric_weight: int = 8 * WAD // 10
    correlation_width: int = 3 * WAD // 10
    single_asset_floor: int = WAD // 2


class PredictiveTerms(NamedTuple):
    """What the risk model needs to make profiles, underlyings ascending.

    Attributes
    ----------
    uncovered : int
        Bit u is set if a list in force does not cover underlying u.
    deviations, initial_deviations : tuple of int
        0 where no list covers the underlying.
    """

    floor_weight: int
    parametric_weight: int
    uncovered: int
    deviations: tuple[int, ...]
    initial_deviations: tuple[int, ...]


class Publication(NamedTuple):
    """State of the published vectors; `start` and `end` of its ramp are active times, seconds.

    `cancelled_at` is the active time at which it was taken back, 0 if it was not.
    """

    stored: int = 0
    before: int = 0
    leaving: int = 0
    places_before: int = 0
    places: int = 0
    start: int = 0
    end: int = 0
    cancelled_at: int = 0


class PredictiveBreakdown(NamedTuple):
    """Predictive margin of an account with its parts; all 0 where it does not apply."""

    applies: bool = False
    shortfall: int = 0
    tail_risk: int = 0
    parametric: int = 0
    deviation_charge: int = 0
    open_interest_charge: int = 0
    maintenance_margin: int = 0
    initial_margin: int = 0


class Breakdown(NamedTuple):
    """A requirement with all its parts."""

    assessment: Assessment
    health: int
    collateral_value: int
    derivative_value: int
    scan_risk: int
    isolated_scan_risk: int
    depeg_charge: int
    net_maintenance_margin: int
    net_initial_margin: int
    isolated_maintenance_margin: int
    isolated_initial_margin: int
    group_risk: tuple[int, ...]
    predictive: PredictiveBreakdown
    underlyings: tuple[UnderlyingBreakdown, ...]


class GlobalParameters(NamedTuple):
    """Parameters of risk common to all underlyings (specification, section 13)."""

    maintenance_factor: int = 8 * WAD // 10
    initial_factor: int = WAD
    vol_exponent_short: int = 3 * WAD // 10
    vol_exponent_long: int = 13 * WAD // 100
    minimum_tau_seconds: int = DAY
    profit_weight: int = WAD
    profit_cap: int = 10**6 * WAD
    withdraw_max_age_seconds: int = 900
    open_max_age_seconds: int = 3_600
    margin_max_age_seconds: int = 3_600
    liquidation_max_age_seconds: int = DAY
    ramp_seconds: int = DAY
    max_positions: int = 64
    rise_rate: int = WAD // 4
    fall_rate: int = WAD // 200


class Scenario(NamedTuple):
    """Price move in scan ranges, volatility move in vol ranges, weight."""

    price_ppm: int
    vol_ppm: int
    weight_ppm: int


class UnderlyingParameters(NamedTuple):
    """Parameters of one underlying (specification, section 13)."""

    listed: bool
    reduce_only: bool
    group: int
    scan_range: int
    max_scan_range: int
    scan_multiplier: int
    vol_range: int
    vol_floor: int
    basis_rate: int
    short_option_rate: int
    concentration_rate: int
    depth: int
    oi_lower: int
    oi_upper: int
    max_oi_multiplier: int
    open_interest_cap: int
    funding_cap: int
    maker_fee: int
    taker_fee: int
    option_fee_cap: int
    lot_size: int


class CollateralParameters(NamedTuple):
    """Parameters of one collateral token; `underlying` 0 is cash-like."""

    token: str
    decimals: int
    underlying: int
    enabled: bool
    haircut: int
    depeg_rate: int
    cap_raw: int


class InterestParameters(NamedTuple):
    """Interest on cash, rates per year (specification, section 4)."""

    base: int
    slope1: int
    slope2: int
    kink: int
    reserve_factor: int


class Spot(NamedTuple):
    """One underlying: its parameters, its spot market in USD, and its scan ranges in force."""

    underlying: int
    parameters: UnderlyingParameters
    index: int
    confidence: int
    mark: int
    stable_index: int
    timestamp: int
    scan_range: int
    initial_scan_range: int


class Slice(NamedTuple):
    """One expiry of an underlying; `svi` is packed, `settlement_price` 0 until final."""

    underlying: int
    expiry: int
    forward: int
    discount: int
    svi: int
    timestamp: int
    settlement_price: int


class Collateral(NamedTuple):
    """One collateral asset: its parameters and its rates."""

    asset: int
    parameters: CollateralParameters
    rate: int
    stable_rate: int
    timestamp: int


class Prediction(NamedTuple):
    """All that predictive margin reads at one moment.

    Attributes
    ----------
    parameters : PredictiveParameters
        In force.
    basket : tuple of int
        Underlyings, by place.
    deviations : tuple of tuple of int
        By place, of a day, for maintenance and for initial margin; WAD.
    correlations : tuple of tuple of int
        By places, the whole matrix; WAD.
    publication : Publication
    words : tuple of int
        Vectors stored, old first.
    active : int
        Active time, seconds.
    """

    parameters: PredictiveParameters = PredictiveParameters()
    basket: tuple[int, ...] = ()
    deviations: tuple[tuple[int, int], ...] = ()
    correlations: tuple[tuple[int, ...], ...] = ()
    publication: Publication = Publication()
    words: tuple[int, ...] = ()
    active: int = 0

    def case(self) -> tuple:
        """As ``PredictionHarness.PredictionCase``; the clock starts long before."""
        p = self.publication
        first = (self.words[: p.before], 0, p.places_before)
        last = (self.words[p.before :], p.leaving, p.places)
        publications = [first] * (p.before > 0) + [last] * (p.stored > 0)
        return (
            self.parameters,
            self.basket,
            [deviation for deviation, _ in self.deviations],
            [initial for _, initial in self.deviations],
            self._covariances(),
            publications,
            p.end - p.start or DAY,
            YEAR + p.start,
            YEAR + self.active,
            YEAR + p.cancelled_at if p.cancelled_at else 0,
        )

    def _covariances(self) -> list[int]:
        """Covariances X40 of the 36 pairs of places that have these correlations."""
        unit, places = 2**60, range(8)
        pairs = [(i, j) for i in places for j in places[i:]]
        matrix = [[*row, *[0] * 8] for row in self.correlations] + [[0] * 8] * 8
        away = [(abs(matrix[i][j]) * unit + WAD - 1) // WAD for i, j in pairs]
        return [
            unit if i == j else c if matrix[i][j] > 0 else -c
            for (i, j), c in zip(pairs, away, strict=True)
        ]


class Market(NamedTuple):
    """Everything an assessment reads besides the portfolio.

    Attributes
    ----------
    scenarios : tuple of Scenario
        With the weights that a ramp, if there is one, leads to.
    former_weights : tuple of int
        Weight of each scenario at the start of the ramp, Ppm; empty if there is none.
    progress : int
        Share of the ramp that has passed.
    prediction : Prediction
        Without vectors if nothing was ever published.
    """

    now: int
    global_parameters: GlobalParameters
    decorrelations: tuple[int, ...]
    scenarios: tuple[Scenario, ...]
    spots: tuple[Spot, ...]
    slices: tuple[Slice, ...]
    collaterals: tuple[Collateral, ...]
    former_weights: tuple[int, ...] = ()
    progress: int = WAD
    prediction: Prediction = Prediction()

    def packed_scenarios(self) -> bytes:
        """Scenarios as the contracts store them: 16 bytes each, big-endian, two weights."""
        former = self.former_weights or tuple(s.weight_ppm for s in self.scenarios)
        return b"".join(
            field.to_bytes(4, "big", signed=signed)
            for (price, vol, weight), start in zip(self.scenarios, former, strict=True)
            for field, signed in ((price, True), (vol, True), (start, False), (weight, False))
        )

    def case(self) -> tuple:
        """As ``PortfolioHarness.MarketCase``; `now` is the time of the block."""
        return (
            self.global_parameters,
            self.decorrelations,
            self.packed_scenarios(),
            self.progress,
            self.spots,
            self.slices,
            self.collaterals,
        )
