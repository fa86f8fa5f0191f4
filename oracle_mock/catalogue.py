"""Every path by its name, with the same underlyings and tokens on each, so that all can be played.

What a path says nothing about stays where it was: an underlying at its price of January 2026, a
token at its usual rate.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from oracle_mock import history, replays
from oracle_mock.market import Market, Rate, Snapshot
from oracle_mock.paths import (
    HOUR,
    JumpDiffusion,
    Path,
    confidence,
    depeg,
    flash_crash,
    from_chain,
    jump_diffusion,
    pump,
)

SOL = 105.0
RATES = {"WETH": 1.0, "WBTC": 1.0, "wstETH": 1.2, "USDT": 1.0, "SOL": 1.0}
STAKED, CASH_LIKE = "wstETH", "USDT"
# Four of the thirteen listed: next week, in two weeks, in a month, in five.
EXPIRIES = tuple(
    history.seconds(f"2026-{day}T08:00:00Z") for day in ("02-06", "02-13", "02-27", "06-26")
)
VOLATILITY = {"BTC": 0.6, "ETH": 0.8, "SOL": 1.0}


class Named(NamedTuple):
    """A path with a name.

    Attributes
    ----------
    text : str
        What happens, in a line.
    build : function
        From a start and a seed to the path.
    """

    text: str
    build: Callable[[Snapshot, int], Path]


@cache
def start() -> Snapshot:
    """BTC, ETH with options and SOL on 31 January 2026, with the usual rates."""
    snapshot = from_chain(history.FALL_CHAIN, expiries=EXPIRIES)
    sol = Market(SOL, SOL, confidence(SOL, 0), SOL, snapshot.time)
    snapshot = snapshot.with_market("SOL", sol)
    for token, rate in RATES.items():
        snapshot = snapshot.with_rate(token, Rate(rate, rate, snapshot.time))
    return snapshot


def _completed(path: Path, begun: Snapshot, tokens: Mapping[str, tuple[str, float]]) -> Path:
    """Give a replay the names it lacks; `tokens` says for whom its tokens stand in, times what."""

    def complete(snapshot: Snapshot) -> Snapshot:
        still = {
            name: replace(market, observed=snapshot.time, slices=())
            for name, market in begun.markets.items()
        }
        rates = {
            token: replace(rate, observed=snapshot.time) for token, rate in begun.rates.items()
        }
        for token, (name, factor) in tokens.items():
            rate = snapshot.rates[token]
            values = rate.value * factor, rate.stable_value * factor
            rates[name] = Rate(*values, rate.observed)
        return replace(snapshot, markets={**still, **snapshot.markets}, rates=rates)

    return [complete(snapshot) for snapshot in path]


def _replay(
    build: Callable[[], Path], **tokens: tuple[str, float]
) -> Callable[[Snapshot, int], Path]:
    return lambda begun, seed: _completed(build(), begun, tokens)


PATHS: dict[str, Named] = {
    "jump-diffusion": Named(
        "two days of BTC, ETH and SOL, diffusing and jumping together, by the half hour",
        lambda begun, seed: jump_diffusion(begun, JumpDiffusion(VOLATILITY), 96, 1_800, seed),
    ),
    "flash-crash": Named(
        "40 % down within ten minutes, half of it back within twenty, an hour of calm around it",
        lambda begun, seed: flash_crash(
            begun, {"BTC": 0.3, "ETH": 0.4, "SOL": 0.5}, seed, calm_steps=30
        ),
    ),
    "pump": Named(
        "SOL up 24 times within forty minutes, and back",
        lambda begun, seed: pump(begun, "SOL", 24.0, seed),
    ),
    "depeg": Named(
        "the cash-like token down by 30 % within five hours, most of it back within ten",
        lambda begun, seed: depeg(begun, CASH_LIKE, 0.3, seed, step_seconds=HOUR // 2),
    ),
    "crash-2020-03": Named(
        "12 and 13 March 2020: BTC and ETH fall by half", _replay(replays.crash_2020_03)
    ),
    "crash-2026-02": Named(
        "4 to 7 February 2026: BTC, ETH and SOL, hourly, with quoted smiles",
        _replay(replays.crash_2026_02),
    ),
    "usdc-2023-03": Named(
        "10 to 13 March 2023: what USDC did, done by the cash-like token",
        _replay(replays.usdc_2023_03, USDC=(CASH_LIKE, 1.0)),
    ),
    "steth-2022-06": Named(
        "June 2022, daily: what stETH did, done by the staked token",
        _replay(replays.steth_2022_06, stETH=(STAKED, RATES[STAKED])),
    ),
    "usde-2025-10": Named(
        "10 October 2025, by the minute: BTC and ETH crash, the cash-like token holds",
        _replay(replays.usde_2025_10, USDe=(CASH_LIKE, 1.0)),
    ),
}


def build(name: str, seed: int) -> Path:
    """Build a path by its name; `KeyError` says which there are."""
    if name not in PATHS:
        raise KeyError(f"no path {name!r}; there are {', '.join(PATHS)}")
    return PATHS[name].build(start(), seed)
