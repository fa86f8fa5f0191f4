"""Random whole markets and portfolios in contract units: the same cases for all layers.

Every case is valid by construction: nothing is drawn and thrown away. Most markets are ordinary, so
that netting matters; the rest reach for the ends of every range. Values are drawn at, just below
and just above the guards of the formulas. `rng` is a `random.Random`, also one of Hypothesis's, so
that a failing case shrinks.

Source: specification, sections 3, 7, 8, 9 and 13; Predictive margin.
"""

from random import Random
from typing import NamedTuple

from reference_model import vectors
from reference_model.types import (
    DAY,
    PPM,
    WAD,
    YEAR,
    Assessment,
    Collateral,
    CollateralParameters,
    GlobalParameters,
    Market,
    Portfolio,
    Prediction,
    PredictiveParameters,
    Publication,
    Scenario,
    Slice,
    Spot,
    UnderlyingParameters,
)

NOW = 1_770_000_000
MAX_PRICE = 2**96 - 1
MAX_SIZE = 2**95 - 1
MAX_QUOTE = 2**111 - 1
MAX_CASH = 2**103 - 1
MAX_STRIKE_E8 = 2**64 - 1
MAX_SCENARIOS = 40
MAX_VOL_CLASSES = 4
ZERO_ADDRESS = "0x" + "00" * 20


class Instrument(NamedTuple):
    """What a position can be in; `price` is a typical price per unit, USD WAD."""

    word: int
    underlying: int
    is_option: bool
    price: int


# Drawing -----------------------------------------------------------------------------------------


def around(rng: Random, guard: int, low: int, high: int) -> int:
    """One of guard − 1, guard, guard + 1, kept within [low, high]."""
    return min(max(guard + rng.randint(-1, 1), low), high)


def log_uniform(rng: Random, low: int, high: int) -> int:
    """Integer in [low, high], low ≥ 0, whose number of digits is about uniform."""
    bits = rng.uniform((low + 1).bit_length() - 1, (high + 1).bit_length())
    return min(max(int(2**bits) + rng.randint(0, int(2 ** max(bits - 53, 0))), low), high)


def drawn(rng: Random, low: int, high: int, *guards: int) -> int:
    """Integer in [low, high]: mostly uniform, else by magnitude, at an end, or at a guard."""
    kind = rng.random()
    if kind < 0.7:
        return rng.randint(low, high)
    if kind < 0.8 and low >= 0:
        return log_uniform(rng, low, high)
    return around(rng, rng.choice((low, high, *guards)), low, high)


def bell(rng: Random) -> float:
    """Draw from about the standard normal distribution, within ±3; finite from any generator."""
    return sum(rng.uniform(-1, 1) for _ in range(3))


