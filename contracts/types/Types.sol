// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PredictiveBreakdown} from "./Predictive.sol";

/// @dev All amounts, prices, sizes and rates are WAD (1e18) unless the name says otherwise.

/// @notice Generation of the margin requirement an account is held to.
enum MarginMode {
    PORTFOLIO,
    ISOLATED,
    PREDICTIVE
}

/// @notice State of an account's health, from best to worst.
enum Health {
    HEALTHY,
    MARGIN_CALL,
    LIQUIDATABLE,
    INSOLVENT
}

/// @notice One account as the risk model sees it, interest and funding up to date.
/// @param cash Settled cash, USD, signed.
/// @param marginMode Generation of margin.
/// @param collateral One word per non-zero balance: asset id in bits 248-255, balance of whole
/// tokens (WAD, rounded down) in bits 0-127. Ascending by asset id.
/// @param positions Position slots (specification, section 3), each instrument at most once, any
/// order; the quote of a perpetual is net of funding.
/// @param openInterest Gross open interest (both sides, units) of the market, one word for each
/// underlying the account has positions in: underlying id in bits 248-255, open interest in bits
/// 0-127. An underlying without a word counts as zero.
struct Portfolio {
    int256 cash;
    MarginMode marginMode;
    uint256[] collateral;
    uint256[] positions;
    uint256[] openInterest;
}

/// @notice What decides whether an account may act.
/// @param equity E: cash, haircut collateral and mark-to-market, USD, rounded down.
/// @param initialEquity E_IM: collateral at the worse of spot and stable price, profit weighted.
/// @param collateralEquity C: `initialEquity` without derivatives.
/// @param maintenanceMargin MM under the account's margin mode, rounded up.
/// @param initialMargin IM under the account's margin mode, rounded up.
/// @param oldestTimestamp Time of the oldest price used; the current time if none was.
struct Assessment {
    int256 equity;
    int256 initialEquity;
    int256 collateralEquity;
    uint256 maintenanceMargin;
    uint256 initialMargin;
    uint256 oldestTimestamp;
}

/// @notice Every intermediate of a requirement for one underlying (specification, sections 8 and
/// 9).
/// @param underlying Underlying id.
/// @param netted Weighted profit and loss per scenario, USD, signed.
/// @param worstLoss W: worst netted loss, including the kernel's error bound.
/// @param bindingScenario Scenario of the worst netted loss (the first, if several).
/// @param isolatedLoss G: sum of every position's own worst loss.
/// @param delta Net dollar delta.
/// @param grossDelta Sum of absolute dollar deltas.
/// @param basisCharge Calendar charge of netted margin.
/// @param shortOptionCharge Short option minimum.
/// @param concentrationCharge Charge on the net delta.
/// @param confidenceCharge Charge on the net delta.
/// @param scanRangeCharge Charge to initial margin on W, for the range that is still to come.
/// @param openInterestCharge Charge to initial margin on W.
/// @param isolatedConcentrationCharge Charge on the gross delta.
/// @param isolatedConfidenceCharge Charge on the gross delta.
/// @param isolatedScanRangeCharge Charge to initial margin on G, for the range still to come.
/// @param isolatedOpenInterestCharge Charge to initial margin on G.
struct UnderlyingBreakdown {
    uint8 underlying;
    int256[] netted;
    uint256 worstLoss;
    uint256 bindingScenario;
    uint256 isolatedLoss;
    int256 delta;
    uint256 grossDelta;
    uint256 basisCharge;
    uint256 shortOptionCharge;
    uint256 concentrationCharge;
    uint256 confidenceCharge;
    uint256 scanRangeCharge;
    uint256 openInterestCharge;
    uint256 isolatedConcentrationCharge;
    uint256 isolatedConfidenceCharge;
    uint256 isolatedScanRangeCharge;
    uint256 isolatedOpenInterestCharge;
}

