"""Deposits and withdrawals: what arrives, what leaves, and tokens that misbehave."""

import pytest
from engine.world import CASH, ETH, USDX, WAD, WETH, World, account_of, perpetual
from reverts import reverts_with

MAX_RAW = 2**256 - 1


@pytest.fixture(scope="module", params=[0, 6, 18, 24])
def any_world(project, actors, request):
    """A world whose settlement token and WETH have these decimals."""
    return World(project, actors, cash_decimals=request.param, weth_decimals=request.param)


# ------------------------------------------------------------------------------ any decimals


def test_cash_is_credited_in_wad_and_comes_back_whole(any_world, trader):
    world, engine = any_world, any_world.engine
    amount_raw = 7 * 10**world.cash_decimals
    world.fund(trader, CASH, amount_raw)
    receipt = engine.deposit(account_of(trader), CASH, amount_raw, sender=trader)
    deposited = engine.Deposited(
        account=account_of(trader), asset=CASH, amountRaw=amount_raw, cashChange=7 * WAD
    )
    assert deposited in receipt.events
    assert world.cash_of(trader) == engine.cashState().cashHeld == 7 * WAD
    assert world.unaccounted_cash([account_of(trader)]) == 0

    receipt = engine.withdraw(account_of(trader), CASH, amount_raw, trader, sender=trader)
    assert engine.Withdrawn(amountRaw=amount_raw, cashChange=7 * WAD) in receipt.events
    assert world.cash.balanceOf(trader) == amount_raw
    assert world.cash_of(trader) == engine.cashState().cashHeld == 0


def test_collateral_is_kept_in_raw_units_and_shown_in_wad(any_world, trader):
    world, engine = any_world, any_world.engine
    amount_raw = 3 * 10**world.weth_decimals
    world.deposit(trader, WETH, 3)
    assert engine.collateralOf(account_of(trader), WETH) == amount_raw
    assert engine.totalCollateralRaw(WETH) == amount_raw
    assert list(engine.portfolio(account_of(trader)).collateral) == [WETH << 248 | 3 * WAD]

    world.withdraw(trader, WETH, 3)
    assert world.weth.balanceOf(trader) == amount_raw
    assert engine.collateralOf(account_of(trader), WETH) == engine.totalCollateralRaw(WETH) == 0
    assert list(engine.portfolio(account_of(trader)).collateral) == []


def test_dust_of_many_decimals_rounds_against_the_account(project, actors, trader):
    world = World(project, actors, cash_decimals=24, weth_decimals=24)
    engine, account = world.engine, account_of(trader)
    world.fund(trader, CASH, 10**7)
    with world.refuses("ZeroAmount"):
        engine.deposit(account, CASH, 10**6 - 1, sender=trader)
    engine.deposit(account, CASH, 2 * 10**6 - 1, sender=trader)
    assert world.cash_of(trader) == 1
    engine.withdraw(account, CASH, 1, trader, sender=trader)
    assert world.cash_of(trader) == 0

    world.fund(trader, WETH, 10**6)
    engine.deposit(account, WETH, 10**6 - 1, sender=trader)
    assert list(engine.portfolio(account).collateral) == []
    engine.withdraw(account, WETH, 10**6 - 1, trader, sender=trader)
    assert world.weth.balanceOf(trader) == 10**6


