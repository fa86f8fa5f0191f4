"""Average price over the half hour before a full hour, each price weighted by its time in force.

Prices are WAD, times seconds of the epoch.

Source: specification, Market data, section 6.
"""

from typing import NamedTuple

WINDOW_SECONDS = 1_800
GAP_SECONDS = 600
HOUR_SECONDS = 3_600


class Window(NamedTuple):
    """What of the window before `window_end` is covered, and the sum of price times seconds."""

    window_end: int = 0
    weighted_sum: int = 0
    covered_seconds: int = 0


def update(window: Window, price: int, observed_at: int, disputed: bool, now: int) -> Window:
    """Window of the hour that was running at `observed_at`, with that price in force until now.

    Parameters
    ----------
    window : Window
        Before; another hour's is forgotten.
    price, observed_at, disputed
        The observation before the present one. A disputed one covers nothing.
    now : int
    """
    end = (observed_at // HOUR_SECONDS + 1) * HOUR_SECONDS
    if window.window_end != end:
        window = Window(end)
    start = max(observed_at, end - WINDOW_SECONDS)
    seconds = min(now, observed_at + GAP_SECONDS, end) - start
    if disputed or seconds <= 0:
        return window
    _, weighted_sum, covered = window
    return Window(end, weighted_sum + price * seconds, covered + seconds)


def average(window: Window) -> int | None:
    """Settlement price, Down, or None if less than half of the window is covered."""
    if 2 * window.covered_seconds < WINDOW_SECONDS:
        return None
    return window.weighted_sum // window.covered_seconds
