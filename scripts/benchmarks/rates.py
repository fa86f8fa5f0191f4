"""Rates of the models and of the fuzz campaign, and errors against mpmath. Times are noisy."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import mpmath
import numpy as np
from ape.api import AccountAPI

from reference_model import vectors
from reference_model.cases import random_case
from reference_model.exact import risk_model
from reference_model.exact.black76 import unit_call
from reference_model.exact.normal import cdf_x64
from reference_model.exact.svi import pack, total_variance
from reference_model.exact.transcendental import exp_x64, ln_x64
from reference_model.ideal import book as layout
from reference_model.ideal import margin as ideal
from reference_model.ideal import market as ideal_market
from reference_model.ideal import scenarios as ideal_scenarios
from scripts.benchmarks import revaluation
from scripts.benchmarks.books import books as many_books
from scripts.fuzzing import campaign, faults, subjects

ONE = 2**64
SEED = 1


def rates(account: AccountAPI, folder: Path, step: Callable[[str], None]) -> dict[str, float]:
    """Cases per second by kind, of the campaign and of either model alone."""
    step("fuzzing")
    tallies = campaign.run(subjects.deploy(account), 60_000, SEED, folder, quiet=True)
    if any(tally.disagreements for tally in tallies.values()):
        raise RuntimeError("contracts and model disagree: see `make fuzz SEED=1 CASES=60000`")
    figures = {}
    for kind, key in (("formula.", "formulas"), ("portfolio.assess", "portfolios")):
        chosen = [tally for name, tally in tallies.items() if name.startswith(kind)]
        seconds = sum(tally.seconds for tally in chosen)
        figures[f"rate.fuzz.{key}_per_s"] = sum(tally.cases for tally in chosen) / seconds
    step("timing the models")
    figures |= {"rate.hints_per_s": _hint_rate(), "rate.keeper.accounts_per_s": keeper_rate()}
    return figures | _models()


def _hint_rate(dates: int = 500, rounds: int = 2_000) -> float:
    """Best hints of expected shortfall per second, out of the losses of so many dates."""
    losses = np.random.default_rng(SEED).normal(size=dates)
    started = time.process_time()
    for _ in range(rounds):
        vectors.best_hint(losses, 0.025)
    return rounds / (time.process_time() - started)


def _models() -> dict[str, float]:
    market, portfolios = random_case(Random(SEED), 2_000)
    started = time.perf_counter()
    for portfolio in portfolios:
        risk_model.assess(portfolio, market)
    exact = time.perf_counter() - started
    count = len(portfolios)
    arrays = ideal_market.from_integers(market)
    instruments, books = ideal.from_integers(arrays, portfolios)
    started = time.perf_counter()
    ideal.margin(arrays, ideal_scenarios.price(arrays, instruments), books)
    return {
        "rate.model.exact.portfolios_per_s": count / exact,
        "rate.model.portfolios_per_s": count / (time.perf_counter() - started),
    }


def keeper_rate(accounts: int = 100_000, rounds: int = 5) -> float:
    """Accounts of 8 positions over 500 instruments margined per second on one core.

    At a new price: instruments are priced in all scenarios, accounts margined. The layout of the
    book is made before, since it depends on holdings alone. Best of some rounds; time of the
    processor, so that other work on the machine does not count.
    """
    drawn = many_books(SEED, accounts)
    risk = ideal_scenarios.price(drawn.market, drawn.instruments)
    book = layout.arrange(drawn.market, risk, drawn.portfolios)
    times = []
    for _ in range(rounds):
        started = time.process_time()
        ideal.remargin(drawn.market, ideal_scenarios.price(drawn.market, drawn.instruments), book)
        times.append(time.process_time() - started)
    return accounts / min(times)


def errors(step: Callable[[str], None], samples: int = 4_000) -> dict[str, float]:
    """Greatest absolute error found over each domain; the bounds are in the specification.

    The integer model is measured: it is bit for bit what the contracts compute.
    """
    step("measuring errors")
    rng = Random(SEED)
    with mpmath.workdps(50):
        return {
            "error.black76": max(_black76(rng) for _ in range(samples)),
            "error.normal_cdf": max(_cdf(rng) for _ in range(samples)),
            "error.ln": max(_ln(rng) for _ in range(samples)),
            "error.exp.relative": max(_exp(rng) for _ in range(samples)),
            "error.svi": max(_svi(rng) for _ in range(samples)),
        } | revaluation.overcharges()


def _x64(value: int) -> mpmath.mpf:
    return mpmath.mpf(value) / ONE


def _black76(rng: Random) -> float:
    """Of a call per unit of the greater of forward and strike."""
    log = int(rng.uniform(-3, 3) * ONE)
    deviation = int(10 ** rng.uniform(-3, 0.5) * ONE)
    ratio = int(mpmath.floor(mpmath.exp(-_x64(log)) * ONE))
    s = _x64(deviation)
    d1 = _x64(log) / s + s / 2
    exact = mpmath.ncdf(d1) - _x64(ratio) * mpmath.ncdf(d1 - s)
    return float(abs(_x64(unit_call(ratio, log, deviation)[0]) - exact) / max(1, _x64(ratio)))


def _cdf(rng: Random) -> float:
    x = int(rng.uniform(-9, 9) * ONE)
    return float(abs(_x64(cdf_x64(x)) - mpmath.ncdf(_x64(x))))


def _ln(rng: Random) -> float:
    x = int(2 ** rng.uniform(1, 190))
    return float(abs(_x64(ln_x64(x)) - mpmath.log(_x64(x))))


def _exp(rng: Random) -> float:
    x = int(rng.uniform(-1, 60) * ONE)
    return float(abs(_x64(exp_x64(x)) / mpmath.exp(_x64(x)) - 1))


def _svi(rng: Random) -> float:
    """Of the total variance."""
    b, rho, m, sigma = rng.uniform(0, 1), rng.uniform(-0.9, 0.9), rng.uniform(-1, 1), rng.random()
    k = int(rng.uniform(-3, 3) * ONE)
    # Fields that are exact in their scales, so that packing adds nothing.
    b, rho, m, sigma = (int(v * 2**20) / 2**20 for v in (b, rho, m, sigma))
    x = _x64(k) - m
    exact = b * (rho * x + mpmath.sqrt(x * x + sigma**2))
    return float(abs(_x64(total_variance(pack(0.0, b, rho, m, sigma), k)) - exact))


def faults_on_paths(step: Callable[[str], None]) -> dict[str, float]:
    """Faults of a minority of sources tried on price paths, and what was lost by them: nothing.

    One trial of every path and fault; `ape run fuzz --faults` runs all.
    """
    tally = faults.campaign(
        faults.sample(SEED), lambda trial: step(f"{trial.fault.kind} on {trial.path}")
    )
    if tally.losses:
        raise RuntimeError(f"a fault was worth something: {tally.losses[0]}")
    return {
        "faults.paths.tried": tally.trials,
        "faults.paths.losses": len(tally.losses),
        "faults.paths.bound_used": tally.worst,
        "faults.paths.naive_loss_usd": tally.naive,
    }
