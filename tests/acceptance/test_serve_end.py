"""The end of `wasess serve`: drained and gone within 10 s, and every message that WhatsApp was told we have is with the bot or waits for it."""

from __future__ import annotations

import signal
from contextlib import closing

import pytest
from homes import ECHO_BOT, House, measured, until

from wasess.core.events import MessageReceived
from wasess.drill.process import living
from wasess.link.translate import translate
from wasess.store.inbox import Inbox
from wasess.store.mail import MailFile
from wasess.store.spool import SpoolReader

pytestmark = pytest.mark.acceptance

BURST = 300
GONE_WITHIN = 10.0
AT_ONCE = 1.5
SILENT_BOT = ECHO_BOT.replace('return "echo " + text', "return None")
HANGING_BOT = "import threading\ndef reply(text):\n    threading.Event().wait()\n"


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as built:
        yield built


def unfinished(house: House, user: str) -> set[str]:
    """The ids of the messages that the bot would be handed again: from the inbox, and from what is still in the spool."""
    folder = house.home.session(user).folder
    with closing(MailFile(folder, create=False)) as mail:
        inbox = Inbox(mail)
        found = {item.message.id for item in inbox.items(states=("waiting",)) if item.message}
        reader = SpoolReader(folder, inbox.place())
    while frames := reader.read_new():
        events = [translate(frame.code, frame.payload) for frame in frames]
        found |= {event.message.id for event in events if isinstance(event, MessageReceived)}
    return found


async def test_sigterm_drains_a_burst_of_300_messages_and_loses_none(house):
    await house.link("alice")
    serve = await house.serve(bot=ECHO_BOT)
    await house.online(serve, "alice")
    family = {serve.process.pid, serve.fork_server, *serve.workers}
    texts = {house.box.say("carol", "alice", f"message {n}"): f"message {n}" for n in range(BURST)}
    await until(lambda: len(house.device("alice").receipted) >= BURST / 10, lambda: f"the burst was under way:\n{serve.text}")
    serve.signal(signal.SIGTERM)
    gone = await until(lambda: not living(family), lambda: f"all were gone:\n{serve.text}", GONE_WITHIN)
    assert await serve.over() == 0
    assert serve.log[-1] == "manager stopped"

    receipted = house.device("alice").receipted
    with_bot = {message for message, text in texts.items() if text in house.bot_got}
    spooled = unfinished(house, "alice")
    measured(f"gone after {gone:.1f} s: {len(receipted)} receipted, {len(with_bot)} with the bot, {len(spooled)} to come")
    assert set(receipted) <= with_bot | spooled

    serve = await house.serve(bot=SILENT_BOT)
    await until(lambda: set(texts.values()) <= set(house.bot_got), lambda: f"{set(texts.values()) - set(house.bot_got)} came", 20)
    measured(f"all {BURST} were handed to the bot, {len(house.bot_got) - BURST} of them twice")
    assert house.pairings("alice") == 1


async def test_ctrl_c_waits_for_no_bot_and_no_network_that_hangs(house):
    await house.link("alice", "frozen", "stalled")
    house.box.fault("stalled", "stall", "upgrade")
    serve = await house.serve(bot=HANGING_BOT)
    await house.online(serve, "alice", "frozen")
    house.box.fault("frozen", "freeze")
    identifier = house.box.say("carol", "alice", "hello")
    await until(lambda: identifier in unfinished(house, "alice"), "the message came")
    family = {serve.process.pid, serve.fork_server, *serve.workers}
    serve.signal(signal.SIGINT)
    gone = await until(lambda: not living(family), lambda: f"all were gone:\n{serve.text}", GONE_WITHIN)
    measured(f"gone after {gone:.1f} s")
    assert await serve.over() == 0
    assert identifier in unfinished(house, "alice")


async def test_the_second_ctrl_c_ends_at_once_and_what_was_not_done_comes_again(house):
    await house.link("alice")
    serve = await house.serve(bot=HANGING_BOT)
    await house.online(serve, "alice")
    identifier = house.box.say("carol", "alice", "hello")
    await until(lambda: identifier in unfinished(house, "alice"), "the message came")
    family = {serve.fork_server, *serve.workers}
    serve.signal(signal.SIGINT)
    await serve.said("manager stopping")
    serve.signal(signal.SIGINT)
    gone = await until(lambda: serve.process.returncode is not None, lambda: f"it left:\n{serve.text}")
    measured(f"it left {gone:.2f} s after the second Ctrl+C")
    assert await serve.over() == 130
    assert gone <= AT_ONCE
    assert "Traceback" not in serve.text
    await until(lambda: not living(family), "its processes were gone", 5)

    serve = await house.serve(bot=ECHO_BOT)
    await until(lambda: house.answers("carol") == ["hello"], lambda: f"an answer:\n{serve.text}")


async def test_a_signal_while_it_starts_ends_it_cleanly(house):
    await house.link("alice", "bob", "erin")
    codes = []
    for instant in (0.02, 0.15, 0.3, 0.45):
        serve = await house.serve()
        await until(lambda serve=serve, instant=instant: serve.age > instant, "the instant")
        serve.signal(signal.SIGTERM)
        codes.append(await serve.over(GONE_WITHIN))
        # As long as the manager is not there, the system's own rule holds: the signal ends the process.
        assert codes[-1] == 0 or (codes[-1] == -signal.SIGTERM and not serve.has_said("manager starting")), serve.text
        assert "Traceback" not in serve.text
    measured(f"exit codes {codes}")
    for moment, number in (("manager starting", signal.SIGTERM), ("restoring bob", signal.SIGTERM), ("restoring bob", signal.SIGINT)):
        serve = await house.serve()
        await serve.said(moment)
        serve.signal(number)
        assert await serve.over(GONE_WITHIN) == 0, serve.text
        assert "Traceback" not in serve.text
    serve = await house.serve()
    await house.online(serve, "alice", "bob", "erin")
    assert all(house.pairings(user) == 1 for user in ("alice", "bob", "erin"))
