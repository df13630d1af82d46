"""What the spool need not hold any more is given back while a worker appends behind it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some
from mail_rows import spool_of

from wasess.store import spool as spool_module
from wasess.store.frame import HEADER_SIZE, frame
from wasess.store.spool import POSITION_NAME, SPOOL_NAME, Place, SpoolReader, depth, release

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1024 * 1024

# As the worker does, with room taken beforehand; each event names its number and fills itself with it.
WORKER = """
import sys
from wasess.link.spool_file import SpoolFile
from wasess.store.frame import frame
file = SpoolFile(sys.argv[1])
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    file.append(frame(17, b"%d " % number + b"%d" % (number % 10) * (number * 37 % 9000)))
print("done", flush=True)
"""


@pytest.fixture(params=["holes", "no-holes"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that knows holes, and one that does not."""
    if request.param == "no-holes":
        monkeypatch.setattr(spool_module, "punch", lambda *_: False)
        monkeypatch.setattr(spool_module.os, "lseek", _refuse)
    return str(request.param)


def _refuse(*_: object) -> int:
    raise OSError(errno.EINVAL, "no holes here")


def payloads(reader: SpoolReader) -> list[bytes]:
    found = []
    while frames := reader.read_new():
        found += [one.payload for one in frames]
    return found


def held(folder: Path) -> int:
    """Bytes on the disk."""
    return (folder / SPOOL_NAME).stat().st_blocks * 512


def events(longest: int) -> some.SearchStrategy[bytes]:
    """None begins with a zero byte, as no serialized event and no note does: that tells what was released."""
    return some.binary(max_size=longest).map(lambda payload: payload.lstrip(b"\0"))


@given(
    some.lists(events(9000), min_size=1, max_size=6),
    some.lists(events(50), max_size=3),
    some.integers(0, 5),
    some.booleans(),
)
def test_what_was_released_is_gone_and_all_else_stays(
    tmp_path_factory: pytest.TempPathFactory, before: list[bytes], after: list[bytes], again: int, lost: bool
):
    folder = tmp_path_factory.mktemp("spool")
    folder.chmod(0o700)
    spool_of(folder, *before)
    reader = SpoolReader(folder)
    frames = reader.read_new()
    spool_of(folder, *after)
    size = (folder / SPOOL_NAME).stat().st_size
    for one in (frames[min(again, len(frames) - 1)], frames[-1]):
        place = reader.place(one.end)
        release(folder, place)
    content = (folder / SPOOL_NAME).read_bytes()
    assert len(content) == size
    assert not any(content[HEADER_SIZE : place.position])
    assert content[place.position :] == b"".join(frame(17, payload) for payload in after)
    assert payloads(reader) == after
    assert payloads(SpoolReader(folder, place)) == after
    if lost:
        (folder / POSITION_NAME).unlink()
    late = SpoolReader(folder)
    # An event without content at the beginning can't be told from one that was kept.
    assert payloads(late) in ([*after], [b"", *after] if not before[0] else [*after])
    assert late.skipped_bytes == 0 or not before[0]
    found = depth(folder)
    assert found.damaged == 0 or not before[0]
    assert found.frames in {len(after), len(after) + (not before[0])}


@pytest.mark.usefixtures("disk")
def test_it_goes_on_behind_what_was_released_also_when_no_place_is_known(folder: Path):
    spool_of(folder, *[b"%d" % number * 3 * MEGABYTE for number in range(6)])
    reader = SpoolReader(folder)
    while frames := reader.read_new():
        end = frames[-1].end
    release(folder, reader.place(end))
    (folder / POSITION_NAME).unlink()
    assert (folder / SPOOL_NAME).stat().st_size > 4 * spool_module.WINDOW, "longer than what is read at once"
    assert payloads(SpoolReader(folder)) == []
    assert depth(folder).unread == 0
    spool_of(folder, b"later")
    late = SpoolReader(folder)
    assert payloads(late) == [b"later"]
    assert late.skipped_bytes == 0
    assert (depth(folder).frames, depth(folder).damaged) == (1, 0)


def test_what_was_released_takes_no_room(folder: Path, disk: str):
    spool_of(folder, b"x" * 8 * MEGABYTE, b"later")
    reader = SpoolReader(folder)
    first, _ = reader.read_new()
    release(folder, reader.place(first.end))
    assert (held(folder) < MEGABYTE) == (disk == "holes")
    assert (depth(folder).size < MEGABYTE) == (disk == "holes")
    assert b"xx" not in (folder / SPOOL_NAME).read_bytes()


