"""Parametric margin: the worst over a box of correlations, with no search.

Source: specification, Predictive margin, 6.
"""

import numpy as np
import pytest
from model.ideal_market import books, market, priced, random_sizes
from model.test_ideal_predictive import given

from reference_model.exact import parametric as exact
from reference_model.ideal import margin
from reference_model.ideal.predictive import linear_risk, worst_correlation
from reference_model.types import WAD, Exposure

MATRICES = 100_000
WIDTHS = (0.0, 0.1, 0.3, 0.7, 1.0)


@pytest.fixture
def rng():
    return np.random.default_rng(10**5)


def random_correlations(rng, count, size, factors=None):
    """Correlation matrices of random loadings; the fewer factors, the nearer to singular."""
    factors = rng.integers(1, size + 1) if factors is None else factors
    load = rng.normal(size=(count, size, factors))
    load /= np.linalg.norm(load, axis=2, keepdims=True)
    return load @ np.swapaxes(load, 1, 2)


def in_the_box(rng, estimate, width, count):
    """Random correlation matrices of the box around an estimate.

    Half are mixtures with the estimate, which are in the box by construction. Half are anywhere in
    it, pulled towards the estimate until they are correlation matrices.
    """
    size = len(estimate)
    half = count // 2
    mixed = (1 - width) * estimate + width * random_correlations(rng, half, size)
    anywhere = rng.uniform(-1, 1, (count - half, size, size))
    corners = np.where(rng.random(len(anywhere))[:, None, None] < 0.5, np.sign(anywhere), anywhere)
    step = np.triu(corners, 1)
    step = width * (step + np.swapaxes(step, 1, 2) - estimate * (1 - np.eye(size)))
    share = np.ones(len(step))
    for _ in range(6):
        least = np.linalg.eigvalsh(estimate + share[:, None, None] * step)[:, 0]
        share *= np.where(least < -1e-12, 0.5, 1.0)
    pulled = estimate + share[:, None, None] * step
    found = np.concatenate([mixed, pulled[np.linalg.eigvalsh(pulled)[:, 0] >= -1e-9]])
    low, high = (1 - width) * estimate - width, (1 - width) * estimate + width
    off = ~np.eye(size, dtype=bool)
    assert np.all((found[:, off] >= low[off] - 1e-12) & (found[:, off] <= high[off] + 1e-12))
    assert len(found) > 0.6 * count
    return found


def under(linear, matrices):
    """Deviation of a book under each matrix."""
    return np.sqrt(np.maximum(np.einsum("i,nij,j->n", linear, matrices, linear), 0))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [2, 5, 8])
