from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios

import pytest
from test_before import JID, link

from wasess.cli.app import run
from wasess.cli.list import _percent, sessions_of
from wasess.core.live import Live, ManagerInfo
from wasess.core.outages import DAY, Outage
from wasess.core.states import State
from wasess.doctor.census import ManagerView
from wasess.store.lock import Holder
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home

NOW = 1_700_000_000.0
NOBODY = ManagerView()
UNKNOWN = {"day": None, "week": None, "month": None}


def test_a_home_that_is_not_there_has_no_sessions(tmp_path, capsys):
    assert run(["list", "--home", str(tmp_path / "home")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"no sessions in {tmp_path / 'home'}\n"
    assert "next: wasess connect USER" in shown.err
    assert not (tmp_path / "home").exists()


def test_linked_new_and_damaged_sessions_side_by_side(tmp_path, capsys):
    home = Home(tmp_path / "home").open(create=True)
    link(home.session("alice"))
    home.session("alice").record.save(SessionRecord("alice", 1.0, "online", "ONLINE", 1.0, jid=JID))
    home.session("bob").create()
    home.session("carol").create()
    (home.path / "carol" / "device.db").write_bytes(b"no database" * 100)
    (home.path / "carol" / "device.db").chmod(0o600)
    assert run(["list", "--home", str(home.path)]) == 0
    assert capsys.readouterr().out == "alice\tyes\t49***67\tstopped\t-\ncarol\tcan't be read\t-\twaiting\t-\n"
    assert run(["list", "--home", str(home.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["linked"] for row in document["data"]["sessions"]] == [True, None]
    assert document["data"]["sessions"][1]["error"]["code"] == "DEVICE_DAMAGED"
    assert "491701234567" not in json.dumps(document)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home").open(create=True)


def write(home, user, state, *outages, paired_at=NOW - 100 * DAY, phone_seen_at=NOW - DAY):
    session = home.session(user)
    link(session)
    record = SessionRecord(user, NOW - 100 * DAY, state, state.upper(), NOW - DAY, paired_at=paired_at, last_online_at=NOW - DAY)
    session.record.save(record)
    session.record.note(outages=outages, phone_seen_at=phone_seen_at)


def kept(user, state):
    """A manager that keeps this session."""
    info = ManagerInfo(7, "0", "sandbox", NOW, ready=True, kept=1, online=1)
    live = Live(user, state, "ONLINE" if state is State.ONLINE else "STARTING", "", NOW, None, 0, 0, NOW, 8, 0, None, None, 0)
    return ManagerView(Holder(7, "here", "boot", "serve", NOW), info, {user: live})


def row_of(home, now=NOW, manager=NOBODY):
    (row,) = sessions_of(home, manager, now).data["sessions"]
    return row


def test_a_stopped_session_is_away_since_then(home):
    write(home, "alice", "stopped", Outage(NOW - 20 * DAY, NOW - 19 * DAY, "NETWORK_DOWN", 9, 4), Outage(NOW - DAY / 4, None, "STOPPED"))
    row = row_of(home)
    assert row["uptime"] == pytest.approx({"day": 0.75, "week": 1 - 0.25 / 7, "month": 1 - 1.25 / 30})
    assert row["outages"] == {"day": 1, "week": 1, "month": 2}
    assert row["last_outage"] == {"start": NOW - DAY / 4, "end": None, "code": "STOPPED", "attempts": 0, "recovered": 0}
    assert row["phone_seen_at"] == NOW - DAY
    assert row["on_probation"] is False
    assert sessions_of(home, NOBODY, NOW).table[1][-1] == "96.4 %"


def test_an_online_session_is_up_while_a_manager_runs(home):
    write(home, "alice", "online", Outage(NOW - DAY, NOW - DAY / 2, "NETWORK_DOWN"))
    row = row_of(home, manager=kept("alice", State.ONLINE))
    assert row["uptime"] == pytest.approx({"day": 0.5, "week": 1 - 0.5 / 7, "month": 1 - 0.5 / 30})
    assert row["last_outage"]["code"] == "NETWORK_DOWN"


def test_an_online_session_was_up_until_its_manager_was_killed(home):
    write(home, "alice", "online")
    assert row_of(home)["uptime"] == UNKNOWN  # nobody knows when
    home.note_alive()
    os.utime(home.path / ".alive", (NOW - DAY / 4, NOW - DAY / 4))
    row = row_of(home)
    assert row["uptime"]["day"] == pytest.approx(0.75)
    assert row["outages"] == {"day": 1, "week": 1, "month": 1}
    assert row["last_outage"]["code"] == "MANAGER_DOWN"
    assert home.session("alice").record.outages() == ()  # reading changes nothing


def test_uptime_begins_with_the_pairing(home):
    write(home, "alice", "stopped", Outage(NOW - 10, None, "STOPPED"), paired_at=NOW - 40)
    assert row_of(home)["uptime"] == pytest.approx({"day": 0.75, "week": 0.75, "month": 0.75})
    assert row_of(home)["on_probation"] is True
    assert row_of(home, NOW - 50)["uptime"] == UNKNOWN  # the clock was set back


def test_nothing_is_known_of_a_session_that_was_never_up(home):
    write(home, "alice", "new")
    row = row_of(home, manager=kept("alice", State.CONNECTING))
    assert row["uptime"] == UNKNOWN
    assert row["outages"] == {"day": 0, "week": 0, "month": 0}
    assert row["last_outage"] is None


def test_a_record_that_can_not_be_read_is_the_error_of_its_row(home):
    write(home, "alice", "online")
    for path in (home.path / "alice").glob("session.json*"):
        path.write_bytes(b"{")
    row = row_of(home)
    assert row["error"]["code"] == "RECORD_DAMAGED"
    assert row["linked"] is True
    assert row["uptime"] == row["outages"] == UNKNOWN


@pytest.mark.parametrize(
    ("share", "shown"),
    [(1.0, "100.0 %"), (0.99999, "99.9 %"), (0.998, "99.8 %"), (0.29, "29.0 %"), (0.0001, "0.0 %"), (0.0, "0.0 %"), (None, "-")],
)
def test_an_uptime_is_never_rounded_up(share, shown):
    assert _percent(share) == shown


def test_the_table_stays_readable_at_80_columns(home):
    write(home, "alice", "online")
    write(home, "x" * 64, "logged_out", Outage(NOW - DAY, None, "LOGGED_OUT"))
    lines = on_a_terminal("list", "--home", str(home.path), columns=80)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["USER", "LINKED", "PHONE", "STATE", "UP", "7", "DAYS"]
    assert lines[1].split() == ["alice", "yes", "49***67", "stopped", "-"]
    assert lines[2] == "x" * 64
    assert lines[3].split() == ["yes", "49***67", "stopped", "0.0", "%"]


def on_a_terminal(*arguments, columns):
    """Run `wasess` on a terminal of that width; return its lines."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "wasess", *arguments]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.wait(30) == 0
    os.close(its)
    said = b""
    try:
        while more := os.read(ours, 65536):
            said += more
    except OSError:  # a terminal whose other side is closed
        pass
    os.close(ours)
    return [line.rstrip() for line in said.decode().splitlines()]
