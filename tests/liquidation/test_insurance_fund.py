"""The insurance fund: whole walks against the exact model, its exits, its shares, its losses."""

from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reverts import reverts_with

from reference_model.exact import insurance_fund as model
from reference_model.exact.errors import ModelError

HOUR, DAY = 3_600, 86_400
COOLDOWN, EXIT_WINDOW = 7 * DAY, 2 * DAY
VIRTUAL_SHARES = 10**6
LOTS = 2**200
STEPS = """deposit mint request_exit request_exit transfer redeem redeem withdraw cover reward
loss""".split()


@pytest.fixture(scope="module")
def actors(accounts):
    names = ("deployer", "staker", "other", "third", "outsider")
    return SimpleNamespace(**dict(zip(names, accounts, strict=False)))


@pytest.fixture(scope="module")
def clock(project, actors):
    return actors.deployer.deploy(project.ClockDouble)


@pytest.fixture(scope="module")
def make_fund(project, actors, clock):
    """Return a fund of a token with these decimals, with the engine that may draw on it."""

    def make(decimals, cooldown=COOLDOWN, exit_window=EXIT_WINDOW):
        deployer = actors.deployer
        token = deployer.deploy(project.MockToken, "Dollar", "USD", decimals)
        engine = deployer.deploy(project.InsuredDouble)
        fund = deployer.deploy(project.InsuranceFund, engine, clock, token, cooldown, exit_window)
        for staker in (actors.staker, actors.other, actors.third):
            token.mint(staker, LOTS, sender=deployer)
            token.approve(fund, 2**256 - 1, sender=staker)
        return SimpleNamespace(fund=fund, token=token, engine=engine)

    return make


@pytest.fixture(scope="module", params=[6, 0, 24])
def any_decimals(make_fund, request):
    return make_fund(request.param)


@pytest.fixture(scope="module")
def usual(make_fund):
    return make_fund(6)


@pytest.fixture
def fund(usual):
    return usual.fund


@pytest.fixture
def staked(fund, actors):
    """Stake, and return the shares."""
    fund.deposit(10**9, actors.staker, sender=actors.staker)
    return fund.balanceOf(actors.staker)


def at(chain, timestamp):
    chain.pending_timestamp = timestamp


def ask_to_leave(fund, owner, shares):
    """Request an exit; return the times from and up to which it is open."""
    fund.requestExit(shares, sender=owner)
    _, start, until = fund.exitRequest(owner)
    return start, until


# Walks against the model ------------------------------------------------------------------------


