"""Signed orders: what a trader's program needs to trade (specification, section 6)."""

from itertools import count
from typing import Any, NamedTuple

from ape import chain
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from eth_account.messages import encode_typed_data

TYPES = {
    "account": "uint256",
    "signer": "address",
    "instrument": "uint128",
    "size": "int128",
    "price": "uint128",
    "deadline": "uint64",
    "nonce": "uint64",
    "reduceOnly": "bool",
}
DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


class Order(NamedTuple):
    """Fields of an order as on chain; size and price WAD."""

    account: int
    signer: str
    instrument: int
    size: int
    price: int
    deadline: int
    nonce: int
    reduce_only: bool


def account_of(owner: AccountAPI, sub_id: int = 0) -> int:
    """Id of a sub-account."""
    return int(owner.address, 16) << 8 | sub_id


class OrderDesk:
    """Writes and signs orders for one engine, with a nonce of its own for each."""

    def __init__(self, engine: ContractInstance) -> None:
        self.engine = engine
        self._nonces = count(1)
        self._domain = {
            "name": "Cross Margin Engine",
            "version": "1",
            "chainId": chain.chain_id,
            "verifyingContract": engine.exchange(),
        }

    def order(
        self, owner: AccountAPI, account: int, instrument: int, size: int, price: int, deadline: int
    ) -> Order:
        """Write an order that the owner of the account will sign."""
        nonce = next(self._nonces)
        return Order(account, owner.address, instrument, size, price, deadline, nonce, False)

    def sign(self, owner: AccountAPI, order: Order) -> bytes:
        """Sign an order."""
        message = encode_typed_data(full_message=self.typed_data(order))
        return owner.sign_message(message).encode_rsv()

    def typed_data(self, order: Order) -> dict[str, Any]:
        """Return an order as wallets show and sign it (EIP-712)."""
        return {
            "domain": self._domain,
            "primaryType": "Order",
            "types": {
                "EIP712Domain": DOMAIN,
                "Order": [{"name": name, "type": kind} for name, kind in TYPES.items()],
            },
            "message": dict(zip(TYPES, order, strict=True)),
        }

    def fill(self, maker: AccountAPI, resting: Order, taker: AccountAPI, taking: Order) -> tuple:
        """Arguments of ``matchOrders`` for all that the taker wants."""
        size = abs(taking.size)
        return resting, self.sign(maker, resting), taking, self.sign(taker, taking), size
