"""Reports that N of M sign: digests, signatures, order, age, one price a block."""

from itertools import combinations

import ape
import pytest
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_canonical_address
from hypothesis import given, settings
from hypothesis import strategies as st
from reverts import reverts_with

from reference_model.exact.price_sources import Reading, Reports
from tests.oracle.sources.bench import predicted

WAD = 10**18
FEED = b"ETH/USD".ljust(32, b"\0")
OTHER = b"BTC/USD".ljust(32, b"\0")
THRESHOLD = 2
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

TYPES = {
    "PriceReport": "bytes32 feed,uint96 price,uint96 confidence,uint40 timestamp",
    "SurfaceReport": (
        "uint8 underlying,uint32[] expiries,uint64[] forwardRatios,uint64[] discounts,"
        "uint256[] svis,uint40 timestamp"
    ),
}
POST_TYPES = ["(bytes32,uint96,uint96,uint40)[]", "bytes[][]"]
POST = keccak(text=f"post({','.join(POST_TYPES)})")[:4]
KEYS = sorted(
    (Account.from_key(keccak(text=f"signer {i}")) for i in range(4)),
    key=lambda key: key.address.lower(),
)
SIGNERS, STRANGER = KEYS[:3], KEYS[3]


def fields(name):
    return [
        dict(zip(("type", "name"), part.split(), strict=True)) for part in TYPES[name].split(",")
    ]


def message(contract, name, values, /, **domain):
    """Return what wallets sign, built without the contracts."""
    return encode_typed_data(
        domain_data={
            "name": "Cross Margin Reports",
            "version": "1",
            "chainId": ape.chain.chain_id,
            "verifyingContract": contract.address,
        }
        | domain,
        message_types={name: fields(name)},
        message_data={f["name"]: v for f, v in zip(fields(name), values, strict=True)},
    )


def digest_of(signable):
    return keccak(b"\x19\x01" + signable.header + signable.body)


def entry(key, signable, signer=None):
    """Return a signature as the contract takes it: whose it is, then what was signed."""
    signature = key.sign_message(signable).signature
    return to_canonical_address(signer or key.address) + bytes(signature)


def signed(contract, report, keys=SIGNERS, **domain):
    signable = message(contract, "PriceReport", report, **domain)
    return [entry(key, signable) for key in keys]


@pytest.fixture(scope="module")
def reports(project, actors):
    authority = actors.governor.deploy(project.Governance, actors.governor)
    contract = actors.governor.deploy(project.SignedReports, authority)
    addresses = [key.address for key in SIGNERS]
    contract.setSigners(addresses, THRESHOLD, sender=actors.governor)
    return contract


@pytest.fixture(scope="module")
def source(project, actors, reports):
    return actors.governor.deploy(project.SignedSource, reports, FEED)


@pytest.fixture(scope="module")
def several(project, actors):
    """Deploy what makes many calls in one transaction."""
    return actors.outsider.deploy(project.TryMany)


@pytest.fixture(scope="module")
def now(chain, reports):
    return chain.blocks.head.timestamp


@pytest.fixture
def report(now):
    return (FEED, 2_000 * WAD, WAD, now)


@pytest.fixture
def post(reports, actors):
    """Post reports, with signatures of all signers unless others are given."""

    def send(*reports_, signatures=None):
        given_ = signatures or [signed(reports, report) for report in reports_]
        return reports.post(list(reports_), given_, sender=actors.outsider)

    return send


@pytest.fixture
def refuses(reports, report):
    """Require that the report is refused with these signatures."""

    def check(signatures):
        digest = reports.priceDigest(report)
        with reverts_with("InvalidSignatures", digest=digest):
            reports.post.call([report], [signatures])
        with reverts_with("InvalidSignatures", digest=digest):
            reports.requireSigned(digest, signatures)

    return check


