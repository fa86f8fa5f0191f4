"""The predictive mode of the risk model: what it asks, and what the predictive model is told.

The predictive model is a double that answers as it is told. What it is given is compared with
options revalued in float64, at the nodes and between them.
"""

from itertools import pairwise, product
from math import sqrt

import ape
import numpy as np
import pytest
from eth_abi import decode
from hypothesis import given, settings
from hypothesis import strategies as st
from margin import desk as books
from margin import random_books
from margin.desk import BTC, ETH, balance, book, linear, option, wad

from reference_model.exact import fixed_point as fp
from reference_model.types import (
    DAY,
    PPM,
    WAD,
    YEAR,
    Exposure,
    MarginMode,
    PredictiveBreakdown,
)

Z = (-12, -6, -3, -2, -1, 0, 1, 2, 3, 6, 12)
Y = (-0.5, 0, 0.5, 2.25)
NODES = len(Z)
SIGMA = {BTC: 0.03, ETH: 0.12}
RISE = 1.25
EXPOSURE = "(uint8,uint256,int256,uint256,uint256,uint256[3],int256[],int256[])"
UNCOVERED = 3
DAYS = (30, 90)
MODES = (MarginMode.PORTFOLIO, MarginMode.PREDICTIVE)


@pytest.fixture(scope="module", autouse=True)
def told(desk, risk_officer):
    """Cover both underlyings; initial deviations are a quarter above those of maintenance."""
    for underlying, sigma in SIGMA.items():
        deviations = (True, wad(sigma), wad(RISE * sigma))
        desk.predictive.setDeviations(underlying, deviations, sender=risk_officer)


@pytest.fixture
def tell(desk, risk_officer):
    """Return a function that tells the double its weights and what to add to its answers."""

    def answers(floor=0.5, parametric_weight=1, shortfall=0, parametric=0):
        each = (floor, parametric_weight, shortfall, parametric)
        desk.predictive.setAnswers(tuple(map(wad, each)), sender=risk_officer)

    return answers


def present():
    """Return the chain's time, at which books are margined."""
    return ape.chain.blocks.head.timestamp


def exposures_of(desk, market, one):
    """Return what the predictive model is given of a book."""
    data = desk.harness.exposuresOf.call(market.case(), tuple(one))
    return [Exposure(*each) for each in decode([EXPOSURE + "[]"], bytes(data))[0]]


def in_mode(one, mode):
    return one._replace(margin_mode=mode)


# ------------------------------------------------------------------------------- the requirement


def by_hand(market, result, weights):
    """Return what predictive margin asks, of the parts that the breakdown shows beside it."""
    shown, parameters = result.predictive, market.global_parameters
    tails = [j for j, each in enumerate(market.scenarios) if abs(each.price_ppm) >= PPM]
    factor = fp.mul_up(parameters.initial_factor, fp.div_up(wad(RISE), WAD) - WAD)
    losses, sums, errors, deviation_charge = [], [0] * len(tails), 0, 0
    charges = result.depeg_charge
    for part in result.underlyings:
        error = part.worst_loss + min(0, *part.netted)
        netted = [part.netted[j] for j in tails]
        losses.append(max(0, -min(netted)) + error)
        sums = [a + b for a, b in zip(sums, netted, strict=True)]
        errors += error
        charges += part.basis_charge + part.short_option_charge
        charges += part.concentration_charge + part.confidence_charge
        deviation_charge += fp.mul_up(factor, losses[-1])
    together = max(0, -min(sums)) + errors
    tail_risk = together + fp.mul_up(market.decorrelations[0], sum(losses) - together)
    risk = max(shown.shortfall, fp.mul_up(weights[0], tail_risk))
    initial = max(risk, fp.mul_up(weights[1], shown.parametric))
    maintenance = fp.mul_up(parameters.maintenance_factor, risk) + charges
    extra = deviation_charge + shown.open_interest_charge
    initial = fp.mul_up(parameters.initial_factor, initial) + charges + extra
    return PredictiveBreakdown(
        *(True, shown.shortfall, tail_risk, shown.parametric, deviation_charge),
        *(shown.open_interest_charge, maintenance, initial),
    )


