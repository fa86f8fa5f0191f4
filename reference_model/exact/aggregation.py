"""Several sources of one price to one price, an interval around it and a time.

Prices and confidences are WAD, times seconds of the epoch. With fewer than half of the valid
answers wrong in any way the price lies between honest ones, the interval is no wider than an honest
source makes it and holds the true price if all honest intervals do, and the price lies between
prices no older than the time.

Source: specification, Market data, section 3.
"""

from typing import NamedTuple

MAX_AHEAD_SECONDS = 60
MAX_PRICE = 2**95 - 1


class Answer(NamedTuple):
    """What a source said."""

    price: int
    confidence: int
    timestamp: int


def is_timely(answer: Answer, now: int, max_age_seconds: int) -> bool:
    """Whether an answer is neither too old nor too far ahead."""
    return answer.timestamp <= now + MAX_AHEAD_SECONDS and now <= answer.timestamp + max_age_seconds


def valid(answer: Answer | None, now: int, max_age_seconds: int) -> Answer | None:
    """Return the answer with a time not ahead, or None if it must not count.

    Parameters
    ----------
    answer : Answer or None
        None if the source failed.
    now : int
    max_age_seconds : int
    """
    if answer is None or not is_timely(answer, now, max_age_seconds):
        return None
    if not answer.confidence < answer.price <= MAX_PRICE:
        return None
    return answer._replace(timestamp=min(answer.timestamp, now))


def aggregate(answers: list[Answer]) -> Answer:
    """Median of one or more valid answers.

    Returns
    -------
    Answer
        Price: the median, Down. Confidence: as much as more than half of the sources need to reach
        from the price to the far end of their intervals, at most the price. Timestamp: more than
        half of the sources are at least that young.
    """
    half = len(answers) // 2
    prices = sorted(answer.price for answer in answers)
    price = prices[half] if len(prices) % 2 else (prices[half - 1] + prices[half]) // 2
    reaches = sorted(abs(answer.price - price) + answer.confidence for answer in answers)
    times = sorted((answer.timestamp for answer in answers), reverse=True)
    return Answer(price, min(reaches[half], price), times[half])
