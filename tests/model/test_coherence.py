"""Coherence of the three generations, on thousands of random books of the ideal layer at once.

Concentration grows faster than a book by design and is off, except where a test is about it; the
basis charge is for hedging across time, which merging makes possible: a merged book pays it on what
it thereby saves elsewhere, so it is off too, or allowed for.

Source: specification, Predictive margin, 10; P. Artzner and others, "Coherent measures of risk"
(1999).
"""

import numpy as np
import pytest
from model.ideal_market import books, instruments, market, priced, random_sizes
from model.test_ideal_predictive import given

from reference_model.ideal import margin, predictive
from reference_model.ideal.predictive import JointRisk

BOOKS = 600
GENERATIONS = ("portfolio", "isolated", "predictive")
NAMES = ("maintenance", "initial")
EVERY = pytest.mark.parametrize("generation", GENERATIONS)


@pytest.fixture
def rng():
    return np.random.default_rng(1_999)


@pytest.fixture
def here(rng):
    """A market with every charge but those that are not coherent by themselves."""
    free = market(concentration_rate=0, basis_rate=0, initial_scan_range=0.3)
    return free._replace(predictive=given(rng))


def requirements(here, sizes, risk=None, **holdings):
    """Maintenance and initial margin of books, by generation; shape (2, books)."""
    risk = risk or priced(here)[1]
    result = margin.margin(here, risk, books(here, sizes, mode=2, **holdings))
    isolated = np.stack([result.isolated_maintenance_margin, result.isolated_initial_margin])
    netted = np.stack([result.net_maintenance_margin, result.net_initial_margin])
    third = np.stack([result.predictive.maintenance_margin, result.predictive.initial_margin])
    return dict(zip(GENERATIONS, (np.minimum(netted, isolated), isolated, third), strict=True))


def holdings(rng, here, count=BOOKS):
    """Sizes and balances of random books, between one position and some dozens."""
    density = rng.choice([0.02, 0.1, 0.4], (count, 1))
    sizes = random_sizes(rng, priced(here)[1], count, density)
    price = np.append(here.underlyings.index, 1.0)
    balances = rng.exponential(1e4, (count, 4)) * (rng.random((count, 4)) < 0.3) / price
    return sizes, balances


def at_most(less, more, slack=1e-11):
    assert np.all(less <= more + slack * np.abs(more) + 1e-9), np.max(less - more)


@EVERY
def test_no_position_alone_has_a_negative_margin(here, generation):
    """Whatever it is, either way, whatever collateral: no credit without something to credit."""
    count = len(instruments(here).kind)
    sizes = np.concatenate([np.eye(count), -np.eye(count), np.zeros((4, count))])
    balances = np.concatenate([np.zeros((2 * count, 4)), np.eye(4)])
    found = requirements(here, sizes, collateral=balances)[generation]
    assert np.all(found >= 0)
    assert np.all(found[1] >= found[0])
    # All but cash-like collateral can lose something, bought options what they are worth.
    assert np.all(found[:, :-1] > 0)


@EVERY
def test_requirements_are_homogeneous(here, rng, generation):
    sizes, balances = holdings(rng, here)
    once = requirements(here, sizes, collateral=balances)[generation]
    for factor in (0.25, 3.0, 1_000.0):
        scaled = requirements(here, factor * sizes, collateral=factor * balances)[generation]
        assert scaled == pytest.approx(factor * once, rel=1e-11, abs=1e-9)


@EVERY
@pytest.mark.parametrize("crowded", [False, True])
def test_merging_two_accounts_never_needs_more(here, rng, generation, crowded):
    """Also where open interest scales initial margin: splitting an account is never cheaper.

    Every account has a position wherever it has collateral: open interest scales what collateral
    may lose only where it stands beside positions.
    """
    (first, balances), (second, others) = (holdings(rng, here) for _ in range(2))
    perpetual = np.flatnonzero(instruments(here).kind == 0)[:3]
    for sizes in (first, second):
        sizes[:, perpetual] += np.where(sizes[:, perpetual] == 0, 1e-9, 0)
    open_interest = 1.2e5 if crowded else 0.0

    def needed(sizes, collateral):
        return requirements(here, sizes, collateral=collateral, open_interest=open_interest)

    together = needed(first + second, balances + others)[generation]
    apart = needed(first, balances)[generation] + needed(second, others)[generation]
    at_most(together, apart)
    assert np.mean(together < 0.99 * apart) > (0.3 if generation == "isolated" else 0.8)


