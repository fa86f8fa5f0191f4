"""Liquidation in float64 against the exact layer, within the tolerance stated there."""

import numpy as np
import pytest

from reference_model.exact import auction, deleveraging, sale, waterfall, windows
from reference_model.exact.liquidation_parameters import DEFAULTS
from reference_model.ideal import liquidation as ideal
from reference_model.types import WAD, Assessment, Window

COUNT = 4_000
RULES = ideal.Rules()


def usd(values) -> np.ndarray:
    """Return integers in WAD as numbers."""
    return np.array([value / WAD for value in values])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def wide(rng, low: float, high: float, size: int = COUNT) -> list[int]:
    """Draw amounts between two powers of ten, in WAD."""
    return [int(10.0**x * 10**6) * 10**12 for x in rng.uniform(low, high, size)]


def assessments(rng) -> list[Assessment]:
    """Draw accounts below maintenance margin, from nearly sound to deep in debt."""
    found = []
    for initial in wide(rng, 2, 9):
        maintenance = int(initial * rng.uniform(0.5, 1))
        equity = int(maintenance * rng.uniform(-1, 1))
        counted = equity - int(initial * rng.uniform(0, 0.3))
        found.append(Assessment(equity, counted, counted, maintenance, initial, 0))
    return found


def columns(seen: list[Assessment]) -> dict[str, np.ndarray]:
    """Return fields of assessments in USD."""
    names = ("equity", "initial_equity", "maintenance_margin", "initial_margin")
    return {name: usd(getattr(a, name) for a in seen) for name in names}


def test_the_rules_are_the_defaults():
    exact = DEFAULTS._asdict()
    for name, value in RULES._asdict().items():
        scale = 1 if name.endswith("seconds") else WAD
        assert exact[name] == pytest.approx(value * scale, rel=1e-15)


def test_discounts_agree(rng):
    seconds = rng.integers(0, 9_000, COUNT)
    exact = usd(auction.discount(int(t), DEFAULTS) for t in seconds)
    assert np.all(np.abs(ideal.discount(seconds, RULES) - exact) <= ideal.tolerance(1))


def test_prices_and_rewards_agree(rng):
    seen = assessments(rng)
    at = columns(seen)
    discounts = [int(d * WAD) for d in rng.uniform(0, 1, COUNT)]
    exact = usd(auction.price(a, d, DEFAULTS) for a, d in zip(seen, discounts, strict=True))
    found = ideal.price(at["equity"], at["maintenance_margin"], usd(discounts), RULES)
    allowed = ideal.tolerance(at["equity"], at["maintenance_margin"])
    assert np.all(np.abs(found - exact) <= allowed)
    assert np.any(exact > 0) and np.any(exact < 0) and np.any(exact == 0)

    exact = usd(auction.reward(a, DEFAULTS) for a in seen)
    found = ideal.reward(at["equity"], at["maintenance_margin"], RULES)
    assert np.all(np.abs(found - exact) <= ideal.tolerance(at["maintenance_margin"]))


def test_restoring_fractions_agree_and_restore(rng):
    seen = assessments(rng)
    at = columns(seen)
    discounts = [auction.discount(int(t), DEFAULTS) for t in rng.integers(0, 9_000, COUNT)]
    prices = [auction.price(a, d, DEFAULTS) for a, d in zip(seen, discounts, strict=True)]
    exact = usd(
        auction.restoring_fraction(a, p, DEFAULTS) for a, p in zip(seen, prices, strict=True)
    )
    found = ideal.restoring_fraction(
        at["initial_equity"], at["initial_margin"], at["maintenance_margin"], usd(prices), RULES
    )
    needed = (1 + RULES.buffer) * at["initial_margin"] - at["initial_equity"]
    assert np.all(np.abs(found - exact) <= ideal.fraction_tolerance(needed, usd(prices)))
    assert np.any((exact < 1) & (exact > 0.5)) and np.any(exact < 0.3)

    _, equity, margin = ideal.after_sale(
        at["equity"], at["initial_equity"], at["initial_margin"], exact, usd(prices)
    )
    target = (1 + RULES.buffer) * margin
    allowed = ideal.tolerance(at["initial_equity"], at["initial_margin"], usd(prices))
    assert np.all((equity >= target - allowed) | (exact == 1))
    partial = (exact < 1) & (usd(prices) > 0)
    assert np.all(np.abs(equity - target)[partial] <= allowed[partial])


