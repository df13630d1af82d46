"""The worker's pure parts, and its answer to a full disk. The process itself: tests/wire/test_worker_*.py."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from wasess.link.calls import Stream, Word
from wasess.link.logline import Entry, read_entry, shown, undelivered, unstored
from wasess.link.protobuf import neonize
from wasess.link.subscription import DEVICE_PROPERTIES, EVENTS
from wasess.link.worker import cause_of_return


def test_the_device_properties_are_what_the_phone_will_read():
    neonize()  # brings neonize's folder into reach
    companion = importlib.import_module("waCompanionReg.WAWebProtobufsCompanionReg_pb2")
    found = companion.DeviceProps.FromString(DEVICE_PROPERTIES)
    assert (found.os, found.platformType) == ("wasess", companion.DeviceProps.CHROME)


def test_events_that_stop_the_pump_or_hold_secrets_are_not_asked_for():
    assert not {1, 13, 18, 19, 33, 34, 35} & set(EVENTS)
    assert len(set(EVENTS)) == len(EVENTS)


@pytest.mark.parametrize(
    ("text", "pump_ran", "cause"),
    [
        ("failed to dial whatsapp web websocket: connection refused", False, "dial-failed"),
        ("noise handshake failed: timed out", False, "dial-failed"),
        ("failed to upgrade database: file is not a database", False, "database"),
        ("required field ConnectFailure.Reason not set", True, "library-returned"),
        ("", True, "library-returned"),
        ("", False, "library-returned"),
    ],
)
def test_why_the_librarys_call_returned(text, pump_ran, cause):
    assert cause_of_return(text, pump_ran=pump_ran) == cause


def test_a_log_entry_becomes_one_line():
    entry = neonize().LogEntry(Message="first\nsecond  third", Level="WARN", Name="Client/Socket").SerializeToString()
    assert shown(read_entry(entry)) == b"WARN Client/Socket: first second third"
    long = neonize().LogEntry(Message="x" * 70000, Level="WARN", Name="Client").SerializeToString()
    assert len(shown(read_entry(long))) == len("WARN Client: ") + 70000


DECRYPTING = b"Error decrypting message 3EB0 from 4917067@s.whatsapp.net: failed to store session with 226***89_1:0: "


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (DECRYPTING + b"database or disk is full", "database or disk is full"),
        (DECRYPTING + b"database disk image is malformed (11)", "database disk image is malformed"),
        (DECRYPTING + b"unable to open database file: no such file or directory", "unable to open database file"),
        (DECRYPTING + b"no such table: whatsmeow_sessions", "no such table: whatsmeow_sessions"),
        (DECRYPTING + b"database is locked", ""),
        (DECRYPTING + b"database or disk is full, says a stranger", ""),
        (b"Unhandled message with text: database or disk is full", ""),
        (b"Failed to get prekey for retry receipt: database or disk is full", ""),
    ],
)
def test_what_could_not_be_stored(line, words):
    missing = undelivered(Entry(line, b"WARN", b"Client"))
    assert (unstored(missing) if missing else "") == words


def test_a_full_disk_ends_the_worker_at_once_and_says_so():
    ours, theirs = socket.socketpair()
    program = textwrap.dedent("""
        import ctypes, os, socket, sys
        from wasess.link.spool_file import SpoolFile
        from wasess.link.worker import Worker
        control = socket.socket(fileno=int(sys.argv[1]))
        worker = Worker({"durable": False}, control, os.eventfd(0))
        worker._spool = SpoolFile("/dev/full")
        callback = worker._event_callback()
        payload = b"a message"
        callback(None, ctypes.cast(payload, ctypes.c_void_p).value, len(payload), 17)
        print("survived")
    """)
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-c", program, str(theirs.fileno())], pass_fds=[theirs.fileno()], capture_output=True, timeout=20, check=False
        )
        theirs.close()
        (call,) = Stream().feed(ours.recv(4096))
    assert done.returncode == 1
    assert b"survived" not in done.stdout
    assert call.word == Word.ENDED
    assert call.fields == (b"crashed", f"the spool can't be written: [Errno 28] {os.strerror(28)}".encode())


def test_a_callback_that_hangs_makes_the_worker_look_stuck(tmp_path):
    program = textwrap.dedent("""
        import ctypes, os, socket, sys, threading, time
        from wasess.link.spool_file import SpoolFile
        from wasess.link.worker import Worker
        control, _ = socket.socketpair()
        worker = Worker({"durable": False}, control, os.eventfd(0))
        os.mkfifo(sys.argv[1])
        os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
        worker._spool = SpoolFile(sys.argv[1])
        callback = worker._event_callback()
        payload = bytes(30000)
        callback(None, ctypes.cast(payload, ctypes.c_void_p).value, len(payload), 17)
        print(worker._pulse.handing_over_since, flush=True)
        hang = lambda: [callback(None, ctypes.cast(payload, ctypes.c_void_p).value, len(payload), 17) for _ in range(9)]
        threading.Thread(target=hang, daemon=True).start()
        while not (since := worker._pulse.handing_over_since) or time.monotonic() - since < 0.2:
            time.sleep(0.01)
        print("hangs", flush=True)
        os._exit(0)
    """)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "pipe")], capture_output=True, timeout=20, check=False)
    assert done.stdout == b"0.0\nhangs\n", done.stderr
