"""What is deployed is what the configuration says; a second run only does what is left."""

import json
from decimal import Decimal

import pytest
from eth_abi import encode
from eth_utils import keccak

import scripts._deployment
from scripts._configuration import to_wad
from scripts._deployment import (
    ROLE_FUNCTIONS,
    Deployment,
    DeploymentError,
    Manifest,
    deploy,
    instance_at,
    selector,
)
from scripts._vectors import read_vectors

CONTRACTS = {
    "Governance": "governance",
    "Parameters": "parameters",
    "OracleHub": "market_data",
    "VolatilityEstimator": "volatility_estimator",
    "PredictiveModel": "predictive_model",
    "RiskModel": "risk_model",
    "LiquidationParameters": "liquidation_parameters",
    "MarginEngine": "margin_engine",
    "InsuranceFund": "insurance_fund",
    "MarginLens": "margin_lens",
}
EXTRA = {"LiquidationEngine", "SettlementEngine", "SignedReports", "MockPyth", "SequencerFeed"}
DAY = 86_400
OTHERS_ROLES = ("guardian", "poster", "treasurer", "publisher")


def fields(struct, wanted):
    return {name: struct[name] for name in wanted}


def changed(section, **changes):
    return section.model_copy(update=changes)


def with_underlying(configuration, symbol, **changes):
    underlying = changed(configuration.underlyings[symbol], **changes)
    return changed(configuration, underlyings=configuration.underlyings | {symbol: underlying})


def with_collateral(configuration, symbol, **changes):
    collateral = changed(configuration.collaterals[symbol], **changes)
    return changed(configuration, collaterals=configuration.collaterals | {symbol: collateral})


def with_roles(configuration, admin, **members):
    governance = configuration.governance
    roles = {
        name: changed(getattr(governance, name), members=[member.address], delay_seconds=delay)
        for name, (member, delay) in members.items()
    }
    return changed(configuration, governance=changed(governance, admin=admin.address, **roles))


@pytest.fixture
def wide(configuration):
    """Return the configuration with one parameter changed."""
    return with_underlying(configuration, "BTC", scan_range=Decimal("0.5"))


def test_parameters_are_the_configured_ones(deployment, configuration):
    parameters = deployment.parameters
    wanted = configuration.global_.struct()
    assert fields(parameters.globalParameters(), wanted) == wanted
    wanted = configuration.interest.struct()
    assert fields(parameters.interestParameters(), wanted) == wanted
    wanted = configuration.scenario_structs()
    assert [fields(s, wanted[0]) for s in parameters.scenarios()] == wanted
    weights = [configuration.decorrelations.get(group, Decimal(1)) for group in range(8)]
    assert list(parameters.decorrelations()) == [to_wad(weight) for weight in weights]


def test_underlyings_and_their_expiries_are_listed(deployment, configuration, chain):
    for underlying in configuration.underlyings.values():
        wanted = underlying.struct()
        current = deployment.parameters.underlyingParameters(underlying.id)
        assert fields(current, wanted) == wanted
        expiries = underlying.expiries.timestamps(chain.blocks.head.timestamp)
        assert sorted(deployment.parameters.liveExpiries(underlying.id)) == expiries
        assert len(expiries) == 4


def test_collaterals_are_listed_with_their_tokens(deployment, configuration):
    for symbol, collateral in configuration.collaterals.items():
        underlying = deployment.manifest.underlyings.get(collateral.underlying, 0)
        wanted = collateral.struct(deployment.tokens[symbol].address, underlying)
        current = deployment.parameters.collateralParameters(collateral.asset)
        assert fields(current, wanted) == wanted
        assert deployment.tokens[symbol].decimals() == collateral.decimals
        assert deployment.manifest.assets[symbol] == collateral.asset


def test_rules_of_auctions_and_windows_are_the_configured_ones(deployment, configuration):
    rules, wanted = deployment.liquidation_parameters, configuration.liquidation
    assert fields(rules.auctionParameters(), wanted.struct()) == wanted.struct()
    for symbol, underlying in configuration.underlyings.items():
        window = wanted.windows[symbol].struct()
        assert window["capacity"] > 0
        assert fields(rules.window(underlying.id), window) == window


