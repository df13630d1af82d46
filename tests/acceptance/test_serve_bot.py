"""`wasess serve --bot FILE.py:FUNCTION --events`: messages to a good, a bad and a hanging bot through a bad network; what is said about it."""

from __future__ import annotations

import itertools
import json
import re
import signal
from datetime import datetime

import pytest
from homes import ECHO_BOT, House, until

from wasess.sandbox import content

pytestmark = pytest.mark.acceptance

MOODY_BOT = """
import threading
from pathlib import Path

HANGS = Path(__file__).with_name("hang")

def reply(text):
    if text.startswith("raise"):
        raise ValueError(text)
    if text.startswith("ignore"):
        return None
    if text.startswith("hang") and HANGS.exists():
        threading.Event().wait()
    return "echo " + text
"""
SLOW_BOT = """
import time
def reply(text):
    time.sleep(0.05)
    return "echo " + text
"""
FIELDS = {"ts", "event", "session", "state", "code", "reason", "action", "level", "attempt", "next_retry_at"}
FAULTS = (("rst",), ("close",), ("stream-error", "503"), ("stream-error", "xml-not-well-formed"), ("poison", "failure-418"))
# A text that would be found wherever it leaked to.
SECRET = "pssst-the-cake"
KEY_OR_CODE = re.compile(r"[█▀▄]|\b2@|[A-Za-z0-9+/]{43}=|\b[0-9a-f]{64}\b")


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as built:
        yield built


async def test_a_bot_that_raises_or_says_nothing_holds_up_no_other_message(house):
    await house.link("alice")
    serve = await house.serve(bot=MOODY_BOT)
    await house.online(serve, "alice")
    for text in ("raise it", "after it"):
        house.box.say("carol", "alice", text)
    for text in ("ignore it", "hello"):
        house.box.say("dave", "alice", text)
    await until(lambda: house.answers("dave") == ["hello"], lambda: f"an answer to dave:\n{serve.text}")
    await until(lambda: house.answers("carol") == ["after it"], lambda: f"an answer to carol:\n{serve.text}", 15)
    assert serve.has_said("alice: the bot failed on a message (ValueError at bot.py:9); trying it again")
    assert serve.has_said("gave up on message 1 after 3 tries: wasess inbox show alice 1")
    assert "raise it" not in serve.text


async def test_a_bot_that_hangs_in_one_chat_answers_the_others_and_its_message_comes_again(house):
    (house.folder / "hang").touch()
    await house.link("alice")
    serve = await house.serve(bot=MOODY_BOT)
    await house.online(serve, "alice")
    house.box.say("carol", "alice", "hang on")
    house.box.say("carol", "alice", "behind it")
    house.box.say("dave", "alice", "hello")
    await until(lambda: house.answers("dave") == ["hello"], lambda: f"an answer to dave:\n{serve.text}")
    assert house.answers("carol") == []
    serve.signal(signal.SIGTERM)
    assert await serve.over() == 0
    assert serve.age < 15

    (house.folder / "hang").unlink()
    serve = await house.serve(bot=MOODY_BOT)
    await until(lambda: house.answers("carol") == ["hang on", "behind it"], lambda: f"answers in order:\n{serve.text}")
    assert house.answers("dave") == ["hello"]


async def test_without_a_bot_who_reads_along_gets_files_too(house):
    await house.link("alice")
    serve = await house.serve()
    await house.online(serve, "alice")
    reader = await house.run("tail", "alice", "--json", "--follow")
    house.box.post("carol", "alice", content.file("image", b"a picture", caption="look", mime="image/png"))
    house.box.say("carol", "alice", "and?")
    await until(lambda: len(reader.out) == 2, lambda: f"two lines:\n{reader.text}", 20)
    picture, text = (json.loads(line)["message"] for line in reader.out)
    assert (picture["text"], text["text"]) == ("look", "and?")
    path = house.home.session("alice").folder / "media" / "1.png"
    assert (picture["media"]["path"], path.read_bytes()) == (str(path), b"a picture")
    reader.signal(signal.SIGTERM)
    await reader.over()


