"""The clock of the parameters with a guardian, a governor and an uptime feed."""

import pytest
from reverts import reverts_with

HOUR, DAY = 3_600, 86_400
UP, DOWN = 0, 1
LASTING = 2**40 - 1
GRACE = 600


@pytest.fixture
def guardian(actors):
    return actors.guardian


@pytest.fixture
def feed(project, actors):
    return actors.admin.deploy(project.MockAggregator, 0, "sequencer")


@pytest.fixture
def sequencer(feed, parameters, actors, chain):
    """Let the sequencer go up or down, as of some seconds before the next block."""
    rounds = [0]

    def change(answer, ago=0, number=None):
        rounds[0] = rounds[0] + 1 if number is None else number
        since = chain.blocks.head.timestamp - ago
        feed.setRound(rounds[0], answer, since, since, rounds[0], sender=actors.admin)
        return since

    change(UP)
    parameters.setSequencerFeed(feed, GRACE, sender=actors.governor)
    parameters.syncSequencer(sender=actors.outsider)
    return change


def stopped(parameters, chain):
    return chain.blocks.head.timestamp - parameters.activeTime()


def sync(parameters, actors):
    return parameters.syncSequencer(sender=actors.outsider)


def test_a_declared_outage_stops_the_clock_until_it_ends(parameters, guardian, chain):
    assert stopped(parameters, chain) == 0 and not parameters.isOutage()
    receipt = parameters.declareOutage(1_000, sender=guardian)
    (event,) = receipt.decode_logs(parameters.OutageDeclared)
    start = receipt.timestamp
    assert (getattr(event, "from"), event.until) == (start, start + 1_000)
    for after, expected, is_outage in ((0, 0, True), (999, 999, True), (1_000, 1_000, False)):
        if after:
            chain.mine(timestamp=start + after)
        assert (stopped(parameters, chain), parameters.isOutage()) == (expected, is_outage)
    chain.mine(timestamp=start + 5_000)
    assert stopped(parameters, chain) == 1_000
    assert list(parameters.outage()) == [0, start, start + 1_000, 0, 0]


def test_a_guardian_ends_an_outage_early(parameters, guardian, chain):
    start = parameters.declareOutage(1_000, sender=guardian).timestamp
    chain.mine(timestamp=start + 300)
    end = parameters.endOutage(sender=guardian)
    (event,) = end.decode_logs(parameters.OutageEnded)
    assert event.until == end.timestamp
    chain.mine(deltatime=HOUR)
    assert stopped(parameters, chain) == end.timestamp - start
    assert not parameters.endOutage(sender=guardian).decode_logs(parameters.OutageEnded)


def test_a_guardian_gone_bad_holds_up_half_of_the_time_at_most(parameters, guardian, chain):
    name = b"seconds".ljust(32, b"\0")
    for seconds in (0, DAY + 1):
        with reverts_with("ParameterOutOfRange", name=name, value=seconds, min=1, max=DAY):
            parameters.declareOutage(seconds, sender=guardian)
    start = parameters.declareOutage(DAY, sender=guardian).timestamp
    earliest = start + 2 * DAY
    for time in (start + 1, start + DAY + 1, earliest - 1):
        chain.pending_timestamp = time
        with reverts_with("OutageTooSoon", timestamp=time, earliest=earliest):
            parameters.declareOutage(1, sender=guardian)
    chain.pending_timestamp = earliest
    parameters.declareOutage(1, sender=guardian)
    chain.mine(deltatime=10)
    assert stopped(parameters, chain) == DAY + 1


def test_a_sequencer_outage_counts_from_its_start_to_its_end(parameters, sequencer, actors, chain):
    down = sequencer(DOWN, ago=50)
    (event,) = sync(parameters, actors).decode_logs(parameters.SequencerSynced)
    assert (event.outageFrom, event.sequencerUntil) == (down, LASTING)
    chain.mine(deltatime=10 * DAY)
    assert parameters.isOutage() and parameters.activeTime() == down
    up = sequencer(UP, ago=100)
    sync(parameters, actors)
    assert stopped(parameters, chain) == up - down
    assert parameters.isOutage()
    chain.mine(timestamp=up + GRACE - 1)
    assert parameters.isOutage()
    chain.mine(timestamp=up + GRACE)
    assert not parameters.isOutage()
    assert not sync(parameters, actors).decode_logs(parameters.SequencerSynced)


def test_the_first_transaction_after_an_outage_finds_it(parameters, sequencer, actors, chain):
    """Nobody has synced, and yet nobody can act on prices, or clocks, of before the outage."""
    sync(parameters, actors)
    chain.mine(deltatime=DAY)
    down = sequencer(DOWN, ago=50)
    assert parameters.isOutage() and parameters.activeTime() == down
    up = sequencer(UP)
    assert parameters.isOutage() and stopped(parameters, chain) == up - down
    chain.mine(timestamp=up + GRACE)
    assert not parameters.isOutage() and stopped(parameters, chain) == up - down
    sync(parameters, actors)
    assert stopped(parameters, chain) == up - down


