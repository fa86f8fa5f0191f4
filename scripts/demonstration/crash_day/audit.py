"""Whether the books balance: everything is counted on chain, and every sum must be exact."""

from collections import Counter
from typing import Any, NamedTuple

from ape.contracts import ContractInstance

from reference_model.exact import position
from reference_model.types import WAD
from scripts.demonstration.crash_day.events import Events
from scripts.demonstration.crash_day.venue import Venue, call_many
from scripts.demonstration.ledger import CASH

STATUS = ("healthy", "margin call", "liquidatable", "insolvent", "in auction", "recovering")
SOLVENT = ("healthy", "margin call")


class Check(NamedTuple):
    """One thing that must hold, and what was found."""

    what: str
    found: str
    holds: bool


class Opening(NamedTuple):
    """What the waterfall could draw on: WAD, and raw tokens."""

    fees: int
    fund_raw: int


class Paid(NamedTuple):
    """Sums of all slices sold, WAD; tokens that left the fund, raw."""

    received: int
    from_fees: int
    from_fund: int
    socialised: int
    left_fund_raw: int


def take(venue: Venue, fund: ContractInstance) -> Opening:
    """Count what the waterfall can draw on."""
    return Opening(venue.engine.cashState().fees, fund.totalAssets())


def check(venue: Venue, fund: ContractInstance, before: Opening) -> list[Check]:
    """Check accounts, cash, positions, collateral, protocol capital and insurance fund."""
    paid, after = _paid(venue, fund), take(venue, fund)
    unit = WAD // venue.unit(CASH)
    drawn = paid.from_fees + paid.from_fund + paid.socialised
    surplus = paid.left_fund_raw * unit - paid.from_fund
    return [
        _statuses(venue),
        _zero("pending loss", venue.engine.pendingLoss()),
        _zero(
            "cash of all accounts + pools + fees + interest pool − cash held",
            venue.ledger.unaccounted_cash(venue.everyone),
        ),
        *_positions(venue),
        *_tokens(venue),
        _zero("paid to bidders − protocol capital − fund − socialised", paid.received - drawn),
        _zero(
            "protocol capital: before − paid + rounding of the fund − after",
            before.fees - paid.from_fees + surplus - after.fees,
        ),
        _zero(
            "insurance fund: before − paid − after",
            (before.fund_raw - paid.left_fund_raw - after.fund_raw) * unit,
        ),
    ]


def _zero(what: str, value: int) -> Check:
    return Check(what, f"{value} wei", value == 0)


def _statuses(venue: Venue) -> Check:
    """Recorded status and the lens's present judgement of every account."""
    recorded = [STATUS[row[0]] for row in call_many(venue.engine, "statusOf", _each(venue))]
    lens = venue.ledger.deployment.margin_lens
    ((assessments,),) = call_many(lens, "assessMany", [(venue.everyone,)])
    sound = all(equity >= maintenance for equity, _, _, maintenance, *_ in assessments)
    counts = Counter(recorded)
    closed = sum(
        not each.positions and not each.collateral for each in venue.portfolios(venue.everyone)
    )
    text = ", ".join(f"{counts[name]} {name}" for name in STATUS if counts[name])
    text += f"; {closed} hold cash or nothing"
    return Check("every account solvent or closed", text, sound and set(counts) <= set(SOLVENT))


def _positions(venue: Venue) -> list[Check]:
    """Sizes of every instrument add up to nothing, and open interest is what is held."""
    sizes: Counter[int] = Counter()
    held: Counter[int] = Counter()
    for (slots,) in call_many(venue.engine, "positionsOf", _each(venue)):
        for slot in slots:
            instrument, size = position.instrument(slot), position.size(slot)
            sizes[instrument] += size
            held[instrument >> 120] += abs(size)
    recorded = {u: venue.engine.marketState(u).openInterest for u in held}
    different = sum(abs(recorded[u] - held[u]) for u in held)
    return [
        _zero(f"sizes, over {len(sizes)} instruments", sum(map(abs, sizes.values()))),
        _zero("open interest recorded − positions held", different),
    ]


def _tokens(venue: Venue) -> list[Check]:
    """Tokens the engine has are what it owes."""
    ids, tokens = venue.ledger.ids, venue.ledger.deployment.tokens
    held_raw = tokens[CASH].balanceOf(venue.engine)
    owed_raw = -(-venue.engine.cashState().cashHeld * venue.unit(CASH) // WAD)
    found = held_raw - owed_raw
    rows = [Check(f"{CASH} in the engine − cash held", f"{found} raw", found == 0)]
    for symbol, asset in ids.assets.items():
        total_raw = venue.engine.totalCollateralRaw(asset) if asset else 0
        if total_raw:
            balances = call_many(venue.engine, "collateralOf", [(a, asset) for a in venue.everyone])
            owned_raw = sum(row[0] for row in balances)
            extra = tokens[symbol].balanceOf(venue.engine) - total_raw, total_raw - owned_raw
            text = f"{extra[0]} and {extra[1]} raw"
            rows.append(Check(f"{symbol}: tokens − total, total − balances", text, extra == (0, 0)))
    return rows


def _paid(venue: Venue, fund: ContractInstance) -> Paid:
    """What the events say that was paid."""
    slices = [each.values for each in Events(venue.engine, ("SliceSold",)).since_last()]
    covered = [each.values for each in Events(fund, ("LossCovered",)).since_last()]

    def total(name: str) -> int:
        return sum(each[name] for each in slices)

    return Paid(
        sum(max(-each["payment"], 0) for each in slices),
        *(total(name) for name in ("fromFees", "fromFund", "socialised")),
        sum(each["paidRaw"] for each in covered),
    )


def _each(venue: Venue) -> list[tuple[Any, ...]]:
    return [(account,) for account in venue.everyone]
