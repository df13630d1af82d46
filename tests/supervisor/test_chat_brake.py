"""A keeper whose bot is answered by a machine: the chat is braked, told, survives a restart and goes on when it is released."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from at_once import AtOnce
from test_keeper import Echo, Stage
from village import EVENT, link_device, mailbox_of, spooled, until

from wasess.core.events import MessageReceived
from wasess.core.message import Message
from wasess.supervisor.keeper import Keeper
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.survey import Survey

if TYPE_CHECKING:
    from village import Told

    from wasess.store.sessions import Home

ROBOT = "491701234567@s.whatsapp.net"
SIBLING, HIDDEN = "491700000002@s.whatsapp.net", "77000000000002@lid"
GROUP = "120363000000000001@g.us"
PAUSED = (
    "alice: in the chat 491***67@s.whatsapp.net a machine answers the bot (the other side), and the bot answers it: its answers there wait."
    " To let them go on, or to drop them: wasess inbox release alice '491***67@s.whatsapp.net' [--drop]"
)


class Loop(Stage):
    """Somebody writes whenever the bot has answered him."""

    def __init__(self, home: Home, told: Told, **settings: Any) -> None:
        super().__init__(home, told, bot=Echo())
        self.settings = MailSettings(**settings, threads=AtOnce())
        self.said = 0
        self.begin()

    def begin(self) -> None:
        self.keeper = Keeper(self.session, replace(self.keeper._tools, mail=self.settings))

    @property
    def braked(self) -> bool:
        return self.keeper.live().problem == "CHAT_BRAKED"

    def write(self, *, chat: str = ROBOT, sender: str = "", **fields: Any) -> None:
        self.said += 1
        message = Message(f"ID{self.said}", chat, sender or chat, f"text {self.said}", 0.0, is_group=chat == GROUP, **fields)
        self.link.frames(EVENT, spooled(MessageReceived(message)))

    async def round(self, lag: float, **fields: Any) -> None:
        """A message, and the answer to it, ``lag`` seconds later; a hold passes."""
        before = len(self.link.sent)
        self.write(**fields)
        await until(lambda: len(self.link.sent) > before or self.braked or self.clock.advance(0.05))
        self.clock.advance(lag)

    async def loop(self, most: int, lag: float = 0.01, **fields: Any) -> None:
        for _ in range(most):
            await self.round(lag, **fields)
            if self.braked:
                return


async def test_a_machine_that_answers_the_bot_is_answered_no_more(home: Home, told: Told):
    stage = Loop(home, told)
    async with stage.running():
        await stage.online()
        await stage.loop(100)
        assert stage.braked
        assert len(stage.link.sent) <= 24
        assert (told.codes().count("CHAT_BRAKED"), PAUSED in told.lines) == (1, True)
        assert stage.keeper.mail.waiting == 1, "what came last is not lost"
        stage.write(chat="491709999999@s.whatsapp.net")
        await until(lambda: stage.link.sent[-1][0] == "491709999999@s.whatsapp.net")
        answered = len(stage.link.sent)
    stage.begin()
    async with stage.running():
        await stage.online()
        assert stage.braked
        stage.write()
        await until(lambda: stage.keeper.mail.waiting == 2)
        released = await stage.keeper.mail.mail.do(lambda mailbox: mailbox.release((ROBOT,), 1.0, drop=False))
        assert not [letter for letter in mailbox_of(stage.keeper).outbox.letters() if letter.state == "queued"]
        await stage.keeper.mail.released(released)
        await until(lambda: len(stage.link.sent) == 2)
        assert stage.keeper.live().problem == ""
        assert told.codes().count("CHAT_RELEASED") == 1
    assert answered + 2 == stage.said


async def test_one_that_pretends_to_type_is_found_out_too(home: Home, told: Told):
    stage = Loop(home, told)
    async with stage.running():
        await stage.online()
        await stage.loop(100, lag=2.0)
        assert stage.braked
        assert len(stage.link.sent) <= 29


async def test_who_writes_on_while_he_is_not_answered_is_answered_at_once(home: Home, told: Told):
    stage = Loop(home, told)
    async with stage.running():
        await stage.online()
        await stage.loop(20)
        stage.write()
        await until(lambda: stage.clock.alarms and stage.keeper.mail.waiting == 1)
        answered = len(stage.link.sent)
        stage.clock.advance(0.2)
        stage.write()
        await until(lambda: len(stage.link.sent) == answered + 2)
        await stage.loop(50)
        assert not stage.braked


async def test_another_session_of_this_home_is_known_by_both_its_addresses(home: Home, told: Told):
    for address in (SIBLING, HIDDEN):
        stage = Loop(home, told, own={"491700000001@s.whatsapp.net": "alice", SIBLING: "bob", HIDDEN: "bob"})
        async with stage.running():
            await stage.online()
            await stage.loop(100, chat=address)
            assert stage.braked
            assert len(stage.link.sent) <= 9
            await stage.keeper.mail.mail.do(lambda mailbox: mailbox.release((), 1.0, drop=True))
        assert any("a machine answers the bot (the session bob)" in line for line in told.lines)
        told.notices.clear()


async def test_two_bots_in_a_group_with_people(home: Home, told: Told):
    stage = Loop(home, told)
    async with stage.running():
        await stage.online()
        for _ in range(60):
            await stage.round(0.01, chat=GROUP, sender="491701111111@s.whatsapp.net")
            if stage.braked:
                break
            if stage.said % 9 == 0:
                stage.clock.advance(0.5)
                await stage.round(0.01, chat=GROUP, sender="491702222222@s.whatsapp.net")
        assert stage.braked
        assert any("(491***11@s.whatsapp.net)" in line for line in told.lines)


async def test_it_can_be_turned_off(home: Home, told: Told):
    stage = Loop(home, told, brake=0)
    async with stage.running():
        await stage.online()
        await stage.loop(30)
        assert len(stage.link.sent) == 30


def test_the_addresses_of_all_sessions_are_known(home: Home):
    link_device(home.session("alice"))
    link_device(home.session("bob"), "491700000002:7@s.whatsapp.net")
    own: dict[str, str] = {}
    Survey(home, own).look()
    assert own == {"491700000001@s.whatsapp.net": "alice", SIBLING: "bob"}
