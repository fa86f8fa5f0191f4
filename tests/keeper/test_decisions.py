"""What a keeper does for an account in each state, against an engine that says what it is told."""

from types import SimpleNamespace

import pytest
from keeper.holdings import ETH_PERPETUAL, SOLD, VIEW, long_eth

from reference_model.exact.position import pack
from scripts.keeping import watch
from scripts.keeping.chain import Head, Refusal
from scripts.keeping.fleet import Fleet, Held, Reader
from scripts.keeping.hand import Attempt
from scripts.keeping.pricing import Terms
from scripts.keeping.watch import Keeper, Settings

WAD = 10**18
ACCOUNT, BIDDER, WINNER = 0xA00, 0xB00, 0xC00
HEALTHY, CALLED, LIQUIDATABLE, INSOLVENT, IN_AUCTION, RECOVERING = range(6)
RUNNING = Refusal("AlreadyInAuction", (ACCOUNT,), "0x")


def preview(status, equity=2_400.0, discount=0.02, price=2_950.0):
    maintenance, initial = 2_624.0, 3_280.0
    assessment = [round(v * WAD) for v in (equity, 0, 0, maintenance, initial, 0)]
    numbers = (round(v * WAD) for v in (discount, price, 1.0, 1.0))
    return status, assessment, 0, *numbers


class Engine:
    """Answers in place of the chain, and a hand that notes what it is asked to send."""

    def __init__(self, previews, answers):
        self.previews, self.answers, self.sent = list(previews), answers, []

    def read_many(self, calls):
        if not calls:
            return []
        assert calls == [ACCOUNT]
        found = self.previews.pop(0) if len(self.previews) > 1 else self.previews[0]
        return [(found,)]

    def attempt(self, _, name, *arguments):
        result = self.answers.get(name, Refusal("Unexpected", (), "0x"))
        return Attempt(result, 10**6, 0.5)

    def send(self, _, name, arguments, attempt, **facts):
        self.sent.append((name, *arguments[1:2]))
        return "done"

    def gas_usd(self, gas):
        return 0.5

    def head(self):
        return None


@pytest.fixture
def treat(monkeypatch):
    """Treat an account recorded in a status; return what was sent."""
    monkeypatch.setattr(watch, "methods", lambda _: {"auctionOf": lambda account: account})

    def treated(recorded, previews, answers, bidder=BIDDER, **settings):
        fleet = Fleet()
        fleet.put(ACCOUNT, SOLD._replace(status=recorded))
        fleet.put(BIDDER, Held(100_000.0, 0, [], [], 0))
        fleet.put(WINNER, long_eth(-20.0, 50_000.0))
        engine = Engine(previews, answers)
        follower = SimpleNamespace(fleet=fleet, read=lambda *_: None)
        keeper = Keeper(
            *(engine, None, follower, None, engine, None),
            Terms(),
            Settings(bidder, **settings),
        )
        risk = fleet.instruments.price(VIEW)
        keeper._act(VIEW, risk, [ACCOUNT])
        return engine.sent

    return treated


def test_account_below_maintenance_is_started(treat):
    started = treat(CALLED, [preview(LIQUIDATABLE)], {"startAuction": (52 * WAD,)})
    assert started == [("startAuction", BIDDER)]


def test_start_that_costs_more_than_its_reward_is_left(treat):
    answers = {"startAuction": (0,)}
    assert treat(CALLED, [preview(LIQUIDATABLE)], answers, max_start_cost=0.4) == []
    paid = {"startAuction": (WAD,)}
    assert treat(CALLED, [preview(LIQUIDATABLE)], paid, max_start_cost=0.0)


def test_auction_that_nobody_can_gain_by_is_not_started_again_and_again(treat):
    status, assessment, *rest = preview(IN_AUCTION, equity=0.2)
    assessment[3] = WAD // 2  # maintenance margin; gas costs as much
    lapsed = status, assessment, *rest
    answers = {"startAuction": (0,)}
    assert treat(IN_AUCTION, [lapsed], answers) == []
    assessment[0] = -WAD
    assert treat(IN_AUCTION, [lapsed], answers) == [("startAuction", BIDDER)], "a deficit is told"


def test_solvent_accounts_come_before_deficits_that_nobody_takes(treat):
    fleet, deficits = Fleet(), range(100, 106)
    for account in deficits:
        fleet.put(account, Held(-1_000.0 - account, 0, [], [], INSOLVENT))
    fleet.put(ACCOUNT, long_eth(10.0, 4_000.0))  # below maintenance by 300
    follower = SimpleNamespace(fleet=fleet)
    settings = Settings(BIDDER, max_candidates=2)
    keeper = Keeper(*(None, None, follower, None, None, None), Terms(), settings)
    result = fleet.margin(VIEW, fleet.instruments.price(VIEW))
    assert keeper._candidates(result) == [ACCOUNT, 105]


