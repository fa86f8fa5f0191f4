"""Gas of the requirement and of whole transactions, and contract sizes: exact and repeatable.

The work is that of the anchors: one underlying, four expiries, calls and puts, long and short in
turn; every measurement starts cold. The chain's clock is set, so that two runs are identical.
"""

from collections.abc import Callable
from itertools import count

import ape
from ape.api import AccountAPI, ReceiptAPI
from ape.contracts import ContractInstance
from eth_abi import decode

from oracle_mock.market import Ids, Market, Rate, Slice, Snapshot
from oracle_mock.pusher import Pusher
from oracle_mock.surface import Svi
from reference_model.exact import instrument
from reference_model.exact.ledger import MAX_PREDICTIVE_WEIGHT
from reference_model.types import DAY, WAD, MarginMode, Scenario
from scripts._configuration import load_configuration
from scripts._deployment import Deployment, deploy
from scripts._isolation import isolated
from scripts._orders import OrderDesk, account_of
from scripts.benchmarks import market, shortfall

POSITIONS = (1, 4, 8, 16, 32, 64)
HELD = (0, 1, 8, 32)
SETTLED = (8, 32, 64)
START = 2_000_000_000 - 2_000_000_000 % 3600
TENORS_DAYS = (7, 30, 90, 180)
INDEX = 100_000
DEPOSIT = 10**9
CONTRACTS = (
    *("MarginEngine", "SettlementEngine", "LiquidationEngine", "Exchange", "RiskModel"),
    *("Parameters", "ParameterRanges", "LiquidationParameters", "InsuranceFund", "MarginLens"),
    *("OracleHub", "VolatilityEstimator", "PredictiveModel", "Governance"),
)
PPM = 10**6


