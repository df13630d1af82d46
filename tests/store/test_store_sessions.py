from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.errors import BadUserId, Locked, NotLinked, UnsafeHome, UsageError, WasessError
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home, parse_user_id

HOLD = """
import sys
from wasess.store.lock import FileLock
lock = FileLock.acquire(sys.argv[1], "worker")
print("held", flush=True)
sys.stdin.read()
"""
NOBODY = 65534


@pytest.fixture
def alice(home):
    session = home.session("alice")
    session.create()
    return session


def mode(path) -> int:
    return path.stat().st_mode & 0o777


# --- user ids ---


@pytest.mark.parametrize("text", ["a", "7", "alice", "alice-2", "a_b", "491701234567", "a" * 64, "com", "com10", "lock", "kept"])
def test_good_user_ids(text):
    assert parse_user_id(text) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("Alice", "no capitals.*"),
        ("a b", "only the letters"),
        ("a/b", "only the letters"),
        ("..", "only the letters"),
        (".lock", "only the letters"),
        ("a\n", "only the letters"),
        ("a\x00", "only the letters"),
        ("-a", "begin and end"),
        ("a_", "begin and end"),
        ("-", "begin and end"),
        ("a" * 65, "at most 64"),
        ("\uff41lice", "only the letters"),
        ("ﬁ", "only the letters"),
        ("\u202egnp", "only the letters"),
        ("nul", "Windows"),
        ("COM1", "Windows"),
        ("lpt9", "Windows"),
    ],
)
def test_bad_user_ids_are_told_the_rule(text, rule):
    with pytest.raises(BadUserId, match=rule) as caught:
        parse_user_id(text)
    assert str(caught.value).isascii()
    assert caught.value.hint


def test_proposes_the_plain_form():
    with pytest.raises(BadUserId) as caught:
        parse_user_id("\uff21lice")
    assert caught.value.hint == "Use alice instead."


@given(st.text())
def test_no_user_id_leaves_the_home(text):
    try:
        user = parse_user_id(text)
    except BadUserId:
        return
    assert Path("/home", user).resolve() == Path("/home") / user
    assert user == text == text.casefold()


# --- the home ---


def test_makes_a_private_home(tmp_path):
    old = os.umask(0)
    try:
        home = Home(tmp_path / "a" / "auth_sessions").open(create=True)
        home.session("alice").create()
    finally:
        os.umask(old)
    assert mode(home.path) == 0o700
    assert mode(home.path / "alice") == 0o700


@pytest.mark.parametrize("create", [False, True])
def test_a_home_from_a_git_checkout_is_put_right(tmp_path, create):
    path = tmp_path / "auth_sessions"
    path.mkdir()
    (path / ".gitkeep").touch()
    path.chmod(0o755)
    Home(path).open(create=create)
    assert mode(path) == 0o700
    assert Home(path).open(create=False).sessions() == []


def test_a_home_with_sessions_is_tightened_by_who_creates_and_refused_by_who_reads(tmp_path):
    path = tmp_path / "auth_sessions"
    (path / "alice").mkdir(parents=True)
    path.chmod(0o755)
    with pytest.raises(UnsafeHome, match="other users") as caught:
        Home(path).open(create=False)
    assert caught.value.hint == f"chmod 700 {path}"
    assert mode(path) == 0o755
    Home(path).open(create=True)
    assert mode(path) == 0o700


def test_a_missing_home_is_an_empty_one(tmp_path):
    home = Home(tmp_path / "none").open(create=False)
    assert home.sessions() == []
    assert home.lock_holder() is None
    assert not home.session("alice").exists()
    assert not home.path.exists()


@pytest.mark.parametrize("create", [True, False])
def test_refuses_a_linked_home(tmp_path, create):
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "home").symlink_to("real")
    with pytest.raises(UnsafeHome, match="symbolic link"):
        Home(tmp_path / "home").open(create=create)


