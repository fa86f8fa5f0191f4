"""What sources of prices make of what they read.

Prices, confidences and rates are WAD, times Unix seconds, all at least 0 unless said otherwise. A
failure is the error with which the contract refuses to answer; what leaves 256 bits is a `Panic`,
as on chain.

Source: specification, Market data, section 2; ``contracts/oracle/``,
``contracts/SignedReports.sol``.
"""

from typing import NamedTuple

from reference_model.exact import fixed_point as fp
from reference_model.exact.errors import (
    CrossTooSmall,
    DivisorUncertain,
    InvalidAnswer,
    InvalidPythPrice,
    InvalidRate,
    InvalidReport,
    NoReport,
    Panic,
    RateBelowSnapshot,
    ReportAhead,
    SnapshotTooEarly,
)
from reference_model.types import DAY, WAD, YEAR

OVERFLOW = 0x11
MAX_WORD = 2**256 - 1
WAD_EXPONENT = 18
SNAPSHOT_SECONDS = DAY
MAX_RATE = 2**96 - 1
BLOCK_BITS = 2**24


class Reading(NamedTuple):
    """What a source answers.

    Attributes
    ----------
    price : int
        USD per unit, or a rate; above 0.
    confidence : int
        Half-width of the interval.
    timestamp : int
        When it was seen.
    """

    price: int
    confidence: int
    timestamp: int


def chainlink_read(answer: int, updated_at: int, decimals: int, deviation: int) -> Reading:
    """Price of a Chainlink feed.

    Parameters
    ----------
    answer : int
        In units of 10^-decimals, signed.
    updated_at : int
        Time of the answer.
    decimals : int
        0 to 36.
    deviation : int
        Move at which the feed updates, fraction.

    Raises
    ------
    InvalidAnswer, Panic
    """
    price = _word(fp.to_wad_down(answer, decimals)) if answer > 0 else 0
    if price == 0 or updated_at == 0:
        raise InvalidAnswer(answer, updated_at)
    return Reading(price, _mul_up(price, deviation), updated_at)


def pyth_read(price: int, confidence: int, exponent: int, publish_time: int) -> Reading:
    """Price of a Pyth feed.

    Parameters
    ----------
    price, confidence : int
        In units of 10^exponent, 64 bits; the price signed.
    exponent : int
        Signed.
    publish_time : int
        Time of the price.

    Raises
    ------
    InvalidPythPrice
    """
    if price <= 0 or abs(exponent) > WAD_EXPONENT:
        raise InvalidPythPrice(price, exponent)
    unit = 10 ** (WAD_EXPONENT + exponent)
    return Reading(price * unit, confidence * unit, publish_time)


def cross_read(a: Reading, b: Reading, is_quotient: bool) -> Reading:
    """Product or quotient of two sources.

    Raises
    ------
    CrossTooSmall, DivisorUncertain, Panic
    """
    price, confidence = (_quotient if is_quotient else _product)(a, b)
    if price == 0:
        raise CrossTooSmall(a.price, b.price)
    return Reading(price, confidence, min(a.timestamp, b.timestamp))


class CappedRate:
    """A rate that counts up to a line of bounded growth.

    Parameters
    ----------
    rate : int
        What the vault or the provider says at construction.
    growth : int
        Greatest growth per year, fraction, at most one.
    now : int
        Time of construction.

    Attributes
    ----------
    ratio, ratio_at : int
        Where the line starts.
    """

    def __init__(self, rate: int, growth: int, now: int) -> None:
        self.growth = growth
        self.ratio, self.ratio_at = _valid_rate(rate), now

    def read(self, rate: int, now: int) -> Reading:
        """Answer while the vault or the provider says `rate`.

        Raises
        ------
        InvalidRate
        """
        rise = fp.mul_div_down(self.ratio * self.growth, now - self.ratio_at, WAD * YEAR)
        return Reading(min(_valid_rate(rate), self.ratio + rise), 0, now)

    def snapshot(self, rate: int, now: int) -> None:
        """Start the line anew from the rate that counts now.

        Raises
        ------
        InvalidRate, SnapshotTooEarly, RateBelowSnapshot
        """
        earliest = self.ratio_at + SNAPSHOT_SECONDS
        if now < earliest:
            raise SnapshotTooEarly(now, earliest)
        counted = self.read(rate, now).price
        if counted < self.ratio:
            raise RateBelowSnapshot(counted, self.ratio)
        self.ratio, self.ratio_at = counted, now


class Reports:
    """The latest signed report of each feed; signatures are for the caller to check."""

    def __init__(self) -> None:
        self._latest: dict[bytes, Reading] = {}
        self._block_bits: dict[bytes, int] = {}

    def post(self, feed: bytes, report: Reading, now: int, block: int) -> bool:
        """Take in a report with valid signatures, unless it is late.

        Returns
        -------
        bool
            Whether it became the latest: it is newer, and the first of its feed in its block.

        Raises
        ------
        InvalidReport, ReportAhead
        """
        if report.price == 0 or report.confidence >= report.price:
            raise InvalidReport(feed)
        if report.timestamp > now:
            raise ReportAhead(feed, report.timestamp, now)
        latest = self._latest.get(feed)
        is_newer = report.timestamp > (latest.timestamp if latest else 0)
        block_bits = block % BLOCK_BITS
        if not is_newer or self._block_bits.get(feed) == block_bits:
            return False
        self._latest[feed], self._block_bits[feed] = report, block_bits
        return True

    def read(self, feed: bytes) -> Reading:
        """Answer of the source of a feed.

        Raises
        ------
        NoReport
        """
        if feed not in self._latest:
            raise NoReport(feed)
        return self._latest[feed]


def _product(a: Reading, b: Reading) -> tuple[int, int]:
    price = _word(a.price * b.price) // WAD
    return price, _mul_up(_word(a.price + a.confidence), _word(b.price + b.confidence)) - price


def _quotient(a: Reading, b: Reading) -> tuple[int, int]:
    if b.confidence >= b.price:
        raise DivisorUncertain(b.price, b.confidence)
    price = _word(a.price * WAD) // b.price
    highest = _word(_word(a.price + a.confidence) * WAD)
    return price, fp.divide_up(highest, b.price - b.confidence) - price


def _valid_rate(rate: int) -> int:
    if not 0 < rate <= MAX_RATE:
        raise InvalidRate(rate)
    return rate


def _mul_up(a: int, b: int) -> int:
    return fp.divide_up(_word(a * b), WAD)


def _word(value: int) -> int:
    if value > MAX_WORD:
        raise Panic(OVERFLOW)
    return value
