"""Files of prices and surfaces: read as people write them, refused with what is wrong."""

import json
import re

import pytest

from scripts.keeping import files
from scripts.keeping.files import FileError, PriceRow, SliceRow

NOW = 1_770_000_000
EXPIRY = 1_770_969_600
SLICE = {
    "underlying": "ETH",
    "expiry": EXPIRY,
    "forward": 2_010,
    "a": 0.005,
    "b": 0.04,
    "rho": -0.2,
    "m": 0,
    "sigma": 0.1,
}


@pytest.fixture
def write(tmp_path):
    def written(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_csv_and_json_say_the_same(write):
    table = write("p.csv", "name,price,mark,confidence\nETH,2000.5,2001,\nUSDT, 0.999 ,,0.001\n")
    objects = write(
        "p.json",
        json.dumps(
            [
                {"name": "ETH", "price": 2000.5, "mark": 2001},
                {"name": "USDT", "price": 0.999, "confidence": 0.001},
            ]
        ),
    )
    rows = files.read_rows(table, PriceRow)
    assert rows == files.read_rows(objects, PriceRow)
    assert rows[0] == PriceRow(name="ETH", price=2000.5, mark=2001)
    assert rows[1].confidence == 0.001 and rows[1].mark is None and rows[1].time is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "", "missing: name, price"),
        ("p.csv", "ETH,2000\n", "the first line must name the columns; missing: name, price"),
        ("p.csv", "name,price\n", "has no rows"),
        ("p.csv", "name,price\nETH,2000\nBTC,dear\n", "line 3: price: Input should be a valid"),
        ("p.csv", "name,price\nETH,0\n", "line 2: price: Input should be greater than 0"),
        ("p.csv", "name,price\nETH,-5\n", "line 2: price: Input should be greater than 0"),
        ("p.csv", "name,price\nETH,nan\n", "line 2: price: "),
        ("p.csv", "name,price\nETH,inf\n", "line 2: price: "),
        ("p.csv", "name,price\nETH,1e30\n", "line 2: price: Input should be less than"),
        ("p.csv", "name,price\nETH,\n", "line 2: price: Field required"),
        ("p.csv", "name,name,price\nETH,BTC,1\n", "name is there more than once"),
        ("p.csv", f"name,price\n{'E' * 200_000},1\n", "is not CSV: field larger than"),
        ("p.csv", "name,price\nETH,1,2\n", "line 2: it has not as many fields"),
        ("p.csv", "name,price,mark\nETH,1\n", "line 2: it has not as many fields"),
        ("p.csv", "name,price,prize\nETH,1,2\n", "line 2: prize: Extra inputs"),
        ("p.csv", "name,price,confidence\nETH,1,2\n", "line 2: confidence 2.0 is more than the"),
        ("p.json", "[{]", "line 1: not JSON"),
        ("p.json", f'[{{"name": "ETH", "price": {"1" * 5_000}}}]', "cannot be read: Exceeds"),
        ("p.json", '{"ETH": 1}', "write a list of objects"),
        ("p.json", "[]", "has no rows"),
        ("p.json", '[{"name": "ETH", "price": 1}, {"name": "BTC"}]', "row 2: price: Field req"),
        ("p.txt", "ETH 1", "name a .csv or .json file"),
    ],
)
def test_what_is_wrong_with_a_file_of_prices_is_said(write, name, text, message):
    with pytest.raises(FileError, match=re.escape(message)):
        files.read_rows(write(name, text), PriceRow)


def test_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        files.read_rows(tmp_path / "none.csv", PriceRow)


def slices(*changes):
    return [SliceRow(**SLICE | change) for change in changes]


def test_expiry_is_a_number_or_a_date():
    for text in (EXPIRY, str(EXPIRY), "2026-02-13T08:00:00Z", "2026-02-13 08:00"):
        assert slices({"expiry": text})[0].expiry == EXPIRY
    for text, message in (("next friday", "neither Unix seconds"), (2**32, "less than 4294967296")):
        with pytest.raises(ValueError, match=message):
            slices({"expiry": text})


def test_surfaces_are_grouped_and_ascend(tmp_path):
    later = {"expiry": EXPIRY + 7 * 86_400, "a": 0.012}
    rows = slices(later, {"underlying": "BTC"}, {})
    found = files.surfaces(tmp_path, rows, NOW)
    assert {name: [row.expiry for row in part] for name, part in found.items()} == {
        "BTC": [EXPIRY],
        "ETH": [EXPIRY, EXPIRY + 7 * 86_400],
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{}, {}], f"ETH {EXPIRY} is there more than once"),
        ([{"expiry": NOW - 3_600}], "has passed"),
        ([{"expiry": EXPIRY + 1}], "is not on the hour"),
        ([{"sigma": 1e-300}], "ETH: butterfly arbitrage in slice 0"),
        ([{"b": 3.0, "rho": 0.9, "sigma": 0.01}], "ETH: butterfly arbitrage in slice 0"),
        ([{}, {"expiry": EXPIRY + 3_600, "a": 0.001}], "ETH: calendar arbitrage before slice 1"),
        ([{}, {"expiry": EXPIRY + 3_600, "time": 5}], "are one report, of one time and index"),
    ],
)
def test_what_is_wrong_with_a_surface_is_said(tmp_path, changes, message):
    with pytest.raises(FileError, match=re.escape(message)):
        files.surfaces(tmp_path, slices(*changes), NOW)


def test_names_and_times_are_checked(tmp_path):
    rows = [PriceRow(name="ETH", price=1, time=NOW), PriceRow(name="DOGE", price=1)]
    with pytest.raises(FileError, match="no name 'DOGE' in the deployment; there are ETH, BTC"):
        files.require_known(tmp_path, rows, "name", ["ETH", "BTC"])
    files.require_times(tmp_path, rows, NOW)
    with pytest.raises(FileError, match="lies ahead"):
        files.require_times(tmp_path, [PriceRow(name="ETH", price=1, time=10**10)], NOW)
    with pytest.raises(FileError, match="ETH is there more than once"):
        files.require_once(tmp_path, ["ETH", "BTC", "ETH"])
