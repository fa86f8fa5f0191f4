"""A configuration becomes exact integers, or a message that says what to change."""

import copy
import json
from datetime import UTC, datetime

import pytest
import yaml

from reference_model.types import GlobalParameters, PredictiveParameters
from scripts._configuration import (
    DEFAULT_PATH,
    ConfigurationError,
    Expiries,
    load_configuration,
    to_wad,
)

CHECKSUMMED = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
MISTYPED = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96046"
MISSING = object()


@pytest.fixture(scope="module")
def content():
    return yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8"))


@pytest.fixture
def load(tmp_path, content):
    """Load the default configuration with changed fields; `__` separates the parts of a path."""

    def load_changed(**changes):
        changed = copy.deepcopy(content)
        for path, value in changes.items():
            *parents, last = path.split("__")
            section = changed
            for parent in parents:
                section = section[int(parent) if isinstance(section, list) else parent]
            if value is MISSING:
                del section[last]
            else:
                section[last] = value
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        return load_configuration(path)

    return load_changed


def test_default_configuration_has_18_scenarios_in_two_classes():
    scenarios = load_configuration().scenario_structs()
    assert [s["volPpm"] for s in scenarios] == [10**6] * 11 + [-(10**6)] * 7
    tails = {(s["pricePpm"], s["weightPpm"]) for s in scenarios if abs(s["pricePpm"]) > 10**6}
    assert tails == {(x * 10**6, w) for x, w in ((2, 500_000), (4, 250_000))} | {
        (-x * 10**6, w) for x, w in ((2, 500_000), (4, 250_000))
    }


def test_defaults_of_the_model_are_those_of_the_configuration():
    configuration = load_configuration()
    assert tuple(configuration.global_.struct().values()) == GlobalParameters()
    assert tuple(configuration.predictive.struct().values()) == PredictiveParameters()


