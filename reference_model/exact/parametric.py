"""Parametric margin: linear risk at the worst correlations of a box, and what options add to it.

Source: specification, Predictive margin, 6.
"""

from collections.abc import Callable, Sequence

from reference_model.exact.fixed_point import divide_up, mul_up, sqrt_up
from reference_model.exact.shortfall import ONE, Y_PPM, Z_PPM, moves
from reference_model.types import PPM, WAD, Exposure

ROOT_BITS = 90
DEVIATIONS = 3
GREATEST_Y_PPM = 500_000


def margin(
    exposures: Sequence[Exposure],
    correlation: Callable[[int, int], int],
    width: int,
    single_asset_floor: int,
) -> int:
    """P of a book, USD, WAD, Up.

    Parameters
    ----------
    exposures : sequence of Exposure
    correlation : callable
        Estimated correlation of two underlyings, WAD.
    width, single_asset_floor : int
        WAD.
    """
    covered = [x for x in exposures if x.pnl]
    linear = [mul_up(abs(x.delta) + x.slack, x.deviation) for x in covered]
    shift = max(0, max(linear, default=0).bit_length() - ROOT_BITS)
    risks = [divide_up(risk, 2**shift) for risk in linear]
    total = WAD * sum(risk * risk for risk in risks)
    for j, v in enumerate(covered):
        for i, u in enumerate(covered[:j]):
            signed = _sign(u.delta) * _sign(v.delta) * correlation(u.underlying, v.underlying)
            total += 2 * risks[i] * risks[j] * (width + mul_up(WAD - width, signed))
    root = sqrt_up(divide_up(max(0, total), WAD))
    floor = mul_up(single_asset_floor, max(risks, default=0))
    nonlinear = sum(beyond_delta(exposure) + exposure.slack for exposure in exposures)
    return (DEVIATIONS * max(root, floor) << shift) + nonlinear


def beyond_delta(exposure: Exposure) -> int:
    """Most that a book loses beyond its delta on the nodes of ordinary size; USD, WAD.

    Of what no list covers it is all that the scenarios lose.
    """
    if not exposure.pnl:
        return exposure.scenario_loss
    at, count = moves(exposure.deviation), len(Z_PPM)
    worst = 0
    for j, pnl in enumerate(exposure.pnl):
        vol_class, n = divmod(j, count)
        if abs(Z_PPM[n]) <= DEVIATIONS * PPM and abs(Y_PPM[vol_class]) <= GREATEST_Y_PPM:
            worst = max(worst, exposure.delta * (at[n] - ONE) // ONE - pnl)
    return worst


def _sign(delta: int) -> int:
    return -1 if delta < 0 else 1
