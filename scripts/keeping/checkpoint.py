"""What a keeper remembers between two runs: a SQLite file.

Accounts with the blocks in which they were first and last touched and what they held when read,
the hashes of the blocks that were read last, and what was spent. Every step is one transaction, so
that a run may end anywhere; reading the same blocks again changes nothing. Several commands may use
one file at a time: what one of them reads, the others find among the changes.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.keeping.chain import Head

# Hashes kept: beyond the oldest of them all would be read again.
KEPT_BLOCKS = 256
SCHEMA = """
CREATE TABLE IF NOT EXISTS engine (name TEXT PRIMARY KEY, first_block INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY,
    first_block INTEGER NOT NULL,
    last_block INTEGER NOT NULL,
    read_block INTEGER,
    holdings TEXT,
    revision INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS revisions ON accounts (revision);
CREATE INDEX IF NOT EXISTS unread ON accounts (account) WHERE holdings IS NULL;
CREATE TABLE IF NOT EXISTS spending (
    time INTEGER NOT NULL, what TEXT NOT NULL, account TEXT NOT NULL,
    usd REAL NOT NULL, transaction_hash TEXT NOT NULL
);
"""


class CheckpointError(Exception):
    """A file that cannot serve as checkpoint; the message says what to do."""


class Checkpoint:
    """The memory of one keeper for one engine.

    Parameters
    ----------
    path : Path
        File, made if there is none.
    engine : str
        Names the engine and its chain: a checkpoint is of one.
    """

    def __init__(self, path: Path, engine: str):
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(SCHEMA)
            known = self._database.execute("SELECT name FROM engine").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise CheckpointError(
                f"{path} cannot be used as a checkpoint ({error}): name another file with "
                "--checkpoint, or delete it to read the chain anew"
            ) from error
        if known and known[0] != engine:
            raise CheckpointError(
                f"{path} is of another engine or chain ({known[0]}): name another file with "
                "--checkpoint, or delete it to read the chain anew"
            )
        self._engine = engine

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    # --------------------------------------------------------------------------------- blocks

    @property
    def first_block(self) -> int | None:
        """Block from which events are read; none until it is known."""
        row = self._database.execute("SELECT first_block FROM engine").fetchone()
        return row[0] if row else None

    def begin(self, first_block: int) -> None:
        """Remember from where events are read."""
        self._database.execute(
            "INSERT OR REPLACE INTO engine VALUES (?, ?)", (self._engine, first_block)
        )

    def blocks(self) -> list[tuple[int, str]]:
        """Numbers and hashes of the blocks known to have been read, latest first."""
        return self._database.execute(
            "SELECT number, hash FROM blocks ORDER BY number DESC"
        ).fetchall()

    def advance(self, touched: Iterable[tuple[int, int]], head: Head) -> None:
        """Take in that accounts were touched in some blocks, and that all was read up to a block.

        Parameters
        ----------
        touched : iterable of (int, int)
            Account and block.
        head : Head
            The last block that was read.
        """
        rows = [(hex(account), block, block) for account, block in touched]
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO accounts (account, first_block, last_block) VALUES (?, ?, ?) "
                "ON CONFLICT (account) DO UPDATE SET holdings = NULL, "
                "first_block = min(first_block, excluded.first_block), "
                "last_block = max(last_block, excluded.last_block)",
                rows,
            )
            database.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", head[:2])
            database.execute(
                "DELETE FROM blocks WHERE number NOT IN "
                "(SELECT number FROM blocks ORDER BY number DESC LIMIT ?)",
                (KEPT_BLOCKS,),
            )

    def step_back(self, number: int) -> None:
        """Forget all that was learned after a block: it never was."""
        with self._transaction() as database:
            database.execute("DELETE FROM blocks WHERE number > ?", (number,))
            database.execute("DELETE FROM accounts WHERE first_block > ?", (number,))
            database.execute(
                "UPDATE accounts SET holdings = NULL, last_block = min(last_block, ?1) "
                "WHERE last_block > ?1 OR read_block > ?1",
                (number,),
            )

    # ------------------------------------------------------------------------------- accounts

    def count(self) -> int:
        return self._database.execute("SELECT count(*) FROM accounts").fetchone()[0]

    def unread(self) -> list[int]:
        """Accounts touched since they were read."""
        rows = self._database.execute("SELECT account FROM accounts WHERE holdings IS NULL")
        return [int(account, 16) for (account,) in rows]

    def remember(self, holdings: Iterable[tuple[int, list]], block: int) -> None:
        """Keep what accounts hold as of a block, unless they were touched after it."""
        rows = [(json.dumps(held), block, hex(account), block) for account, held in holdings]
        with self._transaction() as database:
            database.executemany(
                "UPDATE accounts SET holdings = ?, read_block = ?, "
                "revision = (SELECT coalesce(max(revision), 0) FROM accounts) + 1 "
                "WHERE account = ? AND last_block <= ?",
                rows,
            )

    def changes(self, since: int = 0) -> Iterator[tuple[int, int, list]]:
        """Revisions after one, accounts, and what they held when read, in that order."""
        rows = self._database.execute(
            "SELECT revision, account, holdings FROM accounts "
            "WHERE revision > ? AND holdings IS NOT NULL ORDER BY revision",
            (since,),
        )
        for revision, account, text in rows:
            try:
                held = json.loads(text)
            except ValueError as error:
                raise CheckpointError(
                    f"{self.path} is damaged ({error}): delete it to read the chain anew"
                ) from error
            yield revision, int(account, 16), held

    def accounts(self) -> set[int]:
        """All accounts."""
        rows = self._database.execute("SELECT account FROM accounts")
        return {int(account, 16) for (account,) in rows}

    def forget_holdings(self) -> None:
        """Have all accounts read anew."""
        self._database.execute("UPDATE accounts SET holdings = NULL")

    # ------------------------------------------------------------------------------- spending

    def spend(self, time: int, what: str, account: int, usd: float, transaction: str) -> None:
        """Note what an action cost."""
        self._database.execute(
            "INSERT INTO spending VALUES (?, ?, ?, ?, ?)",
            (time, what, hex(account), usd, transaction),
        )

    def spent(self, since: int) -> float:
        """USD spent from a time on."""
        return self._database.execute(
            "SELECT coalesce(sum(usd), 0) FROM spending WHERE time >= ?", (since,)
        ).fetchone()[0]