def test_values_become_exact_integers(load):
    configuration = load(
        underlyings__BTC__scanRange="0.123456789012345678",
        global__profitCap="12345678901.123456789012345678",
        collaterals__WBTC__cap=21,
    )
    assert to_wad(configuration.underlyings["BTC"].scan_range) == 123_456_789_012_345_678
    assert configuration.global_.struct()["profitCap"] == 12_345_678_901_123_456_789_012_345_678
    assert configuration.collaterals["WBTC"].cap_raw == 21 * 10**8


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("underlyings__BTC__scanRange", 1.5, "BTC.scanRange = 1.5: must lie between 0.001 and 0.9"),
        ("underlyings__BTC__scanRange", "wide", "BTC.scanRange = wide: must be a number"),
        ("underlyings__BTC__lotSize", float("nan"), "BTC.lotSize = nan: must be a finite number"),
        ("underlyings__BTC__makerFe", 0, "BTC.makerFe: is not a field, did you mean makerFee?"),
        ("underlyings__BTC__id", 0, "BTC.id = 0: must lie between 1 and 255"),
        ("underlyings__SOL__id", 1, "BTC and SOL have the same id, 1"),
        ("underlyings__SOL__group", 3, "decorrelations lacks group 3 of SOL"),
        ("underlyings__SOL__oiLower", 2_000_000, "SOL: oiLower must be below oiUpper"),
        ("underlyings__SOL__depth", "1.1234567890123456789", "must have at most 18 decimal places"),
        ("underlyings__SOL__reduceOnly", "perhaps", "reduceOnly = perhaps: must be true or false"),
        ("underlyings__SOL__expiries__at", ["2027-01-01T08:30:00Z"], "08:30:00 is not on the hour"),
        ("underlyings__SOL__expiries__fridays", list(range(1, 18)), "at most 16 expiries"),
        ("global__maxPositions", MISSING, "global.maxPositions: is missing"),
        ("global__maxPositions", 65, "maxPositions = 65: must lie between 1 and 64"),
        ("global__openMaxAge", 1.5, "global.openMaxAge = 1.5: must be a whole number"),
        ("global__maintenanceFactor", 1.1, "maintenanceFactor must not be above initialFactor"),
        ("interest__kink", 1, "interest.kink = 1: must lie between 0.01 and 0.99"),
        ("interest", 3, "interest = 3: must be a mapping"),
        ("decorrelations__9", 0.5, "decorrelations.9 = 9: must lie between 0 and 7"),
        ("collaterals__WETH__underlying", "DOGE", "must be null or one of BTC, ETH, SOL"),
        ("collaterals__WETH__depegRate", 0.1, "WETH: depegRate is for cash-like tokens"),
        ("collaterals__WETH__haircut", 1, "WETH.haircut = 1: must lie between 0 and 0.99"),
        ("underlyings__BTC__maxScanRange", 0.1, "scanRange must not be above maxScanRange"),
        ("liquidation__openingDiscount", 0.4, "must not be above cuspDiscount"),
        ("liquidation__fastSeconds", 0, "fastSeconds = 0: must lie between 1 and 86,400"),
        ("liquidation__rewardRate", 0.2, "rewardRate = 0.2: must lie between 0 and 0.1"),
        ("liquidation__lastStep", "pray", "liquidation.lastStep = pray"),
        ("liquidation__windows__SOL", MISSING, "liquidation.windows lacks SOL"),
        ("liquidation__windows__BTC__periodSeconds", 0, "must lie between 1 and 604,800"),
        (
            "liquidation__windows__DOGE",
            {"capacity": 1, "periodSeconds": 1},
            "liquidation.windows.DOGE is not an underlying",
        ),
        ("liquidation__insuranceFund__cooldownSeconds", 60, "must lie between 3,600 and 2,592,000"),
        ("settlementToken__token", CHECKSUMMED, "insuranceFund.seed is minted"),
        ("estimator__basket__DOGE", 1, "estimator.basket.DOGE is not an underlying"),
        ("estimator__decaySeconds", 60, "decaySeconds = 60: must lie between 86,400"),
        ("collaterals__WETH__asset", 32, "WETH.asset = 32: must lie between 1 and 31"),
        ("collaterals__WETH__asset", 2, "have the same asset, 2"),
        ("collaterals__WETH__cap", 2 * 10**20, "WETH: cap is more than the ledger can count"),
        ("collaterals__WETH__token", "0x12", "WETH.token = 0x12: must be mock, or an address"),
        ("settlementToken__decimals", 25, "decimals = 25: must lie between 0 and 24"),
        ("settlementToken__symbol", "WETH", "WETH is cash, it cannot be collateral"),
        ("marketData", MISTYPED, f"marketData = {MISTYPED}: must be feed or hub, or an address"),
        ("governance__poster__members", [], "governance.poster.members"),
        ("scenarios__0__vol", -1, "scenarios of one move of volatility belong into one list"),
        ("scenarios__1__vol", 0, "scenarios must contain a fall of volatility"),
        ("scenarios__0__weightByPrice", {}, "scenarios must contain a rise of volatility"),
        ("scenarios", [], "scenarios must contain a price fall of 1 or more at weight 1"),
    ],
)
def test_wrong_value_is_named_with_what_it_may_be(load, path, value, message):
    with pytest.raises(ConfigurationError) as error:
        load(**{path: value})
    assert message in error.value.format_message()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("hub", MISSING, "marketData = hub: the section hub is missing"),
        ("hub__feeds__SOL", MISSING, "hub.feeds lacks SOL"),
        ("hub__rates__DOGE", {"fixed": 1}, "hub.rates.DOGE is not in the configuration"),
        ("hub__rates__WETH", {}, "hub.rates.WETH: needs either fixed, or sources"),
        ("hub__rates__WETH__band", [1, 2], "a fixed price has no mark, band or quorum"),
        ("hub__rates__USDT__quorum", 1, "quorum must be more than half of the sources"),
        ("hub__rates__USDT__band", [0, 1], "band must be [low, high], above 0"),
        ("hub__rates__USDT__band", [0.1, 1_001], "at most 10,000 times as high"),
        (
            "hub__rates__USDT__mark",
            {"type": "signed", "maxAge": 9},
            "only an underlying has a mark",
        ),
        ("hub__feeds__BTC__sources__0__maxAge", MISSING, "every source needs a maxAge"),
        ("hub__feeds__BTC__sources__0__deviation", 0.2, "must lie between 0 and 0.1"),
        ("hub__feeds__BTC__sources__0__address", "0x12", "must be mock, or an address"),
        ("hub__feeds__BTC__sources__0__type", "tarot", "chainlink"),
        ("hub__feeds__BTC__sources__1__address", CHECKSUMMED, "id of the price is missing"),
        ("hub__rates__wstETH__sources__0__isVault", True, "a mock is a rate provider"),
        ("hub__feeds__BTC__maxMove", 0.95, "maxMove = 0.95: must lie between 0.001 and 0.9"),
        ("hub__signers__threshold", 1, "threshold must be more than half of 3 signers"),
        ("hub__surface__minInterval", 0, "minInterval = 0: must lie between 1 and 86,400"),
    ],
)
def test_wrong_source_is_named_with_what_it_may_be(load, path, value, message):
    with pytest.raises(ConfigurationError) as error:
        load(**{path: value})
    assert message in error.value.format_message()