async def test_a_status_is_for_the_bot_only_by_a_rule_and_is_answered_to_nobody_else(house):
    await house.link("alice")
    house.box.group("status@broadcast", "alice", "carol", "dave")
    for rules, answers in (((), ["hello 0"]), (("--rule", "ask chat=status@broadcast"), ["hello 0", "at the sea", "hello 1"])):
        serve = await house.serve(*rules, bot=ECHO_BOT)
        await house.online(serve, "alice")
        house.box.say_in_group("carol", "status@broadcast", "at the sea")
        house.box.say("carol", "alice", f"hello {len(rules) // 2}")
        await until(lambda answers=answers: sorted(house.answers("carol")) == sorted(answers), f"answers {answers}")
        serve.signal(signal.SIGTERM)
        assert await serve.over() == 0
    assert house.box.contact("dave").texts == ["at the sea"] * 2
    assert [message.group for message in house.box.contact("carol").received] == [""] * 3


async def test_a_bot_that_can_not_be_loaded_is_refused_before_anything_starts(house):
    await house.link("alice")
    serve = await house.serve(bot="def answer(text): ...")
    assert await serve.over() == 2
    assert "bot.py has no function reply" in serve.text
    assert house.device("alice").logins == 1


async def test_messages_of_an_outage_are_answered_in_the_order_of_each_chat(house):
    await house.link("alice")
    serve = await house.serve(bot=SLOW_BOT)
    await house.online(serve, "alice")
    house.box.say("carol", "alice", "before")
    await until(lambda: house.answers("carol") == ["before"], "an answer")
    house.box.fault("alice", "refuse", "seconds=1")
    house.box.fault("alice", "rst")
    await until(lambda: not house.device("alice").online, "the outage began")
    expected = {contact: [f"{contact} {number}" for number in range(15)] for contact in ("carol", "dave", "erin")}
    for number in range(15):
        for contact in expected:
            house.box.say(contact, "alice", f"{contact} {number}")
    await until(lambda: all(texts[-1] in house.answers(contact) for contact, texts in expected.items()), lambda: serve.text, 20)
    for contact, texts in expected.items():
        answers = [text for text in house.answers(contact) if text != "before"]
        assert answers == [text for text in texts if text in answers]  # in order, each at most once
        assert len(texts) - len(answers) <= len(house.box.contact(contact).undecryptable)
    assert serve.has_said("alice is online again")


async def test_events_are_json_and_neither_stream_tells_a_secret(house):
    await house.link("alice", "bob", "dora")
    serve = await house.serve("--events", bot=ECHO_BOT)
    await house.online(serve, "alice", "bob", "dora")
    said = []
    for user, fault in zip(itertools.cycle(["alice", "dora"]), FAULTS, strict=False):  # one alone would be told to go slower
        said += [f"{SECRET} {fault} {number}" for number in range(10)]
        for text in said[-10:]:
            house.box.say("carol", user, text)
        device = house.device(user)
        logins = device.logins
        house.box.fault(user, *fault)
        await until(lambda: device.logins > logins, lambda: f"{user} came back:\n{serve.text}", 15)  # noqa: B023 - awaited in this turn
    await until(lambda: set(said) <= set(house.bot_got), lambda: f"{set(said) - set(house.bot_got)} came:\n{serve.text}", 15)
    house.box.unlink("bob")
    await serve.said("bob: logged out")
    serve.signal(signal.SIGTERM)
    assert await serve.over() == 0

    told = [json.loads(line) for line in serve.out]
    assert all(set(event) == FIELDS for event in told)
    assert all(datetime.fromisoformat(event["ts"]).tzinfo for event in told)
    happened = [(event["event"], event["session"]) for event in told]
    for wanted in [
        ("manager_starting", ""),
        ("restored", "alice"),
        ("reconnect_on", "bob"),
        ("manager_ready", ""),
        ("manager_stopped", ""),
    ]:
        assert wanted in happened
    assert [event["code"] for event in told if event["session"] == "bob" and event["state"] == "logged_out"][:1] == ["LOGGED_OUT"]

    both = serve.text
    assert SECRET not in both
    assert not KEY_OR_CODE.search(both), KEY_OR_CODE.search(both)
    for account in house.box.state.accounts:
        assert account.number not in both
        assert account.lid not in both
    assert "Traceback" not in both
    assert "(no code)" in both  # the stream error without one


async def test_a_reader_of_events_that_goes_away_ends_no_session(house):
    await house.link("alice")
    serve = await house.serve("--events", bot=ECHO_BOT)
    await house.online(serve, "alice")
    serve.process._transport.get_pipe_transport(1).close()
    house.box.fault("alice", "rst")
    await serve.said("alice is online again")
    house.box.say("carol", "alice", "hello")
    await until(lambda: house.answers("carol") == ["hello"], "an answer")
    assert serve.process.returncode is None