def test_another_feed_loses_nothing_that_the_last_one_told_of(parameters, sequencer, actors, chain):
    sync(parameters, actors)
    chain.mine(deltatime=DAY)
    down = sequencer(DOWN, ago=50)
    parameters.setSequencerFeed("0x" + "00" * 20, 0, sender=actors.governor)
    assert stopped(parameters, chain) == chain.blocks.head.timestamp - down


def test_another_feed_moves_no_clock(project, parameters, sequencer, actors, chain):
    """Or a ramp that was over would have begun again, and who was healthy been liquidatable."""
    another = actors.admin.deploy(project.MockAggregator, 0, "sequencer")
    since = chain.blocks.head.timestamp - 10 * HOUR
    another.setRound(1, DOWN, since, since, 1, sender=actors.admin)
    chosen = parameters.setSequencerFeed(another, GRACE, sender=actors.governor).timestamp
    assert parameters.activeTime() == chosen and parameters.isOutage()
    chain.mine(deltatime=HOUR)
    assert parameters.activeTime() == chosen


# Calls the target (word 0) with the gas of word 1 and the selector behind it, then with the next
# selector and all gas; returns what that returns.
TWO_CALLS = (
    "604035600052"  # the first selector
    "60006000600460006000"
    "600035"
    "602035"
    "f150"
    "604435600052"  # the second
    "6020602060046000"
    "600035"
    "5a"
    "fa50"
    "60206020f3"
)


def test_a_sync_that_is_short_of_gas_keeps_nobody_from_asking(parameters, sequencer, actors, chain):
    """A sync spares what follows in its transaction the feed, but not if it could not ask it."""
    down = sequencer(DOWN, ago=50)
    caller = "0x" + "11" * 20
    chain.provider.set_code(caller, "0x" + TWO_CALLS)
    selectors = b"".join(
        method.encode_input()[:4] for method in (parameters.syncSequencer, parameters.activeTime)
    )
    for gas in range(1_000, 60_000, 500):
        words = int(parameters.address, 16).to_bytes(32, "big") + gas.to_bytes(32, "big")
        call = {"to": caller, "data": "0x" + (words + selectors).hex()}
        assert int(chain.provider.web3.eth.call(call).hex(), 16) == down, gas


def test_overlapping_outages_count_once(parameters, sequencer, actors, chain):
    start = parameters.declareOutage(HOUR, sender=actors.guardian).timestamp
    chain.mine(timestamp=start + 600)
    sequencer(DOWN, ago=100)
    sync(parameters, actors)
    chain.mine(timestamp=start + 2 * HOUR)
    up = sequencer(UP)
    sync(parameters, actors)
    chain.mine(deltatime=DAY)
    # From the declaration to the sequencer's return; not the declared hour once more.
    assert stopped(parameters, chain) == up - start


def test_a_missed_outage_is_counted_afterwards(parameters, sequencer, actors, chain):
    chain.mine(deltatime=DAY)
    down = sequencer(DOWN, ago=5_000)
    up = sequencer(UP, ago=2_000)
    sync(parameters, actors)
    assert stopped(parameters, chain) == up - down
    sync(parameters, actors)
    assert stopped(parameters, chain) == up - down


def test_a_first_look_at_a_feed_looks_up_no_round_before(parameters, feed, actors, chain):
    now = chain.blocks.head.timestamp
    feed.setRound(1, DOWN, now - 500, now - 500, 1, sender=actors.admin)
    feed.setRound(2, UP, now - 100, now - 100, 2, sender=actors.admin)
    parameters.setSequencerFeed(feed, GRACE, sender=actors.governor)
    sync(parameters, actors)
    assert stopped(parameters, chain) == 0
    assert parameters.outage().sequencerRound == 2


def test_a_broken_feed_says_nothing_and_reverts_nothing(project, parameters, feed, actors, chain):
    """Without code, without rounds, with another answer, with times that cannot be."""
    now = chain.blocks.head.timestamp
    before = None
    for address in (actors.outsider.address, parameters.address, feed.address):
        parameters.setSequencerFeed(address, GRACE, sender=actors.governor)
        before = before or list(parameters.outage())
        sync(parameters, actors)
        assert list(parameters.outage()) == before
    rounds = [(7, DOWN, 0), (7, DOWN, now + 10**6), (7, -1, now), (7, 2, now), (7, 2**255 - 1, now)]
    for number, answer, since in rounds:
        feed.setRound(number, answer, since, since, number, sender=actors.admin)
        sync(parameters, actors)
        assert list(parameters.outage()) == before
    parameters.setSequencerFeed("0x" + "00" * 20, 0, sender=actors.governor)
    sync(parameters, actors)
    assert list(parameters.outage()) == before


