"""What stands in an entry of the library's log, and in the event of a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from test_link_receipts import entry, event, key_for_a_group

from wasess.link.logline import debugger, text_at
from wasess.link.stanza import identify


@given(some.text(max_size=40), some.sampled_from(["DEBUG", "WARN", "ERROR", "INFO"]), some.integers(0, 70000))
def test_text_and_level_are_found_in_an_entry_of_any_length(text, level, length):
    text = (text + "x" * length)[: max(1, length)]
    found = entry(text, level)
    start, end = text_at(found[:6])
    assert found[start:end] == text.encode()
    assert debugger(found[end:]) == (b"Client" if level == "DEBUG" else b"")


@given(some.binary(max_size=60))
def test_any_bytes_are_looked_at(data):
    text_at(data)
    debugger(data)
    identify(data)


def test_a_message_is_identified():
    assert identify(event("ABC", conversation="x" * 5000)) == ((b"ABC", b"1"), True)
    assert identify(event("ABC", senderKeyDistributionMessage={"groupID": "g"}, conversation="both")) == ((b"ABC", b"1"), True)
    assert identify(key_for_a_group("ABC")) == ((b"ABC", b"1"), False)


def test_a_key_with_numbers_behind_it_is_no_message_all_the_same():
    keys_only = key_for_a_group("ABC")
    assert identify(keys_only + b"\x40\x01") == ((b"ABC", b"1"), False)


def test_the_fields_of_an_event_are_found_whatever_stands_between():
    long_name = event("ABC", "4" * 200, conversation="hello")
    assert identify(long_name) == ((b"ABC", b"4" * 200), True)
    assert identify(b"") == ((b"", b""), True)
