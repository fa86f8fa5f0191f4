"""The market as arrays: parameters, spot prices, slices, collateral rates.

Rows of `Underlyings` are called u below, rows of `Slices` x, rows of `Assets` a, scenarios j. All
floats are float64 in natural units (USD, units, fractions); WAD is divided out once, on the way in.

Source: specification, sections 7 and 13.
"""

from typing import NamedTuple

import numpy as np

from reference_model import vectors
from reference_model.ideal import svi
from reference_model.ideal.predictive import Vectors

WAD = 10**18
PPM = 10**6


class Globals(NamedTuple):
    """Parameters common to all underlyings, floats; `minimum_tau_seconds` in seconds."""

    maintenance_factor: float
    initial_factor: float
    vol_exponent_short: float
    vol_exponent_long: float
    minimum_tau_seconds: float
    profit_weight: float
    profit_cap: float


class Scenarios(NamedTuple):
    """Scenario grid, each of shape (scenarios,): x, y and the ω in force."""

    price_move: np.ndarray
    vol_move: np.ndarray
    weight: np.ndarray


class Underlyings(NamedTuple):
    """Spot market and parameters, each of shape (underlyings,).

    `scan_range` is R_u, `initial_scan_range` R_u^init, both as they are in force now.
    """

    underlying: np.ndarray
    group: np.ndarray
    index: np.ndarray
    confidence: np.ndarray
    mark: np.ndarray
    stable_index: np.ndarray
    scan_range: np.ndarray
    initial_scan_range: np.ndarray
    vol_range: np.ndarray
    vol_floor: np.ndarray
    basis_rate: np.ndarray
    short_option_rate: np.ndarray
    concentration_rate: np.ndarray
    depth: np.ndarray
    max_oi_multiplier: np.ndarray
    oi_lower: np.ndarray
    oi_upper: np.ndarray


class Slices(NamedTuple):
    """Expiries, each of shape (slices,); `underlying` is a row of `Underlyings`, `svi` (slices, 5).

    `settlement_price` is 0 until final. A last, blank row serves instruments without an expiry.
    """

    underlying: np.ndarray
    expiry: np.ndarray
    forward: np.ndarray
    discount: np.ndarray
    svi: np.ndarray
    settlement_price: np.ndarray


BLANK = Slices([-1], [0], [1.0], [1.0], [[0.0, 0.0, 0.0, 0.0, 1.0]], [0.0])


class Assets(NamedTuple):
    """Collateral, each of shape (assets,); `underlying` is a row of `Underlyings`, −1 cash-like.

    `kept` is ``1 − haircut``, subtracted in integers: a haircut near 1 would cancel in floats.
    """

    asset: np.ndarray
    underlying: np.ndarray
    rate: np.ndarray
    stable_rate: np.ndarray
    kept: np.ndarray
    depeg_rate: np.ndarray


class Market(NamedTuple):
    """Everything but the portfolios; `now` in Unix seconds, `decorrelation` per risk group (8,).

    Without `predictive` nothing is published: in mode PREDICTIVE every worst scenario counts.
    """

    now: int
    parameters: Globals
    decorrelation: np.ndarray
    scenarios: Scenarios
    underlyings: Underlyings
    slices: Slices
    assets: Assets
    predictive: Vectors | None = None


def from_integers(market):
    """Arrays of a market given in contract units.

    Parameters
    ----------
    market : reference_model.types.Market

    Returns
    -------
    Market
    """
    rows = {spot.underlying: row for row, spot in enumerate(market.spots)}
    return Market(
        market.now,
        _globals(market.global_parameters),
        _wad(market.decorrelations),
        _scenarios(market),
        _underlyings(market.spots),
        _slices(market.slices, rows),
        _assets(market.collaterals, rows),
        _vectors(market.prediction, rows),
    )


def _wad(values):
    """Natural units of WAD integers, each correctly rounded."""
    return np.array([value / WAD for value in values], np.float64)


def _ints(values):
    return np.array(list(values), np.int64)


def _globals(parameters):
    natural = {name: getattr(parameters, name) / WAD for name in Globals._fields}
    return Globals(**natural | {"minimum_tau_seconds": float(parameters.minimum_tau_seconds)})


