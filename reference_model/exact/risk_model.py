"""Equity and requirement of one portfolio, as the contracts compute them.

Source: specification, sections 8 to 10; Predictive margin, 4 and 7;
``contracts/interfaces/IRiskModel.sol``.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from reference_model.exact import charges, predictive_model, profile, scenarios, shortfall
from reference_model.exact import instrument as instruments
from reference_model.exact import position as slots
from reference_model.exact.fixed_point import mul_down, mul_up
from reference_model.exact.market import MarketData, indexed
from reference_model.types import (
    PPM,
    WAD,
    Assessment,
    Breakdown,
    Collateral,
    Exposure,
    Health,
    MarginMode,
    Market,
    Portfolio,
    PredictiveBreakdown,
    PredictiveTerms,
    Scenario,
    Slice,
    Spot,
    UnderlyingBreakdown,
)

GROUPS = 8
MAX_PRICE = 2**96 - 1
MAX_COLLATERAL_VALUE = 2**128 - 1
BALANCE_MASK = 2**128 - 1


def assess(portfolio: Portfolio, market: Market) -> Assessment:
    """Equity and requirement.

    Parameters
    ----------
    portfolio : Portfolio
        Interest and funding up to date.
    market : Market
        Prices and parameters.

    Returns
    -------
    Assessment
        USD, WAD; equities Down, requirements Up.

    Raises
    ------
    MissingPrice, MissingCollateralRate
        If a price was never posted.
    """
    is_predicted = portfolio.margin_mode == MarginMode.PREDICTIVE
    return _breakdown(portfolio, market, is_predicted=is_predicted).assessment


def breakdown(portfolio: Portfolio, market: Market) -> Breakdown:
    """Compute the same with every intermediate; parameters and errors are those of `assess`."""
    return _breakdown(portfolio, market, is_predicted=True)


def _breakdown(portfolio: Portfolio, market: Market, *, is_predicted: bool) -> Breakdown:
    """Compute everything, predictive margin only if asked for."""
    reader = _Reader(market)
    balances = _balances(portfolio.collateral, reader)
    books = _books(portfolio, reader, balances)
    results = [_underlying(books[u], portfolio, market) for u in sorted(books)]
    groups = _group_risk(results, market)
    depeg = sum(mul_up(b.collateral.parameters.depeg_rate, b.value) for b in balances)
    requirement = _requirement(results, sum(groups), depeg, market)
    predictive = PredictiveBreakdown()
    if is_predicted:
        predictive = _predictive(books, results, requirement.net_charges, portfolio, reader)
    collateral = sum(b.value for b in balances)
    derivatives = sum(books[r.public.underlying].value - r.error for r in results)
    assessment = _assessment(portfolio, requirement, predictive, balances, derivatives, reader)
    return Breakdown(
        assessment=assessment,
        health=health(assessment),
        collateral_value=collateral,
        derivative_value=derivatives,
        scan_risk=sum(groups),
        isolated_scan_risk=sum(r.public.isolated_loss for r in results),
        depeg_charge=depeg,
        net_maintenance_margin=requirement.net_maintenance,
        net_initial_margin=requirement.net_initial,
        isolated_maintenance_margin=requirement.isolated_maintenance,
        isolated_initial_margin=requirement.isolated_initial,
        group_risk=groups,
        predictive=predictive,
        underlyings=tuple(r.public for r in results),
    )


def exposures(portfolio: Portfolio, market: Market) -> tuple[Exposure, ...]:
    """What the predictive model is given of a portfolio, ascending by underlying.

    Returns
    -------
    tuple of Exposure
        Empty if it is exposed to nothing.

    Raises
    ------
    MissingPrice, MissingCollateralRate
    """
    reader = _Reader(market)
    books = _books(portfolio, reader, _balances(portfolio.collateral, reader))
    results = [_underlying(books[u], portfolio, market) for u in sorted(books)]
    return _exposures(books, results, _terms(books, market), reader)


def collateral_value(words: tuple[int, ...], market: Market) -> tuple[int, int]:
    """Haircut value of collateral at initial prices, the lower of spot and stable.

    Parameters
    ----------
    words : tuple of int
        As in `Portfolio.collateral`.
    market : Market

    Returns
    -------
    value : int
        USD, WAD, Down.
    oldest_timestamp : int
        Of the prices read, and not after now.
    """
    reader = _Reader(market)
    value = sum(balance.initial_value for balance in _balances(words, reader))
    return value, reader.oldest


def health(assessment: Assessment) -> Health:
    """State of an account: the first that holds, from worst to best."""
    if assessment.equity < 0:
        return Health.INSOLVENT
    if assessment.equity < assessment.maintenance_margin:
        return Health.LIQUIDATABLE
    if assessment.initial_equity < assessment.initial_margin:
        return Health.MARGIN_CALL
    return Health.HEALTHY


class _Reader:
    """Reads prices and remembers the oldest."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.data: MarketData = indexed(market)
        self.scenarios = scenarios.in_force(market)
        self.oldest = market.now

    def spot(self, underlying: int) -> Spot:
        return self._seen(self.data.spot(underlying))

    def slice(self, underlying: int, expiry: int) -> scenarios.SliceRisk:
        """Return the slice of an expiry ahead."""
        return self._risk(self._seen(self.data.slice(underlying, expiry)), self.scenarios)

    def _risk(self, slice_: Slice, moves: tuple[Scenario, ...]) -> scenarios.SliceRisk:
        p = self.data.underlying_parameters(slice_.underlying)
        return scenarios.slice_risk(
            slice_.forward,
            slice_.discount,
            slice_.svi,
            slice_.expiry - self.market.now,
            (p.vol_range, p.vol_floor, self.market.global_parameters),
            moves,
        )

    def nodes(self, underlying: int, expiry: int) -> scenarios.SliceRisk:
        """Return the slice of an expiry that was read, on the nodes of predictive margin."""
        if expiry <= self.market.now:
            return scenarios.expired_slice(self.data.spot(underlying).index, shortfall.NODES)
        return self._risk(self.data.slice(underlying, expiry), shortfall.NODES)

    def collateral(self, asset: int) -> Collateral:
        return self._seen(self.data.collateral_rate(asset))

    def _seen(self, price):
        self.oldest = min(self.oldest, price.timestamp)
        return price


