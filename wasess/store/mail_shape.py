"""The tables of ``inbox.db``: numbered migrations from each older version to the next, and whether a file still has what they made.

Version 2 has a checksum in each row (`store.row_check`); rows of version 1 have none, and are not checked against one. Version 3 has braked
chats (`store.brakes`). A file of every older version stands in tests/store/shapes.
"""

from __future__ import annotations

import sqlite3
import zlib

VERSION = 3

# Numbered migrations: entry n brings version n to n + 1.
MIGRATIONS = (
    """
    CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), inode INTEGER NOT NULL, head TEXT NOT NULL, position INTEGER NOT NULL);
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: readers remember it
        chat TEXT NOT NULL, sender TEXT NOT NULL, id TEXT NOT NULL,
        kind TEXT NOT NULL, received_at REAL NOT NULL,
        state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, retry_at REAL NOT NULL DEFAULT 0,
        detail TEXT NOT NULL DEFAULT '', finished_at REAL,
        -- What is long stands behind what is looked for.
        body BLOB,                              -- a core.message.Message as JSON; NULL once its time is over
        raw BLOB,                               -- the event, as long as something of it is to be fetched
        UNIQUE (chat, sender, id)
    );
    CREATE INDEX waiting_messages ON messages (chat, seq) WHERE state = 'waiting';
    CREATE INDEX dead_messages ON messages (seq) WHERE state = 'dead';
    CREATE INDEX unfetched_messages ON messages (seq) WHERE raw IS NOT NULL;
    CREATE INDEX old_messages ON messages (finished_at) WHERE finished_at IS NOT NULL;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,               -- the same key is never queued twice
        chat TEXT NOT NULL, body BLOB, about INTEGER,
        queued_at REAL NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
        message_id TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '',
        sent_at REAL, delivered_at REAL, read_at REAL, finished_at REAL
    );
    CREATE INDEX open_replies ON outbox (chat, seq) WHERE state IN ('queued', 'sending');
    CREATE INDEX sent_replies ON outbox (message_id) WHERE message_id <> '';
    CREATE INDEX old_replies ON outbox (finished_at) WHERE finished_at IS NOT NULL;
    CREATE TABLE gaps (
        seq INTEGER PRIMARY KEY, chat TEXT NOT NULL, sender TEXT NOT NULL, id TEXT NOT NULL, cause TEXT NOT NULL,
        count INTEGER NOT NULL, at REAL NOT NULL
    );
    CREATE UNIQUE INDEX gap_ids ON gaps (chat, sender, id) WHERE id <> '';
    CREATE TABLE readers (name TEXT PRIMARY KEY, position INTEGER NOT NULL, at REAL NOT NULL);
    """,
    """
    ALTER TABLE place ADD COLUMN checksum INTEGER;
    ALTER TABLE messages ADD COLUMN checksum INTEGER;
    ALTER TABLE outbox ADD COLUMN checksum INTEGER;
    ALTER TABLE gaps ADD COLUMN checksum INTEGER;
    ALTER TABLE readers ADD COLUMN checksum INTEGER;
    """,
    """
    CREATE TABLE brakes (chat TEXT PRIMARY KEY, sender TEXT NOT NULL, at REAL NOT NULL, checksum INTEGER);
    """,
)

# Whatever is asked often: each table with its columns, each index by its name. None of them reads a row.
_QUESTIONS = (
    "SELECT one, inode, head, position, checksum FROM place",
    "SELECT seq, chat, sender, id, kind, received_at, state, tries, retry_at, detail, finished_at, body, raw, checksum FROM messages",
    "SELECT 1 FROM messages INDEXED BY waiting_messages WHERE state = 'waiting' AND chat = '' AND seq > 0",
    "SELECT 1 FROM messages INDEXED BY dead_messages WHERE state = 'dead'",
    "SELECT 1 FROM messages INDEXED BY unfetched_messages WHERE raw IS NOT NULL AND seq > 0",
    "SELECT 1 FROM messages INDEXED BY old_messages WHERE finished_at < 0",
    "SELECT 1 FROM messages INDEXED BY sqlite_autoindex_messages_1 WHERE chat = '' AND sender = '' AND id = ''",
    "SELECT seq, key, chat, body, about, queued_at, state, tries, message_id, detail, sent_at, checksum FROM outbox",
    "SELECT delivered_at, read_at, finished_at FROM outbox",
    "SELECT 1 FROM outbox INDEXED BY open_replies WHERE chat = '' AND state IN ('queued', 'sending')",
    "SELECT 1 FROM outbox INDEXED BY sent_replies WHERE message_id = '' AND message_id <> ''",
    "SELECT 1 FROM outbox INDEXED BY old_replies WHERE finished_at < 0",
    "SELECT 1 FROM outbox INDEXED BY sqlite_autoindex_outbox_1 WHERE key = ''",
    "SELECT seq, chat, sender, id, cause, count, at, checksum FROM gaps",
    "SELECT 1 FROM gaps INDEXED BY gap_ids WHERE chat = '' AND sender = '' AND id = '' AND id <> ''",
    "SELECT name, position, at, checksum FROM readers INDEXED BY sqlite_autoindex_readers_1 WHERE name = ''",
    "SELECT chat, sender, at, checksum FROM brakes INDEXED BY sqlite_autoindex_brakes_1 WHERE chat = ''",
)


def mark(version: int) -> int:
    """The ``application_id`` of a file of a version: beside its ``user_version``, which a single bit makes another one's."""
    return zlib.crc32(f"wasess inbox {version}".encode()) & 0x7FFF_FFFF


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a file; 0: it has no tables. What is marked as of this version is, whatever its number says."""
    marked, number = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version"))
    return VERSION if marked == mark(VERSION) else number


def fault(connection: sqlite3.Connection) -> str:
    """What is wrong with the tables of a file of this version, in SQLite's words; empty when they are as they were made.

    SQLite's own checks look at pages, and take any tables for good: a bit that changes a name makes each statement about it fail.
    """
    try:
        for question in _QUESTIONS:
            connection.execute(f"{question} LIMIT 0").close()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR:
            return str(error)
        raise
    return ""
