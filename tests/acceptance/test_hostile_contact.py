"""What a stranger chooses reaches no terminal and no log as it is: a real manager, a real library, and a contact that means no good."""

from __future__ import annotations

import itertools
import json
import signal
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from homes import House, until

from wasess.control.address import connected
from wasess.control.protocol import MOST_AT_ONCE
from wasess.core.rate_limiter import BURST
from wasess.sandbox import post
from wasess.sandbox.content import file
from wasess.store.manager_log import read_log

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

# OSC 52 (sets the clipboard), CSI, C1's CSI, a line of its own, bidi, a line separator, a Unicode tag.
HOSTILE = "x\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\rerror: alice\u202egnp.exe\u2028next: rm\U000e0041\x7f"
BOT = f"""
import sys

def reply(message):
    print("said", {HOSTILE!r})
    sys.stderr.write("warned " + {HOSTILE!r} + "\\n")
    return None
"""


@pytest.fixture
async def house(tmp_path):
    async with House(tmp_path) as opened:
        yield opened


def steering(lines: Iterable[str]) -> list[str]:
    """The lines in which something is left that a terminal would obey."""
    return [ascii(line) for line in lines if any(_steers(letter) for letter in line)]


def _steers(letter: str) -> bool:
    return letter != "\t" and unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_hostile_contact_reaches_neither_terminal_nor_log(house, monkeypatch, log_format):
    await house.link("alice")
    monkeypatch.setattr(post, "new_id", lambda: f"3EB0{HOSTILE}")
    house.box.contact("carol").name = HOSTILE
    serve = await house.serve("--log-format", log_format, bot=BOT)
    await house.online(serve, "alice", seconds=30) if log_format == "text" else await serve.said("alice restored", 30)
    house.box.send_plaintext("carol", "alice", b"\xff\xff not a message")
    await serve.said("Client: ", 20)
    monkeypatch.setattr(post, "new_id", lambda: f"3EB1{HOSTILE}")
    house.box.say("carol", "alice", f"first\n{HOSTILE}\nfrom: somebody else")
    await serve.said("warned ", 20)
    await serve.said("said ", 20)
    monkeypatch.setattr(post, "new_id", lambda: f"3EB2{HOSTILE}")
    house.box.post("carol", "alice", file("document", b"%PDF", name=HOSTILE))
    await until(lambda: serve.has_said("warned ", 2), lambda: serve.text, 20)
    crowd = [connected(house.home.path, 5.0) for _ in range(MOST_AT_ONCE)]  # held: they keep no command out
    beside = [await house.run(*words) for words in COMMANDS]
    for running in beside:
        assert await running.over(60) in {0, 1}, running.text
    for channel in crowd:
        channel.close()
    serve.signal(signal.SIGTERM)
    assert await serve.over(30) == 0, serve.text
    beside.append(await house.run("logs"))
    beside.append(await house.run("logs", "--json"))
    for running in beside[-2:]:
        assert await running.over(60) == 0, running.text

    assert not steering(serve.log)
    assert not [found for running in beside for found in steering([*running.log, *running.out])]
    assert any("3EB0" in entry["line"] for entry in read_log(house.home.path)), "the library's line is in the log"
    assert not [entry for entry in read_log(house.home.path) if "warned" in entry["line"]], "what a bot prints is not"
    if log_format == "json":
        events = [json.loads(line)["event"] for line in serve.log]
        assert {"log", "output"} <= set(events)
    shown = beside[COMMANDS.index(("inbox", "show", "alice", "1"))].out
    assert [line for line in shown if line.startswith("from: ")] == shown[2:3]


COMMANDS = [
    ("inbox", "list", "--state", "done", "--state", "dead", "--state", "waiting"),
    ("inbox", "show", "alice", "1"),
    ("inbox", "show", "alice", "2"),
    ("inbox", "show", "alice", "1", "--json"),
    ("tail", "alice"),
    ("tail", "alice", "--json"),
    ("status",),
    ("list",),
    ("diagnose",),
    ("verify",),
    ("sandbox", "state"),
]


async def test_a_flood_of_hostile_messages_does_not_fill_the_log(house, monkeypatch):
    """Each has an id of its own, and the library has a line for each."""
    await house.link("alice")
    numbers = itertools.count()
    monkeypatch.setattr(post, "new_id", lambda: f"3EB0{next(numbers)}{HOSTILE}")
    serve = await house.serve()
    await house.online(serve, "alice", seconds=30)
    for _ in range(10 * BURST):
        house.box.send_plaintext("carol", "alice", b"\xff\xff not a message")
    await until(lambda: serve.has_said("Client: ", BURST), lambda: serve.text, 20)
    house.box.say("carol", "alice", "the last")
    tail = await house.run("tail", "alice", "--follow")
    await until(lambda: any("the last" in line for line in tail.out), lambda: serve.text, 30)
    serve.signal(signal.SIGTERM)
    assert await serve.over(30) == 0, serve.text
    kinds = Counter(" ".join(line.split()[:4]) for line in serve.log if line.startswith("alice: "))
    assert max(kinds.values()) <= BURST + 5, kinds
    assert serve.has_said("more lines like this one were left out: alice: Client: ")
    assert not steering(serve.log)


async def test_a_manager_that_can_not_begin_says_so_in_json(house):
    await house.link("alice")
    first = await house.serve("--log-format", "json")
    await first.said("manager ready", 30)
    for words in ((), ("--bot", "nowhere.py:reply"), ("--only", "bob")):
        second = await house.serve("--log-format", "json", *words)
        assert await second.over(30) != 0
        [told] = map(json.loads, second.log)
        assert (told["event"], told["level"]) == ("manager_failed", "error")
        assert told["line"]
        assert told["code"]
    first.signal(signal.SIGTERM)
    assert await first.over(30) == 0
    assert all(json.loads(line) for line in first.log)