class _Balance(NamedTuple):
    """One collateral balance: haircut value at maintenance and at initial prices, USD, WAD."""

    collateral: Collateral
    value: int
    initial_value: int


@dataclass
class _Book:
    """Everything of one underlying: prices, things in the scenarios, and worth of positions.

    `options` are those among the things, with their instruments.
    """

    spot: Spot
    grid: scenarios.Grid
    things: list[scenarios.Thing] = field(default_factory=list)
    options: list[tuple[scenarios.Thing, int]] = field(default_factory=list)
    value: int = 0
    short_size: int = 0
    expiries: set[int] = field(default_factory=set)


class _Underlying(NamedTuple):
    """Result for one underlying."""

    public: UnderlyingBreakdown
    error: int
    group: int


class _Requirement(NamedTuple):
    net_maintenance: int
    net_initial: int
    isolated_maintenance: int
    isolated_initial: int
    net_charges: int


# ------------------------------------------------------------------------------------- collateral


def _balances(words: tuple[int, ...], reader: _Reader) -> list[_Balance]:
    return [_balance(word >> 248, word & BALANCE_MASK, reader) for word in words]


def _balance(asset: int, amount: int, reader: _Reader) -> _Balance:
    collateral = reader.collateral(asset)
    price, stable = collateral.rate, collateral.stable_rate
    if collateral.parameters.underlying:
        spot = reader.spot(collateral.parameters.underlying)
        price = min(mul_down(price, spot.index), MAX_PRICE)
        stable = min(mul_down(stable, spot.stable_index), MAX_PRICE)
    haircut = collateral.parameters.haircut
    return _Balance(
        collateral,
        _haircut_value(amount, price, haircut),
        _haircut_value(amount, min(price, stable), haircut),
    )


