"""The lens agrees with the engine: on what is, and on what would be."""

import ape
import pytest
from engine.world import (
    BTC,
    CASH,
    ETH,
    ISOLATED,
    PREDICTIVE,
    USDX,
    WETH,
    World,
    account_of,
    option,
    perpetual,
)
from eth_abi import decode
from margin.desk import BREAKDOWN, flat_svi, to_breakdown
from reverts import reverts_with

from reference_model.types import DAY, WAD, YEAR, Health

CHARGES = {
    "basisRate": WAD // 200,
    "shortOptionRate": WAD // 200,
    "maxOiMultiplier": WAD,
    "oiUpper": 100 * WAD,
}


@pytest.fixture(scope="module")
def world(project, actors):
    return World(project, actors, risk_model=project.RiskModel)


@pytest.fixture(scope="module")
def lens(project, world):
    return world.admin.deploy(project.MarginLens, world.engine)


@pytest.fixture(scope="module")
def expiry(world):
    world.set_underlying(ETH, **CHARGES)
    world.end_ramps()
    expiry = world.list_expiry(days=30)
    variance = 0.36 * 30 * DAY / YEAR
    flat = (2_000 * WAD, WAD, flat_svi(variance), world.now)
    world.market.setSlice(ETH, expiry, flat, sender=world.admin)
    return expiry


@pytest.fixture(scope="module")
def book(world, trader, maker, lender, expiry):
    """A trader long a call and short a perpetual at a profit, backed by WETH, owing cash."""
    for owner in (trader, maker, lender):
        world.deposit(owner, CASH, 100_000)
    world.deposit(trader, WETH, 5)
    world.trade(trader, maker, option(expiry, 2_100), 3, 120)
    world.trade(maker, trader, perpetual(), 4, 2_050)
    world.set_spot(ETH, 2_000, mark=2_010)
    world.withdraw(trader, CASH, 100_500)
    world.wait(1_500)
    return account_of(trader)


def decoded(method, *arguments, count=1):
    """Return breakdowns that a view of the lens answers with."""
    transaction = {"to": method.contract.address, "data": method.encode_input(*arguments).hex()}
    answer = ape.chain.provider.make_request("eth_call", [transaction, "latest"])
    data = bytes.fromhex(answer.removeprefix("0x"))
    return [to_breakdown(fields) for fields in decode([BREAKDOWN] * count, data)]


def hypothesis(trades=(), transfers=(), mode=None):
    return list(transfers), list(trades), mode is not None, mode or 0


def foreseen_and_real(lens, account, supposed, act):
    """Return the breakdown foreseen at the time of an action, and the one after it."""
    with ape.chain.isolate():
        act()
        time = ape.chain.blocks.head.timestamp
        (real,) = decoded(lens.breakdown, account)
    ape.chain.mine(timestamp=time)
    _, foreseen = decoded(lens.whatIf, account, supposed, count=2)
    return foreseen, real


def test_lens_says_what_the_engine_would_judge(lens, world, book, maker):
    other = account_of(maker)
    portfolio = world.engine.portfolio(book)
    assert lens.assess(book) == world.risk.assess(portfolio)
    (one,) = decoded(lens.breakdown, book)
    assert tuple(lens.assess(book)) == tuple(one.assessment)
    assert lens.assessMany([book, other]) == [lens.assess(book), lens.assess(other)]
    assert lens.breakdownMany([other, book]) == [lens.breakdown(other), lens.breakdown(book)]
    auctions = [world.engine.auctionOf(account) for account in (other, book)]
    assert lens.auctionMany([other, book]) == auctions


def test_supposing_nothing_changes_nothing(lens, book):
    before, after = decoded(lens.whatIf, book, hypothesis(), count=2)
    assert before == after == decoded(lens.breakdown, book)[0]


@pytest.mark.parametrize("size", [1, -5, -3])
def test_option_trade_is_foreseen(lens, world, book, trader, lender, expiry, size):
    call = option(expiry, 2_100)
    supposed = hypothesis([(call, size * WAD, 110 * WAD, True)])
    maker_order = world.order(lender, call, -size, 110)
    taker_order = world.order(trader, call, size, 110)
    foreseen, real = foreseen_and_real(
        lens, book, supposed, lambda: world.match(maker_order, taker_order)
    )
    assert foreseen == real


@pytest.mark.parametrize("size", [-1, 1, 6])
def test_perpetual_trade_with_funding_is_foreseen(lens, world, book, trader, lender, size):
    assert world.engine.currentFundingIndex(ETH) != 0
    supposed = hypothesis([(perpetual(), size * WAD, 2_015 * WAD, False)])
    maker_order = world.order(trader, perpetual(), size, 2_015)
    taker_order = world.order(lender, perpetual(), -size, 2_015)
    foreseen, real = foreseen_and_real(
        lens, book, supposed, lambda: world.match(maker_order, taker_order)
    )
    assert foreseen == real


