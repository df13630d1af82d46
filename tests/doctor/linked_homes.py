"""Linked sessions on a real disk, without WhatsApp, and what is found of them."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from wasess.store.records import SessionRecord

if TYPE_CHECKING:
    from wasess.doctor.examination import Diagnosis
    from wasess.store.sessions import Home, Session

JID = "491701234567:3@s.whatsapp.net"
LID = "100200300:3@lid"
_template: dict[str, bytes] = {}  # the files of such a session: hundreds of them are wanted
# The columns that wasess reads of whatsmeow's schema (version 15).
DEVICE = """
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, noise_key BLOB NOT NULL, identity_key BLOB NOT NULL,
    platform TEXT NOT NULL DEFAULT '', push_name TEXT NOT NULL DEFAULT ''
)
"""


def link(home: Home, user: str = "alice") -> Session:
    """A linked session as a manager leaves it: credentials, and a record."""
    session = home.session(user)
    if not _template:
        _template.update({path.name: path.read_bytes() for path in _built(session).folder.iterdir()})
    session.create()
    for name, content in _template.items():
        (session.folder / name).write_bytes(content)
        (session.folder / name).chmod(0o600)
    return session


def _built(session: Session) -> Session:
    session.create()
    path = session.folder / "device.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(DEVICE)
        database.execute("CREATE TABLE filler (x)")
        database.executemany("INSERT INTO filler VALUES (?)", [(bytes(3000),)] * 20)
        database.execute("INSERT INTO whatsmeow_device VALUES (?, ?, ?, ?, 'android', 'Alice')", (JID, LID, bytes(32), bytes(32)))
    path.chmod(0o600)
    now = time.time()
    record = SessionRecord(session.user, now - 9000, "stopped", "STOPPED", now - 60, now - 9000, JID, LID, now - 60, phone_seen_at=now - 90)
    session.record.save(record)
    session.record.note(restarts=1)  # from now on there is a previous version
    return session


def codes(diagnosis: Diagnosis, level: str = "") -> set[str]:
    """What was found, in the home and in all sessions."""
    return {found.code for found in diagnosis.all_findings() if level in {"", found.level}}
