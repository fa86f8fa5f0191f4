"""The study around the simulation: its runs, its progress, its tables and its picture."""

import csv
import itertools
from dataclasses import asdict

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reference_model.cascade.policies import Policy
from reference_model.cascade.simulation import Outcome, World
from scripts import cascade
from scripts.cascading import figure, study
from scripts.cascading.study import Case, Progress, Settings, Summary

TINY = Settings(seed=3, accounts=60, seeds=2)


def played(progress, count):
    """Go on with a study for some runs."""
    for _ in itertools.islice(study.play(progress), count):
        pass
    return progress


def test_a_study_that_was_interrupted_ends_like_one_that_was_not(tmp_path):
    whole = played(Progress(asdict(TINY)), 6)
    part = played(Progress(asdict(TINY)), 4)
    part.save(tmp_path / "out" / "progress.json")
    resumed = played(Progress.load(tmp_path / "out" / "progress.json"), 2)
    assert resumed == whole and len(whole.rows) == 6


def test_points_are_distinct_and_every_one_is_played_with_several_seeds():
    runs = study.runs(Settings())
    points = {case for case, _, _ in runs}
    assert len({(case, seed) for case, seed, _ in runs}) == len(runs)
    assert len(list(study.plans(Settings()))) == len(points)
    assert min(plan.seeds for _, _, plan in runs) >= 2


def test_sweeps_leave_the_default_to_the_runs_of_the_policies():
    for whole, sweeps in ((Policy(), study.POLICY_SWEEPS), (World(), study.WORLD_SWEEPS)):
        for name, values in sweeps.items():
            assert all(study.changed(whole, name, value) != whole for value in values), name
    assert study.POLICIES[study.DEFAULT] == Policy()


def test_differences_are_taken_seed_by_seed():
    def row(part, setting, seed, forced):
        return [part, setting, "0.12", seed, *Outcome(1.0, forced, *[0.0] * 8)]

    rows = [row("policies", study.DEFAULT, seed, 10.0 * seed) for seed in range(4)]
    rows += [row("buffer", "0.5", seed, 10.0 * seed + 1) for seed in range(3)]
    found = study.differences(rows)
    assert list(found) == [Case("buffer", "0.5", "0.12")]
    (summary,) = found.values()
    assert summary.mean["forced"] == 1 and summary.half_width["forced"] == 0


def test_a_field_of_a_field_is_changed_alone():
    world = study.changed(World(), "liquidity.depth", 0.5)
    assert world.liquidity.depth == 0.5
    assert study.changed(world, "liquidity.depth", World().liquidity.depth) == World()


def test_a_replay_passes_through_the_extremes_of_its_day():
    path = study.replay("2025-10-10")
    moves = np.exp(path.log_prices[:, 0].min()) - 1
    assert path.log_prices[0] == pytest.approx([0, 0]) and -0.16 < moves < -0.12
    half = study.replay("2025-10-10", 0.5)
    assert half.log_prices == pytest.approx(path.log_prices / 2)


def test_means_and_confidence_intervals_are_those_of_student():
    forced = [1.0, 2.0, 4.0]
    rows = [
        ["policies", "full", "0.1", seed, *Outcome(2.0, value, *[0.5] * 8)]
        for seed, value in enumerate(forced)
    ]
    summary = study.summarise(rows)[Case("policies", "full", "0.1")]
    assert summary.mean["amplification"] == pytest.approx(np.mean(forced) / 2)
    # The 97.5 % quantile of Student's distribution with two degrees of freedom, from tables.
    half = 4.302653 * np.std(forced, ddof=1) / 3**0.5
    assert summary.half_width["forced"] == pytest.approx(half)
    assert summary.half_width["overshoot"] == 0


def test_tables_hold_every_run_and_every_point(tmp_path):
    progress = played(Progress(asdict(TINY)), 4)
    study.write_tables(progress, tmp_path / "out")
    with (tmp_path / "out" / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [float(row["forced"]) for row in runs] == [row[5] for row in progress.rows]
    with (tmp_path / "out" / "summary.csv").open() as file:
        assert [row["at"] for row in csv.DictReader(file)] == ["0.02", "0.05"]


def test_the_picture_shows_four_panels(tmp_path):
    rng = np.random.default_rng(1)
    summaries = {
        case: Summary(*(dict.fromkeys(study.FIGURES, value) for value in rng.random(2) / 10))
        for case, _ in study.plans(TINY)
    }
    traces = {name: [(0, np.zeros(2)), (60, np.full(2, 0.01))] for name in study.POLICIES}
    figure.write(summaries, traces, "note", tmp_path / "out" / "cascade.png")
    with Image.open(tmp_path / "out" / "cascade.png") as image:
        assert image.width > 1_000 and len(image.convert("RGB").getcolors(1 << 24)) > 20
    swept = {case: each for case, each in summaries.items() if case.part in study.POLICY_SWEEPS}
    text = cascade.table(summaries) + cascade.changes(swept)
    assert "window.capacity" in text
    assert all(name in text for name in study.POLICIES)


def test_there_is_nothing_to_resume_without_an_interrupted_study(tmp_path):
    result = CliRunner().invoke(cascade.cli, ["--resume", "--out", str(tmp_path)])
    assert result.exit_code != 0 and "no interrupted study" in result.output


def test_a_study_that_is_none_of_its_own_is_not_resumed(tmp_path):
    state = tmp_path / "progress.json"
    played(Progress(asdict(TINY)), 2).save(state)
    whole = state.read_text()
    broken = ("{", "[]", '{"settings": {"seed": "x"}}', whole.replace('"seed": 3', '"seed": 4'))
    for text in broken:
        state.write_text(text)
        result = CliRunner().invoke(cascade.cli, ["--resume", "--out", str(tmp_path)])
        assert result.exit_code == 1 and "cannot be resumed" in result.output, text


def test_a_folder_that_cannot_be_written_is_named_before_the_first_run(tmp_path):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(cascade.cli, ["--out", str(tmp_path / "file" / "out")])
    assert result.exit_code == 1 and "cannot be written (Not a directory)" in result.output
