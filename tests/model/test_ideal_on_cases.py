"""The ideal layer on random whole markets: finite everywhere, coherent, its own tolerance kept."""

from random import Random

import numpy as np
import pytest

from reference_model import cases
from reference_model.ideal import margin, market, scenarios, tolerance
from reference_model.types import (
    WAD,
    Assessment,
    Breakdown,
    PredictiveBreakdown,
    UnderlyingBreakdown,
)

SEEDS = range(60)


def arrays(seed, count=64):
    integers, portfolios = cases.random_case(Random(seed), count)
    here = market.from_integers(integers)
    instruments, books = margin.from_integers(here, portfolios)
    return here, instruments, scenarios.price(here, instruments), books


def leaves(result):
    columns = (*result[:-2], *result.underlyings)
    return [each for each in columns if each is not None]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_number_and_every_allowance_is_finite(seed):
    here, instruments, risk, books = arrays(seed)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        result = margin.margin(here, risk, books, keep_scenarios=True)
        allowance = tolerance.of_margin(here, instruments, risk, books, result)
    assert all(np.all(np.isfinite(each)) for each in leaves(result))
    assert all(np.all(np.isfinite(each) & (each >= 0)) for each in leaves(allowance))


@pytest.mark.parametrize("seed", SEEDS)
def test_netted_risk_is_at_most_isolated_and_initial_at_least_maintenance(seed):
    here, _, risk, books = arrays(seed)
    result = margin.margin(here, risk, books)
    slack = 1e-12 * result.isolated_initial_margin + 1e-12
    assert np.all(result.scan_risk <= result.isolated_scan_risk + slack)
    assert np.all(result.maintenance_margin <= result.initial_margin + slack)
    assert np.all(result.maintenance_margin <= result.isolated_maintenance_margin)
    assert np.all(result.initial_equity <= result.equity + 1e-12 * np.abs(result.equity) + slack)
    assert np.all(result.maintenance_margin >= 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_merging_accounts_never_raises_scan_risk(seed):
    here, _, risk, books = arrays(seed)
    merged = books._replace(
        account=books.account // 2,
        cash=books.cash[::2],
        margin_mode=books.margin_mode[::2],
        collateral=books.collateral[::2] + books.collateral[1::2],
        open_interest=books.open_interest[::2],
    )
    apart = margin.margin(here, risk, books)
    together = margin.margin(here, risk, merged).scan_risk
    slack = 1e-12 * apart.isolated_scan_risk.reshape(-1, 2).sum(axis=1) + 1e-12
    assert np.all(together <= apart.scan_risk.reshape(-1, 2).sum(axis=1) + slack)


def test_the_allowance_is_small_on_ordinary_books():
    """A formula wrong by 1e-5 of the gross requirement is seen, mostly one by far less."""
    shares = []
    for seed in SEEDS:
        result, allowance = tolerance.assess(*cases.random_case(Random(seed), 32))
        counted = result.isolated_initial_margin > 1
        shares.append(allowance.initial_margin[counted] / result.isolated_initial_margin[counted])
    shares = np.concatenate(shares)
    assert np.median(shares) < 1e-10 and np.mean(shares < 1e-5) > 0.85


def rounded(result, market_integers, portfolios):
    """Turn an ideal result into the breakdowns an exact layer would return."""

    def wad(value):
        return round(float(value) * WAD)

    for account in range(len(portfolios)):
        underlyings = []
        for row, spot in enumerate(market_integers.spots):
            values = {
                name: wad(getattr(result.underlyings, name)[account, row])
                for name in UnderlyingBreakdown._fields[4:]
            }
            u = result.underlyings
            netted = tuple(wad(each) for each in u.netted[:, account, row])
            worst = wad(u.worst_loss[account, row]), int(u.binding_scenario[account, row])
            underlyings.append(UnderlyingBreakdown(spot.underlying, netted, *worst, **values))
        totals = {name: wad(getattr(result, name)[account]) for name in Breakdown._fields[2:11]}
        yield Breakdown(
            Assessment(*(wad(each[account]) for each in result[:5]), 0),
            int(result.health[account]),
            **totals,
            group_risk=tuple(wad(each) for each in result.group_risk[account]),
            predictive=PredictiveBreakdown(
                bool(result.predictive.applies[account]),
                *(wad(each[account]) for each in result.predictive[1:]),
            ),
            underlyings=tuple(underlyings),
        )


def test_comparison_accepts_rounding_and_names_what_is_wrong():
    integers, portfolios = cases.random_case(Random(5), 16)
    result, allowance = tolerance.assess(integers, portfolios)
    same = list(rounded(result, integers, portfolios))
    assert tolerance.compare(integers, portfolios, same) == []
    off = round(3 * allowance.scan_risk[7] * WAD) + 10
    same[7] = same[7]._replace(scan_risk=same[7].scan_risk + off)
    assert [
        (each.account, each.name) for each in tolerance.compare(integers, portfolios, same)
    ] == [(7, "scan_risk")]