def test_only_what_is_new_is_released(folder: Path, disk: str, monkeypatch: pytest.MonkeyPatch):
    """Where zeros are written, not all of them again each time."""
    spool_of(folder, b"x" * MEGABYTE, b"y" * 5000)
    written = 0

    def counted(descriptor: int, data: bytes, offset: int) -> int:
        nonlocal written
        written += len(data)
        return pwrite(descriptor, data, offset)

    pwrite = os.pwrite
    monkeypatch.setattr(spool_module.os, "pwrite", counted)
    reader = SpoolReader(folder)
    for one in reader.read_new():
        before, written = written, 0
        release(folder, reader.place(one.end))
        release(folder, reader.place(one.end))
    assert before <= (4096 if disk == "holes" else MEGABYTE)
    assert written <= 5000 + HEADER_SIZE


@pytest.mark.usefixtures("disk")
def test_nothing_of_what_is_appended_meanwhile_is_touched(folder: Path, another):
    count = 2000
    reader = SpoolReader(folder)
    found: list[bytes] = []
    releases = 0
    with another(WORKER, folder / SPOOL_NAME, count) as worker:
        while len(found) < count:
            for one in reader.read_new():
                number = int(one.payload.partition(b" ")[0])
                assert number == len(found)
                assert one.payload == b"%d " % number + b"%d" % (number % 10) * (number * 37 % 9000)
                found.append(one.payload)
                if number % 50 == 0:
                    place = reader.place(one.end)
                    release(folder, place)
                    releases += 1
            assert worker.poll() in {None, 0}
        assert worker.stdout.readline() == "done\n"
    assert releases == count / 50
    content = (folder / SPOOL_NAME).read_bytes()
    assert not any(content[HEADER_SIZE : place.position])
    rest = b"".join(frame(17, payload) for payload in found[-49:])
    assert content[place.position :] == rest, "what was not released is whole"


@pytest.mark.parametrize("other", [Place(1, "head", 20), Place(0, "", 20)])
def test_another_file_is_not_released(folder: Path, other: Place):
    spool_of(folder, b"one", b"two")
    reader = SpoolReader(folder)
    one, _ = reader.read_new()
    place = reader.place(one.end)
    release(folder, other)
    release(folder, place._replace(inode=place.inode + 1))
    release(folder, place._replace(position=10**9))
    release(folder, place._replace(position=-1))
    assert payloads(SpoolReader(folder)) == [b"one", b"two"]
    (folder / SPOOL_NAME).unlink()
    release(folder, place)
    assert not (folder / SPOOL_NAME).exists()


def test_an_event_of_zeros_is_not_taken_for_released(folder: Path):
    events = [bytes(5000), bytes(3), b"", b"end"]
    spool_of(folder, *events)
    assert payloads(SpoolReader(folder)) == events
    assert depth(folder).frames == 4


def test_what_a_power_cut_has_zeroed_is_damage(folder: Path):
    """Only zeros at the beginning were put there by us."""
    spool_of(folder, b"one")
    with (folder / SPOOL_NAME).open("ab") as file:
        file.write(bytes(100))
    spool_of(folder, b"two")
    reader = SpoolReader(folder)
    assert payloads(reader) == [b"one", b"two"]
    assert reader.skipped_bytes == depth(folder).damaged == 100


def test_a_released_spool_is_compacted_as_any_other(folder: Path):
    spool_of(folder, b"one" * 3000, b"two")
    reader = SpoolReader(folder)
    one, two = reader.read_new()
    release(folder, reader.place(one.end))
    assert reader.compact() == one.end
    assert payloads(SpoolReader(folder)) == [b"two"]
    reader.commit(two.end - one.end)
    assert reader.compact() == two.end - one.end
    assert (folder / SPOOL_NAME).stat().st_size == 0


def test_a_known_place_counts_before_the_one_that_was_noted(folder: Path):
    """After a power cut the note may be newer than what is in the mailbox."""
    spool_of(folder, b"one", b"two", b"three")
    reader = SpoolReader(folder)
    one, _two, three = reader.read_new()
    reader.commit(three.end)
    known = reader.place(one.end)
    assert payloads(SpoolReader(folder, known)) == [b"two", b"three"]
    assert depth(folder, known).frames == 2
    assert payloads(SpoolReader(folder, known._replace(inode=1))) == []
    assert payloads(SpoolReader(folder, known._replace(position=10**9))) == []


def test_a_known_place_is_that_of_one_file_alone(folder: Path):
    """A later one may get its inode number, and begin with the same event: that a worker has connected."""
    spool_of(folder, b"connected", b"one", b"two")
    reader = SpoolReader(folder)
    frames = reader.read_new()
    known = reader.place(frames[1].end)
    reader = SpoolReader(folder, known)
    assert payloads(reader) == [b"two"]
    reader.commit(frames[-1].end)
    assert reader.compact() == frames[-1].end
    content = (frame(17, b"connected"), frame(17, b"new"), frame(17, b"newer"))
    with (folder / SPOOL_NAME).open("ab") as file:
        file.write(b"".join(content))
    inode = (folder / SPOOL_NAME).stat().st_ino
    reader._known = None if reader._known is None else known._replace(inode=inode)
    assert payloads(reader) == [b"connected", b"new", b"newer"]
