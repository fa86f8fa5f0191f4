"""Cut the extracts in `data/` from the full market data files, byte for byte reproducible.

``python -m oracle_mock.extract SOURCE`` writes every extract anew from the files in the folder
SOURCE; with ``--check`` nothing is written and the command fails unless the bytes agree.
`data/README.md` names the origin of each file.
"""

import argparse
import csv
import gzip
import hashlib
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parent / "data"

Row = Mapping[str, str]


@dataclass(frozen=True)
class Cut:
    """Rows and columns to take from one file: ``start <= timestamp < end``.

    ISO 8601 timestamps in UTC compare as text, so bounds may be abbreviated ("2026-02-04").

    Parameters
    ----------
    source : str
        File name in the source folder.
    start, end : str
        Bounds of the timestamp, the end excluded.
    columns : tuple of str
        Columns to keep, in this order.
    constants : mapping of str to str
        Columns to put in front with one value, such as the asset a file is about.
    time_column : str
        Name of the column that holds the timestamp.
    """

    source: str
    start: str
    end: str
    columns: tuple[str, ...]
    constants: Mapping[str, str] = field(default_factory=dict)
    time_column: str = "timestamp"


# fmt: off
_CHAIN_COLUMNS = (
    "timestamp", "currency", "instrument_name", "option_type", "strike", "expiry", "index_price",
    "underlying_price", "mark_price", "mark_iv", "bid_price", "ask_price",
)
_TERM_COLUMNS = (
    "timestamp", "currency", "expiry", "index_price", "forward",
    "atm_iv", "put25d_iv", "call25d_iv", "put10d_iv", "call10d_iv",
)
# fmt: on
_BAR_COLUMNS = ("timestamp", "open", "high", "low", "close")


def _chain(timestamp: str) -> Cut:
    return Cut(
        source="deribit_chain_BTC_ETH_2026_selected.csv.gz",
        start=timestamp,
        end=timestamp + "~",  # "~" sorts after every character of a timestamp
        columns=_CHAIN_COLUMNS,
    )


def _hours(asset: str, start: str, end: str) -> Cut:
    years = "2021-2026" if asset == "SOL" else "2019-2026"
    return Cut(
        source=f"stitched_{asset}USD_1h_{years}.csv.gz",
        start=start,
        end=end,
        columns=_BAR_COLUMNS,
        constants={"asset": asset},
    )


