from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from village import link_device, until

from wasess.core import reasons
from wasess.core.commands import AmendOutage, BeginOutage, EndOutage, Record
from wasess.core.outages import Outage
from wasess.core.states import State
from wasess.store.records import SessionRecord
from wasess.supervisor.journal import MOST_WAITING, Journal, Past

if TYPE_CHECKING:
    from wasess.core.reasons import Reason
    from wasess.store.sessions import Home, Session

NOW = 1_700_000_000.0
DAY = 86_400.0


class Desk:
    """A session, its journal, and what the journal complained of."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now = NOW
        self.complaints: list[str] = []
        self.journal = Journal(session, lambda: self.now, self.complaints.append)

    def known(self, state: State, reason: Reason, *, since: float, ledger: tuple[Outage, ...] = (), **fields: float) -> None:
        record = SessionRecord(self.session.user, NOW - 50 * DAY, state, reason.code, since, phone_seen_at=NOW - DAY)
        self.session.record.save(replace(record, paired_at=NOW - 49 * DAY, last_online_at=NOW - 40 * DAY, **fields))
        self.session.record.note(outages=ledger)

    @property
    def record(self) -> SessionRecord:
        record = self.session.record.load()
        assert record is not None
        return record

    @property
    def ledger(self) -> tuple[Outage, ...]:
        return self.session.record.outages()


@pytest.fixture
def desk(home: Home) -> Desk:
    return Desk(link_device(home.session("alice")))


# --- the past ---------------------------------------------------------------------------------------------------------


async def test_a_session_without_a_record_gets_one_and_no_outage(desk: Desk):
    assert await desk.journal.open(NOW - DAY) == Past(phone_seen_at=NOW)
    assert desk.record.state == State.NEW
    assert desk.record.jid == "491700000001:1@s.whatsapp.net"
    assert desk.ledger == ()


async def test_damaged_credentials_do_not_keep_a_session_without_a_record(desk: Desk):
    (desk.session.folder / "device.db").write_bytes(b"no database" * 100)
    await desk.journal.open(0.0)
    assert desk.record.jid is None
    assert desk.complaints == []


async def test_a_new_pairing_is_a_word_from_the_phone(desk: Desk):
    desk.session.record.save(SessionRecord("alice", NOW - 90, State.NEW, "NEVER_STARTED", NOW - 60, paired_at=NOW - 60))
    assert await desk.journal.open(0.0) == Past(NOW - 60, 0.0, NOW - 60)
    assert desk.ledger == ()


async def test_a_killed_manager_leaves_an_outage_from_when_it_was_last_alive(desk: Desk):
    desk.known(State.ONLINE, reasons.ONLINE, since=NOW - 7 * DAY)
    assert await desk.journal.open(NOW - 300) == Past(NOW - 49 * DAY, 0.0, NOW - DAY)
    assert desk.ledger == (Outage(NOW - 300, None, "MANAGER_DOWN"),)
    # Killed once more before anything was noted: it is the same outage.
    await Desk(desk.session).journal.open(NOW - 10)
    assert desk.ledger == (Outage(NOW - 300, None, "MANAGER_DOWN"),)


@pytest.mark.parametrize(("last_alive", "start"), [(0.0, NOW - 100), (NOW - 5000, NOW - 100), (NOW - 50, NOW - 50), (NOW + DAY, NOW)])
async def test_no_outage_starts_before_the_login_or_in_the_future(desk: Desk, last_alive: float, start: float):
    desk.known(State.ONLINE, reasons.ONLINE, since=NOW - 100)
    await desk.journal.open(last_alive)
    assert desk.ledger == (Outage(start, None, "MANAGER_DOWN"),)


async def test_an_outage_whose_end_was_not_written_ended_with_the_login(desk: Desk):
    desk.known(State.ONLINE, reasons.ONLINE, since=NOW - 100, ledger=(Outage(NOW - 900, None, "NETWORK_DOWN"),))
    await desk.journal.open(NOW - 30)
    assert desk.ledger == (Outage(NOW - 900, NOW - 100, "NETWORK_DOWN"), Outage(NOW - 30, None, "MANAGER_DOWN"))


async def test_an_open_outage_goes_on(desk: Desk):
    ledger = (Outage(NOW - 9000, NOW - 8000, "STOPPED"), Outage(NOW - 900, None, "NETWORK_DOWN"))
    desk.known(State.WAITING, reasons.NETWORK_DOWN, since=NOW - 900, ledger=ledger)
    await desk.journal.open(NOW - 30)
    assert desk.ledger == ledger


async def test_an_outage_whose_begin_was_not_written_began_with_the_state(desk: Desk):
    desk.known(State.STOPPED, reasons.STOPPED, since=NOW - 900)
    await desk.journal.open(NOW - 30)
    assert desk.ledger == (Outage(NOW - 900, None, "STOPPED"),)


async def test_the_file_of_an_older_wasess_is_taken_over(desk: Desk):
    shutil.copyfile(Path(__file__).parents[1] / "store" / "shapes" / "session-1.json", desk.session.folder / "session.json")
    (desk.session.folder / "session.json").chmod(0o600)
    desk.now = 1_700_100_000.0
    assert await desk.journal.open(0.0) == Past(1_700_000_010.25, 0.0, 1_700_100_000.0)
    assert desk.ledger == (Outage(1_700_090_000.0, None, "STOPPED"),)
    assert desk.record.phone_seen_at == 1_700_100_000.0


async def test_a_ban_outlives_the_manager(desk: Desk):
    desk.known(State.PAUSED, reasons.BANNED, since=NOW - 900, resume_at=NOW + 900)
    assert (await desk.journal.open(0.0)).banned_until == NOW + 900
    desk.known(State.WAITING, reasons.NETWORK_DOWN, since=NOW - 900, resume_at=NOW + 900)
    assert (await desk.journal.open(0.0)).banned_until == 0.0


# --- what happens -----------------------------------------------------------------------------------------------------


async def test_what_is_said_together_is_one_write(desk: Desk):
    desk.known(State.ONLINE, reasons.ONLINE, since=NOW - 900, restarts=3)
    await desk.journal.open(NOW)
    before = (desk.session.folder / "session.json").read_bytes()
    await desk.journal.write(Record(State.ONLINE, reasons.ONLINE, NOW + 1, 1))
    await desk.journal.outage(EndOutage(NOW + 1, 2))
    await desk.journal.outage(AmendOutage(7))
    await desk.journal.write(Record(State.WAITING, reasons.NETWORK_DOWN, NOW + 5, 2, NOW + 9))
    await desk.journal.outage(BeginOutage(NOW + 5, reasons.NETWORK_DOWN))
    await desk.journal.flush()
    assert (desk.session.folder / "session.json.bak").read_bytes() == before
    assert desk.ledger == (Outage(NOW, NOW + 1, "MANAGER_DOWN", 2, 7), Outage(NOW + 5, None, "NETWORK_DOWN"))
    assert desk.record.restarts == 5
    assert (desk.record.state, desk.record.since, desk.record.resume_at) == ("waiting", NOW + 5, NOW + 9)
    assert desk.record.last_online_at == NOW + 1
    assert [line.code for line in desk.session.record.history()] == ["ONLINE", "NETWORK_DOWN"]


async def test_a_begin_is_on_disk_soon_without_being_waited_for(desk: Desk):
    await desk.journal.open(0.0)
    await desk.journal.outage(BeginOutage(NOW, reasons.NETWORK_DOWN))
    await until(lambda: desk.ledger == (Outage(NOW, None, "NETWORK_DOWN"),))


async def test_that_it_is_stopped_is_on_disk_at_once(desk: Desk):
    await desk.journal.open(0.0)
    await desk.journal.write(Record(State.STOPPED, reasons.STOPPED, NOW, 0))
    assert desk.record.state == State.STOPPED
    await desk.journal.outage(BeginOutage(NOW, reasons.STOPPED))
    assert desk.ledger == (Outage(NOW, None, "STOPPED"),)


async def test_the_phone_is_noted_once_an_hour(desk: Desk):
    desk.known(State.STOPPED, reasons.STOPPED, since=NOW - 900)
    await desk.journal.open(0.0)
    written = []
    for at in (NOW - 2 * DAY, NOW - 7200, NOW - 3700, NOW - 3600, NOW, NOW + 300 * DAY, 0.0):
        await desk.journal.phone_seen(at)
        await desk.journal.flush()
        written.append(desk.record.phone_seen_at)
    assert written == [NOW - DAY, NOW - 7200, NOW - 7200, NOW - 3600, NOW, NOW, NOW]


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_what_a_failed_disk_did_not_take_is_kept_later_and_told_once(desk: Desk):
    await desk.journal.open(0.0)
    path = desk.session.folder / "session.json"
    good = path.read_bytes()
    for damaged in (path, path.with_name("session.json.bak")):
        damaged.write_bytes(b"{")
        damaged.chmod(0o600)
    await desk.journal.outage(BeginOutage(NOW, reasons.NETWORK_DOWN))
    await desk.journal.flush()
    await desk.journal.write(Record(State.ONLINE, reasons.ONLINE, NOW + 5, 0))
    await desk.journal.outage(EndOutage(NOW + 5, 1))
    await desk.journal.flush()
    assert len(desk.complaints) == 1
    assert "its record can't be kept" in desk.complaints[0]
    path.write_bytes(good)
    await desk.journal.flush()
    assert desk.ledger == (Outage(NOW, NOW + 5, "NETWORK_DOWN", 1),)
    assert desk.record.state == State.ONLINE


async def test_a_past_that_can_not_be_read_stops_nothing(desk: Desk):
    for name in ("session.json", "session.json.bak"):
        (desk.session.folder / name).write_bytes(b"{")
        (desk.session.folder / name).chmod(0o600)
    assert await desk.journal.open(NOW) == Past(phone_seen_at=NOW)
    assert len(desk.complaints) == 1


async def test_a_session_that_was_removed_is_let_go(desk: Desk):
    await desk.journal.open(0.0)
    shutil.rmtree(desk.session.folder)
    await desk.journal.write(Record(State.STOPPED, reasons.STOPPED, NOW, 0))
    assert desk.complaints == []
    assert not desk.session.exists()


async def test_nothing_is_written_into_the_folder_of_another_session_of_that_name(desk: Desk, tmp_path: Path):
    await desk.journal.open(0.0)
    desk.session.folder.rename(tmp_path / "elsewhere")
    link_device(desk.session)
    await desk.journal.write(Record(State.STOPPED, reasons.STOPPED, NOW, 0))
    assert desk.complaints == []
    assert desk.session.record.load() is None


async def test_a_record_that_was_deleted_is_missed_and_one_that_was_put_back_is_kept_on(desk: Desk, tmp_path: Path):
    await desk.journal.open(0.0)
    folder = desk.session.folder
    shutil.copytree(folder, tmp_path / "backup")
    (folder / "session.json").unlink()
    await desk.journal.write(Record(State.STOPPED, reasons.STOPPED, NOW, 0))
    assert len(desk.complaints) == 1
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    await desk.journal.flush()
    assert desk.record.state == State.STOPPED


async def test_an_hour_without_a_disk_does_not_fill_the_memory(desk: Desk):
    await desk.journal.open(0.0)
    path = desk.session.folder / "session.json"
    good = path.read_bytes()
    path.with_name("session.json.bak").unlink(missing_ok=True)
    path.write_bytes(b"{")
    for number in range(1000):
        await desk.journal.write(Record(State.ONLINE, reasons.ONLINE, NOW + number, 0))
        if number % 100 == 0:
            await desk.journal.flush()
        assert len(desk.journal._waiting) <= MOST_WAITING
    path.write_bytes(good)
    await desk.journal.flush()
    assert desk.record.since == NOW + 999


async def test_a_bug_in_the_writing_is_raised(desk: Desk):
    await desk.journal.open(0.0)
    await desk.journal.write(Record(State.ONLINE, None, NOW, 0))  # type: ignore[arg-type] - no reason is a bug
    with pytest.raises(AttributeError):
        await asyncio.wait_for(desk.journal.flush(), 5)