def test_a_missed_round_that_cannot_be_read_is_no_outage(parameters, sequencer, actors, chain):
    sequencer(UP, ago=100, number=9)
    sync(parameters, actors)
    assert stopped(parameters, chain) == 0
    assert parameters.outage().sequencerRound == 9


def test_another_feed_ends_the_outage_of_the_last(parameters, sequencer, actors, chain):
    down = sequencer(DOWN)
    sync(parameters, actors)
    chain.mine(deltatime=HOUR)
    other = actors.outsider.address
    receipt = parameters.setSequencerFeed(other, 0, sender=actors.governor)
    (event,) = receipt.decode_logs(parameters.SequencerFeedSet)
    assert (event.newFeed, event.oldGraceSeconds, event.newGraceSeconds) == (other, GRACE, 0)
    chain.mine(deltatime=HOUR)
    assert stopped(parameters, chain) == receipt.timestamp - down
    assert list(parameters.outage())[3:] == [receipt.timestamp, 0]
    name = b"graceSeconds".ljust(32, b"\0")
    with reverts_with("ParameterOutOfRange", name=name, value=DAY + 1, min=0, max=DAY):
        parameters.setSequencerFeed(other, DAY + 1, sender=actors.governor)


def test_a_declaration_takes_in_what_the_sequencer_did_first(parameters, sequencer, actors, chain):
    """An outage that nobody saw would have been lost behind the declared one."""
    sync(parameters, actors)
    chain.mine(deltatime=DAY)
    down = sequencer(DOWN, ago=50)
    up = sequencer(UP)
    start = parameters.declareOutage(100, sender=actors.guardian).timestamp
    chain.mine(timestamp=start + 100)
    assert parameters.isOutage()
    assert stopped(parameters, chain) == up - down + 100


def test_active_time_never_runs_back_nor_ahead_of_time_between_syncs(parameters, actors, chain):
    """Every second counts or does not: declarations, ends and passing time leave no jump."""
    actions = [
        lambda: parameters.declareOutage(2 * HOUR, sender=actors.guardian),
        lambda: chain.mine(deltatime=HOUR),
        lambda: parameters.endOutage(sender=actors.guardian),
        lambda: chain.mine(deltatime=2 * DAY),
        lambda: parameters.declareOutage(DAY, sender=actors.guardian),
        lambda: parameters.endOutage(sender=actors.guardian),
        lambda: chain.mine(deltatime=3 * DAY),
        lambda: parameters.declareOutage(60, sender=actors.guardian),
        lambda: chain.mine(deltatime=HOUR),
    ]
    time, active = chain.blocks.head.timestamp, parameters.activeTime()
    for action in actions:
        action()
        later, counted = chain.blocks.head.timestamp, parameters.activeTime()
        assert active <= counted <= active + later - time
        time, active = later, counted


def test_a_feed_that_tells_of_an_outage_long_ago_sets_no_clock_back_further_than_a_day(
    parameters, sequencer, feed, actors, chain
):
    """A single round, down since 1970, would have stopped every clock of the system for 56 years.

    Active time fell to a second and went on from there: ramps, scan ranges and stable prices stood
    still, volatilities could not be sampled, and no function of anybody's could repair it.
    """
    feed.setRound(2, DOWN, 1, 1, 2, sender=actors.admin)
    seen = sync(parameters, actors).timestamp
    assert stopped(parameters, chain) == DAY
    none = parameters.setSequencerFeed("0x" + "00" * 20, 0, sender=actors.governor).timestamp
    chain.mine(deltatime=HOUR)
    assert stopped(parameters, chain) == none - seen + DAY


def test_a_missed_outage_counts_as_far_as_it_lies_in_the_last_day(
    parameters, sequencer, actors, chain
):
    """The round before the latest could set the clock back as far as the latest itself."""
    sequencer(DOWN, ago=1_000 * DAY)
    up = sequencer(UP, ago=HOUR)
    seen = sync(parameters, actors).timestamp
    assert stopped(parameters, chain) == up - (seen - DAY)


@pytest.mark.parametrize("code", ["0xfe", "0x622000005ffd", "0x622000005ff3"])
def test_a_feed_that_burns_gas_or_answers_at_length_costs_a_bounded_amount(
    parameters, sequencer, feed, actors, chain, code
):
    """Every price asks the clock: such a feed would have taken all gas there was.

    No collateral could have been deposited, nothing settled and nobody liquidated until the
    governor's delay had passed. The three: an invalid instruction, and two megabytes of error or
    of answer.
    """
    chain.provider.set_code(feed.address, code)
    receipt = parameters.syncSequencer(sender=actors.outsider, gas_limit=10_000_000)
    assert receipt.gas_used < 300_000
    assert not parameters.isOutage()
