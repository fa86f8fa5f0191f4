"""Historical expected shortfall of a book from its profiles and a list of joint moves.

The nodes of a profile, `Z_PPM` in standard deviations by `Y_PPM` in vol ranges, make cells of two
triangles each; in a triangle what a book earns is linear in the place. Losses are in units of
``2^e / 1024`` wei.

Source: specification, Predictive margin, 2, 4 and 5.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, pairwise, product
from typing import NamedTuple

from reference_model.exact.fixed_point import divide_up
from reference_model.types import PPM, WAD, Exposure, Scenario

ONE = 2**64
LEAST_MOVE = ONE // 100
Z_PPM = tuple(z * PPM for z in (-12, -6, -3, -2, -1, 0, 1, 2, 3, 6, 12))
Y_PPM = (-500_000, 0, 500_000, 2_250_000)
NODES = tuple(Scenario(z, y, PPM) for y in Y_PPM for z in Z_PPM)
VOL_INTERVALS = len(Y_PPM) - 1
ROWS = (len(Z_PPM) - 1) * VOL_INTERVALS * 2
NODE_BITS = 60
UNITS = 1_024
FIELD = 2**10 - 1
ROW_BIT, A_BIT, B_BIT = 5, 90, 175


class Place(NamedTuple):
    """A row of a profile, and how far into its triangle, in 1024ths, a move is."""

    row: int
    a: int
    b: int


class Row(NamedTuple):
    """What a book earns at the corner of a triangle, in units, and more per 1024th of each leg."""

    corner: int
    along_z: int
    along_y: int


class Losses(NamedTuple):
    """Losses by date, in units of ``2^exponent / 1024`` wei."""

    units: tuple[int, ...]
    exponent: int

    def to_wei(self, units: int) -> int:
        """Units as USD, WAD, Up."""
        return divide_up(units << self.exponent, UNITS)


def place(word: int, p: int) -> Place:
    """Fields of the underlying at place `p` of the basket in a date's word."""
    return Place(*(word >> (bit + 10 * p) & FIELD for bit in (ROW_BIT, A_BIT, B_BIT)))


def is_valid(word: int, places: int) -> bool:
    """Whether a word has its fields in range and all its other bits zero."""
    rest = word
    for p in range(places):
        row, a, b = place(word, p)
        if row >= ROWS or a + b > UNITS:
            return False
        rest -= row << (ROW_BIT + 10 * p) | a << (A_BIT + 10 * p) | b << (B_BIT + 10 * p)
    return rest == 0


@lru_cache(maxsize=64)
def column(words: tuple[int, ...], p: int) -> tuple[Place, ...]:
    """Return the fields of one place on all dates."""
    return tuple(place(word, p) for word in words)


