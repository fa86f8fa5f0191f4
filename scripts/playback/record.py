"""What was seen on the way: kept between runs, written as a table, said in a few lines."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from oracle_mock import catalogue
from scripts._deployment import DeploymentError
from scripts._running import writing
from scripts.playback.player import Progress, Settings

COLUMNS = ("truth", "price", "confidence", "stable", "mark", "disputed", "age")


def save(progress: Progress, path: Path) -> None:
    """Keep a run, so that it can go on."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(progress)) + "\n", encoding="utf-8")
        draft.replace(path)


def load(path: Path) -> Progress:
    """Read a run that was kept."""
    try:
        progress = Progress(**json.loads(path.read_text(encoding="utf-8")))
        settings = Settings.of(progress.settings)
        catalogue.build(settings.path, settings.seed)
        Path(progress.manifest)
        return progress
    except OSError as error:
        raise DeploymentError(
            f"nothing to resume at {path} ({error.strerror}): start a run without --resume"
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DeploymentError(f"{path} cannot be resumed ({error}): start anew") from error


def write_table(progress: Progress, path: Path) -> None:
    """Write what was seen as CSV, one line for each step and watched price."""
    count = max((len(row["sources"]) for row in progress.rows), default=0)
    with writing(path), path.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        numbered = [f"source_{number}" for number in range(1, count + 1)]
        writer.writerow(["time", "name", *numbered, *COLUMNS])
        for row in progress.rows:
            said = [*row["sources"], *[None] * (count - len(row["sources"]))]
            values = [row[column] for column in COLUMNS]
            writer.writerow([row["time"], row["name"], *said, *values])


def names(progress: Progress) -> list[str]:
    """Watched prices in the order of their first row."""
    return list(dict.fromkeys(row["name"] for row in progress.rows))


def summary(progress: Progress) -> str:
    """Say what became of each watched price."""
    lines = [f"{'':<12}{'worst source':>14}{'price off by':>14}{'confidence':>12}"]
    lines[0] += f"{'disputed':>10}{'oldest':>9}"
    for name in names(progress):
        rows = [row for row in progress.rows if row["name"] == name]
        worst = max(
            (abs(s / row["truth"] - 1) for row in rows for s in row["sources"] if s is not None),
            default=0.0,
        )
        off = max(abs(row["price"] / row["truth"] - 1) for row in rows)
        width = max(row["confidence"] / row["price"] if row["price"] else 0.0 for row in rows)
        disputed = sum(row["disputed"] for row in rows)
        age = max(row["age"] for row in rows)
        lines += [
            f"{name:<12}{worst:>14.1%}{off:>14.1%}{width:>12.1%}{disputed:>10}{age:>8}s",
        ]
    lines += [f"{times:>6} × refused, {what}" for what, times in sorted(progress.refused.items())]
    return "\n".join(lines)
