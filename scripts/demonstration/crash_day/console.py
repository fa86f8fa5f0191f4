"""What the crash day says while it runs."""

import click

from scripts.demonstration.crash_day.record import STATUSES, Day, Moment

COLUMN = 11
HEADINGS = ("healthy", "call", "below MM", "for sale", "recovering", "insolvent")


def header(day: Day) -> None:
    """Explain the lines that follow."""
    click.echo(
        f"{len(day.kinds)} accounts, {len(day.predictive)} of them in predictive mode, seed "
        f"{day.seed}; two keepers of `ape run keeper`. Accounts by "
        "status, slices sold so far (million USD), paid so far (thousand USD).\n"
    )
    names = "".join(f"{name:>{COLUMN}}" for name in (*HEADINGS, "slices", "sold", "owners", "fund"))
    click.echo(f"{'UTC':<13}{'BTC':>8}{'ETH':>8}{names}")


def moment(now: Moment, before: Moment) -> None:
    """Print a line every hour, and every ten minutes while anything happens."""
    busy = now.sums.slices > before.sums.slices
    if now.time.minute and not (busy and now.time.minute % 10 == 0):
        return
    prices = "".join(f"{price:>8,.0f}" for price in now.prices.values())
    counts = "".join(f"{now.counts[name] or '·':>{COLUMN}}" for name in STATUSES)
    sums = now.sums
    owners = (sums.discounts + sums.rewards) / 1e3
    fund = (sums.from_fees + sums.from_fund + sums.socialised) / 1e3
    figures = f"{sums.slices:>{COLUMN}}{sums.volume / 1e6:>{COLUMN}.1f}"
    click.echo(
        f"{now.time:%d %b %H:%M} {prices}{counts}{figures}"
        f"{owners:>{COLUMN},.1f}{fund:>{COLUMN},.1f}"
    )


def outcome(day: Day) -> None:
    """Print what came of it, and every check."""
    sums, naive = day.sums, day.naive
    click.echo(
        f"\n{sums.auctions} auctions of {len(day.touched)} accounts, {sums.slices} slices, "
        f"{sums.volume / 1e6:,.1f} million USD sold; selling whole accounts would have sold "
        f"{naive.volume[-1] / 1e6:,.1f} million of {naive.closed.sum()}"
    )
    click.echo(
        f"of the accounts sold {len(day.touched & day.predictive)} were in predictive mode, of "
        f"{len(day.predictive)} that had chosen it"
    )
    for check in day.checks:
        colour, mark = ("green", "ok") if check.holds else ("red", "FAILED")
        click.echo(f"  {check.what}: {check.found} " + click.style(mark, fg=colour))
    click.echo(f"{day.seconds:.0f} seconds, blocks {day.blocks[0]} to {day.blocks[1]}")
