"""Joint moves from files of prices, and which of them are published."""

import csv
import gzip
import hashlib
import json
import sys
from datetime import UTC, datetime

import click
import numpy as np
import pytest

from oracle_mock import extract
from reference_model import vectors
from reference_model.exact import predictive_model
from reference_model.types import Publication
from scripts import _vectors
from scripts._configuration import load_configuration
from scripts.keeping import publishing
from scripts.keeping.files import FileError
from scripts.keeping.histories import Rules, dates, read_history
from scripts.keeping.prediction import ramp_seconds, settled_dates
from scripts.keeping.publishing import Plan, Stored, plan

DAY, HOUR = 86_400, 3_600
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
DAYS = 330
RULES = Rules(10 * DAY, 6.0, {"BTC": 0.5, "ETH": 0.4, "SOL": 0.5})


def walk(seed, bars, scale=0.006):
    """Closes of a random walk."""
    return 1_000 * np.exp(np.cumsum(np.random.default_rng(seed).normal(size=bars) * scale))


def write(path, closes, bar=HOUR, column="close", without=()):
    """Write bars to a file, some of them left out; times are those of opening."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "open", column, "volume"])
        for i, close in enumerate(closes):
            if i not in without:
                opened = datetime.fromtimestamp(START + i * bar, UTC)
                writer.writerow([f"{opened:%Y-%m-%dT%H:%M:%SZ}", 1, repr(float(close)), 2])
    return path


@pytest.fixture(scope="module")
def closes():
    return {s: walk(seed, DAYS * 24) for seed, s in enumerate(("BTC", "ETH"))}


@pytest.fixture(scope="module")
def prices(closes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    return {s: read_history(write(folder / f"{s}.csv.gz", each)) for s, each in closes.items()}


@pytest.fixture(scope="module")
def found(prices):
    return dates(prices, {}, RULES, 0)


# Files


@pytest.mark.parametrize(("name", "column"), [("p.csv", "close"), ("p.csv.gz", "dvol_close")])
def test_closes_are_known_when_their_bars_end(tmp_path, name, column):
    history = read_history(write(tmp_path / name, [5, 6, 7], column=column))
    assert history.known_at.tolist() == [START + i * HOUR for i in (1, 2, 3)]
    assert history.close.tolist() == [5, 6, 7] and history.bar_seconds == HOUR


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,close\n", "must name the columns timestamp and close"),
        ("timestamp,a_close,b_close\n", "must name the columns timestamp and close"),
        ("timestamp,close\n2024-01-01T00:00Z,5\n", "has fewer than two rows"),
        ("timestamp,close\n2024-01-01T00:00Z,5\nyesterday,6\n", "line 3: Invalid isoformat"),
        ("timestamp,close\n2024-01-01T00:00Z,5\n2024-01-02T00:00Z,0\n", "line 3: close 0.0 is not"),
        ("timestamp,close\n2024-01-01T00:00Z,5\n2024-01-02T00:00Z\n", "line 3: list index"),
        ("timestamp,close\n2024-01-02T00:00Z,5\n2024-01-01T00:00Z,5\n", "does not come after"),
        ("timestamp,close\n2024-01-01T00:00Z,5\n2024-01-08T00:00Z,5\n", "are 7.0 days apart"),
    ],
)
def test_file_that_is_wrong_is_refused_with_its_place(tmp_path, text, message):
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        read_history(path)


def test_file_that_is_not_there_or_not_gzipped_is_refused(tmp_path):
    plain = tmp_path / "plain.csv.gz"
    plain.write_text("timestamp,close\n")
    for path in (tmp_path / "none.csv", plain):
        with pytest.raises(FileError, match="cannot be read"):
            read_history(path)


# Moves


def test_moves_are_the_models_of_the_same_closes(closes, found):
    bars = np.stack(list(closes.values()), axis=1)
    expected = vectors.from_history(bars, None, 10 * DAY, 0.5, bar_seconds=HOUR)
    whole = (expected.bars + 1) % 24 == 0
    assert whole.all(), "the files end at midnight, so the model's days do too"
    assert np.array_equal(found.price_moves, expected.price_moves)
    assert found.words == vectors.encode(expected.price_moves, expected.vol_moves)
    assert found.ends_at == [START + (int(bar) + 1) * HOUR for bar in expected.bars]


def test_days_end_at_the_hour_asked_for_and_nothing_later_counts(closes, prices):
    until = START + 200 * DAY + 15 * HOUR
    cut = dates(prices, {}, RULES, 13, until)
    assert {end % DAY for end in cut.ends_at} == {13 * HOUR}
    assert max(cut.ends_at) == START + 200 * DAY + 13 * HOUR
    bars = np.stack([each[: 200 * 24 + 13] for each in closes.values()], axis=1)
    known = vectors.from_history(bars, None, 10 * DAY, 0.5, bar_seconds=HOUR)
    assert np.array_equal(cut.price_moves, known.price_moves), "no move looks ahead"


def test_gap_at_the_hour_leaves_two_dates_out_and_any_other_none(tmp_path, closes, prices, found):
    midnight, noon = 150 * 24 - 1, 150 * 24 + 11
    for gap, lost in ((midnight, [150, 151]), (noon, [])):
        holed = write(tmp_path / f"{gap}.csv", closes["ETH"], without={gap})
        left = dates(prices | {"ETH": read_history(holed)}, {}, RULES, 0)
        assert left.left_out == [START + day * DAY for day in lost]
        assert sorted({*left.ends_at, *left.left_out}) == found.ends_at


def test_daily_volatility_beside_hourly_prices_moves_every_place_unless_it_has_its_own(
    tmp_path, prices, found
):
    levels = {s: walk(seed, DAYS, 0.05) for s, seed in (("BTC", 8), ("ETH", 9))}
    index = {s: read_history(write(tmp_path / f"{s}.csv", v, DAY)) for s, v in levels.items()}
    days = np.array([(end - START) // DAY - 1 for end in found.ends_at])
    moves = {s: v[days] / v[days - 1] - 1 for s, v in levels.items()}
    shared = dates(prices, {"BTC": index["BTC"]}, RULES, 0)
    assert shared.vol_moves[:, 0] == pytest.approx(moves["BTC"] / 0.5)
    assert shared.vol_moves[:, 1] == pytest.approx(moves["BTC"] / 0.4)
    own = dates(prices, index, RULES, 0)
    assert own.vol_moves[:, 1] == pytest.approx(moves["ETH"] / 0.4)
    assert not dates(prices, {"ETH": index["ETH"]}, RULES, 0).vol_moves[:, 0].any()
    assert not found.vol_moves.any()


def test_market_without_a_vol_range_has_no_vol_moves(tmp_path, prices):
    index = read_history(write(tmp_path / "v.csv", walk(8, DAYS, 0.05), DAY))
    still = RULES._replace(vol_ranges={"BTC": 0.0, "ETH": 0.4})
    moves = dates(prices, {"BTC": index}, still, 0).vol_moves
    assert not moves[:, 0].any() and moves[:, 1].any()


def test_histories_without_a_common_day_are_refused(tmp_path, prices):
    early = prices["ETH"]._replace(known_at=prices["ETH"].known_at - 2 * DAYS * DAY)
    with pytest.raises(FileError, match="no day that ends at 00:00 UTC is known to all of"):
        dates(prices | {"ETH": early}, {}, RULES, 0)


# What is published


def stored(words, symbols=("BTC", "ETH")):
    return Stored(list(words), list(symbols), 0)


def planned(words, found, window=300, replace=False, symbols=("BTC", "ETH")):
    return plan(stored(words), found, symbols, window, replace)


def test_first_publication_is_the_last_dates(found):
    assert planned([], found) == Plan(300, 0)
    assert planned([], found, window=1_000) == Plan(len(found.words), 0)


def test_new_dates_enter_and_as_many_old_ones_leave(found):
    assert planned(found.words[:-7][-300:], found) == Plan(7, 7)
    assert planned(found.words[:-7][-260:], found) == Plan(7, 0), "the window is not full yet"
    assert planned(found.words[:-7][-310:], found) == Plan(7, 17), "it was larger"
    assert planned(found.words[-300:], found) == Plan(0, 0)


def test_dates_older_than_the_files_still_count(found):
    older = [word ^ 1 << 90 for word in found.words[:50]]
    assert planned([*older, *found.words[:-2]], found, window=400) == Plan(2, 0)


def test_few_words_rounded_differently_do_not_hide_the_others(found):
    words = list(found.words[:-3][-300:])
    for i in range(0, 300, 20):
        words[i] ^= 1 << 90
    assert planned(words, found) == Plan(3, 3)
    for i in range(0, 300, 4):
        words[i] ^= 1 << 91
    with pytest.raises(FileError, match="are not those of these histories"):
        planned(words, found)


def test_another_history_replaces_only_when_asked_to(prices, found):
    other = dates(prices, {}, RULES, 5).words
    with pytest.raises(FileError, match="publish all anew with --replace"):
        planned(other[-300:], found)
    assert planned(other[-300:], found, replace=True) == Plan(300, 300)


def test_new_place_replaces_only_when_asked_to(found):
    with pytest.raises(
        FileError, match="the chain has vectors of BTC: dates that stay say nothing"
    ):
        plan(stored(found.words[-300:], ["BTC"]), found, ["BTC", "ETH"], 300, False)


def test_too_few_dates_are_refused_and_gaps_named(tmp_path, closes, prices, found):
    short = found._replace(words=found.words[:249])
    with pytest.raises(FileError, match="249 dates would be in force, at least 250 are needed"):
        planned([], short)
    holes = {day * 24 - 1 for day in range(20, DAYS, 3)}
    holed = read_history(write(tmp_path / "holed.csv", closes["ETH"], without=holes))
    with pytest.raises(FileError, match=r"for gaps in them, the last ends at 2024-11-2\d 00:00"):
        planned([], dates(prices | {"ETH": holed}, {}, RULES, 0))


def test_more_dates_than_fit_beside_those_in_force_are_refused(found):
    many = found._replace(words=list(range(1_000)))
    with pytest.raises(FileError, match="name a --window of at most 424"):
        planned(range(5_000, 5_600), many, window=700, replace=True)


def test_summary_names_the_worst_dates_and_what_was_cut(found):
    z, y = found.price_moves.copy(), found.vol_moves.copy()
    z[-2], y[-3] = [-17.04, -9.0], [2.3, 0.0]
    text = "\n".join(
        publishing.summary(
            ["BTC", "ETH"], found._replace(price_moves=z, vol_moves=y), Plan(250, 10), 260
        )
    )
    assert "250 dates enter, 10 leave, 500 in force" in text
    assert "cut at the ends: 0.20% of price moves, 0.20% of volatility moves" in text
    worst = text.splitlines()[4]
    assert worst == "  2024-11-25 00:00 UTC  BTC -17.0  ETH -9.0"


# The shipped file


def test_shipped_vectors_are_joint_moves_of_five_hundred_dates():
    shipped = _vectors.read_vectors(_vectors.SHIPPED)
    assert shipped.underlyings == list(load_configuration().estimator.basket)
    z, y = vectors.decode(shipped.integers(), 3)
    assert len(z) == 500 and shipped.last < _vectors.UNTIL
    assert (shipped.last - shipped.first).days == 499, "without a gap"
    assert np.std(z, axis=0) == pytest.approx(1, abs=0.2), "standardised by what was known before"
    assert (np.corrcoef(z.T)[np.triu_indices(3, 1)] > 0.7).all(), "joint"
    assert np.corrcoef(z[:, 0], y[:, 0])[0, 1] < -0.1, "volatility rises when prices fall"


def test_shipped_vectors_are_made_by_the_rules_that_are_deployed():
    shipped = _vectors.read_vectors(_vectors.SHIPPED)
    assert shipped.rules == _vectors.rules_of(load_configuration())


def test_readme_names_the_shipped_vectors_with_their_content():
    digest = hashlib.sha256(_vectors.SHIPPED.read_bytes()).hexdigest()[:16]
    readme = (extract.DATA / "README.md").read_text()
    assert _vectors.SHIPPED.name in readme and digest in readme


def test_file_of_vectors_is_made_anew_and_compared(tmp_path, monkeypatch, capsys):
    for seed, name in enumerate([*_vectors.PRICES.values(), *_vectors.VOLATILITIES.values()]):
        write(tmp_path / name, walk(seed, 280 * 24))
    monkeypatch.setattr(_vectors, "WINDOW", 260)
    monkeypatch.setattr(_vectors, "SHIPPED", tmp_path / "words.json")
    monkeypatch.setattr(sys, "argv", ["_vectors", str(tmp_path), "--check"])
    assert _vectors.main() == 1 and not _vectors.SHIPPED.exists()
    monkeypatch.setattr(sys, "argv", ["_vectors", str(tmp_path)])
    assert _vectors.main() == 0
    monkeypatch.setattr(sys, "argv", ["_vectors", str(tmp_path), "--check"])
    assert _vectors.main() == 0
    assert capsys.readouterr().out.split() == [
        *("differs:", "words.json", "written:", "words.json", "the", "same:", "words.json")
    ]
    made = _vectors.read_vectors(_vectors.SHIPPED)
    assert len(made.words) == 260 and made.last.hour == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": ["0x0"] * 249}, "words: List should have at least 250"),
        ({"words": ["zero"] * 250}, "invalid literal"),
        ({"words": [hex(60 << 5)] * 250}, "word 0 is not a vector of 3 places"),
        ({"price": 1}, "price: Extra inputs are not permitted"),
    ],
)
def test_file_of_vectors_that_is_wrong_is_refused(tmp_path, change, message):
    content = json.loads(_vectors.SHIPPED.read_text()) | change
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(click.ClickException, match=message):
        _vectors.read_vectors(path)


# The list that a ramp leads to


@pytest.mark.parametrize(
    ("cancelled_at", "active", "dates", "left"),
    [
        (0, 1_300, (10, 304, 3), 700),
        (0, 2_500, (10, 304, 3), 0),
        (1_300, 1_300, (0, 300, 2), 300),
        (1_300, 1_400, (0, 300, 2), 200),
        (1_300, 1_700, (0, 300, 2), 0),
    ],
)
def test_publication_that_is_taken_back_leads_to_the_dates_before(
    cancelled_at, active, dates, left
):
    last = Publication(304, 300, 10, 2, 3, 1_000, 2_000, cancelled_at)
    found, places = settled_dates(last)
    assert (found.start, found.stop, places) == dates
    assert ramp_seconds(last, active) == left
    progress = predictive_model.progress_of(last, active)
    assert left == pytest.approx((progress if cancelled_at else 10**18 - progress) / 10**15)
