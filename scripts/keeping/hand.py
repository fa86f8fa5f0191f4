"""What a keeper does to the chain: try, send within limits, and say what came of it."""

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog
from ape import networks
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from ape.exceptions import ApeException, TransactionNotFoundError

from scripts.keeping.chain import Call, Chain, NodeError, Refusal, methods
from scripts.keeping.checkpoint import Checkpoint
from scripts.keeping.telemetry import Metrics

DAY = 86_400
GAS_MARGIN = 1.25
# More than a transaction may have (EIP-7825).
TRANSACTION_GAS = 2**24
# Interest and funding that have not accrued when a call is tried may when it is sent.
GAS_OF_ACCRUALS = 100_000
# What one finds who comes too late: another keeper, or the owner, was first.
LOST_RACES = {
    "AlreadyInAuction",
    "DeleveragingNotDue",
    "NoAuction",
    "NothingToDeleverage",
    "NotLiquidatable",
    "SlicePriceNotAcceptable",
    "WindowExhausted",
}

log = structlog.get_logger()


class Limits(NamedTuple):
    """USD that may be spent on payments and gas."""

    per_run: float = 100_000.0
    per_day: float = 250_000.0


class Attempt(NamedTuple):
    """A call tried on the latest state: what came back, or how it is refused; gas and its cost."""

    result: tuple | Refusal
    gas: int
    gas_usd: float

    @property
    def is_refused(self) -> bool:
        return isinstance(self.result, Refusal)

    @property
    def gas_limit(self) -> int:
        """Gas to send it with: some more than it took."""
        return int(self.gas * GAS_MARGIN) + GAS_OF_ACCRUALS

    @property
    def fits(self) -> bool:
        """Whether one transaction may have as much gas."""
        return self.gas_limit <= TRANSACTION_GAS


