"""A message that is sent while one of the same contact is decrypted: the library stores the older session over the newer one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.core.message import Reply
from wasess.store import undo_log

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Companion

    from wasess.sandbox import Sandbox

pytestmark = pytest.mark.wire


async def carol_reads(alice: Companion, box: Sandbox, *, kept: bool) -> list[str]:
    """What carol's phone can read of four messages, when the session is stored after the third as it was before it."""
    await alice.stop()
    await alice.start()
    await alice.event(events.Connected, count=2)
    path = alice.session.folder / "device.db"
    if not kept:
        _forget_trigger(path)
    carol = box.contact("carol")
    box.say("carol", "alice", "hello")
    await alice.text("hello")
    for text in ("first", "second"):
        await alice.link.send(f"{carol.number}@s.whatsapp.net", Reply(text))
    older = _sessions(path)
    await alice.link.send(f"{carol.number}@s.whatsapp.net", Reply("third"))
    _store(path, older)
    await alice.link.send(f"{carol.number}@s.whatsapp.net", Reply("fourth"))
    return carol.texts


async def test_the_contact_can_read_all_that_is_sent(alice: Companion, box: Sandbox):
    assert await carol_reads(alice, box, kept=True) == ["first", "second", "third", "fourth"]
    assert box.contact("carol").undecryptable == []


async def test_without_the_trigger_one_is_dropped(alice: Companion, box: Sandbox):
    assert await carol_reads(alice, box, kept=False) == ["first", "second", "third"]
    assert len(box.contact("carol").undecryptable) == 1


async def talk_across_a_turn(alice: Companion, box: Sandbox, *, kept: bool) -> list[str]:
    """What carol's phone can read, when a session is stored as it was before a turn of the ratchet with which both have gone on."""
    await alice.stop()
    await alice.start()
    await alice.event(events.Connected, count=2)
    path, carol = alice.session.folder / "device.db", box.contact("carol")
    if not kept:
        _forget_trigger(path)
    for heard, said in (("hello", "first"), ("again", "second")):
        box.say("carol", "alice", heard)
        await alice.text(heard)
        older = _sessions(path)
        await alice.link.send(f"{carol.number}@s.whatsapp.net", Reply(said))
    box.say("carol", "alice", "a turn")
    await alice.text("a turn")
    await alice.link.send(f"{carol.number}@s.whatsapp.net", Reply("third"))
    _store(path, older)
    box.say("carol", "alice", "and on")
    await alice.text("and on")
    await alice.link.send(f"{carol.number}@s.whatsapp.net", Reply("fourth"))
    return carol.texts


async def test_both_understand_each_other_after_a_turn(alice: Companion, box: Sandbox):
    assert await talk_across_a_turn(alice, box, kept=True) == ["first", "second", "third", "fourth"]
    assert not alice.of(events.Undecryptable)
    assert box.contact("carol").undecryptable == []


async def test_without_the_trigger_a_message_has_to_be_sent_again(alice: Companion, box: Sandbox):
    await talk_across_a_turn(alice, box, kept=False)
    assert alice.of(events.Undecryptable)


def _forget_trigger(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"DROP TRIGGER {undo_log.KEEPS_SENDING}")


def _sessions(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT session, our_jid, their_id FROM whatsmeow_sessions").fetchall()


def _store(path: Path, rows: list[tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executemany("UPDATE whatsmeow_sessions SET session = ? WHERE our_jid = ? AND their_id = ?", rows)
        database.commit()