@settings(max_examples=25)
@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**96 - 1),
    st.integers(0, 2**96 - 1),
    st.integers(0, 2**40 - 1),
)
def test_the_digest_of_a_price_is_that_of_eip_712(reports, feed, price, confidence, timestamp):
    values = (feed, price, confidence, timestamp)
    expected = digest_of(message(reports, "PriceReport", values))
    assert reports.priceDigest(values) == expected


@st.composite
def surfaces(draw):
    def array(bits):
        return draw(st.lists(st.integers(0, 2**bits - 1), max_size=4))

    arrays = [array(bits) for bits in (32, 64, 64, 256)]
    return (draw(st.integers(0, 255)), *arrays, draw(st.integers(0, 2**40 - 1)))


@settings(max_examples=25)
@given(surfaces())
def test_the_digest_of_a_surface_is_that_of_eip_712(reports, values):
    expected = digest_of(message(reports, "SurfaceReport", values))
    assert reports.surfaceDigest(values) == expected


def test_a_report_that_enough_have_signed_is_the_price(post, source, bench, reports, report):
    receipt = post(report)
    assert receipt.events == [
        reports.PriceReported(feed=FEED, price=report[1], confidence=report[2], timestamp=report[3])
    ]
    assert bench.reading(source) == report[1:]
    assert reports.latestReport(OTHER) == (0, 0, 0)


def test_nothing_reported_is_no_price(source):
    with reverts_with("NoReport", feed=FEED):
        source.read()


@pytest.mark.parametrize("keys", [*combinations(SIGNERS, 2), SIGNERS])
def test_any_signers_that_are_enough_will_do(reports, post, report, keys):
    post(report, signatures=[signed(reports, report, keys)])
    assert reports.latestReport(FEED) == report[1:]


@pytest.mark.parametrize(
    "keys",
    [
        [],
        SIGNERS[:1],
        [SIGNERS[0], SIGNERS[0]],
        [SIGNERS[1], SIGNERS[0]],
        [SIGNERS[0], SIGNERS[2], SIGNERS[1]],
        [SIGNERS[0], STRANGER],
        [*SIGNERS, STRANGER],
    ],
    ids=["none", "too few", "twice", "descending", "last descending", "unknown", "one unknown"],
)
def test_signatures_that_do_not_do_are_refused(reports, report, refuses, keys):
    refuses(signed(reports, report, keys))


@pytest.mark.parametrize(
    "domain",
    [
        {"name": "Cross Margin Engine"},
        {"version": "2"},
        {"chainId": 1},
        {"verifyingContract": "0x" + "11" * 20},
    ],
    ids=lambda domain: next(iter(domain)),
)
def test_signatures_of_another_domain_are_refused(reports, report, refuses, domain):
    refuses(signed(reports, report, **domain))


@pytest.mark.parametrize("place", range(1, 4))
def test_signatures_of_another_report_are_refused(reports, report, refuses, place):
    other = [*report]
    other[place] -= 1
    refuses(signed(reports, other))


def test_a_signature_under_the_name_of_another_signer_is_refused(reports, report, refuses):
    signable = message(reports, "PriceReport", report)
    first, second, third = SIGNERS
    refuses([entry(third, signable, first.address), entry(second, signable)])


