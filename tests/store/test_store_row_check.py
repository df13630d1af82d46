"""Rows that are not what was stored: found one by one, told apart from the whole, and never handed on as if nothing was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from damaged_rows import scratch, set_value
from mail_rows import CHAT, arrivals, message

from wasess.core.message import Reply
from wasess.store import mail_shape
from wasess.store.brakes import Brakes
from wasess.store.gaps import Cause, Gap, Gaps
from wasess.store.inbox import Arrival, Inbox
from wasess.store.mail import MAIL_NAME, MailDamaged, MailFile, open_mail, open_whole
from wasess.store.outbox import Outbox
from wasess.store.spool import Place

SHAPES = Path(__file__).parent / "shapes"
WAITS = "UPDATE messages SET {column} = ? WHERE seq = 1"
TEXT = "see you at seven"


def filled(folder: Path) -> None:
    with closing(MailFile(folder)) as mail:
        Inbox(mail).take_in([Arrival(message(1, TEXT), 1.0), *arrivals(2)], Place(1, "head", 100))
        Outbox(mail).queue("key", CHAT, Reply(TEXT), 1.0, about=1)


def test_a_text_that_was_changed_silently_is_no_message(folder: Path):
    filled(folder)
    assert scratch(folder, b"seven", b"eight") == 2
    with closing(open_whole(folder)) as mail:
        inbox, outbox = Inbox(mail), Outbox(mail)
        item = inbox.next_waiting(CHAT)
        assert item is not None
        assert (item.seq, item.message, item.damage) == (1, None, "it is not what was stored")
        assert "it is not what was stored" in item.detail
        assert (inbox.sweep(1.0), outbox.sweep(1.0)) == ([1], [1])
        assert not inbox.mend(1, 5.0)
        dead = inbox.item(1)
        assert dead is not None
        assert (dead.state, dead.message, dead.finished_at) == ("dead", None, None)
        assert (inbox.waiting, inbox.dead(), inbox.damaged, inbox.damaged_positions()) == (1, 1, 1, [1])
        assert not inbox.retry(1), "nobody can make it whole"
        assert inbox.find(CHAT, "ID1") is None
        following = inbox.next_waiting(CHAT)
        assert following is not None
        assert following.message == message(2), "the chat goes on"
        assert not outbox.mend(1, 5.0)
        assert (outbox.letter(1).state, outbox.letter(1).reply, outbox.next_open(CHAT)) == ("failed", None, None)
        assert (inbox.sweep(1.0), outbox.sweep(1.0), outbox.damaged()) == ([], [], [1])
    with closing(MailFile(folder)) as mail:
        inbox = Inbox(mail)
        assert inbox.damaged == 1, "also for a later manager"
        assert inbox.drop(1, 6.0)
        assert (inbox.damaged, inbox.dead()) == (0, 0)
        assert inbox.sweep(1.0) == []
        assert inbox.forget(7.0, 7.0)
        assert inbox.item(1) is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((column, value) for column in ("chat", "sender", "id", "kind") for value in ("other", b"\xff\xfe", 7, 2.5)),
        *(("body", value) for value in (b"", b"{", b"[]", b'{"id": 1}', b"\xff", "text", 7, 2.5, None)),
        *(("raw", value) for value in (b"raw", "text", 7)),
        *(("checksum", value) for value in (7, -7, 2.5, "text", b"blob")),
    ],
)
def test_what_does_not_change_in_a_row_is_checked(folder: Path, column: str, value: object):
    filled(folder)
    set_value(folder, WAITS.format(column=column), value)
    with closing(MailFile(folder)) as mail:
        inbox = Inbox(mail)
        assert inbox.sweep(1.0) == [1]
        assert not inbox.mend(1, 5.0)
        item = inbox.item(1)
        assert item is not None
        assert (item.state, item.message, bool(item.damage)) == ("dead", None, True)
        assert [item.seq for item in inbox.items()] == [1, 2]
        assert (inbox.waiting, inbox.damaged) == (1, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("tries", value) for value in (-1, 2.5, "text", b"blob", 2**62)),
        *(("retry_at", value) for value in (-1.0, "text", b"blob", 1e300, float("inf"))),
        *(("received_at", value) for value in (-1.0, "text", b"blob", 1e300)),
        *(("detail", value) for value in (b"\xff",)),
        *(("finished_at", value) for value in ("text", -5.0, 1e300)),
    ],
)
def test_what_changes_in_a_row_is_set_right_when_the_rest_is_whole(folder: Path, column: str, value: object):
    filled(folder)
    set_value(folder, WAITS.format(column=column), value)
    with closing(MailFile(folder)) as mail:
        inbox = Inbox(mail)
        assert inbox.sweep(1.0) == [1]
        assert inbox.mend(1, 5.0)
        item = inbox.next_waiting(CHAT)
        assert item is not None
        assert (item.message, item.tries, item.retry_at, item.finished_at) == (message(1, TEXT), 0, 0.0, None)
        assert inbox.sweep(1.0) == []


@pytest.mark.parametrize("value", ["waitinf", b"\xff", 7, ""])
def test_a_message_in_no_state_that_there_is_becomes_a_dead_letter_that_can_be_tried_again(folder: Path, value: object):
    filled(folder)
    set_value(folder, WAITS.format(column="state"), value)
    with closing(MailFile(folder)) as mail:
        inbox = Inbox(mail)
        assert inbox.sweep(1.0) == [1]
        assert inbox.mend(1, 5.0)
        item = inbox.item(1)
        assert item is not None
        assert (item.state, item.message, inbox.damaged) == ("dead", message(1, TEXT), 0)
        assert inbox.retry(1)


@pytest.mark.parametrize("whole", [True, False])
def test_a_message_at_a_position_that_cannot_be_gets_another(folder: Path, whole: bool):
    """A block of zeros over the first row of a table makes it number 0, and all its values NULL."""
    filled(folder)
    with closing(MailFile(folder)) as mail:
        mail.execute("UPDATE messages SET seq = 0 WHERE seq = 1")
        if not whole:
            mail.execute("UPDATE messages SET state = '', body = NULL, checksum = NULL WHERE seq = 0")
    with closing(MailFile(folder)) as mail:
        inbox = Inbox(mail)
        assert inbox.sweep(1.0) == [0]
        assert inbox.mend(0, 5.0) is whole
        assert [(item.seq, item.state, item.message is not None) for item in inbox.items()] == [
            (2, "waiting", True),
            (3, "waiting" if whole else "dead", whole),
        ]
        assert inbox.damaged_positions() == ([] if whole else [3])
        inbox.take_in([Arrival(message(9, "next"), 2.0)], None)
        assert inbox.last() == 4
        assert inbox.sweep(1.0) == []


def test_an_index_that_still_has_it_does_not_bring_it_back(folder: Path):
    """The row says another state than the index it is found by: it would be the chat's first message for ever."""
    filled(folder)
    assert scratch(folder, b"waiting", b"waitinf") == 2
    with closing(MailFile(folder)) as mail:
        inbox = Inbox(mail)
        first = inbox.next_waiting(CHAT)
        while first is not None:
            assert first.damage
            inbox.mend(first.seq, 5.0)
            following = inbox.next_waiting(CHAT)
            assert following is None or following.seq > first.seq
            first = following
        assert (inbox.dead(), inbox.waiting) == (2, 0)


