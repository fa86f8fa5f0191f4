"""Whom to close an insolvent account's position against, when nobody buys it any more."""

from scripts.keeping.fleet import Fleet

MOST = 40


def counterparties(fleet: Fleet, account: int, instrument: int, size: float) -> list[int]:
    """Accounts with the largest opposite positions in an instrument, the largest first.

    The engine passes over those whose hedge it would take away, and takes from the others no more
    than profit that was never paid.
    """
    found = []
    for other in fleet.accounts:
        if other != account:
            held = sum(s for word, s, _ in fleet[other].positions if word == instrument)
            if held * size < 0:
                found.append((abs(held), other))
    return [other for _, other in sorted(found, reverse=True)[:MOST]]