def test_insurance_fund_belongs_to_the_engine_and_has_a_stake(deployment, configuration, deployer):
    fund, wanted = deployment.insurance_fund, configuration.liquidation.insurance_fund
    assert deployment.liquidation_parameters.insuranceFund() == fund.address
    assert fund.engine() == deployment.margin_engine.address
    assert fund.clock() == deployment.parameters.address
    assert fund.asset() == deployment.tokens["USDC"].address
    times = fund.cooldownSeconds(), fund.exitWindowSeconds()
    assert times == (wanted.cooldown_seconds, wanted.exit_window_seconds)
    assert fund.totalAssets() == wanted.seed * 10**6 > 0
    assert fund.balanceOf(deployer) == fund.totalSupply()


def test_predictive_margin_has_its_parameters_and_the_vectors_of_the_file(
    deployment, configuration
):
    model, wanted = deployment.predictive_model, configuration.predictive
    assert fields(model.parameters(), wanted.struct()) == wanted.struct()
    assert deployment.risk_model.predictiveModel() == model.address
    words = read_vectors(wanted.vectors).integers()
    assert list(model.vectors(0, 2000)) == words
    assert tuple(model.publication())[:5] == (len(words), 0, 0, 0, 3)


def test_vectors_of_another_basket_are_refused(configuration, refused):
    basket = {symbol: configuration.estimator.basket[symbol] for symbol in ("ETH", "BTC", "SOL")}
    estimator = changed(configuration.estimator, basket=basket)
    refused(changed(configuration, estimator=estimator), "must begin with these in their order")


def test_changed_parameters_of_predictive_margin_are_sent(
    deployment, configuration, deployer, path
):
    wanted = changed(configuration.predictive, tail_share=Decimal("0.05"))
    nonce = deployer.nonce
    deploy(changed(configuration, predictive=wanted), deployer, path)
    assert deployer.nonce == nonce + 1
    assert deployment.predictive_model.target().tailShare == 5 * 10**16


def test_changed_rules_of_auctions_are_in_force_at_once(deployment, configuration, deployer, path):
    windows = configuration.liquidation.windows
    windows = windows | {"ETH": changed(windows["ETH"], capacity=Decimal(7))}
    rules = changed(configuration.liquidation, buffer=Decimal("0.2"), windows=windows)
    nonce = deployer.nonce
    deploy(changed(configuration, liquidation=rules), deployer, path)
    assert deployer.nonce == nonce + 2
    assert deployment.liquidation_parameters.auctionParameters().buffer == 2 * 10**17
    assert deployment.liquidation_parameters.window(2).capacity == 7 * 10**18


def test_other_times_of_the_insurance_fund_are_refused(configuration, refused, deployment, path):
    fund = changed(configuration.liquidation.insurance_fund, cooldown_seconds=DAY)
    rules = changed(configuration.liquidation, insurance_fund=fund)
    refused(changed(configuration, liquidation=rules), "lets stakers out after 604800", path)


def test_another_insurance_fund_takes_the_place_of_the_first(
    deployment, configuration, deployer, path, tmp_path
):
    content = json.loads(path.read_text(encoding="utf-8"))
    first = content["contracts"].pop("InsuranceFund")
    without = tmp_path / "without.json"
    without.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DeploymentError, match="the manifest has no InsuranceFund"):
        Deployment.of(Manifest.read(without))
    fund = changed(configuration.liquidation.insurance_fund, cooldown_seconds=DAY, seed=Decimal(0))
    rules = changed(configuration.liquidation, insurance_fund=fund)
    again = deploy(changed(configuration, liquidation=rules), deployer, without)
    assert again.insurance_fund.address != first
    assert again.insurance_fund.cooldownSeconds() == DAY
    assert again.liquidation_parameters.insuranceFund() == again.insurance_fund.address
    assert again.insurance_fund.totalSupply() == 0


def test_contracts_are_wired_to_each_other(deployment):
    engine = deployment.margin_engine
    assert engine.liquidationParameters() == deployment.liquidation_parameters.address
    assert engine.parameters() == deployment.parameters.address
    assert engine.marketData() == deployment.market_data.address
    assert engine.riskModel() == deployment.risk_model.address
    assert engine.settlementToken() == deployment.tokens["USDC"].address
    assert deployment.parameters.SETTLEMENT_TOKEN() == deployment.tokens["USDC"].address
    for name in ("parameters", "liquidation_parameters", "market_data", "margin_engine"):
        assert getattr(deployment, name).authority() == deployment.governance.address