@pytest.mark.parametrize("shortfall, parametric", [(0, 0), (10**9, 0), (10**9, 2 * 10**9)])
def test_requirement_is_the_greatest_of_its_parts(desk, tell, shortfall, parametric):
    tell(floor=0.6, parametric_weight=0.8, shortfall=shortfall, parametric=parametric)
    market, generator = random_books.rich_market(present()), np.random.default_rng(7)
    accounts = [random_books.random_book(generator, market.now) for _ in range(20)]
    predictive = [in_mode(each, MarginMode.PREDICTIVE) for each in accounts]
    portfolio = [in_mode(each, MarginMode.PORTFOLIO) for each in accounts]
    results = desk.breakdowns(market, *predictive)
    assert desk.assessments(market, *predictive) == [each.assessment for each in results]
    for result, other in zip(results, desk.breakdowns(market, *portfolio), strict=True):
        shown = result.predictive
        slack = shown.shortfall - wad(shortfall)
        assert 0 < slack < 10**15 and shown.parametric - wad(parametric) == slack
        assert shown == by_hand(market, result, (wad(0.6), wad(0.8)))
        assert result.assessment.maintenance_margin == shown.maintenance_margin
        assert result.assessment.initial_margin == shown.initial_margin
        # The three generations side by side, with one equity.
        assert result._replace(assessment=other.assessment, health=other.health) == other
        assert result.assessment[:3] == other.assessment[:3]
    assert any(each.predictive.open_interest_charge for each in results)


def test_open_interest_is_charged_on_tails(desk, tell):
    tell()
    market = random_books.rich_market(present())
    # One side has 250 units: a quarter of the way from 0 to 1,000, at a multiplier of one.
    one = book(linear(BTC, -1), mode=MarginMode.PREDICTIVE)
    one = one._replace(open_interest=(BTC << 248 | wad(500),))
    result = desk.breakdown(market, one)
    # A rise by four scan ranges of 15 %, weighted a quarter, is as bad as one by one range.
    assert result.predictive.tail_risk == pytest.approx(wad(9_000), rel=1e-15)
    charge = fp.mul_up(wad(0.25), result.predictive.tail_risk)
    assert result.predictive.open_interest_charge == charge


def test_to_cash_alone_all_generations_are_the_same(desk, tell):
    tell(shortfall=123)
    one = book(cash=5, collateral=[balance(books.USDX, 7)])
    market = books.market(present())
    portfolio, predictive = desk.breakdowns(market, *(in_mode(one, mode) for mode in MODES))
    assert portfolio == predictive and portfolio.predictive == PredictiveBreakdown()
    assert len(set(desk.assessments(market, *(in_mode(one, mode) for mode in MODES)))) == 1
    assert exposures_of(desk, market, one) == []


# ---------------------------------------------------------------- what vectors do not cover


