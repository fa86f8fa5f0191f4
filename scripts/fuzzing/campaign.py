"""A fuzz campaign: seeded batches, both cores busy, and a minimal case of every disagreement."""

import json
import random
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

Case = Any
Outcome = tuple[bool, bytes]


class Subject(Protocol):
    """One thing that both the contracts and the model compute.

    A case is built of tuples, integers, booleans, strings and bytes, so that it can be kept as
    JSON. An outcome is whether it succeeded, and the encoded result or error.
    """

    name: str
    weight: float
    batch: int

    def draw(self, rng: random.Random, count: int) -> list[Case]:
        """Random cases."""

    def restore(self, plain: tuple) -> Case:
        """Make a case of the plain tuples it was kept as."""

    def ask(self, cases: list[Case]) -> list[Outcome]:
        """What the contracts answer."""

    def expect(self, cases: list[Case]) -> list[Outcome]:
        """What the model answers."""

    def smaller(self, case: Case) -> Iterator[Case]:
        """Simpler cases to try when this one disagrees."""

    def describe(self, outcome: Outcome) -> str:
        """An outcome for a reader."""


@dataclass
class Tally:
    """What happened to one subject."""

    cases: int = 0
    errors: int = 0
    seconds: float = 0.0
    disagreements: list[str] = field(default_factory=list)


def run(
    subjects: list[Subject],
    cases: int,
    seed: int,
    folder: Path,
    *,
    first: int = 0,
    only: str = "",
    quiet: bool = False,
) -> dict[str, Tally]:
    """Compare `cases` outcomes; the n-th batch of a seed is always the same.

    Parameters
    ----------
    subjects
        What to compare; cases are shared out by weight.
    cases
        How many in all.
    seed
        Names the campaign.
    folder
        Where disagreements are kept, one JSON file each.
    first
        Batch to start with, to go on after an interruption.
    only
        How the subjects were chosen, to say how to go on.
    quiet
        Whether to do without the progress bar.
    """
    tallies = {subject.name: Tally() for subject in subjects}
    plan = list(_plan(subjects, cases))
    hidden = quiet or None  # None: unless on a terminal.
    bar = tqdm(total=sum(n for _, _, n in plan), unit=" cases", disable=hidden, smoothing=0.1)
    bar.update(sum(n for _, _, n in plan[:first]))
    done = first
    try:
        with ThreadPoolExecutor(max_workers=1) as chain:
            for subject, batch, count in plan[first:]:
                _compare(chain, subject, batch, count, seed, folder, tallies[subject.name])
                bar.set_postfix_str(subject.name, refresh=False)
                bar.update(count)
                done += 1
    except KeyboardInterrupt:
        again = f"--first {done}" + (f" --only {only}" if only else "")
        tqdm.write(
            f"\nInterrupted. Go on with: make fuzz CASES={cases} SEED={seed} ARGS='{again}'",
            file=sys.stderr,
        )
    bar.close()
    return tallies


class NoKeptCase(Exception):
    """The file holds no case that a subject knows."""


def replay(subjects: list[Subject], file: Path) -> tuple[bool, str]:
    """Run one kept case again: whether both agree now, and both outcomes for a reader.

    Raises
    ------
    NoKeptCase
    """
    try:
        kept = json.loads(file.read_text())
        subject = next(s for s in subjects if s.name == kept["subject"])
        case = subject.restore(_from_json(kept["case"]))
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise NoKeptCase(f"{file} is no kept case: {error!r}") from error
    asked, expected = subject.ask([case])[0], subject.expect([case])[0]
    text = f"{subject.name} {case}\n  contract: {subject.describe(asked)}"
    return asked == expected, f"{text}\n  model:    {subject.describe(expected)}"


def planned(subjects: list[Subject], cases: int, first: int = 0) -> int:
    """Count the cases from a batch on: every kind has a whole number of them, at least one."""
    return sum(count for _, _, count in list(_plan(subjects, cases))[first:])


def generator(seed: int, name: str, batch: int) -> random.Random:
    """Source of randomness of one batch."""
    return random.Random(f"{seed} {name} {batch}")


def _plan(subjects: list[Subject], cases: int) -> Iterator[tuple[Subject, int, int]]:
    """Share the cases out and interleave the subjects evenly."""
    total = sum(subject.weight for subject in subjects)
    planned = []
    for subject in subjects:
        share = max(1, round(cases * subject.weight / total))
        batches = -(-share // subject.batch)
        for batch in range(batches):
            count = min(subject.batch, share - batch * subject.batch)
            planned.append(((batch + 0.5) / batches, subject.name, subject, batch, count))
    for _, _, subject, batch, count in sorted(planned, key=lambda item: item[:2]):
        yield subject, batch, count


def _compare(
    chain: ThreadPoolExecutor,
    subject: Subject,
    batch: int,
    count: int,
    seed: int,
    folder: Path,
    tally: Tally,
) -> None:
    started = time.perf_counter()
    cases = subject.draw(generator(seed, subject.name, batch), count)
    asked = chain.submit(subject.ask, cases)  # the chain's core works while this one does
    expected = subject.expect(cases)
    for index, outcome in enumerate(asked.result()):
        if outcome != expected[index]:
            _keep(subject, cases[index], f"{seed}-{batch}-{index}", folder, tally)
    tally.cases += count
    tally.errors += sum(not ok for ok, _ in expected)
    tally.seconds += time.perf_counter() - started


def _keep(subject: Subject, case: Case, place: str, folder: Path, tally: Tally) -> None:
    """Shrink a disagreement and write it down."""
    case = _shrink(subject, case)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{subject.name}-{place}.json"
    file.write_text(json.dumps({"subject": subject.name, "case": _to_json(case)}, indent=1))
    _, text = replay([subject], file)
    tally.disagreements.append(f"{text}\n  replay:   make fuzz ARGS='--replay {file}'")
    tqdm.write(tally.disagreements[-1])


def _shrink(subject: Subject, case: Case) -> Case:
    """Return the first smaller case that still disagrees, as long as there is one."""
    candidates = subject.smaller(case)
    while (candidate := next(candidates, None)) is not None:
        if subject.ask([candidate]) != subject.expect([candidate]):
            case, candidates = candidate, subject.smaller(candidate)
    return case


def _to_json(value: Case) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_to_json(item) for item in value]
    return value if isinstance(value, bool | str) else int(value)


def _from_json(value: Any) -> Case:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return tuple(_from_json(item) for item in value) if isinstance(value, list) else value