def test_every_role_has_its_functions_and_members(deployment, deployer, project):
    governance = deployment.governance
    for role, functions_of in ROLE_FUNCTIONS.items():
        role_id = getattr(governance, role.upper())()
        holder = deployment.volatility_estimator if role == "estimator" else deployer
        assert tuple(governance.hasRole(role_id, holder)) == (True, 0)
        assert role != "estimator" or not governance.hasRole(role_id, deployer)[0]
        for name, functions in functions_of.items():
            if name not in deployment.manifest.contracts:
                continue
            target = instance_at(name, deployment.manifest.contracts[name])
            for function in functions:
                mapped = governance.getTargetFunctionRole(target, selector(target, function))
                assert mapped == role_id


def test_every_restricted_function_has_a_role(deployment):
    """A function left out would be the admin's; only views and everybody's own may be."""
    everybodys = {
        "Parameters": {"syncSequencer"},
        "VolatilityEstimator": {"sample"},
        "LiquidationParameters": set(),
    }
    for name, free in everybodys.items():
        roles = [functions.get(name, ()) for functions in ROLE_FUNCTIONS.values()]
        mapped = {function for functions in roles for function in functions}
        contract = getattr(deployment, CONTRACTS[name])
        functions = {abi.name for abi in contract.contract_type.mutable_methods}
        assert functions - mapped == {"setAuthority"} | free


def test_estimator_follows_the_configured_basket(deployment, configuration):
    estimator, wanted = deployment.volatility_estimator, configuration.estimator
    settings = wanted.settings()
    assert fields(estimator.estimator(), settings) == settings
    underlyings = [deployment.manifest.underlyings[symbol] for symbol in wanted.basket]
    assert list(estimator.basket()) == underlyings == [1, 2, 3]
    for underlying, volatility in zip(underlyings, wanted.basket.values(), strict=True):
        assert estimator.variance(underlying) == pytest.approx(to_wad(volatility**2), rel=1e-9)
    assert estimator.PARAMETERS() == deployment.parameters.address
    assert estimator.MARKET_DATA() == deployment.market_data.address


def test_manifest_describes_the_deployment(deployment, path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["complete"]
    assert content["contracts"].keys() == CONTRACTS.keys() | EXTRA
    for name, attribute in CONTRACTS.items():
        assert content["contracts"][name] == getattr(deployment, attribute).address
    again = Deployment.of(Manifest.read(path))
    assert again.margin_engine.address == deployment.margin_engine.address
    assert again.tokens.keys() == deployment.tokens.keys() == content["assets"].keys()


def test_second_run_sends_nothing(deployment, configuration, deployer, path):
    nonce = deployer.nonce
    again = deploy(configuration, deployer, path)
    assert deployer.nonce == nonce
    assert again.manifest == deployment.manifest


def test_second_run_sends_only_what_changed(deployment, wide, deployer, path):
    nonce = deployer.nonce
    deploy(wide, deployer, path)
    assert deployer.nonce == nonce + 1
    assert deployment.parameters.underlyingTarget(1).scanRange == 10**18 // 2
    deploy(wide, deployer, path)  # on its way is as good as there
    assert deployer.nonce == nonce + 1


def test_interrupted_run_is_continued(deployment, configuration, deployer, path, tmp_path):
    content = json.loads(path.read_text(encoding="utf-8"))
    lens = content["contracts"].pop("MarginLens")
    content["complete"] = False
    half = tmp_path / "half.json"
    half.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DeploymentError, match="interrupted"):
        Deployment.of(Manifest.read(half))
    nonce = deployer.nonce
    continued = deploy(configuration, deployer, half)
    assert deployer.nonce == nonce + 1
    assert continued.margin_lens.address != lens
    assert continued.margin_engine.address == deployment.margin_engine.address


def test_nothing_is_sent_where_addresses_cannot_be_kept(configuration, deployer, tmp_path):
    """They were lost, and the contracts with them."""
    (tmp_path / "file").touch()
    nonce = deployer.nonce
    with pytest.raises(DeploymentError, match=r"cannot be written .*: make room, or name another"):
        deploy(configuration, deployer, tmp_path / "file" / "manifest.json")
    assert deployer.nonce == nonce