def test_many_small_transfers_never_beat_one_large(project, actors, trader):
    world = World(project, actors, cash_decimals=24)
    engine, account = world.engine, account_of(trader)
    amount_raw, pieces = 7 * 10**6 + 700_000, 7
    world.fund(trader, CASH, 2 * amount_raw)
    engine.deposit(account, CASH, amount_raw, sender=trader)
    at_once = world.cash_of(trader)
    for _ in range(pieces):
        engine.deposit(account, CASH, amount_raw // pieces, sender=trader)
    assert world.cash_of(trader) - at_once <= at_once

    before = world.cash.balanceOf(trader)
    for _ in range(pieces):
        engine.withdraw(account, CASH, 1, trader, sender=trader)
    # Each took less than a unit of cash and cost a whole one.
    assert world.cash.balanceOf(trader) - before == pieces
    assert world.cash_of(trader) <= 2 * at_once - pieces
    assert world.unaccounted_cash([account]) == 0


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("asset", [CASH, WETH])
def test_zero_amounts_are_refused(world, engine, trader, asset):
    with world.refuses("ZeroAmount"):
        engine.deposit(account_of(trader), asset, 0, sender=trader)
    with world.refuses("ZeroAmount"):
        engine.withdraw(account_of(trader), asset, 0, trader, sender=trader)


@pytest.mark.parametrize("asset", [3, 31, 32, 255])
def test_unknown_assets_are_refused(world, engine, trader, asset):
    with world.refuses("UnknownAsset", asset=asset):
        engine.deposit(account_of(trader), asset, 1, sender=trader)
    with world.refuses("UnknownAsset", asset=asset):
        engine.withdraw(account_of(trader), asset, 1, trader, sender=trader)
    assert engine.collateralOf(account_of(trader), asset) == 0


def test_a_disabled_asset_is_refused_but_can_leave(world, engine, trader):
    world.deposit(trader, WETH, 1)
    world.set_collateral(WETH, enabled=False)
    world.fund(trader, WETH, WAD)
    with world.refuses("AssetDisabled", asset=WETH):
        engine.deposit(account_of(trader), WETH, WAD, sender=trader)
    world.withdraw(trader, WETH, 1)


def test_collateral_above_the_cap_is_refused(world, engine, trader):
    world.set_collateral(WETH, cap_raw=5 * WAD)
    world.deposit(trader, WETH, 4)
    world.fund(trader, WETH, 2 * WAD)
    for amount_raw in (WAD + 1, 2 * WAD):
        with world.refuses(
            "CollateralCap", asset=WETH, totalRaw=4 * WAD + amount_raw, capRaw=5 * WAD
        ):
            engine.deposit(account_of(trader), WETH, amount_raw, sender=trader)
    with world.refuses("CollateralCap", asset=WETH, totalRaw=MAX_RAW, capRaw=5 * WAD):
        engine.deposit(account_of(trader), WETH, MAX_RAW, sender=trader)
    engine.deposit(account_of(trader), WETH, WAD, sender=trader)


def test_collateral_that_was_never_priced_is_refused(world, engine, trader):
    world.fund(trader, USDX, WAD)
    world.fund(trader, WETH, WAD)
    world.set_rate(USDX, 0)
    with world.refuses("MissingCollateralRate", asset=USDX):
        engine.deposit(account_of(trader), USDX, WAD, sender=trader)
    world.set_spot(ETH, 0)
    with world.refuses("MissingPrice", underlying=ETH, expiry=0):
        engine.deposit(account_of(trader), WETH, WAD, sender=trader)


def test_more_collateral_than_there_is_cannot_leave(world, engine, trader):
    world.deposit(trader, WETH, 2)
    for amount_raw in (2 * WAD + 1, MAX_RAW):
        with world.refuses(
            "InsufficientCollateral", asset=WETH, requestedRaw=amount_raw, balanceRaw=2 * WAD
        ):
            engine.withdraw(account_of(trader), WETH, amount_raw, trader, sender=trader)


def test_cash_that_is_lent_cannot_leave(world, engine, trader, lender):
    world.deposit(lender, CASH, 1_000)
    world.deposit(trader, WETH, 1)
    world.withdraw(trader, CASH, 900)
    with world.refuses("InsufficientCash", requested=101 * WAD, cashHeld=100 * WAD):
        world.withdraw(lender, CASH, 101)
    world.withdraw(lender, CASH, 100)


def test_amounts_no_token_has_are_refused_as_any_other(world, engine, trader):
    """Above 2^192 raw units an amount is converted as that: the product would not fit a word."""
    world.deposit(trader, CASH, 10)
    for amount_raw in (2**192, MAX_RAW):
        with world.refuses("InsufficientCash", requested=2**192 * 10**12, cashHeld=10 * WAD):
            engine.withdraw(account_of(trader), CASH, amount_raw, trader, sender=trader)
    with world.refuses("ERC20InsufficientBalance", sender=trader, balance=0, needed=MAX_RAW):
        engine.deposit(account_of(trader), CASH, MAX_RAW, sender=trader)


def test_cash_beyond_its_field_is_refused(project, actors, trader):
    world = World(project, actors, cash_decimals=18)
    engine, account = world.engine, account_of(trader)
    world.fund(trader, CASH, 2**104)
    with world.refuses("CashOverflow", account=account, value=2**103):
        engine.deposit(account, CASH, 2**103, sender=trader)
    engine.deposit(account, CASH, 2**103 - 1, sender=trader)
    assert world.stored_cash(account) == 2**103 - 1


def test_a_settlement_token_of_25_decimals_is_refused(project, world, actors):
    token = actors[0].deploy(project.MockToken, "X", "X", 25)
    with reverts_with("UnsupportedDecimals", token=token, decimals=25):
        actors[0].deploy(
            *(project.LiquidationEngine, world.parameters, world.rules, world.market, world.risk),
            *(token, world.governance),
        )


def test_anyone_may_deposit_cash_for_anyone(world, engine, trader, outsider):
    world.fund(outsider, CASH, 5 * 10**6)
    receipt = engine.deposit(account_of(trader), CASH, 5 * 10**6, sender=outsider)
    assert engine.Deposited(account=account_of(trader), **{"from": outsider}) in receipt.events
    assert world.cash_of(trader) == 5 * WAD


def test_a_stranger_makes_no_account_stale_with_dust(
    world, engine, trader, maker, operator, outsider
):
    """One unit of a token with an old price held up whoever got it until it was withdrawn."""
    account = account_of(trader)
    world.deposit(trader, CASH, 100_000)
    world.deposit(maker, CASH, 100_000)
    world.set_rate(USDX, WAD, timestamp=world.now - 10**6)
    for holder in (outsider, operator):
        world.fund(holder, USDX, WAD)
    refused = {"account": account, "caller": outsider}
    with world.refuses("NotAuthorised", **refused):
        engine.deposit(account, USDX, 1, sender=outsider)
    with world.refuses("NotAuthorised", **refused):
        world.batch(outsider, ("deposit", (account, USDX, 1)))
    # Before amount and asset, which say nothing to a stranger.
    for asset, amount_raw in ((USDX, 0), (3, 1), (255, 1)):
        with world.refuses("NotAuthorised", **refused):
            engine.deposit(account, asset, amount_raw, sender=outsider)
    world.trade(trader, maker, perpetual(), 1, 2_000)
    # What the owner has let in, by an operator too, others may add to, until it is gone.
    engine.setOperator(operator, 1, sender=trader)
    engine.deposit(account, USDX, 1, sender=operator)
    engine.deposit(account, USDX, 2, sender=outsider)
    assert engine.collateralOf(account, USDX) == 3
    world.set_rate(USDX, WAD)
    engine.withdraw(account, USDX, 3, trader, sender=trader)
    with world.refuses("NotAuthorised", **refused):
        engine.deposit(account, USDX, 1, sender=outsider)


# ------------------------------------------------------------------------- tokens that misbehave


@pytest.mark.parametrize("asset", [CASH, WETH])
def test_a_fee_on_transfer_is_refused(project, actors, trader, asset):
    fee_token = project.FeeToken
    world = World(project, actors, cash_token=fee_token, weth_token=fee_token)
    amount_raw = 1_000
    world.fund(trader, asset, amount_raw)
    with world.refuses(
        "TransferMismatch", token=world.token(asset), expectedRaw=amount_raw, movedRaw=990
    ):
        world.engine.deposit(account_of(trader), asset, amount_raw, sender=trader)


@pytest.mark.parametrize("asset", [CASH, WETH])
def test_a_withdrawal_to_the_engine_itself_is_refused(world, engine, trader, asset):
    world.deposit(trader, asset, 1)
    with world.refuses("TransferMismatch", token=world.token(asset), expectedRaw=1_000, movedRaw=0):
        engine.withdraw(account_of(trader), asset, 1_000, engine, sender=trader)


@pytest.mark.parametrize("asset", [CASH, WETH])
def test_a_token_that_vanished_is_noticed_at_the_next_deposit(world, engine, trader, asset):
    token, unit = world.token(asset), world.raw(asset, 1)
    world.deposit(trader, asset, 10)
    token.burn(engine, 2 * unit, sender=trader)
    world.fund(trader, asset, unit)
    with world.refuses("TokenShortfall", token=token, balanceRaw=9 * unit, accountedRaw=11 * unit):
        engine.deposit(account_of(trader), asset, unit, sender=trader)
    token.mint(engine, 2 * unit, sender=trader)
    engine.deposit(account_of(trader), asset, unit, sender=trader)


def test_tokens_sent_without_a_deposit_belong_to_nobody(world, engine, trader):
    world.cash.mint(engine, 5 * 10**6, sender=trader)
    world.weth.mint(engine, WAD, sender=trader)
    assert engine.cashState().cashHeld == engine.totalCollateralRaw(WETH) == 0
    world.deposit(trader, CASH, 1)
    assert world.cash_of(trader) == engine.cashState().cashHeld == WAD


@pytest.fixture(scope="module")
def hooked(project, actors):
    """A world whose tokens call back during every transfer."""
    hook_token = project.HookToken
    return World(project, actors, cash_token=hook_token, weth_token=hook_token)


@pytest.mark.parametrize("asset", [CASH, WETH])
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("deposit", (1 << 8, CASH, 1)),
        ("withdraw", (1 << 8, CASH, 1, "0x" + "11" * 20)),
        ("settle", (1 << 8,)),
        ("accrue", (ETH,)),
        ("setOperator", ("0x" + "11" * 20, 1)),
        ("setMarginMode", (1 << 8, 1)),
        ("batch", ([],)),
    ],
)
def test_re_entry_through_a_hook_is_refused(hooked, trader, asset, name, arguments):
    world, engine = hooked, hooked.engine
    token, account = world.token(asset), account_of(trader)
    world.deposit(trader, asset, 1)
    world.fund(trader, asset, 1_000)
    call = getattr(engine, name).encode_input(*arguments)
    token.setHook(engine, call, sender=trader)
    with world.refuses("Reentrancy"):
        engine.deposit(account, asset, 1_000, sender=trader)
    with world.refuses("Reentrancy"):
        engine.withdraw(account, asset, 1_000, trader, sender=trader)
    with world.refuses("Reentrancy"):
        world.batch(trader, ("deposit", (account, asset, 1_000)))