def grid_of_33() -> list[Scenario]:
    """Eleven price moves by three volatility moves."""
    return [
        Scenario(step * PPM // 3, vol * PPM, PPM) for vol in (1, 0, -1) for step in range(-5, 6)
    ]


class Bench:
    """A deployment with a clock of its own and a trader whose book grows."""

    def __init__(self, deployer: AccountAPI, trader: AccountAPI, dealer: AccountAPI) -> None:
        self.deployer, self.trader, self.dealer = deployer, trader, dealer
        configuration = load_configuration().with_feed()
        # What deployment publishes is in force at the start.
        _set_clock(START - DAY - configuration.global_.ramp_seconds)
        self.deployment: Deployment = deploy(configuration, deployer)
        ape.chain.pending_timestamp = START
        self.engine = self.deployment.margin_engine
        self.parameters = self.deployment.parameters
        self.probe: ContractInstance = deployer.deploy(ape.project.GasProbe)
        self.desk = OrderDesk(self.engine)
        self.expiries = [START + days * DAY for days in TENORS_DAYS]
        self.deployment.list_expiries("BTC", self.expiries, deployer)
        manifest = self.deployment.manifest
        self.ids = Ids(manifest.underlyings, manifest.assets)
        self.account = account_of(trader)
        self._dealers = count()
        self.push(self.snapshot())

    def push(self, snapshot: Snapshot) -> None:
        """Post a market."""
        Pusher(self.deployment.market_data, self.deployer, self.ids).push(snapshot)

    def snapshot(self, settled: bool = False, index: float = INDEX) -> Snapshot:
        """Build a market at the clock's time, all in one piece."""
        now = ape.chain.pending_timestamp
        slices = tuple(
            Slice(expiry, index * 1.01, 0.99, Svi(0.01, 0.05, -0.3, 0.0, 0.2))
            for expiry in self.expiries
            if expiry > now
        )
        market = Market(index, index * 1.0005, 5.0, index, now, slices)
        prices = {("BTC", expiry): INDEX * 1.1 for expiry in self.expiries} if settled else {}
        return Snapshot(now, {"BTC": market}, {"WBTC": Rate(1.0, 1.0, now)}, prices)

    def instrument(self, i: int) -> int:
        """Return the i-th option of the book."""
        strike_e8 = (INDEX * (60 + 5 * (i // 4 % 16)) // 100) * 10**8
        return instrument.option(1, self.expiries[i % 4], strike_e8, i // 2 % 2 == 1)

    def trade(self, instrument_: int, size: int, price: int) -> ReceiptAPI:
        """Let the trader take from a dealer whose account is new."""
        self.new_dealer()
        deadline = START + DAY
        seller = self.desk.order(
            self.dealer, self.dealer_account, instrument_, -size, price, deadline
        )
        buyer = self.desk.order(self.trader, self.account, instrument_, size, price, deadline)
        arguments = self.desk.fill(self.dealer, seller, self.trader, buyer)
        return self.engine.matchOrders(*arguments, sender=self.deployer)

    def deposit(self, owner: AccountAPI, account: int, symbol: str, whole: int) -> ReceiptAPI:
        """Mint and pay in."""
        token = self.deployment.tokens[symbol]
        amount_raw = whole * 10 ** token.decimals()
        token.mint(owner, amount_raw, sender=owner)
        token.approve(self.engine, amount_raw, sender=owner)
        asset = self.deployment.manifest.assets[symbol]
        return self.engine.deposit(account, asset, amount_raw, sender=owner)

    def assess(self) -> int:
        """Execution gas of the requirement of the trader's account, ledger reads included."""
        call = self.deployment.margin_lens.assess.encode_input(self.account)
        data = self.probe.measure.encode_input(self.deployment.margin_lens, call)
        answer = ape.networks.provider.web3.eth.call({"to": self.probe.address, "data": data})
        return decode(["uint256", "bytes"], bytes(answer))[0]

    def new_dealer(self) -> None:
        self.dealer_account = account_of(self.dealer, next(self._dealers))
        self.deposit(self.dealer, self.dealer_account, "USDC", DEPOSIT)


def measure(
    accounts: tuple[AccountAPI, AccountAPI, AccountAPI], step: Callable[[str], None]
) -> dict[str, int]:
    """Gas figures under their keys in ``bench.json``.

    Parameters
    ----------
    accounts
        Deployer, trader and dealer, all new to the chain.
    step
        Told what comes next.
    """
    step("deploying")
    bench = Bench(*accounts)
    figures = {**_sizes(), **_transfers(bench)}
    default = [Scenario(*s) for s in bench.parameters.scenarios()]
    for n in range(1, max(POSITIONS) + 1):
        step(f"book of {n} positions")
        size = (1 - 2 * (n % 2)) * WAD // 10
        receipt = bench.trade(bench.instrument(n - 1), size, 3_000 * WAD)
        if n - 1 in HELD:
            figures[f"gas.trade.{n - 1}"] = receipt.gas_used
        if n in POSITIONS:
            figures |= _requirement(bench, n, default)
        if n in SETTLED:
            figures[f"gas.settle.{n}"] = figures[f"gas.liquidation.settle.{n}"] = _settle(bench)
            figures |= _liquidation(bench, n)
    step("expected shortfall")
    figures |= shortfall.measure(bench.deployment, bench.probe, accounts[0])
    step("market data")
    figures |= market.measure(accounts[0])
    return dict(sorted((figures | _marginal(figures)).items()))


def _marginal(figures: dict[str, int]) -> dict[str, int]:
    """Cost of one more option, all in, and the same for each of its 33 scenarios."""
    more = figures["gas.margin.portfolio.64x33"] - figures["gas.margin.portfolio.1x33"]
    return {"gas.option": round(more / 63), "gas.option_scenario": round(more / 63 / 33)}


def _transfers(bench: Bench) -> dict[str, int]:
    deposit = bench.deposit(bench.trader, bench.account, "USDC", DEPOSIT)
    collateral = bench.deposit(bench.trader, bench.account, "WBTC", 10)
    withdraw = bench.engine.withdraw(bench.account, 0, 10**6, bench.trader, sender=bench.trader)
    return {
        "gas.deposit": deposit.gas_used,
        "gas.deposit.collateral": collateral.gas_used,
        "gas.withdraw": withdraw.gas_used,
    }


def _requirement(bench: Bench, n: int, default: list[Scenario]) -> dict[str, int]:
    figures = _of_all_modes(bench, n, len(default))
    with isolated(ape.chain):
        finer = grid_of_33()
        bench.parameters.setScenarios(finer, sender=bench.deployer)
        ramp = bench.parameters.globalParameters().rampSeconds
        ape.chain.pending_timestamp = ape.chain.blocks.head.timestamp + ramp + 1
        bench.push(bench.snapshot())
        figures |= _of_all_modes(bench, n, len(finer))
    return figures


def _of_all_modes(bench: Bench, n: int, scenarios: int) -> dict[str, int]:
    figures = {}
    for mode in reversed(MarginMode):
        if mode is MarginMode.PREDICTIVE and n > MAX_PREDICTIVE_WEIGHT:
            continue
        bench.engine.setMarginMode(bench.account, mode, sender=bench.trader)
        figures[f"gas.margin.{mode.name.lower()}.{n}x{scenarios}"] = bench.assess()
    return figures


def _settle(bench: Bench) -> int:
    """Gas of settling the whole book after its last expiry; the chain is put back after."""
    with isolated(ape.chain):
        ape.chain.pending_timestamp = bench.expiries[-1] + 3600
        bench.push(bench.snapshot(settled=True))
        gas = bench.engine.settle(bench.account, sender=bench.deployer).gas_used
    return gas


def _liquidation(bench: Bench, n: int) -> dict[str, int]:
    """Gas of starting an auction of the whole book, and of bids for slices of it.

    The book is levered until the next move of the price makes it liquidatable; a bidder has cash
    alone, or has already taken a slice (`bid_held`), or takes all that is left (`bid_full`).
    """
    engine, account, deployer = bench.engine, bench.account, bench.deployer
    rules = bench.deployment.liquidation_parameters.auctionParameters()
    with isolated(ape.chain):
        _lever(bench)
        _move_until(bench, lambda preview: preview.restoringFraction > 0)
        start = engine.startAuction(account, account_of(deployer), sender=deployer)
        bench.new_dealer()
        arguments = account, bench.dealer_account, WAD // 1000, DEPOSIT * WAD
        bids = [engine.bid(*arguments, sender=bench.dealer) for _ in range(2)]
        # When hardly anything is asked for it any more, nothing less than all of it restores it.
        ape.chain.pending_timestamp += rules.fastSeconds + rules.slowSeconds - 900
        _move_until(bench, lambda preview: preview.restoringFraction == WAD)
        bench.new_dealer()
        arguments = account, bench.dealer_account, WAD, DEPOSIT * WAD
        bids.append(engine.bid(*arguments, sender=bench.dealer))
    steps = zip(("start", "bid", "bid_held", "bid_full"), (start, *bids), strict=True)
    return {f"gas.liquidation.{step}.{n}": receipt.gas_used for step, receipt in steps}


def _lever(bench: Bench) -> None:
    """Take out all collateral and nearly all cash that initial margin leaves."""
    asset = bench.deployment.manifest.assets["WBTC"]
    balance_raw = 10 * 10 ** bench.deployment.tokens["WBTC"].decimals()
    bench.engine.withdraw(bench.account, asset, balance_raw, bench.trader, sender=bench.trader)
    portfolio = bench.engine.portfolio(bench.account)
    a = bench.deployment.risk_model.assess(portfolio)
    free = min(a.initialEquity - a.initialMargin, a.collateralEquity) - a.initialMargin // 100
    bench.engine.withdraw(bench.account, 0, free // 10**12, bench.trader, sender=bench.trader)


def _move_until(bench: Bench, is_reached: Callable) -> None:
    """Let the price fall and rise further and further, from where it started."""
    for percent in range(1, 90):
        for sign in (-1, 1):
            bench.push(bench.snapshot(index=INDEX * (1 + sign * percent / 100)))
            if is_reached(bench.engine.auctionOf(bench.account)):
                return
    raise AssertionError("the book stands any price")


def _sizes() -> dict[str, int]:
    """Bytes of deployed code."""
    sizes = {}
    for name in CONTRACTS:
        code = getattr(ape.project, name).contract_type.runtime_bytecode.bytecode
        sizes[f"size.{name}"] = len(code.removeprefix("0x")) // 2
    return {**sizes, "size.largest": max(sizes.values())}


def _set_clock(start: int) -> None:
    """Give every block a second, so that nothing depends on how fast this machine is."""
    provider = ape.networks.provider
    provider.make_request("anvil_setBlockTimestampInterval", [1])
    ape.chain.pending_timestamp = start
