"""Braked chats: they outlive whatever is restarted, and a row that is damaged holds nobody up."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from damaged_rows import set_value
from mail_rows import CHAT

from wasess.store.brakes import Braked, Brakes
from wasess.store.mail import MailFile

if TYPE_CHECKING:
    from pathlib import Path

GROUP = "120363000000000001@g.us"


def test_a_chat_stays_braked_until_it_is_released(folder: Path):
    with closing(MailFile(folder)) as mail:
        brakes = Brakes(mail)
        assert brakes.chats == frozenset()
        brakes.enter(CHAT, "", 5.0)
        brakes.enter(GROUP, "1@lid", 6.0)
        brakes.enter(CHAT, "", 7.0)
        assert brakes.chats == {CHAT, GROUP}
    with closing(MailFile(folder)) as mail:
        brakes = Brakes(mail)
        assert (brakes.chats, brakes.entries()) == ({CHAT, GROUP}, [Braked(GROUP, "1@lid", 6.0), Braked(CHAT, "", 7.0)])
        assert brakes.release(CHAT)
        assert not brakes.release(CHAT)
        assert brakes.chats == {GROUP}
    with closing(MailFile(folder)) as mail:
        assert Brakes(mail).chats == {GROUP}


def test_a_damaged_row_brakes_nobody(folder: Path):
    with closing(MailFile(folder)) as mail:
        Brakes(mail).enter(CHAT, "", 5.0)
        Brakes(mail).enter(GROUP, "1@lid", 6.0)
    set_value(folder, "UPDATE brakes SET chat = ? WHERE at = 5.0", "491701234560@s.whatsapp.net")
    with closing(MailFile(folder)) as mail:
        assert Brakes(mail).chats == {GROUP}
