"""What a stranger can write into the library's log: ids, names and types made of its own sentences. The real library against the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from strangers import SENTENCES, STRANGE
from test_manager_wire import managing
from worker_rig import figure, rig

from wasess.core import events
from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node
from wasess.sandbox.service import STRANGER

if TYPE_CHECKING:
    from worker_rig import Follower, Rig

pytestmark = pytest.mark.wire

# The version stands in the upper half of the first byte; the library knows 3 alone, and says which one it was: "(prekey message)".
OF_AN_UNKNOWN_VERSION = b"\x43\x08\x01"
MOST_THREADS = 64


def stanza(message_id: str, *content: Node, sender: object = STRANGER, **changed: str) -> Node:
    attrs = {"from": sender, "id": message_id, "type": "text", "t": str(int(time.time())), "notify": "stranger", **changed}
    return Node("message", attrs, list(content))


def unreadable(kind: str = "pkmsg") -> Node:
    return Node("enc", {"v": "2", "type": kind}, OF_AN_UNKNOWN_VERSION)


def unknown_kind() -> Node:
    """The library makes no event of it, and acknowledges it."""
    return Node("enc", {"v": "2", "type": "rot13"}, b"uryyb")


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def taken(it: Rig, ids: list[str]) -> bool:
    """Whether none of these is waited for any more by the server."""
    waiting = {one for _, one in it.box.state.device("alice").pending}
    return not waiting & set(ids)


async def settled(it: Rig, follower: Follower) -> None:
    """A real message, and everything before it, has come through."""
    sent = it.box.say("bob", "alice", "all is well")
    await follower.until(lambda: sent in {message.id for message in follower.messages()}, 60)


def noted(follower: Follower) -> list[events.Missed]:
    return [event for event in follower.events if isinstance(event, events.Missed)]


async def test_an_id_that_reads_like_a_lost_database_keeps_nobody_offline(tmp_path):
    """One a second, as in the attack that kept a session offline nearly all of the time."""
    async with managing(tmp_path, "alice") as manager:
        pid = manager.pid("alice")
        for count in range(5):
            manager.it.box.send_stanza("alice", stanza(f"X{count}: file is not a database (", unreadable()))
            await manager.receives("alice", "all is well")
            await asyncio.sleep(0.5)
        assert not manager.told("alice", "DATABASE_LOST")
        assert manager.pid("alice") == pid
        assert manager.device("alice").logins == 2  # the pairing's, and this one


@pytest.mark.parametrize("words", ["file is not a database", "database or disk is full", "disk I/O error"])
async def test_an_error_that_quotes_a_stranger_means_nothing(tmp_path, words):
    """ "Input too small: …": what is too short for a sender-key message stands at the end of the line, and as a line of its own."""
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        group = Jid("120363999999999999", "g.us")
        for text in (f"3: {words}", f"3\nERROR Client: {words}", "3\nERROR Client: Failed to reconnect after 515 code: x"):
            short = Node("enc", {"v": "2", "type": "skmsg"}, text.encode())
            it.box.send_stanza("alice", stanza(f"A{len(text)}", short, sender=group, participant=STRANGER))
        await follower.until(lambda: any(f"Input too small: 3: {words}" in line for line in follower.logs))
        await settled(it, follower)
        assert not follower.hints
        assert {event.sender for event in noted(follower)} == {str(STRANGER)}
        await follower.link.stop()
        assert (await follower.ended()).value == "stopped"


async def test_no_sentence_of_the_librarys_speaks_out_of_a_strangers_mouth(tmp_path):
    """Ids, names, types and kinds of encryption, of messages and of receipts."""
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        for text in (*SENTENCES, *STRANGE):
            it.box.send_stanza("alice", stanza(text, unreadable()))
            it.box.send_stanza("alice", stanza(f"N{hash(text) & 0xFFFFFF:X}", unreadable(), notify=text, type=text))
            it.box.send_stanza("alice", stanza(f"K{hash(text) & 0xFFFFFF:X}", unreadable(text)))
            it.box.send_stanza("alice", Node("receipt", {"from": STRANGER, "id": text, "t": "1"}))
            it.box.send_stanza("alice", Node("receipt", {"from": STRANGER, "id": "R1", "t": "1", "type": text}))
        await settled(it, follower)
        assert not follower.hints
        assert {event.sender for event in noted(follower)} <= {str(STRANGER)}
        assert {event.id[0] for event in noted(follower)} <= {"N", "K"}
        receipts = [event for event in follower.events if isinstance(event, events.ReceiptCame) and "R1" not in event.ids]
        assert {(event.sender, event.ids) for event in receipts} <= {(str(STRANGER), ("A",))}  # what it may say in its own name
        assert it.box.state.device("alice").logins == 2
        await follower.link.stop()


@pytest.mark.parametrize("content", [unreadable, unknown_kind])
async def test_receipts_of_strange_ids_park_few_threads_and_go_out(tmp_path, content):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        ids = [f'A{number}" to="somebody@lid' for number in range(600)]
        most, began = 0, time.monotonic()
        for message_id in ids:
            it.box.send_stanza("alice", stanza(message_id, content()))
        sent = it.box.say("bob", "alice", "behind them all")
        device = it.box.state.device("alice")
        while ("message", sent) in device.pending:
            most = max(most, threads(follower.pid))
            await asyncio.sleep(0.02)
            assert time.monotonic() < began + 60
        figure(f"600 strange ids ({content.__name__}): {most} threads at most, {time.monotonic() - began:.1f} s")
        assert most <= MOST_THREADS
        assert not noted(follower)
        await follower.link.stop()


async def test_messages_with_strange_ids_are_acknowledged_when_they_are_spooled(tmp_path):
    """By the value of the id in the event: at once, and not after the two seconds in which nothing came."""
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        device = it.box.state.device("alice")
        began = time.monotonic()
        ids = [it.box.say("bob", "alice", "hello", message_id=text) for text in STRANGE]
        await it.box.until(lambda: not {("message", one) for one in ids} & set(device.pending), 20)
        took = time.monotonic() - began
        await follower.until(lambda: len(follower.messages()) == len(STRANGE))
        figure(f"{len(ids)} messages with strange ids were acknowledged in {took:.2f} s")
        assert took < 1.5
        assert not noted(follower)
        await follower.link.stop()


async def test_on_a_session_that_is_never_quiet_a_receipt_without_an_event_goes_out(tmp_path):
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        device = it.box.state.device("alice")
        it.box.send_stanza("alice", stanza("NOEVENT1", unknown_kind()))
        began = time.monotonic()
        while not [event for event in noted(follower) if event.id == "NOEVENT1"]:
            it.box.say("bob", "alice", "on and on")
            await asyncio.sleep(0.25)
            assert time.monotonic() < began + 20
        figure(f"after {time.monotonic() - began:.1f} s")
        assert device.logins == 2
        await follower.link.stop()


async def test_a_database_without_a_table_ends_the_worker(tmp_path):
    """The line is the library's own, and a look at the file agrees."""
    async with rig(tmp_path) as it:
        follower = await it.online("alice")
        await settled(it, follower)
        with contextlib.closing(sqlite3.connect(follower.session.folder / "device.db", isolation_level=None)) as database:
            database.execute("DROP TABLE whatsmeow_sessions")
        it.box.say("bob", "alice", "into the void")
        assert (await follower.ended()).value == "database"