def test_windows_agree(rng):
    linear, calls, puts = (
        [
            int(sign) * x
            for sign, x in zip(rng.choice([-1, 1], COUNT), wide(rng, -3, 4), strict=True)
        ]
        for _ in range(3)
    )
    exact = [max(abs(li + c), abs(li - p)) for li, c, p in zip(linear, calls, puts, strict=True)]
    found = ideal.volume(usd(linear), usd(calls), usd(puts))
    allowed = ideal.tolerance(usd(linear), usd(calls), usd(puts))
    assert np.all(np.abs(found - usd(exact)) <= allowed)

    capacity, seconds = wide(rng, 0, 4), rng.integers(0, 4_000, COUNT)
    level = [int(c * x) for c, x in zip(capacity, rng.uniform(0, 1, COUNT), strict=True)]
    exact = [
        windows.level_at(windows.Level(stored, 1), Window(c, 3_600), 1 + int(t))
        for stored, c, t in zip(level, capacity, seconds, strict=True)
    ]
    found = ideal.window_level(usd(level), usd(capacity), 3_600, seconds)
    assert np.all(np.abs(found - usd(exact)) <= ideal.tolerance(usd(level), 2 * usd(capacity)))

    volume = wide(rng, -3, 5)
    fractions = [
        windows.fraction(v, stored, c) for v, stored, c in zip(volume, level, capacity, strict=True)
    ]
    found = ideal.window_fraction(usd(volume), usd(level), usd(capacity))
    allowed = ideal.tolerance(1) + ideal.tolerance(usd(capacity)) / usd(volume)
    assert np.all(np.abs(found - usd(fractions)) <= allowed)


def test_socialised_losses_agree(rng):
    base, rest = wide(rng, 3, 9), wide(rng, 0, 9)
    shares = [int(x * WAD) for x in rng.uniform(0, 0.25, COUNT)]
    seconds = [int(t) for t in rng.integers(0, ideal.WEEK, COUNT)]
    most = DEFAULTS.max_socialised_share
    taken = [waterfall.share_taken(s, t, most) for s, t in zip(shares, seconds, strict=True)]
    exact = [
        waterfall.socialise(r, b, WAD, max(0, most - t))
        for r, b, t in zip(rest, base, taken, strict=True)
    ]
    limit = ideal.socialisable(usd(base), usd(shares), np.array(seconds), RULES)
    *_, amount = ideal.pay_claim(usd(rest), 0, 0, limit)
    allowed = ideal.tolerance(usd(base))
    assert np.all(np.abs(amount - usd(e.amount for e in exact)) <= allowed)
    index = ideal.socialised_index(1, usd(base), amount)
    assert np.all(np.abs(index - usd(e.supply_index for e in exact)) <= allowed / usd(base) + 1e-15)


def test_a_claim_is_paid_in_order():
    paid = ideal.pay_claim(np.array([5.0, 15, 25, 40]), 10, 10, 10)
    assert [list(part) for part in paid] == [[5, 10, 10, 10], [0, 5, 10, 10], [0, 0, 5, 10]]


def test_deleveraging_agrees(rng):
    for _ in range(300):
        count = int(rng.integers(1, 9))
        opposite, profits = wide(rng, -2, 3, count), wide(rng, -2, 6, count)
        size, deficit, index = wide(rng, -2, 3, 1)[0], wide(rng, 0, 6, 1)[0], wide(rng, 0, 5, 1)[0]
        others = [wide(rng, -2, 7, 1)[0], 0][int(rng.integers(2))]
        closed = deleveraging.closed_size(size, sum(opposite), DEFAULTS.max_deleverage_share)
        sizes = deleveraging.split(closed, opposite)
        found = ideal.closed_sizes(size / WAD, usd(opposite), RULES)
        assert np.all(np.abs(found - usd(sizes)) <= ideal.tolerance(usd(opposite), size / WAD))

        haircut = deleveraging.haircut(deficit, closed, size, index, others * WAD)
        parts = deleveraging.split(haircut, sizes)
        exact = [min(part, profit) for part, profit in zip(parts, profits, strict=True)]
        found = ideal.haircuts(
            deficit / WAD, usd(sizes), size / WAD, index / WAD, others / WAD, usd(profits)
        )
        allowed = ideal.tolerance(deficit / WAD, usd(profits)) + deficit / closed
        assert np.all(np.abs(found - usd(exact)) <= allowed)


def test_a_slice_is_a_part_of_everything(rng):
    amounts, fractions = wide(rng, -6, 9), [int(x * WAD) for x in rng.uniform(0, 1, COUNT)]
    exact = usd(sale.part(a, f) for a, f in zip(amounts, fractions, strict=True))
    found = usd(amounts) * usd(fractions)
    assert np.all(np.abs(found - exact) <= ideal.tolerance(usd(amounts)))


@pytest.mark.parametrize(
    "twin",
    [
        RULES._replace(cusp_discount=0.3 + 1e-12),
        RULES._replace(fast_seconds=600.000001),
        RULES._replace(opening_discount=0.0200000001),
    ],
)
def test_a_wrong_rule_is_caught(twin):
    seconds = np.arange(0, 9_000)
    exact = usd(auction.discount(int(t), DEFAULTS) for t in seconds)
    assert np.any(np.abs(ideal.discount(seconds, twin) - exact) > ideal.tolerance(1))
