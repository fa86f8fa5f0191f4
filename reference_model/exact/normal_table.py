"""Coefficients of the normal distribution's table, derived from nothing but its definition.

The half line [0, 7.5) is cut into 300 intervals of 1/40. In each, the distribution is a polynomial
of degree 4 in tau = 40 * (x - knot) whose coefficients are multiples of 2^-52. The other half
follows from the symmetry of the distribution. `python -m reference_model.exact.normal_table` rewrites the
table in the Solidity source.

Source: specification, Mathematics, "Normal distribution".
"""

from fractions import Fraction
from math import comb
from pathlib import Path

from mpmath import mp

DEGREE = 4
INTERVALS_PER_UNIT = 40
FRACTION_BITS = 52
LANE_BITS = 48

_UNIT = 2**FRACTION_BITS
HALF_INTERVALS = 300
_PRECISION = 60
_SOURCE = Path(__file__).parents[2] / "contracts" / "math" / "NormalTable.sol"


def _round(value):
    """Nearest integer of a multiprecision number, ties away from zero."""
    return int(mp.floor(value + mp.mpf(1) / 2))


def knot_value(index):
    """Distribution at `index` / 40 in units of 2^-52, rounded to nearest."""
    return _round(mp.ncdf(mp.mpf(index) / INTERVALS_PER_UNIT) * _UNIT)


def _fit(target, base, count):
    """Coefficients q with base + tau * (1 - tau) * q(tau) = target at the Chebyshev nodes."""
    nodes = _chebyshev_nodes(count)
    matrix = mp.matrix(count, count)
    rest = mp.matrix(count, 1)
    for row, tau in enumerate(nodes):
        for power in range(count):
            matrix[row, power] = tau * (1 - tau) * tau**power
        rest[row] = target(tau) - base(tau)
    return mp.lu_solve(matrix, rest) if count else []


def _chebyshev_nodes(count):
    """Inner zeros of the Chebyshev polynomial of degree count + 2, stretched to end in 0 and 1."""
    zeros = [mp.cos(mp.pi * (2 * i + 1) / (2 * (count + 2))) for i in range(count + 2)]
    return [(1 - zero / zeros[0]) / 2 for zero in zeros[1:-1]]


def interval_coefficients(index):
    """Coefficients c_0 .. c_4 of the interval that starts at `index` / 40 >= 0, units of 2^-52.

    The polynomial is v_i + (v_{i+1} - v_i) * tau + tau * (1 - tau) * q(tau) with the rounded values
    at both knots, so that neighbours meet exactly. The coefficients of q are rounded from the
    highest down, the lower ones taking up as much as they can of each rounding.
    """
    low, high = knot_value(index), knot_value(index + 1)

    def target(tau):
        return mp.ncdf((index + tau) / INTERVALS_PER_UNIT) * _UNIT

    def chord(tau):
        return low + (high - low) * tau

    bulge = list(_fit(target, chord, DEGREE - 1))
    for power in range(DEGREE - 2, -1, -1):
        error = bulge[power] - _round(bulge[power])
        bulge[power] = _round(bulge[power])
        lower = _fit(lambda tau: error * tau * (1 - tau) * tau**power, lambda tau: 0, power)
        bulge[:power] = [q + dq for q, dq in zip(bulge[:power], lower)]
    coefficients = _expand(low, high, bulge)
    return coefficients if _is_increasing(coefficients) else [low, high - low, 0, 0, 0]


def _expand(low, high, bulge):
    """Coefficients in powers of tau of the sum in `interval_coefficients`."""
    coefficients = [low, high - low] + [0] * (DEGREE - 1)
    for power, value in enumerate(bulge):
        coefficients[power + 1] += value
        coefficients[power + 2] -= value
    return coefficients


def _is_increasing(coefficients):
    """Whether the derivative's Bernstein coefficients on [0, 1] prove it non-negative."""
    return min(bernstein([k * c for k, c in enumerate(coefficients)][1:])) >= 0


def bernstein(coefficients):
    """Bernstein coefficients on [0, 1]: their least and greatest bound the polynomial there."""
    degree = len(coefficients) - 1
    return [
        sum(Fraction(comb(i, k), comb(degree, k)) * coefficients[k] for k in range(i + 1))
        for i in range(degree + 1)
    ]


def _mirror(coefficients):
    """Coefficients of 1 - p(1 - tau): the same interval on the other side of zero."""
    mirrored = []
    for power in range(DEGREE + 1):
        total = sum(c * comb(k, power) * (-1) ** power for k, c in enumerate(coefficients))
        mirrored.append((_UNIT if power == 0 else 0) - total)
    return mirrored


def pack(coefficients):
    """One table word: the signed coefficients, c_4 lowest, 48 bits apart, modulo 2^256."""
    for c in coefficients[1:]:
        assert -(2 ** (LANE_BITS - 1)) < c < 2 ** (LANE_BITS - 1)
    return sum(c << LANE_BITS * (DEGREE - k) for k, c in enumerate(coefficients)) % 2**256


def table():
    """All words, for the intervals from -7.5 to 7.5."""
    with mp.workdps(_PRECISION):
        upper = [interval_coefficients(i) for i in range(HALF_INTERVALS)]
    lower = [_mirror(c) for c in reversed(upper)]
    return [pack(c) for c in lower + upper]