def test_refuses_a_file_for_a_home(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(UnsafeHome, match="not a folder"):
        Home(tmp_path / "home").open(create=True)


def test_refuses_a_foreign_home_and_leaves_its_mode(tmp_path):
    path = tmp_path / "home"
    path.mkdir(0o755)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    else:
        path = Path("/usr")
    before = mode(path)
    with pytest.raises(UnsafeHome, match="another user"):
        Home(path).open(create=True)
    assert mode(path) == before


def test_lists_the_sessions_and_nothing_else(home, tmp_path):
    for name in ("zoe", "alice", "bob-2"):
        home.session(name).create()
    (home.path / ".hidden").mkdir()
    (home.path / "Bad Name").mkdir()
    (home.path / "nul").mkdir()
    (home.path / "stray").touch()
    (home.path / "linked").symlink_to(tmp_path)
    assert [session.user for session in home.sessions()] == ["alice", "bob-2", "zoe"]


def test_lists_a_thousand_sessions_fast(home):
    for number in range(1000):
        (home.path / f"user-{number}").mkdir(0o700)

    def seconds() -> float:
        started = time.perf_counter()
        assert len(home.sessions()) == 1000
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.05


def test_one_manager_a_home(home):
    with home.lock("serve"):
        found = home.lock_holder()
        assert found is not None
        assert found.purpose == "serve"
        with pytest.raises(Locked, match="The home"):
            home.lock("serve")
    assert home.lock_holder() is None


@pytest.mark.parametrize(("first", "second"), [("whatsapp", "sandbox"), ("sandbox", "whatsapp")])
def test_a_home_belongs_to_one_realm(home, first, second):
    home.claim_realm(first)
    home.claim_realm(first)
    assert mode(home.path / ".realm") == 0o600
    with pytest.raises(UsageError, match="Nothing was changed") as caught:
        Home(home.path).claim_realm(second)
    assert "--home" in caught.value.hint
    home.claim_realm(first)


def test_a_mark_that_was_never_written_is_none(home):
    (home.path / ".realm").touch(0o600)
    home.claim_realm("sandbox")
    with pytest.raises(UsageError):
        home.claim_realm("whatsapp")


def test_an_unknown_mark_is_refused(home):
    (home.path / ".realm").write_text("moon")
    for realm in ("whatsapp", "sandbox"):
        with pytest.raises(UsageError):
            home.claim_realm(realm)


# --- a session ---


def test_a_session_is_asked_for_by_a_good_name_only(home):
    with pytest.raises(BadUserId):
        home.session("../alice")


def test_creating_twice_tightens_what_is_too_open(alice):
    (alice.folder / "session.json").touch()
    (alice.folder / "session.json").chmod(0o664)
    alice.folder.chmod(0o755)
    with pytest.raises(UnsafeHome, match="other users"):
        alice.device()
    alice.create()
    assert mode(alice.folder) == 0o700
    assert mode(alice.folder / "session.json") == 0o600


def test_what_others_may_write_is_refused_by_who_reads(alice):
    (alice.folder / "device.db").touch()
    (alice.folder / "device.db").chmod(0o620)
    with pytest.raises(UnsafeHome, match="written by other users") as caught:
        alice.device()
    assert caught.value.hint == f"chmod 600 {alice.folder / 'device.db'}"


@pytest.mark.parametrize("use", ["create", "device", "lock", "record", "remove", "set_aside"])
def test_a_linked_folder_is_refused_whatever_is_done(home, tmp_path, use):
    (tmp_path / "elsewhere").mkdir(0o700)
    (home.path / "alice").symlink_to(tmp_path / "elsewhere")
    session = home.session("alice")
    actions = {
        "create": session.create,
        "device": session.device,
        "lock": lambda: session.lock("serve"),
        "record": lambda: session.record,
        "remove": session.remove,
        "set_aside": lambda: session.set_aside("replaced"),
    }
    with pytest.raises(UnsafeHome, match="symbolic link"):
        actions[use]()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_foreign_files_and_folders_are_refused(alice):
    path = alice.folder / "device.db"
    path.touch(0o600)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(UnsafeHome, match="another user"):
        alice.device()
    with pytest.raises(UnsafeHome, match="another user"):
        alice.create()
    os.chown(alice.folder, NOBODY, NOBODY)
    with pytest.raises(UnsafeHome, match="another user"):
        alice.lock("serve")


def test_tells_who_holds_it(alice, another):
    assert alice.lock_holder() is None
    with another(HOLD, alice.folder / "lock") as worker:
        found = alice.lock_holder()
        assert found is not None
        assert (found.pid, found.purpose) == (worker.pid, "worker")
        with pytest.raises(Locked, match="'alice'"):
            alice.lock("connect")


def test_a_session_that_is_not_there_can_not_be_locked(home):
    with pytest.raises(NotLinked, match="no session 'bob'") as caught:
        home.session("bob").lock("serve")
    assert caught.value.hint == "wasess connect bob"
    assert not home.session("bob").exists()


def test_keeps_a_record(home, alice):
    record = SessionRecord("alice", 1.0, "NEW", "CREATED", 1.0)
    alice.record.save(record)
    assert home.session("alice").record.load() == record


# --- setting aside, removing ---


def test_sets_credentials_aside_without_deleting(alice):
    for suffix in ("", "-wal", "-shm", "-journal"):
        (alice.folder / f"device.db{suffix}").write_bytes(b"content" + suffix.encode())
        (alice.folder / f"device.db{suffix}").chmod(0o600)
    (alice.folder / "spool.log").touch(0o600)
    kept = alice.set_aside("logged-out")
    assert kept is not None
    assert kept.parent == alice.folder / "kept"
    assert kept.name.endswith("Z-logged-out")
    assert mode(kept) == mode(kept.parent) == 0o700
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == {
        f"device.db{suffix}": b"content" + suffix.encode() for suffix in ("", "-wal", "-shm", "-journal")
    }
    assert sorted(path.name for path in alice.folder.iterdir()) == ["kept", "lock", "spool.log"]
    assert alice.set_aside("logged-out") is None


def test_sets_aside_twice_in_a_second(alice):
    kept = set()
    for _ in range(3):
        (alice.folder / "device.db").touch(0o600)
        kept.add(alice.set_aside("replaced"))
    assert len(kept) == 3


def test_nothing_is_set_aside_from_a_session_that_is_not_there(home):
    assert home.session("bob").set_aside("replaced") is None


@pytest.mark.parametrize("reason", ["", "../x", "Logged out", "a/b"])
def test_a_reason_is_a_folder_name(alice, reason):
    with pytest.raises(ValueError, match="not a reason"):
        alice.set_aside(reason)


def test_nothing_is_moved_or_removed_under_a_living_worker(alice, another):
    (alice.folder / "device.db").write_bytes(b"content")
    with another(HOLD, alice.folder / "lock"):
        for action in (lambda: alice.set_aside("replaced"), alice.remove):
            with pytest.raises(Locked, match="'alice' is in use"):
                action()
    assert (alice.folder / "device.db").read_bytes() == b"content"


def test_the_holder_itself_may_move_and_remove(alice):
    with alice.lock("connect"):
        (alice.folder / "device.db").touch(0o600)
        assert alice.set_aside("replaced") is not None
        found = alice.lock_holder()
        assert found is not None
        assert found.is_this_process()
        alice.remove()
    assert not alice.exists()


def test_removes_and_overwrites_everything(alice, tmp_path):
    (alice.folder / "device.db").write_bytes(b"secret" * 1000)
    alice.set_aside("replaced")
    (alice.folder / "spool.log").write_bytes(b"secret" * 500_000)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (alice.folder / "link").symlink_to(outside)
    (alice.folder / "hard").hardlink_to(outside / "file")
    with (alice.folder / "spool.log").open("rb") as still_open:
        alice.remove()
        assert not still_open.read().strip(b"\0")
        assert still_open.tell() == 3_000_000
    assert not alice.exists()
    assert (outside / "file").read_bytes() == b"theirs"
    alice.remove()


def test_every_refusal_says_what_to_do(home):
    (home.path / "alice").touch()
    with pytest.raises(WasessError) as caught:
        home.session("alice").create()
    assert "nothing was changed" in str(caught.value)
    assert caught.value.hint
