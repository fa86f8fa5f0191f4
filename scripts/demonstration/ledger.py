"""The demonstration's hand on the chain: accounts, signed orders, settlement, reading back."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ape import networks
from ape.api import AccountAPI, ReceiptAPI
from ape.contracts import ContractInstance
from eth_abi import decode
from eth_utils import keccak

from oracle_mock.market import Ids, Snapshot, to_wad
from reference_model.types import Assessment as ModelAssessment
from reference_model.types import (
    Breakdown,
    Portfolio,
    PredictiveBreakdown,
    UnderlyingBreakdown,
)
from scripts._deployment import Deployment
from scripts._orders import OrderDesk, account_of
from scripts.demonstration.books import Book, Leg

WAD = 10**18
CASH = "USDC"
DAY = 86_400
TRANSACTION_GAS = 21_000
HEADERS_SLOT = 4


class Actors(NamedTuple):
    """Who acts: all books are sub-accounts of the trader, the other side is the market maker."""

    deployer: AccountAPI
    trader: AccountAPI
    market_maker: AccountAPI
    matcher: AccountAPI


class Ledger:
    """One deployment, and what the demonstration does with it.

    Parameters
    ----------
    deployment
        Contracts.
    actors
        Accounts with gas.
    moved_seconds
        By how much all times of the market are later on the chain.
    """

    def __init__(self, deployment: Deployment, actors: Actors, moved_seconds: int) -> None:
        self.deployment = deployment
        self.engine = deployment.margin_engine
        self.actors = actors
        self.moved_seconds = moved_seconds
        self.ids = Ids(deployment.manifest.underlyings, deployment.manifest.assets)
        self.gas: dict[str, int] = {}
        self.desk = OrderDesk(self.engine)

    # ------------------------------------------------------------------------------------ actions

    def deposit(self, owner: AccountAPI, account: int, symbol: str, amount: int) -> None:
        """Mint whole tokens and pay them into an account."""
        token = self.deployment.tokens[symbol]
        amount_raw = amount * 10 ** token.decimals()
        token.mint(owner, amount_raw, sender=owner)
        token.approve(self.engine, amount_raw, sender=owner)
        asset = self.ids.assets[symbol]
        receipt = self.engine.deposit(account, asset, amount_raw, sender=owner)
        self._note("deposit", receipt)

    def open(self, book: Book, account: int, snapshot: Snapshot) -> None:
        """Pay in, trade all legs in one batch against the market maker, borrow."""
        trader = self.actors.trader
        for symbol, amount in {CASH: book.cash, **book.collateral}.items():
            if amount:
                self.deposit(trader, account, symbol, amount)
        fills = [self._fill(leg, account, snapshot) for leg in book.legs]
        receipt = self.engine.batch(fills, sender=self.actors.matcher)
        self._note(f"batch of {len(fills)} trade{'s' * (len(fills) > 1)}", receipt)
        if book.borrowed:
            amount_raw = book.borrowed * 10 ** self.deployment.tokens[CASH].decimals()
            receipt = self.engine.withdraw(account, 0, amount_raw, trader, sender=trader)
            self._note("withdraw", receipt)

    def settle(self, accounts: Iterable[int]) -> None:
        """Turn profit, loss and expired positions of accounts into cash, in one transaction."""
        calls = [self.engine.settle.encode_input(account) for account in accounts]
        receipt = self.engine.batch(calls, sender=self.actors.matcher)
        self._note(f"settle {len(calls)} accounts", receipt)

    def _fill(self, leg: Leg, account: int, snapshot: Snapshot) -> bytes:
        """Encode a fill of two signed orders: the market maker's, which rests, and the trader's."""
        trader, maker = self.actors.trader, self.actors.market_maker
        instrument = leg.instrument(self.ids.underlyings[leg.underlying], self.moved_seconds)
        price = to_wad(round(leg.quote(snapshot, self.moved_seconds), 4))
        size, deadline = leg.size * WAD, snapshot.time + DAY
        resting = self.desk.order(maker, account_of(maker), instrument, -size, price, deadline)
        taking = self.desk.order(trader, account, instrument, size, price, deadline)
        arguments = self.desk.fill(maker, resting, trader, taking)
        return self.engine.matchOrders.encode_input(*arguments)

    def _note(self, what: str, receipt: ReceiptAPI) -> None:
        self.gas[what] = max(receipt.gas_used, self.gas.get(what, 0))

    # ------------------------------------------------------------------------------------- views

    def breakdowns(self, accounts: Sequence[int]) -> list[Breakdown]:
        """Every account's requirement with all its parts, by one call of the lens."""
        (rows,) = call(self.deployment.margin_lens, "breakdownMany", list(accounts))
        return [to_breakdown(row) for row in rows]

    def portfolios(self, accounts: Sequence[int]) -> list[Portfolio]:
        """Every account as the risk model is given it."""
        rows = [call(self.engine, "portfolio", account)[0] for account in accounts]
        return [Portfolio(*row) for row in rows]

    def measure_requirement(self, name: str, account: int) -> None:
        """Note the gas of assessing an account, without that of a transaction around it."""
        lens = self.deployment.margin_lens
        request = {"to": lens.address, "data": lens.assess.encode_input(account)}
        gas = networks.provider.web3.eth.estimate_gas(request) - TRANSACTION_GAS
        self.gas[f"requirement of {name}"] = gas

    def unaccounted_cash(self, accounts: Sequence[int]) -> int:
        """Σ cash + pools + fees + interest pool − cash held: zero (specification, section 4).

        Cash is read from storage, where interest since an account was last touched is not in it.
        """
        state = self.engine.cashState()
        pools = sum(self.engine.marketState(u).pnlPool for u in self.ids.underlyings.values())
        cash = sum(self._stored_cash(account) for account in accounts)
        return cash + pools + state.fees + state.interestPool - state.cashHeld

    def _stored_cash(self, account: int) -> int:
        """Low 104 bits of the account's header, in the engine's mapping of headers."""
        slot = keccak(account.to_bytes(32) + HEADERS_SLOT.to_bytes(32))
        word = networks.provider.get_storage(self.engine.address, int.from_bytes(slot))
        cash = int.from_bytes(word) % 2**104
        return cash - 2**104 if cash >= 2**103 else cash


def call(contract: ContractInstance, name: str, *arguments: Any) -> tuple:
    """Call a view of the latest block; structs come back as plain tuples."""
    method = getattr(contract, name)
    (abi,) = (abi for abi in contract.contract_type.view_methods if abi.name == name)
    request = {"to": contract.address, "data": method.encode_input(*arguments)}
    data = networks.provider.web3.eth.call(request)
    return decode([parameter.canonical_type for parameter in abi.outputs], bytes(data))


def to_breakdown(row: tuple) -> Breakdown:
    """Give a decoded struct the names of the model's."""
    assessment, *totals, predictive, underlyings = row
    return Breakdown(
        ModelAssessment(*assessment),
        *totals,
        PredictiveBreakdown(*predictive),
        tuple(UnderlyingBreakdown(*u) for u in underlyings),
    )
