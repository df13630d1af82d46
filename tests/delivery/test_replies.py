from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wasess.core.message import Location, Poll, Reply
from wasess.delivery.replies import LONGEST_TEXT, MOST_REPLIES, BadReply, read_replies

GOOD: list[tuple[Any, tuple[Reply, ...]]] = [
    (None, ()),
    ("", ()),
    ([], ()),
    ([None, ""], ()),
    ("yes", (Reply("yes"),)),
    (Reply("yes"), (Reply("yes"),)),
    (["one", Reply("two"), None], (Reply("one"), Reply("two"))),
    (("one", "two"), (Reply("one"), Reply("two"))),
    ({"text": "yes", "quote": True}, (Reply("yes", quote=True),)),
    ({"react": ""}, (Reply(react=""),)),
    ({"file": "a.png", "text": "look", "mentions": ["1@lid"]}, (Reply("look", file="a.png", mentions=("1@lid",)),)),
    ({"location": {"latitude": 1, "longitude": 2}}, (Reply(location=Location(1, 2)),)),
    ({"poll": {"question": "?", "options": ["a", "b"]}}, (Reply(poll=Poll("?", ("a", "b"))),)),
    ("x" * LONGEST_TEXT, (Reply("x" * LONGEST_TEXT),)),
]


@pytest.mark.parametrize(("answer", "replies"), GOOD)
def test_a_good_answer_is_read(answer, replies):
    assert read_replies(answer) == replies


@pytest.mark.parametrize("answer", [part for part, _ in GOOD if not isinstance(part, Reply)])
def test_json_says_the_same(answer):
    assert read_replies(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(answer)))) == read_replies(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (7, "int"),
        ({}, "one of"),
        (Reply(), "one of"),
        ({"file": "a", "react": "b"}, "one of"),
        ({"txt": "secret"}, "'txt'"),
        ({"text": 7}, "wrong"),
        (Reply(text=7), "wrong"),  # type: ignore[arg-type] # that is the point
        ({"poll": {"question": "secret"}}, "options"),
        ("x" * (LONGEST_TEXT + 1), str(LONGEST_TEXT + 1)),
        (["x"] * (MOST_REPLIES + 1), str(MOST_REPLIES)),
        ([["nested"]], "list"),
        ("half of it: \ud83d", "half a character"),
        ({"poll": {"question": "?", "options": ["\ud83d"]}}, "half a character"),
    ],
)
def test_a_bad_answer_is_refused_and_not_quoted(answer, said):
    with pytest.raises(BadReply) as refusal:
        read_replies(answer)
    assert said in str(refusal.value)
    assert "secret" not in str(refusal.value)