def _scenarios(market):
    """Scenarios with the weights in force, which are whole Ppm: integers, like any input."""
    price_move, vol_move, weight = np.array(market.scenarios, np.int64).reshape(-1, 3).T
    if market.former_weights:
        ends = zip(market.former_weights, weight, strict=True)
        weight = [_on_the_way(start, end, market.progress) for start, end in ends]
    return Scenarios(price_move / PPM, vol_move / PPM, np.asarray(weight) / PPM)


def _on_the_way(start, end, progress):
    """Weight after the share `progress` (WAD) of a ramp, rounded towards its start."""
    passed = abs(int(end) - start) * progress // WAD
    return start + passed if end > start else start - passed


def _underlyings(spots):
    in_spot = {
        *("index", "confidence", "mark", "stable_index"),
        *("scan_range", "initial_scan_range"),
    }
    columns = {
        name: _wad(getattr(spot if name in in_spot else spot.parameters, name) for spot in spots)
        for name in Underlyings._fields[2:]
    }
    ids, groups = (spot.underlying for spot in spots), (spot.parameters.group for spot in spots)
    return Underlyings(_ints(ids), _ints(groups), **columns)


def _slices(slices, rows):
    columns = Slices(
        _ints(rows[each.underlying] for each in slices),
        _ints(each.expiry for each in slices),
        _wad(each.forward for each in slices),
        _wad(each.discount for each in slices),
        np.array([svi.unpack(each.svi) for each in slices], np.float64).reshape(-1, 5),
        _wad(each.settlement_price for each in slices),
    )
    return Slices(*(np.append(x, blank, axis=0) for x, blank in zip(columns, BLANK, strict=True)))


def _assets(collaterals, rows):
    parameters = [each.parameters for each in collaterals]
    return Assets(
        _ints(each.asset for each in collaterals),
        _ints(rows[each.underlying] if each.underlying else -1 for each in parameters),
        _wad(each.rate for each in collaterals),
        _wad(each.stable_rate for each in collaterals),
        _wad(WAD - each.haircut for each in parameters),
        _wad(each.depeg_rate for each in parameters),
    )


def _vectors(prediction, rows):
    """Joint moves and estimates by place of the basket, as arrays by row of the underlyings."""
    p, last, progress = prediction.parameters, *_publication(prediction)
    known = [(place, rows[u]) for place, u in enumerate(prediction.basket) if u in rows]
    place, row = np.array(known, np.int64).reshape(-1, 2).T
    covered_before, covered = np.zeros((2, len(rows)), bool)
    covered_before[row], covered[row] = place < last.places_before, place < last.places
    moves = vectors.decode(prediction.words[: last.stored], max(last.places, last.places_before))
    z, y = np.zeros((2, last.stored, len(rows)))
    for values, decoded in zip((z, y), moves, strict=True):
        for at, own in known:
            values[:, own] = decoded[:, at] if at < decoded.shape[1] else 0
    deviation, initial = np.ones((2, len(rows)))
    for at, own in known:
        deviation[own], initial[own] = _wad(prediction.deviations[at])
    return Vectors(
        *_wad([p.tail_share]),
        float(p.horizon_seconds),
        *_wad([p.floor_weight, p.parametric_weight, p.correlation_width, p.single_asset_floor]),
        z,
        y,
        last.before,
        last.leaving,
        progress,
        covered_before,
        covered,
        deviation,
        initial,
        _correlation(prediction, known, len(rows)),
    )


def _publication(prediction):
    """What was published last, and how far it has come; one taken back in full never was."""
    last, active = prediction.publication, prediction.active
    if last.end == 0 or (not last.cancelled_at and active >= last.end):
        return last, 1.0
    duration = last.end - last.start
    if not last.cancelled_at:
        return last, max(0, active - last.start) / duration
    undone = max(0, active - last.cancelled_at)
    progress = (last.cancelled_at - last.start - undone) / duration
    if progress > 0:
        return last, progress
    return last._replace(stored=last.before, leaving=0, places=last.places_before), 1.0


def _correlation(prediction, known, count):
    """Correlations by rows of the underlyings, 0 for those outside the basket."""
    correlation = np.zeros((count, count))
    for at, own in known:
        for other_at, other in known:
            correlation[own, other] = prediction.correlations[at][other_at] / WAD
    np.fill_diagonal(correlation, 1)
    return correlation
