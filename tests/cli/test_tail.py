"""`wasess tail`: every message in order, once for each reader, whoever ends when."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from documents import lines
from mail_house import CAROL, DAVE, arrive, begun, box, furnished, texts, typed
from village import link_device, until

from wasess.cli.acknowledgements import Acknowledged, Acknowledgements, understood
from wasess.cli.app import run
from wasess.cli.boxes import BATCH, Boxes, Start
from wasess.core.message import Media, Message
from wasess.store.inbox import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wasess.store.sessions import Home

    Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return furnished(tmp_path, monkeypatch)


@pytest.fixture
def tail(home: Home, capfd: pytest.CaptureFixture[str]) -> Said:
    def said(*words: str) -> tuple[int, str, str]:
        return run(["tail", *words]), *capfd.readouterr()

    return said


def fill(home: Home, user: str, *words: str, at: float | None = None) -> None:
    with box(home, user) as mailbox:
        arrive(mailbox, *texts(*words), at=at)


def read(out: str) -> list[str]:
    return [line["message"]["text"] for line in lines("message", out)]


def noted(home: Home, user: str, reader: str) -> int:
    with box(home, user) as mailbox:
        return mailbox.inbox.position(reader)


# --- one run ------------------------------------------------------------------------------------------------------------


def test_a_line_for_a_person(home: Home, tail: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("hello\n\x1b[31myou"), at=1_800_000_000.0)
        picture = Media("image/png", 7, "cat.png", "/srv/cat.png")
        group = Message("3EB0", "1203630@g.us", DAVE, "look", 1.0, is_group=True, kind="image", media=picture)
        arrive(mailbox, group, replace(group, id="3EB1", from_me=True, chat=DAVE, media=None), at=1_800_000_001.0)
    assert tail("alice")[1].splitlines() == [
        f"2027-01-15 08:00:00  alice  1  Carol <{CAROL}>  text  hello\\n\\x1b[31myou",
        f"2027-01-15 08:00:01  alice  2  <{DAVE}> in 1203630@g.us  image  [/srv/cat.png] look",
        "2027-01-15 08:00:01  alice  3  ourselves  image  look",
    ]


def test_a_line_for_a_program(home: Home, tail: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("hello"), at=1000.5)
    (found,) = lines("message", tail("--json")[1])
    (message,) = texts("hello")
    document = json.loads(json.dumps(asdict(replace(message, session="alice"))))
    assert found == {"user": "alice", "position": 1, "state": "waiting", "received_at": 1000.5, "message": document}


def test_all_sessions_the_oldest_first_and_each_in_its_order(home: Home, tail: Said):
    for number in range(3):
        fill(home, "alice", f"a{number}", at=100.0 + number)
        fill(home, "bob", f"b{number}", at=100.5 + number)
    fill(home, "alice", "the clock was set back", at=50.0)
    home.session("carol").create()
    assert read(tail("--json")[1]) == ["a0", "b0", "a1", "b1", "a2", "the clock was set back", "b2"]
    assert read(tail("bob", "--json")[1]) == ["b0", "b1", "b2"]


def test_where_it_begins(home: Home, tail: Said):
    now = time.time()
    for words, age in (("old", 7200), ("new", 60)):
        fill(home, "alice", words, at=now - age)
    assert read(tail("alice", "--since", "1", "--json")[1]) == ["new"]
    assert read(tail("alice", "--since", "0", "--json")[1]) == ["old", "new"]
    assert read(tail("--since", "1h", "--json")[1]) == ["new"]
    assert read(tail("--since", "3H", "--json")[1]) == ["old", "new"]
    assert read(tail("--since", time.strftime("%Y-%m-%dT%H:%M", time.localtime(now - 3600)), "--json")[1]) == ["new"]
    assert read(tail("--since", "2026-01-01T00:00+02:00", "--json")[1]) == ["old", "new"]


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("bob",), 4, "no session bob"),
        (("--since", "yesterday"), 2, "'yesterday' is no position and no time"),
        (("--since", "7"), 2, "a position is one of a session"),
        (("alice", "--since", str(2**63)), 2, "a position is one of a session"),
        (("--since", "2026-13-01"), 2, "no position and no time"),
        (("--ack",), 2, "--ack needs a name"),
        (("--as", "a\nb"), 2, "printable"),
        (("--as", "n" * 65), 2, "printable"),
    ],
)
def test_a_wrong_command_line_is_refused(tail: Said, words: tuple[str, ...], code: int, problem: str):
    said, out, err = tail(*words)
    assert (said, out, problem in err) == (code, "", True), err


def test_nothing_is_nothing(home: Home, tail: Said):
    assert tail() == (0, "", "")
    assert tail("alice", "--as", "crm") == (0, "", "")
    assert not (home.path / "alice" / "inbox.db").exists()


def test_texts_that_are_gone_are_counted(home: Home, tail: Said):
    with box(home, "alice") as mailbox:
        arrive(mailbox, *texts("one", "two"), state="unasked")
        mailbox.inbox.forget(time.time() + 1, 0.0)
        arrive(mailbox, *texts("three"))
    code, out, err = tail("--as", "crm", "--json")
    assert (code, read(out)) == (0, ["three"])
    assert err == "2 messages are left out: their texts were deleted\n"
    assert tail("--as", "crm") == (0, "", "")


# --- a reader with a name -----------------------------------------------------------------------------------------------


def test_a_reader_goes_on_where_it_was(home: Home, tail: Said):
    fill(home, "alice", "a1", "a2")
    fill(home, "bob", "b1")
    assert sorted(read(tail("--as", "crm", "--json")[1])) == ["a1", "a2", "b1"]
    fill(home, "alice", "a3")
    assert read(tail("--as", "crm", "--json")[1]) == ["a3"]
    assert read(tail("--as", "crm", "--json")[1]) == []
    assert read(tail("alice", "--as", "another", "--json")[1]) == ["a1", "a2", "a3"]
    assert (noted(home, "alice", "crm"), noted(home, "bob", "crm"), noted(home, "bob", "another")) == (3, 1, 0)


def test_looking_back_does_not_move_a_reader_back(home: Home, tail: Said):
    fill(home, "alice", "a1", "a2", "a3")
    tail("--as", "crm")
    assert read(tail("alice", "--as", "crm", "--since", "1", "--json")[1]) == ["a2", "a3"]
    assert noted(home, "alice", "crm") == 3


async def test_only_what_is_acknowledged_is_done(home: Home):
    fill(home, "alice", "a1", "a2", "a3")
    fill(home, "bob", "b1")
    process = await begun(home, "tail", "--as", "crm", "--ack", "--json")
    assert process.stdout
    got = [await asyncio.wait_for(process.stdout.readline(), 20) for _ in range(4)]
    assert sorted(read(b"".join(got).decode())) == ["a1", "a2", "a3", "b1"]
    _, err = await process.communicate(b"alice 2\nnonsense here too\nbob 7\n\nzoe 1\nalice 1\n2\n")
    assert process.returncode == 0
    assert sorted(err.decode().splitlines()) == [
        "1 of 'zoe' was not read here; it is passed over",
        "7 of 'bob' was not read here; it is passed over",
        *["a line on stdin is none of USER POSITION; it is passed over"] * 2,
    ]
    assert (noted(home, "alice", "crm"), noted(home, "bob", "crm")) == (2, 0)
    again = await typed(home, "tail", "--as", "crm", "--json")
    assert sorted(read(again.out)) == ["a3", "b1"]


async def test_it_ends_when_everything_is_acknowledged(home: Home):
    fill(home, "alice", *map(str, range(300)))
    process = await begun(home, "tail", "--as", "crm", "--ack", "--json")
    assert process.stdout
    assert process.stdin
    for number in range(300):
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert line["message"]["text"] == str(number)
        process.stdin.write(f"{line['user']} {line['position']}\n".encode())
    assert await asyncio.wait_for(process.wait(), 20) == 0  # its stdin is open still
    assert noted(home, "alice", "crm") == 300


async def test_a_reader_that_is_killed_gets_what_it_has_not_acknowledged_again(home: Home):
    fill(home, "alice", "a1", "a2", "a3")
    process = await begun(home, "tail", "alice", "--as", "crm", "--ack", "--follow", "--json")
    assert process.stdout
    assert process.stdin
    for _ in range(3):
        await asyncio.wait_for(process.stdout.readline(), 20)
    process.stdin.write(b"1\n")
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 20) == 0
    again = await typed(home, "tail", "--as", "crm", "--json")
    assert read(again.out) == ["a2", "a3"]


# --- going on -----------------------------------------------------------------------------------------------------------


class Following:
    """A `wasess tail --follow --json` that is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def text(self) -> str:
        assert self.process.stdout
        line = (await asyncio.wait_for(self.process.stdout.readline(), 20)).decode()
        return read(line)[0]

    async def ended(self) -> tuple[int, str, str]:
        out, err = await asyncio.wait_for(self.process.communicate(), 20)
        return self.process.returncode or 0, out.decode(), err.decode()


