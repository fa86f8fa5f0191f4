"""What a slice is worth to a bidder: risk, hedges, limits, and the price still worth paying."""

import numpy as np
import pytest
from keeper.holdings import (
    BTC_PERPETUAL,
    ETH_PERPETUAL,
    MARK,
    PREDICTIVE_MARKET,
    SOLD,
    TERMS,
    VIEW,
    long_eth,
)

from reference_model.ideal import margin
from reference_model.ideal.instruments import Kind
from scripts.keeping.deleveraging import counterparties
from scripts.keeping.fleet import Fleet, Held, Instruments
from scripts.keeping.pricing import Auction, best_offer, fractions


def priced(*accounts):
    instruments = Instruments()
    for each in accounts:
        instruments.rows(word for word, _, _ in each.positions)
    return instruments, instruments.price(VIEW)


def offer(bidder, sold, auction, terms=TERMS, gas_usd=1.0, candidates=None):
    instruments, risk = priced(bidder, sold)
    return best_offer(*(VIEW, risk, instruments, bidder, sold, auction, terms, gas_usd, candidates))


def margined(account):
    fleet = Fleet()
    fleet.put(1, account)
    return fleet.margin(VIEW, fleet.instruments.price(VIEW))


def auction_of(account, discount, largest=1.0):
    found = margined(account)
    price = max(0.0, float(found.equity[0] - discount * found.maintenance_margin[0]))
    return Auction(price, largest, float(found.initial_margin[0]))


def test_bidder_with_cash_gains_the_discount_less_the_risk_it_takes():
    bidder, auction = Held(1e5, 0, [], [], 0), auction_of(SOLD, 0.3)
    verdict = offer(bidder, SOLD, auction)
    found, risk = verdict.offer, margined(SOLD)
    gained = float(risk.equity[0]) - auction.price
    assert found.fraction == 1 and found.payment == pytest.approx(auction.price)
    assert gained == pytest.approx(0.3 * risk.maintenance_margin[0])
    assert found.added_margin == pytest.approx(risk.initial_margin[0])
    assert found.profit == pytest.approx(gained - 0.05 * risk.initial_margin[0] - 1)


def test_small_discount_is_worth_a_bid_to_one_whom_it_hedges_and_to_no_other():
    auction = auction_of(SOLD, 0.02)
    flat, hedged, same = (
        offer(each, SOLD, auction)
        for each in (Held(1e5, 0, [], [], 0), long_eth(-10.0, 1e5), long_eth(10.0, 1e5))
    )
    assert flat.offer is None and "the best slice earns" in flat.reason
    assert same.offer is None
    assert hedged.offer.added_margin < 0
    assert hedged.offer.fraction == 1, "the whole of it takes the whole risk away"
    assert hedged.offer.profit > 0.05 * margined(SOLD).initial_margin[0]


def test_hedge_is_taken_as_far_as_it_hedges():
    """Four ETH short: of ten long, two fifths are wanted; more would be new risk."""
    found = offer(long_eth(-4.0, 1e5), SOLD, auction_of(SOLD, 0.02)).offer
    assert found.fraction == pytest.approx(0.4, abs=1 / 32)


def test_bidder_ends_healthy_with_its_cushion():
    poor = Held(2_000.0, 0, [], [], 0)
    auction = auction_of(SOLD, 0.5)
    found = offer(poor, SOLD, auction).offer
    assert 0 < found.fraction < 1
    after = long_eth(10.0 * found.fraction, 2_000.0 + 3_000 * found.fraction - found.payment)
    risk = margined(after)
    assert risk.initial_equity[0] >= 1.2 * risk.initial_margin[0]
    larger = min(1.0, found.fraction + 1 / 32)
    more = margined(long_eth(10.0 * larger, 2_000.0 + (3_000 - auction.price) * larger))
    assert more.initial_equity[0] < 1.2 * more.initial_margin[0]
    nothing = offer(Held(-100.0, 0, [], [], 0), SOLD, auction)
    assert nothing.offer is None and "would not be healthy" in nothing.reason


def test_profit_that_is_not_paid_pays_for_no_slice():
    """With margin enough, but all of it unrealised, the bidder would buy on credit."""
    winner = Held(0.0, 0, [], [(ETH_PERPETUAL, 1.0, 1e5)], 0)
    indebted = Held(-500.0, 0, [], [(ETH_PERPETUAL, 10.0, 3_500.0 - 10 * MARK)], 0)
    auction = auction_of(indebted, 0.5)
    assert margined(winner).initial_equity[0] > 50_000 and auction.price > 0
    assert "would not be healthy" in offer(winner, indebted, auction).reason
    assert offer(winner._replace(cash=1e4), indebted, auction).offer.fraction == 1