def test_an_index_that_does_not_fit_its_table_is_made_anew(folder: Path):
    filled(folder)
    path = folder / MAIL_NAME
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'waiting_messages'")
    start = (root - 1) * 4096
    page = content[start : start + 4096].replace(CHAT[:4].encode(), b"4817")
    path.write_bytes(content[:start] + page + content[start + 4096 :])
    with closing(MailFile(folder)) as mail:
        assert Inbox(mail).next_waiting(CHAT) is None, "what was wrong"
    with pytest.raises(MailDamaged):
        open_whole(folder, read_only=True)
    mail, kept = open_mail(folder)
    assert kept is None
    item = Inbox(mail).next_waiting(CHAT)
    assert item is not None
    assert item.message == message(1, TEXT)
    mail.close()


@pytest.mark.parametrize(
    ("old", "new"), [(b"waiting_messages", b"waitinG_messaged"), (b"    body BLOB", b"    bodx BLOB"), (b"readers", b"reaDerz")]
)
def test_tables_that_are_not_those_that_were_made_are_damage(folder: Path, old: bytes, new: bytes):
    filled(folder)
    path = folder / MAIL_NAME
    path.write_bytes(path.read_bytes().replace(old, new))
    mail, kept = open_mail(folder)
    assert kept is not None
    mail.close()