def moves(deviation: int) -> list[int]:
    """Moves of the nodes at a deviation of the horizon, WAD; X64."""
    return [max(ONE + z * deviation * ONE // 10**24, LEAST_MOVE) for z in Z_PPM]


class Charges(NamedTuple):
    """What interpolation may overstate, USD, WAD.

    Attributes
    ----------
    gaps : tuple of tuple of int
        In the move, by vol class and interval.
    bends : tuple of tuple of int
        In volatility, by interval and vol interval.
    """

    gaps: tuple[tuple[int, ...], ...]
    bends: tuple[tuple[int, ...], ...]

    @property
    def all(self) -> Iterable[int]:
        """Every one of them."""
        return chain(*self.gaps, *self.bends)


@lru_cache(maxsize=64)
def charges(exposure: Exposure) -> Charges:
    """Charges of a profile."""
    greatest = [max(pair) for pair in pairwise(moves(exposure.deviation))]
    return Charges(
        tuple(_gaps(exposure, c) for c in range(len(exposure.pnl) // len(Z_PPM))),
        tuple(
            tuple(divide_up(error * move, ONE) for error in exposure.vol_errors)
            for move in greatest
        ),
    )


def rows(exposure: Exposure, exponent_: int) -> list[Row]:
    """Lower bound of what a book earns, by triangle, every node floored to ``2^exponent_`` wei."""
    count, (gaps, bends) = len(Z_PPM), charges(exposure)

    def corner(vol_class: int, k: int, d: int) -> int:
        return exposure.pnl[vol_class * count + k + d] - gaps[vol_class][k] >> exponent_

    found = []
    for k, v in product(range(count - 1), range(VOL_INTERVALS)):
        near, far = _classes(v, len(gaps))
        a00, a01 = corner(near, k, 0), corner(near, k, 1)
        a10, a11 = corner(far, k, 0), corner(far, k, 1)
        twist = a11 - a10 - a01 + a00
        charge = divide_up(UNITS * bends[k][v], 2**exponent_) + UNITS // 4 * max(0, -twist)
        found.append(Row(UNITS * a00 - charge, a01 - a00, a10 - a00))
        found.append(Row(UNITS * a11 - charge, a10 - a11, a01 - a11))
    return found


def _classes(vol_interval: int, classes: int) -> tuple[int, int]:
    """Vol classes at both ends of an interval; without options there is one."""
    return (vol_interval, vol_interval + 1) if classes > 1 else (0, 0)


def _gaps(exposure: Exposure, vol_class: int) -> tuple[int, ...]:
    """Most by which what is convex lies below its chord, by interval."""
    count = len(Z_PPM)
    slopes = exposure.slopes[vol_class * count : (vol_class + 1) * count]
    gaps = []
    for (z, next_z), (slope, next_slope) in zip(pairwise(Z_PPM), pairwise(slopes), strict=True):
        width = divide_up((next_z - z) * exposure.deviation * ONE, 10**24)
        gaps.append(divide_up(max(0, next_slope - slope) * width, 4 * ONE))
    return tuple(gaps)


def exponent(exposures: Sequence[Exposure]) -> int:
    """e: losses of a book are in units of ``2^e / 1024`` wei."""
    greatest = 0
    for exposure in exposures:
        if exposure.pnl:
            greatest = max(greatest, *map(abs, exposure.pnl), *charges(exposure).all)
    return max(0, greatest.bit_length() - NODE_BITS)


def losses(
    exposures: Sequence[Exposure], places: Sequence[int], words: tuple[int, ...], exponent_: int
) -> Losses:
    """Loss of a book on every date.

    Parameters
    ----------
    exposures : sequence of Exposure
    places : sequence of int
        Of the exposures' underlyings in the basket.
    words : tuple of int
        One per date.
    exponent_ : int
        Of the units.
    """
    earned = [0] * len(words)
    for exposure, p in zip(exposures, places, strict=True):
        profile = rows(exposure, exponent_)
        for i, (row, a, b) in enumerate(column(words, p)):
            c0, cz, cy = profile[row]
            earned[i] += c0 + cz * a + cy * b
    return Losses(tuple(max(0, -each) for each in earned), exponent_)


def tail(count: int, tail_share: int) -> int:
    """q: dates in the tail of a list, WAD."""
    return tail_share * count


def shortfall(units: Sequence[int], tail_share: int) -> int:
    """Mean of the worst share of a list of losses; Up, 0 of none."""
    q = tail(len(units), tail_share)
    if q == 0:
        return 0
    whole = divide_up(q, WAD) - 1
    worst = sorted(units, reverse=True)
    return divide_up(WAD * sum(worst[:whole]) + (q - whole * WAD) * worst[whole], q)


def shortfall_at(units: Sequence[int], tail_share: int, hint: int) -> int:
    """Upper bound of `shortfall` from any loss `hint` >= 0; Up."""
    q = tail(len(units), tail_share)
    if q == 0:
        return 0
    return hint + divide_up(sum(max(loss - hint, 0) for loss in units) * WAD, q)
