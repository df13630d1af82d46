"""What the library stores when it decrypts and encrypts with one session at a time: nothing that was sent with is put back."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from signal_rows import OUR_JID, PUT_SESSION, SCHEMA

from wasess.store import send_chain, undo_log

CAROL = "carol_1:0"


def record(chain: str, index: int, received: int = 0, *, theirs: tuple[str, ...] = ("carol's",), base: str = "base") -> dict[str, Any]:
    """A session that sends with this chain, and has sent and received so many with the newest."""
    sender = {"SenderRatchetKeyPublic": chain, "SenderRatchetKeyPrivate": f"private {chain}", "MessageKeys": []}
    sender["ChainKey"] = {"Key": f"{chain} at {index}", "Index": index}
    receivers = [
        {"SenderRatchetKeyPublic": name, "ChainKey": {"Key": f"at {received}", "Index": received}, "MessageKeys": []} for name in theirs
    ]
    state = {"SenderChain": sender, "ReceiverChains": receivers, "PreviousCounter": 3, "PendingPreKey": None, "NeedsRefresh": False}
    return {"SessionState": {**state, "SenderBaseKey": base}, "PreviousStates": []}


@pytest.fixture
def database():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    undo_log.install(connection)
    yield connection
    connection.close()


def put(database: sqlite3.Connection, content: Any) -> None:
    database.execute(PUT_SESSION, (OUR_JID, CAROL, content if isinstance(content, bytes) else json.dumps(content).encode()))


def stored(database: sqlite3.Connection) -> Any:
    (content,) = database.execute("SELECT session FROM whatsmeow_sessions WHERE their_id = ?", (CAROL,)).fetchone()
    assert isinstance(content, bytes), "as the library reads it"
    return json.loads(content)


def test_what_was_encrypted_in_between_is_not_put_back_and_what_was_received_is_new(database):
    put(database, record("ours", 7, received=4))
    put(database, record("ours", 8, received=4))  # a message went out
    put(database, record("ours", 7, received=5))  # one came in, and was begun with before
    assert stored(database) == record("ours", 8, received=5)


def test_a_session_does_not_go_back_to_before_a_turn_of_the_ratchet(database):
    put(database, record("ours", 7))
    put(database, record("our next", 0, theirs=("carol's", "carol's next")))  # a message came in
    put(database, record("ours", 8))  # one went out, and was begun with before
    assert stored(database) == record("our next", 0, theirs=("carol's", "carol's next"))
    put(database, record("our next", 1, theirs=("carol's", "carol's next")))
    assert stored(database) == record("our next", 1, theirs=("carol's", "carol's next"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (record("ours", 7, theirs=("a", "b")), record("others", 0, theirs=("c",), base="another")),
        (record("ours", 7, theirs=("a", "b")), record("our next", 0, theirs=("b", "c"))),
        (record("ours", 7, theirs=()), record("ours", 8, theirs=())),
        (record("ours", 7), record("ours", 8)),
        (record("ours", 7, received=9), record("ours", 7, received=4)),
        (record("ours", 7), record("our next", 0)),
        (record("ours", 7), {"SessionState": {"SenderChain": None}, "PreviousStates": []}),
        ({"SessionState": {"SenderChain": None}}, record("ours", 0)),
    ],
    ids=[
        "another session",
        "the oldest chain is gone",
        "nothing came yet",
        "longer",
        "received less",
        "another chain",
        "no chain any more",
        "the first chain",
    ],
)
def test_all_else_is_stored_as_it_is(database, first, second):
    put(database, first)
    put(database, second)
    assert stored(database) == second


@pytest.mark.parametrize(("first", "second"), [(b"\x00\xff no JSON", b"[]"), (b"[]", b"\x00\xff no JSON"), (b"", b"{}"), (b"{}", b"null")])
def test_what_is_no_session_stops_nothing(database, first, second):
    put(database, first)
    put(database, second)
    assert database.execute("SELECT session FROM whatsmeow_sessions").fetchall() == [(second,)]


def test_a_session_of_another_contact_is_left_alone(database):
    database.execute(PUT_SESSION, (OUR_JID, "dave_1:0", json.dumps(record("ours", 1)).encode()))
    put(database, record("ours", 8))
    put(database, record("ours", 7))
    dave = database.execute("SELECT session FROM whatsmeow_sessions WHERE their_id = 'dave_1:0'").fetchone()[0]
    assert json.loads(dave) == record("ours", 1)


def test_a_table_of_another_shape_gets_no_trigger():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE whatsmeow_sessions (our_jid TEXT, their_id TEXT, content BLOB)")
        undo_log.install(connection)
        assert not connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()


def test_the_statement_names_its_trigger():
    assert send_chain.trigger("some_name").startswith("CREATE TRIGGER some_name AFTER UPDATE OF session ON whatsmeow_sessions ")
