"""Accounts found from events and remembered: through restarts and reorganisations, exactly once."""

import sqlite3

import pytest

from scripts.keeping.chain import Head, Log, NodeError
from scripts.keeping.checkpoint import KEPT_BLOCKS, Checkpoint, CheckpointError
from scripts.keeping.discovery import Discovery

TOUCHED = 0xA1
SOLD = 0xB2
FIELDS = {f"0x{TOUCHED:064x}": (1,), f"0x{SOLD:064x}": (1, 2)}
ALICE, BOB, CAROL = 0x100, 0x200, 0x300


class Blocks:
    """A chain of blocks with events; a branch can replace its end."""

    def __init__(self):
        self.heads = [Head(0, "genesis", 0)]
        self.events = {}
        self.limit = 10**9
        self.asked = []

    def mine(self, *events, branch="a"):
        number = len(self.heads)
        self.heads.append(Head(number, f"{branch}{number}", 12 * number))
        self.events[number] = events
        return self

    def drop(self, count):
        del self.heads[-count:]
        return self

    def head(self):
        return self.heads[-1]

    def block(self, number):
        return self.heads[number] if number < len(self.heads) else None

    def first_block_of(self, address):
        return 1

    def logs(self, address, topics, first, last):
        self.asked.append((first, last))
        found = [(n, e) for n in range(first, last + 1) for e in self.events[n]]
        if len(found) > self.limit:
            raise NodeError("query returned more than 1 result")
        assert set(topics) == set(FIELDS)
        return [Log(number, event) for number, event in found]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper.sqlite"


@pytest.fixture
def memory(path):
    return Checkpoint(path, "1 0x00 engine")


def discovery(chain, memory, **settings):
    return Discovery(chain, memory, "0xengine", FIELDS, **settings)


def known(path):
    rows = sqlite3.connect(path).execute(
        "SELECT account, first_block, last_block FROM accounts ORDER BY first_block, account"
    )
    return [(int(account, 16), first, last) for account, first, last in rows]


def held(memory):
    return [(account, holdings) for _, account, holdings in memory.changes()]