def bits(first: int, last: int) -> list[tuple[int, int]]:
    return [(byte, bit) for byte in range(first, last) for bit in range(8)]


@pytest.mark.parametrize(("byte", "bit"), [*bits(18, 20), *bits(44, 48), *bits(60, 64), *bits(68, 72)])
def test_no_bit_of_the_header_keeps_a_session_from_its_mail(folder: Path, byte: int, bit: int):
    """The version that only a newer wasess knows, a format that SQLite does not, a file that may only be read: each a single bit."""
    filled(folder)
    content = bytearray((folder / MAIL_NAME).read_bytes())
    content[byte] ^= 1 << bit
    (folder / MAIL_NAME).write_bytes(content)
    mail, kept = open_mail(folder)
    inbox = Inbox(mail)
    assert (inbox.waiting == 2) != (kept is not None), "it is used, or set aside"
    assert inbox.take_in(arrivals(7), None)
    mail.close()


@pytest.mark.parametrize("name", [b"waiting_messages", b"gap_ids", b"CREATE INDEX"])
def test_a_name_that_is_no_text_any_more_is_damage(folder: Path, name: bytes):
    """SQLite quotes it in its error, and Python can't decode that."""
    filled(folder)
    content = (folder / MAIL_NAME).read_bytes()
    (folder / MAIL_NAME).write_bytes(content.replace(name, bytes((name[0] | 0x80,)) + name[1:]))
    with pytest.raises(MailDamaged):
        open_whole(folder, read_only=True)
    mail, kept = open_mail(folder)
    assert kept is not None
    mail.close()


def test_letters_are_checked_as_messages_are(folder: Path):
    for column, value, known in (
        *(("key", "other", False), ("chat", b"\xff", False), ("about", 7, False), ("about", "text", False), ("body", b"{}", False)),
        *(
            ("queued_at", -1.0, True),
            ("tries", "text", True),
            ("sent_at", 1e300, True),
            ("state", "queuee", False),
            ("message_id", b"\xff", True),
        ),
    ):
        (folder / MAIL_NAME).unlink(missing_ok=True)
        filled(folder)
        set_value(folder, f"UPDATE outbox SET {column} = ? WHERE seq = 1", value)  # noqa: S608 - a column of this test
        with closing(MailFile(folder)) as mail:
            outbox = Outbox(mail)
            outbox.letters()
            outbox.counts()
            if column == "message_id":  # any text is an id
                continue
            assert outbox.sweep(1.0) == [1], column
            assert outbox.mend(1, 5.0) == known, column
            assert outbox.letter(1).state == ("queued" if known else "failed"), column
            assert outbox.sweep(1.0) == [], column


def test_a_place_that_was_changed_is_none(folder: Path):
    """Else events of the spool would be passed over, and given back to the file system."""
    filled(folder)
    set_value(folder, "UPDATE place SET position = 228")
    with closing(MailFile(folder)) as mail:
        assert Inbox(mail).place() is None


def test_a_reader_whose_position_was_changed_begins_anew(folder: Path):
    with closing(MailFile(folder)) as mail:
        Inbox(mail).advance("crm", 5, 1.0)
    set_value(folder, "UPDATE readers SET position = 9")
    with closing(MailFile(folder)) as mail:
        assert Inbox(mail).position("crm") == 0


@pytest.mark.parametrize(("column", "value"), [("sender", "other"), ("count", 5), ("cause", b"\xff"), ("at", "text"), ("chat", 7)])
def test_an_entry_of_the_ledger_that_was_changed_still_says_that_something_is_missing(folder: Path, column: str, value: object):
    with closing(MailFile(folder)) as mail:
        Gaps(mail).enter(Gap(CHAT, CHAT, "ID1", Cause.OLD_COUNTER, 1, 1.0))
    set_value(folder, f"UPDATE gaps SET {column} = ?", value)  # noqa: S608 - a column of this test
    with closing(MailFile(folder)) as mail:
        [entry] = Gaps(mail).entries()
        assert (entry.cause, entry.count) == (Cause.ENTRY_DAMAGED, 1)


