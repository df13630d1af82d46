"""What a webhook's answer means."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, floats, sampled_from, text
from reference_receiver import SECRET

from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.webhook_answer import confined, outcome_of, retry_after
from wasess.delivery.webhook_connection import Answer
from wasess.delivery.webhook_spec import validate_webhook
from wasess.store.outgoing_files import NOWHERE, Sources

if TYPE_CHECKING:
    from wasess.delivery.webhook_spec import WebhookSpec

NOW = 1_779_984_000.0


def answered(content: Any, status: int = 200, kind: str = "application/json") -> Outcome:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return outcome_of(Answer(status, {"content-type": kind}, body), NOW)


@pytest.mark.parametrize(
    ("content", "replies"),
    [
        (b"", ()),
        (b" \n", ()),
        (None, ()),
        ({}, ()),
        ({"ok": True, "id": 7}, ()),
        ({"reply": None}, ()),
        ({"reply": ""}, ()),
        ({"replies": []}, ()),
        ({"reply": "hi"}, (Reply("hi"),)),
        ({"reply": {"text": "hi", "quote": True}, "more": 1}, (Reply("hi", quote=True),)),
        ({"replies": ["a", None, {"react": "👍"}]}, (Reply("a"), Reply(react="👍"))),
    ],
)
def test_replies(content: Any, replies: tuple[Reply, ...]):
    assert answered(content) == Outcome(Verdict.ANSWERED, replies)
    assert answered(content, 202, "Application/JSON; charset=utf-8") == Outcome(Verdict.ANSWERED, replies)


@pytest.mark.parametrize(("status", "kind"), [(204, ""), (200, "text/html"), (200, "text/plain"), (299, "application/jsonlines")])
def test_what_is_no_json_is_no_reply(status: int, kind: str):
    assert answered(b'{"reply": "hi"}', status, kind) == Outcome(Verdict.ANSWERED)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "its answer is no valid JSON"),
        (b'{"reply": "secret words', "its answer is no valid JSON"),
        (b'{"reply": "\xff"}', "its answer is no valid JSON"),
        (b"[" * 60_000, "its answer is no valid JSON"),
        ("secret words", 'its answer is JSON, but no object such as {"reply": "…"}'),
        (["secret words"], 'its answer is JSON, but no object such as {"reply": "…"}'),
        ({"reply": "a", "replies": []}, "its answer has both a reply and replies"),
        ({"replies": "secret words"}, "the replies in its answer are no list"),
        ({"replies": None}, "the replies in its answer are no list"),
        ({"reply": 7}, "the bot returned int, which is no text, Reply, list or None"),
        ({"reply": {"words": "secret words"}}, "a reply has no field 'words'"),
        ({"replies": ["x"] * 101}, "the bot gave 101 replies; at most 100 are sent"),
    ],
)
def test_an_answer_that_can_not_be_sent_is_a_no(content: Any, complaint: str):
    assert answered(content) == Outcome(Verdict.RAISED, detail=complaint)


def test_an_answer_of_which_there_is_more():
    assert outcome_of(Answer(200, {"content-type": "application/json"}, b"{}", whole=False), NOW).verdict is Verdict.RAISED
    assert outcome_of(Answer(200, {"content-type": "text/plain"}, b"{}", whole=False), NOW).verdict is Verdict.ANSWERED


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.RAISED, [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 410, 413, 422, 499, 500, 501, 505, 599]),
        (Verdict.AWAY, [408, 429, 502, 503, 504]),
    ],
)
def test_each_failure(verdict: Verdict, statuses: list[int]):
    for status in statuses:
        outcome = answered({"reply": "never sent"}, status)
        assert (outcome.verdict, outcome.replies, outcome.wait) == (verdict, (), 0.0)
        assert str(status) in outcome.detail


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("3601", 3600.0),
        ("9" * 9000, 3600.0),
        (formatdate(NOW + 60, usegmt=True), 60.0),
        (formatdate(NOW + 60), 60.0),
        (formatdate(NOW - 60, usegmt=True), 0.0),
        ("Sat, 01 Jan 9999 00:00:00 GMT", 3600.0),
        ("", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("²", 0.0),
        ("1.5", 0.0),
        ("Thu, 99 Zzz 2026 99:99:99 GMT", 0.0),
    ],
)
def test_retry_after(text: str, seconds: float):
    assert retry_after(text, NOW) == seconds
    assert outcome_of(Answer(429, {"retry-after": text}), NOW).wait == seconds
    assert outcome_of(Answer(500, {"retry-after": text}), NOW).wait == 0.0


@given(text(), floats(0, 1e10))
def test_no_header_asks_for_more_than_an_hour(header: str, now: float):
    assert 0.0 <= retry_after(header, now) <= 3600.0


@given(binary(), sampled_from([200, 204, 400, 503]))
def test_whatever_comes_there_is_an_outcome(body: bytes, status: int):
    assert outcome_of(Answer(status, {"content-type": "application/json"}, body), NOW).verdict in Verdict


# --- what an answer may ask for -----------------------------------------------------------------------------------------

ANN, ANN_LID, BOB, GROUP = "491701234567@s.whatsapp.net", "1234@lid", "491709999999@s.whatsapp.net", "1203630@g.us"
SPEC = validate_webhook("https://bot.example.com/", SECRET)
FREE = replace(SPEC, may_write=True, files=Path("/srv"))
CHATS = {
    "a person": Message("A", ANN, ANN, "hello", 1.0, sender_alt=ANN_LID),
    "a group": Message("A", GROUP, ANN, "hello", 1.0, sender_alt=ANN_LID, is_group=True),
    "a status": Message("A", "status@broadcast", ANN, "hello", 1.0, sender_alt=ANN_LID),
}


def reply_to(to: str, asked: str, spec: WebhookSpec = SPEC) -> Outcome:
    return confined(answered({"replies": ["first", {"text": "second", "to": to}]}), CHATS[asked], spec)


@pytest.mark.parametrize(
    ("asked", "here", "elsewhere"),
    [
        (
            "a person",
            [ANN, ANN_LID, ""],
            [BOB, GROUP, ANN.upper(), f" {ANN}", "+491701234567", "491701234567", "491701234567:1@s.whatsapp.net"],
        ),
        ("a group", [GROUP, ""], [ANN, ANN_LID, BOB, GROUP.upper()]),
        ("a status", [ANN, ANN_LID, ""], ["status@broadcast", BOB]),
    ],
)
def test_a_reply_is_for_the_chat_that_was_asked_about(asked: str, here: list[str], elsewhere: list[str]):
    for to in here:
        assert reply_to(to, asked) == Outcome(Verdict.ANSWERED, (Reply("first"), Reply("second")))
    for to in elsewhere:
        refused = reply_to(to, asked)
        assert (refused.verdict, refused.replies) == (Verdict.RAISED, ())
        assert "--webhook-may-write" in refused.detail
        assert to not in refused.detail
        assert reply_to(to, asked, FREE).replies == (Reply("first"), Reply("second", to=to))


def test_without_a_folder_no_file_of_this_machine_may_be_named():
    assert confined(answered({"reply": {"file": "a.pdf"}}), CHATS["a person"], SPEC).files == NOWHERE
    assert confined(answered({"reply": {"file": "a.pdf"}}), CHATS["a person"], FREE).files == Sources(folder=Path("/srv"))


def test_an_answer_may_hold_the_bytes_of_a_file():
    sent = {"data": b64encode(b"the menu").decode(), "name": "menu.pdf", "text": "look"}
    assert answered({"reply": sent}).replies == (Reply("look", data=b"the menu", name="menu.pdf"),)
    for wrong in (
        {"data": "no base64!"},
        {"data": ""},
        sent | {"file": "/srv/a"},
        sent | {"name": "../a"},
        sent | {"name": "a\u202e"},
        sent | {"name": "a" * 256},
    ):
        assert answered({"reply": wrong}).verdict is Verdict.RAISED