/// @notice A requirement with all its parts.
/// @param assessment The totals that decide.
/// @param health State of the account.
/// @param collateralValue Haircut value of the collateral at maintenance prices.
/// @param derivativeValue U: mark-to-market of all positions.
/// @param scanRisk R: netted scenario risk over all groups.
/// @param isolatedScanRisk Sum of G over all underlyings.
/// @param depegCharge Charge on cash-like collateral.
/// @param netMaintenanceMargin MM of generation 2 before the cap at generation 1.
/// @param netInitialMargin IM of generation 2 before the cap at generation 1.
/// @param isolatedMaintenanceMargin MM of generation 1.
/// @param isolatedInitialMargin IM of generation 1.
/// @param groupRisk R_g per risk group.
/// @param predictive Generation 3.
/// @param underlyings One entry per underlying the account is exposed to, ascending.
struct Breakdown {
    Assessment assessment;
    Health health;
    uint256 collateralValue;
    int256 derivativeValue;
    uint256 scanRisk;
    uint256 isolatedScanRisk;
    uint256 depegCharge;
    uint256 netMaintenanceMargin;
    uint256 netInitialMargin;
    uint256 isolatedMaintenanceMargin;
    uint256 isolatedInitialMargin;
    uint256[8] groupRisk;
    PredictiveBreakdown predictive;
    UnderlyingBreakdown[] underlyings;
}

/// @notice A signed order (EIP-712).
/// @param account Account that trades.
/// @param signer Owner or operator who signed.
/// @param instrument Packed instrument id.
/// @param size Units of the underlying; positive buys.
/// @param price Limit price, USD.
/// @param deadline Last second at which the order is valid.
/// @param nonce Must be at least the account's minimum nonce.
/// @param reduceOnly Whether the order may only bring the position towards zero.
struct Order {
    uint256 account;
    address signer;
    uint128 instrument;
    int128 size;
    uint128 price;
    uint64 deadline;
    uint64 nonce;
    bool reduceOnly;
}

/// @notice Parameters of risk common to all underlyings (specification, section 13).
/// @param maintenanceFactor Maintenance margin per scenario risk.
/// @param initialFactor Initial margin per scenario risk.
/// @param volExponentShort Exponent of volatility moves below 30 days.
/// @param volExponentLong Exponent of volatility moves from 30 days on.
/// @param minimumTauSeconds Least time to expiry in a volatility move.
/// @param profitWeight Share of unrealised profit that counts as initial equity.
/// @param profitCap Greatest unrealised profit that counts as initial equity.
/// @param withdrawMaxAgeSeconds Greatest age of prices to withdraw on.
/// @param openMaxAgeSeconds Greatest age of prices to increase risk on.
/// @param marginMaxAgeSeconds Greatest age of prices on which funding accrues and losses are paid.
/// @param liquidationMaxAgeSeconds Age of prices beyond which an auction's clock stops.
/// @param rampSeconds Active time over which changes of parameters come into force.
/// @param maxPositions Greatest number of positions of an account.
/// @param riseRate Rate at which scan ranges rise, log per hour.
/// @param fallRate Rate at which scan ranges fall, log per hour.
struct GlobalParameters {
    uint64 maintenanceFactor;
    uint64 initialFactor;
    uint64 volExponentShort;
    uint64 volExponentLong;
    uint32 minimumTauSeconds;
    uint64 profitWeight;
    uint96 profitCap;
    uint32 withdrawMaxAgeSeconds;
    uint32 openMaxAgeSeconds;
    uint32 marginMaxAgeSeconds;
    uint32 liquidationMaxAgeSeconds;
    uint32 rampSeconds;
    uint8 maxPositions;
    uint64 riseRate;
    uint64 fallRate;
}

/// @notice One scenario: price move in scan ranges, volatility move in vol ranges, weight.
struct Scenario {
    int32 pricePpm;
    int32 volPpm;
    uint32 weightPpm;
}

/// @notice Parameters of one underlying (specification, section 13).
/// @param listed Whether the underlying exists.
/// @param reduceOnly Whether trades may only reduce positions.
/// @param group Risk group, 0-7.
/// @param scanRange Least price move of one scan range, fraction.
/// @param maxScanRange Greatest price move of one scan range, fraction.
/// @param scanMultiplier Standard deviations of a day in one scan range; 0 if it does not move.
/// @param volRange Relative volatility move of one vol range at 30 days.
/// @param volFloor Least annual volatility in a shocked scenario.
/// @param basisRate Charge per unit of hedged dollar delta and 30 days of gap.
/// @param shortOptionRate Charge per short option unit, fraction of the index.
/// @param concentrationRate Rate of the square-root law.
/// @param depth Dollar delta from which concentration is charged.
/// @param oiLower Open interest (one side, units) from which initial margin scales.
/// @param oiUpper Open interest at which it is fully scaled.
/// @param maxOiMultiplier Extra initial margin at the upper open-interest bound, fraction.
/// @param openInterestCap Greatest open interest (one side, units).
/// @param fundingCap Greatest funding rate per eight hours.
/// @param makerFee Fee rate on notional.
/// @param takerFee Fee rate on notional.
/// @param optionFeeCap Greatest fee on an option as a fraction of its premium, which counts as
/// 0.05 % of the notional at least.
/// @param lotSize Sizes are multiples of this.
struct UnderlyingParameters {
    bool listed;
    bool reduceOnly;
    uint8 group;
    uint64 scanRange;
    uint64 maxScanRange;
    uint72 scanMultiplier;
    uint64 volRange;
    uint64 volFloor;
    uint64 basisRate;
    uint64 shortOptionRate;
    uint64 concentrationRate;
    uint96 depth;
    uint96 oiLower;
    uint96 oiUpper;
    uint64 maxOiMultiplier;
    uint96 openInterestCap;
    uint64 fundingCap;
    uint64 makerFee;
    uint64 takerFee;
    uint64 optionFeeCap;
    uint64 lotSize;
}

