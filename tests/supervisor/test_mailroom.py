"""A keeper's mail with everything that the link is asked for: files, votes, receipts, quotes. The events are the library's own."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from at_once import AtOnce
from message_events import message as library_message
from test_keeper import Stage
from village import mailbox_of, until

from wasess.core.message import Poll, Reply
from wasess.core.penalties import FIRST
from wasess.delivery.bot import Outcome, Verdict
from wasess.errors import FileForged, FileUnavailable, NetworkDown
from wasess.link.protobuf import e2e, neonize
from wasess.link.translate import MESSAGE, translate, translate_state
from wasess.store.spool import depth
from wasess.supervisor import attachments
from wasess.supervisor.attachments import HELD
from wasess.supervisor.keeper import Keeper
from wasess.supervisor.mail_care import SETTLED_AFTER
from wasess.supervisor.mail_settings import MailSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from village import Told

    from wasess.core.message import Message
    from wasess.store.sessions import Home

CHAT = "4917012345667@s.whatsapp.net"
ONLINE, OFFLINE = 3, 12
SHA = hashlib.sha256(b"x").digest()


class Bot:
    at_once = 8
    pauses = (1.0,)

    def __init__(self, answer: Callable[[Message], Reply | None] = lambda _message: None) -> None:
        self.asked: list[Message] = []
        self.answer = answer

    async def ask(self, message: Message) -> Outcome:
        self.asked.append(message)
        reply = self.answer(message)
        return Outcome(Verdict.ANSWERED, (reply,) if reply else ())

    async def close(self) -> None:
        return


class Office(Stage):
    """A keeper that reads the library's own events."""

    def __init__(self, home: Home, told: Told, bot: Bot | None, **settings: Any) -> None:
        super().__init__(home, told, bot=bot)
        self.host.silent.add("alice")
        tools = replace(
            self.keeper._tools, mail=MailSettings(**settings, threads=AtOnce()), translate=translate, translate_state=translate_state
        )
        self.keeper = Keeper(self.session, tools)

    async def online(self) -> None:
        await until(lambda: "alice" in self.host.links)
        self.link.frames(ONLINE, neonize().Connected(status=True).SerializeToString())
        await super().online()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def arrive(self, message_id: str, *, own: bool = False, chat: str = "", **content: Any) -> None:
        event = neonize().Message.FromString(library_message(e2e().Message(**content)))
        event.Info.ID = message_id
        event.Info.MessageSource.IsFromMe = own
        if chat:
            user, _, server = chat.partition("@")
            for address in (event.Info.MessageSource.Chat, event.Info.MessageSource.Sender):
                address.User, address.Server = user, server
        self.link.frames(MESSAGE, event.SerializeToString())


PICTURE = {
    "imageMessage": {
        "mimetype": "image/png",
        "caption": "look",
        "fileLength": 6,
        "mediaKey": b"k" * 32,
        "directPath": "/v/x",
        "fileSHA256": SHA,
        "fileEncSHA256": SHA,
    }
}


