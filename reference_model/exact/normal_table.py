"""The table of the normal distribution, derived from nothing but its definition.

The half line [0, 7.5) is cut into 300 intervals of 1/40. In each the distribution is a polynomial
of degree 4 in tau = 40 * (x - knot) whose coefficients are multiples of 2^-52. The other half
follows from symmetry. ``python -m reference_model.exact.normal_table`` rewrites the table in the
Solidity source.

Source: specification, Mathematics (Normal distribution).
"""

from decimal import Decimal, localcontext
from functools import cache
from math import comb
from pathlib import Path

DEGREE = 4
INTERVALS_PER_UNIT = 40
HALF_INTERVALS = 300
FRACTION_BITS = 52
LANE_BITS = 48

_UNIT = 2**FRACTION_BITS
_DIGITS = 50
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
_SOURCE = Path(__file__).parents[2] / "contracts/math/NormalTable.sol"

Coefficients = list[int]


def cdf(x: Decimal) -> Decimal:
    """Normal distribution at ``x`` in [0, 8], to some 45 digits.

    Formula: ``Φ(x) = 1/2 + φ(x)·(x + x³/3 + x⁵/15 + …)``; no term is negative.
    """
    term = total = x
    n = 1
    while term > Decimal(10) ** -_DIGITS:
        n += 2
        term *= x * x / n
        total += term
    return Decimal("0.5") + (-x * x / 2).exp() / (2 * _PI).sqrt() * total


@cache
def table() -> tuple[int, ...]:
    """All words, for the intervals from -7.5 to 7.5."""
    with localcontext() as context:
        context.prec = _DIGITS
        upper = [_interval(index) for index in range(HALF_INTERVALS)]
    lower = [_mirror(coefficients) for coefficients in reversed(upper)]
    return tuple(_pack(coefficients) for coefficients in lower + upper)


def _interval(index: int) -> Coefficients:
    """Coefficients c_0 … c_4 of the interval that starts at ``index / 40``, units of 2^-52.

    The polynomial is ``low + (high − low)·τ + τ·(1 − τ)·q(τ)`` with the rounded values at both
    knots, so that neighbours meet exactly. ``q`` interpolates; its coefficients are rounded from
    the highest down, the lower ones taking up as much as they can of each rounding.
    """
    low, high = _knot(index), _knot(index + 1)

    def bulge(tau: Decimal) -> Decimal:
        value = cdf((index + tau) / INTERVALS_PER_UNIT) * _UNIT
        return (value - low - (high - low) * tau) / (tau * (1 - tau))

    q = _interpolate(bulge, DEGREE - 1)
    for power in reversed(range(DEGREE - 1)):
        rounded = int(q[power].to_integral_value())
        error, q[power] = q[power] - rounded, rounded
        correction = _interpolate(lambda tau: error * tau**power, power)  # noqa: B023
        q[:power] = [a + b for a, b in zip(q[:power], correction, strict=True)]

    coefficients = [low, high - low, *[0] * (DEGREE - 1)]
    for power, value in enumerate(q):
        coefficients[power + 1] += value
        coefficients[power + 2] -= value
    return coefficients


def _knot(index: int) -> int:
    """Distribution at ``index / 40``, units of 2^-52, to nearest."""
    return int((cdf(Decimal(index) / INTERVALS_PER_UNIT) * _UNIT).to_integral_value())


def _interpolate(function, count: int) -> list[Decimal]:
    """Coefficients of the polynomial of ``count`` terms through the function's nodes.

    With the ends of the interval the nodes are the Chebyshev points of degree ``count + 2``
    stretched so that the outermost are 0 and 1. Newton's divided differences.
    """
    nodes = _nodes(count)
    differences = [function(tau) for tau in nodes]
    for order in range(1, count):
        for i in reversed(range(order, count)):
            rise = differences[i] - differences[i - 1]
            differences[i] = rise / (nodes[i] - nodes[i - order])
    coefficients: list[Decimal] = []
    for tau, difference in zip(reversed(nodes), reversed(differences), strict=True):
        shifted = [Decimal(0), *coefficients]
        scaled = [*(tau * c for c in coefficients), Decimal(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
        coefficients[0] += difference
    return coefficients


@cache
def _nodes(count: int) -> tuple[Decimal, ...]:
    """Inner points of the stretched Chebyshev points, ascending."""
    cosines = [_cos(_PI * (2 * i + 1) / (2 * (count + 2))) for i in range(count + 2)]
    return tuple((1 - cosine / cosines[0]) / 2 for cosine in cosines[1:-1])


def _cos(x: Decimal) -> Decimal:
    term = total = Decimal(1)
    n = 0
    while abs(term) > Decimal(10) ** -_DIGITS:
        n += 2
        term *= -x * x / (n * (n - 1))
        total += term
    return total


def _mirror(coefficients: Coefficients) -> Coefficients:
    """Coefficients of ``1 − p(1 − τ)``: the same interval on the other side of zero."""
    mirrored = [_UNIT, *[0] * DEGREE]
    for k, c in enumerate(coefficients):
        for power in range(k + 1):
            mirrored[power] -= c * comb(k, power) * (-1) ** power
    return mirrored


def _pack(coefficients: Coefficients) -> int:
    """One word: the signed coefficients, c_4 lowest, 48 bits apart, modulo 2^256."""
    if any(abs(c) >= 2 ** (LANE_BITS - 1) for c in coefficients[1:]):
        raise OverflowError(coefficients)
    return sum(c << LANE_BITS * (DEGREE - k) for k, c in enumerate(coefficients)) % 2**256


def unpack(word: int) -> Coefficients:
    """Coefficients c_0 … c_4 of a word of the table."""
    coefficients = []
    for _ in range(DEGREE):
        lane = word % 2**LANE_BITS
        c = lane - (lane >> LANE_BITS - 1 << LANE_BITS)
        coefficients.append(c)
        word = (word - c) >> LANE_BITS
    return [word, *reversed(coefficients)]


def rewrite(source: str) -> str:
    """Replace the words of the table in the Solidity source."""
    lines = source.splitlines(keepends=True)
    places = [i for i, line in enumerate(lines) if line.lstrip().startswith('hex"')]
    words = [f'            hex"{word:064x}"\n' for word in table()]
    words[-1] = words[-1].replace("\n", ";\n")
    return "".join([*lines[: places[0]], *words, *lines[places[-1] + 1 :]])


if __name__ == "__main__":
    _SOURCE.write_text(rewrite(_SOURCE.read_text()))
