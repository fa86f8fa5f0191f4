"""The estimator on the chain: sequences of samples against the exact model, and its limits."""

from math import exp, log
from random import Random

import pytest
from ape.exceptions import TransactionError
from reverts import revert_data, reverts_with

from reference_model.exact import scan_range
from reference_model.exact.errors import MissingPrice
from reference_model.exact.volatility_estimator import EstimatorParameters, VolatilityEstimator

WAD = 10**18
HOUR, DAY = 3_600, 86_400
BASKET = {1: 6 * WAD // 10, 2: 8 * WAD // 10, 3: WAD}
LEVELS = {1: 60_000, 2: 3_000, 3: 150}
MULTIPLIER = 4 * WAD


@pytest.fixture(scope="module")
def market(project, actors):
    return actors.admin.deploy(project.MarketDouble)


@pytest.fixture(scope="module")
def estimator(project, actors, governance, parameters, market, appoint, configuration):
    contract = actors.admin.deploy(project.VolatilityEstimator, governance, parameters, market)
    appoint(contract, "VolatilityEstimator")
    governance.grantRole(governance.ESTIMATOR(), contract, 0, sender=actors.admin)
    for underlying, volatility in BASKET.items():
        contract.addUnderlying(underlying, volatility, sender=actors.governor)
    listed = configuration.underlyings["BTC"].struct() | {"scanMultiplier": MULTIPLIER}
    for underlying in (1, 2):  # the third is in the basket, and not listed
        parameters.setUnderlyingParameters(underlying, listed, sender=actors.governor)
    return contract


@pytest.fixture
def model(market):
    """Return the exact model, reading the same prices."""
    posted = {}

    def spot(underlying):
        if underlying not in posted:
            raise MissingPrice(underlying, 0)
        return posted[underlying]

    exact = VolatilityEstimator(spot)
    for underlying, volatility in BASKET.items():
        exact.add_underlying(underlying, volatility)
    return exact, posted


@pytest.fixture
def post(market, model, actors):
    _, posted = model

    def set_price(underlying, price, timestamp):
        values = (int(price * WAD), 0, 1, 1, timestamp)
        market.setSpot(underlying, values, sender=actors.admin)
        posted[underlying] = values

    return set_price


def sample(estimator, actors, chain, at):
    chain.pending_timestamp = at
    return estimator.sample(sender=actors.outsider)


def test_samples_agree_with_the_model_whatever_is_missing(
    estimator, parameters, market, model, post, actors, chain
):
    """Irregular times; prices fresh, stale, disputed or missing; jumps that are cut."""
    rng, (exact, _) = Random(1), model
    prices, time = dict(LEVELS), chain.blocks.head.timestamp + 10 * HOUR
    for step in range(16):
        time += rng.choice([HOUR, HOUR + 7, 5 * HOUR, 3 * DAY])
        common = rng.gauss(0, 0.01)
        for underlying in BASKET:
            if step < 3 and underlying == 3:
                continue  # never posted yet
            jump = rng.choice([0] * 6 + [-0.7, 0.5])
            prices[underlying] *= exp(common + rng.gauss(0, 0.01) + jump)
            age = rng.choice([0, 0, 0, HOUR - 30, HOUR + 1, time])  # the last: disputed
            post(underlying, prices[underlying], time - age)
        receipt = sample(estimator, actors, chain, time)
        moves = exact.sample(time, time)
        assert list(estimator.covariances()) == list(exact.packed_covariances()), step
        (event,) = receipt.decode_logs(estimator.Sampled)
        assert event.activeTime == time
        assert list(event.covariances) == list(exact.packed_covariances())
        moved = receipt.decode_logs(parameters.ScanRangeMoved)
        assert [(e.underlying, e.target) for e in moved] == [
            (underlying, scan_range.aim(MULTIPLIER, deviation))
            for underlying, deviation in moves
            if underlying != 3
        ]
    for u in BASKET:
        assert estimator.variance(u) == exact.variance(u)
        for v in BASKET:
            assert estimator.covariance(u, v) == exact.covariance(u, v)
            assert estimator.correlation(u, v) == exact.correlation(u, v)
    assert estimator.correlation(1, 2) != 0 and estimator.correlation(2, 2) >= WAD * 999 // 1000


def test_pairs_of_different_spans_are_left_out(estimator, post, actors, chain):
    time = chain.blocks.head.timestamp + 10 * HOUR
    for underlying, level in LEVELS.items():
        post(underlying, level, time)
    sample(estimator, actors, chain, time)
    for underlying, level in LEVELS.items():  # the second is too old for this sample
        post(underlying, level * 1.02, time + HOUR if underlying != 2 else time - 1)
    sample(estimator, actors, chain, time + HOUR)
    before = estimator.covariance(1, 2)
    assert before == 0 < estimator.covariance(1, 3)
    for underlying, level in LEVELS.items():
        post(underlying, level * 1.04, time + 2 * HOUR)
    of_second = estimator.variance(2)
    sample(estimator, actors, chain, time + 2 * HOUR)
    assert estimator.covariance(1, 2) == before  # spans of one hour and of two
    assert estimator.variance(2) != of_second
    assert estimator.anchor(2) == (int(LEVELS[2] * 1.04 * WAD), time + 2 * HOUR)


@pytest.mark.parametrize("up", [True, False])
def test_who_decides_every_price_reaches_the_bound_and_no_more(
    estimator, parameters, post, actors, chain, up
):
    """Prices that jump as far as they like, or do not move at all; nothing else goes further."""
    start = estimator.covariances()[0]
    weight, z, count = 1 - exp(-1 / 240), 6, 12
    time, price = chain.blocks.head.timestamp + 10 * HOUR, 60_000
    post(1, price, time)
    sample(estimator, actors, chain, time)
    for k in range(1, count + 1):
        price = price * (3 if k % 2 else 1 / 3) if up else price
        post(1, price, time + k * HOUR)
        sample(estimator, actors, chain, time + k * HOUR)
        factor = (1 + weight * (z * z - 1)) if up else (1 - weight)
        bound = start * factor**k
        reached = estimator.covariances()[0]
        assert reached == pytest.approx(bound, rel=1e-9)
        assert reached <= bound + k + 1e-12 * bound if up else reached >= bound - k - 1e-12 * bound
    if up:  # and what it moved: 7 % of volatility each time, nothing of the range at the stroke
        assert log(reached / start) / 2 / count == pytest.approx(0.068, abs=0.001)
        receipt = estimator.estimator()
        assert receipt.sampledAt == time + count * HOUR
        hourly = exp(0.25 * count)
        assert parameters.scanRanges(1)[0] <= parameters.underlyingParameters(1).scanRange * hourly


def test_estimates_saturate_instead_of_overflowing(estimator, model, post, actors, chain):
    """The widest bound, and a price that leaps from end to end, day by day, then every minute."""
    exact, _ = model
    estimator.setEstimator(60, DAY, 20 * WAD, sender=actors.governor)
    exact.set_estimator(EstimatorParameters(60, DAY, 20 * WAD))
    time = chain.blocks.head.timestamp + DAY
    for k in range(24):
        post(1, 10**10 if k % 2 else 1e-18, time)
        sample(estimator, actors, chain, time)
        exact.sample(time, time)
        assert list(estimator.covariances()) == list(exact.packed_covariances())
        time += DAY if k < 6 else 60
    assert estimator.covariances()[0] == 2**63 - 1


def test_another_failure_than_a_missing_price_is_passed_on(
    project, governance, parameters, appoint, actors
):
    """Who is short of gas must not choose who is left out."""
    no_market = governance
    estimator = actors.admin.deploy(project.VolatilityEstimator, governance, parameters, no_market)
    appoint(estimator, "VolatilityEstimator")
    estimator.addUnderlying(1, WAD, sender=actors.governor)
    with pytest.raises(TransactionError) as failure:
        estimator.sample(sender=actors.outsider)
    assert revert_data(failure.value) == b""


def test_samples_keep_their_distance_in_active_time(estimator, parameters, actors, chain):
    time = chain.blocks.head.timestamp + 10
    sample(estimator, actors, chain, time)
    earliest = time + HOUR
    chain.pending_timestamp = earliest - 1
    with reverts_with("SampleTooEarly", activeTime=earliest - 1, earliest=earliest):
        estimator.sample(sender=actors.outsider)
    chain.pending_timestamp = earliest - 1
    start = parameters.declareOutage(DAY, sender=actors.guardian).timestamp
    chain.pending_timestamp = start + DAY
    with reverts_with("SampleTooEarly", activeTime=start, earliest=earliest):
        estimator.sample(sender=actors.outsider)
    sample(estimator, actors, chain, start + DAY + earliest - start)


def test_the_basket_holds_eight_and_settings_stay_within_their_ranges(estimator, actors):
    governor = actors.governor

    def refuses(name, value, low, high):
        padded = name.encode().ljust(32, b"\0")
        return reverts_with("ParameterOutOfRange", name=padded, value=value, min=low, max=high)

    for value in (WAD // 20 - 1, 5 * WAD + 1):
        with refuses("annualVolatility", value, WAD // 20, 5 * WAD):
            estimator.addUnderlying(4, value, sender=governor)
    with reverts_with("AlreadyInBasket", underlying=2):
        estimator.addUnderlying(2, WAD, sender=governor)
    for underlying in range(4, 9):
        estimator.addUnderlying(underlying, WAD, sender=governor)
    with reverts_with("BasketFull", max=8):
        estimator.addUnderlying(9, WAD, sender=governor)
    assert list(estimator.basket()) == list(range(1, 9))
    with reverts_with("NotInBasket", underlying=9):
        estimator.variance(9)
    bounds = {
        "intervalSeconds": (60, DAY),
        "decaySeconds": (DAY, 365 * DAY),
        "maxDeviation": (2 * WAD, 20 * WAD),
    }
    valid = {"intervalSeconds": HOUR, "decaySeconds": DAY, "maxDeviation": 6 * WAD}
    for name, (low, high) in bounds.items():
        for value in (low - 1, high + 1):
            with refuses(name, value, low, high):
                estimator.setEstimator(*(valid | {name: value}).values(), sender=governor)
        for value in (low, high):
            estimator.setEstimator(*(valid | {name: value}).values(), sender=governor)
            assert estimator.estimator()[name] == value


def test_the_basket_is_the_governors(estimator, actors):
    for call, arguments in (
        (estimator.addUnderlying, (4, WAD)),
        (estimator.setEstimator, (HOUR, DAY, 6 * WAD)),
    ):
        with reverts_with("AccessManagedUnauthorized", caller=actors.outsider):
            call(*arguments, sender=actors.outsider)
