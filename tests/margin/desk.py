"""Markets and books for the tests of margin, and a desk that margins them on chain."""

from math import erf, exp, log, sqrt

from eth_abi import decode
from eth_utils import keccak

from reference_model.types import (
    DAY,
    E8,
    PPM,
    WAD,
    YEAR,
    Assessment,
    Breakdown,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    MarginMode,
    Market,
    Portfolio,
    PredictiveBreakdown,
    Scenario,
    Slice,
    Spot,
    UnderlyingBreakdown,
    UnderlyingParameters,
)

BTC, ETH = 1, 2
WETH, USDX = 1, 2
TOKEN = "0x" + "11" * 20
BTC_PRICE, ETH_PRICE = 60_000, 3_000
VOLATILITY = 0.6
SCAN_RANGE = 0.15

ASSESSMENT = "(int256,int256,int256,uint256,uint256,uint256)"
UNDERLYING = (
    "(uint8,int256[],uint256,uint256,uint256,int256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256,uint256,uint256,uint256,uint256)"
)
PREDICTIVE = "(bool,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
BREAKDOWN = (
    f"({ASSESSMENT},uint8,uint256,int256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
    f"uint256[8],{PREDICTIVE},{UNDERLYING}[])"
)


def wad(value):
    """Return a decimal number as the nearest multiple of 1e-18."""
    return round(value * 10**6) * 10**12


