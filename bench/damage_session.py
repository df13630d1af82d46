"""A session with something of everything in its files, each message with a text of its own, so that whatever becomes of it is known."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wasess.core import events
from wasess.core.message import Message, Reply
from wasess.delivery.mailbox import Mailbox, Spooled
from wasess.link.notes import read_note
from wasess.link.receipts import NOTE
from wasess.link.spool_file import SpoolFile
from wasess.store.device import protect_device
from wasess.store.frame import frame
from wasess.store.gaps import Cause
from wasess.store.mail import MAIL_NAME, MailFile
from wasess.store.records import SessionRecord
from wasess.store.spool import POSITION_NAME, SPOOL_NAME, SpoolReader

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.inbox import State
    from wasess.store.sessions import Session

EVENT = 1
JID = "491700000001:1@s.whatsapp.net"
MISSING = 2  # entries in the gap ledger
DEVICE = """
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, noise_key BLOB NOT NULL, identity_key BLOB NOT NULL,
    platform TEXT NOT NULL DEFAULT '', push_name TEXT NOT NULL DEFAULT ''
);
CREATE TABLE filler (x);
"""


@dataclass(frozen=True, slots=True)
class Truth:
    """The texts of a session by what is to become of them: ``due`` reach the bot, ``kept`` stay as they are, ``letters`` are sent."""

    due: tuple[str, ...]
    kept: tuple[str, ...]
    letters: tuple[str, ...]

    @property
    def messages(self) -> frozenset[str]:
        """All texts that somebody has written."""
        return frozenset((*self.due, *self.kept))


def translate(code: int, payload: bytes) -> events.Event:
    """The harness's own events: the name and the fields as JSON. A worker's note as it is."""
    if code == NOTE:
        return read_note(payload)
    name, fields = json.loads(payload)
    if name == "MessageReceived":
        return events.MessageReceived(Message(**fields))
    found: events.Event = getattr(events, name)(**fields)
    return found


def payload(event: events.Event) -> bytes:
    """What `translate` reads."""
    fields = asdict(event)
    return json.dumps([type(event).__name__, fields["message"] if isinstance(event, events.MessageReceived) else fields]).encode()


def message(user: str, kind: str, number: int) -> events.MessageReceived:
    """One that somebody has written: every second in another chat."""
    chat = f"49170{number % 4:07}@s.whatsapp.net"
    text = f"{user} {kind} {number}: " + "shall we meet at the fountain, as always? " * (1 + number % 5)
    return events.MessageReceived(Message(f"3EB0{kind.upper()}{number}", chat, chat, text, time.time()))


def furnish(session: Session) -> Truth:
    """Fill a session: answered messages, dead letters, ones that wait, ones that are only in the spool; replies sent and queued; gaps, a reader.

    Its ``inbox.db`` has a part of that in its WAL, as a manager leaves it that was killed.
    """
    session.create()
    _device(session.folder / "device.db")
    now = time.time()
    record = SessionRecord(session.user, now - 900, "stopped", "STOPPED", now - 60, now - 900, JID, "", now - 60, phone_seen_at=now - 90)
    session.record.save(record)
    session.record.note(restarts=1)
    groups = {
        kind: [message(session.user, kind, number) for number in range(count)]
        for kind, count in (("done", 8), ("dead", 2), ("unasked", 3), ("waiting", 4), ("answered", 2), ("later", 3), ("spooled", 4))
    }
    missed = [events.Missed(f"3EB0GAP{number}", JID, JID, Cause.OLD_COUNTER) for number in range(MISSING)]
    spool = SpoolFile(str(session.folder / SPOOL_NAME))
    for event in (*(groups["done"]), *missed, *(event for kind, group in groups.items() if kind != "done" for event in group)):
        spool.append(frame(EVENT, payload(event)))
    letters = _mail(session, groups)
    with session.lock("serve"):
        pass
    texts = {kind: tuple(event.message.text for event in group) for kind, group in groups.items()}
    due, kept = (("waiting", "later", "spooled"), ("done", "dead", "unasked", "answered"))
    return Truth(sum((texts[kind] for kind in due), ()), sum((texts[kind] for kind in kept), ()), letters)


def _mail(session: Session, groups: dict[str, list[events.MessageReceived]]) -> tuple[str, ...]:
    """All but the last are taken in. What somebody has sent by hand is on the disk before he is told so; the rest may be in the WAL alone."""
    frames = SpoolReader(session.folder).read_new()
    reader = SpoolReader(session.folder)
    reader.read_new()
    taken = len(frames) - len(groups["spooled"])
    half = taken - len(groups["later"]) - len(groups["answered"])
    now = time.time()
    letters = [f"{session.user} letter {number}: yes, at the fountain " * (1 + number) for number in range(3)]
    with closing(MailFile(session.folder)) as mail:
        box = Mailbox(session.user, mail)
        box.take_in([_spooled(one.payload) for one in frames[:half]], reader.place(frames[half - 1].end), now, _state)
        for seq in range(1, len(groups["done"]) + 1):
            box.inbox.finish(seq, "done", now)
        for seq in range(len(groups["done"]) + 1, len(groups["done"]) + len(groups["dead"]) + 1):
            box.inbox.finish(seq, "dead", now, "ValueError")
        sent = box.outbox.queue("sent", "491700000009@s.whatsapp.net", Reply(f"{session.user} sent"), now)
        box.outbox.sent(sent.seq, "3EB0SENT", now)
        for number, text in enumerate(letters):
            box.outbox.queue(f"letter-{number}", f"49171{number:07}@s.whatsapp.net", Reply(text), now)
        box.inbox.advance("crm", 3, now)
        mail.checkpoint()
        box.take_in([_spooled(one.payload) for one in frames[half:taken]], reader.place(frames[taken - 1].end), now, _state)
        for item in box.inbox.items(states=("waiting",)):
            if item.message and " answered " in item.message.text:
                letters.append(answer(item.message.text))
                box.answered(item, item.message, [Reply(letters[-1])], now)
        reader.commit(frames[half - 1].end)
        files = [path for path in session.folder.glob(f"{MAIL_NAME}*") if not path.name.endswith("-shm")]
        copies = [(path, path.with_suffix(f"{path.suffix}.copy")) for path in files]
        for path, copy in copies:
            shutil.copyfile(path, copy)
    for path, copy in copies:
        copy.chmod(0o600)
        copy.rename(path)
    (session.folder / POSITION_NAME).chmod(0o600)
    return tuple(letters)


def answer(text: str) -> str:
    """What the bot says to a text."""
    return "re " + text[:40]


def _spooled(data: bytes) -> Spooled:
    return Spooled(translate(EVENT, data), data)


def _state(message: Message) -> State:
    return "unasked" if " unasked " in message.text else "waiting"


def _device(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(DEVICE)
        database.executemany("INSERT INTO filler VALUES (?)", [(os.urandom(1500),)] * 8)
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '', ?, ?, 'android', 'Alice')", (JID, os.urandom(32), os.urandom(32)))
    path.chmod(0o600)
    protect_device(path)
