"""The kernel's grid in Python: what positions add to it and what is read from it.

Source: specification, Mathematics (Scenario kernel).
"""

from collections.abc import Sequence
from typing import NamedTuple

from reference_model.exact.scenario_kernel import (
    LOSS_UNIT,
    call_x64,
    error_bound,
    error_notional,
    runs,
    worst_places,
)
from reference_model.exact.transcendental import ln_x64

_ONE = 2**64


class Scenario(NamedTuple):
    """One scenario of a grid.

    Attributes
    ----------
    move_x64 : int
        Shocked price over present price, above zero, below 256; X64.
    weight_ppm : int
        At most 1e6.
    vol_class : int
        Index of the deviation an option has in it.
    """

    move_x64: int
    weight_ppm: int
    vol_class: int


class Grid:
    """The scenarios of one underlying and what has been added to them."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self.scenarios = scenarios
        self._runs = runs(scenarios)
        self._ln_moves = [ln_x64(s.move_x64) for s in scenarios]
        self._max_move = max(_ONE, *(s.move_x64 for s in scenarios))
        self._pnl = [0] * len(scenarios)
        self._linear = self._notionals = self._options = 0

    def add_option(
        self,
        notional: int,
        is_put: bool,
        strike_ratio_x64: int,
        ln_ratio_x64: int,
        deviation_x64: int,
        deviations_x64: Sequence[int],
    ) -> tuple[int, int, int]:
        """Add an option to every scenario.

        Parameters
        ----------
        notional : int
            ``N = size·D·F``, USD, WAD, signed.
        is_put : bool
            Whether it is a put: the call less ``N·(move − K/F)``.
        strike_ratio_x64, ln_ratio_x64 : int
            ``K/F``, Down, and ``ln(F/K)``; X64.
        deviation_x64 : int
            Total deviation at market, at most `MAX_DEVIATION`; X64.
        deviations_x64 : sequence of int
            Shocked total deviation of every vol class; X64.

        Returns
        -------
        tuple of int
            Value of the call per unit of ``D·F`` at market, X64; ``Φ(d1)`` at market, X64; the
            position's own worst weighted loss, at least 0, in `LOSS_UNIT`-ths of a wei.
        """
        call, delta = call_x64(strike_ratio_x64, ln_ratio_x64, deviation_x64)
        places = worst_places(self._runs, (notional < 0) != is_put)
        worst = 0
        for j, (scenario, ln_move) in enumerate(zip(self.scenarios, self._ln_moves, strict=True)):
            shocked = deviations_x64[scenario.vol_class]
            terms = strike_ratio_x64, ln_ratio_x64, shocked, scenario.move_x64, ln_move
            value, _ = call_x64(*terms)
            pnl = notional * (value - call - is_put * (scenario.move_x64 - _ONE))
            self._pnl[j] += pnl
            if j in places:
                worst = min(worst, scenario.weight_ppm * pnl)
        self._notionals += error_notional(notional, self._max_move, strike_ratio_x64)
        self._options += 1
        return call, delta, -worst

    def add_linear(self, notional: int) -> int:
        """Add a position with profit and loss ``notional·(move − 1)``.

        Parameters
        ----------
        notional : int
            Dollar delta, USD, WAD, signed.

        Returns
        -------
        int
            Its own worst weighted loss, at least 0, in `LOSS_UNIT`-ths of a wei.
        """
        self._linear += notional
        return max(0, *(-notional * s.weight_ppm * (s.move_x64 - _ONE) for s in self.scenarios))

    def netted(self, j: int) -> int:
        """Weighted profit and loss of everything added, in scenario j; USD, WAD, Down."""
        scenario = self.scenarios[j]
        pnl = self._linear * (scenario.move_x64 - _ONE) + self._pnl[j]
        return pnl * scenario.weight_ppm // LOSS_UNIT

    def error_bound(self) -> int:
        """Bound on the error of any scenario's profit and loss and of all values; USD, WAD, Up."""
        return error_bound(self._notionals, self._options)
