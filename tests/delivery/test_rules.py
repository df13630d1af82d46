from __future__ import annotations

import pytest

from wasess.core.message import Message
from wasess.delivery.rules import Rule, fate, read_rule
from wasess.errors import UsageError

GROUP = Message("1", "2@g.us", "1@lid", "hello", 0.0, sender_alt="49@s.whatsapp.net", is_group=True)


@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ((), "waiting"),
        ((Rule(ask=False),), "unasked"),
        ((Rule(ask=False, chats=("*@g.us",)),), "unasked"),
        ((Rule(ask=False, chats=("*@s.whatsapp.net",)),), "waiting"),
        ((Rule(ask=True, chats=("2@g.us",)), Rule(ask=False)), "waiting"),
        ((Rule(ask=False, users=("bob",)),), "waiting"),
        ((Rule(ask=False, users=("al*",), kinds=("text", "image")),), "unasked"),
        ((Rule(ask=False, kinds=("image",)),), "waiting"),
        ((Rule(ask=False, senders=("49@s.whatsapp.net",)),), "unasked"),
        ((Rule(ask=False, senders=("1@lid",)),), "unasked"),
        ((Rule(ask=False, senders=("50@s.whatsapp.net",)),), "waiting"),
    ],
)
def test_the_first_rule_that_fits_decides(rules, state):
    assert fate("alice", GROUP, rules, bot=True) == state


def test_nobody_is_asked_about_what_is_ours_or_unknown_or_without_a_bot():
    assert fate("alice", GROUP, (), bot=False) == "unasked"
    for fields in ({"from_me": True}, {"kind": "other"}):
        assert fate("alice", Message("1", "a", "a", "x", 0.0, **fields), (Rule(ask=True),), bot=True) == "unasked"


@pytest.mark.parametrize("chat", ["status@broadcast", "120363@newsletter"])
@pytest.mark.parametrize(
    ("rules", "state"),
    [
        ((), "unasked"),
        ((Rule(ask=True),), "unasked"),
        ((Rule(ask=True, kinds=("text",), senders=("1@lid",)),), "unasked"),
        ((Rule(ask=True, chats=("*",)),), "waiting"),
        ((Rule(ask=True, chats=("status@broadcast", "*@newsletter")),), "waiting"),
        ((Rule(ask=False, chats=("*",)), Rule(ask=True, chats=("*",))), "unasked"),
    ],
)
def test_about_what_is_said_to_nobody_in_particular_the_bot_is_asked_by_a_rule_for_its_chat(rules, state, chat):
    assert fate("alice", Message("1", chat, "1@lid", "hello", 0.0), rules, bot=True) == state


def test_what_somebody_sends_to_a_list_is_for_the_bot():
    assert fate("alice", Message("1", "17@broadcast", "1@lid", "hello", 0.0), (), bot=True) == "waiting"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("ask", Rule(ask=True)),
        ("skip chat=*@g.us", Rule(ask=False, chats=("*@g.us",))),
        ("ask user=a,b kind=text sender=1@lid", Rule(ask=True, users=("a", "b"), kinds=("text",), senders=("1@lid",))),
    ],
)
def test_a_rule_is_read(text, rule):
    assert read_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "maybe", "skip chat", "skip chat=", "skip chat=a chat=b", "ask kind=song", "ask 'open", "ask colour=red"]
)
def test_a_wrong_rule_is_refused(text):
    with pytest.raises(UsageError) as refusal:
        read_rule(text)
    assert "skip chat=" in refusal.value.hint