def test_small_accounts_hide_no_deficit(treat):
    fleet = Fleet()
    for account in range(100, 106):
        fleet.put(account, long_eth(10.0, 4_001.0 + account))  # below maintenance, a little more
    fleet.put(ACCOUNT, Held(-1.0, 0, [], [], INSOLVENT))
    follower = SimpleNamespace(fleet=fleet)
    result = fleet.margin(VIEW, fleet.instruments.price(VIEW))
    for places, solvent in ((1, [100]), (2, [100]), (3, [100, 101]), (9, range(100, 106))):
        settings = Settings(BIDDER, max_candidates=places)
        keeper = Keeper(*(None, None, follower, None, None, None), Terms(), settings)
        found = keeper._candidates(result)
        assert found == [*solvent, ACCOUNT][:places]


@pytest.mark.parametrize("max_payment", [590.0, 601.0, 602.0, 700.0, 10_000.0])
def test_what_is_asked_for_costs_no_more_than_is_allowed(treat, max_payment):
    """A fifth, the largest slice, for 590 of 2,950; there is room to ask for a fiftieth more."""
    parts = None, None, SimpleNamespace(fleet=Fleet()), None, None, None
    keeper = Keeper(*parts, Terms(max_payment=max_payment), Settings(BIDDER))
    found = watch.Preview.of(preview(IN_AUCTION))._replace(largest=0.2)
    wanted = watch.Offer(0.2, 590.0, 50.0, max(2_950.0, min(3_100.0, max_payment / 0.2)), 0.0)
    *_, fraction, max_price = keeper._arguments(ACCOUNT, wanted, found)
    assert fraction / WAD == pytest.approx(0.2 * (1.02 if max_payment >= 590 * 1.02 else 1))
    assert 2_950 * WAD <= max_price * (1 + 1e-12) <= 3_101 * WAD
    assert max_price * fraction / WAD**2 <= max_payment * (1 + 1e-12)


def test_healthy_account_is_left_alone(treat):
    answers = {"startAuction": (WAD,), "updateStatus": (HEALTHY,)}
    assert treat(HEALTHY, [preview(HEALTHY, equity=3_000.0)], answers) == []


@pytest.mark.parametrize("now", [HEALTHY, CALLED])
def test_auction_that_is_over_is_ended(treat, now):
    answers = {"updateStatus": (now,)}
    sent = treat(IN_AUCTION, [preview(RECOVERING, equity=5_000.0)], answers)
    assert sent == [("updateStatus",)]


def test_clock_of_a_recovering_account_is_stopped_once(treat):
    answers = {"updateStatus": (RECOVERING,)}
    recovering = [preview(RECOVERING, equity=2_700.0)]
    assert treat(IN_AUCTION, recovering, answers) == [("updateStatus",)]
    assert treat(RECOVERING, recovering, answers) == []


def test_clock_of_an_account_that_falls_again_is_set_going(treat):
    answers = {"updateStatus": (IN_AUCTION,), "startAuction": RUNNING}
    assert treat(RECOVERING, [preview(IN_AUCTION)], answers) == [("updateStatus",)]


def test_insolvency_in_an_auction_is_made_known(treat):
    broke = preview(INSOLVENT, equity=-100.0, discount=0.0, price=0.0)
    answers = {"updateStatus": (INSOLVENT,), "startAuction": RUNNING}
    assert treat(IN_AUCTION, [broke], answers) == [("updateStatus",)]
    assert treat(INSOLVENT, [broke], answers) == []


def test_deficit_that_is_gone_is_made_known(treat):
    answers = {"updateStatus": (HEALTHY,)}
    assert treat(INSOLVENT, [preview(HEALTHY, equity=5_000.0)], answers) == [("updateStatus",)]


def test_slice_is_bid_for_when_the_discount_pays(treat):
    cheap = preview(IN_AUCTION, discount=0.3, price=1_600.0)
    answers = {"startAuction": RUNNING, "bid": (WAD, 1_600 * WAD)}
    assert treat(IN_AUCTION, [cheap], answers) == [("bid", BIDDER)]
    assert treat(IN_AUCTION, [preview(IN_AUCTION)], answers) == []


def test_bid_that_the_chain_refuses_is_not_sent(treat):
    cheap = preview(IN_AUCTION, discount=0.3, price=1_600.0)
    refused = Refusal("TooManyPositions", (BIDDER, 64), "0x")
    assert treat(IN_AUCTION, [cheap], {"startAuction": RUNNING, "bid": refused}) == []


