from __future__ import annotations

import pytest

from wasess.sandbox import content
from wasess.sandbox.protobufs import waE2E
from wasess.sandbox.reading import Reader


def nothing(_path: str) -> bytes:
    raise KeyError


def refused(_update: object, _voter: object) -> tuple[str, ...]:
    raise ValueError("no such poll")


READER = Reader(nothing, refused)


def details(**fields):
    return READER.details(waE2E.Message(**fields), None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"senderKeyDistributionMessage": {"groupID": "1@g.us"}},
        {"messageContextInfo": {"messageSecret": b"x"}},
        {"protocolMessage": {"type": "APP_STATE_SYNC_KEY_REQUEST"}},
        {"protocolMessage": {"type": "REVOKE"}},
    ],
)
def test_what_is_for_devices_alone_is_shown_to_nobody(fields):
    assert details(**fields) is None


def test_a_text_may_hand_over_a_sender_key_too():
    assert details(conversation="hi", senderKeyDistributionMessage={"groupID": "1@g.us"})["text"] == "hi"


def test_what_a_phone_does_not_know_is_something_else():
    assert details(groupInviteMessage={"caption": "join"}) == {"kind": "other", "text": "join"}


def test_a_file_that_is_not_there_and_a_vote_in_no_poll():
    assert details(imageMessage={"mimetype": "image/png"})["file"].problem == "not found"
    vote = details(pollUpdateMessage={"pollCreationMessageKey": {"ID": "A"}})
    assert (vote["kind"], vote["about"], vote["text"]) == ("vote", "A", "(no such poll)")


@pytest.mark.parametrize(("version", "kind"), [("", "poll"), ("V2", "poll"), ("V3", "poll"), ("V5", "poll")])
def test_polls_of_any_version(version, kind):
    found = details(**{f"pollCreationMessage{version}": {"name": "?", "options": [{"optionName": "a"}]}})
    assert (found["kind"], found["text"], found["options"]) == (kind, "?", ("a",))


@pytest.mark.parametrize(("kind", "problem"), [("voice", "has no caption"), ("sticker", "has no caption"), ("film", "no file is")])
def test_a_file_that_can_not_be(kind, problem):
    with pytest.raises(ValueError, match=problem):
        content.file(kind, b"", caption="look")
