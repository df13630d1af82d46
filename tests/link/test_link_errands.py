"""What the worker does with files, and how many errands it runs at once. With the real library: tests/wire/test_wire_content.py."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.link.calls import Call, Word
from wasess.link.errands import MAX_FILES, MAX_PROBES, Errands, Refused, Room, file_in, keep
from wasess.link.protobuf import neonize
from wasess.link.pulse import Pulse
from wasess.link.receipts import Receipts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "session" / "media").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "session")
    return tmp_path / "session"


@given(st.binary(min_size=1, max_size=300_000))
def test_a_file_is_found_in_the_librarys_answer(content):
    answer = neonize().DownloadReturnFunction(Binary=content).SerializeToString()
    assert file_in(memoryview(answer)) == content


@pytest.mark.parametrize(
    "answer", [b"", b"\x0a", b"\x0a\x00", b"\x0a\x05abc", b"\x0a\xff\xff", b"\x18\x01", b"\x0a\xff\xff\xff\xff\xff\xff"]
)
def test_an_answer_without_a_file_is_refused(answer):
    with pytest.raises(Refused):
        file_in(memoryview(answer))


def test_the_librarys_own_words_are_kept():
    answer = neonize().DownloadReturnFunction(Error="file not found on server").SerializeToString()
    with pytest.raises(Refused, match="not found on server"):
        file_in(memoryview(answer))


def test_a_file_is_kept_for_its_owner_alone(folder):
    keep("media/1.png", memoryview(b"content"))
    keep("top", memoryview(b"content"))
    assert (folder / "media" / "1.png").read_bytes() == (folder / "top").read_bytes() == b"content"
    assert stat.S_IMODE((folder / "media" / "1.png").stat().st_mode) == 0o600
    assert [path.name for path in (folder / "media").iterdir()] == ["1.png"]


def test_one_that_is_there_already_or_half_of_it_is_replaced(folder):
    (folder / "media" / "1.png").write_bytes(b"old")
    (folder / "media" / "1.png.part").write_bytes(b"ol")
    keep("media/1.png", memoryview(b"new"))
    assert [(path.name, path.read_bytes()) for path in (folder / "media").iterdir()] == [("1.png", b"new")]


def test_no_link_leads_out_of_the_folder(folder, tmp_path):
    (tmp_path / "target").write_bytes(b"safe")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / "media" / "link").symlink_to(tmp_path / "target")
    (folder / "media" / "link.part").symlink_to(tmp_path / "target")
    keep("media/link", memoryview(b"new"))
    assert (tmp_path / "target").read_bytes() == b"safe"
    assert not (folder / "media" / "link").is_symlink()
    with pytest.raises(OSError, match="elsewhere"):
        keep("elsewhere/file", memoryview(b"new"))
    for bad in ("../file", "media/../../file", f"{tmp_path}/file"):
        with pytest.raises(Refused, match="leads out"):
            keep(bad, memoryview(b"new"))
    assert not (tmp_path / "file").exists()


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        keep("media/1.png", memoryview(b"content"))
    assert list((folder / "media").iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


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
