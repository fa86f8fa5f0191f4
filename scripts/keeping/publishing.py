"""Publication of joint moves: which dates are new since the last, and how many leave for them.

What is on the chain is words without dates. It is laid beside the words of a history: where both
agree, the last date of the chain is known, and the dates after it are new.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from reference_model import vectors
from reference_model.types import WAD, Publication, UnderlyingParameters
from scripts._deployment import Deployment, DeploymentError
from scripts.keeping.chain import Call, Chain, NodeError, Refusal, methods
from scripts.keeping.files import FileError
from scripts.keeping.hand import Hand
from scripts.keeping.histories import Dates, Rules, moment
from scripts.keeping.prediction import ramp_seconds, settled_dates

MIN_DATES, MAX_DATES, MAX_STORED = 250, 1_000, 1_024
# What must agree; a move that lies on an edge may be rounded differently after a change of files.
LEAST_AGREEMENT = 0.9
WORST = 5


class Stored(NamedTuple):
    """What the contract has.

    Attributes
    ----------
    words
        In force when the last ramp is over, old first.
    symbols
        Underlyings of the places covered.
    ramp_seconds
        Active time until then.
    """

    words: list[int]
    symbols: list[str]
    ramp_seconds: int


class Plan(NamedTuple):
    """A publication: the last `entering` dates of a history enter, the oldest `leaving` leave."""

    entering: int
    leaving: int


class Basket(NamedTuple):
    """Underlyings that the estimator follows, in the order of their places, and its rules."""

    symbols: list[str]
    rules: Rules


def plan(stored: Stored, found: Dates, symbols: Sequence[str], window: int, replace: bool) -> Plan:
    """Decide which dates enter and how many leave.

    Parameters
    ----------
    stored
        What the contract has.
    found
        All dates of the histories, of the places of `symbols`.
    window
        Dates to keep.
    replace
        Whether all dates leave.

    Raises
    ------
    FileError
        If the dates do not continue those stored, or are too few or too many.
    """
    known = len(stored.words)
    if replace or not known:
        entering, leaving = min(window, len(found.words)), known
    else:
        if list(symbols) != stored.symbols:
            raise FileError(
                f"the chain has vectors of {', '.join(stored.symbols)}: dates that stay say "
                f"nothing of another underlying; publish {', '.join(symbols)} anew with --replace"
            )
        entering = min(_new(stored.words, found), window)
        leaving = max(0, known + entering - window) if entering else 0
        leaving = min(leaving, known)
    count = known + entering - leaving
    if count < MIN_DATES:
        raise FileError(
            f"{count} dates would be in force, at least {MIN_DATES} are needed: give longer "
            f"histories{_gaps(found)}"
        )
    if known + entering > MAX_STORED:
        raise FileError(
            f"{entering} dates do not fit beside the {known} in force, which stay until the ramp "
            f"ends: name a --window of at most {max(MIN_DATES, MAX_STORED - known)}"
        )
    return Plan(entering, leaving)


def _new(stored: Sequence[int], found: Dates) -> int:
    """Count the dates of a history after the last of those stored."""
    row_of = {word: row for row, word in enumerate(found.words)}
    shifts = Counter(row_of[word] - i for i, word in enumerate(stored) if word in row_of)
    shift, agreed = shifts.most_common(1)[0] if shifts else (0, 0)
    end = shift + len(stored)
    beside = min(end, len(found.words)) - max(shift, 0)
    if agreed < LEAST_AGREEMENT * beside or not agreed:
        raise FileError(
            "the dates on the chain are not those of these histories (another source, hour, vol "
            "range or memory of the estimator?): publish all anew with --replace"
        )
    return max(0, len(found.words) - end)


def _gaps(found: Dates) -> str:
    if not found.left_out:
        return ""
    return (
        f" ({len(found.left_out)} days were left out for gaps in them, the last ends at "
        f"{moment(found.left_out[-1])}; another --hour may have fewer)"
    )


def summary(symbols: Sequence[str], found: Dates, made: Plan, known: int) -> list[str]:
    """Say what is published, for a person who is to decide on it."""
    first = len(found.words) - made.entering
    z, y = found.price_moves[first:], found.vol_moves[first:]
    ends_at, low, high = found.ends_at[first:], vectors.VOL_NODES[0], vectors.VOL_NODES[-1]
    cut = np.mean(np.abs(z) > vectors.NODES[-1]), np.mean((y < low) | (y > high))
    left_out = [each for each in found.left_out if each > ends_at[0]]
    lines = [
        f"{', '.join(symbols)}: {made.entering} dates enter, {made.leaving} leave, "
        f"{known + made.entering - made.leaving} in force when the ramp ends",
        f"from {moment(ends_at[0])} to {moment(ends_at[-1])}; "
        f"{len(left_out)} days between left out for gaps",
        f"cut at the ends: {cut[0]:.2%} of price moves, {cut[1]:.2%} of volatility moves",
        "worst dates, by the mean of their moves in standard deviations:",
    ]
    for row in np.argsort(z.mean(axis=1), kind="stable")[:WORST].tolist():
        moves = "".join(f"  {s} {value:+.1f}" for s, value in zip(symbols, z[row], strict=True))
        lines.append(f"  {moment(ends_at[row])}{moves}")
    return lines


class Publisher:
    """Publishes vectors of one deployment."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self.chain, self.deployment = chain, deployment
        self.model = deployment.predictive_model
        self._views = methods(self.model)

    def _all(self, *calls: Call) -> list[tuple]:
        outcomes = self.chain.read_many(calls)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                raise NodeError(f"the chain refused a view: {outcome}")
        return outcomes

    @cached_property
    def basket(self) -> Basket:
        """Underlyings that may have a place, and how moves are measured."""
        d = self.deployment
        estimator, parameters = methods(d.volatility_estimator), methods(d.parameters)
        (numbers,), (_, decay, deviation, _) = self._all(
            estimator["basket"](), estimator["estimator"]()
        )
        symbol_of = {number: symbol for symbol, number in d.manifest.underlyings.items()}
        symbols = [symbol_of.get(number, f"#{number}") for number in numbers]
        rows = self._all(*(parameters["underlyingParameters"](number) for number in numbers))
        ranges = {
            symbol: UnderlyingParameters(*struct).vol_range / WAD
            for symbol, (struct,) in zip(symbols, rows, strict=True)
        }
        return Basket(symbols, Rules(decay, deviation / WAD, ranges))

    def stored(self) -> Stored:
        """Return what the contract has, and how long the last publication still ramps."""
        views = self._views
        active_time = methods(self.deployment.parameters)["activeTime"]()
        (publication,), (now,) = self._all(views["publication"](), active_time)
        last = Publication(*publication)
        dates, places = settled_dates(last)
        ((words,),) = self._all(views["vectors"](dates.start, dates.stop - dates.start))
        return Stored(list(words), self.basket.symbols[:places], ramp_seconds(last, now))

    def require_places(self, symbols: Iterable[str]) -> list[str]:
        """Return symbols in the order of their places; they must be the first of the basket."""
        symbols, known = set(symbols), self.deployment.manifest.underlyings
        basket = self.basket.symbols
        for symbol in sorted(symbols):
            if symbol not in known:
                raise DeploymentError(f"no underlying '{symbol}'; there are {', '.join(known)}")
            if symbol not in basket:
                raise DeploymentError(
                    f"{symbol} is not in the basket of the estimator, which has "
                    f"{', '.join(basket) or 'nothing'}: let the governor add it (addUnderlying)"
                )
        first = basket[: len(symbols)]
        if missing := [symbol for symbol in first if symbol not in symbols]:
            raise DeploymentError(
                f"a history of {missing[0]} is missing: places are filled in the order of the "
                f"basket, {', '.join(basket)}"
            )
        return first

    def publish(self, hand: Hand, words: Sequence[int], leaving: int, places: int) -> str:
        """Publish, or say what the chain has against it."""
        arguments = list(words), leaving, places
        attempt = hand.attempt(self.model, "publish", *arguments)
        if isinstance(attempt.result, Refusal):
            raise DeploymentError(self._against(attempt.result, hand))
        facts = {"entering": len(words), "leaving": leaving, "gas": attempt.gas}
        return hand.send(self.model, "publish", arguments, attempt, **facts)

    def _against(self, refusal: Refusal, hand: Hand) -> str:
        if refusal.name.startswith("AccessManaged"):
            who = hand.sender.address if hand.sender else "nobody"
            governance = self.deployment.governance.address
            return (
                f"{who} may not publish: it takes the role PUBLISHER, which the admin of "
                f"Governance at {governance} grants"
            )
        return f"the chain refuses publish: {refusal}"
