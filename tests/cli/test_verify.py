"""What `wasess verify` says of sessions, with a manager that the test plays; how it tells others is in test_verify_ping and _nagios."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import pytest
from documents import only_document
from stand_in_manager import PID, babbling, files, held, live, managed, mute, said, typist
from test_before import JID, link

from wasess.cli.app import run
from wasess.cli.nagios import CRITICAL
from wasess.control.client import LONGEST_ANSWER
from wasess.core import reasons
from wasess.core.live import ManagerInfo
from wasess.core.states import State
from wasess.core.verdict import MAX_AGE
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home

# A manager that takes the question and does not answer gets 5 s; the rest is for a machine that is busy.
ENDS_WITHIN = 20.0


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WASESS_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home").open(create=True)


@pytest.fixture
def verify(capsys):
    return typist("verify", capsys)


def linked(home, *users, paired_ago=9000.0):
    now = time.time()
    for user in users:
        session = home.session(user)
        link(session)
        session.record.save(SessionRecord(user, now - paired_ago, "online", "ONLINE", now, paired_at=now - paired_ago, jid=JID))


def test_a_home_that_is_not_there_is_not_well_and_stays_away(tmp_path, verify):
    """A check that looks in the wrong place would be content for ever."""
    nowhere = str(tmp_path / "nowhere")
    said = f"error: there is no home at {nowhere} yet\n  next: wasess connect USER\n"
    for arguments in ((), ("--all",)):
        assert verify("--home", nowhere, *arguments) == (4, "", said)
    assert verify("--home", nowhere, "--quiet") == (4, "", "")
    assert verify("--home", nowhere, "--nagios")[0] == CRITICAL
    assert not (tmp_path / "nowhere").exists()


def test_a_home_without_sessions_is_healthy(home, verify):
    assert verify("--home", str(home.path)) == (0, "", "")


def test_nothing_is_said_when_all_is_well(home, verify):
    linked(home, "alice", "bob")
    with managed(home, live("alice"), live("bob")):
        before = files(home.path)
        for arguments in ((), ("--all",), ("alice",), ("bob", "alice"), ("--quiet",)):
            assert verify(*arguments) == (0, "", "")
        assert files(home.path) == before


def test_a_line_for_each_that_is_not_well_and_the_worst_exit_code(home, verify):
    linked(home, "alice", "bob", "carol", "dora")
    home.session("carol").pause()
    lives = live("alice"), live("bob", State.WAITING, reasons.NETWORK_DOWN, "i/o timeout"), live("dora", State.PAUSED, reasons.REPLACED)
    with managed(home, *lives):
        code, out, err = verify()
        assert (code, out) == (7, "")
        assert err.splitlines() == [
            "bob: WhatsApp can't be reached (i/o timeout)",
            "carol: paused by an operator; wasess resume carol",
            "dora: another client logged in with the same credentials; trying again in a minute; Stop the other copy of this session.",
        ]
        assert verify("--all") == (code, out, err)
        assert verify("alice") == (0, "", "")
        assert verify("carol", "alice") == (3, "", "carol: paused by an operator; wasess resume carol\n")
        assert verify("bob", "bob")[2].count("bob") == 1


def test_a_session_that_is_not_there_needs_pairing(home, verify):
    linked(home, "alice")
    with managed(home, live("alice")):
        code, out, err = verify("alice", "zoe")
    assert (code, out) == (4, "")
    assert err == f"zoe: not linked to a phone (there is no such session in {home.path}); wasess connect zoe\n"


def test_without_a_manager_no_session_is_well(home, verify):
    linked(home, "alice", "bob")
    home.session("bob").pause()
    code, _, err = verify()
    assert code == 8
    assert err.splitlines() == ["alice: no manager is running; wasess serve", "bob: paused by an operator; wasess resume bob"]


def test_what_can_not_be_read_is_told_without_a_manager_too(home, verify):
    linked(home, "alice", "bob")
    (home.path / "alice" / "device.db").write_bytes(b"no database" * 100)
    for record in (home.path / "bob").glob("session.json*"):
        record.write_bytes(b"{")
    code, _, err = verify()
    assert code == 4
    alice, bob = err.splitlines()
    assert alice.startswith("alice: its credentials (device.db) can't be used; nothing was changed (")
    assert alice.endswith("; Put a good device.db back, or pair again: `wasess connect alice --force`.")
    assert bob.startswith("bob: its files can't be read (")
    assert bob.endswith("; wasess diagnose bob")
    assert verify("bob")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("alice", "--all"), "not both"),
        (("--quiet", "--nagios"), "exclude each other"),
        (("--max-age", "soon"), "'soon' is no duration"),
        (("--max-age", "-1s"), "is no duration"),
        (("--grace", "1e3"), "'1e3' is no duration"),
        (("--grace", ""), "is no duration"),
        (("Alice",), "can't be a user id"),
        (("../alice",), "can't be a user id"),
        (("--colour",), "--colour"),
    ],
)
def test_a_wrong_command_line_is_told_and_nobody_is_asked(home, verify, arguments, says):
    linked(home, "alice")
    with managed(home, live("alice")) as manager:
        code, out, err = verify(*arguments)
        assert manager.asked == 0
    assert (code, out) == (2, "")
    assert says in err


def test_a_session_that_whatsapp_was_not_heard_of_is_degraded(home, verify, monkeypatch):
    linked(home, "alice")
    with managed(home, live("alice", heard=MAX_AGE - 60)) as manager:
        assert verify()[0] == 0
        unproven = 3, "", "alice: online, but WhatsApp was not heard of for too long (34 min); wasess reconnect alice\n"
        assert verify("--max-age", "30m") == unproven
        monkeypatch.setenv("WASESS_MAX_AGE", "1800")
        assert verify() == unproven
        assert verify("--max-age", "0.5d") == (0, "", "")
        monkeypatch.delenv("WASESS_MAX_AGE")
        manager.keep(live("alice", heard=MAX_AGE + 60))
        assert verify()[0] == 3


def test_a_session_that_is_just_starting_gets_time(home, verify, monkeypatch):
    linked(home, "alice")
    begun = live("alice", State.CONNECTING, reasons.STARTING, heard=None)
    with managed(home, begun) as manager:
        assert verify() == (3, "", "alice: connecting\n")
        manager.started_at = time.time() - 30
        assert verify() == (0, "", "")
        manager.keep(live("alice", State.RECOVERING, reasons.CONNECTION_LOST))
        assert verify() == (3, "", "alice: the connection was lost; reconnecting\n")
        manager.keep(begun)
        assert verify("--grace", "20s")[0] == 3
        monkeypatch.setenv("WASESS_GRACE", "0")
        assert verify()[0] == 3


def test_a_session_that_was_just_paired_gets_time_to_be_taken_over(home, verify):
    linked(home, "alice", paired_ago=5)
    with managed(home):
        assert verify() == (0, "", "")
        assert verify("--grace", "2s") == (8, "", "alice: the running manager does not keep this session; wasess logs alice\n")


def test_a_document_says_everything(home, verify):
    linked(home, "alice", "bob")
    with managed(home, live("alice", heard=10), live("bob", State.WAITING, reasons.NETWORK_DOWN, "no\nroute")):
        code, out, err = verify("--json")
        document = only_document("verify", out)
        alone = only_document("verify", verify("alice", "--json")[1])
    assert (code, err, document["ok"]) == (3, "", False)
    data = document["data"]
    assert (data["exit_code"], data["healthy"], data["worst"], data["manager"]) == (3, False, "bob", PID)
    alice, bob = data["sessions"]
    assert (alice["healthy"], alice["code"], alice["age"]) == (True, "ONLINE", pytest.approx(10, abs=5))
    assert (bob["healthy"], bob["code"], bob["exit_code"], bob["age"]) == (False, "NETWORK_DOWN", 3, None)
    assert (alone["ok"], alone["data"]["worst"], len(alone["data"]["sessions"])) == (True, None, 1)


def test_a_home_that_nobody_may_look_into_is_a_problem_of_its_own(home, verify):
    linked(home, "alice")
    home.path.chmod(0o755)
    code, out, err = verify()
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert f"  next: chmod 700 {home.path}" in err
    failed = only_document("verify", verify("--json")[1])
    assert (failed["ok"], failed["data"], failed["error"]["code"]) == (False, None, "STORE")
    assert verify("--quiet") == (1, "", "")
    failed = only_document("verify", verify("--json", "--home", "x" * 300)[1])
    assert failed["error"]["code"] == "STORE"
    assert "File name too long" in failed["error"]["message"]


def test_quiet_says_nothing_even_where_a_document_is_usual(home, verify, monkeypatch):
    linked(home, "alice")
    monkeypatch.setenv("WASESS_JSON", "1")
    assert verify("--quiet", "alice", "zoe") == (8, "", "")


def test_what_others_wrote_stays_in_one_line_and_steers_no_terminal(home, verify):
    linked(home, "alice")
    with managed(home, live("alice", State.WAITING, reasons.NETWORK_DOWN, "\x1b[2J\nbob: online\r\x07" + "x" * 5000)):
        _, _, err = verify()
    assert err.count("\n") == 1
    assert err.isprintable() is False
    assert err.rstrip("\n").isprintable()
    assert len(err) < 400


def test_a_manager_that_hangs_is_waited_for_within_bounds(home, verify):
    linked(home, "alice")
    with mute(home):
        began = time.monotonic()
        code, _, err = verify()
        assert time.monotonic() - began < ENDS_WITHIN
    assert code == 8
    assert err.startswith("alice: the manager holds this home and does not answer (")
    assert err.endswith("; Restart `wasess serve`; look at its log first.\n")


@pytest.mark.parametrize("seconds_ago", [0.0, -3600.0], ids=["just now", "in the future"])
def test_a_manager_that_does_not_listen_is_waited_for_within_bounds(home, verify, seconds_ago):
    """A home on a file system that has no sockets; and the clock was set back since."""
    linked(home, "alice")
    with held(home, seconds_ago):
        began = time.monotonic()
        assert verify()[0] == 8
        assert time.monotonic() - began < ENDS_WITHIN


def report(*lives, **more):
    info = ManagerInfo(PID, "9.0", "sandbox", time.time() - 9000, ready=True, kept=len(lives), online=len(lives))
    return {"manager": asdict(info) | more, "sessions": [asdict(found) | more for found in lives]}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01" + bytes(range(256)),
        said(b"not json"),
        said(b"[" * 100_000),
        said({"manager": None, "sessions": []}),
        said(report() | {"sessions": [{"user": "alice", "state": "online"}]}),
        said(report(live("alice")))[:-20],
        said(json.dumps(report(live("alice"))).replace("online", "hibernating").encode()),
        b"HTTP/1.0 200 OK\r\ncontent-length: 9999999999\r\n\r\n" + b" " * (LONGEST_ANSWER + 1),
    ],
    ids=["nothing", "ssh", "tls", "no json", "deep", "no manager", "too little", "cut off", "unknown state", "too long"],
)
def test_an_answer_that_makes_no_sense_is_no_answer(home, verify, answer):
    linked(home, "alice")
    with babbling(home, answer):
        code, _, err = verify()
    assert code == 8
    assert err.startswith("alice: the manager holds this home and does not answer (")
    assert err.count("\n") == 1


def test_a_manager_that_reports_a_failure_is_quoted(home, verify):
    linked(home, "alice")
    refusal = {"ok": False, "error": {"code": "UNEXPECTED", "message": "ZeroDivisionError: x", "retryable": False, "hint": ""}}
    with babbling(home, said(refusal, "500 Internal Server Error")):
        code, _, err = verify()
    assert code == 1
    assert "ZeroDivisionError" in err


def test_a_newer_manager_is_understood_as_far_as_possible(home, verify):
    linked(home, "alice", "bob")
    alice, bob = live("alice"), live("bob", State.WAITING, reasons.NETWORK_DOWN)
    newer = report(alice, bob, colour="green")
    newer["sessions"][1]["code"] = "QUANTUM_NOISE"
    with babbling(home, said(newer)):
        code, _, err = verify()
        document = only_document("verify", verify("--json")[1])
    assert code == 3
    assert err == (
        "bob: the running manager is of another version, and says what this one does not know (QUANTUM_NOISE); Restart `wasess serve`.\n"
    )
    assert [row["code"] for row in document["data"]["sessions"]] == ["ONLINE", "OTHER_VERSION"]


def test_a_session_that_only_the_manager_knows_is_none(home, verify):
    linked(home, "alice")
    with managed(home, live("alice"), live("ghost", State.WAITING, reasons.NETWORK_DOWN)):
        assert verify() == (0, "", "")


def test_the_lines_are_in_the_language_spoken(home, capsys):
    linked(home, "alice")
    assert run(["--lang", "es", "verify"]) == 8
    assert capsys.readouterr().err == "alice: no hay ningún gestor en marcha; wasess serve\n"