@pytest.mark.parametrize("price", [1_900, 2_200])
def test_closing_a_perpetual_settles_it(lens, world, book, trader, maker, lender, price):
    """At a loss the trader pays at once; a profit is paid as far as the pool goes."""
    world.engine.settle(account_of(maker), sender=lender)
    assert world.engine.marketState(ETH).pnlPool > 0
    supposed = hypothesis([(perpetual(), 4 * WAD, price * WAD, True)])
    maker_order = world.order(lender, perpetual(), -4, price)
    taker_order = world.order(trader, perpetual(), 4, price)
    foreseen, real = foreseen_and_real(
        lens, book, supposed, lambda: world.match(maker_order, taker_order)
    )
    assert foreseen == real
    assert all(part.delta > 0 for part in foreseen.underlyings)


def test_new_underlying_is_foreseen(lens, world, book, trader, lender):
    supposed = hypothesis([(perpetual(BTC), WAD // 100, 50_000 * WAD, True)])
    maker_order = world.order(lender, perpetual(BTC), -0.01, 50_000)
    taker_order = world.order(trader, perpetual(BTC), 0.01, 50_000)
    foreseen, real = foreseen_and_real(
        lens, book, supposed, lambda: world.match(maker_order, taker_order)
    )
    assert foreseen == real
    assert [part.underlying for part in foreseen.underlyings] == [ETH, BTC]


@pytest.mark.parametrize(("asset", "amount"), [(CASH, 7.5), (WETH, 0.25), (USDX, 30)])
def test_deposit_is_foreseen(lens, world, book, trader, asset, amount):
    amount_raw = world.raw(asset, amount)
    world.fund(trader, asset, amount_raw)
    foreseen, real = foreseen_and_real(
        lens,
        book,
        hypothesis(transfers=[(asset, amount_raw)]),
        lambda: world.engine.deposit(book, asset, amount_raw, sender=trader),
    )
    assert foreseen == real


@pytest.mark.parametrize(("asset", "amount"), [(CASH, 7.5), (WETH, 0.25)])
def test_withdrawal_is_foreseen(lens, world, book, trader, asset, amount):
    foreseen, real = foreseen_and_real(
        lens,
        book,
        hypothesis(transfers=[(asset, -world.raw(asset, amount))]),
        lambda: world.withdraw(trader, asset, amount),
    )
    assert foreseen == real


def test_change_of_mode_is_foreseen(lens, world, book, trader):
    foreseen, real = foreseen_and_real(
        lens,
        book,
        hypothesis(mode=ISOLATED),
        lambda: world.engine.setMarginMode(book, ISOLATED, sender=trader),
    )
    assert foreseen == real
    assert foreseen.assessment.initial_margin == foreseen.isolated_initial_margin


def test_withdrawal_too_far_shows_the_margin_call(lens, world, book):
    supposed = hypothesis(transfers=[(CASH, -world.raw(CASH, 9_400))])
    before, after = decoded(lens.whatIf, book, supposed, count=2)
    assert before.health == Health.HEALTHY
    assert after.health > Health.HEALTHY
    assert after.assessment.equity == before.assessment.equity - 9_400 * WAD


def test_transfers_of_one_asset_add_up(lens, world, book):
    three = hypothesis(transfers=[(WETH, -2 * WAD), (WETH, -3 * WAD), (WETH, WAD)])
    once = hypothesis(transfers=[(WETH, -4 * WAD)])
    assert lens.whatIf(book, three) == lens.whatIf(book, once)


def test_open_interest_is_no_matter_of_an_underlying_without_positions(
    lens, world, book, trader, lender, expiry
):
    """Collateral stays in the scenarios of ETH when the last position in it is gone."""
    trades = [(option(expiry, 2_100), -3 * WAD, 110 * WAD, True)]
    trades += [(perpetual(), 4 * WAD, 2_060 * WAD, True)]  # at a loss, which is paid at once
    foreseen, real = foreseen_and_real(
        lens,
        book,
        hypothesis(trades),
        lambda: [
            world.match(
                world.order(lender, instrument, -size // WAD, price // WAD),
                world.order(trader, instrument, size // WAD, price // WAD),
            )
            for instrument, size, price, _ in trades
        ],
    )
    assert foreseen.underlyings == real.underlyings
    assert foreseen.underlyings[0].worst_loss > 0
    assert foreseen.underlyings[0].open_interest_charge == 0


@pytest.mark.parametrize(
    ("age", "fit"),
    [(0, 4), (1_800, 4), (1_801, 3), (3_600, 3), (3_601, 2), (7_200, 2), (7_201, 1), (DAY, 1)],
)
def test_validity_tells_what_prices_are_young_enough_for(lens, world, trader, age, fit):
    world.deposit(trader, WETH, 1, sub_id=5)
    posted = world.now + 10
    world.set_spot(ETH, 2_000, timestamp=posted)
    world.set_rate(WETH, WAD, timestamp=posted + 3)
    ape.chain.mine(timestamp=posted + age)
    assert tuple(lens.validity(account_of(trader, 5))) == (
        posted,
        *[False] * (4 - fit),
        *[True] * fit,
    )


def test_validity_of_a_disputed_price_is_none(lens, world, trader, maker):
    world.deposit(trader, WETH, 1)
    world.set_spot(ETH, 2_000, timestamp=0)
    assert tuple(lens.validity(account_of(trader))) == (0, False, False, False, False)
    # Cash needs no price.
    world.deposit(maker, CASH, 1)
    now = ape.chain.blocks.head.timestamp
    nothing = lens.validity(account_of(maker, 7))
    assert nothing.oldestTimestamp >= now
    assert nothing.withdraw and nothing.open and nothing.margin and nothing.liquidation


def test_impossible_hypotheses_are_refused(lens, world, book, expiry):
    listed, unlisted = option(expiry, 2_000), option(expiry + 3_600, 2_000)
    with reverts_with("UnknownInstrument", instrument=unlisted):
        lens.whatIf(book, hypothesis([(unlisted, WAD, WAD, True)]))
    with reverts_with("UnknownInstrument", instrument=listed | 1):
        lens.whatIf(book, hypothesis([(listed | 1, WAD, WAD, True)]))
    with reverts_with("UnknownAsset", asset=9):
        lens.whatIf(book, hypothesis(transfers=[(9, 1)]))
    with reverts_with(
        "InsufficientCollateral", asset=WETH, requestedRaw=6 * WAD, balanceRaw=5 * WAD
    ):
        lens.whatIf(book, hypothesis(transfers=[(WETH, -6 * WAD)]))
    world.wait(31 * DAY)
    with reverts_with("InstrumentExpired", instrument=listed, expiry=expiry):
        lens.whatIf(book, hypothesis([(listed, WAD, WAD, True)]))


def test_positions_are_decoded_and_valued(lens, world, book, expiry):
    call, short = lens.positions(book)
    assert (call.instrument, call.underlying, call.expiry) == (option(expiry, 2_100), ETH, expiry)
    assert (call.isOption, call.isPut) == (True, False)
    assert (call.strike, call.size, call.quote) == (2_100 * WAD, 3 * WAD, 0)
    assert 0 < call.delta < 3 * 2_000 * WAD
    assert (short.instrument, short.expiry, short.isOption) == (perpetual(), 0, False)
    assert (short.size, short.delta) == (-4 * WAD, -4 * 2_010 * WAD)
    # Four sold at 2,050 and worth 2,010, and funding received for 25 minutes.
    assert 2 * WAD < short.value - 160 * WAD < 3 * WAD
    whole = lens.breakdown(book)
    assert call.value + short.value == whole.derivativeValue
    losses = call.isolatedLoss + short.isolatedLoss
    collateral = 5 * 2_000 * WAD * 15 // 100
    assert losses + collateral == pytest.approx(whole.isolatedScanRisk, rel=1e-15)


def test_measures_are_of_the_account_and_pass_on_what_is_asked(lens, book, maker):
    """The double answers with its argument, and with the number of exposures it was given."""
    assert lens.shortfallAt(book, 7 * WAD) == 7 * WAD + 1
    assert tuple(lens.exceedances(book, 9 * WAD)) == (1, 9 * WAD)
    bare = account_of(maker, 9)
    assert lens.shortfallAt(bare, 7 * WAD) == 7 * WAD
    assert tuple(lens.exceedances(bare, 9 * WAD)) == (0, 9 * WAD)


def test_predictive_mode_is_foreseen(lens, world, book, trader):
    world.deposit(trader, CASH, 10_000)
    foreseen, real = foreseen_and_real(
        lens,
        book,
        hypothesis(mode=PREDICTIVE),
        lambda: world.engine.setMarginMode(book, PREDICTIVE, sender=trader),
    )
    assert foreseen == real
    assert foreseen.predictive.applies
    assert foreseen.assessment.initial_margin == foreseen.predictive.initial_margin > 0


def test_capital_efficiency_compares_both_generations(lens, world, book, maker):
    result = lens.breakdown(book)
    saved = WAD - -(-result.netInitialMargin * WAD // result.isolatedInitialMargin)
    assert lens.capitalEfficiency(book) == saved > 0
    assert lens.capitalEfficiency(account_of(maker, 9)) == 0
