from __future__ import annotations

from random import Random

import pytest

from wasess.drill import stanzas
from wasess.sandbox.nodes import encode

NODES = {**stanzas._messages(Random(1)), **stanzas._notifications(), **stanzas._others()}


@pytest.mark.parametrize("name", sorted(NODES))
def test_every_stanza_can_be_sent(name):
    assert encode(NODES[name])


def test_there_are_at_least_as_many_as_were_once_tried_by_hand():
    found = stanzas.hostile(Random(1))
    assert sum(name.startswith("receipt ") for name in found) >= 8
    assert sum(not name.startswith("receipt ") for name in found) >= 36


def test_the_same_dice_make_the_same_stanzas():
    assert [stanzas._plaintext(name, Random(7)) for name in stanzas.PLAINTEXTS] == [
        stanzas._plaintext(name, Random(7)) for name in stanzas.PLAINTEXTS
    ]


def test_a_push_name_that_is_no_text_travels_as_it_is():
    assert b"\xff\xfe" in encode(NODES["invalid UTF-8 in the push name"])


@pytest.mark.parametrize(("name", "accepted"), [("..", False), ("Alice", False), ("alice", True)])
def test_what_is_accepted_as_a_user_id(name, accepted):
    assert stanzas.accepted_as_user(name) is accepted