def _haircut_value(amount: int, price: int, haircut: int) -> int:
    return min(mul_down(mul_down(amount, price), WAD - haircut), MAX_COLLATERAL_VALUE)


# -------------------------------------------------------------------------------------- positions


def _books(portfolio: Portfolio, reader: _Reader, balances: list[_Balance]) -> dict[int, _Book]:
    books: dict[int, _Book] = {}

    def book(underlying: int) -> _Book:
        if underlying not in books:
            spot = reader.spot(underlying)
            grid = scenarios.grid(reader.scenarios, spot.scan_range)
            books[underlying] = _Book(spot, grid)
        return books[underlying]

    for balance in balances:
        underlying = balance.collateral.parameters.underlying
        if underlying:
            book(underlying).things.append(scenarios.linear(balance.value, 0))
    for slot in portfolio.positions:
        _add_position(book(slots.instrument(slot) >> 120), slot, reader)
    return books


def _add_position(book: _Book, slot: int, reader: _Reader) -> None:
    """Put a position into its underlying's book."""
    instrument, size, quote = slots.instrument(slot), slots.size(slot), slots.quote(slot)
    expiry, now = instruments.expiry(instrument), reader.market.now
    underlying = book.spot.underlying
    if 0 < expiry <= now:
        settled = reader.data.settlement_price(underlying, expiry)
        if settled:
            book.value += mul_down(size, instruments.payoff(instrument, settled)) + quote
            return
    if expiry > now:
        slice_, bucket = reader.slice(underlying, expiry), expiry
        book.expiries.add(expiry)
    else:
        slice_, bucket = scenarios.expired_slice(book.spot.index, reader.scenarios), 0
    if instruments.is_option(instrument):
        thing = scenarios.option(size, instrument, slice_, book.grid, bucket)
        strike = instruments.strike(instrument)
        book.value += scenarios.option_value(thing, size, strike, slice_)
        book.short_size += max(0, -size)
        book.options.append((thing, instrument))
    else:
        price = slice_.forward if expiry else book.spot.mark
        thing = scenarios.linear(mul_down(size, price), bucket)
        book.value += thing.notional + quote
    book.things.append(thing)


# ------------------------------------------------------------------------------------ requirement


def _underlying(book: _Book, portfolio: Portfolio, market: Market) -> _Underlying:
    """Scan and charges of one underlying."""
    spot, p = book.spot, book.spot.parameters
    weights = tuple(scenario.weight_ppm for scenario in scenarios.in_force(market))
    scan = scenarios.scan(book.things, book.grid, weights)
    deltas = defaultdict(int, dict.fromkeys(book.expiries, 0))
    for thing in book.things:
        deltas[thing.bucket] += thing.delta
    delta = sum(deltas.values())
    gross_delta = sum(abs(thing.delta) for thing in book.things)
    net, gross = abs(delta) + scan.error, gross_delta + scan.error

    factor = market.global_parameters.initial_factor

    def scan_range(loss: int) -> int:
        return charges.scan_range(loss, spot.scan_range, spot.initial_scan_range, factor)

    def open_interest(loss: int) -> int:
        return _open_interest_charge(spot, loss, portfolio, factor)

    public = UnderlyingBreakdown(
        underlying=spot.underlying,
        netted=scan.netted,
        worst_loss=scan.worst_loss,
        binding_scenario=scan.binding_scenario,
        isolated_loss=scan.isolated_loss,
        delta=delta,
        gross_delta=gross_delta,
        basis_charge=charges.basis(deltas, p.basis_rate, scan.error, market.now),
        short_option_charge=charges.short_option(book.short_size, p.short_option_rate, spot.index),
        concentration_charge=charges.concentration(net, p.concentration_rate, p.depth),
        confidence_charge=charges.confidence(net, spot.confidence, spot.index),
        scan_range_charge=scan_range(scan.worst_loss),
        open_interest_charge=open_interest(scan.worst_loss),
        isolated_concentration_charge=charges.concentration(gross, p.concentration_rate, p.depth),
        isolated_confidence_charge=charges.confidence(gross, spot.confidence, spot.index),
        isolated_scan_range_charge=scan_range(scan.isolated_loss),
        isolated_open_interest_charge=open_interest(scan.isolated_loss),
    )
    return _Underlying(public, scan.error, p.group)


