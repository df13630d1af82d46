"""`wasess send`, beside a manager with scripted sessions, and without one."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import time
from typing import TYPE_CHECKING

import pytest
from documents import only_document
from mail_house import CAROL, DAVE, begun, box, furnished, managed, typed
from village import EVENT, Village, spooled, until

from wasess.cli.app import run
from wasess.core import events
from wasess.core.addressing import address_of
from wasess.core.message import Reply
from wasess.link.attachment import MAX_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.store.sessions import Home

SECRET = "pssst-the-cake"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    return furnished(tmp_path, monkeypatch)


async def test_a_text_is_sent_followed_and_never_sent_again(home: Home):
    host = Village()
    async with managed(home, host, "alice"):
        sent = await typed(home, "send", "alice", "+49 170 1234567", SECRET, "--idempotency-key", "order 1", "--json")
        assert sent.code == 0, sent
        only_document("send", sent.out)
        assert (sent.data["state"], sent.data["key"], sent.data["managed"]) == ("sent", "order 1", True)
        assert sent.data["to"] == "491***67@s.whatsapp.net"
        assert host.links["alice"].sent == [(CAROL, SECRET)]
        late = ("send", "alice", CAROL, SECRET, "--idempotency-key", "order 1", "--wait", "delivered", "--timeout")
        early = await typed(home, *late, "0.1")
        assert early.code == 3
        assert "sent to 491***67@s.whatsapp.net (message " in early.out
        assert "--idempotency-key 'order 1'" in early.err
        waiting = asyncio.create_task(typed(home, *late, "20", "--json"))
        host.links["alice"].frames(EVENT, spooled(events.ReceiptCame("delivered", CAROL, (sent.data["message_id"],))))
        delivered = await waiting
        assert (delivered.code, delivered.data["state"]) == (0, "delivered")
        assert len(host.links["alice"].sent) == 1
        other = await typed(home, "send", "alice", CAROL, "another text", "--idempotency-key", "order 1")
        assert (other.code, "belongs to another message" in other.err) == (2, True)
        for told in (sent, early, delivered, other):
            assert SECRET not in told.out + told.err
            assert "491701234567" not in told.out + told.err


async def test_what_fails_says_why(home: Home, tmp_path: Path):
    host = Village()
    host.silent.add("alice")
    (tmp_path / "menu.pdf").write_bytes(b"%PDF")
    async with managed(home, host, "alice"):
        waiting = asyncio.create_task(typed(home, "send", "alice", CAROL, "--file", "menu.pdf", "--idempotency-key", "k", "--json"))
        await until(lambda: letters(home) == ["queued"])
        (copy,) = (home.session("alice").folder / "outgoing").iterdir()
        copy.unlink()
        host.links["alice"].frames(EVENT, spooled(events.Connected()))
        failed = await waiting
        assert (failed.code, failed.error["code"]) == (1, "SEND_FAILED")
        assert "can't be read" in failed.error["message"]
        assert "without --idempotency-key k" in failed.error["hint"]


def letters(home: Home) -> list[str]:
    with box(home, "alice") as mailbox:
        return [letter.state for letter in mailbox.outbox.letters()]


async def test_what_is_not_known_is_said_as_that(home: Home):
    with box(home, "alice") as mailbox:
        letter = mailbox.outbox.queue("k", CAROL, Reply("hello"), time.time())
        mailbox.outbox.departing("k", "3EB0", time.time())
        mailbox.outbox.end(letter.seq, "unknown", "no acknowledgement", time.time())
    host = Village()
    async with managed(home, host, "alice"):
        told = await typed(home, "send", "alice", CAROL, "hello", "--idempotency-key", "k")
        assert told.code == 3
        assert "nobody knows whether 491***67@s.whatsapp.net has the message" in told.out
        assert not host.links["alice"].sent


async def test_ctrl_c_ends_the_waiting_and_not_the_sending(home: Home):
    host = Village()
    host.silent.add("alice")
    async with managed(home, host, "alice"):
        process = await begun(home, "send", "alice", CAROL, "hello", "--idempotency-key", "k")
        await until(lambda: letters(home) == ["queued"])
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 130
        assert b"sent all the same" in err
        host.links["alice"].frames(EVENT, spooled(events.Connected()))
        await until(lambda: host.links["alice"].sent)


async def test_a_restart_of_the_manager_does_not_end_the_waiting(home: Home):
    first, second = Village(), Village()
    first.silent.add("alice")
    async with managed(home, first, "alice"):
        waiting = asyncio.create_task(typed(home, "send", "alice", CAROL, "hello", "--timeout", "20", "--json"))
        await until(lambda: letters(home) == ["queued"])
    async with managed(home, second, "alice"):
        sent = await waiting
        assert (sent.code, sent.data["state"]) == (0, "sent"), sent
        assert second.links["alice"].sent == [(CAROL, "hello")]


async def test_without_a_manager_it_waits_in_the_outbox(home: Home):
    queued = await typed(home, "send", "alice", CAROL, "hello", "--wait", "queued", "--idempotency-key", "k", "--json")
    assert (queued.code, queued.data["state"], queued.data["managed"]) == (0, "queued", False)
    only_document("send", queued.out)
    host = Village()
    async with managed(home, host, "alice"):
        await until(lambda: host.links["alice"].sent == [(CAROL, "hello")])


# --- without any manager ------------------------------------------------------------------------------------------------


def test_who_wants_it_sent_needs_a_manager(home: Home, capsys: pytest.CaptureFixture[str]):
    assert run(["send", "alice", CAROL, "hello"]) == 8
    assert "next: wasess serve" in capsys.readouterr().err
    assert not (home.path / "alice" / "inbox.db").exists()
    assert run(["send", "alice", CAROL, "hello", "--wait", "queued"]) == 0
    said = capsys.readouterr()
    assert said.out == "queued for 491***67@s.whatsapp.net: the manager sends it as soon as it runs\n"
    assert said.err == "  next: wasess serve\n"


def test_the_same_key_is_queued_once_there_too(home: Home, capsys: pytest.CaptureFixture[str]):
    assert [run(["send", "alice", CAROL, words, "--wait", "queued", "--idempotency-key", "k"]) for words in ("a", "a", "b")] == [0, 0, 2]
    assert letters(home) == ["queued"]
    assert run(["send", "alice", CAROL, "a", "--wait", "queued", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(document["data"]["key"]) == 32


def test_whatever_can_be_said_is_queued_as_it_was_said(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "menu.pdf").write_bytes(b"%PDF")
    (tmp_path / "note.ogg").write_bytes(b"OggS" + bytes(24) + b"OpusHead")
    wanted = {
        ("hello", "--reply-to", "3EB0AA", "--mention", "+49 170 7654321"): Reply("hello", quote="3EB0AA", mentions=(DAVE,)),
        ("look", "--file", "menu.pdf"): Reply("look", file=str(tmp_path / "menu.pdf")),
        ("--file", "note.ogg", "--voice"): Reply(file=str(tmp_path / "note.ogg"), voice=True),
        ("--react", "!", "--reply-to", "3EB0AA"): Reply(react="!", quote="3EB0AA"),
        ("--react", "", "--reply-to", "3EB0AA"): Reply(react="", quote="3EB0AA"),
        ("-",): Reply("two\nlines"),
        ("--", "-x"): Reply("-x"),
    }
    for words in wanted:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"two\nlines\n")))
        assert run(["send", "--wait", "queued", "alice", CAROL, *words]) == 0
    with box(home, "alice") as mailbox:
        letters = mailbox.outbox.letters()
    assert [letter.reply for letter in reversed(letters)] == list(wanted.values())
    assert {letter.chat for letter in letters} == {CAROL}
    assert len({letter.key for letter in letters}) == len(wanted)


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("bob", CAROL, "x"), 4, "no session bob"),
        (("alice", "carol", "x"), 2, "no WhatsApp address"),
        (("alice", CAROL), 2, "nothing to send"),
        (("alice", CAROL, "-"), 2, "a reply is one of"),
        (("alice", CAROL, "x", "--wait", "read"), 2, "--wait takes one of queued, sent, delivered"),
        (("alice", CAROL, "x", "--idempotency-key", "reply:1"), 2, "does not begin with reply:"),
        (("alice", CAROL, "x", "--idempotency-key", "k" * 129), 2, "128 printable"),
        (("alice", CAROL, "x", "--react", "!", "--reply-to", "3EB0"), 2, "a reaction is to a message"),
        (("alice", CAROL, "--react", "!"), 2, "a reaction is to a message"),
        (("alice", CAROL, "x", "--voice"), 2, "--voice needs a --file"),
        (("alice", CAROL, "x", "--mention", "dave"), 2, "no WhatsApp address"),
        (("alice", CAROL, "--file", "nowhere"), 2, "can't be read"),
        (("alice", CAROL, "--file", "."), 2, "Is a directory"),
        (("alice", CAROL, "--file", "empty"), 2, "is empty"),
        (("alice", CAROL, "--file", "large"), 2, "the most that can be sent is 64 MiB"),
        (("alice", CAROL, "--file", "letter.txt", "--voice"), 2, "Ogg file"),
        (("alice", CAROL, "x" * 65_537), 2, "65537 characters"),
        (("alice", CAROL, "\ud83d"), 2, "half a character"),
    ],
)
def test_what_can_not_be_sent_is_said_before_anything_is_queued(
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    problem: str,
):
    (tmp_path / "empty").touch()
    (tmp_path / "letter.txt").write_text("hello")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(MAX_FILE + 1)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert run(["send", *words]) == code
    assert problem in capsys.readouterr().err
    assert not (home.path / "alice" / "inbox.db").exists()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("491701234567", "491701234567@s.whatsapp.net"),
        (" +49 170 123 45-67 ", "491701234567@s.whatsapp.net"),
        ("+1 (555) 010-9999", "15550109999@s.whatsapp.net"),
        (CAROL, CAROL),
        ("1203630@g.us", "1203630@g.us"),
        ("120363041234567890", "120363041234567890@g.us"),
        ("491701234567-1400000000", "491701234567-1400000000@g.us"),
        ("123456789012345@lid", "123456789012345@lid"),
        ("status@broadcast", "status@broadcast"),
        ("0170 1234567", ""),
        ("123456", ""),
        ("1234567890123456@example.com", ""),
        ("a@b@lid", ""),
        ("4917\u0661234567", ""),
        ("49 170 1234567\n@lid", ""),
        ("+", ""),
        ("", ""),
    ],
)
def test_addresses(text: str, address: str):
    assert address_of(text) == address
