"""Validation names the first fault, and conversion to integers is exact."""

from dataclasses import replace

import numpy as np
import pytest

from oracle_mock.market import (
    SVI_FIELDS,
    Ids,
    InvalidSnapshotError,
    Market,
    Rate,
    Slice,
    Snapshot,
    follow,
    pack_svi,
    postponed,
    to_wad,
    unpack_svi,
    updates,
    validate,
)
from oracle_mock.surface import Svi, require_arbitrage_free, scale_level
from reference_model.ideal import svi as ideal_svi

SVI = Svi(0.01, 0.1, -0.3, 0.02, 0.2)
SLICES = (Slice(2_000, 101.0, 0.99, SVI), Slice(3_000, 102.0, 0.98, scale_level(SVI, 2)))
MARKET = Market(100.0, 100.1, 0.5, 100.0, 990, SLICES)
SNAPSHOT = Snapshot(1_000, {"BTC": MARKET}, {"USDC": Rate(1.0, 1.0, 1_000)}, {("BTC", 900): 99.0})


def with_slice(**changes):
    return replace(MARKET, slices=(replace(SLICES[0], **changes), SLICES[1]))


def test_sound_snapshot_is_valid():
    validate(SNAPSHOT)


@pytest.mark.parametrize(
    ("market", "message"),
    [
        (replace(MARKET, index=0.0), "index 0.0 out of range"),
        (replace(MARKET, index=-1.0), "index -1.0 out of range"),
        (replace(MARKET, mark=float("nan")), "mark nan out of range"),
        (replace(MARKET, mark=1e11), "mark .* out of range"),
        (replace(MARKET, stable_index=0.0), "stable_index 0.0 out of range"),
        (replace(MARKET, confidence=-0.1), "confidence -0.1 out of range"),
        (replace(MARKET, confidence=100.5), "confidence 100.5 out of range"),
        (replace(MARKET, observed=1_001), "observed 1001, now 1000"),
        (replace(MARKET, slices=SLICES[::-1]), "do not ascend"),
        (with_slice(expiry=1_000), "expired, now 1000"),
        (with_slice(forward=0.0), "forward 0.0 out of range"),
        (with_slice(discount=1.01), "discount 1.01 out of range"),
        (with_slice(svi=scale_level(SVI, 3)), "calendar arbitrage"),
        (with_slice(svi=replace(SVI, b=-0.1)), "butterfly arbitrage"),
    ],
)
def test_unsound_market_is_refused_by_name(market, message):
    with pytest.raises(InvalidSnapshotError, match=f"BTC.*{message}"):
        validate(SNAPSHOT.with_market("BTC", market))


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (SNAPSHOT.with_rate("USDC", Rate(0.0, 1.0, 1_000)), "USDC: rate 0.0 out of range"),
        (SNAPSHOT.with_rate("USDC", Rate(1.0, 1.0, 1_001)), "USDC: observed 1001"),
        (replace(SNAPSHOT, settlements={("BTC", 900): 0.0}), "settlement price 0.0"),
        (replace(SNAPSHOT, settlements={("BTC", 1_001): 9.0}), "settled before its expiry"),
    ],
)
def test_unsound_rate_or_settlement_is_refused_by_name(snapshot, message):
    with pytest.raises(InvalidSnapshotError, match=message):
        validate(snapshot)


@pytest.mark.parametrize(
    ("value", "wad"),
    [
        (0.1, 10**17),
        (97_234.56, 9_723_456 * 10**16),
        (1e-18, 1),
        (1.4e-18, 1),
        (-0.3, -3 * 10**17),
        (6.5e10, 65 * 10**27),
    ],
)
def test_wad_is_that_of_the_decimal_written(value, wad):
    assert to_wad(value) == wad


def test_svi_word_has_the_layout_of_the_contracts():
    word = pack_svi(Svi(a=-1.0, b=1.0, rho=-0.5, m=-1.0, sigma=0.5))
    fields = (2**64 - 2**56, 2**56, 2**32 - 2**29, 2**48 - 2**40, 2**39)
    expected = sum(value << low for value, low in zip(fields, (0, 64, 128, 160, 208), strict=True))
    assert word == expected


def test_svi_word_survives_a_round_trip_within_its_resolution(start):
    for market in start.markets.values():
        packed = [unpack_svi(pack_svi(part.svi)) for part in market.slices]
        for part, svi in zip(market.slices, packed, strict=True):
            for name, _, _, fraction_bits, _ in SVI_FIELDS:
                error = abs(getattr(svi, name) - getattr(part.svi, name))
                assert error <= 2.0 ** -(fraction_bits + 1)
        require_arbitrage_free(packed)


def test_reference_model_reads_the_same_slice_from_a_word(start):
    k = np.linspace(-1, 1, 21)
    for part in start.markets["BTC"].slices:
        parameters = ideal_svi.unpack(pack_svi(part.svi))
        theirs = ideal_svi.total_variance(np.array(parameters), k)
        assert np.allclose(theirs, part.svi.total_variance(k), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", 128.0),
        ("b", -1e-9),
        ("b", 256.0),
        ("rho", 2.0),
        ("m", -129.0),
        ("sigma", float("inf")),
    ],
)
def test_svi_parameter_that_does_not_fit_is_refused(name, value):
    with pytest.raises(InvalidSnapshotError, match=f"SVI parameter {name}"):
        pack_svi(replace(SVI, **{name: value}))


def test_updates_are_the_integers_of_the_snapshot():
    result = updates(SNAPSHOT, Ids({"BTC": 3}, {"USDC": 7}))
    wad = 10**18
    assert result.spots == [(3, 100 * wad, wad // 2, 1001 * wad // 10, 100 * wad, 990)]
    assert result.slices[0] == (3, 2_000, 101 * wad, 99 * wad // 100, pack_svi(SVI), 990)
    assert [each[1] for each in result.slices] == [2_000, 3_000]
    assert result.rates == [(7, wad, wad, 1_000)]
    assert result.settlements == [(3, 900, 99 * wad)]


@pytest.mark.parametrize("index", [-1.0, float("nan"), 1e11])
def test_updates_refuse_what_no_feed_can_encode(index):
    wrong = SNAPSHOT.with_market("BTC", replace(MARKET, index=index))
    with pytest.raises(InvalidSnapshotError, match=f"BTC: {index} cannot be encoded"):
        updates(wrong, Ids({"BTC": 3}, {"USDC": 7}))


def test_updates_refuse_a_name_without_number():
    with pytest.raises(KeyError, match="USDC"):
        updates(SNAPSHOT, Ids({"BTC": 3}))


def test_stable_price_follows_as_far_as_time_allows():
    assert follow(100.0, 200.0, 3_600) == 101.0
    assert follow(100.0, 50.0, 1_800) == 99.5
    assert follow(100.0, 100.2, 3_600) == 100.2
    assert follow(100.0, 0.001, 10**9) == 0.001


def test_postponing_moves_every_time_and_nothing_else():
    later = postponed(SNAPSHOT, 500)
    assert later.time == 1_500
    assert later.markets["BTC"].observed == 1_490
    assert [part.expiry for part in later.markets["BTC"].slices] == [2_500, 3_500]
    assert later.rates["USDC"].observed == 1_500
    assert later.settlements == {("BTC", 1_400): 99.0}
    assert postponed(later, -500) == SNAPSHOT
