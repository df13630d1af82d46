"""Files of strangers, by the real worker and the process that fetches them: what is had, what is not, and that the session never notices."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasess.core import events
from wasess.drill.process import family
from wasess.errors import FileForged, FileUnavailable, NetworkDown, WorkerFailed
from wasess.link import fetcher
from wasess.link.attachment import MAX_FILE
from wasess.sandbox import content
from wasess.sandbox.cdn import Behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Companion

    from wasess.sandbox import Sandbox
    from wasess.sandbox.content import Content

pytestmark = pytest.mark.wire

MIB = 2**20
DATA = bytes(range(250)) * 4
HANGING = Behind(pause=0.05)
KINDS = ("image", "video", "audio", "voice", "document", "sticker")


async def post(alice: Companion, box: Sandbox, *posts: Content) -> list[bytes]:
    """The spooled events of what mallory sends."""
    ids = [box.post("mallory", "alice", one) for one in posts]
    await alice.event(events.MessageReceived, count=len(alice.of(events.MessageReceived)) + len(ids))
    return [alice.payloads[one] for one in ids]


async def fetch(alice: Companion, raw: bytes, most: int = MAX_FILE) -> bytes:
    path = alice.session.folder / "file"
    size = await alice.link.download(raw, path, most)
    data = await asyncio.to_thread(path.read_bytes)
    path.unlink()
    assert size == len(data)
    return data


def left_over(alice: Companion) -> list[str]:
    return [path.name for path in alice.session.folder.iterdir() if path.name.startswith("file")]


def fetching() -> list[int]:
    """The processes that fetch files now."""
    return [pid for pid in family(os.getpid()) if b"fetch_process" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def peak(pid: int | str) -> int:
    """The most bytes that a process had in memory."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found) * 1024


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other processes: nobody here could set an event
            await asyncio.sleep(0.005)


async def test_files_of_all_kinds_are_had_encrypted_and_as_in_a_channel(alice: Companion, box: Sandbox) -> None:
    posts = [content.file(kind, DATA + bytes(size)) for size, kind in enumerate(KINDS)]
    posts += [content.forged_file("image", DATA, plain=True), content.forged_file("image", DATA, fileLength=None)]
    raws = await post(alice, box, *posts)
    assert [await fetch(alice, raw) for raw in raws] == [DATA + bytes(size) for size in range(len(KINDS))] + [DATA] * 2
    for size in (1, 15, 16, 17, 2**16 - 10, 2**16, 3 * 2**16 + 5):  # around a block, and around a piece
        (raw,) = await post(alice, box, content.file("document", os.urandom(size)))
        assert len(await fetch(alice, raw)) == size


async def test_a_file_of_lying_size_costs_the_session_nothing(alice: Companion, box: Sandbox) -> None:
    """250 MB behind ``fileLength: 1000``, three in a row: 618 MB in the worker when the library fetched them."""
    pid = (await alice.signal("started")).value
    long, unannounced = Behind(250 * MIB), Behind(250 * MIB, announced=False)
    forged = [content.forged_file("image", bytes(900), behind=behind, claimed=1000) for behind in (long, long, unannounced)]
    *raws, honest = await post(alice, box, *forged, content.file("image", DATA))
    for raw in raws:
        with pytest.raises(FileForged, match="more than the 1000 bytes"):
            await fetch(alice, raw)
    assert await fetch(alice, honest) == DATA
    assert peak(pid) < 100 * MIB
    assert left_over(alice) == []
    box.say("carol", "alice", "still there?")
    await alice.text("still there?")
    assert alice.of(events.Disconnected) == []


FORGED: list[tuple[Content, str]] = [
    (content.forged_file("image", DATA, fileSHA256=bytes(32)), "hash"),
    (content.forged_file("image", DATA, fileEncSHA256=bytes(32)), "hash"),
    (content.forged_file("image", DATA, mediaKey=bytes(32)), "MAC"),
    (content.forged_file("image", DATA, plain=True, fileSHA256=bytes(32)), "hash"),
    (content.forged_file("image", DATA, claimed=900), "more than the 900"),
    (content.forged_file("image", DATA, behind=Behind(1)), "more than the 1000"),
    (content.forged_file("image", DATA, behind=Behind(100, announced=False)), "more than the 1000"),
    (content.forged_file("image", DATA, directPath="http://127.0.0.1/file"), "names no file"),
    (content.forged_file("image", DATA, directPath="/x HTTP/1.1\r\nHost: evil"), "names no file"),
    (content.forged_file("image", DATA, mediaKey=b"short"), "names no file"),
]
LACKING: list[tuple[Content, str]] = [
    (content.forged_file("image", DATA, directPath=None, mediaKey=None, fileSHA256=None), "where its file is"),  # to be viewed once
    (content.forged_file("image", DATA, directPath="/nowhere?x=1"), "404"),
    (content.forged_file("image", DATA, behind=Behind(redirect="https://169.254.169.254/latest")), "302"),
    (content.forged_file("image", DATA, claimed=MAX_FILE + 1), "are allowed"),
]