/// @notice Parameters of one collateral token.
/// @param token The token.
/// @param decimals Its decimals, 0-24.
/// @param underlying Underlying whose price it follows; 0 for a cash-like token.
/// @param enabled Whether deposits are accepted.
/// @param haircut Liquidity haircut, fraction.
/// @param depegRate De-peg charge on the haircut value, fraction; only for cash-like tokens.
/// @param capRaw Greatest total balance.
struct CollateralParameters {
    address token;
    uint8 decimals;
    uint8 underlying;
    bool enabled;
    uint64 haircut;
    uint64 depegRate;
    uint128 capRaw;
}

/// @notice Interest on cash (specification, section 4), rates per year.
struct InterestParameters {
    uint64 base;
    uint64 slope1;
    uint64 slope2;
    uint64 kink;
    uint64 reserveFactor;
}

/// @notice Cash of the whole ledger (specification, sections 2 and 4).
/// @param cashHeld Settlement tokens held for the ledger, USD.
/// @param totalDebt Debt of all accounts with interest, USD.
/// @param borrowIndex Growth of debt since the start.
/// @param supplyIndex Growth of cash since the start.
/// @param accruedAt Active time up to which interest has accrued, seconds.
/// @param interestPool Interest booked to debtors less that booked to owners of cash, USD.
/// @param fees Fees earned and not yet collected, USD.
struct CashState {
    uint128 cashHeld;
    uint128 totalDebt;
    uint88 borrowIndex;
    uint88 supplyIndex;
    uint40 accruedAt;
    int128 interestPool;
    uint128 fees;
}

/// @notice What all accounts share in one underlying (specification, sections 4 and 5).
/// @param fundingIndex Funding per unit of the perpetual since the start, USD.
/// @param fundingAt Active time up to which funding has accrued, seconds; 0 if never.
/// @param openInterest Sum of abs(size) over all accounts and instruments, units.
/// @param pnlPool Losses paid in and not yet paid out, USD.
struct MarketState {
    int112 fundingIndex;
    uint40 fundingAt;
    uint104 openInterest;
    uint128 pnlPool;
}

/// @notice Two orders that trade with each other.
/// @param makerAccount Account of the order that gave the price.
/// @param takerAccount Account of the other order.
/// @param instrument Packed instrument id.
/// @param takerSize Units the taker buys; negative if it sells.
/// @param price USD.
/// @param makerReduceOnly Whether the maker may only reduce its position.
/// @param takerReduceOnly Whether the taker may only reduce its position.
struct Fill {
    uint256 makerAccount;
    uint256 takerAccount;
    uint128 instrument;
    int256 takerSize;
    uint128 price;
    bool makerReduceOnly;
    bool takerReduceOnly;
}

/// @notice A price that N of M signers vouch for (EIP-712).
/// @param feed Name of what is priced.
/// @param price WAD, above zero.
/// @param confidence Half-width of the interval, below the price.
/// @param timestamp When it was seen, seconds.
struct PriceReport {
    bytes32 feed;
    uint96 price;
    uint96 confidence;
    uint40 timestamp;
}

/// @notice Slices of one underlying's volatility surface (EIP-712), ascending by expiry.
/// @param underlying Underlying.
/// @param expiries Expiries, seconds.
/// @param forwardRatios Forward over index of each.
/// @param discounts Discount factor of each, at most one.
/// @param svis Packed SVI slice of each (specification, Mathematics).
/// @param timestamp When they were seen, seconds.
struct SurfaceReport {
    uint8 underlying;
    uint32[] expiries;
    uint64[] forwardRatios;
    uint64[] discounts;
    uint256[] svis;
    uint40 timestamp;
}
