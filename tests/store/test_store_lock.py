from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from wasess.errors import Locked, UnsafeHome
from wasess.store.lock import FileLock, Holder, filesystem_type, holder, last_host, read_holder

HOLD = """
import sys
from wasess.store.lock import FileLock
lock = FileLock.acquire(sys.argv[1], sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""

# Holds a shared lock, as somebody who asks for the holder does for an instant.
PROBE = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_SH)
print("probing", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "alice"
    folder.mkdir()
    return folder / "lock"


def test_tells_who_holds_it_and_why(path):
    before = time.time()
    with FileLock.acquire(path, "serve"):
        found = holder(path)
        assert found is not None
        assert (found.pid, found.host, found.purpose) == (os.getpid(), os.uname().nodename, "serve")
        assert before - 1 < found.since < time.time() + 1
        assert found.is_this_process()
        assert len(found.boot_id) == 36
    assert holder(path) is None
    assert path.exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_refuses_a_second_process_naming_the_first(path, another):
    with another(HOLD, path, "pairing") as first:
        with pytest.raises(Locked, match=rf"'alice' is in use by process {first.pid} \(pairing, since ") as caught:
            FileLock.acquire(path, "serve")
        assert str(first.pid) in caught.value.hint
        found = holder(path)
        assert found is not None
        assert not found.is_this_process()


def test_refuses_itself_on_a_second_descriptor(path):
    with FileLock.acquire(path, "serve"), pytest.raises(Locked):
        FileLock.acquire(path, "serve")


def test_a_killed_holder_frees_it_and_its_text_is_not_believed(path, another):
    with another(HOLD, path, "serve") as first:
        pass
    assert read_holder(path.read_bytes()).pid == first.pid
    assert holder(path) is None
    with FileLock.acquire(path, "pairing"):
        assert read_holder(path.read_bytes()).purpose == "pairing"


def test_waits_for_the_holder_to_let_go(path, another):
    with another(HOLD, path, "serve") as first:
        threading.Timer(0.1, first.stdin.close).start()
        FileLock.acquire(path, "pairing", wait=20).release()


def test_gives_up_when_the_wait_is_over(path, another):
    with another(HOLD, path, "serve"):
        started = time.monotonic()
        with pytest.raises(Locked):
            FileLock.acquire(path, "pairing", wait=0.1)
        assert time.monotonic() - started >= 0.1


def test_somebody_who_only_asks_does_not_keep_a_worker_out(path, another):
    path.touch(0o600)
    with another(PROBE, path) as probe:
        threading.Timer(0.1, probe.stdin.close).start()
        FileLock.acquire(path, "serve").release()


def test_asking_all_the_time_does_not_keep_a_worker_out(path):
    path.touch(0o600)
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            holder(path)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(100):
            FileLock.acquire(path, "serve").release()
    finally:
        ended.set()
        for thread in asking:
            thread.join()


def test_a_program_started_meanwhile_does_not_get_it(path):
    lock = FileLock.acquire(path, "serve")
    assert not os.get_inheritable(lock.fileno())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        try:
            assert holder(path) is None
        finally:
            child.communicate(b"\n")


def test_a_forked_child_drops_it(path):
    # In a process of its own: pytest's may have threads, and those and fork do not go together.
    program = """
import os, sys
from wasess.store.lock import FileLock, holder
lock = FileLock.acquire(sys.argv[1], "serve")
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os._exit(0)
os.read(ready[0], 1)
assert holder(sys.argv[1]) is not None, "the child's copy going must not free the parent's lock"
lock.release()
assert holder(sys.argv[1]) is None, "the child still holds it"
os.write(go[1], b"x")
os.wait()
"""
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)


def test_is_handed_to_a_program_on_purpose(path, another):
    program = """