@EVERY
def test_splitting_among_many_is_never_cheaper_in_a_crowded_market(here, rng, generation):
    """Positions recycled over ten wallets, each below every threshold of its own."""
    sizes, _ = holdings(rng, here, 50)
    shares = rng.dirichlet(np.ones(10), sizes.shape)
    crowd = {"open_interest": 1.2e5}
    whole = requirements(here, sizes, **crowd)[generation]
    parts = sum(requirements(here, sizes * shares[..., i], **crowd)[generation] for i in range(10))
    at_most(whole, parts)
    quiet = requirements(here, sizes)[generation]
    assert np.all(whole[1] >= quiet[1]) and np.mean(whole[1] > 1.1 * quiet[1]) > 0.5


def test_the_basis_charge_is_all_that_merging_can_add(rng):
    here = market(concentration_rate=0)._replace(predictive=given(rng))
    first, second = (holdings(rng, here)[0] for _ in range(2))
    risk = priced(here)[1]
    merged = margin.margin(here, risk, books(here, first + second))
    basis = merged.underlyings.basis_charge.sum(axis=1)
    assert basis.max() > 0
    together, one, other = (requirements(here, each) for each in (first + second, first, second))
    for generation in ("portfolio", "predictive"):
        at_most(together[generation] - basis, one[generation] + other[generation])


@EVERY
def test_netted_is_at_most_the_sum_of_each_position_alone(here, rng, generation):
    sizes, _ = holdings(rng, here, 60)
    at, instrument = np.nonzero(sizes)
    single = np.zeros((len(at), sizes.shape[1]))
    single[np.arange(len(at)), instrument] = sizes[at, instrument]
    alone = requirements(here, single)[generation]
    gross = np.stack([np.bincount(at, each, len(sizes)) for each in alone])
    netted = requirements(here, sizes)[generation]
    at_most(netted, gross)
    if generation == "isolated":
        assert netted == pytest.approx(gross, rel=1e-11)


def test_netted_is_at_most_isolated(here, rng):
    sizes, balances = holdings(rng, here)
    found = requirements(here, sizes, collateral=balances)
    at_most(found["portfolio"], found["isolated"])


@EVERY
def test_the_order_of_positions_does_not_matter(here, rng, generation):
    sizes, balances = holdings(rng, here)
    risk = priced(here)[1]
    listed = books(here, sizes, collateral=balances, mode=2)
    order = rng.permutation(len(listed.account))
    mixed = listed._replace(
        **{
            name: getattr(listed, name)[order]
            for name in ("account", "instrument", "size", "quote")
        }
    )
    one, other = (margin.margin(here, risk, each) for each in (listed, mixed))
    for name in NAMES:
        fields = {
            "portfolio": lambda x, name=name: getattr(x, f"net_{name}_margin"),
            "isolated": lambda x, name=name: getattr(x, f"isolated_{name}_margin"),
            "predictive": lambda x, name=name: getattr(x.predictive, f"{name}_margin"),
        }
        assert fields[generation](other) == pytest.approx(fields[generation](one), rel=1e-11)


# Monotone ----------------------------------------------------------------------------------------


def worse(risk, rng):
    """The same instruments, earning less in every scenario, on every date and at every node."""

    def less(pnl):
        return pnl - rng.exponential(size=pnl.shape) * np.abs(risk.delta)

    pnl = less(risk.pnl)
    return risk._replace(
        pnl=pnl,
        worst_long=-pnl.min(axis=0, initial=0),
        worst_short=pnl.max(axis=0, initial=0),
        joint=JointRisk(less(risk.joint.dates), less(risk.joint.nodes)),
    )