def test_the_other_half_of_a_signature_is_refused(reports, report, refuses):
    """A second signature can be made from any first one; only the one with low s counts."""
    good = signed(reports, report, SIGNERS[:2])
    r, s, v = good[0][20:52], int.from_bytes(good[0][52:84], "big"), good[0][84]
    twin = good[0][:20] + r + (CURVE_ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    refuses([twin, good[1]])


@pytest.mark.parametrize("length", [0, 19, 20, 84])
def test_a_signature_that_is_cut_short_is_refused(reports, report, refuses, length):
    first, second = signed(reports, report, SIGNERS[:2])
    refuses([first, second[:length]])


def test_a_name_cut_short_is_not_filled_up_with_zeros(reports, report, refuses, actors):
    signer = "0x" + "11" * 19 + "00"
    reports.setSigners([signer], 1, sender=actors.governor)
    refuses([to_canonical_address(signer)[:19]])


def test_a_contract_signs_by_erc_1271(project, actors, reports, post, report, refuses):
    wallet = actors.outsider.deploy(project.Wallet, STRANGER.address)
    members = sorted([SIGNERS[0].address, wallet.address], key=str.lower)
    reports.setSigners(members, 2, sender=actors.governor)
    signable = message(reports, "PriceReport", report)

    def signatures(key):
        made = [entry(SIGNERS[0], signable), entry(key, signable, wallet.address)]
        return sorted(made, key=lambda e: e[:20])

    refuses(signatures(SIGNERS[1]))
    post(report, signatures=[signatures(STRANGER)])
    assert reports.latestReport(FEED) == report[1:]


def test_without_signers_nothing_is_signed(project, actors):
    authority = actors.governor.deploy(project.Governance, actors.governor)
    fresh = actors.governor.deploy(project.SignedReports, authority)
    assert fresh.signers() == ([], 0)
    with reverts_with("InvalidSignatures", digest=FEED):
        fresh.requireSigned(FEED, [])


@pytest.mark.parametrize(("price", "confidence"), [(0, 0), (1, 1), (WAD, WAD), (WAD, WAD + 1)])
def test_a_report_without_a_price_is_refused(post, now, price, confidence):
    with reverts_with("InvalidReport", feed=FEED):
        post((FEED, price, confidence, now))


def test_the_least_price_of_all_is_one(post, now, reports):
    post((FEED, 1, 0, now))
    assert reports.latestReport(FEED) == (1, 0, now)


def test_a_report_of_the_future_is_refused(post, now, chain, reports):
    chain.pending_timestamp = now + 100
    ahead = (FEED, WAD, 0, now + 101)
    with reverts_with("ReportAhead", feed=FEED, timestamp=now + 101, blockTimestamp=now + 100):
        post(ahead)
    chain.pending_timestamp = now + 101
    post(ahead)
    assert reports.latestReport(FEED) == ahead[1:]


@pytest.mark.parametrize("age", [0, 1, 10**6])
def test_a_report_that_is_not_newer_is_left_out(post, reports, report, age):
    post(report)
    late = (FEED, WAD, 0, report[3] - age)
    assert reports.post.call([late], [signed(reports, late)]) == [False]
    assert not post(late).events
    assert reports.latestReport(FEED) == report[1:]


def test_the_second_report_of_a_feed_in_a_block_is_left_out(post, reports, now):
    first, second = (FEED, WAD, 0, now - 1), (FEED, 2 * WAD, 0, now)
    third = (OTHER, 3 * WAD, 0, now)
    batch = [first, second, third]
    signatures = [signed(reports, report) for report in batch]
    assert reports.post.call(batch, signatures) == [True, False, True]
    post(*batch)
    assert reports.latestReport(FEED) == first[1:]
    assert reports.latestReport(OTHER) == third[1:]
    post(second)
    assert reports.latestReport(FEED) == second[1:]


def test_two_posts_in_a_block_are_one_price(several, actors, reports, now):
    """As two transactions of a block are: the calls share nothing but the block."""
    batch = [(FEED, WAD, 0, now - 1), (FEED, 2 * WAD, 0, now)]
    calls = [POST + encode(POST_TYPES, [[r], [signed(reports, r)]]) for r in batch]
    several.tryMany(reports, calls, sender=actors.outsider)
    assert reports.latestReport(FEED) == batch[0][1:]


def test_one_bad_report_refuses_all(post, reports, report, now):
    bad = (OTHER, 0, 0, now)
    with reverts_with("InvalidReport", feed=OTHER):
        post(report, bad)
    assert reports.latestReport(FEED) == (0, 0, 0)


def test_reports_and_signatures_come_in_pairs(post, reports, report):
    with reverts_with("LengthMismatch"):
        post(report, signatures=[signed(reports, report)] * 2)


def test_signers_are_replaced_as_a_whole(reports, actors, report, refuses):
    old, new = [key.address for key in SIGNERS], [key.address for key in KEYS[1:]]
    receipt = reports.setSigners(new, 3, sender=actors.governor)
    assert receipt.events == [
        reports.SignersSet(oldSigners=old, oldThreshold=THRESHOLD, newSigners=new, newThreshold=3)
    ]
    assert reports.signers() == (new, 3)
    refuses(signed(reports, report, SIGNERS))
    reports.requireSigned(reports.priceDigest(report), signed(reports, report, KEYS[1:]))


def test_only_the_governor_sets_signers(reports, actors):
    with reverts_with("AccessManagedUnauthorized", caller=actors.outsider):
        reports.setSigners([STRANGER.address], 1, sender=actors.outsider)


def addresses_of(count):
    return [f"0x{i:040x}" for i in range(1, count + 1)]


@pytest.mark.parametrize(
    ("count", "threshold"), [(1, 0), (1, 2), (2, 1), (3, 1), (4, 2), (16, 8), (16, 17)]
)
def test_a_threshold_is_more_than_half_and_at_most_all(reports, actors, count, threshold):
    with reverts_with("ThresholdOutOfRange", threshold=threshold, signers=count):
        reports.setSigners(addresses_of(count), threshold, sender=actors.governor)


@pytest.mark.parametrize(
    ("count", "threshold"), [(1, 1), (2, 2), (3, 2), (4, 3), (16, 9), (16, 16)]
)
def test_thresholds_at_both_ends_are_accepted(reports, actors, count, threshold):
    reports.setSigners(addresses_of(count), threshold, sender=actors.governor)
    assert reports.signers()[1] == threshold


@pytest.mark.parametrize("count", [0, 17])
def test_there_are_one_to_sixteen_signers(reports, actors, count):
    name = b"signers".ljust(32, b"\0")
    with reverts_with("ParameterOutOfRange", name=name, value=count, min=1, max=16):
        reports.setSigners(addresses_of(count), count, sender=actors.governor)


@pytest.mark.parametrize(
    ("order", "culprit"), [((1, 2, 2), 2), ((2, 1, 3), 1), ((0, 1, 2), 0)], ids=str
)
def test_signers_ascend_and_none_is_zero(reports, actors, order, culprit):
    addresses = [f"0x{i:040x}" for i in order]
    with reverts_with("SignersNotAscending", signer=f"0x{culprit:040x}"):
        reports.setSigners(addresses, 2, sender=actors.governor)


posts = st.tuples(
    st.sampled_from([FEED, OTHER]),
    st.one_of(st.sampled_from([0, 1, 2**96 - 1]), st.integers(0, 2**96 - 1)),
    st.one_of(st.sampled_from([0, 1]), st.integers(0, 2**96 - 1)),
    st.integers(-3, 1),
)


@settings(max_examples=10)
@given(blocks=st.lists(st.lists(posts, min_size=1, max_size=4), min_size=1, max_size=4))
def test_posts_of_any_kind_are_those_of_the_model(
    reports, source, several, bench, actors, chain, now, blocks
):
    def model_post(report, time, height):
        return ([model.post(report[0], Reading(*report[1:]), time, height)],)

    model = Reports()
    with chain.isolate():
        for height, block in enumerate(blocks):
            time = now + 10 * (height + 1)
            batch = [(feed, price, c, time + age) for feed, price, c, age in block]
            signatures = [signed(reports, r, SIGNERS[:THRESHOLD]) for r in batch]
            calls = [
                POST + encode(POST_TYPES, [[r], [s]])
                for r, s in zip(batch, signatures, strict=True)
            ]
            chosen = [predicted(model_post, r, time, height, types=["bool[]"]) for r in batch]
            # A call is answered as of the latest block, in which nothing was posted.
            chain.mine(timestamp=time - 5)
            assert list(bench.try_many(reports, calls, time)) == chosen
            chain.pending_timestamp = time
            several.tryMany(reports, calls, sender=actors.outsider)
            assert bench.read(source) == predicted(model.read, FEED)
