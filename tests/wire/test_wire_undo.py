"""The undo log with the real library: what died with a worker is decrypted when it comes again, and nothing that is sent suffers."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from worker_rig import figure

from wasess.core import events
from wasess.core.message import Reply
from wasess.errors import WorkerFailed
from wasess.store import undo_log
from wasess.store.device import roll_back
from wasess.store.undo import RolledBack
from wasess.store.undo_log import KEEPS_SENDING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Companion

    from wasess.sandbox import Sandbox
    from wasess.sandbox.nodes import Node

pytestmark = pytest.mark.wire


class Story:
    """A session whose worker is killed, and a WhatsApp that brings messages again."""

    def __init__(self, alice: Companion, box: Sandbox) -> None:
        self.alice = alice
        self.box = box
        device = box.state.device(alice.user)
        assert device is not None
        self.device = device
        self.stanzas: dict[str, Node] = {}
        self.said: list[str] = []

    @property
    def path(self) -> Path:
        return self.alice.session.folder / "device.db"

    def forget_changes(self) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            undo_log.forget(database)

    def say(self, contact: str, text: str, group: str = "") -> None:
        sent = self.box.say_in_group(contact, group, text) if group else self.box.say(contact, "alice", text)
        self.stanzas[text] = self.device.pending["message", sent]
        self.said.append(text)

    async def hear(self, contact: str, text: str, group: str = "") -> None:
        self.say(contact, text, group)
        await self.alice.text(text)

    async def answer(self, contact: str, text: str) -> None:
        await self.alice.link.send(f"{self.box.contact(contact).number}@s.whatsapp.net", Reply(text))

    async def kill(self) -> None:
        await self.box.until(lambda: not self.device.pending)
        await self.alice.kill()
        await self.box.until(lambda: not self.device.online)

    def bring_again(self, *texts: str) -> None:
        for text in texts:
            node = self.stanzas[text]
            self.device.pending["message", node.text("id")] = node

    async def restart(self) -> list[str]:
        """Start a worker; return the texts that come until WhatsApp has nothing left to bring: it is told of none that is not in the spool."""
        before, logins = len(self.alice.texts), len(self.alice.of(events.Connected))
        await self.alice.start()
        await self.alice.event(events.Connected, count=logins + 1)
        await self.box.until(lambda: not self.device.pending)
        await self.alice._read_spool()
        return self.alice.texts[before:]

    def sessions(self) -> dict[str, bytes]:
        with closing(sqlite3.connect(self.path)) as database:
            return dict(database.execute("SELECT their_id, session FROM whatsmeow_sessions"))


@pytest.fixture
async def story(alice: Companion, box: Sandbox) -> Story:
    """A session that was started once with its undo log; a group of all contacts."""
    await alice.stop()
    await alice.start()
    await alice.event(events.Connected, count=2)
    box.group("club", "carol", "dave", "erin", "alice")
    return Story(alice, box)


async def everybody_writes(story: Story) -> None:
    """First messages and later ones, before and after answers, out of order, to the user and to a group."""
    await story.hear("carol", "carol 0")
    await story.hear("carol", "carol 1")
    await story.hear("dave", "dave 0")
    await story.answer("dave", "hi dave")
    await story.hear("dave", "dave 1")
    story.box.fault("alice", "reorder", "count=1")
    story.say("dave", "dave 2")
    await story.hear("dave", "dave 3")
    await story.answer("erin", "hi erin")
    await story.hear("erin", "erin 0")
    await story.hear("carol", "carol in club 0", "club")
    await story.hear("carol", "carol in club 1", "club")
    await story.hear("frank", "frank 0")
    await story.alice.text("dave 2")


async def everybody_understands(story: Story) -> None:
    """Both directions work, with everybody."""
    for contact in ("carol", "dave", "erin", "frank"):
        await story.answer(contact, f"bye {contact}")
        await story.hear(contact, f"bye from {contact}")
        await story.answer(contact, f"good night {contact}")
        account = story.box.contact(contact)
        assert account.texts[-2:] == [f"bye {contact}", f"good night {contact}"]
        assert account.undecryptable == []
    await story.hear("carol", "bye from carol in club", "club")
    assert events.Undecryptable not in {type(event) for event in story.alice.events}


async def test_what_comes_again_after_a_kill_is_decrypted_again(story: Story) -> None:
    await everybody_writes(story)
    await story.kill()
    done = roll_back(story.path)
    assert done.keys == len(story.said) + 1, "a group message that brings a sender key is two keys"
    assert roll_back(story.path) == RolledBack()
    story.bring_again(*story.said)
    assert await story.restart() == story.said
    await everybody_understands(story)


async def test_without_it_nothing_comes_again(story: Story) -> None:
    await everybody_writes(story)
    await story.kill()
    story.forget_changes()
    story.bring_again(*story.said)
    assert await story.restart() == []


async def test_what_does_not_come_again_leaves_no_trace_in_what_is_said_later(story: Story) -> None:
    await everybody_writes(story)
    await story.kill()
    before = story.sessions()
    done = roll_back(story.path)
    after = story.sessions()
    assert {one.sender for one in done.reopened} == {their_id for their_id in before if before[their_id] != after[their_id]}
    assert await story.restart() == []
    await everybody_understands(story)


async def test_messages_before_an_answer_are_decrypted_again_and_the_answer_is_not_betrayed(story: Story) -> None:
    await story.hear("carol", "carol 0")
    await story.answer("carol", "hi carol")
    await story.hear("carol", "carol 1")
    await story.answer("carol", "one more thing")
    await story.kill()
    before = sending(story.sessions())
    roll_back(story.path)
    assert sending(story.sessions()) == before
    story.bring_again("carol 0", "carol 1")
    assert await story.restart() == ["carol 0", "carol 1"]
    await story.answer("carol", "and another")
    assert story.box.contact("carol").texts == ["hi carol", "one more thing", "and another"]
    assert story.box.contact("carol").undecryptable == []


async def test_a_row_put_back_as_a_whole_would_betray_the_answer(story: Story) -> None:
    """What `roll_back` must not do: the next answer uses the key of the last one, and the contact drops it."""
    await story.hear("carol", "carol 0")
    await story.answer("carol", "hi carol")
    await story.hear("carol", "carol 1")
    rows = story.sessions()
    await story.answer("carol", "one more thing")
    await story.kill()
    with closing(sqlite3.connect(story.path)) as database, database:
        database.execute(f"DROP TRIGGER {KEEPS_SENDING}")
        database.executemany(
            "UPDATE whatsmeow_sessions SET session = ? WHERE their_id = ?", [(row, their_id) for their_id, row in rows.items()]
        )
    story.forget_changes()
    await story.restart()
    await story.answer("carol", "and another")
    assert story.box.contact("carol").texts == ["hi carol", "one more thing"]


def sending(sessions: dict[str, bytes]) -> dict[str, object]:
    states = {their_id: json.loads(session)["SessionState"] for their_id, session in sessions.items()}
    return {their_id: (state["SenderChain"], state["RootKey"], state["PendingPreKey"]) for their_id, state in states.items()}


async def test_kills_at_random_instants(story: Story) -> None:
    """Whatever WhatsApp was not told of comes out; what is not brought again does no harm; contacts can read all that is sent."""
    seed = random.SystemRandom().randrange(10**6)
    figure(f"seed {seed}")
    dice = random.Random(seed)
    for turn in range(3):
        traffic = asyncio.create_task(chatter(story, dice, f"{seed}/{turn}"))
        await asyncio.sleep(dice.random() * 0.4)  # the instant of the kill is what is random
        await story.alice.kill()
        await traffic
        await story.box.until(lambda: not story.device.online)
        roll_back(story.path)
        again = dice.sample(story.said[-12:], dice.randrange(min(12, len(story.said))))
        story.bring_again(*again)
        come = await story.restart()
        assert (set(again) - set(come), set(story.said) - set(story.alice.texts)) == (set(), set()), f"seed {seed}, turn {turn}"
    await everybody_understands(story)


async def chatter(story: Story, dice: random.Random, name: str) -> None:
    for number in range(25):
        contact, text = dice.choice(["carol", "dave", "erin", f"new {name} {number}"]), f"{name} {number}"
        if dice.random() < 0.25:
            with suppress(WorkerFailed, OSError):
                await story.answer(contact, text)
        elif dice.random() < 0.3 and contact in {"carol", "dave", "erin"}:
            story.say(contact, text, "club")
        else:
            story.say(contact, text)
        await asyncio.sleep(dice.random() * 0.02)  # a contact's pace, not a wait for something