def _open_interest_charge(spot: Spot, loss: int, portfolio: Portfolio, factor: int) -> int:
    p, held = spot.parameters, _open_interest(portfolio, spot.underlying)
    oi_range = p.oi_lower, p.oi_upper
    return charges.open_interest(loss, held, oi_range, p.max_oi_multiplier, factor)


def _open_interest(portfolio: Portfolio, underlying: int) -> int:
    """Open interest of both sides, units, WAD; 0 without a word."""
    words = (word for word in portfolio.open_interest if word >> 248 == underlying)
    return next(words, 0) & BALANCE_MASK


def _group_risk(results: list[_Underlying], market: Market) -> tuple[int, ...]:
    """R_g of every group."""
    risks = []
    for group in range(GROUPS):
        members = [r for r in results if r.group == group]
        gross = sum(r.public.worst_loss for r in members)
        netted = [sum(pnl) for pnl in zip(*(r.public.netted for r in members), strict=True)]
        comove = max([0] + [-pnl for pnl in netted]) + sum(r.error for r in members)
        risks.append(comove + mul_up(market.decorrelations[group], gross - comove))
    return tuple(risks)


def _requirement(
    results: list[_Underlying], scan_risk: int, depeg: int, market: Market
) -> _Requirement:
    parts = [r.public for r in results]
    maintenance = market.global_parameters.maintenance_factor
    initial = market.global_parameters.initial_factor
    isolated_risk = sum(u.isolated_loss for u in parts)
    net = depeg + sum(
        u.basis_charge + u.short_option_charge + u.concentration_charge + u.confidence_charge
        for u in parts
    )
    isolated = depeg + sum(
        u.short_option_charge + u.isolated_concentration_charge + u.isolated_confidence_charge
        for u in parts
    )
    initial_only = sum(u.scan_range_charge + u.open_interest_charge for u in parts)
    isolated_initial_only = sum(
        u.isolated_scan_range_charge + u.isolated_open_interest_charge for u in parts
    )
    return _Requirement(
        mul_up(maintenance, scan_risk) + net,
        mul_up(initial, scan_risk) + net + initial_only,
        mul_up(maintenance, isolated_risk) + isolated,
        mul_up(initial, isolated_risk) + isolated + isolated_initial_only,
        net,
    )


def _assessment(
    portfolio: Portfolio,
    requirement: _Requirement,
    predictive: PredictiveBreakdown,
    balances: list[_Balance],
    derivatives: int,
    reader: _Reader,
) -> Assessment:
    """Equities, and the requirement under the account's margin mode."""
    p = reader.market.global_parameters
    collateral_equity = portfolio.cash + sum(b.initial_value for b in balances)
    counted = derivatives
    if derivatives > 0:
        counted = min(mul_down(p.profit_weight, derivatives), p.profit_cap)
    maintenance = requirement.isolated_maintenance
    initial = requirement.isolated_initial
    if portfolio.margin_mode != MarginMode.ISOLATED:
        maintenance = min(requirement.net_maintenance, maintenance)
        initial = min(requirement.net_initial, initial)
    if portfolio.margin_mode == MarginMode.PREDICTIVE and predictive.applies:
        maintenance, initial = predictive.maintenance_margin, predictive.initial_margin
    return Assessment(
        equity=portfolio.cash + sum(b.value for b in balances) + derivatives,
        initial_equity=collateral_equity + counted,
        collateral_equity=collateral_equity,
        maintenance_margin=maintenance,
        initial_margin=initial,
        oldest_timestamp=reader.oldest,
    )


# ------------------------------------------------------------------------------- predictive margin


