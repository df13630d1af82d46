"""What every bot behind `delivery.bot.Bot` does, whatever it is made of.

A kind of bot is a function that makes one, which behaves as BEHAVIOUR does, by the text of the message. For another kind, write its function
and add it to `KINDS`; what only processes of ours can do is asked of `PROCESSES`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from wasess.core.message import Contact, Location, Media, Message, Poll, Quote, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.function import BotSpec, FunctionBot
from wasess.delivery.program import ProgramBot, ProgramSpec
from wasess.delivery.webhook import WebhookBot
from wasess.delivery.webhook_spec import validate_webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from wasess.delivery.bot import Bot, Tell

ANN = "491701234567@s.whatsapp.net"
HELLO = Message(id="A1", chat=ANN, sender=ANN, text="hello", timestamp=1.0, push_name="Ann")
FULL = replace(
    HELLO,
    text="fields",
    is_group=True,
    quote=Quote("B2", ANN, "what?"),
    mentions=(ANN, "1234@lid"),
    media=Media("image/png", 9, "a b.png", "/srv/\N{GRINNING FACE}.png"),
    location=Location(1.5, -2.25, "here"),
    contacts=(Contact("Bob", "BEGIN:VCARD"),),
    poll=Poll("?", ("yes", "no"), 0),
    votes=("yes",),
)
# What the bot does, by the text. `answer` gets the message as JSON has it, and returns what JSON can say; what it raises is a refusal.
BEHAVIOUR = """
import os, threading

def answer(message):
    text = message["text"]
    if text == "hang":
        threading.Event().wait()
    if text == "die":
        os._exit(3)
    if text == "refuse":
        raise ValueError(text)
    if text == "fields":
        return [message["quote"]["text"], " ".join(message["mentions"]), message["media"]["path"], str(message["location"]["longitude"]),
                message["contacts"][0]["name"], message["poll"]["options"][1], message["votes"][0], str(message["is_group"])]
    return {
        "nothing": None,
        "empty": "",
        "object": {"text": "look", "file": "/srv/menu.pdf", "quote": True, "mentions": ["1@lid"]},
        "list": ["one", {"react": "+", "quote": "B2"}, None],
        "number": 7,
        "unknown field": {"txt": "x"},
        "half an emoji": "\\ud83d",
        "endless": "x" * 65537,
        "huge": "x" * 70000,
    }.get(text, f"{message['id']} {text}")
"""
BEHAVES: dict[str, Any] = {}
exec(BEHAVIOUR, BEHAVES)  # noqa: S102 -- the same source as in the processes
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FUNCTION = "import msgspec\nfrom behaviour import answer\ndef reply(message): return answer(msgspec.to_builtins(message))\n"
PROGRAM = """
import json, sys, threading
from behaviour import answer

def work(request):
    try:
        line = {"n": request["n"], "reply": answer(request["message"])}
    except ValueError as error:
        line = {"n": request["n"], "error": str(error)}
    sys.stdout.write(json.dumps(line) + "\\n")
    sys.stdout.flush()

for line in sys.stdin:
    threading.Thread(target=work, args=(json.loads(line),), daemon=True).start()
