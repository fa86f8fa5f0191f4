"""What the profile charges above a full revaluation, in mpmath, over the shipped vectors.

The integer model is measured: it is bit for bit what the contracts compute.
"""

from typing import NamedTuple

import mpmath

from reference_model.exact import profile, scenarios, shortfall, svi
from reference_model.exact.shortfall import NODES, ONE
from reference_model.types import DAY, PPM, WAD, Exposure
from scripts._vectors import SHIPPED, read_vectors

DEVIATION = WAD // 40
TAIL_SHARE = WAD // 40
INDEX = 1_000 * WAD
NOTIONAL = 10**6 * WAD
VOLATILITY = mpmath.mpf("0.6")


class Leg(NamedTuple):
    """An option: days to expiry, strike over index, side, whether a put."""

    days: int
    ratio: float
    side: int
    is_put: bool


BOOKS = {
    "short_strangle": (0, (Leg(30, 0.9, -1, True), Leg(30, 1.1, -1, False))),
    "covered_call": (1, (Leg(30, 1.1, -1, False),)),
    "long_straddle": (0, (Leg(30, 1.0, 1, True), Leg(30, 1.0, 1, False))),
    "iron_condor": (
        0,
        (
            *(Leg(30, 0.8, 1, True), Leg(30, 0.9, -1, True)),
            *(Leg(30, 1.1, -1, False), Leg(30, 1.2, 1, False)),
        ),
    ),
}


def overcharges() -> dict[str, float]:
    """Share by which the shortfall of each book exceeds the exact one; none is below 0."""
    words = tuple(read_vectors(SHIPPED).integers())
    with mpmath.workdps(30):
        return {f"error.es.{name}": _overcharge(*book, words) for name, book in BOOKS.items()}


def _overcharge(side: int, legs: tuple[Leg, ...], words: tuple[int, ...]) -> float:
    linear = side * NOTIONAL
    held = [_option(leg) for leg in legs]
    exposure = profile.exposure(1, DEVIATION, linear, linear, held, ONE, 0)
    charged = _shortfall(exposure, words) + exposure.slack
    places = shortfall.column(words, 0)
    earned = [_earned(linear, held, place) for place in places]
    worst = sorted((max(0, -each) for each in earned), reverse=True)
    tail = mpmath.mpf(TAIL_SHARE) * len(words) / WAD
    whole = int(tail)
    exact = (sum(worst[:whole]) + (tail - whole) * worst[whole]) / tail
    return float(charged / exact - 1)


def _shortfall(exposure: Exposure, words: tuple[int, ...]) -> int:
    exponent = shortfall.exponent((exposure,))
    losses = shortfall.losses((exposure,), (0,), words, exponent)
    return losses.to_wei(shortfall.shortfall(losses.units, TAIL_SHARE))


def _option(leg: Leg) -> profile.Option:
    variance = int(VOLATILITY**2 * leg.days / 365 * WAD)
    # A vol range of 0.5 at 30 days.
    vol_moves = tuple(ONE + node.vol_ppm * ONE // (2 * PPM) for node in NODES)
    month = scenarios.SliceRisk(INDEX, WAD, svi.pack(variance / WAD, 0, 0, 0, 0.1), 0, vol_moves)
    strike = int(leg.ratio * 1_000) * WAD
    return profile.Option(leg.days * DAY, strike, leg.side * NOTIONAL, leg.is_put, month)


def _earned(linear: int, held: list[profile.Option], place: shortfall.Place) -> mpmath.mpf:
    """Profit and loss of a date: every option anew, at its move and deviation."""
    interval, vol_interval, is_upper = place.row // 6, place.row // 2 % 3, place.row % 2
    share_z, share_y = (mpmath.mpf(each) / shortfall.UNITS for each in (place.a, place.b))
    if is_upper:
        share_z, share_y = 1 - share_z, 1 - share_y
    low, high = shortfall.Z_PPM[interval : interval + 2]
    move = 1 + (low + (high - low) * share_z) / PPM * DEVIATION / WAD
    total = linear * (move - 1)
    grid = scenarios.grid(NODES, DEVIATION)
    for option in held:
        row = scenarios.option_row(option.slice_, grid, option.strike)
        nodes = len(shortfall.Z_PPM)
        near, far = (mpmath.mpf(row.deviations[nodes * (vol_interval + d)]) / ONE for d in range(2))
        ratio = mpmath.mpf(option.strike) / option.slice_.forward
        now = mpmath.mpf(row.deviations[nodes]) / ONE
        change = _call(ratio, near + (far - near) * share_y, move) - _call(ratio, now, 1)
        total += option.notional * (change - option.is_put * (move - 1))
    return total


def _call(ratio: mpmath.mpf, s: mpmath.mpf, move: mpmath.mpf) -> mpmath.mpf:
    d1 = mpmath.log(move / ratio) / s + s / 2
    return move * mpmath.ncdf(d1) - ratio * mpmath.ncdf(d1 - s)
