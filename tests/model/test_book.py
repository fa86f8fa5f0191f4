"""Accounts margined all at once: as if each were alone, at any price, and fast."""

from random import Random

import numpy as np
import pytest

from reference_model import cases
from reference_model.ideal import book as layout
from reference_model.ideal import margin, market, scenarios
from scripts.benchmarks.books import books as many_books
from scripts.benchmarks.rates import keeper_rate

NAMES = margin.Margin._fields[:-2]


def assert_same(one, other, scale):
    """Compare all totals; float sums in another order differ by an ulp of what is held."""
    for name in NAMES:
        left, right = getattr(one, name), getattr(other, name)
        if name == "health":
            assert np.array_equal(left, right)
        else:
            assert np.all(np.abs(left - right) <= 1e-12 * scale), name


def gross(result, portfolios, risk):
    """Dollars that went through the sums of each account."""
    worth = np.abs(portfolios.size) * np.abs(risk.value)[portfolios.instrument]
    held = np.bincount(portfolios.account, worth + np.abs(portfolios.quote), len(portfolios.cash))
    return 1 + held + np.abs(portfolios.cash) + result.isolated_initial_margin


@pytest.mark.parametrize("seed", range(30))
def test_accounts_margined_together_are_as_if_alone(seed):
    integers, portfolios = cases.random_case(Random(seed), 24)
    here = market.from_integers(integers)
    instruments, books = margin.from_integers(here, portfolios)
    risk = scenarios.price(here, instruments)
    together = margin.margin(here, risk, books)
    scale = gross(together, books, risk)
    for row, portfolio in enumerate(portfolios):
        own_instruments, own = margin.from_integers(here, [portfolio])
        alone = margin.margin(here, scenarios.price(here, own_instruments), own)
        chosen = together._replace(**{name: getattr(together, name)[[row]] for name in NAMES})
        assert_same(alone, chosen, scale[row])


@pytest.mark.parametrize("slab", [1, 7, 8_192])
def test_slabs_do_not_change_a_number(slab, monkeypatch):
    drawn = many_books(2, 300)
    risk = scenarios.price(drawn.market, drawn.instruments)
    whole = margin.margin(drawn.market, risk, drawn.portfolios)
    monkeypatch.setattr(layout, "SLAB", slab)
    assert_same(margin.margin(drawn.market, risk, drawn.portfolios), whole, 1e7)


def test_layout_made_once_serves_every_price():
    drawn = many_books(3, 500)
    risk = scenarios.price(drawn.market, drawn.instruments)
    book = layout.arrange(drawn.market, risk, drawn.portfolios)
    for factor in (0.6, 1.0, 1.4):
        u = drawn.market.underlyings
        moved = drawn.market._replace(
            now=drawn.market.now + 3_600,
            underlyings=u._replace(index=u.index * factor, mark=u.mark * factor),
            slices=drawn.market.slices._replace(forward=drawn.market.slices.forward * factor),
        )
        priced = scenarios.price(moved, drawn.instruments)
        fresh = margin.margin(moved, priced, drawn.portfolios)
        assert_same(margin.remargin(moved, priced, book), fresh, 1e7)
        assert len(np.unique(fresh.health)) > 2


def test_error_of_options_is_charged_over_every_cut_to_the_last_expiry_held():
    drawn = many_books(6, 50)
    risk = scenarios.price(drawn.market, drawn.instruments)
    wide = risk._replace(error=risk.error + 1.0 * risk.is_live_option)
    one, other = (margin.margin(drawn.market, each, drawn.portfolios) for each in (risk, wide))
    more = other.underlyings.basis_charge - one.underlyings.basis_charge
    time = risk.bucket_time[risk.underlying, risk.bucket]
    for account in range(50):
        mine = drawn.portfolios.account == account
        held = drawn.portfolios.instrument[mine]
        for u in np.unique(risk.underlying[held]):
            inside = risk.underlying[held] == u
            size = np.abs(drawn.portfolios.size[mine][inside])
            error = np.sum(size * risk.is_live_option[held[inside]])
            last = time[held[inside]].max()
            assert more[account, u] == pytest.approx(0.005 * error * last / 2_592_000, abs=1e-6)
    assert np.any(more > 1)


def test_drawn_books_hold_distinct_instruments_and_reach_every_charge():
    drawn = many_books(4, 2_000)
    assert len(drawn.instruments.strike) == 500
    held = drawn.portfolios.instrument.reshape(-1, 8)
    assert all(len(set(row)) == 8 for row in held.tolist())
    risk = scenarios.price(drawn.market, drawn.instruments)
    result = margin.margin(drawn.market, risk, drawn.portfolios)
    for name in margin.UnderlyingMargin._fields:
        if name.endswith("_charge"):
            assert np.any(getattr(result.underlyings, name) > 0), name
    assert np.all(np.bincount(result.health, minlength=4) > 0)


def test_an_empty_book_and_accounts_without_positions():
    drawn = many_books(5, 3)
    risk = scenarios.price(drawn.market, drawn.instruments)
    flat = drawn.portfolios._replace(
        **{name: getattr(drawn.portfolios, name)[:0] for name in margin.Portfolios._fields[:4]},
        collateral=np.zeros((3, 5)),
    )
    result = margin.margin(drawn.market, risk, flat)
    assert np.array_equal(result.equity, drawn.portfolios.cash)
    assert not result.initial_margin.any()
    nobody = margin.Portfolios(*(each[:0] for each in drawn.portfolios))
    assert margin.margin(drawn.market, risk, nobody).equity.shape == (0,)


def test_a_hundred_thousand_accounts_take_less_than_half_a_second():
    assert keeper_rate() > 200_000