@EVERY
def test_what_earns_less_in_every_case_never_needs_less(here, rng, generation):
    sizes = np.abs(holdings(rng, here)[0])
    risk = priced(here)[1]
    before = requirements(here, sizes, risk)[generation]
    at_most(before, requirements(here, sizes, worse(risk, rng))[generation])


@EVERY
@pytest.mark.parametrize(
    "name", ["confidence", "scan_range", "initial_scan_range", "short_option_rate"]
)
def test_a_harsher_market_never_needs_less(here, rng, generation, name):
    sizes, balances = holdings(rng, here)
    u = here.underlyings
    harsher = here._replace(underlyings=u._replace(**{name: getattr(u, name) * 1.3}))
    before, after = (
        requirements(each, sizes, collateral=balances)[generation] for each in (here, harsher)
    )
    # A wider range lets the initial requirement rise by less: what is to come has come.
    chosen = slice(0, 1) if name == "scan_range" else slice(None)
    linear = instruments(here).kind < 2
    if name == "scan_range":  # Between its nodes an option may lose less in a wider grid.
        before, after = (
            requirements(each, np.where(linear, sizes, 0))[generation] for each in (here, harsher)
        )
    at_most(before[chosen], after[chosen])


@pytest.mark.parametrize(
    ("name", "harsher"),
    [
        ("tail_share", 0.01),
        ("floor_weight", 1.0),
        ("correlation_width", 0.6),
        ("single_asset_floor", 1.0),
        ("initial_deviation", np.full(3, 0.2)),
    ],
)
def test_harsher_predictive_parameters_never_need_less(here, rng, name, harsher):
    sizes, balances = holdings(rng, here)
    changed = here._replace(predictive=here.predictive._replace(**{name: harsher}))
    before, after = (
        requirements(each, sizes, collateral=balances)["predictive"] for each in (here, changed)
    )
    at_most(before, after)
    assert np.any(after > 1.01 * before)


def test_the_deviation_scales_what_linear_books_lose(here, rng):
    linear = instruments(here).kind < 2
    sizes = np.where(linear, holdings(rng, here)[0], 0)
    v = here.predictive
    changed = here._replace(predictive=v._replace(deviation=2 * v.deviation))
    once, twice = (
        margin.margin(each, priced(each)[1], books(each, sizes)).predictive
        for each in (here, changed)
    )
    assert twice.shortfall == pytest.approx(2 * once.shortfall)
    assert twice.parametric == pytest.approx(2 * once.parametric)


# What must not be coherent -----------------------------------------------------------------------


@EVERY
def test_concentration_makes_the_large_pay_more_than_in_proportion(rng, generation):
    here = market(basis_rate=0, depth=1e4)._replace(predictive=given(rng))
    perpetual = np.where(instruments(here).kind == 0, 1.0, 0.0)
    once, ten = (requirements(here, [size * perpetual])[generation] for size in (1, 10))
    assert np.all(ten > 10.5 * once)


def test_an_incoherent_measure_would_be_caught(here, rng, monkeypatch):
    """Value at risk instead of expected shortfall: merging two accounts may need more."""

    def quantile(losses, tail_share):
        return np.quantile(losses, 1 - tail_share, axis=-1) if losses.shape[-1] else 0.0

    monkeypatch.setattr(predictive, "mean_of_worst", quantile)
    gambles = np.zeros((2, 3))
    gambles[0, 0] = gambles[1, 1] = -1.0
    dates = np.zeros((250, 3))
    dates[:6, 0] = dates[6:12, 1] = 10.0
    v = here.predictive._replace(price_moves=dates, vol_moves=np.zeros((250, 3)), floor_weight=0.0)
    here = here._replace(predictive=v)
    perpetual = np.flatnonzero(instruments(here).kind == 0)
    sizes = np.zeros((2, len(instruments(here).kind)))
    sizes[0, perpetual[0]], sizes[1, perpetual[1]] = -1.0, -1.0
    risk = priced(here)[1]
    alone = margin.margin(here, risk, books(here, sizes)).predictive.shortfall
    both = margin.margin(here, risk, books(here, sizes.sum(axis=0))).predictive.shortfall
    with pytest.raises(AssertionError):
        at_most(both, alone.sum())
