"""The extracts are what their README says, and cutting them is deterministic."""

import gzip

import pytest

from oracle_mock import extract, history
from oracle_mock.surface import black76

ROWS = [
    {"timestamp": "2026-02-03T23:00:00Z", "close": "1", "volume": "9"},
    {"timestamp": "2026-02-04T00:00:00Z", "close": "2", "volume": "9"},
    {"timestamp": "2026-02-05T00:00:00Z", "close": "3", "volume": "9"},
]
CUT = extract.Cut("full.csv.gz", "2026-02-04", "2026-02-05", ("timestamp", "close"), {"asset": "X"})


def readme_table():
    lines = (extract.DATA / "README.md").read_text().splitlines()
    cells = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if "| `" in line
    ]
    return {row[0]: row[1:] for row in cells}


def test_readme_names_every_file_and_no_other():
    files = {path.name for path in extract.DATA.glob("*.gz")}
    assert set(readme_table()) == files == set(extract.EXTRACTS)


@pytest.mark.parametrize("name", extract.EXTRACTS)
def test_extract_matches_its_line_in_the_readme(name):
    _, source, rows, first, last, digest = readme_table()[name]
    content = extract.load(name)
    times = [row[extract.EXTRACTS[name][0].time_column] for row in content]
    assert source
    assert (int(rows), first, last) == (len(content), min(times), max(times))
    assert digest == extract.digest(extract.DATA / name)


def test_extracts_stay_small():
    assert sum(path.stat().st_size for path in extract.DATA.iterdir()) < 400_000


def test_select_keeps_rows_between_the_bounds_and_the_columns_named():
    assert list(extract.select(ROWS, CUT)) == [
        {"asset": "X", "timestamp": "2026-02-04T00:00:00Z", "close": "2"}
    ]


def test_csv_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="no row"):
        extract.to_csv([])


def test_compression_depends_on_content_alone():
    packed = extract.compress(b"a,b\n1,2\n")
    assert gzip.decompress(packed) == b"a,b\n1,2\n"
    assert packed[3] == 0, "no file name in the header"
    assert packed[4:8] == bytes(4), "no time in the header"


def test_run_writes_what_is_missing_and_check_finds_what_differs(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "full.csv.gz").write_bytes(extract.compress(extract.to_csv(ROWS)))
    monkeypatch.setattr(extract, "EXTRACTS", {"small.csv.gz": (CUT,)})
    assert extract.run(source, target, check=False) == ["small.csv.gz"]
    assert extract.run(source, target, check=True) == []
    (target / "small.csv.gz").write_bytes(extract.compress(b"asset\nX\n"))
    assert extract.run(source, target, check=True) == ["small.csv.gz"]
    assert extract.read_rows(target / "small.csv.gz") == [{"asset": "X"}], "a check writes nothing"


def test_bars_are_whole_and_hourly():
    bars = history.bars("bars_1h_2026-02.csv.gz", "BTC")
    assert bars.length_seconds == 3_600
    assert set(bars.time[1:] - bars.time[:-1]) == {3_600}
    assert (bars.low <= bars.close).all() and (bars.close <= bars.high).all()


@pytest.mark.parametrize(
    ("name", "asset", "low"),
    [
        ("bars_1h_2026-02.csv.gz", "BTC", 59_800),
        ("bars_1h_2026-02.csv.gz", "SOL", 67.3),
        ("bars_1h_2020-03.csv.gz", "BTC", 3_782.13),
        ("usdc_usd_1h_2023-03.csv.gz", "USDC", 0.8740),
    ],
)
def test_extracts_hold_the_known_lows(name, asset, low):
    assert history.bars(name, asset).low.min() == pytest.approx(low, rel=1e-3)


@pytest.mark.parametrize(
    ("rate", "premium"), [(1e-4, 0), (-0.003, -0.0035), (0.001, 0.0015), (-1e-4, -6e-4)]
)
def test_premium_from_funding_inverts_the_exchanges_formula(rate, premium):
    assert history.premium_from_funding(rate) == pytest.approx(premium)
    assert premium + min(max(1e-4 - premium, -5e-4), 5e-4) == pytest.approx(rate)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_marks_of_the_chain_are_black76_at_the_mark_volatility(underlying):
    _, chain = history.chain(history.CALM_CHAIN, underlying)
    errors = sorted(
        abs(black76(quotes.forward, strike, vol * quotes.tau**0.5, put) / quotes.forward - mark)
        for quotes in chain
        for strike, vol, put, mark in zip(
            quotes.strike, quotes.mark_iv, quotes.is_put, quotes.mark, strict=True
        )
    )
    assert errors[len(errors) // 2] < 5e-5
