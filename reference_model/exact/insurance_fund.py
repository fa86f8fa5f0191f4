"""Stakers' money that pays for insolvent accounts: an ERC-4626 vault that one leaves slowly.

Owners act for themselves; allowances are not modelled. A refusal is a `ModelError` and leaves the
state as it was.

Source: specification, Liquidation, section 7; ``contracts/interfaces/IInsuranceFund.sol``; the
conversions are those of ERC-4626 with virtual shares.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from reference_model.exact.errors import (
    ERC20InsufficientBalance,
    ERC4626ExceededMaxRedeem,
    ERC4626ExceededMaxWithdraw,
    InsufficientShares,
    OnlyEngine,
)
from reference_model.exact.events import Event
from reference_model.exact.fixed_point import mul_div_down, mul_div_up
from reference_model.exact.parameters import HOUR, require_in_range
from reference_model.types import DAY

VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1


class ExitRequest(NamedTuple):
    """Shares that may leave, and the active time from and up to which they may, seconds."""

    shares: int = 0
    start: int = 0
    until: int = 0


@dataclass
class FundState:
    """Tokens held, shares and requests by owner."""

    assets_raw: int = 0
    shares: dict[int, int] = field(default_factory=dict)
    requests: dict[int, ExitRequest] = field(default_factory=dict)

    def copy(self) -> "FundState":
        """Return an independent copy."""
        return FundState(self.assets_raw, dict(self.shares), dict(self.requests))


class Defaults(Protocol):
    """What the fund asks its engine."""

    address: int

    @property
    def active_time(self) -> int:
        """Seconds of active time at present."""

    def is_loss_pending(self) -> bool:
        """Whether accounts recorded insolvent lack more than dust."""


class InsuranceFund:
    """The vault.

    Parameters
    ----------
    engine : Defaults
        May draw on it.
    cooldown_seconds, exit_window_seconds : int
        Active time between a request and the exit, and for which the exit is open.
    address : int, optional
        Of the vault.

    Raises
    ------
    ParameterOutOfRange
        Unless both are between an hour and 30 days.
    """

    def __init__(
        self, engine: Defaults, cooldown_seconds: int, exit_window_seconds: int, address: int = 1
    ) -> None:
        require_in_range("cooldownSeconds", cooldown_seconds, HOUR, 30 * DAY)
        require_in_range("exitWindowSeconds", exit_window_seconds, HOUR, 30 * DAY)
        self._engine = engine
        self.cooldown_seconds = cooldown_seconds
        self.exit_window_seconds = exit_window_seconds
        self.address = address
        self.state = FundState()
        self.events: list[Event] = []

    # ------------------------------------------------------------------------------------ actions

    def deposit(self, caller: int, assets_raw: int, receiver: int) -> int:
        """Stake tokens; return the shares, Down."""
        shares = self.preview_deposit(assets_raw)
        self._take_in(caller, receiver, assets_raw, shares)
        return shares

    def mint(self, caller: int, shares: int, receiver: int) -> int:
        """Stake for shares; return the tokens, Up."""
        assets_raw = self.preview_mint(shares)
        self._take_in(caller, receiver, assets_raw, shares)
        return assets_raw

    def withdraw(self, caller: int, assets_raw: int, receiver: int) -> int:
        """Leave with tokens; return the shares, Up.

        Raises
        ------
        ERC4626ExceededMaxWithdraw
        """
        most = self.max_withdraw(caller)
        if assets_raw > most:
            raise ERC4626ExceededMaxWithdraw(caller, assets_raw, most)
        shares = self.preview_withdraw(assets_raw)
        self._give_out(caller, receiver, assets_raw, shares)
        return shares

    def redeem(self, caller: int, shares: int, receiver: int) -> int:
        """Leave with shares; return the tokens, Down.

        Raises
        ------
        ERC4626ExceededMaxRedeem
        """
        most = self.max_redeem(caller)
        if shares > most:
            raise ERC4626ExceededMaxRedeem(caller, shares, most)
        assets_raw = self.preview_redeem(shares)
        self._give_out(caller, receiver, assets_raw, shares)
        return assets_raw

    def transfer(self, caller: int, to: int, shares: int) -> None:
        """Hand shares on; a request does not go with them, and falls to what is left.

        Raises
        ------
        ERC20InsufficientBalance
        """
        balance = self.balance_of(caller)
        if shares > balance:
            raise ERC20InsufficientBalance(caller, balance, shares)
        self.state.shares[caller] = balance - shares
        self.state.shares[to] = self.balance_of(to) + shares
        self._lower_request(caller, self.balance_of(caller))
        self.events.append(Event("Transfer", (caller, to, shares)))

    def request_exit(self, caller: int, shares: int) -> None:
        """Ask to leave with shares, replacing an earlier request.

        Raises
        ------
        InsufficientShares
        """
        balance = self.balance_of(caller)
        if shares > balance:
            raise InsufficientShares(shares, balance)
        start = self._engine.active_time + self.cooldown_seconds
        request = ExitRequest(shares, start, start + self.exit_window_seconds)
        self.state.requests[caller] = request
        self.events.append(Event("ExitRequested", (caller, *request)))

    def reward(self, amount_raw: int) -> None:
        """Receive tokens for nothing."""
        self.state.assets_raw += amount_raw

    def cover(self, caller: int, amount_raw: int) -> int:
        """Pay the engine, up to what there is; return the tokens paid.

        Raises
        ------
        OnlyEngine
        """
        if caller != self._engine.address:
            raise OnlyEngine(caller)
        paid_raw = min(amount_raw, self.state.assets_raw)
        self.state.assets_raw -= paid_raw
        self.events.append(Event("LossCovered", (paid_raw,)))
        return paid_raw

    # -------------------------------------------------------------------------------------- views

    def total_assets(self) -> int:
        """Tokens held."""
        return self.state.assets_raw

    def total_supply(self) -> int:
        """All shares."""
        return sum(self.state.shares.values())

    def balance_of(self, owner: int) -> int:
        """Shares of an owner."""
        return self.state.shares.get(owner, 0)

    def exit_request(self, owner: int) -> ExitRequest:
        """Request of an owner."""
        return self.state.requests.get(owner, ExitRequest())

    def max_redeem(self, owner: int) -> int:
        """Shares that may leave now: those asked for, in their time, while no loss is known."""
        request = self.exit_request(owner)
        is_open = request.start <= self._engine.active_time <= request.until
        if self._engine.is_loss_pending() or not is_open:
            return 0
        return min(request.shares, self.balance_of(owner))

    def max_withdraw(self, owner: int) -> int:
        """Tokens that may leave now."""
        return self.preview_redeem(self.max_redeem(owner))

    def preview_deposit(self, assets_raw: int) -> int:
        """Shares for tokens, Down."""
        supply, assets = self._virtual()
        return mul_div_down(assets_raw, supply, assets)

    def preview_mint(self, shares: int) -> int:
        """Tokens for shares, Up."""
        supply, assets = self._virtual()
        return mul_div_up(shares, assets, supply)

    def preview_withdraw(self, assets_raw: int) -> int:
        """Shares for tokens, Up."""
        supply, assets = self._virtual()
        return mul_div_up(assets_raw, supply, assets)

    def preview_redeem(self, shares: int) -> int:
        """Tokens for shares, Down."""
        supply, assets = self._virtual()
        return mul_div_down(shares, assets, supply)

    # --------------------------------------------------------------------------------------------

    def _virtual(self) -> tuple[int, int]:
        """Shares and tokens with the virtual ones, which make inflation too dear."""
        return self.total_supply() + VIRTUAL_SHARES, self.total_assets() + VIRTUAL_ASSETS

    def _take_in(self, caller: int, receiver: int, assets_raw: int, shares: int) -> None:
        self.state.assets_raw += assets_raw
        self.state.shares[receiver] = self.balance_of(receiver) + shares
        self.events.append(Event("Transfer", (0, receiver, shares)))
        self.events.append(Event("Deposit", (caller, receiver, assets_raw, shares)))

    def _give_out(self, owner: int, receiver: int, assets_raw: int, shares: int) -> None:
        self._lower_request(owner, self.exit_request(owner).shares - shares)
        self.state.shares[owner] = self.balance_of(owner) - shares
        self.state.assets_raw -= assets_raw
        self.events.append(Event("Transfer", (owner, 0, shares)))
        self.events.append(Event("Withdraw", (owner, receiver, owner, assets_raw, shares)))

    def _lower_request(self, owner: int, most: int) -> None:
        request = self.exit_request(owner)
        self.state.requests[owner] = request._replace(shares=min(request.shares, most))