def _predictive(
    books: dict[int, _Book],
    results: list[_Underlying],
    net_charges: int,
    portfolio: Portfolio,
    reader: _Reader,
) -> PredictiveBreakdown:
    """Predictive margin with its parts."""
    market, p = reader.market, reader.market.global_parameters
    terms = _terms(books, market)
    exposed = _exposures(books, results, terms, reader)
    if not exposed:
        return PredictiveBreakdown()
    shortfall_, parametric = predictive_model.measure(market.prediction, exposed)
    tails = [_in_tails(result, reader.scenarios) for result in results]
    tail_risk = sum(_group_risk(tails, market))
    losses = [tail.public.worst_loss for tail in tails]
    deviation_charge = sum(
        _deviation_charge(books[x.underlying].spot, x, initial, loss, p.initial_factor)
        for x, initial, loss in zip(exposed, terms.initial_deviations, losses, strict=True)
    )
    open_interest = sum(
        _open_interest_charge(books[tail.public.underlying].spot, loss, portfolio, p.initial_factor)
        for tail, loss in zip(tails, losses, strict=True)
    )
    maintenance = max(shortfall_, mul_up(terms.floor_weight, tail_risk))
    initial = max(maintenance, mul_up(terms.parametric_weight, parametric))
    return PredictiveBreakdown(
        applies=True,
        shortfall=shortfall_,
        tail_risk=tail_risk,
        parametric=parametric,
        deviation_charge=deviation_charge,
        open_interest_charge=open_interest,
        maintenance_margin=mul_up(p.maintenance_factor, maintenance) + net_charges,
        initial_margin=mul_up(p.initial_factor, initial)
        + net_charges
        + deviation_charge
        + open_interest,
    )


def _deviation_charge(
    spot: Spot, exposure: Exposure, initial_deviation: int, tail_loss: int, factor: int
) -> int:
    """Charge to initial margin for volatility that is still to come."""
    if exposure.deviation == 0:
        ranges = spot.scan_range, spot.initial_scan_range
        return charges.scan_range(exposure.scenario_loss, *ranges, factor)
    return charges.scan_range(tail_loss, exposure.deviation, initial_deviation, factor)


def _terms(books: dict[int, _Book], market: Market) -> PredictiveTerms:
    return predictive_model.terms(market.prediction, books)


def _exposures(
    books: dict[int, _Book],
    results: list[_Underlying],
    terms: PredictiveTerms,
    reader: _Reader,
) -> tuple[Exposure, ...]:
    """Profiles of all underlyings."""
    return tuple(
        _exposure(
            books[result.public.underlying],
            result.public,
            deviation,
            reader,
            is_covered=not terms.uncovered >> result.public.underlying & 1,
        )
        for result, deviation in zip(results, terms.deviations, strict=True)
    )


def _exposure(
    book: _Book,
    public: UnderlyingBreakdown,
    deviation: int,
    reader: _Reader,
    *,
    is_covered: bool,
) -> Exposure:
    options = []
    for thing, instrument in book.options:
        expiry, strike = instruments.expiry(instrument), instruments.strike(instrument)
        slice_ = reader.nodes(public.underlying, expiry)
        options.append(profile.Option(expiry, strike, thing.notional, thing.is_put, slice_))
    places = _tails(reader.scenarios) if is_covered else range(len(reader.scenarios))
    return profile.exposure(
        public.underlying,
        deviation,
        public.delta,
        sum(thing.notional for thing in book.things if thing.row is None),
        options,
        max((book.grid.moves[j] for j in places), default=0),
        0 if is_covered else public.worst_loss,
    )


def _tails(moves: tuple[Scenario, ...]) -> list[int]:
    """Scenarios of at least one scan range."""
    return [j for j, scenario in enumerate(moves) if abs(scenario.price_ppm) >= PPM]


def _in_tails(result: _Underlying, moves: tuple[Scenario, ...]) -> _Underlying:
    """Return a result over the tail scenarios alone."""
    netted = tuple(result.public.netted[j] for j in _tails(moves))
    worst = max([0] + [-pnl for pnl in netted]) + result.error
    return result._replace(public=result.public._replace(netted=netted, worst_loss=worst))
