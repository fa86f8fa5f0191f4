"""Vectors in a file: the joint moves that a local deployment publishes, as JSON words.

``python -m scripts._vectors SOURCE`` makes the shipped file anew from the price histories in the
folder SOURCE, by the rules of scripts/deploy.yaml; with ``--check`` nothing is written and the
command fails unless the file is the same. What is in it is derived from prices and holds none.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reference_model import vectors
from scripts._configuration import Configuration, load_configuration
from scripts.keeping.histories import Dates, Rules, dates, read_history

SHIPPED = Path(__file__).parents[1] / "oracle_mock" / "data" / "vectors_BTC_ETH_SOL_2025-10.json"
# What a publisher knew on the morning of 10 October 2025, the crash day of the demonstration.
UNTIL = datetime(2025, 10, 10, 12, tzinfo=UTC)
# The one hour at which the volatility index has no gap.
HOUR = 1
WINDOW = 500
PRICES = {
    "BTC": "stitched_BTCUSD_1h_2019-2026.csv.gz",
    "ETH": "stitched_ETHUSD_1h_2019-2026.csv.gz",
    "SOL": "stitched_SOLUSD_1h_2021-2026.csv.gz",
}
VOLATILITIES = {"BTC": "dvol_deribit_BTC_1h_2021-2025.csv.gz"}


class Vectors(BaseModel):
    """Words of dates, old first.

    Attributes
    ----------
    underlyings
        Symbols in the order of their places.
    first, last
        When the first date ended, and the last.
    decay_seconds, max_deviation, vol_ranges
        How the moves were measured, as in `Rules`.
    words
        One for each date, hexadecimal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    underlyings: list[str] = Field(min_length=1, max_length=vectors.MAX_PLACES)
    first: datetime
    last: datetime
    decay_seconds: int
    max_deviation: float
    vol_ranges: dict[str, float]
    words: list[str] = Field(min_length=250, max_length=1000)

    @property
    def rules(self) -> Rules:
        """How the moves were measured."""
        return Rules(self.decay_seconds, self.max_deviation, self.vol_ranges)

    def integers(self) -> list[int]:
        """Return the words as the contract takes them."""
        return [int(word, 16) for word in self.words]


def read_vectors(path: Path) -> Vectors:
    """Read a file; say what is wrong with it before anything is sent."""
    try:
        found = Vectors.model_validate_json(path.read_text(encoding="utf-8"))
        vectors.decode(found.integers(), len(found.underlyings))
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise click.ClickException(f"{path}: {field}: {first['msg']}") from error
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from error
    return found


def to_json(symbols: Sequence[str], found: Dates, rules: Rules, window: int) -> str:
    """Write the last dates of a history."""
    content = {
        "underlyings": list(symbols),
        "first": _iso(found.ends_at[-window:][0]),
        "last": _iso(found.ends_at[-1]),
        **rules._asdict(),
        "words": [f"{word:#x}" for word in found.words[-window:]],
    }
    return json.dumps(content, indent=1) + "\n"


def rules_of(configuration: Configuration) -> Rules:
    """Return how a deployment measures moves."""
    return Rules(
        configuration.estimator.decay_seconds,
        float(configuration.estimator.max_deviation),
        {symbol: float(u.vol_range) for symbol, u in configuration.underlyings.items()},
    )


def build(source: Path) -> str:
    """Return the content of the shipped file, from the full histories."""
    rules = rules_of(load_configuration())
    prices, volatilities = (
        {symbol: read_history(source / name) for symbol, name in names.items()}
        for names in (PRICES, VOLATILITIES)
    )
    found = dates(prices, volatilities, rules, HOUR, int(UNTIL.timestamp()))
    return to_json(list(PRICES), found, rules, WINDOW)


def _iso(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with the full histories")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    content = build(arguments.source)
    is_same = SHIPPED.exists() and SHIPPED.read_text(encoding="utf-8") == content
    if not is_same and not arguments.check:
        SHIPPED.write_text(content, encoding="utf-8")
    outcome = "differs" if arguments.check else "written"
    print(f"{'the same' if is_same else outcome}: {SHIPPED.name}")
    return 1 if arguments.check and not is_same else 0


if __name__ == "__main__":
    sys.exit(main())