def test_it_is_at_least_the_margin_under_each_matrix_of_the_box(rng, width, size):
    """10⁵ matrices for each width, over three sizes."""
    # Not singular, or a random step from it would hardly ever be a correlation matrix.
    estimate = 0.7 * random_correlations(rng, 1, size)[0] + 0.3 * np.eye(size)
    matrices = in_the_box(rng, estimate, width, MATRICES // 2)
    for _ in range(4):
        linear = rng.normal(size=size) * 10 ** rng.uniform(0, 2, size)
        worst = linear_risk(linear[None], estimate, width)[0]
        found = under(linear, matrices).max()
        assert found <= worst * (1 + 1e-12) + 1e-9
        if size == 2:  # The box has one dimension, so random matrices come near its end.
            assert found >= worst * 0.98


@pytest.mark.parametrize("width", WIDTHS)
def test_the_worst_matrix_is_a_correlation_matrix_of_the_box_and_attains_it(rng, width):
    for estimate in random_correlations(rng, 500, 6):
        linear = rng.normal(size=6)
        matrix = worst_correlation(linear, estimate, width)
        assert np.linalg.eigvalsh(matrix)[0] >= -1e-12
        assert np.diag(matrix) == pytest.approx(1)
        assert np.all(np.abs(matrix - (1 - width) * estimate) <= width + 1e-12)
        attained = under(linear, matrix[None])[0]
        assert attained == pytest.approx(linear_risk(linear[None], estimate, width)[0], abs=1e-7)


def test_an_open_box_is_gross(rng):
    linear = rng.normal(size=(1_000, 8))
    for estimate in random_correlations(rng, 5, 8):
        assert linear_risk(linear, estimate, 1.0) == pytest.approx(np.abs(linear).sum(axis=1))


def test_a_closed_box_is_the_estimate(rng):
    linear = rng.normal(size=8)
    for estimate in random_correlations(rng, 50, 8):
        assert linear_risk(linear[None], estimate, 0.0)[0] == pytest.approx(
            under(linear, estimate[None])[0], abs=1e-7
        )


def test_a_wider_box_never_needs_less(rng):
    linear, estimate = rng.normal(size=(10_000, 8)), random_correlations(rng, 1, 8)[0]
    found = [linear_risk(linear, estimate, width) for width in np.linspace(0, 1, 21)]
    assert np.all(np.diff(found, axis=0) >= -1e-12)


@pytest.mark.parametrize("width", WIDTHS)
def test_merging_two_books_never_needs_more(rng, width):
    """10⁵ pairs for each width; among them pairs that hedge one another."""
    estimate = random_correlations(rng, 1, 8)[0]
    first, second = rng.normal(size=(2, MATRICES, 8)) * (rng.random((2, MATRICES, 8)) < 0.5)
    second[::4] -= first[::4]
    together = linear_risk(first + second, estimate, width)
    apart = linear_risk(first, estimate, width) + linear_risk(second, estimate, width)
    assert np.all(together <= apart + 1e-6 * (width == 0) + 1e-11)


def test_the_correlated_quadratic_form_of_another_engine():
    """A long and a short of equal size at deviations 0.10 and 0.12, without a box.

    Source: Reya, margin engine, √(e'·R·e).
    """
    linear = np.array([[0.10, -0.12]])
    for rho, expected in ((0.9, 0.0529), (0.5, 0.1114), (0.0, 0.1562)):
        estimate = np.array([[1, rho], [rho, 1]])
        assert linear_risk(linear, estimate, 0.0)[0] == pytest.approx(expected, abs=5e-5)
        boxed = linear_risk(linear, estimate, 0.3)[0]
        assert boxed == pytest.approx(np.sqrt(0.7 * expected**2 + 0.3 * 0.22**2), abs=5e-5)


# Whole margin ------------------------------------------------------------------------------------


def whole(rng, width, estimate, floor=0.5):
    """P of random books, what it would be by the linear part alone, and that part."""
    vectors = given(rng, correlation_width=width, correlation=estimate, single_asset_floor=floor)
    here = market()._replace(predictive=vectors)
    risk = priced(here)[1]
    result = margin.margin(here, risk, books(here, random_sizes(rng, risk, 300)))
    linear = result.underlyings.delta * vectors.deviation
    return result.predictive.parametric, linear


def test_gamma_and_vega_are_beside_the_box(rng):
    """So the margin under any matrix of the box, with the same options, is no more either."""
    estimate = random_correlations(rng, 1, 3)[0]
    parametric, linear = whole(rng, 0.3, estimate, floor=0.0)
    beside = parametric - 3 * linear_risk(linear, estimate, 0.3)
    assert np.all(beside >= -1e-9) and np.any(beside > 100)
    for book in range(0, 300, 30):
        under_each = 3 * under(linear[book], in_the_box(rng, estimate, 0.3, 2_000))
        assert np.all(under_each + beside[book] <= parametric[book] + 1e-9)


def test_it_is_never_below_the_single_asset_floor(rng):
    for floor in (0.5, 1.0):
        parametric, linear = whole(rng, 0.0, random_correlations(rng, 1, 3, factors=1)[0], floor)
        assert np.all(parametric >= 3 * floor * np.abs(linear).max(axis=1) - 1e-9)


def test_the_exact_layer_rounds_up_what_the_box_says(rng):
    """Integers of very different sizes, hedged to the last unit and not."""
    for _ in range(500):
        size = int(rng.integers(1, 9))
        estimate = random_correlations(rng, 1, size)[0]
        deltas = [round(float(x)) for x in rng.normal(size=size) * 10 ** rng.uniform(0, 30, size)]
        deviations = [int(x) for x in rng.integers(WAD // 400, WAD, size)]
        width, floor = (int(x) for x in rng.integers(0, WAD + 1, 2))
        exposures = [
            Exposure(u, deviation, delta, 0, 0, (0, 0, 0), (0,) * 11, (0,) * 11)
            for u, (deviation, delta) in enumerate(zip(deviations, deltas, strict=True))
        ]
        linear = np.array(deltas, float) * np.array(deviations) / WAD

        def rho(u, v, estimate=estimate):
            return round(float(estimate[u, v]) * WAD)

        found = exact.margin(exposures, rho, width, floor)
        form = linear_risk(linear[None], estimate, width / WAD)[0]
        expected = 3 * max(form, floor / WAD * np.abs(linear).max())
        beyond = sum(exact.beyond_delta(each) for each in exposures)
        error = 3e-7 * np.abs(linear).sum() if form < 1e-6 * np.abs(linear).sum() else 0
        assert expected * (1 - 1e-9) - error <= found - beyond <= expected * (1 + 1e-9) + error + 40
