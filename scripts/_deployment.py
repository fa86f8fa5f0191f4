"""Deploy and configure everything from one configuration file, and remember where it is.

A second run continues one that was interrupted, and brings the parameters of a finished one up
to date with the file: what stands on the chain as the file says is left alone.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import click
from ape import accounts, chain, networks, project
from ape.api import AccountAPI
from ape.contracts import ContractInstance
from ape.exceptions import AccountsError, ApeException
from ape.logging import LogLevel, logger
from eth_utils import is_address, keccak
from pydantic import AfterValidator, TypeAdapter, ValidationError
from tqdm import tqdm

from scripts._configuration import (
    MAX_LIVE_EXPIRIES,
    WAD,
    Configuration,
    Role,
    to_wad,
)
from scripts._hub import HubSteps
from scripts._vectors import Vectors, read_vectors

OUTPUT = Path("out") / "deployments"
ADMIN_ROLE = 0
ROLE_FUNCTIONS = {
    "governor": {
        "Parameters": (
            "setGlobalParameters",
            "setScenarios",
            "setDecorrelation",
            "setUnderlyingParameters",
            "listExpiries",
            "setCollateralParameters",
            "setInterestParameters",
            "setSequencerFeed",
        ),
        "LiquidationParameters": ("setAuctionParameters", "setWindow", "setInsuranceFund"),
        "VolatilityEstimator": ("addUnderlying", "setEstimator"),
        "PredictiveModel": ("setParameters",),
        "OracleHub": ("setFeed", "setSurface", "settleUncovered"),
        "SignedReports": ("setSigners",),
    },
    "guardian": {
        "Parameters": ("haltIncreases", "haltDeposits", "declareOutage", "endOutage"),
        "PredictiveModel": ("cancelPublication",),
    },
    "estimator": {"Parameters": ("moveScanRange",)},
    "poster": {"MarketDataFeed": ("post",), "OracleHub": ("postSurface",)},
    "treasurer": {"MarginEngine": ("collectFees",)},
    "publisher": {"PredictiveModel": ("publish",)},
}

# A contract whose calls go further than its own code is spoken to through the interface of all.
INTERFACES = {"MarginEngine": "IEngine"}


class DeploymentError(click.ClickException):
    """A deployment that cannot go on; the message says what to do."""


def _address(text: str) -> str:
    if not is_address(text):
        raise ValueError(f"'{text}' is no address")
    return text


Address = Annotated[str, AfterValidator(_address)]


@dataclass
class Manifest:
    """Where everything is, as written to JSON.

    Attributes
    ----------
    network
        Ecosystem and network as ape names them.
    genesis
        Hash of the chain's first block: tells one local chain from the next.
    contracts, tokens
        Addresses by name.
    underlyings, assets
        Ids by symbol; the settlement token is asset 0.
    accounts
        Ids of accounts worth a name.
    feeds
        Numbers of the hub's feeds by name of the price.
    sources
        What was deployed for each source of a price: its rules, address, and feed behind it.
    complete
        Whether the deployment reached its end.
    """

    network: str
    chain_id: int
    genesis: str
    contracts: dict[str, Address] = field(default_factory=dict)
    tokens: dict[str, Address] = field(default_factory=dict)
    underlyings: dict[str, int] = field(default_factory=dict)
    assets: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    feeds: dict[str, int] = field(default_factory=dict)
    sources: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    complete: bool = False

    @classmethod
    def of_chain(cls) -> "Manifest":
        """Return an empty manifest of the connected chain."""
        provider = networks.provider
        network = provider.network
        genesis = provider.web3.eth.get_block(0)["hash"].to_0x_hex()
        return cls(f"{network.ecosystem.name}:{network.name}", provider.chain_id, genesis)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read a manifest of the connected chain, or say what is wrong with it."""
        try:
            content = vars(cls(**json.loads(path.read_text(encoding="utf-8"))))
            manifest = TypeAdapter(cls).validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DeploymentError(f"{path} is not a manifest: {where}: {first['msg']}") from error
        except OSError as error:
            raise DeploymentError(
                f"no manifest at {path} ({error.strerror}): deploy with `ape run deploy`, or name "
                "another file with --manifest"
            ) from error
        except (ValueError, TypeError) as error:
            raise DeploymentError(f"{path} is not a manifest: {error}") from error
        here = cls.of_chain()
        if (manifest.chain_id, manifest.genesis) != (here.chain_id, here.genesis):
            raise DeploymentError(
                f"{path} is of another chain than {here.network}, id {here.chain_id} (a local "
                "chain ends with the command that started it): deploy again, or choose the "
                "chain with --network"
            )
        return manifest

    @property
    def market_data(self) -> str:
        """Name of the contract that prices come from."""
        return "OracleHub" if "OracleHub" in self.contracts else "MarketDataFeed"

    def write(self, path: Path) -> None:
        """Write the manifest, replacing the file only when the new one is whole."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".tmp")
            draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
            draft.replace(path)
        except OSError as error:
            raise DeploymentError(
                f"{path} cannot be written ({error.strerror}): make room, or name another file "
                "with --manifest"
            ) from error


def manifest_path() -> Path:
    """Return where the manifest of the connected network is kept unless told otherwise."""
    return OUTPUT / f"{Manifest.of_chain().network.replace(':', '-')}.json"


def manifest_option(text: str = "Manifest of the deployment.") -> Callable:
    """Declare the option that names a manifest, `manifest_path` by default."""
    return click.option(
        "--manifest",
        "manifest_file",
        type=click.Path(path_type=Path),
        show_default=f"{OUTPUT}/<network>.json",
        help=text,
    )


def choose_account(alias: str | None) -> AccountAPI:
    """Return the account to send from: by alias, or the first test account of a local network."""
    try:
        if alias is not None:
            tests = accounts.test_accounts if networks.provider.network.is_dev else ()
            return next((a for a in tests if a.alias == alias), None) or accounts.load(alias)
    except (KeyError, AccountsError) as error:
        known = ", ".join(accounts.aliases) or "none"
        if networks.provider.network.is_dev:
            known += " (here also TEST::0, TEST::1, and so on)"
        raise DeploymentError(
            f"no account '{alias}'; known: {known}. `ape accounts import {alias}` adds one"
        ) from error
    if networks.provider.network.is_dev:
        return accounts.test_accounts[0]
    raise DeploymentError(
        "name the account that deploys: --account ALIAS (see `ape accounts list`)"
    )


@dataclass
class Deployment:
    """The contracts of one deployment, ready to be called."""

    manifest: Manifest
    governance: ContractInstance
    parameters: ContractInstance
    market_data: ContractInstance
    volatility_estimator: ContractInstance
    predictive_model: ContractInstance
    risk_model: ContractInstance
    liquidation_parameters: ContractInstance
    margin_engine: ContractInstance
    insurance_fund: ContractInstance
    margin_lens: ContractInstance
    tokens: dict[str, ContractInstance]

    @classmethod
    def of(cls, manifest: Manifest) -> "Deployment":
        """Return the deployment that a manifest describes."""
        if not manifest.complete:
            raise DeploymentError("the deployment was interrupted: run `ape run deploy` again")

        def at(name: str) -> ContractInstance:
            if name not in manifest.contracts:
                raise DeploymentError(f"the manifest has no {name}: deploy anew")
            return instance_at(name, manifest.contracts[name])

        return cls(
            manifest=manifest,
            governance=at("Governance"),
            parameters=at("Parameters"),
            market_data=at(manifest.market_data),
            volatility_estimator=at("VolatilityEstimator"),
            predictive_model=at("PredictiveModel"),
            risk_model=at("RiskModel"),
            liquidation_parameters=at("LiquidationParameters"),
            margin_engine=at("MarginEngine"),
            insurance_fund=at("InsuranceFund"),
            margin_lens=at("MarginLens"),
            tokens={symbol: project.MockToken.at(a) for symbol, a in manifest.tokens.items()},
        )

    def list_expiries(self, symbol: str, expiries: Iterable[int], sender: AccountAPI) -> None:
        """List those of the expiries that an underlying lacks."""
        if missing := self.missing_expiries(symbol, expiries):
            underlying = self.manifest.underlyings[symbol]
            self.parameters.listExpiries(underlying, missing, sender=sender)

    def missing_expiries(self, symbol: str, expiries: Iterable[int]) -> list[int]:
        """Return those of the expiries that an underlying lacks."""
        underlying = self.manifest.underlyings[symbol]
        return [e for e in expiries if not self.parameters.isExpiryListed(underlying, e)]


def deploy(
    configuration: Configuration,
    account: AccountAPI,
    path: Path | None = None,
    show_progress: bool = False,
) -> Deployment:
    """Deploy, or bring up to date, all that a configuration names on the connected chain.

    Parameters
    ----------
    configuration
        A validated configuration.
    account
        Sends all transactions; holds all roles until they are handed over at the end.
    path
        Manifest to continue from, if it exists and is of this chain, and to write.
    show_progress
        Whether to draw a bar on standard error.

    Raises
    ------
    DeploymentError
        What the chain lacks, before anything is sent; or what ``account`` may not do.
    """
    return _Run(configuration, account, path).go(show_progress)


class _Run:
    """One run: a list of named steps, each of which finds out whether it has anything to do."""

    def __init__(self, configuration: Configuration, account: AccountAPI, path: Path | None):
        self.configuration = configuration
        self.account = account
        self.path = path
        self.manifest = self._known_manifest()
        self._instances: dict[str, ContractInstance] = {}

    def go(self, show_progress: bool) -> Deployment:
        self._check_chain()
        self._save()  # Addresses that could not be kept would be lost.
        hidden = None if show_progress else True  # None: unless on a terminal.
        steps = tqdm(list(self._steps()), unit="step", leave=False, disable=hidden)
        with logger.at_level(LogLevel.WARNING):
            for name, step in steps:
                steps.set_description(name)
                step()
        self.manifest.complete = True
        self._save()
        return Deployment.of(self.manifest)

    # ----------------------------------------------------------------------------------------------
    # Before anything is sent
    # ----------------------------------------------------------------------------------------------

    def _known_manifest(self) -> Manifest:
        if self.path is None or not self.path.exists():
            return Manifest.of_chain()
        try:
            return Manifest.read(self.path)
        except DeploymentError:
            here = Manifest.of_chain()
            if networks.provider.network.is_dev:
                return here  # The chain of the last run is gone, and what was on it.
            raise

    def _check_chain(self) -> None:
        provider = networks.provider
        network = provider.network
        if provider.chain_id != (actual := provider.web3.eth.chain_id):
            raise DeploymentError(
                f"ape takes the chain for number {provider.chain_id}, it is {actual}: for a local "
                "Anvil set APE_FOUNDRY_HOST to its address instead of naming it with --network"
            )
        if self.configuration.uses_mocks and not network.is_dev:
            raise DeploymentError(
                f"mock tokens may be minted by anyone: {network.name} is not a local network, "
                "give the address of every token in the configuration"
            )
        if self.account.balance == 0:
            raise DeploymentError(
                f"{self.account.address} has nothing to pay for gas with on {network.name}"
            )
        if self.configuration.uses_mock_sources and not network.is_dev:
            raise DeploymentError(
                f"anyone may say what a mock source says: {network.name} is not a local network, "
                "give the address of every feed and the signers in the section hub"
            )
        self._check_market_data()
        if self.configuration.predictive.vectors:
            self._covered(read_vectors(self.configuration.predictive.vectors))
        for symbol, token in self._tokens().items():
            if token.token == "mock":
                continue
            self._require_code(f"token {symbol}", token.token)
            decimals = self._decimals(symbol, token.token)
            if decimals != token.decimals:
                raise DeploymentError(
                    f"token {symbol} at {token.token} has {decimals} decimals, the configuration "
                    f"says {token.decimals}"
                )

    def _check_market_data(self) -> None:
        wanted = self.configuration.market_data
        if wanted not in ("feed", "hub"):
            self._require_code("marketData", wanted)
        known = self.manifest.market_data
        is_other = (known == "OracleHub") != (wanted == "hub")
        if is_other and "MarginEngine" in self.manifest.contracts:
            raise DeploymentError(
                f"the engine reads its prices from {known} for ever: for marketData = {wanted} "
                "deploy anew, with another --manifest"
            )
        if wanted == "hub":
            if self.configuration.hub.sequencer not in (None, "mock"):
                self._require_code("hub.sequencer", self.configuration.hub.sequencer)
            for name, rules in (
                self.configuration.hub.feeds | self.configuration.hub.rates
            ).items():
                for source in rules.listed:
                    address = getattr(source, "address", "mock")
                    if address != "mock":
                        self._require_code(f"a source of {name}", address)

    def _decimals(self, symbol: str, address: str) -> int:
        try:
            return project.MockToken.at(address).decimals()
        except ApeException as error:
            raise DeploymentError(f"token {symbol}: {address} is not a token: {error}") from error

    def _require_code(self, what: str, address: str) -> None:
        if not networks.provider.get_code(address):
            raise DeploymentError(f"{what}: there is no contract at {address}")

    def _tokens(self) -> dict[str, Any]:
        settlement = self.configuration.settlement_token
        return {settlement.symbol: settlement, **self.configuration.collaterals}

    # ----------------------------------------------------------------------------------------------
    # Steps
    # ----------------------------------------------------------------------------------------------

    def _steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        c = self.configuration
        for symbol in self._tokens():
            yield f"token {symbol}", lambda symbol=symbol: self._deploy_token(symbol)
        yield "governance", lambda: self._deploy("Governance", self.account)
        yield "parameters", self._deploy_parameters
        hub = HubSteps(self) if c.market_data == "hub" else None
        if hub:
            yield from hub.contracts()
        else:
            yield "market data", self._deploy_market_data
        yield "volatility estimator", self._deploy_volatility_estimator
        yield "predictive model", self._deploy_predictive_model
        yield "risk model", self._deploy_risk_model
        yield "liquidation parameters", self._deploy_liquidation_parameters
        yield "margin engine", self._deploy_margin_engine
        yield "insurance fund", self._deploy_insurance_fund
        yield "margin lens", lambda: self._deploy("MarginLens", self._at("MarginEngine"))
        yield "global parameters", self._set_globals
        yield "rules of auctions", self._set_auctions
        for group, weight in c.decorrelations.items():
            yield f"group {group}", lambda g=group, w=weight: self._set_decorrelation(g, w)
        for symbol in c.underlyings:
            yield f"underlying {symbol}", lambda symbol=symbol: self._set_underlying(symbol)
            yield f"expiries of {symbol}", lambda symbol=symbol: self._list_expiries(symbol)
            yield f"window of {symbol}", lambda symbol=symbol: self._set_window(symbol)
        for symbol in c.collaterals:
            yield f"collateral {symbol}", lambda symbol=symbol: self._set_collateral(symbol)
        if hub:
            yield from hub.feeds()
        yield "estimator", self._set_estimator
        for symbol in c.estimator.basket:
            yield f"estimate of {symbol}", lambda symbol=symbol: self._add_to_basket(symbol)
        yield "predictive margin", self._set_predictive
        if c.predictive.vectors:
            yield "vectors", self._publish
        for role in ROLE_FUNCTIONS:
            yield f"role {role}", lambda role=role: self._wire(role)
        yield "stake", self._stake
        yield "admin", self._hand_over

    def _deploy_token(self, symbol: str) -> None:
        token = self._tokens()[symbol]
        known = self.manifest.tokens.get(symbol)
        if token.token != "mock":
            if known is not None and known != token.token:
                raise DeploymentError(
                    f"token {symbol} was deployed as {known}, the configuration says "
                    f"{token.token}: a listed token cannot change, give it another symbol and id"
                )
            self.manifest.tokens[symbol] = token.token
        elif known is None:
            mock = self.account.deploy(project.MockToken, symbol, symbol, token.decimals)
            self.manifest.tokens[symbol] = mock.address
        asset = getattr(token, "asset", 0)
        if self.manifest.assets.setdefault(symbol, asset) != asset:
            raise DeploymentError(f"{symbol} is asset {self.manifest.assets[symbol]} for ever")
        self._save()

    def _deploy_parameters(self) -> None:
        c = self.configuration
        self._deploy(
            "Parameters",
            self._at("Governance"),
            self.manifest.tokens[c.settlement_token.symbol],
            c.global_.struct(),
            c.interest.struct(),
            c.decorrelation_weights(),
            c.scenario_structs(),
        )

    def _deploy_market_data(self) -> None:
        if (address := self.configuration.market_data) != "feed":
            self.manifest.contracts["MarketDataFeed"] = address
        self._deploy("MarketDataFeed", self._at("Governance"))

    def _deploy_volatility_estimator(self) -> None:
        governance, parameters = self._at("Governance"), self._at("Parameters")
        prices = self._at(self.manifest.market_data)
        self._deploy("VolatilityEstimator", governance, parameters, prices)

    def _deploy_risk_model(self) -> None:
        market_data = self._at(self.manifest.market_data)
        model = self._at("PredictiveModel")
        self._deploy("RiskModel", self._at("Parameters"), market_data, model)

    def _deploy_predictive_model(self) -> None:
        addresses = map(self._at, ("Governance", "Parameters", "VolatilityEstimator"))
        self._deploy("PredictiveModel", *addresses, self.configuration.predictive.struct())

    def _deploy_liquidation_parameters(self) -> None:
        rules = self.configuration.liquidation.struct()
        self._deploy("LiquidationParameters", self._at("Governance"), rules)

    def _deploy_insurance_fund(self) -> None:
        fund = self.configuration.liquidation.insurance_fund
        self._deploy(
            "InsuranceFund",
            self._at("MarginEngine"),
            self._at("Parameters"),
            self.manifest.tokens[self.configuration.settlement_token.symbol],
            fund.cooldown_seconds,
            fund.exit_window_seconds,
        )
        deployed = self._instance("InsuranceFund")
        times = deployed.cooldownSeconds(), deployed.exitWindowSeconds()
        if times != (fund.cooldown_seconds, fund.exit_window_seconds):
            raise DeploymentError(
                f"the insurance fund at {deployed.address} lets stakers out after {times[0]} "
                f"seconds, for {times[1]}, and for ever so: with InsuranceFund taken out of the "
                "manifest the next run deploys another, which takes its place"
            )

    def _stake(self) -> None:
        """Stake what the configuration says, of a token that anyone may mint, once."""
        seed = to_wad(self.configuration.liquidation.insurance_fund.seed)
        fund = self._instance("InsuranceFund")
        if seed == 0 or fund.totalSupply() != 0:
            return
        settlement = self.configuration.settlement_token
        token = project.MockToken.at(self.manifest.tokens[settlement.symbol])
        amount_raw = seed * 10**settlement.decimals // WAD
        token.mint(self.account, amount_raw, sender=self.account)
        token.approve(fund, amount_raw, sender=self.account)
        fund.deposit(amount_raw, self.account, sender=self.account)

    def _deploy_margin_engine(self) -> None:
        self._deploy(
            "LiquidationEngine",
            self._at("Parameters"),
            self._at("LiquidationParameters"),
            self._at(self.manifest.market_data),
            self._at("RiskModel"),
            self.manifest.tokens[self.configuration.settlement_token.symbol],
            self._at("Governance"),
        )
        self._deploy("SettlementEngine", self._at("LiquidationEngine"))
        self._deploy("MarginEngine", self._at("SettlementEngine"))

    def _set_globals(self) -> None:
        c, parameters = self.configuration, self._parameters
        self._set("setGlobalParameters", parameters.globalTarget(), c.global_.struct())
        self._set("setInterestParameters", parameters.interestParameters(), c.interest.struct())
        wanted = c.scenario_structs()
        if [_fields(s, wanted[0]) for s in parameters.scenarioTarget()] != wanted:
            self._call(parameters, "setScenarios", wanted)

    def _set_auctions(self) -> None:
        rules = self._instance("LiquidationParameters")
        wanted = self.configuration.liquidation.struct()
        if _fields(rules.auctionParameters(), wanted) != wanted:
            self._call(rules, "setAuctionParameters", wanted)
        fund = self._at("InsuranceFund")
        if rules.insuranceFund() != fund:
            self._call(rules, "setInsuranceFund", fund)

    def _set_window(self, symbol: str) -> None:
        rules = self._instance("LiquidationParameters")
        underlying = self.manifest.underlyings[symbol]
        wanted = self.configuration.liquidation.windows[symbol].struct()
        if _fields(rules.window(underlying), wanted) != wanted:
            self._call(rules, "setWindow", underlying, wanted)

    def _set_decorrelation(self, group: int, weight: Any) -> None:
        wanted = to_wad(weight)
        if self._parameters.decorrelationTarget()[group] != wanted:
            self._call(self._parameters, "setDecorrelation", group, wanted)

    def _set_underlying(self, symbol: str) -> None:
        wanted = self.configuration.underlyings[symbol]
        if self.manifest.underlyings.setdefault(symbol, wanted.id) != wanted.id:
            raise DeploymentError(f"{symbol} is id {self.manifest.underlyings[symbol]} for ever")
        current = self._parameters.underlyingTarget(wanted.id)
        self._set("setUnderlyingParameters", current, wanted.struct(), wanted.id)

    def _list_expiries(self, symbol: str) -> None:
        underlying, parameters = self.manifest.underlyings[symbol], self._parameters
        now = chain.blocks.head.timestamp
        wanted = self.configuration.underlyings[symbol].expiries.timestamps(now)
        missing = [e for e in wanted if not parameters.isExpiryListed(underlying, e)]
        live = len(parameters.liveExpiries(underlying))
        if live + len(missing) > MAX_LIVE_EXPIRIES:
            raise DeploymentError(
                f"{symbol} has {live} expiries ahead, {len(missing)} more would be above "
                f"{MAX_LIVE_EXPIRIES}: take some out of the configuration"
            )
        if missing:
            self._call(parameters, "listExpiries", underlying, missing)

    def _set_collateral(self, symbol: str) -> None:
        collateral = self.configuration.collaterals[symbol]
        underlying = self.manifest.underlyings.get(collateral.underlying, 0)
        wanted = collateral.struct(self.manifest.tokens[symbol], underlying)
        current = self._parameters.collateralTarget(collateral.asset)
        self._set("setCollateralParameters", current, wanted, collateral.asset)

    def _set_estimator(self) -> None:
        wanted, estimator = self.configuration.estimator.settings(), self._estimator
        if _fields(estimator.estimator(), wanted) != wanted:
            self._call(estimator, "setEstimator", *wanted.values())

    def _add_to_basket(self, symbol: str) -> None:
        """Let the estimator follow an underlying; what it has learnt since is kept."""
        underlying = self.manifest.underlyings[symbol]
        if underlying not in self._estimator.basket():
            volatility = to_wad(self.configuration.estimator.basket[symbol])
            self._call(self._estimator, "addUnderlying", underlying, volatility)

    def _set_predictive(self) -> None:
        wanted, model = self.configuration.predictive.struct(), self._instance("PredictiveModel")
        if _fields(model.target(), wanted) != wanted:
            self._call(model, "setParameters", wanted)

    def _publish(self) -> None:
        """Publish the joint moves of the file, once; keepers go on from there."""
        model, path = self._instance("PredictiveModel"), self.configuration.predictive.vectors
        if model.publication().stored:
            return
        found = read_vectors(path)
        basket = [self.manifest.underlyings[symbol] for symbol in self._covered(found)]
        if list(self._estimator.basket())[: len(basket)] != basket:
            raise DeploymentError(f"{path}: the estimator's basket on the chain has another order")
        self._call(model, "publish", found.integers(), 0, len(basket))

    def _covered(self, found: Vectors) -> list[str]:
        """Return the underlyings of the vectors if the basket begins with them."""
        names = found.underlyings
        if list(self.configuration.estimator.basket)[: len(names)] != names:
            raise DeploymentError(
                f"{self.configuration.predictive.vectors} has moves of {', '.join(names)}: "
                "estimator.basket must begin with these in their order"
            )
        return names

    def _wire(self, name: str) -> None:
        """Give a role its functions and its members."""
        role_id = getattr(self._governance, name.upper())()
        role = self._role(name)
        for contract, functions in ROLE_FUNCTIONS[name].items():
            is_ours = contract != "MarketDataFeed" or self.configuration.market_data == "feed"
            if not is_ours or contract not in self.manifest.contracts:
                continue
            self._map_functions(self._instance(contract), functions, role_id)
        members = [self._member(member) for member in role.members]
        for member in members:
            held, delay = self._governance.hasRole(role_id, member)
            if not held or delay != role.delay_seconds:
                self._administer("grantRole", role_id, member, role.delay_seconds)
        deployer = self.account.address
        if deployer not in members and self._governance.hasRole(role_id, deployer)[0]:
            self._administer("revokeRole", role_id, deployer)

    def _map_functions(
        self, target: ContractInstance, functions: Iterable[str], role_id: int
    ) -> None:
        selectors = [selector(target, name) for name in functions]
        current = [
            self._governance.getTargetFunctionRole(target, selector) for selector in selectors
        ]
        if any(role != role_id for role in current):
            self._administer("setTargetFunctionRole", target, selectors, role_id)

    def _hand_over(self) -> None:
        admin = self._member(self.configuration.governance.admin)
        if not self._governance.hasRole(ADMIN_ROLE, admin)[0]:
            self._administer("grantRole", ADMIN_ROLE, admin, 0)
        deployer = self.account.address
        if admin != deployer and self._governance.hasRole(ADMIN_ROLE, deployer)[0]:
            self._governance.renounceRole(ADMIN_ROLE, deployer, sender=self.account)

    # ----------------------------------------------------------------------------------------------
    # Sending
    # ----------------------------------------------------------------------------------------------

    def _deploy(self, name: str, *arguments: Any, container: str = "") -> None:
        """Deploy a contract unless the manifest has it, and remember it at once.

        `container` is what the project calls it, if the manifest calls it otherwise.
        """
        if name in self.manifest.contracts:
            self._require_code(name, self.manifest.contracts[name])
            return
        instance = self.account.deploy(getattr(project, container or name), *arguments)
        self.manifest.contracts[name] = instance.address
        self._save()

    def _set(self, method: str, current: Any, wanted: dict[str, Any], *ids: int) -> None:
        if _fields(current, wanted) != wanted:
            self._call(self._parameters, method, *ids, wanted)

    def _call(self, target: ContractInstance, method: str, *arguments: Any) -> None:
        """Send what Governance lets this account do at once; else say who can."""
        call = selector(target, method)
        immediate, delay = self._governance.canCall(self.account, target, call)
        if not immediate:
            wait = f" after scheduling it {delay} seconds ahead" if delay else ""
            raise DeploymentError(
                f"{self.account.address} cannot call {method}: the chain differs from the "
                f"configuration, and only the governor can change that{wait}, through Governance "
                f"at {self._governance.address}"
            )
        getattr(target, method)(*arguments, sender=self.account)

    def _administer(self, method: str, *arguments: Any) -> None:
        if not self._governance.hasRole(ADMIN_ROLE, self.account)[0]:
            raise DeploymentError(
                f"{self.account.address} cannot call {method}: the roles on chain differ from the "
                f"configuration, and only the admin of Governance at {self._governance.address} "
                "can change that"
            )
        getattr(self._governance, method)(*arguments, sender=self.account)

    def _save(self) -> None:
        if self.path is not None:
            self.manifest.write(self.path)

    def _at(self, name: str) -> str:
        return self.manifest.contracts[name]

    def _instance(self, name: str) -> ContractInstance:
        if name not in self._instances:
            self._instances[name] = instance_at(name, self._at(name))
        return self._instances[name]

    @property
    def _governance(self) -> ContractInstance:
        return self._instance("Governance")

    @property
    def _parameters(self) -> ContractInstance:
        return self._instance("Parameters")

    @property
    def _estimator(self) -> ContractInstance:
        return self._instance("VolatilityEstimator")

    def _role(self, name: str) -> Role:
        """Return who holds a role: that of the estimator is the contract's alone."""
        if name == "estimator":
            return Role(members=[self._at("VolatilityEstimator")])
        return getattr(self.configuration.governance, name)

    def _member(self, name: str) -> str:
        return self.account.address if name == "deployer" else name


def _fields(struct: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the wanted fields of a struct that a contract returned."""
    return {name: struct[name] for name in wanted}


def instance_at(name: str, address: str) -> ContractInstance:
    """Return a contract of the project, with all that can be called at its address."""
    container = getattr(project, INTERFACES.get(name, name))
    # What ape decodes logs with; it would know only what the contract itself declares.
    chain.contracts[address] = container.contract_type
    return container.at(address)


def selector(target: ContractInstance, method: str) -> bytes:
    """Return the four bytes that name a function of a contract."""
    abi = next(abi for abi in target.contract_type.mutable_methods if abi.name == method)
    return keccak(text=abi.selector)[:4]
