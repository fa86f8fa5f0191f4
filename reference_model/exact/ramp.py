"""A parameter on its way from one value to another.

Source: specification, Market data, section 9.
"""

from reference_model.types import WAD


def value(before: int, after: int, start: int, end: int, active: int) -> int:
    """Value in force at an active time.

    Parameters
    ----------
    before, after : int
        Values at both ends, of any unit.
    start, end : int
        Active times, seconds.
    active : int
        Active time asked for.

    Returns
    -------
    int
        The distance gone is Down, in whichever direction.
    """
    if active <= start:
        return before
    if active >= end:
        return after
    gone = abs(after - before) * (active - start) // (end - start)
    return before + gone if after > before else before - gone


def progress(start: int, end: int, active: int) -> int:
    """Fraction of the way at an active time; WAD, Down, in [0, 1]."""
    return value(0, WAD, start, end, active)


def value_at(before: int, after: int, progress_: int) -> int:
    """Value in force when that fraction (WAD) of the way is gone; the distance is Down."""
    gone = abs(after - before) * progress_ // WAD
    return before + gone if after > before else before - gone