@dataclass
class Hand:
    """Sends transactions from one account, or only says what it would send.

    Attributes
    ----------
    chain, checkpoint, metrics
        Where it acts, notes its spending, and counts.
    sender
        Account that pays; none in a dry run without one.
    executes
        Whether to send at all.
    limits
        Spending.
    native_usd
        USD per unit of what gas is paid in.
    speaks_for
        Address that calls are tried from in a dry run without an account.
    """

    chain: Chain
    checkpoint: Checkpoint
    metrics: Metrics
    sender: AccountAPI | None
    executes: bool
    limits: Limits
    native_usd: float
    speaks_for: str | None = None
    spent: float = field(default=0.0, init=False)
    _methods: dict[str, Any] = field(default_factory=dict, init=False)

    def attempt(self, contract: ContractInstance, name: str, *arguments: Any) -> Attempt:
        """Try a call as the sender would make it now, without sending it."""
        key = f"{contract.address}{name}"
        if key not in self._methods:
            self._methods[key] = methods(contract)[name]
        call = self._methods[key](*arguments)
        address = self.sender.address if self.sender else self.speaks_for
        (result,) = self.chain.read_many([call], None, address)
        if isinstance(result, Refusal):
            return Attempt(result, 0, 0.0)
        try:
            gas = self._gas_of(call, address)
        except NodeError as error:
            # Somebody acted since the call above, or the sender cannot pay for gas.
            return Attempt(Refusal("", (), str(error)), 0, 0.0)
        return Attempt(result, gas, self.gas_usd(gas))

    def _gas_of(self, call: Call, address: str | None) -> int:
        return int(self.chain.ask("eth_estimateGas", [call.request(address)]), 16)

    def gas_usd(self, gas: int) -> float:
        """Cost of gas at the present price."""
        return gas * int(self.chain.ask("eth_gasPrice", []), 16) / 1e18 * self.native_usd

    def left(self) -> float:
        """USD that may still be spent."""
        today = self.checkpoint.spent(int(time.time()) - DAY)
        return min(self.limits.per_run - self.spent, self.limits.per_day - today)

    def send(
        self,
        contract: ContractInstance,
        name: str,
        arguments: tuple,
        attempt: Attempt,
        *,
        account: int = 0,
        payment_usd: float = 0.0,
        **facts: Any,
    ) -> str:
        """Send what was tried; return what came of it.

        ``would`` in a dry run, ``limit``, ``done``, ``lost`` if somebody was first, ``failed``.

        Parameters
        ----------
        contract, name, arguments
            The call.
        attempt
            What trying it said.
        account
            Whom it concerns, for the record.
        payment_usd
            What it pays besides gas.
        facts
            For the log.
        """
        facts |= {"gas_usd": round(attempt.gas_usd, 4), "payment_usd": round(payment_usd, 2)}
        if account:
            facts["account"] = hex(account)
        cost = max(payment_usd, 0.0) + attempt.gas_usd
        if cost > self.left():
            outcome = "limit"
            log.warning(f"{name}: over the limit of spending", left_usd=self.left(), **facts)
        elif not self.executes or self.sender is None:
            outcome = "would"
            self.spent += cost  # So that a dry run shows where the limit would stop it.
            log.info(f"would {name}", **facts)
        else:
            outcome = self._transact(contract, name, arguments, attempt, account, cost, facts)
        self.metrics.actions.labels(name, outcome).inc()
        return outcome

    def _transact(
        self,
        contract: ContractInstance,
        name: str,
        arguments: tuple,
        attempt: Attempt,
        account: int,
        cost: float,
        facts: dict[str, Any],
    ) -> str:
        try:
            receipt = getattr(contract, name)(
                *arguments,
                sender=self.sender,
                gas_limit=attempt.gas_limit,
                raise_on_revert=False,
            )
        except TransactionNotFoundError as error:
            # It was sent and may yet be mined: what it was to cost counts as spent.
            self._note(name, account, attempt.gas_usd, cost, "")
            log.error(f"{name}: in no block in time", error=str(error), **facts)
            return "failed"
        except ApeException as error:
            log.error(f"{name}: not sent", error=str(error), **facts)
            return "failed"
        except Exception as error:
            # What fails while ape explains a transaction, or on the way, says not whether it was
            # sent: it counts as spent too.
            self._note(name, account, attempt.gas_usd, cost, "")
            log.error(f"{name}: fate unknown", error=f"{type(error).__name__}: {error}", **facts)
            return "failed"
        gas_usd = receipt.gas_used * receipt.gas_price / 1e18 * self.native_usd
        facts |= {"transaction": receipt.txn_hash, "gas_usd": round(gas_usd, 4)}
        spent = gas_usd + (0.0 if receipt.failed else cost - attempt.gas_usd)
        self._note(name, account, gas_usd, spent, receipt.txn_hash)
        if not receipt.failed:
            log.info(name, **facts)
            return "done"
        reason = self.reason(contract, name, *arguments)
        if isinstance(reason, Refusal) and reason.name in LOST_RACES:
            log.info(f"{name}: somebody was first", reason=str(reason), **facts)
            return "lost"
        log.warning(f"{name}: reverted", reason=str(reason), **facts)
        return "failed"

    def reason(self, contract: ContractInstance, name: str, *arguments: Any) -> tuple | Refusal:
        """Why a call that reverted did: how it is refused now."""
        try:
            return self.attempt(contract, name, *arguments).result
        except NodeError as error:
            return Refusal("", (), str(error))

    def _note(self, name: str, account: int, gas: float, spent: float, transaction: str) -> None:
        self.spent += spent
        self.metrics.spent.labels("gas").inc(gas)
        self.metrics.spent.labels("payments").inc(spent - gas)
        self.checkpoint.spend(int(time.time()), name, account, spent, transaction)


def network_currency() -> str:
    """Symbol of what gas is paid in on the connected network."""
    return networks.provider.network.ecosystem.fee_token_symbol
