"""An engine with simple surroundings, and the words in which its tests speak of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import Any

import ape
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from reverts import reverts_with

WAD = 10**18
YEAR = 365 * 86_400
CASH, WETH, USDX = 0, 1, 2
ETH, BTC = 1, 2
PORTFOLIO, ISOLATED, PREDICTIVE = 0, 1, 2
FOREVER = 2**64 - 1
CANCELLED = 2**256 - 1

GLOBAL = {
    "maintenanceFactor": WAD,
    "initialFactor": WAD,
    "volExponentShort": 0,
    "volExponentLong": 0,
    "minimumTauSeconds": 86_400,
    "profitWeight": WAD,
    "profitCap": 10**25,
    "withdrawMaxAgeSeconds": 1_800,
    "openMaxAgeSeconds": 3_600,
    "marginMaxAgeSeconds": 7_200,
    "liquidationMaxAgeSeconds": 86_400,
    "rampSeconds": 3_600,
    "maxPositions": 4,
    "riseRate": WAD // 4,
    "fallRate": WAD // 200,
}
INTEREST = {
    "base": WAD // 100,
    "slope1": 6 * WAD // 100,
    "slope2": WAD,
    "kink": 8 * WAD // 10,
    "reserveFactor": WAD // 10,
}
AUCTION = {
    "openingDiscount": 2 * WAD // 100,
    "cuspDiscount": 3 * WAD // 10,
    "fastSeconds": 600,
    "slowSeconds": 7_200,
    "buffer": WAD // 10,
    "dustMargin": 50 * WAD,
    "rewardRate": 2 * WAD // 100,
    "rewardCap": 500 * WAD,
    "insolvencyBonus": WAD // 2,
    "lastStep": 1,
    "maxSocialisedShare": WAD // 4,
    "maxDeleverageShare": WAD // 4,
}
UNDERLYING = {
    "listed": True,
    "reduceOnly": False,
    "group": 0,
    "scanRange": 15 * WAD // 100,
    "maxScanRange": 6 * WAD // 10,
    "scanMultiplier": 0,
    "volRange": 4 * WAD // 10,
    "volFloor": WAD // 10,
    "basisRate": 0,
    "shortOptionRate": 0,
    "concentrationRate": 0,
    "depth": WAD,
    "oiLower": 0,
    "oiUpper": 1,
    "maxOiMultiplier": 0,
    "openInterestCap": 1_000 * WAD,
    "fundingCap": 75 * WAD // 10_000,
    "makerFee": WAD // 10_000,
    "takerFee": 3 * WAD // 10_000,
    "optionFeeCap": WAD // 8,
    "lotSize": WAD // 1_000,
}
ORDER_TYPE = [
    {"name": name, "type": kind}
    for name, kind in [
        ("account", "uint256"),
        ("signer", "address"),
        ("instrument", "uint128"),
        ("size", "int128"),
        ("price", "uint128"),
        ("deadline", "uint64"),
        ("nonce", "uint64"),
        ("reduceOnly", "bool"),
    ]
]


def wad(amount: Any) -> int:
    """Return a number as it is written, in WAD."""
    return int(Decimal(str(amount)) * WAD)


def account_of(owner: Any, sub_id: int = 0) -> int:
    return int(getattr(owner, "address", owner), 16) << 8 | sub_id


def perpetual(underlying: int = ETH) -> int:
    return underlying << 120


def future(expiry: int, underlying: int = ETH) -> int:
    return underlying << 120 | expiry << 88


def option(expiry: int, strike: int, is_put: bool = False, underlying: int = ETH) -> int:
    """Return the id of an option; the strike is in whole USD."""
    return future(expiry, underlying) | 1 << 80 | strike * 10**8 << 16 | is_put << 8


@dataclass(frozen=True)
class Order:
    """An order and who signs it."""

    account: int
    signer: Any
    instrument: int
    size: int
    price: int
    deadline: int = FOREVER
    nonce: int = 0
    reduce_only: bool = False

    def struct(self) -> tuple:
        signer = getattr(self.signer, "address", self.signer)
        return (
            *(self.account, signer, self.instrument, self.size, self.price),
            *(self.deadline, self.nonce, self.reduce_only),
        )


class World:
    """An engine with a cash token, two collaterals, two underlyings and posted prices.

    Parameters
    ----------
    project
        The ape project.
    actors
        Test accounts; the first is the administrator.
    cash_decimals
        Decimals of the settlement token.
    weth_decimals
        Decimals of asset 1, which follows ETH with no haircut.
    cash_token, weth_token
        Contracts of the tokens; plain ones unless said otherwise.
    risk_model
        Contract of the risk model; one that is easy to reckon with unless said otherwise.
    """

    def __init__(
        self,
        project,
        actors,
        cash_decimals=6,
        weth_decimals=18,
        cash_token=None,
        weth_token=None,
        risk_model=None,
    ):
        self.project, self.actors = project, actors
        self.admin, self.outsider = actors[0], actors[9]
        self.cash_decimals, self.weth_decimals = cash_decimals, weth_decimals
        self.nonces = count()
        self.governance = self.admin.deploy(project.Governance, self.admin)
        self.cash = self._deploy_token(cash_token, "USD", cash_decimals)
        self.weth = self._deploy_token(weth_token, "WETH", weth_decimals)
        self.usdx = self._deploy_token(None, "USDX", 18)
        self.market = self.admin.deploy(project.MarketDouble)
        self._deploy_parameters()
        risk_model = risk_model or project.RiskDouble
        self.predictive = self._deploy_predictive()
        self.risk = self.admin.deploy(risk_model, self.parameters, self.market, self.predictive)
        self.liquidation_engine = self.admin.deploy(
            *(project.LiquidationEngine, self.parameters, self.rules, self.market, self.risk),
            *(self.cash, self.governance),
        )
        self.settlement_engine = self.admin.deploy(
            project.SettlementEngine, self.liquidation_engine
        )
        engine = self.admin.deploy(project.MarginEngine, self.settlement_engine)
        # What can be called there, and what ape decodes logs with, is of all three contracts.
        ape.chain.contracts[engine.address] = project.IEngine.contract_type
        self.engine = project.IEngine.at(engine.address)
        self.exchange = project.Exchange.at(self.engine.exchange())
        self._post_prices()

    def _deploy_predictive(self):
        return self.admin.deploy(self.project.PredictiveDouble)

    def _post_prices(self):
        self.set_spot(ETH, 2_000)
        self.set_spot(BTC, 50_000)
        self.set_rate(WETH, WAD)
        self.set_rate(USDX, WAD)

    def _deploy_token(self, contract, symbol, decimals):
        contract = contract or self.project.MockToken
        return self.admin.deploy(contract, symbol, symbol, decimals)

    def _deploy_parameters(self):
        ppm = 10**6
        scenarios = [(x * ppm, y * ppm, ppm) for y in (1, -1) for x in (1, -1)]
        self.parameters = self.admin.deploy(
            *(self.project.Parameters, self.governance, self.cash),
            *(tuple(GLOBAL.values()), tuple(INTEREST.values()), [WAD] * 8, scenarios),
        )
        self.rules = self.admin.deploy(
            *(self.project.LiquidationParameters, self.governance, tuple(AUCTION.values()))
        )
        self.set_underlying(ETH)
        self.set_underlying(BTC)
        self.set_collateral(WETH)
        self.set_collateral(USDX)

    # ------------------------------------------------------------------ parameters and prices

    def set_global(self, **changes):
        values = tuple((GLOBAL | changes).values())
        self.parameters.setGlobalParameters(values, sender=self.admin)

    def end_ramps(self):
        """Wait until what was set is in force, and post the first prices anew."""
        self.wait(GLOBAL["rampSeconds"])
        self._post_prices()

    def set_interest(self, **changes):
        values = tuple((INTEREST | changes).values())
        self.parameters.setInterestParameters(values, sender=self.admin)

    def set_underlying(self, underlying, **changes):
        values = tuple((UNDERLYING | changes).values())
        self.parameters.setUnderlyingParameters(underlying, values, sender=self.admin)

    def set_collateral(self, asset, enabled=True, cap_raw=None, haircut=0):
        token, decimals, underlying = {
            WETH: (self.weth, self.weth_decimals, ETH),
            USDX: (self.usdx, 18, 0),
        }[asset]
        cap_raw = 10**6 * 10**decimals if cap_raw is None else cap_raw
        values = (token, decimals, underlying, enabled, haircut, 0, cap_raw)
        self.parameters.setCollateralParameters(asset, values, sender=self.admin)

    def list_expiry(self, days=30, underlying=ETH, price=2_000) -> int:
        """List an expiry some days ahead, on the hour, and post its forward; return it."""
        expiry = (self.now + days * 86_400) // 3_600 * 3_600
        self.parameters.listExpiries(underlying, [expiry], sender=self.admin)
        self.set_forward(expiry, price, underlying)
        return expiry

    def set_spot(self, underlying, index, mark=None, timestamp=None):
        """Post an index and a mark, in whole USD, as of now."""
        mark = index if mark is None else mark
        stamp = self.now if timestamp is None else timestamp
        prices = (wad(index), 0, wad(mark), wad(index), stamp)
        self.market.setSpot(underlying, prices, sender=self.admin)

    def set_forward(self, expiry, price, underlying=ETH, svi=0):
        values = (wad(price), WAD, svi, self.now)
        self.market.setSlice(underlying, expiry, values, sender=self.admin)

    def set_rate(self, asset, rate, timestamp=None):
        stamp = self.now if timestamp is None else timestamp
        self.market.setRate(asset, (rate, rate, stamp), sender=self.admin)

    def set_settlement(self, expiry, price, underlying=ETH):
        self.market.setSettlementPrice(underlying, expiry, wad(price), sender=self.admin)

    # -------------------------------------------------------------------------------- actions

    @property
    def now(self) -> int:
        return ape.chain.blocks.head.timestamp

    def wait(self, seconds: int):
        ape.chain.mine(timestamp=self.now + seconds)

    def next_block_at(self, timestamp: int):
        """Set the time of the next transaction, which else depends on the clock on the wall."""
        ape.chain.provider.set_timestamp(timestamp)

    def token(self, asset):
        return {CASH: self.cash, WETH: self.weth, USDX: self.usdx}[asset]

    def raw(self, asset: int, amount: float) -> int:
        decimals = {CASH: self.cash_decimals, WETH: self.weth_decimals, USDX: 18}[asset]
        return int(Decimal(str(amount)) * 10**decimals)

    def fund(self, owner, asset, amount_raw):
        """Give tokens to an owner and let the engine pull them."""
        token = self.token(asset)
        token.mint(owner, amount_raw, sender=self.admin)
        if token.allowance(owner, self.engine) < 2**255:
            token.approve(self.engine, 2**256 - 1, sender=owner)

    def deposit(self, owner, asset, amount, sub_id=0):
        """Mint and deposit a number of whole tokens."""
        amount_raw = self.raw(asset, amount)
        self.fund(owner, asset, amount_raw)
        return self.engine.deposit(account_of(owner, sub_id), asset, amount_raw, sender=owner)

    def withdraw(self, owner, asset, amount, sub_id=0):
        """Withdraw a number of whole tokens to the owner."""
        amount_raw = self.raw(asset, amount)
        account = account_of(owner, sub_id)
        return self.engine.withdraw(account, asset, amount_raw, owner, sender=owner)

    def order(self, owner, instrument, size, price, sub_id=0, **changes) -> Order:
        """Return an order with a nonce of its own; size and price in whole units."""
        order = Order(
            account=account_of(owner, sub_id),
            signer=owner,
            instrument=instrument,
            size=wad(size),
            price=wad(price),
            nonce=next(self.nonces),
        )
        return replace(order, **changes)

    def sign(self, order: Order, key=None) -> bytes:
        """Sign an order with its signer's key, or another one."""
        message = encode_typed_data(
            domain_data={
                "name": "Cross Margin Engine",
                "version": "1",
                "chainId": ape.chain.chain_id,
                "verifyingContract": self.exchange.address,
            },
            message_types={"Order": ORDER_TYPE},
            message_data=dict(
                zip((field["name"] for field in ORDER_TYPE), order.struct(), strict=True)
            ),
        )
        return (key or order.signer).sign_message(message).encode_rsv()

    def hash(self, order: Order) -> bytes:
        return self.exchange.hashOrder(order.struct())

    def match_arguments(self, maker: Order, taker: Order, size=None) -> tuple:
        size = abs(taker.size) if size is None else wad(size)
        return maker.struct(), self.sign(maker), taker.struct(), self.sign(taker), size

    def match(self, maker: Order, taker: Order, size=None):
        arguments = self.match_arguments(maker, taker, size)
        return self.engine.matchOrders(*arguments, sender=self.outsider)

    def trade(self, buyer, seller, instrument, size, price):
        """Let the buyer take the seller's order."""
        maker = self.order(seller, instrument, -size, price)
        return self.match(maker, self.order(buyer, instrument, size, price))

    def batch(self, sender, *calls):
        """Run pairs of a method's name and its arguments as one batch."""
        encoded = [getattr(self.engine, name).encode_input(*arguments) for name, arguments in calls]
        return self.engine.batch(encoded, sender=sender)

    # ---------------------------------------------------------------------------------- state

    def cash_of(self, owner, sub_id=0) -> int:
        return self.engine.cashOf(account_of(owner, sub_id))

    def position(self, owner, instrument) -> tuple[int, int]:
        return tuple(self.engine.positionOf(account_of(owner), instrument))

    def stored_cash(self, account: int) -> int:
        """Cash as stored, without the interest since: the low 104 bits of the header."""
        headers_slot = 4
        slot = keccak(account.to_bytes(32) + headers_slot.to_bytes(32))
        word = ape.chain.provider.get_storage(self.engine.address, int.from_bytes(slot))
        cash = int.from_bytes(word) % 2**104
        return cash - 2**104 if cash >= 2**103 else cash

    def unaccounted_cash(self, accounts) -> int:
        """What conservation of cash says is zero (invariant I1)."""
        state = self.engine.cashState()
        pools = sum(self.engine.marketState(u).pnlPool for u in (ETH, BTC))
        cash = sum(self.stored_cash(account) for account in accounts)
        return cash + pools + state.fees + state.interestPool - state.cashHeld

    def storage_roots(self) -> list[str]:
        """Return one hash over all that each contract stores."""
        provider = ape.chain.provider
        contracts = (self.engine, self.exchange, self.cash, self.weth, self.usdx)
        return [
            provider.make_request("eth_getProof", [contract.address, [], "latest"])["storageHash"]
            for contract in contracts
        ]

    @contextmanager
    def refuses(self, error: str, /, **arguments) -> Iterator[None]:
        """Require an error of the body, and that nothing has changed."""
        before = self.storage_roots()
        with reverts_with(error, **arguments):
            yield
        assert self.storage_roots() == before