@pytest.mark.parametrize("sigma", [0, 0.05], ids=["by no list", "by one of two"])
def test_what_is_not_covered_brings_its_worst_scenario(desk, tell, risk_officer, sigma):
    tell()
    deviations = (False, wad(sigma), wad(RISE * sigma))
    desk.predictive.setDeviations(UNCOVERED, deviations, sender=risk_officer)
    now = present()
    rising = books.spot(UNCOVERED, 1_000, now, wad(0.18))
    spots = [books.spot(BTC, books.BTC_PRICE, now), rising]
    slices = [books.slice_(UNCOVERED, now + 30 * DAY, 1_000, now)]
    market = books.market(now, spots=spots, slices=slices, collaterals=())
    # Long a straddle, worst where nothing moves: no tail.
    legs = [option(UNCOVERED, now + 30 * DAY, 1_000, 5, put) for put in (False, True)]
    one = book(linear(BTC, 1), *legs, mode=MarginMode.PREDICTIVE)
    result = desk.breakdown(market, one)
    covered, other = exposures_of(desk, market, one)
    worst = result.underlyings[1].worst_loss
    assert (covered.scenario_loss, len(covered.pnl)) == (0, NODES)
    assert other.scenario_loss == worst > wad(100)
    tail = [
        result.underlyings[1].netted[j]
        for j, x in enumerate(market.scenarios)
        if abs(x.price_ppm) >= PPM
    ]
    assert -min(tail) < worst / 2
    assert result.predictive.shortfall == worst + covered.slack + other.slack
    assert desk.assessments(market, one) == [result.assessment]
    # Of the scan range, on all scenarios, or of the deviation, on the tails.
    nodes = NODES * len(Y) if sigma else 0
    assert (other.deviation, len(other.pnl), len(other.slopes)) == (wad(sigma), nodes, nodes)
    error = worst + min(result.underlyings[1].netted)
    tail_loss = max(0, -min(tail)) + error
    charges = {0: fp.mul_up(wad(0.2), worst), 0.05: fp.mul_up(wad(0.25), tail_loss)}
    linear_loss = fp.mul_up(wad(0.25), result.underlyings[0].worst_loss)
    assert result.predictive.deviation_charge == charges[sigma] + linear_loss


# ------------------------------------------------------------------- the nodes, and between them


class Revaluation:
    """A book of one underlying revalued in float64, with deviations between two classes.

    Parameters
    ----------
    legs : list of tuple
        Size, days to expiry, strike, whether it is a put; linear without a strike.
    """

    price = books.BTC_PRICE

    def __init__(self, legs):
        self.legs = legs
        self.net = {}
        for size, days, strike, _ in legs:
            if strike is not None:
                self.net[days, strike] = self.net.get((days, strike), 0) + size
        self.linear = sum(size for size, _, strike, put in legs if strike is None)
        self.linear -= sum(size for size, _, strike, put in legs if strike is not None and put)

    def book(self, now):
        slots = [
            linear(BTC, size)
            if strike is None
            else option(BTC, now + days * DAY, strike, size, put)
            for size, days, strike, put in self.legs
        ]
        return book(*slots)

    def deviation(self, days, y):
        sigma = books.VOLATILITY * sqrt(days * DAY / YEAR)
        return books.shocked_deviation(sigma, days * DAY, y * PPM)

    def pnl(self, move, interval, share):
        """Return profit and loss where deviations are so far between two classes."""
        total = self.linear * self.price * (move - 1)
        for (days, strike), size in self.net.items():
            low, high = (self.deviation(days, Y[interval + i]) for i in (0, 1))
            shocked = low + share * (high - low)
            total += size * books.black_call(self.price * move, strike, shocked)
            total -= size * books.black_call(self.price, strike, self.deviation(days, 0))
        return total

    def slope(self, move, y, sign):
        """Return the slope in the move of the strikes held with one sign, and of the rest."""
        total = max(0, sign * self.linear) * self.price
        for (days, strike), size in self.net.items():
            if size * sign > 0:
                s = self.deviation(days, y)
                d1 = np.log(self.price * move / strike) / s + s / 2
                total += abs(size) * self.price * books._normal(d1)
        return total

    def bend(self, interval):
        """Return what a value between two classes may be above the chord at most, per move."""
        return sum(
            abs(size)
            * self.price
            * abs(self.deviation(days, Y[interval + 1]) - self.deviation(days, Y[interval]))
            / 10
            for (days, strike), size in self.net.items()
        )