async def test_what_is_not_as_its_sender_says_is_forged(alice: Companion, box: Sandbox) -> None:
    raws = await post(alice, box, *(forged for forged, _ in FORGED))
    for raw, (_, words) in zip(raws, FORGED, strict=True):
        with pytest.raises(FileForged, match=words):
            await fetch(alice, raw)
    assert left_over(alice) == []


async def test_what_is_not_to_be_had_is_nobodys_fault(alice: Companion, box: Sandbox) -> None:
    raws = await post(alice, box, *(lacking for lacking, _ in LACKING))
    for raw, (_, words) in zip(raws, LACKING, strict=True):
        with pytest.raises(FileUnavailable, match=words) as caught:
            await fetch(alice, raw)
        assert not isinstance(caught.value, FileForged)
    assert left_over(alice) == []


async def test_the_host_is_never_of_the_senders_choosing(alice: Companion, box: Sandbox) -> None:
    """The address in the message leads elsewhere; nobody looks at it."""
    (raw,) = await post(alice, box, content.forged_file("image", DATA, URL="https://169.254.169.254/latest"))
    assert await fetch(alice, raw) == DATA


async def test_a_network_that_fails_is_worth_another_try(alice: Companion, box: Sandbox) -> None:
    (raw,) = await post(alice, box, content.file("image", DATA))
    for fault in (("http_status", "download", "503"), ("reset", "download"), ("fin", "download"), ("refuse", "connect")):
        box.fault("alice", *fault, "count=1")
        with pytest.raises(NetworkDown, match="not fetched"):
            await fetch(alice, raw)
    assert left_over(alice) == []
    assert await fetch(alice, raw) == DATA


async def test_a_server_that_drips_or_hangs_is_given_up(alice: Companion, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "CONNECTS_WITHIN", 1.0)
    dripping, hanging = await post(alice, box, content.forged_file("image", DATA, behind=HANGING), content.file("image", DATA))
    with pytest.raises(NetworkDown, match="in time"):
        await fetch(alice, dripping)
    box.fault("alice", "stall", "download")
    with pytest.raises(NetworkDown, match="in time"):
        await fetch(alice, hanging)
    assert (fetching(), left_over(alice)) == ([], [])


async def test_a_process_that_is_killed_harms_nobody(alice: Companion, box: Sandbox) -> None:
    slow, honest = await post(alice, box, content.forged_file("image", DATA, behind=HANGING), content.file("image", DATA))
    pid = (await alice.signal("started")).value
    under_way = asyncio.create_task(fetch(alice, slow))
    await until(fetching)
    assert await fetch(alice, honest) == DATA
    os.kill(fetching()[0], signal.SIGKILL)
    with pytest.raises(WorkerFailed, match="ended"):
        await under_way
    assert left_over(alice) == []
    assert (await alice.signal("started")).value == pid
    box.say("carol", "alice", "still there?")
    await alice.text("still there?")


async def test_who_gives_up_leaves_no_process_and_no_file(alice: Companion, box: Sandbox) -> None:
    raws = await post(alice, box, *(content.forged_file("image", DATA, behind=HANGING) for _ in range(3)))
    under_way = [asyncio.create_task(alice.link.download(raw, alice.session.folder / f"file{n}", MAX_FILE)) for n, raw in enumerate(raws)]
    await until(lambda: len(fetching()) == 2)  # the third waits for its turn
    for task in under_way:
        task.cancel()
    await asyncio.wait(under_way)
    assert all(task.cancelled() for task in under_way)
    assert (fetching(), left_over(alice)) == ([], [])


async def test_the_end_of_the_host_ends_what_is_fetched(alice: Companion, box: Sandbox) -> None:
    raws = await post(alice, box, *(content.forged_file("image", DATA, behind=HANGING) for _ in range(3)))
    under_way = [asyncio.create_task(fetch(alice, raw)) for raw in raws]
    await until(lambda: len(fetching()) == 2)  # the third waits for its turn
    await alice._host.close()
    ends = await asyncio.gather(*under_way, return_exceptions=True)
    assert [type(end) for end in ends] == [WorkerFailed] * 3
    assert (fetching(), left_over(alice)) == ([], [])


async def test_the_largest_file_needs_no_more_memory_than_a_small_one(alice: Companion, box: Sandbox) -> None:
    (raw,) = await post(alice, box, content.file("document", bytes(MAX_FILE)))
    peaks: list[int] = []

    async def watch() -> None:
        while True:
            for pid in fetching():
                try:
                    peaks.append(peak(pid))
                except (OSError, ValueError):  # it has just ended
                    continue
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    assert len(await fetch(alice, raw)) == MAX_FILE
    watching.cancel()
    assert 10 * MIB < max(peaks) < 40 * MIB
    assert peak((await alice.signal("started")).value) < 100 * MIB