def test_failure_leaves_a_manifest_to_continue_from(
    configuration, deployer, tmp_path, monkeypatch, chain
):
    path = tmp_path / "failed.json"

    def fail(self):
        raise RuntimeError("the network is gone")

    monkeypatch.setattr(scripts._deployment._Run, "_deploy_risk_model", fail)
    with pytest.raises(RuntimeError):
        deploy(configuration, deployer, path)
    monkeypatch.undo()
    begun = json.loads(path.read_text(encoding="utf-8"))["contracts"]
    assert begun.keys() == {
        *("Governance", "Parameters", "SignedReports", "OracleHub", "VolatilityEstimator"),
        "PredictiveModel",
    }
    finished = deploy(configuration, deployer, path).manifest.contracts
    assert begun.items() < finished.items()


def test_roles_are_handed_over(configuration, deployer, accounts, tmp_path):
    path = tmp_path / "handed_over.json"
    admin, governor, other = accounts[1:4]
    roles = {name: (other, 0) for name in OTHERS_ROLES}
    configuration = with_roles(configuration, admin, governor=(governor, 2 * DAY), **roles)
    governance = deploy(configuration, deployer, path).governance
    assert tuple(governance.hasRole(0, admin)) == (True, 0)
    assert tuple(governance.hasRole(governance.GOVERNOR(), governor)) == (True, 2 * DAY)
    assert not governance.hasRole(0, deployer)[0]
    assert not governance.hasRole(governance.GOVERNOR(), deployer)[0]
    nonce = deployer.nonce
    deploy(configuration, deployer, path)
    wide = with_underlying(configuration, "BTC", scan_range=Decimal("0.5"))
    with pytest.raises(DeploymentError, match="only the governor can change that"):
        deploy(wide, deployer, path)
    with pytest.raises(DeploymentError, match="172800 seconds ahead"):
        deploy(wide, governor, path)
    late = with_roles(configuration, admin, governor=(governor, DAY), **roles)
    with pytest.raises(DeploymentError, match="only the admin"):
        deploy(late, deployer, path)
    assert deployer.nonce == nonce


def test_existing_market_data_is_taken_as_it_is(deployment, configuration, deployer, tmp_path):
    feed = deployment.market_data.address
    other = deploy(changed(configuration, market_data=feed), deployer, tmp_path / "other.json")
    assert other.market_data.address == feed
    assert other.margin_engine.marketData() == feed
    assert other.governance.address != deployment.governance.address


def test_existing_tokens_are_taken_as_they_are(deployment, configuration, deployer):
    weth = deployment.tokens["WETH"].address
    other = deploy(with_collateral(configuration, "WETH", token=weth), deployer)
    assert other.tokens["WETH"].address == weth
    assert other.tokens["WBTC"].address != deployment.tokens["WBTC"].address


@pytest.fixture
def refused(deployer):
    """Require that a deployment is refused with a message, before anything is sent."""

    def check(configuration, message, path=None):
        nonce = deployer.nonce
        with pytest.raises(DeploymentError, match=message):
            deploy(configuration, deployer, path)
        assert deployer.nonce == nonce

    return check


def test_mock_tokens_are_refused_on_a_public_network(configuration, refused, monkeypatch):
    network = type(scripts._deployment.networks.provider.network)
    monkeypatch.setattr(network, "is_dev", False)
    refused(configuration, "mock tokens may be minted by anyone")


def test_mock_sources_are_refused_on_a_public_network(
    configuration, deployment, deployer, monkeypatch
):
    """With every token real, what a mock source says would still be anyone's word."""
    tokens = {symbol: token.address for symbol, token in deployment.tokens.items()}
    cash = changed(configuration.settlement_token, token=tokens["USDC"])
    real = changed(configuration, settlement_token=cash)
    for symbol in configuration.collaterals:
        real = with_collateral(real, symbol, token=tokens[symbol])
    monkeypatch.setattr(type(scripts._deployment.networks.provider.network), "is_dev", False)
    assert not real.uses_mocks
    run = scripts._deployment._Run(real, deployer, None)
    with pytest.raises(DeploymentError, match="anyone may say what a mock source says"):
        run._check_chain()


def test_feed_takes_the_place_of_the_hub(configuration, deployer):
    deployment = deploy(configuration.with_feed(), deployer)
    assert deployment.manifest.market_data == "MarketDataFeed"
    assert not deployment.manifest.feeds and "OracleHub" not in deployment.manifest.contracts
    assert deployment.margin_engine.marketData() == deployment.market_data.address
    deployment.market_data.post([], [], [(4, 10**18, 10**18, 1)], [], sender=deployer)
    assert deployment.market_data.collateralRate(4).rate == 10**18


