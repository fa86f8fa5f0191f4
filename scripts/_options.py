"""Kinds of options that commands share."""

import math
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
