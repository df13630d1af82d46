"""The files of a bot's replies on their way into the outbox: what is refused is the bot's failure, what is slow holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from mail_desk import mail_desk

from wasess.core.message import Reply
from wasess.delivery import enclosures
from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.enclosures import Enclosures
from wasess.delivery.replies import BadReply
from wasess.store.outgoing_files import ANYWHERE, NOWHERE, OutgoingFiles

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.core.message import Message
    from wasess.store.outgoing_files import Sources

CREDENTIALS = b"credentials"


@pytest.mark.parametrize(("files", "words"), [(NOWHERE, "names no file of this machine"), (ANYWHERE, "home is never sent")])
async def test_an_answer_with_a_file_that_is_not_sent_is_the_bots_failure(tmp_path: Path, files: Sources, words: str):
    """Told, tried again as often as any failure, and then a dead letter: the message is not lost, and its chat goes on."""
    folder = tmp_path / "home/alice"
    folder.parent.mkdir(mode=0o700)

    def answer(message: Message) -> Outcome:
        reply = Reply("fine") if message.text == "two" else Reply(file=str(folder / "device.db"))
        return Outcome(Verdict.ANSWERED, (Reply("first"), reply), files=files)

    async with mail_desk(folder, answer) as desk:
        (folder / "device.db").write_bytes(CREDENTIALS)
        desk.arrive("a", "one", "two")
        await desk.until(lambda: desk.troubles)
        for _time in range(2):
            await desk.until(lambda: desk.clock.alarms)  # what was told sets its pause only then
            desk.clock.advance(60)
            known = len(desk.troubles)
            await desk.until(lambda known=known: len(desk.troubles) > known)
        await desk.done()
        assert desk.states() == {"a/one": "dead", "a/two": "done"}
        assert desk.replies == [("a", "first"), ("a", "fine")]
        assert all(words in trouble.sentence for trouble in desk.troubles)
        [dead] = desk.mailbox.inbox.items(states=("dead",))
        assert (words in dead.detail, dead.tries) == (True, 3)


async def test_the_bytes_of_a_reply_are_kept_beside_its_row(tmp_path: Path):
    async with mail_desk(tmp_path, lambda _message: Outcome(Verdict.ANSWERED, (Reply(data=b"menu", name="a.pdf"),))) as desk:
        desk.arrive("a", "one")
        await desk.done()
        [letter] = desk.mailbox.outbox.letters()
        assert letter.reply == Reply(name="a.pdf")
        assert (tmp_path / "outgoing" / letter.kept).read_bytes() == b"menu"


async def test_a_disk_that_takes_no_copy_costs_no_message(tmp_path: Path):
    async with mail_desk(tmp_path, lambda _message: Outcome(Verdict.ANSWERED, (Reply(data=b"menu", name="a.pdf"),))) as desk:
        (tmp_path / "outgoing").write_text("in the way")
        desk.arrive("a", "one")
        await desk.until(lambda: desk.codes() == ["INBOX_UNUSABLE"] and desk.clock.alarms)
        (tmp_path / "outgoing").unlink()
        desk.clock.advance(10)
        await desk.done()
        assert desk.states() == {"a/one": "done"}


async def test_a_file_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As on a network folder whose server is gone."""
    over = threading.Event()
    monkeypatch.setattr(enclosures, "WITHIN", 0.05)
    monkeypatch.setattr(OutgoingFiles, "copy", lambda *_words: str(over.wait(30)))
    try:
        with pytest.raises(BadReply, match="could not be read within"):
            await Enclosures(tmp_path).keep([Reply(file="/net/menu.pdf")], ANYWHERE)
        assert await asyncio.wait_for(Enclosures(tmp_path).keep([Reply("a text")], ANYWHERE), 1) == ("",)
    finally:
        over.set()
