"""Fits and paths that several tests look at; nothing changes them."""

import pytest

from oracle_mock import history, paths, replays
from oracle_mock.market import Rate


@pytest.fixture(scope="session", params=[history.CALM_CHAIN, history.FALL_CHAIN])
def chain_start(request):
    return request.param, paths.from_chain(request.param)


@pytest.fixture(scope="session")
def start():
    snapshot = paths.from_chain(history.FALL_CHAIN)
    return snapshot.with_rate("USDC", Rate(1.0, 1.0, snapshot.time))


@pytest.fixture(scope="session")
def crash():
    return replays.crash_2026_02()