def test_a_damaged_file_is_replaced_by_a_new_one_while_it_is_used(folder: Path):
    filled(folder)
    mail = MailFile(folder)
    inbox = Inbox(mail)
    assert (inbox.waiting, mail.damage) == (2, "")
    size = (folder / MAIL_NAME).stat().st_size
    with (folder / MAIL_NAME).open("r+b") as file:
        file.write(b"\xa5" * size)
    mail.execute("PRAGMA shrink_memory")  # SQLite has the pages in its cache
    with pytest.raises(MailDamaged):
        inbox.items()
    assert mail.damage
    kept = mail.begin_anew()
    inbox.count_anew()
    assert (kept / MAIL_NAME).stat().st_size == size
    assert (inbox.waiting, inbox.items(), mail.damage) == (0, [], "")
    assert inbox.take_in(arrivals(1), None) == [message(1)]
    mail.close()


# --- older versions -------------------------------------------------------------------------------------------------------


def of_version(number: int, folder: Path) -> Path:
    with closing(sqlite3.connect(folder / MAIL_NAME)) as connection:
        connection.executescript((SHAPES / f"inbox-{number}.sql").read_text())
    (folder / MAIL_NAME).chmod(0o600)
    return folder


@pytest.fixture
def old(folder: Path) -> Path:
    return of_version(1, folder)


def test_every_older_version_has_a_file():
    assert {path.name for path in SHAPES.glob("inbox-*")} == {f"inbox-{number}.sql" for number in range(1, mail_shape.VERSION)}


def test_what_was_there_before_braked_chats_is_kept(folder: Path):
    of_version(2, folder)
    before = (folder / MAIL_NAME).read_bytes()
    with closing(open_whole(folder, read_only=True)) as mail:
        assert (mail.version, Brakes(mail).entries(), Inbox(mail).waiting) == (2, [], 1)
    assert (folder / MAIL_NAME).read_bytes() == before
    with closing(open_whole(folder)) as mail:
        inbox, outbox = Inbox(mail), Outbox(mail)
        assert (mail.version, inbox.waiting, inbox.sweep(1.0), outbox.sweep(1.0)) == (mail_shape.VERSION, 1, [], [])
        assert (inbox.place(), inbox.position("crm"), outbox.letter(1).reply) == (Place(1, "head", 100), 2, Reply("thank you"))
        Brakes(mail).enter(CHAT, "", 5.0)
        assert [braked.chat for braked in Brakes(mail).entries()] == [CHAT]


def test_what_was_there_before_checksums_is_kept_and_not_checked_against_one(old: Path):
    with closing(open_whole(old)) as mail:
        inbox, outbox, gaps = Inbox(mail), Outbox(mail), Gaps(mail)
        assert mail.version == mail_shape.VERSION
        assert [(item.seq, item.message and item.message.text, item.state, item.raw, item.damage) for item in inbox.items()] == [
            (1, "text 1", "waiting", b"", ""),
            (2, "text 2", "dead", b"", ""),
            (3, "text 3", "unasked", b"raw", ""),
        ]
        assert (inbox.place(), inbox.position("crm"), inbox.waiting, inbox.damaged) == (Place(1, "head", 100), 2, 1, 0)
        assert (outbox.letter(1).reply, outbox.letter(1).damage) == (Reply("thank you"), "")
        assert gaps.entries() == [Gap(CHAT, CHAT, "ID9", Cause.OLD_COUNTER, 1, 5.0)]
        assert (inbox.sweep(1.0), outbox.sweep(1.0)) == ([], [])
        inbox.prepared(1, message(1, "text 1"))
        assert inbox.sweep(1.0) == []
    set_value(old, "UPDATE messages SET body = ? WHERE seq = 1", b"{}")
    with closing(MailFile(old)) as mail:
        assert Inbox(mail).sweep(1.0) == [1]


def test_an_old_file_is_looked_at_as_it_is(old: Path):
    before = (old / MAIL_NAME).read_bytes()
    with closing(open_whole(old, read_only=True)) as mail:
        inbox = Inbox(mail)
        assert (mail.version, inbox.waiting, inbox.place(), inbox.position("crm")) == (1, 1, Place(1, "head", 100), 2)
        assert Gaps(mail).entries() == [Gap(CHAT, CHAT, "ID9", Cause.OLD_COUNTER, 1, 5.0)]
        assert (inbox.sweep(1.0), Outbox(mail).sweep(1.0), Outbox(mail).damaged(), inbox.damaged_positions()) == ([], [], [], [])
    assert (old / MAIL_NAME).read_bytes() == before
