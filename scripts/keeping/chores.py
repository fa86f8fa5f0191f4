"""What anyone may do for a deployment: settle what has expired, accrue interest and funding."""

from collections.abc import Iterable, Sequence

import structlog
from ape.contracts import ContractInstance

from scripts.keeping.chain import Chain, Head, Method, Refusal
from scripts.keeping.fleet import Fleet
from scripts.keeping.hand import Hand

log = structlog.get_logger()


def expired(fleet: Fleet, chain: Chain, settlement_price: Method, head: Head) -> list[int]:
    """Accounts with a position whose settlement price is known and not yet settled."""
    past = sorted(
        (u, expiry) for u, expiry in fleet.instruments.expiries if 0 < expiry <= head.timestamp
    )
    prices = chain.read_many([settlement_price(*key) for key in past], head.number)
    final = set()
    for key, price in zip(past, prices, strict=True):
        if not isinstance(price, Refusal) and price[0]:
            final.add(key)
        else:
            log.info("no settlement price yet", underlying=key[0], expiry=key[1])
    return [
        account
        for account in fleet.accounts
        if any(
            (word >> 120, word >> 88 & 0xFFFFFFFF) in final
            for word, _, _ in fleet[account].positions
        )
    ]


def settle(
    hand: Hand, engine: ContractInstance, accounts: Sequence[int], at_once: int
) -> list[str]:
    """Settle accounts, several in one transaction; one by one where that is refused."""
    outcomes = []
    for start in range(0, len(accounts), at_once):
        group = accounts[start : start + at_once]
        calls = [engine.settle.encode_input(account) for account in group]
        attempt = hand.attempt(engine, "batch", calls)
        if not attempt.is_refused:
            facts = {"accounts": len(group)}
            outcomes.append(hand.send(engine, "batch", (calls,), attempt, **facts))
        elif len(group) > 1:
            outcomes += settle(hand, engine, group, 1)
        else:
            log.error("not settled", account=hex(group[0]), reason=str(attempt.result))
            outcomes.append("refused")
    return outcomes


def accrue(hand: Hand, engine: ContractInstance, underlyings: Iterable[int]) -> list[str]:
    """Accrue interest, and the funding of underlyings."""
    outcomes = []
    for underlying in underlyings:
        attempt = hand.attempt(engine, "accrue", underlying)
        if isinstance(attempt.result, Refusal):
            log.error("not accrued", underlying=underlying, reason=str(attempt.result))
            outcomes.append("refused")
        else:
            outcomes.append(
                hand.send(engine, "accrue", (underlying,), attempt, underlying=underlying)
            )
    return outcomes
