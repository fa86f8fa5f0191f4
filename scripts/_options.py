"""Kinds of options that commands share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class Number(click.FloatRange):
    """A number in a range; ``nan``, which no bound holds and no limit stops, is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail with what is wrong with it."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"'{value}' is no number.", param, ctx)
        return number


def out_option(default: Path, text: str) -> Callable:
    """Let the caller name the folder that a command writes to."""
    return click.option(
        "--out",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help=text,
    )