def test_highest_price_is_just_still_worth_paying():
    bidder, auction = Held(1e5, 0, [], [], 0), auction_of(SOLD, 0.5)
    found = offer(bidder, SOLD, auction).offer
    at_limit = auction._replace(price=found.max_price)
    share = np.array([found.fraction])
    just = offer(bidder, SOLD, at_limit, candidates=share).offer
    assert just.profit == pytest.approx(TERMS.min_profit)
    beyond = auction._replace(price=found.max_price + 0.01)
    assert offer(bidder, SOLD, beyond, candidates=share).offer is None


def test_deficit_is_taken_over_for_what_is_paid():
    """An insolvent account is taken over if the payment covers its deficit and the risk."""
    broke = long_eth(10.0, -500.0)
    bidder = Held(1e5, 0, [], [], 0)
    assert offer(bidder, broke, Auction(-400.0, 1.0, 5_400.0)).offer is None
    found = offer(bidder, broke, Auction(-2_000.0, 1.0, 5_400.0)).offer
    assert found.payment == pytest.approx(-2_000 * found.fraction)
    assert found.max_price < 0 and found.profit > 1


def test_limits_of_size_and_payment_bound_the_slice():
    auction = Auction(2_000.0, 0.8, 5_000.0)
    assert fractions(auction, TERMS)[-1] == pytest.approx(0.8)
    assert fractions(auction, TERMS._replace(max_size=1_000))[-1] == pytest.approx(0.2)
    assert fractions(auction, TERMS._replace(max_payment=500))[-1] == pytest.approx(0.25)
    assert len(fractions(auction._replace(largest=0.0), TERMS)) == 0
    closed = offer(Held(1e5, 0, [], [], 0), SOLD, auction._replace(largest=0.0))
    assert closed.offer is None and "nothing of it may be sold" in closed.reason


def test_no_price_that_is_accepted_takes_more_than_is_allowed():
    bidder, auction = Held(1e5, 0, [], [], 0), auction_of(SOLD, 0.5)
    free = offer(bidder, SOLD, auction).offer
    assert free.max_price > auction.price
    least = TERMS._replace(max_payment=free.payment)
    found = offer(bidder, SOLD, auction, terms=least, candidates=np.array([free.fraction])).offer
    assert found.max_price * found.fraction <= least.max_payment * (1 + 1e-12)


def test_more_than_is_allowed_is_not_bought_either_when_the_rule_on_dust_sells_it():
    bidder, auction, all_of_it = Held(1e5, 0, [], [], 0), auction_of(SOLD, 0.5), np.array([1.0])
    assert offer(bidder, SOLD, auction, candidates=all_of_it).offer is not None
    for limit in ({"max_payment": auction.price * 0.99}, {"max_size": auction.initial_margin / 2}):
        found = offer(bidder, SOLD, auction, terms=TERMS._replace(**limit), candidates=all_of_it)
        assert found.offer is None and "within the limits" in found.reason


def test_gas_is_a_cost():
    bidder, auction = Held(1e5, 0, [], [], 0), auction_of(SOLD, 0.3)
    cheap, dear = (offer(bidder, SOLD, auction, gas_usd=gas).offer for gas in (1.0, 500.0))
    assert cheap.profit - dear.profit == pytest.approx(499)
    assert offer(bidder, SOLD, auction, gas_usd=1e6).offer is None


def test_collateral_comes_with_the_slice():
    rich = SOLD._replace(collateral=[(2, 2.0)], cash=-2_000.0)
    found = offer(Held(1e5, 0, [], [], 0), rich, auction_of(rich, 0.3)).offer
    plain = offer(Held(1e5, 0, [], [], 0), SOLD, auction_of(SOLD, 0.3)).offer
    assert found is not None and found.added_margin > plain.added_margin


def test_fleet_margins_as_the_model_does_and_follows_changes():
    fleet = Fleet()
    fleet.put(7, SOLD)
    fleet.put(9, Held(50.0, 1, [(1, 1.0)], [(BTC_PERPETUAL, -0.1, 5_000.0)], 0))
    risk = fleet.instruments.price(VIEW)
    first = fleet.margin(VIEW, risk)
    assert fleet.accounts == [7, 9]
    assert first.equity[0] == pytest.approx(3_000.0)
    fleet.put(7, SOLD._replace(cash=1_000.0))
    assert fleet.margin(VIEW, risk).equity[0] == pytest.approx(1_000.0)
    fleet.keep_only({9})
    alone = fleet.margin(VIEW, risk)
    assert fleet.accounts == [9] and alone.equity[0] == pytest.approx(first.equity[1])


