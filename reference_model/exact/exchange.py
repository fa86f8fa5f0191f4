"""Signed orders: who signed what, and how much of it is filled.

Source: specification, section 6; ``contracts/interfaces/IExchange.sol``.
"""

from collections.abc import Callable
from hashlib import sha3_256
from typing import NamedTuple, Protocol

from reference_model.exact.errors import (
    InvalidSignature,
    NonceNotIncreasing,
    OrderCancelled,
    OrderExpired,
    OrderOverfilled,
    OrdersDoNotMatch,
    PriceNotAcceptable,
)
from reference_model.exact.events import Event
from reference_model.types import Market

CANCELLED = 2**256 - 1


class Order(NamedTuple):
    """A signed order, field by field that of ``contracts/types/Types.sol``.

    Attributes
    ----------
    account, signer, instrument : int
        Account that trades, address that signed, packed instrument id.
    size : int
        Units, WAD; positive buys.
    price : int
        Limit, USD, WAD.
    deadline : int
        Last second at which the order is valid.
    nonce : int
        Must be at least the account's minimum nonce.
    reduce_only : bool
        Whether the order may only bring the position towards zero.
    """

    account: int
    signer: int
    instrument: int
    size: int
    price: int
    deadline: int
    nonce: int
    reduce_only: bool


class Fill(NamedTuple):
    """Two orders that trade with each other; `taker_size` is signed, units, WAD."""

    maker_account: int
    taker_account: int
    instrument: int
    taker_size: int
    price: int
    maker_reduce_only: bool
    taker_reduce_only: bool


def any_hash(order: Order) -> bytes:
    """Return a hash that tells orders apart, for a model that runs without a chain."""
    return sha3_256(repr(tuple(order)).encode()).digest()


class Fills(Protocol):
    """The part of the state that is the exchange's."""

    filled: dict[bytes, int]
    min_nonce: dict[int, int]


class Ledger(Protocol):
    """What the exchange asks its engine."""

    market: Market
    state: Fills
    events: list[Event]

    def require_authorised(self, account: int, caller: int) -> None:
        """Refuse whoever is neither owner nor operator."""


class Exchange:
    """Checks orders for one engine, in whose state fills and nonces are kept.

    Parameters
    ----------
    engine : Ledger
        Whose accounts, state and time count.
    hash_order : callable
        EIP-712 hash of an order in the domain of the deployed exchange.
    """

    def __init__(self, engine: Ledger, hash_order: Callable[[Order], bytes]) -> None:
        self._engine = engine
        self.hash_order = hash_order

    def match_orders(
        self, maker: Order, maker_signed: bool, taker: Order, taker_signed: bool, size: int
    ) -> Fill:
        """Check two orders and record their fill.

        Parameters
        ----------
        maker, taker : Order
            The maker gives the price.
        maker_signed, taker_signed : bool
            Whether the signature is the signer's, by ECDSA or ERC-1271.
        size : int
            Units, WAD, unsigned.

        Raises
        ------
        OrdersDoNotMatch, PriceNotAcceptable
            Judged first.
        InvalidAccount, NotAuthorised, OrderExpired, OrderCancelled, OrderOverfilled
        InvalidSignature
            Of the maker's order, then of the taker's, in this order.
        """
        hashes = self.hash_order(maker), self.hash_order(taker)
        opposite = maker.size * taker.size < 0
        if maker.instrument != taker.instrument or not opposite or maker.account == taker.account:
            raise OrdersDoNotMatch(*hashes)
        buys = taker.size > 0
        if maker.price > taker.price if buys else maker.price < taker.price:
            raise PriceNotAcceptable(maker.price, taker.price)
        self._fill(maker, hashes[0], maker_signed, size)
        self._fill(taker, hashes[1], taker_signed, size)
        return Fill(
            maker.account,
            taker.account,
            maker.instrument,
            size if buys else -size,
            maker.price,
            maker.reduce_only,
            taker.reduce_only,
        )

    def cancel_order(self, caller: int, order: Order) -> None:
        """Make an order unfillable for ever.

        Raises
        ------
        InvalidAccount, NotAuthorised
        """
        self._engine.require_authorised(order.account, caller)
        order_hash = self.hash_order(order)
        self._engine.state.filled[order_hash] = CANCELLED
        self._engine.events.append(Event("OrderWasCancelled", (order_hash, order.account)))

    def cancel_orders_below(self, caller: int, account: int, min_nonce: int) -> None:
        """Cancel all orders of an account with a nonce below `min_nonce`.

        Raises
        ------
        InvalidAccount, NotAuthorised
        NonceNotIncreasing
            Unless it is above the account's present one.
        """
        self._engine.require_authorised(account, caller)
        current = self.min_nonce(account)
        if min_nonce <= current:
            raise NonceNotIncreasing(account, current, min_nonce)
        self._engine.state.min_nonce[account] = min_nonce
        self._engine.events.append(Event("MinNonceSet", (account, current, min_nonce)))

    def filled(self, order_hash: bytes) -> int:
        """Units filled of an order, WAD; `CANCELLED` if it was cancelled."""
        return self._engine.state.filled.get(order_hash, 0)

    def min_nonce(self, account: int) -> int:
        """Least nonce that an account's orders may have."""
        return self._engine.state.min_nonce.get(account, 0)

    def _fill(self, order: Order, order_hash: bytes, signed: bool, size: int) -> None:
        self._engine.require_authorised(order.account, order.signer)
        if self._engine.market.now > order.deadline:
            raise OrderExpired(order_hash, order.deadline)
        filled = self.filled(order_hash)
        if order.nonce < self.min_nonce(order.account) or filled == CANCELLED:
            raise OrderCancelled(order_hash)
        remaining = abs(order.size) - filled
        if size > remaining:
            raise OrderOverfilled(order_hash, remaining, size)
        if not signed:
            raise InvalidSignature(order_hash, order.signer)
        self._engine.state.filled[order_hash] = filled + size
        self._engine.events.append(Event("OrderFilled", (order_hash, order.account, filled + size)))
