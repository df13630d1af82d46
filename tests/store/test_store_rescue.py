"""An inbox.db that is removed, replaced, cut or damaged while it is open: what it holds is put back, and what can't be read is set aside."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from wasess.core.message import Message
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MAIL_NAME, MailFile, open_mail
from wasess.store.names import KEPT_NAME
from wasess.store.rescue import RESCUED, is_rescued
from wasess.store.spool import SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def arrive(mail: MailFile, *names: str) -> None:
    Inbox(mail).take_in([Arrival(Message(name, "carol", "carol", name + "x" * 2000, 0.0), 1.0) for name in names], None)


def ids(mail: MailFile) -> list[str]:
    return [item.message.id for item in Inbox(mail).items() if item.message]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "alice"
    made.mkdir(mode=0o700)
    return made


def removed(path: Path) -> None:
    path.unlink()


def all_removed(path: Path) -> None:
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


def wal_removed(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def replaced(path: Path) -> None:
    """By a valid one: a backup."""
    other = path.parent / "other"
    other.mkdir(mode=0o700)
    with closing(MailFile(other)) as mail:
        arrive(mail, "foreign")
    (other / path.name).replace(path)
    other.rmdir()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("damage", [removed, all_removed, wal_removed, replaced])
def test_what_the_open_file_holds_is_put_back(folder: Path, damage: Callable[[Path], None], settled: bool):
    mail, _ = open_mail(folder)
    arrive(mail, "one", "two")
    if settled:
        assert mail.checkpoint()
    assert mail.fault() == ""
    damage(folder / MAIL_NAME)
    assert mail.fault()
    arrive(mail, "three")  # before anybody has looked
    assert mail.put_back() is None
    assert is_rescued(folder / MAIL_NAME)
    again, kept = open_mail(folder)
    with closing(again):
        assert ids(again) == ["one", "two", "three"]
        assert again.begun == "restored"
        assert again.fault() == ""
    assert not is_rescued(folder / MAIL_NAME)
    assert (folder / MAIL_NAME).stat().st_mode & 0o777 == 0o600
    assert kept is None or kept.parent.name == KEPT_NAME
    if damage is replaced:
        assert kept
        with closing(MailFile(kept, read_only=True)) as foreign:
            assert ids(foreign) == ["foreign"]


@pytest.mark.parametrize("damage", [emptied, cut])
def test_what_was_cut_off_is_set_aside(folder: Path, damage: Callable[[Path], None]):
    mail, _ = open_mail(folder)
    arrive(mail, *map(str, range(50)))
    assert mail.checkpoint()
    damage(folder / MAIL_NAME)
    assert mail.fault() == "inbox.db was truncated"
    kept = mail.put_back()
    again, _ = open_mail(folder)
    with closing(again):
        assert (kept is None and len(ids(again)) == 50) or (kept is not None and (kept / MAIL_NAME).exists() and ids(again) == [])


def test_a_rescue_that_died_half_way_is_begun_anew_and_one_that_was_done_is_finished(folder: Path):
    mail, _ = open_mail(folder)
    arrive(mail, "one")
    (folder / f".{MAIL_NAME}{RESCUED}.tmp").write_bytes(b"half")
    (folder / MAIL_NAME).unlink()
    mail.put_back()
    # The manager is killed here; somebody begins a file in between.
    with closing(MailFile(folder)) as other:
        arrive(other, "foreign")
    again, kept = open_mail(folder)
    with closing(again):
        assert ids(again) == ["one"]
    assert kept


def test_damage_that_is_met_is_remembered_and_is_no_change_of_the_files(folder: Path):
    mail, _ = open_mail(folder)
    arrive(mail, *map(str, range(50)))
    mail.checkpoint()
    size = (folder / MAIL_NAME).stat().st_size
    with (folder / MAIL_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with closing(MailFile(folder, read_only=True)) as other, pytest.raises(Exception, match="damaged"):
        ids(other)
    assert other.damage
    assert not other.fault()
    mail.close()


def test_a_file_that_was_never_begun_is_not_missed_and_one_that_was_read_into_is(folder: Path):
    mail, kept = open_mail(folder)
    assert (mail.begun, kept) == ("", None)
    mail.close()
    (folder / MAIL_NAME).unlink()
    (folder / "spool.log").touch(0o600)
    SpoolReader(folder).commit(0)
    mail, _ = open_mail(folder)
    assert mail.begun == ""
    mail.close()
    (folder / MAIL_NAME).unlink()
    SpoolReader(folder).commit(0, mailed=True)
    mail, kept = open_mail(folder)
    assert (mail.begun, kept) == ("anew", None)
    mail.close()