LEGS = st.lists(
    st.tuples(
        st.integers(-300, 300).filter(bool).map(lambda n: n / 100),
        st.sampled_from(DAYS),
        st.one_of(st.none(), st.integers(60, 200).map(lambda n: 500 * n)),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda leg: None if leg[2] is None else leg[1:],
)
MOVES = [max(1 + z * SIGMA[BTC], 0.01) for z in Z]


def told_of(desk, one):
    """Return the exposure of a book, its amounts in USD."""
    now = present()
    (exposure,) = exposures_of(desk, books.market(now), one.book(now))
    amounts = {
        name: np.array(getattr(exposure, name)) / WAD for name in ("pnl", "slopes", "vol_errors")
    }
    classes = 1 if len(exposure.pnl) == NODES else len(Y)
    for name in ("pnl", "slopes"):
        rows = amounts[name].reshape(classes, NODES)
        amounts[name] = np.broadcast_to(rows, (len(Y), NODES))
    return exposure._replace(**amounts)


@settings(max_examples=25)
@given(LEGS)
def test_nodes_are_revalued(desk, legs):
    one = Revaluation(legs)
    exposure = told_of(desk, one)
    scale = 1e-9 * sum(abs(leg[0]) for leg in legs) * one.price
    for c, y in enumerate(Y):
        interval = min(c, len(Y) - 2)
        expected = [one.pnl(m, interval, c - interval) for m in MOVES]
        assert exposure.pnl[c] == pytest.approx(expected, abs=scale)
        slopes = [one.slope(m, y, 1) for m in MOVES]
        assert exposure.slopes[c] == pytest.approx(slopes, abs=scale)
    assert exposure.slack < wad(scale) and exposure.scenario_loss == 0
    assert exposure.deviation == wad(SIGMA[BTC])


@settings(max_examples=25)
@given(LEGS)
def test_between_the_nodes_profit_is_bounded(desk, legs):
    one = Revaluation(legs)
    exposure = told_of(desk, one)
    scale = 1e-9 * sum(abs(leg[0]) for leg in legs) * one.price
    width = np.diff(Z) * SIGMA[BTC]
    gaps = np.maximum(0, np.diff(exposure.slopes, axis=1)) * width / 4
    for (v, (y, y_next)), k in product(enumerate(pairwise(Y)), range(NODES - 1)):
        corners = exposure.pnl[v : v + 2, k : k + 2] - gaps[v : v + 2, k : k + 1]
        twist = corners[1, 1] - corners[1, 0] - corners[0, 1] + corners[0, 0]
        greatest = max(MOVES[k], MOVES[k + 1])
        charge = exposure.vol_errors[v] * greatest
        # What is short is above its chord in the move, what is bent the other way in volatility.
        rises = [
            one.slope(MOVES[k + 1], at, -1) - one.slope(MOVES[k], at, -1) for at in (y, y_next)
        ]
        above = max(0, *rises) * width[k] / 4 + one.bend(v) * greatest
        distance = 2 * gaps[v : v + 2, k].max() + charge + abs(twist) / 2 + above
        for z, b in ((0.5, 0.5), (0.2, 0.3), (0.9, 0.9), (0.6, 0), (0, 0.4)):
            bilinear = (
                corners[0, 0]
                + z * (corners[0, 1] - corners[0, 0])
                + b * (corners[1, 0] - corners[0, 0])
            )
            if z + b > 1:
                bilinear += (z + b - 1) * twist
            bound = bilinear - charge - max(0, -twist) / 4
            true = one.pnl(MOVES[k] + z * (MOVES[k + 1] - MOVES[k]), v, b)
            assert bound - scale <= true <= bound + distance + scale


def test_vectors_of_deviations_where_moves_are_cut(desk, risk_officer):
    """Twelve deviations of ten per cent below are more than everything."""
    desk.predictive.setDeviations(BTC, (True, wad(0.1), wad(0.1)), sender=risk_officer)
    exposure = told_of(desk, Revaluation([(2, 30, None, False), (1, 30, 60_000, False)]))
    assert exposure.slopes[:, 0] == pytest.approx(0, abs=0)
    assert (exposure.slopes[:, 1:] >= 2 * books.BTC_PRICE).all()