class Walk:
    """The same steps on the chain and in the model, with the same outcome, value or error."""

    def __init__(self, world, clock, chain, stakers, seed):
        self.world, self.clock, self.chain, self.stakers = world, clock, chain, stakers
        self.rng = Random(seed)
        self.outcomes = {"ok": 0}
        self.is_loss_pending = False
        self.engine = SimpleNamespace(
            address=int(world.engine.address, 16),
            active_time=0,
            is_loss_pending=lambda: self.is_loss_pending,
        )
        self.model = model.InsuranceFund(self.engine, COOLDOWN, EXIT_WINDOW)

    def step(self):
        """Let time pass and do one thing."""
        now = self.chain.blocks.head.timestamp + self.rng.choice([1, 60, DAY, EXIT_WINDOW, 5 * DAY])
        self.engine.active_time = now - self.clock.stoppedSeconds()
        fund, staker, to = (
            self.world.fund,
            self.rng.choice(self.stakers),
            self.rng.choice(self.stakers),
        )
        who, receiver = int(staker.address, 16), int(to.address, 16)
        amount = self.amount(staker)
        name = self.rng.choice(STEPS)
        if name in ("deposit", "mint", "reward"):
            amount %= (
                10**24
            )  # what is staked and lost again and again makes shares too many to count
        elif name == "cover":
            amount %= self.model.total_assets() // 2 + 2
        known = self.model
        steps = {
            "deposit": (known.deposit, (who, amount, receiver), fund.deposit, (amount, to)),
            "mint": (known.mint, (who, amount, receiver), fund.mint, (amount, to)),
            "request_exit": (known.request_exit, (who, amount), fund.requestExit, (amount,)),
            "transfer": (known.transfer, (who, receiver, amount), fund.transfer, (to, amount)),
            "redeem": (known.redeem, (who, amount, receiver), fund.redeem, (amount, to, staker)),
            "withdraw": (
                known.withdraw,
                (who, amount, receiver),
                fund.withdraw,
                (amount, to, staker),
            ),
            "cover": (
                lambda: known.cover(self.engine.address, amount),
                (),
                self.world.engine.draw,
                (fund, amount),
            ),
            "reward": (known.reward, (amount,), self.world.token.transfer, (fund, amount)),
            "loss": (
                self.toggle,
                (),
                self.world.engine.setLossPending,
                (not self.is_loss_pending,),
            ),
        }
        self.both(*steps[name], staker, now)
        self.compare()

    def toggle(self):
        self.is_loss_pending = not self.is_loss_pending

    def amount(self, staker):
        """Draw an amount at, about or below what may be asked for."""
        owner = int(staker.address, 16)
        known = (self.model.balance_of(owner), self.model.max_redeem(owner))
        known += (self.model.exit_request(owner).shares, self.model.total_assets())
        drawn = self.rng.choice([*known, 1, 10 ** self.rng.randint(0, 30)])
        return max(0, drawn + self.rng.choice([0, 0, 1, -1, -(drawn // 3)]))

    def both(self, expected, values, method, arguments, sender, now):
        at(self.chain, now)
        try:
            expected(*values)
        except ModelError as error:
            name = type(error).__name__
            self.outcomes[name] = self.outcomes.get(name, 0) + 1
            named = dict(zip(error.parameters, error.args, strict=True))
            for who in named.keys() & {"owner", "sender"}:
                named[who] = sender
            with reverts_with(name, **named):
                method(*arguments, sender=sender)
        else:
            self.outcomes["ok"] += 1
            method(*arguments, sender=sender)

    def compare(self):
        fund = self.world.fund
        assert fund.totalAssets() == self.model.total_assets()
        assert fund.totalSupply() == self.model.total_supply()
        for staker in self.stakers:
            owner = int(staker.address, 16)
            assert fund.balanceOf(staker) == self.model.balance_of(owner)
            assert tuple(fund.exitRequest(staker)) == self.model.exit_request(owner)


def test_walks_agree_with_the_model(any_decimals, clock, chain, actors):
    stakers = [actors.staker, actors.other]
    walk = Walk(any_decimals, clock, chain, stakers, any_decimals.token.decimals())
    for _ in range(80):
        walk.step()
    assert walk.outcomes["ok"] > 30
    assert walk.outcomes["ERC4626ExceededMaxRedeem"] > 2


# Shares -----------------------------------------------------------------------------------------


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    staked=st.integers(0, 10**30),
    reward=st.integers(0, 10**30),
    lost=st.integers(0, 10**30),
    amount=st.integers(0, 10**36),
)
def test_previews_round_against_whoever_comes_or_leaves(
    any_decimals, chain, actors, staked, reward, lost, amount
):
    world, fund = any_decimals, any_decimals.fund
    with chain.isolate():
        fund.deposit(staked, actors.staker, sender=actors.staker)
        world.token.transfer(fund, reward, sender=actors.other)
        world.engine.draw(fund, lost, sender=actors.outsider)
        shares, assets = fund.previewDeposit(amount), fund.previewRedeem(amount)
        assert (fund.convertToShares(amount), fund.convertToAssets(amount)) == (shares, assets)
        assert fund.previewRedeem(shares) <= amount <= fund.previewRedeem(shares + 1)
        assert fund.previewMint(shares) <= amount
        assert fund.previewDeposit(assets) <= amount <= fund.previewWithdraw(assets + 1)
        assert fund.previewWithdraw(assets) <= amount
        assert 0 <= fund.previewWithdraw(amount) - shares <= 1
        assert 0 <= fund.previewMint(amount) - assets <= 1


def test_what_was_previewed_is_what_happens(any_decimals, chain, actors):
    fund, staker = any_decimals.fund, actors.staker
    fund.deposit(10**12, staker, sender=staker)
    any_decimals.token.transfer(fund, 7 * 10**11 + 1, sender=actors.other)
    for method, preview, amount in (
        (fund.deposit, fund.previewDeposit, 10**12 + 3),
        (fund.mint, fund.previewMint, 10**18 + 7),
    ):
        expected = preview(amount)
        receipt = method(amount, staker, sender=staker)
        (event,) = receipt.decode_logs(fund.Deposit)
        assert expected == (event.shares if method is fund.deposit else event.assets)

    start, _ = ask_to_leave(fund, staker, fund.balanceOf(staker))
    chain.mine(timestamp=start)
    most = fund.maxRedeem(staker)
    assert most == fund.balanceOf(staker)
    assert fund.maxWithdraw(staker) == fund.previewRedeem(most)
    expected = fund.previewWithdraw(10**11 + 1)
    receipt = fund.withdraw(10**11 + 1, staker, staker, sender=staker)
    (event,) = receipt.decode_logs(fund.Withdraw)
    assert event.shares == expected

    rest = fund.maxWithdraw(staker)
    before = any_decimals.token.balanceOf(staker)
    fund.withdraw(rest, staker, staker, sender=staker)
    assert any_decimals.token.balanceOf(staker) == before + rest
    assert fund.previewRedeem(fund.balanceOf(staker)) == 0


def test_shares_have_six_more_decimals(any_decimals):
    assert any_decimals.fund.decimals() == any_decimals.token.decimals() + 6


@pytest.mark.parametrize("gift", [10**6, 10**12, 10**18])
def test_making_shares_dear_costs_more_than_it_gains(any_decimals, actors, gift):
    """The attack on the first staker: one unit staked, a gift, so that his stake rounds away."""
    fund, attacker, victim = any_decimals.fund, actors.other, actors.staker
    stake = gift // 2
    fund.deposit(1, attacker, sender=attacker)
    any_decimals.token.transfer(fund, gift, sender=attacker)
    fund.deposit(stake, victim, sender=victim)
    lost = stake - fund.previewRedeem(fund.balanceOf(victim))
    gained = fund.previewRedeem(fund.balanceOf(attacker)) - 1 - gift
    assert fund.balanceOf(victim) > 0
    assert gained < -gift // 3
    # At most the value of a share: a millionth of what was given, and then some.
    assert lost <= 2 * gift // VIRTUAL_SHARES + 1


# Exits ------------------------------------------------------------------------------------------


def test_exit_is_open_from_the_end_of_the_cooldown_to_the_end_of_the_window(
    fund, staked, chain, actors
):
    staker = actors.staker
    at(chain, chain.blocks.head.timestamp + 100)
    receipt = fund.requestExit(staked, sender=staker)
    (event,) = receipt.decode_logs(fund.ExitRequested)
    start = receipt.timestamp + COOLDOWN
    until = start + EXIT_WINDOW
    assert (event.owner, event.shares) == (staker.address, staked)
    assert (event.start, event.until) == (start, until)
    assert tuple(fund.exitRequest(staker)) == (staked, start, until)

    for timestamp, is_open in (
        (start - 1, False),
        (start, True),
        (until, True),
        (until + 1, False),
    ):
        at(chain, timestamp)
        if is_open:
            fund.redeem(1, staker, staker, sender=staker)
        else:
            with reverts_with("ERC4626ExceededMaxRedeem", owner=staker, shares=1, max=0):
                fund.redeem(1, staker, staker, sender=staker)
    assert fund.exitRequest(staker).shares == staked - 2


def test_nobody_leaves_without_a_request(fund, staked, actors):
    staker = actors.staker
    assert fund.maxRedeem(staker) == fund.maxWithdraw(staker) == 0
    with reverts_with("ERC4626ExceededMaxWithdraw", owner=staker, assets=1, max=0):
        fund.withdraw(1, staker, staker, sender=staker)


def test_cooldown_stands_still_in_an_outage(fund, staked, clock, chain, actors):
    staker = actors.staker
    start, _ = ask_to_leave(fund, staker, staked)
    clock.stop(DAY, sender=actors.outsider)
    clock.syncSequencer(sender=actors.outsider)
    at(chain, start)
    with reverts_with("ERC4626ExceededMaxRedeem", owner=staker, shares=1, max=0):
        fund.redeem(1, staker, staker, sender=staker)
    at(chain, start + DAY)
    fund.redeem(1, staker, staker, sender=staker)


def test_nobody_leaves_while_a_loss_is_pending(usual, fund, staked, chain, actors):
    staker = actors.staker
    start, _ = ask_to_leave(fund, staker, staked)
    chain.mine(timestamp=start)
    assert fund.maxRedeem(staker) == staked
    usual.engine.setLossPending(True, sender=actors.outsider)
    assert fund.maxRedeem(staker) == fund.maxWithdraw(staker) == 0
    with reverts_with("ERC4626ExceededMaxRedeem", owner=staker, shares=staked, max=0):
        fund.redeem(staked, staker, staker, sender=staker)
    with reverts_with("ERC4626ExceededMaxWithdraw", owner=staker, assets=1, max=0):
        fund.withdraw(1, staker, staker, sender=staker)
    fund.deposit(10**6, actors.other, sender=actors.other)  # to come is always possible
    usual.engine.setLossPending(False, sender=actors.outsider)
    fund.redeem(staked, staker, staker, sender=staker)


def test_request_is_for_shares_one_has(fund, staked, actors):
    with reverts_with("InsufficientShares", shares=staked + 1, balance=staked):
        fund.requestExit(staked + 1, sender=actors.staker)
    with reverts_with("InsufficientShares", shares=1, balance=0):
        fund.requestExit(1, sender=actors.outsider)


def test_later_request_replaces_an_earlier_one_and_zero_cancels(fund, staked, chain, actors):
    staker = actors.staker
    first, _ = ask_to_leave(fund, staker, staked)
    chain.mine(deltatime=DAY)
    second, _ = ask_to_leave(fund, staker, staked // 2)
    assert second >= first + DAY
    assert fund.exitRequest(staker).shares == staked // 2
    fund.requestExit(0, sender=staker)
    chain.mine(timestamp=second)
    assert fund.maxRedeem(staker) == 0


def test_who_receives_shares_cannot_leave_by_them(fund, staked, chain, actors):
    start, _ = ask_to_leave(fund, actors.staker, staked)
    fund.transfer(actors.other, staked // 4, sender=actors.staker)
    chain.mine(timestamp=start)
    assert fund.maxRedeem(actors.staker) == staked - staked // 4
    assert fund.maxRedeem(actors.other) == 0


def test_shares_do_not_wait_in_two_accounts(fund, staked, chain, actors):
    """Handed round after a request in each account, they could always leave by one of them."""
    holder = actors.staker
    for receiver in (actors.other, actors.third, actors.staker):
        start, _ = ask_to_leave(fund, holder, staked)
        fund.transfer(receiver, staked, sender=holder)
        assert fund.exitRequest(holder).shares == 0
        holder = receiver
        chain.mine(deltatime=EXIT_WINDOW)
    chain.mine(timestamp=start)
    assert fund.maxRedeem(holder) == 0


def test_shares_that_came_later_cover_those_that_go(fund, staked, actors):
    ask_to_leave(fund, actors.staker, staked)
    fund.deposit(10**9, actors.staker, sender=actors.staker)
    fund.transfer(actors.other, fund.balanceOf(actors.staker) - staked, sender=actors.staker)
    assert fund.exitRequest(actors.staker).shares == staked


def test_exit_through_an_allowance_lowers_the_request_of_the_owner(fund, staked, chain, actors):
    start, _ = ask_to_leave(fund, actors.staker, staked)
    fund.approve(actors.other, staked // 2, sender=actors.staker)
    chain.mine(timestamp=start)
    fund.redeem(staked // 2, actors.other, actors.staker, sender=actors.other)
    assert fund.exitRequest(actors.staker).shares == staked - staked // 2
    assert fund.allowance(actors.staker, actors.other) == 0


# Losses -----------------------------------------------------------------------------------------


def test_only_the_engine_draws_on_the_fund(fund, staked, actors):
    for caller in (actors.outsider, actors.deployer, actors.staker):
        with reverts_with("OnlyEngine", caller=caller):
            fund.cover(1, sender=caller)


@pytest.mark.parametrize(
    ("asked", "paid"),
    [(0, 0), (1, 1), (10**9 - 1, 10**9 - 1), (10**9 + 1, 10**9), (2**256 - 1, 10**9)],
)
def test_fund_pays_up_to_what_it_has(usual, fund, staked, actors, asked, paid):
    receipt = usual.engine.draw(fund, asked, sender=actors.outsider)
    (event,) = receipt.decode_logs(fund.LossCovered)
    assert event.paidRaw == receipt.return_value == paid
    assert usual.token.balanceOf(usual.engine) == paid
    assert fund.totalAssets() == 10**9 - paid


def test_loss_and_reward_are_shared_in_proportion(usual, fund, staked, actors):
    fund.deposit(3 * 10**9, actors.other, sender=actors.other)
    usual.engine.draw(fund, 10**9, sender=actors.outsider)
    of_staker, of_other = (
        fund.previewRedeem(fund.balanceOf(a)) for a in (actors.staker, actors.other)
    )
    assert of_staker == pytest.approx(75 * 10**7, abs=2)
    assert of_other == pytest.approx(225 * 10**7, abs=2)
    usual.token.transfer(fund, 10**9, sender=actors.third)
    assert fund.previewRedeem(fund.balanceOf(actors.staker)) == pytest.approx(10**9, abs=2)


def test_fund_that_lost_everything_belongs_to_who_fills_it_again(any_decimals, actors):
    fund = any_decimals.fund
    fund.deposit(10**9, actors.staker, sender=actors.staker)
    any_decimals.engine.draw(fund, 10**9, sender=actors.outsider)
    assert fund.previewRedeem(fund.balanceOf(actors.staker)) == 0
    fund.deposit(10**9, actors.other, sender=actors.other)
    assert fund.previewRedeem(fund.balanceOf(actors.other)) >= 10**9 - 1
    assert fund.previewRedeem(fund.balanceOf(actors.staker)) <= 1


# Deployment -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cooldown", "exit_window", "name", "value"),
    [
        (HOUR - 1, HOUR, "cooldownSeconds", HOUR - 1),
        (30 * DAY + 1, HOUR, "cooldownSeconds", 30 * DAY + 1),
        (HOUR, HOUR - 1, "exitWindowSeconds", HOUR - 1),
        (HOUR, 30 * DAY + 1, "exitWindowSeconds", 30 * DAY + 1),
    ],
)
def test_times_stay_within_their_ranges(make_fund, cooldown, exit_window, name, value):
    bounds = {"name": name.encode().ljust(32, b"\0"), "min": HOUR, "max": 30 * DAY}
    with reverts_with("ParameterOutOfRange", value=value, **bounds):
        make_fund(6, cooldown, exit_window)


def test_times_may_be_at_their_bounds(make_fund):
    for cooldown, exit_window in ((HOUR, 30 * DAY), (30 * DAY, HOUR)):
        fund = make_fund(6, cooldown, exit_window).fund
        assert (fund.cooldownSeconds(), fund.exitWindowSeconds()) == (cooldown, exit_window)