"""


@contextmanager
def function(folder: Path, tell: Tell, deadline: float) -> Iterator[Bot]:
    (folder / "bot.py").write_text(FUNCTION)
    yield FunctionBot(BotSpec(folder / "bot.py", "reply"), tell, deadline=deadline, dice=lambda: 0.0)


@contextmanager
def program(folder: Path, tell: Tell, deadline: float) -> Iterator[Bot]:
    (folder / "bot.py").write_text(PROGRAM)
    spec = ProgramSpec((sys.executable, "-S", "-E", f"{folder}/bot.py"))
    yield ProgramBot(spec, tell, deadline=deadline, dice=lambda: 0.0, settles_within=0.1)


@contextmanager
def webhook(folder: Path, tell: Tell, deadline: float) -> Iterator[Bot]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield WebhookBot(validate_webhook(f"http://127.0.0.1:{server.server_port}/", SECRET), tell, deadline=deadline)
        server.shutdown()


class Receiver(BaseHTTPRequestHandler):
    """Whether signatures are right is looked at in tests/delivery."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            answer = BEHAVES["answer"](event["data"])
        except ValueError:
            self.send_error(500)
            return
        body = json.dumps({"replies" if isinstance(answer, list) else "reply": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


PROCESSES = [function, program]
KINDS = [*PROCESSES, webhook]


@asynccontextmanager
async def bot_of(kind, folder: Path, deadline: float) -> AsyncIterator[Bot]:
    (folder / "behaviour.py").write_text(BEHAVIOUR)
    troubles: list[Trouble] = []
    with kind(folder, troubles.append, deadline) as made:
        try:
            yield made
        finally:
            await made.close()
    assert troubles == []


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
async def bot(request, tmp_path):
    async with bot_of(request.param, tmp_path, 20.0) as made:
        yield made


@pytest.fixture(params=PROCESSES, ids=lambda kind: kind.__name__)
async def hasty_bot(request, tmp_path):
    async with bot_of(request.param, tmp_path, 1.0) as made:
        yield made


@pytest.fixture(params=PROCESSES, ids=lambda kind: kind.__name__)
async def mortal_bot(request, tmp_path):
    async with bot_of(request.param, tmp_path, 20.0) as made:
        yield made


def asking(bot: Bot, text: str, number: int = 1) -> asyncio.Task[Outcome]:
    return asyncio.create_task(bot.ask(replace(HELLO, text=text, id=f"A{number}")))


async def up(bot: Bot) -> None:
    """The bot has answered. On a busy machine its start alone may take longer than a short deadline."""
    async with asyncio.timeout(20):
        while (await asking(bot, "hello")).verdict is not Verdict.ANSWERED:
            pass


async def test_every_way_to_answer(bot):
    expected = {
        "hello": (Reply("A1 hello"),),
        "two\nlines \N{GRINNING FACE}": (Reply("A1 two\nlines \N{GRINNING FACE}"),),
        "nothing": (),
        "empty": (),
        "object": (Reply("look", file="/srv/menu.pdf", quote=True, mentions=("1@lid",)),),
        "list": (Reply("one"), Reply(react="+", quote="B2")),
    }
    for text, replies in expected.items():
        assert await asking(bot, text) == Outcome(Verdict.ANSWERED, replies)


async def test_the_bot_gets_every_field(bot):
    words = ("what?", f"{ANN} 1234@lid", "/srv/\N{GRINNING FACE}.png", "-2.25", "Bob", "no", "yes", "True")
    assert await bot.ask(FULL) == Outcome(Verdict.ANSWERED, tuple(map(Reply, words)))


@pytest.mark.parametrize("text", ["refuse", "number", "unknown field", "half an emoji", "endless"])
async def test_a_refusal_or_a_bad_answer_is_told_without_a_word_of_the_message_and_the_bot_goes_on(bot, text):
    outcome = await asking(bot, text)
    assert outcome.verdict is Verdict.RAISED
    assert outcome.detail
    assert text not in outcome.detail
    assert outcome.replies == ()
    assert (await asking(bot, "hello")).verdict is Verdict.ANSWERED


async def test_each_of_many_gets_its_own_answer(bot):
    rooms = asyncio.Semaphore(bot.at_once)

    async def ask(number: int) -> Outcome:
        async with rooms:
            return await bot.ask(replace(HELLO, id=f"A{number}", text=f"text {number}"))

    outcomes = await asyncio.gather(*map(ask, range(200)))
    assert outcomes == [Outcome(Verdict.ANSWERED, (Reply(f"A{number} text {number}"),)) for number in range(200)]


async def test_a_message_that_takes_too_long_is_stuck_and_others_are_answered_later(hasty_bot):
    await up(hasty_bot)
    first = asking(hasty_bot, "hang")
    await asyncio.wait({first}, timeout=0.3)
    second = asking(hasty_bot, "hang")
    assert await first == Outcome(Verdict.STUCK, detail="no answer in 1 s")
    assert await second == Outcome(Verdict.RESTARTED)  # no fault of this one
    await up(hasty_bot)


async def test_the_end_of_the_bot_ends_what_it_was_asked(bot):
    asked = [asking(bot, "hello"), asking(bot, "hang"), asking(bot, "hang")]
    assert (await asked[0]).verdict is Verdict.ANSWERED
    await bot.close()
    async with asyncio.timeout(5):
        assert [(await task).verdict for task in asked[1:]] == [Verdict.RESTARTED] * 2
        await bot.close()


async def test_a_process_is_not_started_after_the_end(mortal_bot):
    assert (await asking(mortal_bot, "hello")).verdict is Verdict.ANSWERED
    await mortal_bot.close()
    assert (await asking(mortal_bot, "hello")).verdict is Verdict.RESTARTED


async def test_one_that_is_closed_while_it_starts_ends_too(bot):
    asked = [asking(bot, "hello") for _ in range(3)]
    await asyncio.sleep(0)
    await bot.close()
    async with asyncio.timeout(5):
        assert {(await task).verdict for task in asked} <= {Verdict.RESTARTED, Verdict.ANSWERED}


async def test_asking_can_be_given_up_and_the_late_answer_is_nobody_s(bot):
    assert (await asking(bot, "hello")).verdict is Verdict.ANSWERED
    given_up = asking(bot, "huge")
    await asyncio.sleep(0)
    given_up.cancel()
    for number in range(20):
        assert await asking(bot, "hello", number) == Outcome(Verdict.ANSWERED, (Reply(f"A{number} hello"),))


async def test_a_message_that_kills_the_bot_has_killed_it_and_the_next_is_answered(mortal_bot):
    assert (await asking(mortal_bot, "hello")).verdict is Verdict.ANSWERED
    assert await asking(mortal_bot, "die") == Outcome(Verdict.DIED, detail="its process ended with exit code 3")
    assert (await asking(mortal_bot, "hello")).verdict is Verdict.ANSWERED


async def test_any_of_those_it_had_may_have_killed_it(mortal_bot):
    assert (await asking(mortal_bot, "hello")).verdict is Verdict.ANSWERED
    bystander, killer = asking(mortal_bot, "hang"), asking(mortal_bot, "die")
    assert (await killer).verdict is (await bystander).verdict is Verdict.DIED