def test_market_data_of_another_kind_is_refused(configuration, refused, path):
    refused(configuration.with_feed(), "reads its prices from OracleHub for ever", path)


def test_changed_limit_of_a_feed_is_one_call(deployment, configuration, deployer, path):
    rules = changed(configuration.hub.feeds["BTC"], max_move=Decimal("0.2"))
    hub = changed(configuration.hub, feeds=configuration.hub.feeds | {"BTC": rules})
    nonce = deployer.nonce
    deploy(changed(configuration, hub=hub), deployer, path)
    assert deployer.nonce == nonce + 1
    assert deployment.market_data.feedParameters(1).maxMove == 2 * 10**17


def test_source_of_other_rules_replaces_its_predecessor(deployment, configuration, deployer, path):
    first = changed(configuration.hub.feeds["BTC"].sources[0], deviation=Decimal("0.01"))
    rules = configuration.hub.feeds["BTC"]
    rules = changed(rules, sources=[first, *rules.sources[1:]])
    hub = changed(configuration.hub, feeds=configuration.hub.feeds | {"BTC": rules})
    before = deployment.market_data.feedParameters(1).sources
    deploy(changed(configuration, hub=hub), deployer, path)
    after = deployment.market_data.feedParameters(1).sources
    assert after[0].source != before[0].source
    assert [s.source for s in after[1:]] == [s.source for s in before[1:]]


def test_token_without_code_is_refused(configuration, accounts, refused):
    address = accounts[5].address
    refused(with_collateral(configuration, "WETH", token=address), f"no contract at {address}")


def test_contract_that_is_no_token_is_refused(configuration, deployment, refused):
    address = deployment.parameters.address
    refused(with_collateral(configuration, "WETH", token=address), f"{address} is not a token")


def test_token_of_other_decimals_is_refused(configuration, deployment, refused):
    address = deployment.tokens["WBTC"].address
    message = "has 8 decimals, the configuration says 18"
    refused(with_collateral(configuration, "WETH", token=address), message)


def test_market_data_without_code_is_refused(configuration, accounts, refused):
    address = accounts[5].address
    refused(changed(configuration, market_data=address), f"no contract at {address}")


def test_other_token_under_a_listed_symbol_is_refused(deployment, configuration, refused, path):
    address = deployment.tokens["WETH"].address
    other = with_collateral(configuration, "wstETH", token=address)
    refused(other, "a listed token cannot change", path)


def test_other_id_under_a_listed_symbol_is_refused(deployment, configuration, refused, path):
    refused(with_underlying(configuration, "SOL", id=9), "SOL is id 3 for ever", path)
    refused(with_collateral(configuration, "SOL", asset=9), "SOL is asset 5 for ever", path)


def test_account_without_funds_is_refused(configuration, accounts, chain):
    poor = accounts[6]
    chain.set_balance(poor, 0)
    with pytest.raises(DeploymentError, match="nothing to pay for gas"):
        deploy(configuration, poor)


def test_manifest_of_another_chain_is_refused(deployment, path, tmp_path):
    content = json.loads(path.read_text(encoding="utf-8"))
    content["genesis"] = "0x" + keccak(encode(["uint256"], [1])).hex()
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DeploymentError, match="of another chain"):
        Manifest.read(other)


CHAIN = '{"network": "ethereum:local", "chain_id": 31337, "genesis": "0x00", '


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"network": 1}'),
        CHAIN + '"contracts": 5}',
        CHAIN + '"feeds": []}',
        CHAIN + '"tokens": {"USDC": "0x12"}}',
    ],
)
def test_file_that_is_no_manifest_is_refused(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeploymentError, match="is not a manifest"):
        Manifest.read(path)
    with pytest.raises(DeploymentError, match="no manifest at"):
        Manifest.read(tmp_path / "absent.json")


def test_expiries_are_added_to_a_deployment(deployment, deployer, chain):
    ahead = (chain.blocks.head.timestamp // 3_600 + 5) * 3_600
    deployment.list_expiries("ETH", [ahead], deployer)
    nonce = deployer.nonce
    deployment.list_expiries("ETH", [ahead], deployer)
    assert deployer.nonce == nonce
    assert deployment.parameters.isExpiryListed(2, ahead)
