from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from wasess import errors
from wasess.cli.before import Before, shortened
from wasess.store.sessions import Home

JID = "491701234567:3@s.whatsapp.net"


@pytest.fixture
def session(tmp_path):
    home = Home(tmp_path / "home").open(create=True)
    return home.session("alice")


def link(session, jid=JID):
    """Give a session credentials, as whatsmeow's table holds them."""
    session.create()
    with closing(sqlite3.connect(session.folder / "device.db")) as database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS whatsmeow_device"
            " (jid TEXT, lid TEXT, platform TEXT, push_name TEXT, noise_key BLOB, identity_key BLOB)"
        )
        database.execute("INSERT INTO whatsmeow_device VALUES (?, '', 'android', '', ?, ?)", (jid, bytes(32), bytes(32)))
        database.commit()
    (session.folder / "device.db").chmod(0o600)


def test_a_linked_session_is_refused_by_name_of_the_flag(session):
    link(session)
    with pytest.raises(errors.AlreadyLinked, match=r"phone 49\*\*\*67") as caught:
        Before.make_room(session, force=False)
    assert "--force" in caught.value.hint
    assert session.linked


def test_a_session_that_was_new_is_gone_after_a_failed_pairing(session):
    before = Before.make_room(session, force=False)
    (session.folder / "device.db").write_bytes(b"")
    (session.folder / "spool.log").write_bytes(b"")
    before.put_back()
    assert not session.exists()


def test_old_credentials_are_set_aside_and_come_back(session):
    link(session)
    before = Before.make_room(session, force=True)
    assert not session.linked
    assert before.kept
    (session.folder / "device.db").write_bytes(b"half a pairing")
    (session.folder / "device.db-journal").write_bytes(b"half a pairing")
    before.put_back()
    assert session.device().jid == JID
    assert not before.kept.exists()
    assert not (session.folder / "device.db-journal").exists()


def unlink_at_whatsapp(session):
    """As the library does after a logout."""
    session.protected_credentials()
    with closing(sqlite3.connect(session.folder / "device.db")) as database, database:
        database.execute("DELETE FROM whatsmeow_device")
    assert session.credentials().unlinked


def test_credentials_that_whatsapp_has_unlinked_are_set_aside_without_force(session):
    link(session)
    unlink_at_whatsapp(session)
    before = Before.make_room(session, force=False)
    assert before.kept
    assert before.kept.name.endswith("-unlinked")
    assert not (session.folder / "device.db").exists()
    link(session, "491709999999:1@s.whatsapp.net")
    assert session.device().jid == "491709999999:1@s.whatsapp.net"
    assert not session.credentials().unlinked


def test_a_failed_pairing_brings_back_what_whatsapp_has_unlinked(session):
    link(session)
    unlink_at_whatsapp(session)
    content = (session.folder / "device.db").read_bytes()
    before = Before.make_room(session, force=False)
    (session.folder / "device.db").write_bytes(b"half a pairing")
    before.put_back()
    assert (session.folder / "device.db").read_bytes() == content
    assert (session.device(), session.credentials().unlinked) == (None, True)


def test_a_folder_that_was_there_stays(session):
    session.create()
    (session.folder / "spool.log").write_bytes(b"")
    before = Before.make_room(session, force=False)
    (session.folder / "device.db").write_bytes(b"")
    before.put_back()
    assert not (session.folder / "device.db").exists()
    assert (session.folder / "spool.log").exists()


def test_damaged_credentials_are_refused_and_can_be_replaced_by_force(session):
    session.create()
    (session.folder / "device.db").write_bytes(b"this is no database, whatever it is called" * 100)
    (session.folder / "device.db").chmod(0o600)
    with pytest.raises(errors.DeviceDamaged) as caught:
        Before.make_room(session, force=False)
    assert "--force" in caught.value.hint
    assert Before.make_room(session, force=True).kept


def test_a_session_another_process_uses_is_left_alone(session):
    link(session)
    with session.lock("serve"), pytest.raises(errors.Locked):
        Before.make_room(session, force=True)
    assert session.linked


def test_numbers_are_shortened():
    assert shortened("491701234567") == "49***67"
    assert shortened("123") == "***"