def test_a_match_within_a_hook_is_refused(hooked, trader, maker):
    world, engine = hooked, hooked.engine
    world.fund(trader, CASH, 1_000)
    orders = (
        world.order(maker, perpetual(), -1, 2_000),
        world.order(trader, perpetual(), 1, 2_000),
    )
    call = engine.matchOrders.encode_input(*world.match_arguments(*orders))
    world.cash.setHook(engine, call, sender=trader)
    with world.refuses("Reentrancy"):
        engine.deposit(account_of(trader), CASH, 1_000, sender=trader)


@pytest.mark.parametrize("asset", [CASH, WETH])
def test_within_a_hook_the_account_is_never_too_rich(hooked, trader, asset):
    """What a view shows while tokens move is the poorer of before and after."""
    world, engine, token = hooked, hooked.engine, hooked.token(asset)
    account = account_of(trader)
    world.deposit(trader, asset, 10)
    unit = world.raw(asset, 1)
    world.fund(trader, asset, unit)
    view = "cashOf" if asset == CASH else "collateralOf"
    arguments = (account,) if asset == CASH else (account, asset)
    one = WAD if asset == CASH else unit
    token.setHook(engine, getattr(engine, view).encode_input(*arguments), sender=trader)
    for action, seen in (
        (lambda: engine.deposit(account, asset, unit, sender=trader), 10),
        (lambda: engine.withdraw(account, asset, 4 * unit, trader, sender=trader), 7),
    ):
        action()
        # A call writes the answer as ABI-encoded bytes: offset, length, then the word.
        assert int.from_bytes(token.returned()[-32:]) == seen * one


def test_the_storage_slot_of_headers_is_where_the_tests_read_it(world, trader):
    world.deposit(trader, CASH, 12)
    assert world.stored_cash(account_of(trader)) == 12 * WAD