def span(volatilities=(PPM, -PPM), tails=True):
    """Return the standard grid: seven prices by each volatility, and weighted tails."""
    prices = [0] + [sign * third * PPM // 3 for third in (1, 2, 3) for sign in (1, -1)]
    grid = [Scenario(x, y, PPM) for y in volatilities for x in prices]
    extremes = [(2, PPM // 2), (4, PPM // 4)] if tails else []
    last = volatilities[-1]
    return tuple(
        grid + [Scenario(sign * x * PPM, last, w) for x, w in extremes for sign in (1, -1)]
    )


def fine_span():
    """Return 33 scenarios in two vol classes."""
    prices = [i * PPM // 7 for i in range(-7, 8)]
    grid = [Scenario(x, y, PPM) for y in (-PPM, PPM) for x in prices]
    tails = [(2 * PPM, PPM // 2), (-2 * PPM, PPM // 2), (4 * PPM, PPM // 4)]
    return tuple(grid + [Scenario(x, PPM, w) for x, w in tails])


def global_parameters(**changes):
    """Return the defaults of the specification, section 13, but a cap that no profit reaches."""
    return GlobalParameters(profit_cap=10**7 * WAD)._replace(**changes)


def underlying_parameters(**changes):
    """Return an underlying without any charge, so that a test can add the one it is about."""
    return UnderlyingParameters(
        listed=True,
        reduce_only=False,
        group=0,
        scan_range=wad(SCAN_RANGE),
        max_scan_range=wad(0.6),
        scan_multiplier=5 * WAD,
        vol_range=wad(0.4),
        vol_floor=wad(0.1),
        basis_rate=0,
        short_option_rate=0,
        concentration_rate=0,
        max_oi_multiplier=0,
        funding_cap=0,
        maker_fee=0,
        taker_fee=0,
        option_fee_cap=0,
        lot_size=WAD,
        depth=WAD,
        oi_lower=0,
        oi_upper=WAD,
        open_interest_cap=2**95,
    )._replace(**changes)


def spot(underlying, price, now, initial_scan_range=None, **parameters):
    """Return an underlying at one price, without uncertainty; its scan range is at rest."""
    value, p = wad(price), underlying_parameters(**parameters)
    initial = p.scan_range if initial_scan_range is None else initial_scan_range
    return Spot(underlying, p, value, 0, value, value, now, p.scan_range, initial)


def slice_(underlying, expiry, price, now, volatility=VOLATILITY, **changes):
    """Return a flat slice whose forward is the price."""
    variance = volatility**2 * max(expiry - now, 1) / YEAR
    flat = Slice(underlying, expiry, wad(price), WAD, flat_svi(variance), now, 0)
    return flat._replace(**changes)


def token(asset, underlying, now, rate=1, haircut=0, **changes):
    """Return a collateral token."""
    parameters = CollateralParameters(TOKEN, 18, underlying, True, wad(haircut), 0, 2**127)
    return Collateral(asset, parameters, wad(rate), wad(rate), now)._replace(**changes)


def market(now, spots=None, slices=None, collaterals=None, scenarios=None, **changes):
    """Return BTC and ETH in one group, two expiries each, WETH and a cash-like token."""
    both = ((BTC, BTC_PRICE), (ETH, ETH_PRICE))
    return Market(
        now,
        global_parameters(),
        (wad(0.3),) * 8,
        span() if scenarios is None else scenarios,
        tuple(spot(u, p, now) for u, p in both) if spots is None else tuple(spots),
        tuple(slice_(u, now + days * DAY, p, now) for u, p in both for days in (30, 90))
        if slices is None
        else tuple(slices),
        (token(WETH, ETH, now), token(USDX, 0, now)) if collaterals is None else tuple(collaterals),
    )._replace(**changes)


def flat_svi(variance):
    """Pack a slice of constant total variance: only `a`, in multiples of 2^-56."""
    return round(variance * 2**56)


def linear(underlying, size, quote=0, expiry=0):
    """Return the slot of a perpetual or future."""
    head = underlying << 248 | expiry << 216
    return head | (wad(size) & (2**96 - 1)) << 112 | (wad(quote) & (2**112 - 1))


def option(underlying, expiry, strike, size, is_put=False):
    """Return the slot of an option."""
    head = underlying << 248 | expiry << 216 | 1 << 208
    return head | round(strike * E8) << 144 | is_put << 136 | (wad(size) & (2**128 - 1))


def balance(asset, amount):
    """Return the word of a collateral balance."""
    return asset << 248 | wad(amount)


def book(*positions, cash=0, collateral=(), mode=MarginMode.PORTFOLIO, open_interest=()):
    """Return a portfolio."""
    return Portfolio(wad(cash), mode, tuple(collateral), positions, tuple(open_interest))


def black_call(forward, strike, deviation):
    """Return the undiscounted Black-76 call in float64."""
    d1 = log(forward / strike) / deviation + deviation / 2
    return forward * _normal(d1) - strike * _normal(d1 - deviation)


def shocked_deviation(deviation, tau_seconds, vol_ppm, vol_range=0.4, vol_floor=0.1):
    """Return the total deviation in a scenario (specification, section 8), default exponents."""
    power = 0.3 if tau_seconds < 30 * DAY else 0.13
    factor = exp(power * log(30 * DAY / max(tau_seconds, DAY)))
    least = vol_floor * sqrt(tau_seconds / YEAR)
    return max(least, deviation * max(1 + vol_ppm / PPM * vol_range * factor, 0))


def _normal(x):
    return (1 + erf(x / sqrt(2))) / 2


class Desk:
    """Margins books in a market, both given with each call.

    Parameters
    ----------
    harness : ape.contracts.ContractInstance
        A ``PortfolioHarness``: parameters and market data in one.
    predictive : ape.contracts.ContractInstance
        A ``PredictiveDouble``: the predictive model.
    probe : ape.contracts.ContractInstance
        A ``GasProbe``.
    """

    def __init__(self, harness, predictive, probe):
        self.harness = harness
        self.predictive = predictive
        self.probe = probe

    def outcomes(self, in_market, books, full=True):
        """Return what the risk model answers or reverts with, book by book."""
        return self.harness.assessMany.call(in_market.case(), [tuple(each) for each in books], full)

    def breakdowns(self, in_market, *books):
        """Return the breakdown of every book."""
        answers = [_answer(each) for each in self.outcomes(in_market, books)]
        return [to_breakdown(decode([BREAKDOWN], answer)[0]) for answer in answers]

    def breakdown(self, in_market, one):
        """Return the breakdown of one book."""
        return self.breakdowns(in_market, one)[0]

    def assessments(self, in_market, *books):
        """Return the assessment of every book."""
        answers = [_answer(each) for each in self.outcomes(in_market, books, full=False)]
        return [Assessment(*decode([ASSESSMENT], answer)[0]) for answer in answers]

    def gas(self, risk_model, one):
        """Return the gas of one cold assessment in the market set last."""
        call = risk_model.assess.encode_input(tuple(one))
        used, _ = self.probe.measure(risk_model.address, call)
        return used


def error(signature, *words):
    """Return the revert data of a custom error with word-sized arguments."""
    return keccak(text=signature)[:4] + b"".join(word.to_bytes(32, "big") for word in words)


def _answer(outcome):
    ok, data = outcome
    assert ok, f"reverted with 0x{bytes(data).hex()}"
    return bytes(data)


def to_breakdown(fields):
    """Return a breakdown from its decoded fields."""
    assessment, *middle, predictive, underlyings = fields
    return Breakdown(
        Assessment(*assessment),
        *middle,
        PredictiveBreakdown(*predictive),
        tuple(UnderlyingBreakdown(*u) for u in underlyings),
    )