def test_trial_that_costs_more_than_the_preview_said_is_not_sent(treat):
    cheap = preview(IN_AUCTION, discount=0.3, price=1_600.0)
    answers = {"startAuction": RUNNING, "bid": (WAD, 2_990 * WAD)}
    assert treat(IN_AUCTION, [cheap], answers) == []


def test_slice_that_grows_by_the_rule_on_dust_is_priced_anew(treat):
    """What would be sold in the trial decides, here so much that the bidder loses by it."""
    cheap = preview(IN_AUCTION, discount=0.3, price=1_600.0)
    answers = {"startAuction": RUNNING, "bid": (40 * WAD, 0)}
    assert treat(IN_AUCTION, [cheap], answers) == []


def test_lapsed_auction_is_started_again(treat):
    answers = {"startAuction": (10 * WAD,)}
    assert treat(IN_AUCTION, [preview(IN_AUCTION)], answers) == [("startAuction", BIDDER)]


def test_what_nobody_buys_is_deleveraged_once_the_auction_has_run(treat):
    unwanted = preview(INSOLVENT, equity=-3_000.0, discount=1.0, price=-1.0)
    answers = {"startAuction": RUNNING, "deleverage": (10 * WAD,)}
    assert treat(INSOLVENT, [unwanted], answers) == [("deleverage", ETH_PERPETUAL)]
    early = preview(INSOLVENT, equity=-3_000.0, discount=0.9, price=-1.0)
    assert treat(INSOLVENT, [early], answers) == []
    not_due = {"startAuction": RUNNING, "deleverage": Refusal("DeleveragingNotDue", (), "0x")}
    assert treat(INSOLVENT, [unwanted], not_due) == []


def test_bidder_never_bids_for_itself(treat):
    answers = {"startAuction": (52 * WAD,), "bid": (WAD, 0)}
    assert treat(CALLED, [preview(LIQUIDATABLE)], answers, bidder=ACCOUNT) == []


def test_what_takes_too_much_gas_is_deleveraged_against_fewer(treat, monkeypatch):
    """Against all whom one transaction cannot hold, an attempt says nothing of why."""
    sizes = []

    def attempt(_, __, name, *arguments):
        if name != "deleverage":
            return Attempt(RUNNING, 0, 0.0)
        sizes.append(len(arguments[2]))
        fits = len(arguments[2]) <= 10
        return Attempt((WAD,), 10**6, 0.5) if fits else Attempt(Refusal("", (), "gas"), 0, 0.0)

    monkeypatch.setattr(Engine, "attempt", attempt)
    others = list(range(0xD40, 0xD00, -1))
    monkeypatch.setattr(watch, "counterparties", lambda *_: others[:40])
    unwanted = preview(INSOLVENT, equity=-3_000.0, discount=1.0, price=-1.0)
    assert treat(INSOLVENT, [unwanted], {}) == [("deleverage", ETH_PERPETUAL)]
    assert sizes == [40, 20, 10]


def test_starts_that_one_transaction_has_no_gas_for_are_sent_one_by_one(treat, monkeypatch):
    sent = []
    hand = SimpleNamespace(
        attempt=lambda *_: Attempt((), 14_000_000, 0.5),
        send=lambda _, name, *__, **___: sent.append(name) or "done",
    )
    engine = SimpleNamespace(startAuction=SimpleNamespace(encode_input=lambda *_: b""))
    keeper = Keeper(
        *(None, engine, SimpleNamespace(fleet=Fleet()), None, hand, None), Terms(), Settings(BIDDER)
    )
    due = [(account, Attempt((WAD,), 3_000_000, 0.5)) for account in (ACCOUNT, WINNER)]
    assert not keeper._start_together(due, {}, set()) and sent == []


def test_account_in_a_market_the_manifest_does_not_name_is_no_reason_to_stop():
    slots = [pack(ETH_PERPETUAL, WAD, 0), pack(77 << 120, WAD, 0)]
    portfolios = {ACCOUNT: slots[:1], WINNER: slots}
    chain = SimpleNamespace(
        read_many=lambda calls, _: [
            ((0, 0, [], portfolios[call], []),) if call in portfolios else (0,) for call in calls
        ]
    )
    views = (lambda account: account, lambda _: None, lambda _: None)
    reader = Reader(chain, *views, [ETH_PERPETUAL >> 120])
    read = dict(reader.read([ACCOUNT, WINNER], Head(1, "", 0)))
    assert isinstance(read[ACCOUNT], Held)
    assert read[WINNER] == Refusal("", (), "the manifest names no underlying 77")
