"""docs/bots.md tells the truth: its JSON is what the code gives and takes, its tables name all fields, its rules and its bot can be read."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from wasess.cli.letterbox import document_of
from wasess.core.message import Kind, Message, Reply
from wasess.delivery import webhook, webhook_answer
from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.child import DEADLINE, ProcessBot
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.delivery.replies import read_replies
from wasess.delivery.rules import read_rule
from wasess.delivery.signature import Signer, webhook_id
from wasess.delivery.webhook_connection import LONGEST_BODY, Answer
from wasess.delivery.webhook_proof import CHALLENGE_PATH, Challenge
from wasess.delivery.webhook_spec import validate_webhook
from wasess.store.inbox import Item

PAGE = (Path(__file__).parent.parent / "docs" / "bots.md").read_text()
NOW = 1_779_984_000.0


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def blocks(heading: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section(heading), re.MULTILINE | re.DOTALL)


def first_cells(heading: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)


MESSAGE = json.loads(blocks("A message", "json")[0])


def test_the_message_is_what_a_bot_gets():
    message = msgspec.convert(MESSAGE, Message)
    assert msgspec.json.decode(msgspec.json.encode(message)) == MESSAGE
    assert list(MESSAGE) == [field.name for field in fields(Message)]


def test_every_field_and_kind_is_described():
    assert first_cells("A message") == [field.name for field in fields(Message)]
    assert sorted(first_cells("A reply")) == sorted(field.name for field in fields(Reply))
    listed = section("A message").split("\nKinds: ", 1)[1].split("\n\n", 1)[0]
    assert tuple(re.findall(r"`(\w+)`", listed)) == get_args(Kind)


def test_the_answers_can_be_sent():
    (several,) = blocks("A reply", "json")
    assert len(read_replies(json.loads(several))) == 4
    for field in ("location", "poll"):
        told = re.search(rf"^\| `{field}` \| `(.+)` \|$", section("A reply"), re.MULTILINE)
        assert told
        assert read_replies({field: json.loads(told[1])})


def test_the_lines_of_a_program():
    given, answered = blocks("A program", "json")
    assert part_of(json.loads(given)["message"], MESSAGE)
    answers = [json.loads(line) for line in answered.splitlines()]
    assert [len(read_replies(answer["reply"])) for answer in answers if "reply" in answer] == [1, 1, 0]
    assert [set(answer) for answer in answers if "reply" not in answer] == [{"n", "error"}]


def test_the_request_and_the_answers_of_a_webhook():
    _, head = blocks("A webhook", "text")
    body, answers = blocks("A webhook", "json")
    message = Message(**{**json.loads(body)["data"], "chat": "1@lid", "sender": "1@lid", "timestamp": NOW})
    sent = json.loads(webhook.encode(message))
    assert sent | {"data": None} == json.loads(body) | {"data": None}
    assert part_of(json.loads(body)["data"], sent["data"])
    headers = [("content-type", "application/json"), *Signer((bytes(32),)).headers(webhook_id(message), NOW, b"{}")]
    assert [line.partition(":")[0] for line in head.splitlines()] == [name for name, _ in headers]
    for line, (name, value) in zip(head.splitlines(), headers, strict=True):
        assert value.startswith(line.removeprefix(f"{name}: ").split()[0].rstrip("…"))
    for line, count in zip(answers.splitlines(), (1, 2), strict=True):
        answer = Answer(200, {"content-type": "application/json"}, line.encode(), whole=True)
        assert len(webhook_answer.outcome_of(answer, NOW).replies) == count


def test_the_challenge_of_a_receiver():
    asked, answer = blocks("What a webhook may do", "text")
    challenge = Challenge(validate_webhook("http://127.0.0.1:8000/", f"whsec_{'A' * 40}"), NOW)
    assert asked.startswith(f"POST {CHALLENGE_PATH}\n")
    told = json.loads(asked.split("\n\n", 1)[1])
    made = json.loads(challenge.body)
    assert told | {"challenge": made["challenge"]} == made
    assert json.loads(answer.split("\n\n", 1)[1]) == {"challenge": told["challenge"]}
    signed = [name for name, _ in challenge.headers if name.startswith("webhook-")]
    for block in (asked, answer):
        assert re.findall(r"^(webhook-\w+): ", block, re.MULTILINE) == signed


def test_the_statuses_of_a_webhook():
    told = re.search(r"^\| ([\d, ]+), no connection", section("A webhook"), re.MULTILINE)
    assert told
    assert set(map(int, told[1].split(", "))) == webhook_answer.AWAY


def test_the_figures():
    seconds = {"s": 1, "min": 60, "h": 3600}
    told = section("When a bot fails").split("a webhook after about ", 1)[1].split(", which")[0]
    assert tuple(int(number) * seconds[unit] for number, unit in re.findall(r"(\d+) (\w+)", told)) == webhook.WebhookBot.pauses
    assert ProcessBot.pauses == (1.0, 2.0)
    assert (DEADLINE, webhook.DEADLINE) == (60.0, 15.0)
    assert f"JSON of up to {LONGEST_BODY // 2**20} MiB" in PAGE
    assert (ProcessBot.at_once, webhook.WebhookBot.at_once) == (8, 32)


def test_a_line_of_tail():
    told = json.loads(blocks("Reading along", "json")[0])
    item = Item(7, Message(**{**MESSAGE, "text": "hello"}), b"", "done", 0, 0.0, "", 1_779_984_001.5, None)
    line = document_of("shop", item)
    assert told | {"message": None} == line | {"message": None}
    assert part_of(told["message"], line["message"])
    assert set(line["message"]) == set(MESSAGE)


@pytest.mark.parametrize("rule", re.findall(r'^  "(.+)",$', blocks("Rules", "toml")[0], re.MULTILINE))
def test_the_rules_can_be_read(rule: str):
    assert read_rule(rule).ask is rule.startswith("ask")


async def test_the_function_answers(tmp_path: Path):
    file = tmp_path / "bot.py"
    file.write_text(blocks("A Python function", "python")[0])
    bot = FunctionBot(validate_bot(f"{file}:reply"), print)
    try:
        outcome = await bot.ask(msgspec.convert({**MESSAGE, "kind": "text"}, Message))
    finally:
        await bot.close()
    assert outcome == Outcome(Verdict.ANSWERED, (Reply("hello Carol", quote=True),))


def part_of(some: dict[str, Any], whole: dict[str, Any]) -> bool:
    return set(some) <= set(whole)