EXTRACTS: dict[str, tuple[Cut, ...]] = {
    "chain_calm_2026-01-14.csv.gz": (_chain("2026-01-14T09:22:33Z"),),
    "chain_fall_2026-01-31.csv.gz": (_chain("2026-01-31T21:21:33Z"),),
    "bars_1h_2026-02.csv.gz": tuple(
        _hours(asset, "2026-02-04", "2026-02-08") for asset in ("BTC", "ETH", "SOL")
    ),
    "bars_1h_2020-03.csv.gz": tuple(
        _hours(asset, "2020-03-12", "2020-03-13T12") for asset in ("BTC", "ETH")
    ),
    "bars_10m_2020-03-12_ETH.csv.gz": (
        Cut(
            source="ethusd_10m_2020-03-12.csv.gz",
            start="2020-03-12",
            end="2020-03-13",
            columns=_BAR_COLUMNS,
            constants={"asset": "ETH"},
        ),
    ),
    "bars_1h_2023-03.csv.gz": tuple(
        _hours(asset, "2023-03-10T12", "2023-03-14") for asset in ("BTC", "ETH")
    ),
    "bars_1h_2025-03.csv.gz": (_hours("ETH", "2025-03-12", "2025-03-13"),),
    "bars_1h_2025-10.csv.gz": tuple(
        _hours(asset, "2025-10-10T12", "2025-10-11T12") for asset in ("BTC", "ETH")
    ),
    "dvol_1h_2025-10_BTC.csv.gz": (
        Cut(
            source="dvol_deribit_BTC_1h_2021-2025.csv.gz",
            start="2025-10-10T12",
            end="2025-10-11T12",
            columns=("timestamp", "dvol_open", "dvol_high", "dvol_low", "dvol_close"),
        ),
    ),
    "usde_usdt_1m_2025-10-10.csv.gz": (
        Cut(
            source="usde_usdt_binance_1m_2025-10-09_12.csv.gz",
            start="2025-10-10T20:30",
            end="2025-10-10T23:30",
            columns=_BAR_COLUMNS,
            constants={"asset": "USDe"},
        ),
    ),
    "term_structure_2026-02.csv.gz": (
        Cut(
            source="deribit_iv_term_structure_BTC_ETH_2025-12_2026-08.csv.gz",
            start="2026-02-03T21",
            end="2026-02-08T05",
            columns=_TERM_COLUMNS,
        ),
    ),
    "iv_surface_BTC_2020-03.csv.gz": (
        Cut(
            source="iv_surface_BTC_2020-03-11_13_subset.csv.gz",
            start="2020-03-11",
            end="2020-03-14",
            columns=("date", "currency", "tau_days", "return_x", "iv"),
            time_column="date",
        ),
    ),
    "funding_8h_2020-03.csv.gz": (
        Cut(
            source="funding_binance_BTC_ETH_SOL_8h_2020-2025.csv.gz",
            start="2020-03-11",
            end="2020-03-14",
            columns=("timestamp", "instrument", "funding_rate"),
        ),
    ),
    "steth_eth_1d_2022-06.csv.gz": (
        Cut(
            source="steth_eth_daily_yahoo_2020-2024.csv.gz",
            start="2022-06-01",
            end="2022-07-01",
            columns=("timestamp", "close_eth", "close_steth", "steth_eth_close_ratio"),
        ),
    ),
    "usdc_usd_1h_2023-03.csv.gz": (
        Cut(
            source="usdc_usd_kraken_1h_2023-03-10_14.csv.gz",
            start="2023-03-10",
            end="2023-03-15",
            columns=_BAR_COLUMNS,
            constants={"asset": "USDC"},
        ),
    ),
}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a gzipped CSV file with a header, every value as text."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def load(name: str) -> list[dict[str, str]]:
    """Return the rows of one extract in `data/`, every value as text."""
    return read_rows(DATA / name)


def select(rows: Iterable[Row], cut: Cut) -> Iterator[dict[str, str]]:
    """Yield the rows and columns a `Cut` asks for, in the order of the source."""
    for row in rows:
        if cut.start <= row[cut.time_column] < cut.end:
            yield {**cut.constants, **{name: row[name] for name in cut.columns}}


def to_csv(rows: list[dict[str, str]]) -> bytes:
    """Return rows as CSV with a header and Unix line ends.

    Raises
    ------
    ValueError
        If there is no row: an empty extract means that a bound is wrong.
    """
    if not rows:
        raise ValueError("no row lies within the bounds of the cut")
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def compress(content: bytes) -> bytes:
    """Return gzip bytes that depend on the content alone: no time, no file name."""
    target = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=9, mtime=0) as stream:
        stream.write(content)
    return target.getvalue()


def digest(path: Path) -> str:
    """Return the first 16 hex digits of SHA-256 of a gzipped file's content."""
    return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()[:16]


def build(source: Path, cuts: Iterable[Cut]) -> bytes:
    """Return the gzipped bytes of one extract, its cuts one after the other."""
    rows = [row for cut in cuts for row in select(read_rows(source / cut.source), cut)]
    return compress(to_csv(rows))


def run(source: Path, target: Path, check: bool) -> list[str]:
    """Write every extract to `target`, or compare; return the names whose bytes differ."""
    different = []
    for name, cuts in EXTRACTS.items():
        content = build(source, cuts)
        path = target / name
        if not path.exists() or path.read_bytes() != content:
            different.append(name)
            if not check:
                path.write_bytes(content)
    return different


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with the full files")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    different = run(arguments.source, DATA, arguments.check)
    for name in different:
        print(f"{'differs' if arguments.check else 'written'}: {name}")
    return 1 if arguments.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