def test_rules_of_auctions_become_the_struct_of_the_contract(load):
    struct = load(liquidation__buffer="0.123456789012345678").liquidation.struct()
    assert struct["buffer"] == 123_456_789_012_345_678
    assert struct["fastSeconds"] == 600
    assert struct["dustMargin"] == 50 * 10**18
    for number, step in enumerate(("socialise", "deleverage")):
        assert load(liquidation__lastStep=step).liquidation.struct()["lastStep"] == number


def test_configuration_with_a_feed_needs_no_hub(load):
    configuration = load(marketData="feed", hub=MISSING)
    assert configuration.hub is None
    assert not configuration.uses_mock_sources
    assert load().with_feed().hub is None


def test_all_wrong_values_are_named_at_once(load):
    with pytest.raises(ConfigurationError) as error:
        load(underlyings__BTC__scanRange=2, underlyings__ETH__scanRange=3, interest__base=-1)
    title, *lines = error.value.format_message().splitlines()
    assert "cannot be deployed" in title
    assert len(lines) == 3
    assert all("must lie between" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\xff", "is not YAML"),
        (b"a: 1\na: 2", "line 2 gives 'a' a second time"),
        (b"", "must be a mapping"),
        (b"[1, 2]", "must be a mapping"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=message):
        load_configuration(path)


def test_absent_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_configuration(tmp_path / "absent.yaml")


def test_address_needs_no_quotes(tmp_path):
    text = DEFAULT_PATH.read_text(encoding="utf-8")
    path = tmp_path / "addresses.yaml"
    path.write_text(text.replace("marketData: hub", f"marketData: {CHECKSUMMED}"))
    assert load_configuration(path).market_data == CHECKSUMMED


def test_json_is_read_too(tmp_path, content):
    path = tmp_path / "configuration.json"
    content["predictive"]["vectors"] = str(load_configuration().predictive.vectors)
    path.write_text(json.dumps(content), encoding="utf-8")
    assert load_configuration(path) == load_configuration()


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2026-03-06T07:59:59", "2026-03-06"),  # a Friday, one second before the hour
        ("2026-03-06T08:00:00", "2026-03-13"),
        ("2026-03-07T00:00:00", "2026-03-13"),
    ],
)
def test_fridays_are_counted_from_the_next_one_ahead(now, first):
    moment = int(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp())
    start = int(datetime.fromisoformat(first).replace(hour=8, tzinfo=UTC).timestamp())
    week = 7 * 86_400
    assert Expiries(fridays=[3, 1]).timestamps(moment) == [start, start + 2 * week]


def test_given_expiries_that_have_passed_are_left_out():
    expiries = Expiries(at=["2026-01-01T08:00:00Z", "2026-06-01T10:00:00+02:00"])
    now = int(datetime(2026, 1, 1, 8, tzinfo=UTC).timestamp())
    assert expiries.timestamps(now) == [int(datetime(2026, 6, 1, 8, tzinfo=UTC).timestamp())]
