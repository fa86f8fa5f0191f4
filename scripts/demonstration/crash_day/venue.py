"""The chain's side of the crash day: opening in bulk, reading back in bulk."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from ape import networks
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from eth_abi import decode

from oracle_mock.market import to_wad
from reference_model.types import MarginMode, Portfolio
from scripts._orders import Order, account_of
from scripts.demonstration.crash_day.population import HALF_SPREAD, WAD, Holder
from scripts.demonstration.ledger import CASH, DAY, Ledger

# Calls of one transaction: with its share of admission a fill takes about half a million of gas.
DEPOSITS, FILLS, RECORDS = 100, 30, 60
# Units that an order rests for.
PLENTY = 10**6 * WAD


class Trade(NamedTuple):
    """Who buys how much of what; negative is sold."""

    signer: AccountAPI
    account: int
    instrument: int
    size: int


class Cast(NamedTuple):
    """Who acts.

    Attributes
    ----------
    deployer
        Holds all roles.
    sponsor
        Mints tokens, pays them in for others, sends batches.
    market_maker
        The other side of every trade.
    keepers
        Liquidate, each for its own account.
    owners
        Share the accounts among them.
    """

    deployer: AccountAPI
    sponsor: AccountAPI
    market_maker: AccountAPI
    keepers: tuple[AccountAPI, ...]
    owners: tuple[AccountAPI, ...]


class Venue:
    """One deployment with many accounts.

    Parameters
    ----------
    ledger
        The deployment, as the other chapters use it.
    cast
        Who acts.
    holders
        Accounts of the owners before they exist.
    """

    def __init__(self, ledger: Ledger, cast: Cast, holders: Sequence[Holder]) -> None:
        self.ledger, self.cast, self.holders = ledger, cast, holders
        self.engine = ledger.engine
        self.owner = [cast.owners[i % len(cast.owners)] for i in range(len(holders))]
        self.accounts = [
            account_of(owner, i // len(cast.owners)) for i, owner in enumerate(self.owner)
        ]
        self.market_maker = account_of(cast.market_maker)
        self.keepers = [account_of(keeper) for keeper in cast.keepers]

    @property
    def everyone(self) -> list[int]:
        """All accounts that exist."""
        return [*self.accounts, *self.keepers, self.market_maker]

    # ----------------------------------------------------------------------------------- opening

    def choose_modes(self) -> None:
        """Let every owner choose the margin modes of its accounts, in one transaction."""
        for owner in self.cast.owners:
            calls = [
                self.engine.setMarginMode.encode_input(account, holder.mode)
                for holder, account, of in zip(self.holders, self.accounts, self.owner, strict=True)
                if of is owner and holder.mode is not MarginMode.PORTFOLIO
            ]
            if calls:
                send(owner, self.engine, "batch", calls)

    def pay_in(self, deposits: Sequence[tuple[int, int, float]]) -> None:
        """Mint whole tokens (account, asset, amount) and pay them in, a batch per transaction.

        Owners let the sponsor, for nobody else pays collateral into an account that has none.
        """
        for owner in self.cast.owners:
            send(owner, self.engine, "setOperator", self.cast.sponsor.address, 2**256 - 1)
        tokens = {number: symbol for symbol, number in self.ledger.ids.assets.items()}
        totals: dict[int, int] = defaultdict(int)
        calls = []
        for account, asset, amount in deposits:
            amount_raw = round(amount * self.unit(tokens[asset]))
            totals[asset] += amount_raw
            calls.append(self.engine.deposit.encode_input(account, asset, amount_raw))
        for asset, amount_raw in totals.items():
            self.fund(tokens[asset], self.engine.address, amount_raw)
        self._batches(calls, DEPOSITS)

    def fund(self, symbol: str, spender: str, amount_raw: int) -> None:
        """Mint tokens for the sponsor, for a contract to take."""
        token, sponsor = self.ledger.deployment.tokens[symbol], self.cast.sponsor
        send(sponsor, token, "mint", sponsor.address, amount_raw)
        send(sponsor, token, "approve", spender, amount_raw)

    def trade(self, trades: Sequence[Trade], fair: dict[int, float], now: int) -> None:
        """Fill signed orders against those of the market maker, many in a transaction.

        The maker rests one order on each side of every instrument, large enough for all.
        """
        makers = {
            side: self._order(self.cast.market_maker, self.market_maker, *side, fair, now)
            for side in {(trade.instrument, trade.size > 0) for trade in trades}
        }
        takers = [
            self.ledger.desk.order(
                *(trade.signer, trade.account, trade.instrument, trade.size),
                *(makers[trade.instrument, trade.size > 0].price, now + DAY),
            )
            for trade in trades
        ]
        signed = dict(zip(makers, self._signatures(list(makers.values())), strict=True))
        calls = []
        for taker, signature in zip(takers, self._signatures(takers), strict=True):
            side = taker.instrument, taker.size > 0
            arguments = makers[side], signed[side], taker, signature, abs(taker.size)
            calls.append(self.engine.matchOrders.encode_input(*arguments))
        self._batches(calls, FILLS)

    def borrow(self) -> None:
        """Let every owner take out what its accounts owe, in one transaction."""
        for owner in self.cast.owners:
            calls = [
                self.engine.withdraw.encode_input(
                    account, 0, round(-holder.cash * self.unit(CASH)), owner
                )
                for holder, account, of in zip(self.holders, self.accounts, self.owner, strict=True)
                if of is owner and holder.cash < 0
            ]
            if calls:
                send(owner, self.engine, "batch", calls)

    def unit(self, symbol: str) -> int:
        """Smallest units of a whole token."""
        return 10 ** self.ledger.deployment.tokens[symbol].decimals()

    def _order(
        self,
        maker: AccountAPI,
        account: int,
        instrument: int,
        is_bought: bool,
        fair: dict[int, float],
        now: int,
    ) -> Order:
        """Rest an order for those who buy, or sell, an instrument."""
        price = fair[instrument] * (1 + HALF_SPREAD * (1 if is_bought else -1))
        size = -PLENTY if is_bought else PLENTY
        return self.ledger.desk.order(
            maker, account, instrument, size, to_wad(round(price, 4)), now + DAY
        )

    def _signatures(self, orders: Sequence[Order]) -> list[bytes]:
        """Have the node, which holds the keys of its test accounts, sign orders."""
        desk = self.ledger.desk
        found = ask_many(
            [
                ("eth_signTypedData_v4", [each.signer, _json(desk.typed_data(each))])
                for each in orders
            ]
        )
        return [bytes.fromhex(each[2:]) for each in found]

    def _batches(self, calls: Sequence[bytes], at_a_time: int) -> None:
        for first in range(0, len(calls), at_a_time):
            send(self.cast.sponsor, self.engine, "batch", calls[first : first + at_a_time])

    def record_all(self) -> None:
        """Have the status of every account recorded as it is now."""
        calls = [self.engine.updateStatus.encode_input(account) for account in self.everyone]
        self._batches(calls, RECORDS)

    # ----------------------------------------------------------------------------------- reading

    def portfolios(self, accounts: Sequence[int]) -> list[Portfolio]:
        """Accounts as the risk model is given them."""
        rows = call_many(self.engine, "portfolio", [(account,) for account in accounts])
        return [Portfolio(*row) for (row,) in rows]


def send(sender: AccountAPI, contract: ContractInstance, name: str, *arguments: Any) -> int:
    """Send a transaction from an account whose key the node holds; return the gas it took.

    Much faster than by ape, which signs, estimates and traces.
    """
    web3 = networks.provider.web3
    transaction = {
        "from": sender.address,
        "to": contract.address,
        "data": getattr(contract, name).encode_input(*arguments),
        "gas": web3.eth.get_block("latest")["gasLimit"],
    }
    sent = web3.eth.send_transaction(transaction)
    receipt = web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)
    if not receipt["status"]:
        web3.eth.call(transaction)  # Raises what the transaction was refused with.
        raise RuntimeError(f"{name} was refused")
    return receipt["gasUsed"]


def call_many(contract: ContractInstance, name: str, arguments: Sequence[tuple]) -> list[tuple]:
    """Call one view with many arguments, one request to the node; structs come back as tuples."""
    method = getattr(contract, name)
    (abi,) = (abi for abi in contract.contract_type.view_methods if abi.name == name)
    kinds = [parameter.canonical_type for parameter in abi.outputs]
    requests = [
        ("eth_call", [{"to": contract.address, "data": _hex(method.encode_input(*each))}, "latest"])
        for each in arguments
    ]
    return [decode(kinds, bytes.fromhex(each[2:])) for each in ask_many(requests)]


def ask_many(requests: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Results of many requests to the node, sent as one."""
    if not requests:
        return []
    responses = networks.provider.web3.provider.make_batch_request(list(requests))
    failed = next((each for each in responses if "error" in each), None)
    if failed:
        raise RuntimeError(f"the node refused: {failed['error']}")
    return [each["result"] for each in responses]


def _json(typed_data: dict[str, Any]) -> dict[str, Any]:
    """Write the integers of a message as text: they do not fit the numbers of JSON."""
    message = {
        name: str(value) if type(value) is int else value
        for name, value in typed_data["message"].items()
    }
    return typed_data | {"message": message}


def _hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()