async def test_new_messages_sessions_and_files_are_followed(home: Home):
    fill(home, "alice", "a1")
    tail = Following(await begun(home, "tail", "--follow", "--as", "crm", "--json"))
    assert await tail.text() == "a1"
    fill(home, "alice", "a2")
    assert await tail.text() == "a2"
    link_device(home.session("bob"))
    fill(home, "bob", "b1")
    assert await tail.text() == "b1"
    home.session("bob").remove()
    fill(home, "bob", "another b1")
    assert await tail.text() == "another b1"
    (home.path / "alice" / "inbox.db").rename(home.path / "alice" / "damaged")
    fill(home, "alice", "after the damage")
    assert await tail.text() == "after the damage"
    home.session("alice").rename("zoe")
    fill(home, "zoe", "z2")
    assert await tail.text() == "z2"
    await until(lambda: (noted(home, "zoe", "crm"), noted(home, "bob", "crm")) == (2, 1))
    tail.process.send_signal(signal.SIGINT)
    code, out, err = await tail.ended()
    assert (code, json.loads(out)["error"]["code"], err) == (130, "INTERRUPTED", "")


async def test_a_box_that_can_not_be_read_is_told_once_and_read_when_it_can(home: Home):
    fill(home, "alice", "a1")
    path = home.path / "alice" / "inbox.db"
    path.chmod(0o666)
    tail = Following(await begun(home, "tail", "--follow", "--json"))
    assert tail.process.stderr
    assert b"can be written by other users" in await asyncio.wait_for(tail.process.stderr.readline(), 20)
    path.chmod(0o600)
    assert await tail.text() == "a1"
    tail.process.send_signal(signal.SIGINT)
    assert (await tail.ended())[2] == ""


