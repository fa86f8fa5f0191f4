"""Rules of auctions at, just below and just above each of their bounds; who may set them."""

from random import Random

import pytest
from reverts import reverts_with

from reference_model.exact import instrument, position
from reference_model.exact.ledger import weight_of
from reference_model.exact.liquidation_parameters import DEFAULTS
from tests.parameters.test_parameters import MAX_UINT96, OUT, WAD, name32, out_of_range

DAY = 86_400
MAX_AMOUNT = 10**6 * WAD
RANGES = [
    ("openingDiscount", 0, WAD // 2),
    ("fastSeconds", 1, DAY),
    ("slowSeconds", 1, 7 * DAY),
    ("buffer", 0, WAD),
    ("dustMargin", 0, MAX_AMOUNT),
    ("rewardRate", 0, WAD // 10),
    ("rewardCap", 0, MAX_AMOUNT),
    ("insolvencyBonus", 0, WAD),
    ("maxSocialisedShare", 0, WAD // 2),
    ("maxDeleverageShare", WAD // 100, WAD),
]
FIELDS = """openingDiscount cuspDiscount fastSeconds slowSeconds buffer dustMargin rewardRate
rewardCap insolvencyBonus lastStep maxSocialisedShare maxDeleverageShare""".split()
RULES = dict(zip(FIELDS, DEFAULTS, strict=True))
NO_WINDOW = (0, 0)


@pytest.fixture(scope="module")
def rules(project, actors, governance, appoint):
    contract = actors.admin.deploy(project.LiquidationParameters, governance, RULES)
    appoint(contract, "LiquidationParameters")
    return contract


def in_force(rules):
    return dict(zip(FIELDS, rules.auctionParameters(), strict=True))


def test_rules_given_at_deployment_are_in_force(rules):
    assert in_force(rules) == RULES
    assert tuple(rules.window(1)) == NO_WINDOW
    assert int(rules.insuranceFund(), 16) == 0


def test_rules_are_checked_at_deployment_too(project, actors, governance):
    with reverts_with(OUT, name=name32("fastSeconds"), value=0, min=1, max=DAY):
        actors.admin.deploy(project.LiquidationParameters, governance, RULES | {"fastSeconds": 0})


def test_rules_stay_within_their_ranges(rules, outcomes):
    widest = RULES | {"cuspDiscount": WAD}
    cases = [
        (name, value, low, high)
        for name, low, high in RANGES
        for value in (low - 1, low, high, high + 1)
        if value >= 0
    ]
    calls = []
    for name, value, _, _ in cases:
        calls.append(rules.setAuctionParameters.encode_input(widest | {name: value}))
        calls.append(rules.auctionParameters.encode_input())
    results = outcomes(rules, calls)
    for i, (name, value, low, high) in enumerate(cases):
        (accepted, error), (_, stored) = results[2 * i : 2 * i + 2]
        assert accepted == (low <= value <= high), (name, value)
        if not accepted:
            assert error == out_of_range(name, value, low, high), (name, value)
            continue
        words = (stored[k : k + 32] for k in range(0, len(stored), 32))
        assert dict(zip(FIELDS, map(int.from_bytes, words), strict=True)) == widest | {name: value}


def test_opening_discount_is_at_most_that_of_the_cusp(rules, actors):
    for cusp in (0, WAD // 10, WAD // 2):
        wanted = RULES | {"cuspDiscount": cusp, "openingDiscount": cusp}
        rules.setAuctionParameters(wanted, sender=actors.governor)
        assert in_force(rules) == wanted
        with reverts_with(OUT, name=name32("openingDiscount"), value=cusp + 1, min=0, max=cusp):
            wanted = wanted | {"openingDiscount": cusp + 1}
            rules.setAuctionParameters(wanted, sender=actors.governor)
    with reverts_with(OUT, name=name32("cuspDiscount"), value=WAD + 1, min=0, max=WAD):
        rules.setAuctionParameters(RULES | {"cuspDiscount": WAD + 1}, sender=actors.governor)


def test_rules_emit_old_and_new(rules, actors):
    wanted = RULES | {"lastStep": 1 - RULES["lastStep"], "buffer": WAD // 5}
    receipt = rules.setAuctionParameters(wanted, sender=actors.governor)
    (event,) = receipt.decode_logs(rules.AuctionParametersSet)
    assert dict(zip(FIELDS, event.before, strict=True)) == RULES
    assert dict(zip(FIELDS, event.afterwards, strict=True)) == wanted == in_force(rules)


def test_windows_are_set_for_each_market(rules, actors):
    for underlying, window in ((1, (0, 1)), (255, (MAX_UINT96, 7 * DAY)), (1, (5 * WAD, 60))):
        before = tuple(rules.window(underlying))
        receipt = rules.setWindow(underlying, window, sender=actors.governor)
        (event,) = receipt.decode_logs(rules.WindowSet)
        assert event.underlying == underlying
        assert (tuple(event.before), tuple(event.afterwards)) == (before, window)
        assert tuple(rules.window(underlying)) == window
    assert tuple(rules.window(2)) == NO_WINDOW


@pytest.mark.parametrize("seconds", [0, 7 * DAY + 1])
def test_window_reverts_beyond_its_bounds(rules, actors, seconds):
    with reverts_with(OUT, name=name32("periodSeconds"), value=seconds, min=1, max=7 * DAY):
        rules.setWindow(1, (WAD, seconds), sender=actors.governor)


def test_markets_are_numbered_from_one(rules, actors):
    with reverts_with(OUT, name=name32("underlying"), value=0, min=1, max=255):
        rules.setWindow(0, (WAD, 60), sender=actors.governor)


def test_insurance_fund_is_set_and_taken_away(rules, actors):
    none = "0x" + "0" * 40
    before = none
    for fund in (actors.outsider.address, none):
        receipt = rules.setInsuranceFund(fund, sender=actors.governor)
        (event,) = receipt.decode_logs(rules.InsuranceFundSet)
        assert (event.before, event.afterwards) == (before, fund)
        assert rules.insuranceFund() == fund
        before = fund


@pytest.mark.parametrize(
    ("setter", "arguments"),
    [
        ("setAuctionParameters", (RULES,)),
        ("setWindow", (1, (WAD, 60))),
        ("setInsuranceFund", ("0x" + "11" * 20,)),
    ],
)
def test_only_the_governor_sets_anything(rules, actors, setter, arguments):
    for caller in (actors.outsider, actors.guardian, actors.poster, actors.admin):
        with reverts_with("AccessManagedUnauthorized", caller=caller):
            getattr(rules, setter)(*arguments, sender=caller)
    getattr(rules, setter)(*arguments, sender=actors.governor)


# ----------------------------------------------------------------------------------------- weight


def random_holdings(rng):
    """Draw slots of few markets, or many, and what collateral follows."""
    markets, dates = rng.choice(((1, 2), (1, 2, 7), range(1, 40))), range(1, rng.choice((2, 17)))
    made = (instrument.perpetual, instrument.future, instrument.option)
    drawn = set()
    for _ in range(rng.randint(0, 64)):
        kind, underlying, date = rng.choice(made), rng.choice(markets), 3_600 * rng.choice(dates)
        terms = (date, 10**8 * rng.randint(1, 99), rng.random() < 0.5)
        drawn.add(kind(underlying, *terms[: (0, 1, 3)[made.index(kind)]]))
    slots = [position.pack(each, rng.choice((-1, 0, 1)) * WAD) for each in drawn]
    kinds = rng.randint(0, 6)
    return slots, kinds, {rng.choice((0, *markets)) for _ in range(kinds)}


def test_an_account_too_heavy_for_a_liquidation_is_refused(rules):
    """Whatever it holds and is held to; positions that have no size count like others."""
    rng, refused = Random(3), 0
    for _ in range(250):
        slots, kinds, followed = random_holdings(rng)
        is_predictive = rng.random() < 0.5
        weight, limit = weight_of(slots, kinds, followed, is_predictive)
        arguments = 7, slots, kinds, sum(1 << u for u in followed), is_predictive
        if weight <= limit:
            rules.requireLight(*arguments)
            continue
        refused += 1
        with reverts_with("AccountTooHeavy", account=7, weight=weight, limit=limit):
            rules.requireLight(*arguments)
    assert 50 < refused < 200


def test_the_weight_counts_positions_slices_kinds_and_underlyings():
    perpetuals = [position.pack(instrument.perpetual(u), WAD) for u in range(1, 12)]
    # Eleven, one kind of collateral more than one, and seven for each underlying but one.
    assert weight_of(perpetuals, 2, {0, 5}, False) == (11 + 1 + 7 * 10, 85)
    assert weight_of(perpetuals, 2, {0, 12}, True) == (11 + 1 + 5 * 11, 32)
    dated = [instrument.future(1, 3_600), instrument.option(1, 3_600, 10**8, True)]
    dated += [instrument.future(1, 7_200)]
    slots = [position.pack(each, WAD) for each in dated]
    assert weight_of(slots, 0, (), False) == (3 + 2, 85)
    assert weight_of([], 0, (), False) == (0, 85)
