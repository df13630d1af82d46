"""How many errands the worker runs at once, and what it refuses. With the real library: tests/wire/test_wire_content.py."""

from __future__ import annotations

import os
import threading

import pytest

from wasess.link.calls import Call, Word
from wasess.link.errands import MAX_FILES, MAX_PROBES, Errands, Room
from wasess.link.pulse import Pulse
from wasess.link.receipts import Receipts


class Slow:
    """Plays the library: a question is answered once ``go_on`` is set."""

    def __init__(self):
        self.go_on = threading.Event()
        self.asked = threading.Semaphore(0)

    def blocklist(self):
        self.asked.release()
        assert self.go_on.wait(10)
        return b"list"

    def send_typing(self, _chat, state):
        return "not connected" if state else ""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "session").mkdir()
    monkeypatch.chdir(tmp_path / "session")
    return tmp_path / "session"


@pytest.fixture
def errands():
    return Errands(Receipts(lambda *_: None, Pulse(None), durable=False))


def test_so_many_wait_and_one_more_is_refused_but_not_another_sort(errands):
    library = Slow()
    waiting = [
        threading.Thread(target=errands.run, args=(library, Call(Word.PROBE, 1, ())), kwargs={"events": True}) for _ in range(MAX_PROBES)
    ]
    for one in waiting:
        one.start()
    for _ in waiting:
        assert library.asked.acquire(timeout=10)
    assert errands.run(library, Call(Word.PROBE, 9, ()), events=True) == (b"", f"{MAX_PROBES} requests are still without an answer")
    assert errands.run(library, Call(Word.TYPING, 9, (b"", b"0")), events=True) == (b"", "")
    library.go_on.set()
    for one in waiting:
        one.join(10)
    assert errands.run(library, Call(Word.PROBE, 9, ()), events=True) == (b"list", "")


def test_what_is_refused_says_why(errands):
    assert errands.run(Slow(), Call(Word.TYPING, 1, (b"", b"1")), events=True) == (b"", "not connected")
    assert errands.run(Slow(), Call(99, 1, ()), events=True) == (b"", "the worker does not know the word 99")
    assert errands.run(Slow(), Call(Word.VOTE, 1, ()), events=False) == (b"", "the session is not up yet")


@pytest.mark.parametrize("size", [0, 11])
def test_a_file_that_changed_its_size_is_not_uploaded(errands, folder, size):
    (folder / "outgoing").mkdir()
    (folder / "outgoing/file").write_bytes(bytes(size))
    answer, problem = errands.run(Slow(), Call(Word.UPLOAD, 1, (b"file", b"0", b"10")), events=True)
    assert (answer, problem) == (b"", "the file is empty, or larger than 10 bytes")


def test_nothing_but_a_copy_is_uploaded(errands, folder):
    """The worker looks again at what it has opened: whoever can write there, no name leads to the credentials."""
    outgoing = folder / "outgoing"
    outgoing.mkdir()
    (folder / "device.db").write_bytes(b"credentials")
    (outgoing / "link").symlink_to("../device.db")
    (outgoing / "hard").hardlink_to(folder / "device.db")
    os.mkfifo(outgoing / "pipe")
    for name in (b"../device.db", bytes(folder / "device.db")):
        assert errands.run(Slow(), Call(Word.UPLOAD, 1, (name, b"0", b"100")), events=True) == (
            b"",
            "the path leads out of the session's folder",
        )
    for name in (b"hard", b"pipe"):
        assert errands.run(Slow(), Call(Word.UPLOAD, 1, (name, b"0", b"100")), events=True) == (b"", "the copy of the file was replaced")
    for name in (b"link", b"none"):
        with pytest.raises(OSError, match=r"ymbolic|No such"):
            errands.run(Slow(), Call(Word.UPLOAD, 1, (name, b"0", b"100")), events=True)


def test_a_room_is_free_again_after_an_error():
    room = Room(MAX_FILES)
    for _ in range(MAX_FILES + 1):
        with pytest.raises(ZeroDivisionError), room:
            raise ZeroDivisionError