def test_accounts_in_predictive_mode_are_held_to_their_own_losses_and_no_others():
    view, fleet = VIEW._replace(arrays=PREDICTIVE_MARKET), Fleet()
    held = [
        long_eth(float(units), 3_000.0)._replace(margin_mode=mode)
        for units, mode in ((10, 2), (-4, 0), (7, 1), (-2, 2), (5, 0))
    ]
    for account, each in enumerate(held):
        fleet.put(account, each)
    risk = fleet.instruments.price(view)
    found = fleet.margin(view, risk)
    everyone = margin.margin(view.arrays, risk, fleet._portfolios(view))
    for name in ("maintenance_margin", "initial_margin", "health", "equity"):
        assert getattr(found, name) == pytest.approx(getattr(everyone, name)), name
    own = np.array([each.margin_mode == 2 for each in held])
    scanned = np.minimum(found.net_maintenance_margin, found.isolated_maintenance_margin)
    assert (np.abs(found.maintenance_margin - scanned)[own] > 1).all()
    fleet.put(0, held[0]._replace(margin_mode=0))
    assert fleet.margin(view, risk).maintenance_margin[0] == pytest.approx(scanned[0])
    fleet.put(1, held[1]._replace(margin_mode=2))
    assert fleet.margin(view, risk).maintenance_margin[1] != pytest.approx(scanned[1])


def test_bidder_in_predictive_mode_is_priced_by_its_own_losses():
    """What hedges it takes the tails away too, and is worth a bid at a discount that is small."""
    view = VIEW._replace(arrays=PREDICTIVE_MARKET)
    sold, hedged = (each._replace(margin_mode=2) for each in (SOLD, long_eth(-10.0, 1e5)))
    instruments = Instruments()
    instruments.rows([ETH_PERPETUAL])
    risk = instruments.price(view)
    auction = auction_of(SOLD, 0.02)
    found = best_offer(view, risk, instruments, hedged, sold, auction, TERMS, 1.0).offer
    assert found.fraction == 1 and found.added_margin < 0
    in_scenarios = best_offer(
        *(view, risk, instruments, hedged._replace(margin_mode=0), sold, auction, TERMS, 1.0)
    ).offer
    assert found.added_margin != pytest.approx(in_scenarios.added_margin)


def test_largest_opposite_positions_are_closed_against():
    fleet = Fleet()
    for account, units in ((5, 10.0), (9, -3.0), (3, -4.0), (7, 2.0), (8, 0.0)):
        fleet.put(account, long_eth(units, 1e4))
    assert counterparties(fleet, 5, ETH_PERPETUAL, 10.0) == [3, 9]
    assert counterparties(fleet, 9, ETH_PERPETUAL, -3.0) == [5, 7], "the largest first"
    assert counterparties(fleet, 5, BTC_PERPETUAL, 1.0) == []
    for account in range(100, 160):
        fleet.put(account, long_eth(-float(account), 1e4))
    assert counterparties(fleet, 5, ETH_PERPETUAL, 10.0) == list(range(159, 119, -1))


def test_funding_since_the_start_lowers_what_a_long_perpetual_is_worth():
    fleet = Fleet()
    fleet.put(7, SOLD)
    funded = VIEW._replace(funding_index=np.array([0.0, 3.0, 0.0]))
    before, after = (
        fleet.margin(view, fleet.instruments.price(view)).equity[0] for view in (VIEW, funded)
    )
    assert before - after == pytest.approx(10 * 3.0)


def test_open_interest_of_the_market_counts_for_every_account():
    fleet = Fleet()
    fleet.put(7, long_eth(1.0, 1e4))
    rows = list(fleet.instruments.decoded.kind)
    assert rows == [Kind.PERPETUAL]
    crowded = VIEW._replace(open_interest=np.full(3, 1e9))
    risk = fleet.instruments.price(VIEW)
    quiet, full = fleet.margin(VIEW, risk), fleet.margin(crowded, risk)
    assert full.initial_margin[0] > 1.2 * quiet.initial_margin[0]
    assert full.maintenance_margin[0] == quiet.maintenance_margin[0]


def test_open_interest_is_no_matter_of_accounts_that_hold_collateral_alone():
    fleet = Fleet()
    fleet.put(7, Held(0.0, 0, [(1, 1.0), (2, 3.0)], [], 0))
    crowded = VIEW._replace(open_interest=np.full(3, 1e9))
    risk = fleet.instruments.price(VIEW)
    quiet, full = fleet.margin(VIEW, risk), fleet.margin(crowded, risk)
    assert full.initial_margin[0] == quiet.initial_margin[0] > 0
