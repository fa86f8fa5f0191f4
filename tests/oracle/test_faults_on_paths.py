"""No fault of a minority of sources, on any path, is worth anything to anybody.

One trial of every path and fault; `ape run fuzz --faults` runs them all, for every price and every
minority. What is counted, and up to which bound, is said in `scripts/fuzzing/faults.py`.
"""

import pytest

from oracle_mock import catalogue, faults
from oracle_mock.faults import Fault
from scripts._running import INTERRUPTED
from scripts.fuzz import try_faults
from scripts.fuzzing import faults as trials
from scripts.fuzzing.faults import MINORITIES, Trial

SEED = 3
SAMPLE = trials.sample(SEED)


def window(path, kind, name, numbers, size=None):
    path = catalogue.build(path, SEED)
    start, end = path[len(path) // 4].time, path[3 * len(path) // 4].time
    return Fault(kind, name, start, end, numbers, size)


@pytest.mark.parametrize("path", catalogue.PATHS)
def test_faults_of_a_minority_cost_nothing(path):
    chosen = [trial for trial in SAMPLE if trial.path == path]
    assert {trial.fault.kind for trial in chosen} == set(faults.KINDS)
    tally = trials.campaign(chosen)
    assert not tally.losses
    assert tally.worst < 1
    assert tally.withdrawals > 10**6 * len(chosen), "attackers do get what is theirs"


def test_trials_are_of_minorities_alone():
    assert all(2 * len(numbers) < count for count, numbers in MINORITIES)
    every = list(trials.trials(SEED, ("flash-crash",)))
    assert len(set(every)) == len(every)
    assert {trial.fault.name for trial in every} == {"ETH", "wstETH", "USDT", "ETH-mark"}
    assert len(every) == 1 + 10 * (3 * len(MINORITIES) + 1)


def test_jump_of_a_majority_would_cost():
    """The same trial with two of three sources wrong: what the campaign would report."""
    both = window("flash-crash", "jump", "ETH", (2, 3), size=1.09)
    outcome = trials.run(Trial("flash-crash", SEED, both, 3))
    assert sum(loss.usd for loss in outcome.losses) > 10_000


def test_fall_of_a_majority_would_liquidate_the_honest():
    both = window("depeg", "jump", "wstETH", (2, 3), size=0.8)
    outcome = trials.run(Trial("depeg", SEED, both, 3))
    assert "honest" in {loss.who for loss in outcome.losses}


@pytest.mark.parametrize("kind", ["stale", "frozen", "jump", "wrong-decimals", "outage"])
def test_one_source_at_its_word_would_cost(kind):
    """The naive rule in the same trial: prices of one source, whatever their age."""
    fault = window("flash-crash", kind, "ETH", (2,))
    outcome = trials.run(Trial("flash-crash", SEED, fault, 3))
    assert not outcome.losses
    assert outcome.naive > 100_000


def test_interrupted_trials_say_how_to_go_on(monkeypatch, capsys):
    outcomes = iter([trials.Outcome()])

    def run(trial):
        try:
            return next(outcomes)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(trials, "run", run)
    assert try_faults(SEED, 4, "depeg") == INTERRUPTED
    again = f"ape run fuzz --faults --seed {SEED} --first 5 --only depeg"
    assert again in capsys.readouterr().err
