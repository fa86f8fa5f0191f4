"""Charges of one underlying beside the scan.

All are USD, WAD, Up.

Source: specification, section 9.
"""

from itertools import pairwise

from reference_model.exact.fixed_point import div_up, divide_up, mul_div_up, mul_up, sqrt_up
from reference_model.exact.scenarios import THIRTY_DAYS
from reference_model.types import WAD


def basis(deltas: dict[int, int], basis_rate: int, error: int, now: int) -> int:
    """Cost of hedging one expiry with another.

    Parameters
    ----------
    deltas : dict
        Dollar delta, WAD, signed, by expiry of the bucket; 0 for spot and perpetual.
    basis_rate : int
        κ_u per 30 days, WAD.
    error : int
        error_u, WAD; added to the flow at every cut.
    now : int
        Unix seconds, the time of bucket 0.

    Notes
    -----
    ``⌈κ_u·Σ_b (T_{b+1} − T_b)·flow_b / (1e18·2,592,000)⌉``: the least flow across each cut
    between buckets, times its length.
    """
    buckets = sorted({0} | deltas.keys())
    before, after = 0, sum(deltas.values())
    transport = 0
    for bucket, following in pairwise(buckets):
        before += deltas.get(bucket, 0)
        after -= deltas.get(bucket, 0)
        flow = min(abs(before), abs(after)) if before * after < 0 else 0
        transport += (following - (bucket or now)) * (flow + error)
    return mul_div_up(basis_rate, transport, WAD * THIRTY_DAYS)


def short_option(short_size: int, short_option_rate: int, index: int) -> int:
    """Least charge for every short option; `short_size` is Σ abs(size), units, WAD."""
    return mul_up(mul_up(short_option_rate, index), short_size)


def concentration(delta: int, concentration_rate: int, depth: int) -> int:
    """Square-root law on an absolute dollar delta with its error bound, both USD, WAD."""
    if delta <= depth:
        return 0
    root = sqrt_up(div_up(delta, depth) * WAD)
    return mul_up(mul_up(concentration_rate, delta), root - WAD)


def confidence(delta: int, confidence_: int, index: int) -> int:
    """``⌈c·a / S⌉`` of an absolute dollar delta with its error bound."""
    return mul_div_up(confidence_, delta, index)


def scan_range(loss: int, scan_range_: int, initial_scan_range: int, initial_factor: int) -> int:
    """Initial margin for the scan range that volatility asks for and scenarios do not yet run at.

    Parameters
    ----------
    loss : int
        W_u or G_u, USD, WAD.
    scan_range_, initial_scan_range : int
        R_u and R_u^init, fractions, WAD; the second at least the first.
    initial_factor : int
        φ_IM, WAD.
    """
    growth = div_up(initial_scan_range, scan_range_) - WAD
    return mul_up(mul_up(initial_factor, growth), loss)


def open_interest(
    loss: int, open_interest_: int, oi_range: tuple[int, int], multiplier: int, initial_factor: int
) -> int:
    """Extra initial margin on a loss as open interest grows.

    Parameters
    ----------
    loss : int
        W_u or G_u, USD, WAD.
    open_interest_ : int
        Of both sides, units, WAD.
    oi_range : tuple of int
        `oi_lower` and `oi_upper`, one side, units, WAD.
    multiplier, initial_factor : int
        `max_oi_multiplier` and φ_IM, WAD.
    """
    one_sided = divide_up(open_interest_, 2)
    lower, upper = oi_range
    if one_sided <= lower:
        ramp = 0
    elif one_sided >= upper:
        ramp = WAD
    else:
        ramp = div_up(one_sided - lower, upper - lower)
    return mul_up(mul_up(initial_factor, mul_up(multiplier, ramp)), loss)
