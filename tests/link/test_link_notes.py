from __future__ import annotations

import pytest

from wasess.core import events
from wasess.link.notes import read_note
from wasess.store.gaps import Cause


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ((b"sending", b"7", b"ABC"), events.Departing("7", "ABC")),
        ((b"receipt", b"", b"1@lid", b"A", b"B"), events.ReceiptCame("delivered", "1@lid", ("A", "B"))),
        ((b"receipt", b"read", b"1:3@lid in 2@g.us", b"A"), events.ReceiptCame("read", "1@lid", ("A",))),
        ((b"receipt", b"server-error", b"", b""), events.ReceiptCame("server-error", "", ())),
        ((b"ignored", b"A", b"1:3@lid"), events.Missed("A", "1@lid", "1@lid", Cause.OLD_COUNTER)),
        ((b"unread", b"A", b"1@lid in 2@g.us"), events.Missed("A", "2@g.us", "1@lid", Cause.UNDECRYPTABLE)),
        ((b"silent", b"A", b"1@s.whatsapp.net"), events.Missed("A", "1@s.whatsapp.net", "1@s.whatsapp.net", Cause.NO_EVENT)),
        ((b"asked", b"A", b"1:3@lid", b"2@g.us"), events.AskedAgain("A", "2@g.us", "1@lid", 3)),
        ((b"asked", b"A", b"1@lid", b"1@lid"), events.AskedAgain("A", "1@lid", "1@lid", 0)),
        ((b"of a later version", b"A"), events.OtherEvent(0)),
    ],
)
def test_a_note_is_read(fields, event):
    assert read_note(b"\0".join(fields)) == event


@pytest.mark.parametrize("note", [b"sending", b"sending\0x", b"ignored\0x", b"receipt\0", b"asked\0x\0y"])
def test_a_note_that_is_cut_off_is_refused(note):
    with pytest.raises(ValueError, match="unpack"):
        read_note(note)