import subprocess, sys
from wasess.store.lock import FileLock
lock = FileLock.acquire(sys.argv[1], "serve")
subprocess.Popen(["cat"], stdin=int(sys.argv[2]), pass_fds=[lock.fileno()])
print("handed on", flush=True)
sys.stdin.read()
"""
    reading, writing = os.pipe()
    with another(program, path, reading, keep=(reading,)):
        os.close(reading)
        assert holder(path) is not None
    assert holder(path) is not None, "it should last as long as the program that got it"
    os.close(writing)
    FileLock.acquire(path, "serve", wait=20).release()


def test_release_twice_is_release_once(path):
    lock = FileLock.acquire(path, "serve")
    lock.release()
    lock.release()
    assert lock.fileno() == -1


def test_a_removed_file_is_no_lock(path, another):
    with another(HOLD, path, "serve"):
        path.unlink()
        with FileLock.acquire(path, "connect"):
            found = holder(path)
            assert found is not None
            assert found.purpose == "connect"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"pid": "x"}', b"\xff\xfe", b"{}\n{}"])
def test_a_text_that_says_nothing_still_means_held(path, text):
    with FileLock.acquire(path, "serve"):
        path.write_bytes(text)
        assert holder(path) == Holder(0, "", "", "", 0.0)
        with pytest.raises(Locked, match="another process"):
            FileLock.acquire(path, "pairing")


def test_a_longer_text_before_leaves_no_rest(path):
    FileLock.acquire(path, "x" * 500).release()
    FileLock.acquire(path, "y").release()
    assert json.loads(path.read_bytes())["purpose"] == "y"


def test_nobody_holds_a_lock_that_was_never_taken(tmp_path):
    assert holder(tmp_path / "bob" / "lock") is None


def test_refuses_a_link(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeHome, match="symbolic link"):
        FileLock.acquire(path, "serve")
    assert not (tmp_path / "elsewhere").exists()


def test_names_the_home_when_that_is_taken(tmp_path):
    with FileLock.acquire(tmp_path / ".lock", "serve"), pytest.raises(Locked, match=f"The home {tmp_path} is in use"):
        FileLock.acquire(tmp_path / ".lock", "serve")


def test_finds_the_file_system_of_a_device():
    mountinfo = (
        "22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"
        "36 28 0:44 / /srv/wasess rw,relatime shared:1 - nfs4 server:/export rw,vers=4.2\n"
        "28 1 254:0 / / rw - ext4 /dev/vda rw\n"
    )
    assert filesystem_type(mountinfo, os.makedev(0, 44)) == "nfs4"
    assert filesystem_type(mountinfo, os.makedev(254, 0)) == "ext4"
    assert not filesystem_type(mountinfo, os.makedev(9, 9))
    assert not filesystem_type("", 0)


def test_stays_light_for_the_worker():
    program = "import sys; before = set(sys.modules); import wasess.store.lock, wasess.store.frame; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert not {name.partition(".")[0] for name in loaded} & {
        "asyncio",
        "sqlite3",
        "tinydb",
        "dataclasses",
        "inspect",
        "subprocess",
        "pathlib",
    }


ELSEWHERE = {"pid": 12, "host": "web-2", "boot_id": "another boot", "purpose": "worker", "since": 1.0}


def test_remembers_the_host_that_a_copied_folder_comes_from(path):
    assert last_host(path) == ""
    path.write_text(json.dumps(ELSEWHERE) + "\n")
    assert last_host(path) == "web-2"
    assert holder(path) is None
    for _ in range(2):
        with FileLock.acquire(path, "worker"):
            assert last_host(path) == "web-2"
            assert holder(path).host == os.uname().nodename
    assert last_host(path) == "web-2"
    path.write_text(json.dumps({**ELSEWHERE, "host": "web-3"}) + "\n")
    with FileLock.acquire(path, "worker"):
        assert last_host(path) == "web-3"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"elsewhere": 3}', '{"elsewhere": null}'])
def test_a_lock_file_that_says_nothing_names_no_host(path, text):
    path.write_text(text)
    assert last_host(path) == ""
    with FileLock.acquire(path, "worker"):
        assert last_host(path) == ""


def test_a_container_that_has_got_another_name_is_no_other_host(path):
    with FileLock.acquire(path, "worker"):
        mine = json.loads(path.read_text())
    path.write_text(json.dumps({**mine, "host": "container-1"}) + "\n")
    assert last_host(path) == ""


def test_waits_for_nobody_at_a_pipe(path):
    os.mkfifo(path)
    assert holder(path) is None
    assert not last_host(path)
    with pytest.raises(UnsafeHome, match="is not a file"):
        FileLock.acquire(path, "serve")


def test_refuses_a_file_with_a_second_name(path):
    path.write_text("something of somebody")
    path.with_name("second").hardlink_to(path)
    with pytest.raises(UnsafeHome, match="hard link"):
        FileLock.acquire(path, "serve")
    assert path.read_text() == "something of somebody"


def test_refuses_a_folder_in_its_place(path):
    path.mkdir()
    assert holder(path) is None
    with pytest.raises(UnsafeHome, match="is not a file"):
        FileLock.acquire(path, "serve")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"?", b"[" * 4000, b"[]", b'{"pid": 1e400, "host": "", "boot_id": "", "purpose": "serve", "since": 0}'),
        *(b'{"pid": 7, "host": "", "boot_id": "", "purpose": "serve", "since": %s}' % since for since in (b"NaN", b"1e300", b"-Infinity")),
        *(b'{"pid": %s, "host": "", "boot_id": "", "purpose": "serve", "since": 0}' % pid for pid in (b"-5", b"0", b"1e30")),
        b'{"pid": 7, "host": "", "boot_id": "", "purpose": "", "since": 0}',
    ],
)
def test_a_text_that_makes_no_sense_names_nobody(path, text):
    assert read_holder(text) == Holder(0, "", "", "", 0.0)
    path.write_bytes(text)
    assert not last_host(path)