async def test_it_ends_when_nobody_reads_although_nothing_comes(home: Home):
    fill(home, "alice", "a1")
    read_end, write_end = os.pipe()
    process = await begun(home, "tail", "--follow", "--as", "crm", out=write_end)
    os.close(write_end)
    assert b"a1" in await asyncio.to_thread(os.read, read_end, 1000)
    os.close(read_end)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert noted(home, "alice", "crm") == 1


# --- parts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "only", "found"),
    [
        (b"alice 7", "", Acknowledged("alice", 7)),
        (b" alice\t7 \r", "", Acknowledged("alice", 7)),
        (b"7", "alice", Acknowledged("alice", 7)),
        (b"", "alice", None),
        (b"7", "", ValueError),
        (b"alice", "alice", ValueError),
        (b"alice -7", "", ValueError),
        (b"alice 7 8", "", ValueError),
        (b"alice 99999999999999999999", "", ValueError),
        (b"\xff 7", "", Acknowledged("\N{REPLACEMENT CHARACTER}", 7)),
    ],
)
def test_an_acknowledgement(line: bytes, only: str, found: Acknowledged | type[ValueError] | None):
    if found is ValueError:
        with pytest.raises(ValueError, match="no USER POSITION"):
            understood(line, only)
    else:
        assert understood(line, only) == found


def test_acknowledgements_come_in_any_pieces():
    read_end, write_end = os.pipe()
    found = Acknowledgements(read_end, "alice")
    for piece in (b"a", b"lice 1\nbob", b" 2\n3\n", b"x" * 100_000, b"\n", b"4"):
        os.write(write_end, piece)
    os.close(write_end)
    assert [found.next(5.0) for _ in range(3)] == [("alice", 1), ("bob", 2), ("alice", 3)]
    with pytest.raises(ValueError, match="no USER POSITION"):
        found.next(5.0)
    assert found.next(5.0) == ("alice", 4)
    assert not found.over
    assert found.next(5.0) is None
    assert found.over
    assert found.next(5.0) is None
    os.close(read_end)


@pytest.fixture
def boxes(home: Home) -> Iterator[Boxes]:
    made = Boxes(home.sessions, Start(), None)
    yield made
    made.close()


def test_who_follows_gets_a_message_with_its_file_or_without_it_when_that_takes_long(home: Home):
    boxes = Boxes(home.sessions, Start(patience=15.0), None)
    one, two = (replace(message, kind="image", media=Media("image/png")) for message in texts("one", "two"))
    with box(home, "alice") as mailbox, closing(boxes):
        mailbox.inbox.take_in([Arrival(one, time.time(), "unasked", b"raw"), *(Arrival(text, 1.0) for text in texts("three"))], None)
        assert [item.seq for _, item in boxes.new()] == [], "what is behind it waits, too"
        assert [item.seq for _, item in boxes.new()] == []
        mailbox.inbox.prepared(1, replace(one, media=Media("image/png", path="/there")))
        assert [item.message.media and item.message.media.path for _, item in boxes.new()] == ["/there", None]
        mailbox.inbox.take_in([Arrival(two, time.time() - 14.9, "unasked", b"raw")], None)
        assert list(boxes.new()) == []
        deadline = time.monotonic() + 5
        while not (found := list(boxes.new())):
            assert time.monotonic() < deadline
        assert [item.seq for _, item in found] == [3]


def test_a_box_is_read_to_its_end_and_only_when_it_has_changed(home: Home, boxes: Boxes, monkeypatch: pytest.MonkeyPatch):
    fill(home, "alice", *map(str, range(2 * BATCH + 1)))
    assert [item.seq for _, item in boxes.new()] == list(range(1, 2 * BATCH + 2))
    looked: list[Any] = []
    items = boxes.boxes["alice"].items
    monkeypatch.setattr(boxes.boxes["alice"], "items", lambda: looked.append(1) or items())
    assert list(boxes.new()) == []
    assert not looked
    with box(home, "alice") as mailbox:
        assert list(boxes.new()) == []
        arrive(mailbox, *texts("new"))
        assert [item.seq for _, item in boxes.new()] == [2 * BATCH + 2]
