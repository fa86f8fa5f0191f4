"""The keepers of the crash day: those of `ape run keeper`, each with its own book and terms."""

from pathlib import Path
from typing import Any, NamedTuple

from ape.api import AccountAPI
from ape.contracts import ContractInstance
from web3.exceptions import ContractLogicError

from scripts._deployment import Deployment
from scripts.demonstration.crash_day.venue import send
from scripts.keeping.chain import Call, Chain
from scripts.keeping.checkpoint import Checkpoint
from scripts.keeping.follower import follower
from scripts.keeping.hand import Attempt, Hand, Limits
from scripts.keeping.market import MarketReader
from scripts.keeping.pricing import Terms
from scripts.keeping.telemetry import Metrics
from scripts.keeping.watch import Keeper, Settings

UNLIMITED = 1e12


class Profile(NamedTuple):
    """Who a keeper is.

    Attributes
    ----------
    capital
        USD for each account of the owners.
    inventory
        Perpetuals it holds when the day begins, USD by symbol for each account of the owners;
        negative is sold.
    risk_rate
        USD it wants for each USD that its initial margin grows.
    """

    name: str
    capital: int
    inventory: dict[str, int]
    risk_rate: float


PROFILES = (
    Profile("short when it began", 20_000, {"BTC": -4_000, "ETH": -4_000}, 0.15),
    Profile("without positions", 50_000, {}, 0.05),
)


class QuickHand(Hand):
    """Sends as the node's own accounts can, without signing, tracing and a price of gas.

    Ten times as fast; what is tried and sent is the same.

    Attributes
    ----------
    refused
        Transactions that the chain refused.
    """

    refused: int = 0

    def _gas_of(self, call: Call, address: str | None) -> int:
        return 0

    def gas_usd(self, gas: int) -> float:
        """Gas costs nothing here."""
        return 0.0

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
            send(self.sender, contract, name, *arguments)
        except ContractLogicError:
            self.refused += 1
            return "failed"
        return "done"


def hire(
    connection: Chain,
    deployment: Deployment,
    signer: AccountAPI,
    account: int,
    profile: Profile,
    folder: Path,
) -> Keeper:
    """Set up a keeper; what it remembers goes into a folder."""
    engine = deployment.margin_engine
    checkpoint = Checkpoint(folder / f"{account:x}.sqlite", engine.address)
    metrics = Metrics()
    return Keeper(
        connection,
        engine,
        follower(connection, deployment, checkpoint, (account,), first_block=0),
        MarketReader(connection, deployment),
        QuickHand(
            *(connection, checkpoint, metrics, signer, True),
            *(Limits(UNLIMITED, UNLIMITED), 0.0),
        ),
        metrics,
        Terms(risk_rate=profile.risk_rate, max_size=UNLIMITED, max_payment=UNLIMITED),
        Settings(account),
    )