async def test_a_file_is_there_before_the_bot_is_asked(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.arrive("A", **PICTURE)
        await until(lambda: bot.asked)
        media = bot.asked[0].media
        assert media is not None
        assert (bot.asked[0].kind, bot.asked[0].text, media.mime, media.size, media.problem) == ("image", "look", "image/png", 6, "")
        path = office.session.folder / "media" / "1.png"
        assert (media.path, path.read_bytes()) == (str(path), b"a file")


async def test_a_file_that_is_too_large_is_not_fetched(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot, largest_file=5)
    async with office.running():
        await office.online()
        office.arrive("A", **PICTURE)
        await until(lambda: bot.asked)
        assert bot.asked[0].media
        assert (bot.asked[0].media.path, bot.asked[0].media.problem) == ("", "larger than 5 bytes")


async def test_a_file_that_cannot_be_had_is_said_in_the_message_and_not_asked_for_again(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.link.file = FileUnavailable("410 Gone")
        office.arrive("A", **PICTURE)
        await until(lambda: bot.asked)
        assert bot.asked[0].media
        assert (bot.asked[0].media.path, bot.asked[0].media.problem) == ("", "410 Gone")
        assert office.link.fetched == ["1.png"]


async def test_a_network_that_fails_is_tried_a_few_times(home: Home, told: Told, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attachments, "PAUSES", (0.0, 0.0))
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.link.file = NetworkDown("no way")
        office.arrive("A", **PICTURE)
        await until(lambda: bot.asked)
        assert bot.asked[0].media
        assert (bot.asked[0].media.problem, office.link.fetched) == ("no way", ["1.png"] * 3)
        assert "FILE_FORGED" not in told.codes()


async def test_the_files_of_who_was_caught_wait_and_nobody_elses(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        good, office.link.file = office.link.file, FileForged("not what it was said to be")
        office.arrive("A", chat="1@lid", **PICTURE)
        await until(lambda: bot.asked)
        assert bot.asked[0].media
        assert bot.asked[0].media.problem == "not what it was said to be"
        assert told.codes().count("FILE_FORGED") == 1
        office.link.file = good
        office.arrive("B", chat="1@lid", **PICTURE)
        office.arrive("C", chat="1@lid", conversation="behind it")
        office.arrive("D", chat="2@lid", **PICTURE)
        office.arrive("E", chat="3@lid", conversation="elsewhere")
        await until(lambda: len(bot.asked) == 3)
        assert {message.id for message in bot.asked} == {"A", "D", "E"}
        await until(lambda: office.pass_time(FIRST) or len(bot.asked) == 5)
        assert [message.id for message in bot.asked if message.chat == "1@lid"] == ["A", "B", "C"]
        assert [bool(message.media.path) for message in bot.asked if message.media] == [False, True, True]


async def test_nobody_waits_for_a_file_that_would_not_come_within_a_minute(home: Home, told: Told):
    """So a group answers its other members while one of them posts lying files without end."""
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        penalties = office.keeper.mail._attachments._penalties
        while penalties.charge("1@lid", office.clock.steady()) <= HELD:
            pass
        office.arrive("A", chat="1@lid", **PICTURE)
        office.arrive("B", chat="1@lid", conversation="behind it")
        await until(lambda: len(bot.asked) == 2)
        assert bot.asked[0].media
        assert (bot.asked[0].media.path, office.link.fetched) == ("", [])
        assert "its sender's last file" in bot.asked[0].media.problem


async def test_a_chat_waits_no_longer_than_a_minute_even_when_its_sender_is_caught_again(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        penalties = office.keeper.mail._attachments._penalties
        penalties.charge("1@lid", office.clock.steady())
        office.arrive("A", chat="1@lid", **PICTURE)
        await until(lambda: office.keeper.mail.waiting == 1)
        arrived = office.clock.now()
        for _ in range(6):  # elsewhere, while it waits
            penalties.charge("1@lid", office.clock.steady())
        await until(lambda: office.pass_time(1.0) or bot.asked)
        assert bot.asked[0].media
        assert (bot.asked[0].media.path, office.link.fetched) == ("", [])
        assert office.clock.now() - arrived < HELD


async def test_files_that_nobody_takes_fill_the_quota_and_that_is_a_problem(home: Home, told: Told):
    stuck, bot = asyncio.Event(), Bot()
    ask = bot.ask

    async def waits(message: Message) -> Outcome:
        if message.chat == "1@lid":
            await stuck.wait()
        return await ask(message)

    bot.ask = waits  # type: ignore[method-assign]  # this one bot has a mind of its own
    office = Office(home, told, bot, media_quota=10)
    async with office.running():
        await office.online()
        office.arrive("A", chat="1@lid", **PICTURE)
        await until(lambda: office.link.fetched == ["1.png"])
        office.arrive("B", chat="2@lid", **PICTURE)
        await until(lambda: bot.asked)
        assert bot.asked[0].media
        assert (bot.asked[0].id, bot.asked[0].media.path) == ("B", "")
        assert bot.asked[0].media.problem == "the files that wait fill the quota of 0 MiB (--media-quota)"
        assert (office.keeper.mail.problem, told.codes().count("MEDIA_FULL")) == ("MEDIA_FULL", 1)
        stuck.set()
        await until(lambda: not office.keeper.mail.waiting)
        assert office.keeper.mail.problem == ""
        office.arrive("C", chat="2@lid", **PICTURE)
        await until(lambda: len(bot.asked) == 3)
        assert bot.asked[2].media
        assert bot.asked[2].media.path
        assert [path.name for path in (office.session.folder / "media").iterdir()] == ["3.png"]


async def test_without_a_bot_who_was_caught_holds_nobody_up_either(home: Home, told: Told):
    office = Office(home, told, None)
    async with office.running():
        await office.online()
        inbox = mailbox_of(office.keeper).inbox
        office.keeper.mail._attachments._penalties.charge("1@lid", office.clock.steady())
        office.arrive("A", chat="1@lid", **PICTURE)
        office.arrive("B", chat="2@lid", **PICTURE)
        await until(lambda: office.link.fetched == ["2.png"] and not inbox.next_unfetched(1))
        await asyncio.sleep(0)
        assert office.link.fetched == ["2.png"]
        office.keeper.mail._attachments._penalties.relieve("1@lid")
        office.arrive("C", chat="2@lid", **PICTURE)
        await until(lambda: not inbox.next_unfetched(0))
        assert sorted(office.link.fetched) == ["1.png", "2.png", "3.png"]


async def test_without_a_bot_files_are_fetched_too_but_not_what_we_have_sent(home: Home, told: Told):
    office = Office(home, told, None)
    async with office.running():
        await office.online()
        inbox = mailbox_of(office.keeper).inbox
        office.arrive("A", own=True, **PICTURE)
        office.arrive("B", **PICTURE)
        await until(lambda: inbox.last() == 2 and not inbox.next_unfetched(1))
        own, theirs = inbox.items()
        assert (own.message.media.path, own.raw != b"", own.state) == ("", True, "unasked")
        assert (theirs.message.media.path, theirs.raw) == (str(office.session.folder / "media" / "2.png"), b"")
        office.host.links["alice"].frames(OFFLINE, neonize().Disconnected(status=True).SerializeToString())
        await until(lambda: not office.keeper.online)
        office.arrive("C", **PICTURE)
        await until(lambda: inbox.last() == 3)
    second = Office(home, told, None)
    async with second.running():
        await second.online()
        await until(lambda: not mailbox_of(second.keeper).inbox.next_unfetched(1))
        assert (second.session.folder / "media" / "3.png").read_bytes() == b"a file"


async def test_what_a_command_leaves_for_a_manager_it_does_not_fetch(home: Home, told: Told):
    office = Office(home, told, None, leave=True)
    async with office.running():
        await office.online()
        office.arrive("A", **PICTURE)
        await until(lambda: office.keeper.mail.waiting == 1)
    assert not (office.session.folder / "media").exists()


async def test_votes_have_the_names_of_the_options(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.link.chosen = (hashlib.sha256(b"tea").hexdigest(), "ab" * 32)
        options = [{"optionName": "tea"}, {"optionName": "coffee"}]
        office.arrive("POLL", pollCreationMessage={"name": "what?", "options": options, "selectableOptionsCount": 1})
        vote = {"encPayload": b"p" * 40, "encIV": b"i" * 12}
        key = {"remoteJID": CHAT, "fromMe": False, "ID": "POLL"}
        office.arrive("VOTE", pollUpdateMessage={"pollCreationMessageKey": key, "vote": vote})
        await until(lambda: len(bot.asked) == 2)
        assert (bot.asked[1].kind, bot.asked[1].about, bot.asked[1].votes) == ("vote", "POLL", ("tea", "ab" * 32))


async def test_votes_in_a_poll_of_the_bots_have_names_too(home: Home, told: Told):
    bot = Bot(lambda message: Reply(poll=Poll("what?", ("tea", "coffee"))) if message.text == "ask me" else None)
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.link.chosen = (hashlib.sha256(b"coffee").hexdigest(),)
        office.arrive("A", conversation="ask me")
        outbox = mailbox_of(office.keeper).outbox
        await until(lambda: [letter.state for letter in outbox.letters()] == ["sent"])
        key = {"remoteJID": CHAT, "fromMe": True, "ID": outbox.letters()[0].message_id}
        office.arrive("VOTE", pollUpdateMessage={"pollCreationMessageKey": key, "vote": {"encPayload": b"p" * 40, "encIV": b"i" * 12}})
        await until(lambda: len(bot.asked) == 2)
        assert bot.asked[1].votes == ("coffee",)


async def test_a_reply_quotes_the_message_that_it_answers(home: Home, told: Told):
    bot = Bot(lambda message: Reply(f"re {message.text}", quote=True))
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.arrive("A", conversation="hello")
        await until(lambda: office.link.replies)
        sent = office.link.replies[0]
        assert sent.quoted
        assert (sent.to, sent.reply.text, sent.quoted.id, sent.quoted.text) == (CHAT, "re hello", "A", "hello")
        assert sent.key.startswith("reply:")


async def test_people_see_that_a_message_was_read_and_that_the_bot_thinks(home: Home, told: Told):
    office = Office(home, told, Bot(), read_receipts=True, typing=True)
    async with office.running():
        await office.online()
        office.arrive("A", conversation="hello")
        await until(lambda: len(office.link.typed) == 2)
        assert office.link.typed == [(CHAT, True), (CHAT, False)]
        await until(lambda: office.link.read == [(CHAT, CHAT, ("A",))])


async def test_people_see_nothing_of_it_unless_that_is_wanted(home: Home, told: Told):
    bot = Bot(lambda _message: Reply("yes"))
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.arrive("A", conversation="hello")
        await until(lambda: office.link.sent)
        assert (office.link.typed, office.link.read) == ([], [])


async def test_a_damaged_mailbox_is_set_aside_and_told(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)
    (office.session.folder / "inbox.db").write_bytes(b"garbage" * 1000)
    (office.session.folder / "inbox.db").chmod(0o600)
    async with office.running():
        await office.online()
        assert "MAIL_DAMAGED" in told.codes()
        office.arrive("A", conversation="hello")
        await until(lambda: bot.asked)
    [kept] = (office.session.folder / "kept").iterdir()
    assert (kept / "inbox.db").read_bytes() == b"garbage" * 1000


async def test_a_reply_waits_for_the_next_login(home: Home, told: Told):
    bot = Bot(lambda _message: Reply("yes"))
    office = Office(home, told, bot)
    async with office.running():
        await office.online()
        office.link.frames(OFFLINE, neonize().Disconnected(status=True).SerializeToString())
        await until(lambda: not office.keeper.online)
        office.arrive("A", conversation="hello")
        await until(lambda: mailbox_of(office.keeper).outbox.waiting() == 1)
        assert not office.link.sent
        await office.online()
        await until(lambda: office.link.sent)


async def test_much_mail_is_brought_to_the_disk_before_its_time(home: Home, told: Told):
    bot = Bot()
    office = Office(home, told, bot)

    async def comes(count: int, letter: str) -> None:
        before = len(bot.asked)
        for number in range(count):
            office.arrive(f"{letter}{number}", conversation="hello")
        await until(lambda: len(bot.asked) == before + count and not office.keeper.mail.waiting)
        office.keeper.look()

    async with office.running():
        await office.online()
        await comes(1, "A")
        await until(lambda: not depth(office.session.folder).unread)
        await comes(1, "B")
        assert depth(office.session.folder).unread, "it is not time yet"
        await comes(SETTLED_AFTER // 2, "C")
        await until(lambda: office.keeper.look() or not depth(office.session.folder).unread)
