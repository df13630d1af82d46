"""Looking through a home again and again: only what has changed is opened, and every change is seen."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from village import link_device, unlink_device

from wasess.core.reasons import LOGGED_OUT
from wasess.core.states import State
from wasess.store.records import SessionRecord
from wasess.supervisor import survey
from wasess.supervisor.survey import FILES_EVERY, Finding, Survey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.store.sessions import Home, Session

OPENED: list[str] = []


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The users whose files were opened; what was changed a moment ago is settled here."""
    OPENED.clear()
    look_at = survey.look_at

    def note_and_look(session: Session) -> Finding:
        OPENED.append(session.user)
        return look_at(session)

    monkeypatch.setattr(survey, "look_at", note_and_look)
    monkeypatch.setattr(survey, "UNSETTLED_FOR", 0)
    return OPENED


@pytest.fixture
def gone(home: Home) -> Session:
    """A session that WhatsApp has unlinked."""
    session = link_device(home.session("gone"))
    unlink_device(session)
    session.record.save(SessionRecord("gone", 1.0, State.LOGGED_OUT, LOGGED_OUT.code, 2.0, paired_at=1.0, jid="1:1@s.whatsapp.net"))
    return session


def next_moment(path: Path) -> None:
    """Wait until the file system's clock has moved on."""
    scratch = path / "scratch"
    scratch.touch()
    before = scratch.stat().st_ctime_ns
    while scratch.stat().st_ctime_ns == before:
        os.utime(scratch)


def rounds(looks: Survey) -> list[list[Finding]]:
    return [looks.look() for _ in range(FILES_EVERY)]


def test_what_is_as_it_was_is_not_opened_again(home: Home, gone: Session, opened: list[str], tmp_path: Path):
    next_moment(tmp_path)
    looks = Survey(home)
    first = looks.look()
    assert [(finding.session.user, finding.startable, finding.counts) for finding in first] == [("gone", False, True)]
    assert all(found == first for _ in range(5) for found in rounds(looks))
    assert opened == ["gone"]
    assert not gone.linked


CHANGES: dict[str, Callable[[Session], object]] = {
    "paired again": link_device,
    "paused": lambda session: session.pause(),
    "its record": lambda session: session.record.save(SessionRecord("gone", 1.0, State.NEW, "NEVER_STARTED", 3.0)),
    "too open": lambda session: session.folder.chmod(0o755),
    "its device is gone": lambda session: (session.folder / "device.db").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(home: Home, gone: Session, tmp_path: Path, change: str):
    next_moment(tmp_path)
    looks = Survey(home)
    (before,) = looks.look()
    next_moment(tmp_path)
    CHANGES[change](gone)
    ((after,), (fresh,)) = rounds(looks)[-1], Survey(home).look()
    assert after != before
    assert replace(after, session=gone) == replace(fresh, session=gone)


def test_a_folder_that_was_removed_is_forgotten(home: Home, gone: Session, opened: list[str], tmp_path: Path):
    next_moment(tmp_path)
    looks = Survey(home)
    looks.look()
    gone.remove()
    assert looks.look() == []
    assert looks._before == {}
    assert opened == ["gone"]


def test_one_that_is_held_or_damaged_or_was_changed_just_now_is_opened_each_time(
    home: Home, gone: Session, opened: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    damaged = home.session("damaged")
    damaged.create()
    (damaged.folder / "device.db").write_bytes(b"no database" * 1000)
    next_moment(tmp_path)
    looks = Survey(home)
    with gone.lock("test"):
        next_moment(tmp_path)
        rounds(looks)
    assert opened == ["damaged", "gone"] * FILES_EVERY
    assert not looks.look()[1].held
    monkeypatch.setattr(survey, "UNSETTLED_FOR", 10**12)
    opened.clear()
    fresh = Survey(home)
    rounds(fresh)
    assert opened == ["damaged", "gone"] * FILES_EVERY