def near(rng: Random, value: int, spread: float, high: int = MAX_PRICE) -> int:
    """Positive integer within a factor 1 ± spread of `value`."""
    factor = int(WAD * (1 + spread * rng.uniform(-1, 1)))
    return min(max(value * factor // WAD, 1), high)


# Market ------------------------------------------------------------------------------------------


def random_market(rng: Random, now: int = NOW) -> Market:
    """One market: parameters, scenarios, one to four underlyings, expiries, collateral."""
    extreme = rng.random() < 0.3
    global_parameters = _global_parameters(rng)
    ids = rng.sample(range(1, 256), rng.randint(1, 4))
    spots = tuple(_spot(rng, u, extreme, now) for u in sorted(ids))
    scenarios = _scenarios(rng, spots[0].scan_range)
    slices = tuple(
        each
        for spot in spots
        for each in _slices(rng, spot, global_parameters.minimum_tau_seconds, extreme, now)
    )
    assets = sorted(rng.sample(range(1, 32), rng.randint(0, 6)))
    return Market(
        now,
        global_parameters,
        tuple(drawn(rng, 0, WAD) for _ in range(8)),
        scenarios,
        spots,
        slices,
        tuple(_collateral(rng, asset, ids, extreme, now) for asset in assets),
        *_ramp(rng, len(scenarios)),
    )


def _global_parameters(rng):
    initial = drawn(rng, WAD // 10, 4 * WAD, WAD)
    return GlobalParameters(
        maintenance_factor=drawn(rng, WAD // 10, initial),
        initial_factor=initial,
        vol_exponent_short=drawn(rng, 0, WAD, WAD * 3 // 10),
        vol_exponent_long=drawn(rng, 0, WAD, WAD * 13 // 100),
        minimum_tau_seconds=drawn(rng, 3600, 30 * DAY, DAY),
        profit_weight=drawn(rng, 0, WAD),
        profit_cap=drawn(rng, 0, 10**9 * WAD, 10**7 * WAD),
        max_positions=128,
    )


def span_scenarios() -> tuple[Scenario, ...]:
    """Build the default grid: SPAN's fourteen and weighted tails of two and four scan ranges."""
    thirds = [round(PPM * i / 3) for i in range(-3, 4)]
    tails = [(-4, 4), (-2, 2), (2, 2), (4, 4)]
    up = [Scenario(x, PPM, PPM) for x in thirds]
    up += [Scenario(x * PPM, PPM, PPM // divisor) for x, divisor in tails]
    return (*up, *(Scenario(x, -PPM, PPM) for x in thirds))


def _scenarios(rng, scan_range):
    if rng.random() < 0.5:
        return span_scenarios()
    floor_move = -(99 * 10**22 // scan_range)  # 1 + x·R = 0.01
    count = rng.randint(2, MAX_SCENARIOS)
    classes = rng.sample(range(-5 * PPM, 5 * PPM + 1), rng.randint(1, MAX_VOL_CLASSES))
    chosen = sorted(rng.choice(classes) for _ in range(count))
    limit = 20 * PPM
    scenarios = [
        Scenario(
            drawn(rng, -limit, limit, 0, max(floor_move, -limit))
            if rng.random() < 0.5
            else rng.randint(-PPM, PPM),
            vol,
            drawn(rng, 1, PPM) if rng.random() < 0.5 else PPM,
        )
        for vol in chosen
    ]
    # Governance takes no list without a fall and a rise of a full scan range at full weight.
    fall, rise = rng.sample(range(count), 2)
    scenarios[fall] = Scenario(drawn(rng, -limit, -PPM), chosen[fall], PPM)
    scenarios[rise] = Scenario(drawn(rng, PPM, limit), chosen[rise], PPM)
    return tuple(scenarios)


def _ramp(rng, count):
    """Weights from which the scenarios come, and how far they have come; often neither."""
    if rng.random() < 0.5:
        return (), WAD
    former = tuple(rng.choice((0, PPM, drawn(rng, 0, PPM))) for _ in range(count))
    return former, drawn(rng, 0, WAD)


def _timestamp(rng, now):
    """Time of a price: of late, at the limits of age, or 0, which must not be relied on."""
    if rng.random() < 0.05:
        return 0
    return now - drawn(rng, 0, 2 * DAY, 900, 3600, DAY) if rng.random() < 0.3 else now


def _scan_ranges(rng, p):
    """R_u and R_u^init within the bounds of an underlying: equal, or the second above."""
    low = drawn(rng, p.scan_range, p.max_scan_range)
    return low, low if rng.random() < 0.4 else drawn(rng, low, p.max_scan_range)


def _spot(rng, underlying, extreme, now):
    index = log_uniform(rng, 1, MAX_PRICE) if extreme else log_uniform(rng, WAD // 100, 10**5 * WAD)
    mark = drawn(rng, 1, MAX_PRICE, index) if extreme else near(rng, index, 0.02)
    confidence = drawn(rng, 0, MAX_PRICE) if extreme and rng.random() < 0.3 else 0
    parameters = _underlying_parameters(rng)
    return Spot(
        underlying,
        parameters,
        index,
        confidence or rng.choice((0, 1, index // 1000, index // 50)),
        mark,
        drawn(rng, 1, MAX_PRICE, index) if extreme else near(rng, index, 0.2),
        _timestamp(rng, now),
        *_scan_ranges(rng, parameters),
    )


def _underlying_parameters(rng):
    oi_lower = log_uniform(rng, 0, 10**6 * WAD)
    scan_range = drawn(rng, WAD // 1000, WAD * 9 // 10, WAD * 15 // 100)
    return UnderlyingParameters(
        listed=True,
        reduce_only=False,
        group=rng.choice((0, 0, 0, 1, 7)),
        scan_range=scan_range,
        max_scan_range=drawn(rng, scan_range, WAD * 9 // 10),
        scan_multiplier=5 * WAD,
        vol_range=drawn(rng, 0, 2 * WAD, WAD * 4 // 10),
        vol_floor=drawn(rng, 0, WAD, WAD // 10),
        basis_rate=drawn(rng, 0, WAD // 5, WAD // 200),
        short_option_rate=drawn(rng, 0, WAD // 5, WAD // 200),
        concentration_rate=drawn(rng, 0, WAD, WAD // 50),
        max_oi_multiplier=drawn(rng, 0, 10 * WAD),
        funding_cap=WAD * 75 // 10_000,
        maker_fee=WAD // 10_000,
        taker_fee=WAD * 3 // 10_000,
        option_fee_cap=WAD // 8,
        lot_size=1,
        depth=log_uniform(rng, WAD, MAX_PRICE),
        oi_lower=oi_lower,
        oi_upper=oi_lower + log_uniform(rng, 1 + oi_lower // 100, 10**6 * WAD),
        open_interest_cap=MAX_PRICE,
    )


def _slices(rng, spot, minimum_tau, extreme, now):
    guards = (1, minimum_tau, 30 * DAY)
    taus = {drawn(rng, 1, 2 * YEAR, *guards) for _ in range(rng.randint(0, 4))}
    if rng.random() < 0.3:
        taus.add(-drawn(rng, 0, 60 * DAY))
    for tau in sorted(taus):
        forward = drawn(rng, 1, MAX_PRICE) if extreme else near(rng, spot.index, 0.2)
        settled = tau <= 0 and rng.random() < 0.6
        yield Slice(
            spot.underlying,
            now + tau,
            forward,
            drawn(rng, 1, WAD) if extreme else rng.choice((WAD, near(rng, WAD, 0.1, WAD))),
            random_svi(rng, max(tau, 1), extreme),
            _timestamp(rng, now),
            near(rng, spot.index, 0.3) if settled else 0,
        )


def pack_svi(a: float, b: float, rho: float, m: float, sigma: float) -> int:
    """Packed slice: a and b X56 (64 bits each), ρ X30 (32), m and σ X40 (48 each), a lowest."""
    word = round(a * 2**56) % 2**64
    word |= round(b * 2**56) << 64 | round(rho * 2**30) % 2**32 << 128
    return word | round(m * 2**40) % 2**48 << 160 | round(sigma * 2**40) << 208


def random_svi(rng: Random, tau: int, extreme: bool) -> int:
    """Packed slice with annual volatilities of about 0.1 to 2; nearly without arbitrage.

    The lowest variance ``a + b·σ·√(1 − ρ²)`` is at least zero, and zero now and then.
    """
    deviation = 10 ** rng.uniform(-1, 0.3) * (tau / YEAR) ** 0.5
    rho = rng.uniform(-0.95, 0.95) if extreme else rng.uniform(-0.7, 0.3)
    sigma = rng.uniform(0.01, 2) if extreme else rng.uniform(0.05, 0.5)
    m = bell(rng) * (0.5 if extreme else 0.05)
    b = deviation * (rng.uniform(0, 1.5) if extreme else rng.uniform(0.02, 0.3))
    lowest = b * sigma * (1 - rho * rho) ** 0.5
    floor = 0 if extreme and rng.random() < 0.2 else deviation**2 * rng.uniform(0.2, 1)
    return pack_svi(floor - lowest, b, rho, m, sigma)


def _collateral(rng, asset, underlyings, extreme, now):
    underlying = rng.choice((0, *underlyings))
    rate = log_uniform(rng, 1, MAX_PRICE) if extreme else near(rng, WAD, 0.2)
    parameters = CollateralParameters(
        token=ZERO_ADDRESS,
        decimals=rng.choice((0, 6, 8, 18, 24, rng.randint(0, 24))),
        underlying=underlying,
        enabled=True,
        haircut=drawn(rng, 0, WAD - 1, WAD // 20),
        depeg_rate=0 if underlying else drawn(rng, 0, WAD, WAD // 100),
        cap_raw=2**127,
    )
    stable_rate = drawn(rng, 1, MAX_PRICE, rate) if extreme else near(rng, rate, 0.2)
    return Collateral(asset, parameters, rate, stable_rate, _timestamp(rng, now))


# Prediction --------------------------------------------------------------------------------------


def random_prediction(rng: Random, market: Market, dates: int = 250) -> Prediction:
    """Vectors for some of a market's underlyings: of a first publication or a later one.

    The ramp of the last publication has not begun, is under way or is over; `dates` are in force
    at its end.
    """
    basket = _basket(rng, market)
    places = rng.randint(0, len(basket))
    before = rng.choice((0, dates)) if places else dates
    leaving = rng.choice((0, before, rng.randint(0, before)))
    all_leave = leaving == before
    places_before = rng.randint(0, places) if all_leave and before else 0 if all_leave else places
    words = (
        *random_words(rng, before, places_before),
        *random_words(rng, dates - before + leaving, places),
    )
    start = rng.randint(0, 10 * DAY)
    active = around(rng, start + rng.choice((0, DAY // 3, DAY, 3 * DAY)), start, 20 * DAY)
    correlation = _correlation(rng, len(basket))
    return Prediction(
        _predictive_parameters(rng),
        basket,
        tuple(_deviations(rng) for _ in basket),
        correlation,
        Publication(len(words), before, leaving, places_before, places, start, start + DAY),
        words,
        active,
    )


def _basket(rng, market):
    """Up to eight underlyings, those of the market and others, in any order."""
    own = [spot.underlying for spot in market.spots]
    others = rng.sample([u for u in range(1, 256) if u not in own], rng.randint(0, 2))
    basket = [u for u in own if rng.random() < 0.9] + others
    rng.shuffle(basket)
    return tuple(basket[: vectors.MAX_PLACES])


def random_words(rng: Random, dates: int, places: int) -> tuple[int, ...]:
    """Joint moves with a common factor and fat tails, now and then on a node or beyond all."""
    if not places:
        return (0,) * dates

    def moves(nodes, scale):
        common = scale * bell(rng)
        for _ in range(places):
            wild = rng.random() < 0.02
            yield rng.choice(nodes) * rng.choice((1, 1.5)) if wild else common + scale * bell(rng)

    z, y = (
        [list(moves(nodes.tolist(), scale)) for _ in range(dates)]
        for nodes, scale in ((vectors.NODES, 1.5), (vectors.VOL_NODES, 0.3))
    )
    return tuple(vectors.encode(z, y)) if dates else ()


def random_word(rng: Random, places: int) -> int:
    """Vector of one date: most moves small, corners and edges of triangles often."""
    word = 0
    for p in range(places):
        interval = min(max(round(4.5 + 2 * bell(rng)), 0), 9)
        row = (interval * 3 + rng.randrange(3)) * 2 + rng.randrange(2)
        a = drawn(rng, 0, 1_023)
        b = drawn(rng, 0, min(1_023, 1_024 - a))
        word |= row << (5 + 10 * p) | a << (90 + 10 * p) | b << (175 + 10 * p)
    return word


def _predictive_parameters(rng):
    return PredictiveParameters(
        tail_share=drawn(rng, WAD // 200, WAD // 10, WAD // 40),
        horizon_seconds=drawn(rng, 3_600, 10 * DAY, DAY),
        floor_weight=drawn(rng, WAD // 10, WAD, WAD // 2),
        parametric_weight=drawn(rng, 0, WAD, WAD),
        correlation_width=drawn(rng, 0, WAD, 3 * WAD // 10),
        single_asset_floor=drawn(rng, 0, WAD, WAD // 2),
    )


def _deviations(rng):
    """Deviations of a day for maintenance and, at least as great, for initial margin."""
    deviation = log_uniform(rng, WAD // 400, WAD // 4)
    return deviation, deviation if rng.random() < 0.4 else drawn(rng, deviation, WAD // 3)


def _correlation(rng, count):
    """Matrix of a common factor, of signs alone, or of anything."""
    kind = rng.choice(("factor", "factor", "signs", "any"))
    load = [rng.choice((-1, 1)) if kind == "signs" else rng.uniform(-1, 1) for _ in range(count)]
    matrix = [[WAD] * count for _ in range(count)]
    for i in range(count):
        for j in range(i):
            rho = drawn(rng, -WAD, WAD, 0) if kind == "any" else round(load[i] * load[j] * WAD)
            matrix[i][j] = matrix[j][i] = rho
    return tuple(map(tuple, matrix))


# Portfolio ---------------------------------------------------------------------------------------


def instrument_word(underlying: int, expiry: int = 0, strike_e8: int = 0, is_put: bool = False):
    """Packed 128-bit instrument; an option if it has a strike."""
    option = 1 << 80 | strike_e8 << 16 | is_put << 8 if strike_e8 else 0
    return underlying << 120 | expiry << 88 | option


def position_slot(word: int, size: int, quote: int = 0) -> int:
    """Packed 256-bit position; the quote of an option is not stored."""
    if word >> 80 & 0xFF:
        return word << 128 | size % 2**128
    return word << 128 | size % 2**96 << 112 | quote % 2**112


def random_instruments(rng: Random, market: Market) -> list[Instrument]:
    """Instruments to draw from: each perpetual, each future, and options around each forward."""
    out = []
    for spot in market.spots:
        out.append(Instrument(instrument_word(spot.underlying), spot.underlying, False, spot.mark))
    for each in market.slices:
        future = instrument_word(each.underlying, each.expiry)
        out.append(Instrument(future, each.underlying, False, each.forward))
        for strike in {_strike(rng, each.forward) for _ in range(rng.randint(1, 8))}:
            for is_put in (False, True):
                word = instrument_word(each.underlying, each.expiry, strike, is_put)
                out.append(Instrument(word, each.underlying, True, each.forward))
    return out


def _strike(rng, forward):
    """Strike in 1e-8 USD: mostly within a few deviations, at the money, or anywhere."""
    at_the_money = min(max(forward // 10**10, 1), MAX_STRIKE_E8)
    kind = rng.random()
    if kind < 0.1:
        return around(rng, at_the_money, 1, MAX_STRIKE_E8)
    if kind < 0.2:
        return log_uniform(rng, 1, MAX_STRIKE_E8)
    return min(max(int(at_the_money * 2 ** (0.4 * bell(rng))), 1), MAX_STRIKE_E8)


def random_portfolio(rng: Random, market: Market, instruments: list[Instrument]) -> Portfolio:
    """One account; small ones are common, one in forty is as large as the instruments allow."""
    extreme = rng.random() < 0.2
    limit = min(market.global_parameters.max_positions, len(instruments))
    count = limit if rng.random() < 0.025 else min(int(2 ** rng.uniform(0, 4.5)) - 1, limit)
    chosen = rng.sample(instruments, count)
    scale = log_uniform(rng, WAD, 10**7 * WAD)
    positions = _positions(rng, market, chosen, scale, extreme)
    return Portfolio(
        cash=_cash(rng, scale, extreme),
        margin_mode=rng.randint(0, 1),
        collateral=_balances(rng, market, scale, extreme),
        positions=positions,
        open_interest=_open_interest(rng, market, {each.underlying for each in chosen}),
    )


def _positions(rng, market, chosen, scale, extreme):
    """Slots; with even chance the sizes are chosen so that positions hedge one another."""
    hedged, sign = rng.random() < 0.5, rng.choice((-1, 1))
    spots = {spot.underlying: spot for spot in market.spots}
    slots = []
    for each in chosen:
        sign = -sign if hedged else rng.choice((-1, 1))
        size = sign * _size(rng, each, spots[each.underlying], scale, hedged, extreme)
        quote = 0 if each.is_option else _quote(rng, size, each.price, extreme)
        if size == 0 and quote == 0:
            size = sign
        slots.append(position_slot(each.word, size, quote))
    return tuple(slots)


def _size(rng, instrument, spot, scale, hedged, extreme):
    """Size ≥ 0 (above 0 for an option), of a dollar scale, at the depth guard, or anywhere."""
    kind = rng.random()
    if extreme and kind < 0.5:
        return drawn(rng, 1, MAX_SIZE)
    if kind < 0.05:
        return around(rng, spot.parameters.depth * WAD // instrument.price, 1, MAX_SIZE)
    if kind < 0.1 and not instrument.is_option:
        return 0
    size = scale * WAD // instrument.price
    return near(rng, size, 0 if hedged else 0.9, MAX_SIZE)


def _quote(rng, size, price, extreme):
    """Draw what a linear position was entered at, or anything."""
    if extreme and rng.random() < 0.3:
        return drawn(rng, -MAX_QUOTE, MAX_QUOTE, 0)
    entry = -size * near(rng, price, 0.1) // WAD if size else rng.randint(-(10**24), 10**24)
    return min(max(entry, -MAX_QUOTE), MAX_QUOTE)


def _cash(rng, scale, extreme):
    if extreme and rng.random() < 0.3:
        return drawn(rng, -MAX_CASH, MAX_CASH, 0)
    return rng.choice((0, 1, -1, rng.randint(-scale, scale), rng.randint(-scale, 2 * scale)))


def _balances(rng, market, scale, extreme):
    """Collateral words; a balance of so many decimals as the token has."""
    words = []
    for each in market.collaterals:
        if rng.random() < 0.5:
            continue
        unit = 10**each.parameters.decimals
        anything = extreme and rng.random() < 0.5
        raw = drawn(rng, 1, 2**127) if anything else _raw_balance(rng, market, each, scale)
        balance = min(raw * WAD // unit, 2**128 - 1)
        if balance:
            words.append(each.asset << 248 | balance)
    return tuple(words)


def _raw_balance(rng, market, collateral, scale):
    """Balance, in the token's smallest unit, worth about `scale`."""
    parameters = collateral.parameters
    index = {spot.underlying: spot.index for spot in market.spots}.get(parameters.underlying, WAD)
    price = max(collateral.rate * index // WAD, 1)
    return near(rng, scale * 10**parameters.decimals // price, 0.9, 2**127)


def _open_interest(rng, market, underlyings):
    """Open-interest words for the underlyings of the positions."""
    words = []
    for spot in market.spots:
        if spot.underlying in underlyings:
            p = spot.parameters
            open_interest = drawn(rng, 0, 4 * p.oi_upper, 2 * p.oi_lower, 2 * p.oi_upper)
            words.append(spot.underlying << 248 | open_interest)
    return tuple(words)


def at_the_border(rng: Random, portfolio: Portfolio, assessment: Assessment) -> Portfolio:
    """Give the account the cash that puts it within one unit of a border of its health.

    Cash moves E and E_IM one for one and no requirement, so the border is hit exactly.
    """
    shortfall = rng.choice(
        (
            -assessment.equity,
            assessment.maintenance_margin - assessment.equity,
            assessment.initial_margin - assessment.initial_equity,
        )
    )
    cash = around(rng, portfolio.cash + shortfall, -MAX_CASH, MAX_CASH)
    return portfolio._replace(cash=cash)


def random_case(rng: Random, portfolios: int, now: int = NOW) -> tuple[Market, list[Portfolio]]:
    """One market and so many portfolios in it."""
    market = random_market(rng, now)
    instruments = random_instruments(rng, market)
    return market, [random_portfolio(rng, market, instruments) for _ in range(portfolios)]