def test_every_account_that_an_event_names_is_found_with_its_blocks(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine().mine((SOLD, ALICE, BOB), (TOUCHED, CAROL))
    sync = discovery(chain, memory).sync()
    assert (sync.head.number, sync.blocks, sync.stepped_back) == (3, 3, 0)
    assert known(path) == [(ALICE, 1, 3), (BOB, 3, 3), (CAROL, 3, 3)]
    assert memory.unread() == sorted([ALICE, BOB, CAROL])


def test_restart_reads_only_what_is_new(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((TOUCHED, BOB))
    discovery(chain, memory).sync()
    memory.remember([(ALICE, [1.5, 0, [], [], 0]), (BOB, [2.5, 0, [], [], 0])], 2)
    memory.close()
    chain.mine((TOUCHED, BOB))
    chain.asked.clear()
    again = Checkpoint(path, "1 0x00 engine")
    discovery(chain, again).sync()
    assert chain.asked == [(3, 3)]
    assert again.unread() == [BOB]
    assert held(again) == [(ALICE, [1.5, 0, [], [], 0])]
    chain.asked.clear()
    discovery(chain, again).sync()
    assert chain.asked == [] and again.unread() == [BOB]


def test_reading_the_same_blocks_twice_changes_nothing(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((SOLD, ALICE, BOB))
    discovery(chain, memory).sync()
    before = known(path)
    memory.step_back(0)
    assert known(path) == []
    discovery(chain, memory).sync()
    discovery(chain, memory).sync()
    assert known(path) == before


def test_reorganisation_steps_back_to_the_last_block_shared(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE))
    reading = discovery(chain, memory)
    reading.sync()
    chain.mine((TOUCHED, ALICE))
    reading.sync()
    chain.mine((TOUCHED, BOB))
    reading.sync()
    memory.remember([(ALICE, [1.0, 0, [], [], 0]), (BOB, [2.0, 0, [], [], 0])], 3)
    chain.drop(2).mine(branch="b").mine((TOUCHED, CAROL), branch="b").mine(branch="b")
    sync = reading.sync()
    assert sync.stepped_back == 2
    assert known(path) == [(ALICE, 1, 1), (CAROL, 3, 3)]
    assert memory.unread() == sorted([ALICE, CAROL]), "what was read on the branch is read again"
    assert memory.blocks()[0] == (4, "b4")


def test_chain_that_became_shorter_is_followed(memory, path):
    chain = Blocks()
    reading = discovery(chain, memory)
    for event in ((TOUCHED, ALICE), (TOUCHED, BOB), (TOUCHED, CAROL)):
        chain.mine(event)
        reading.sync()
    chain.drop(2)
    assert reading.sync().stepped_back == 2
    assert known(path) == [(ALICE, 1, 1)]
    chain.mine((TOUCHED, BOB), branch="b")
    reading.sync()
    assert known(path) == [(ALICE, 1, 1), (BOB, 2, 2)]


def test_chain_that_shares_nothing_is_read_from_the_start(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((TOUCHED, BOB))
    reading = discovery(chain, memory)
    reading.sync()
    chain.drop(2).mine(branch="b").mine((TOUCHED, CAROL), branch="b")
    assert reading.sync().stepped_back == 2
    assert known(path) == [(CAROL, 2, 2)]


def test_account_read_on_a_branch_is_read_again(memory):
    """Nobody touched it there, but what it holds depends on what was."""
    chain = Blocks().mine((TOUCHED, ALICE))
    reading = discovery(chain, memory)
    reading.sync()
    chain.mine()
    reading.sync()
    memory.remember([(ALICE, [1.0, 0, [], [], 0])], 2)
    chain.drop(1).mine(branch="b")
    reading.sync()
    assert memory.unread() == [ALICE]


def test_account_known_before_a_reorganisation_stays(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE))
    reading = discovery(chain, memory)
    reading.sync()
    memory.remember([(ALICE, [1.0, 0, [], [], 0])], 1)
    chain.mine((TOUCHED, BOB))
    reading.sync()
    chain.drop(1).mine(branch="b")
    reading.sync()
    assert held(memory) == [(ALICE, [1.0, 0, [], [], 0])], "nothing of it was undone"


def test_nodes_that_limit_answers_are_asked_for_less(memory, path):
    chain = Blocks()
    for account in range(0x100, 0x100 + 40):
        chain.mine((TOUCHED, account))
    chain.limit = 8
    sync = discovery(chain, memory).sync()
    assert sync.touched == 40 and len(known(path)) == 40
    assert len(chain.asked) < 20, "in parts as large as the node answers"
    chain.mine(*((TOUCHED, account) for account in range(9)))
    with pytest.raises(NodeError):
        discovery(chain, memory).sync()
    assert len(known(path)) == 40, "what one block holds cannot be asked for in parts"


def test_failure_in_the_middle_leaves_what_was_read(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((TOUCHED, BOB))

    class Failing(Blocks):
        def logs(self, address, topics, first, last):
            if last > 1:
                raise NodeError("gone")
            return super().logs(address, topics, first, last)

    failing = Failing()
    failing.heads, failing.events = chain.heads, chain.events
    with pytest.raises(NodeError):
        discovery(failing, memory).sync()
    assert known(path) == [(ALICE, 1, 1)]
    discovery(chain, memory).sync()
    assert known(path) == [(ALICE, 1, 1), (BOB, 2, 2)]


def test_latest_blocks_wait_for_confirmations(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((TOUCHED, BOB)).mine()
    reading = discovery(chain, memory, confirmations=2)
    reading.sync()
    assert known(path) == [(ALICE, 1, 1)]
    chain.mine()
    reading.sync()
    assert known(path) == [(ALICE, 1, 1), (BOB, 2, 2)]


def test_commands_that_share_a_file_learn_from_one_another(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE), (TOUCHED, BOB))
    other = Checkpoint(path, "1 0x00 engine")
    discovery(chain, memory).sync()
    memory.remember([(ALICE, [1.0, 0, [], [], 0])], 1)
    (first,) = other.changes()
    assert first[1:] == (ALICE, [1.0, 0, [], [], 0])
    assert list(other.changes(first[0])) == [] and other.unread() == [BOB]
    other.remember([(BOB, [2.0, 0, [], [], 0])], 1)
    (second,) = memory.changes(first[0])
    assert second[1:] == (BOB, [2.0, 0, [], [], 0]) and memory.accounts() == {ALICE, BOB}


def test_what_was_read_before_an_account_was_touched_is_not_kept(memory):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((TOUCHED, ALICE))
    discovery(chain, memory).sync()
    memory.remember([(ALICE, [1.0, 0, [], [], 0])], 1)
    assert memory.unread() == [ALICE] and held(memory) == []
    memory.remember([(ALICE, [2.0, 0, [], [], 0])], 2)
    assert memory.unread() == [] and held(memory) == [(ALICE, [2.0, 0, [], [], 0])]


def test_first_block_may_be_named(memory, path):
    chain = Blocks().mine((TOUCHED, ALICE)).mine((TOUCHED, BOB))
    discovery(chain, memory, first_block=2).sync()
    assert known(path) == [(BOB, 2, 2)]


def test_hashes_kept_are_bounded(memory):
    chain, reading = Blocks(), None
    reading = discovery(chain, memory)
    for _ in range(KEPT_BLOCKS + 20):
        chain.mine()
        reading.sync()
    assert len(memory.blocks()) == KEPT_BLOCKS


def test_transaction_that_fails_is_undone(memory, path):
    def touched():
        yield ALICE, 1
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        memory.advance(touched(), Head(1, "a1", 12))
    assert known(path) == [] and memory.blocks() == []


def test_checkpoint_of_another_engine_or_no_checkpoint_is_refused(memory, path, tmp_path):
    memory.begin(0)
    memory.close()
    with pytest.raises(CheckpointError, match="is of another engine or chain"):
        Checkpoint(path, "2 0x00 engine")
    broken = tmp_path / "broken.sqlite"
    broken.write_text("this is no database, but it is long enough to be taken for a header " * 20)
    with pytest.raises(CheckpointError, match="delete it to read the chain anew"):
        Checkpoint(broken, "1 0x00 engine")


def test_damaged_checkpoint_says_what_to_do(memory, path):
    memory.advance([(ALICE, 1)], Head(1, "a1", 12))
    memory.remember([(ALICE, [1.0])], 1)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE accounts SET holdings = '[1'")
    with pytest.raises(CheckpointError, match=r"is damaged .*: delete it to read the chain anew"):
        list(memory.changes())


def test_spending_of_a_day_outlives_a_restart(memory, path):
    memory.spend(1_000, "bid", ALICE, 40.0, "0x01")
    memory.spend(90_000, "bid", BOB, 2.5, "0x02")
    memory.close()
    again = Checkpoint(path, "1 0x00 engine")
    assert again.spent(0) == 42.5 and again.spent(1_001) == 2.5 and again.spent(90_001) == 0
