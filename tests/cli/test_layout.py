"""Sentences and tables fit a window of any width, with nothing lost and no word broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.cli.layout import LONGEST_WORD, laid_out, wrapped

SENTENCE = "WhatsApp refuses this version of the client library; trying again every hour"
STATUS = (
    ("USER", "STATE", "SINCE", "NEXT TRY", "REASON"),
    ("alice", "online", "12 days", "-", "-"),
    ("bob", "outdated", "1 min", "59 min", SENTENCE),
)
LIST = (("USER", "LINKED", "UP 7 DAYS"), ("alice", "can't be read", "100.0 %"), ("x" * 64, "no", "-"))


def lines(table, width):
    return [line for row in laid_out(table, width) for line in row]


def test_a_command_and_a_number_with_its_unit_stay_together():
    assert wrapped("Wait 20 s, then pair it: `wasess connect alice` with the phone.", 30) == [
        "Wait 20 s, then pair it:",
        "`wasess connect alice` with",
        "the phone.",
    ]
    assert wrapped("  next: wait for 100 s, then: wasess connect alice", 40, rest="  ") == [
        "  next: wait for 100 s, then:",
        "  wasess connect alice",
    ]


def test_a_word_that_is_too_long_is_left_whole():
    path = "/a/very/long/path/that/somebody/wants/to/copy"
    assert wrapped(f"it is in {path}, and that is good", 20) == ["it is in", f"{path},", "and that is good"]


def test_a_command_that_is_too_long_is_broken_between_its_words():
    assert wrapped("wasess connect alice --phone NUMBER", 20) == ["wasess connect alice", "--phone NUMBER"]


def test_nothing_is_a_line():
    assert wrapped("", 20) == [""]


def test_a_table_that_fits_has_a_line_for_each_row():
    assert lines(STATUS, 140) == [
        "USER   STATE     SINCE    NEXT TRY  REASON",
        "alice  online    12 days  -         -",
        f"bob    outdated  1 min    59 min    {SENTENCE}",
    ]


def test_sentences_are_broken_in_their_column_while_there_is_room():
    assert lines(STATUS, 80)[2:] == [
        "bob    outdated  1 min    59 min    WhatsApp refuses this version of the client",
        "                                    library; trying again every hour",
    ]


def test_without_room_sentences_stand_beneath_their_row():
    assert lines(STATUS, 50) == [
        "USER   STATE     SINCE    NEXT TRY",
        "alice  online    12 days  -",
        "bob    outdated  1 min    59 min",
        "    WhatsApp refuses this version of the client",
        "    library; trying again every hour",
    ]


def test_a_name_that_is_too_long_stands_above_its_row():
    assert lines(LIST, 64) == [
        "USER   LINKED         UP 7 DAYS",
        "alice  can't be read  100.0 %",
        "x" * 64,
        "       no             -",
    ]


def test_headings_are_broken_when_all_else_is_as_narrow_as_can_be():
    assert lines((LIST[0], LIST[1]), 27) == [
        "USER   LINKED     UP 7 DAYS",
        "alice  can't be   100.0 %",
        "       read",
    ]
    assert lines((LIST[0], LIST[1]), 22) == [
        "USER   LINKED  UP",
        "               7 DAYS",
        "alice  can't   100.0 %",
        "       be",
        "       read",
    ]


words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=LONGEST_WORD)
cells = st.lists(words, min_size=1, max_size=9).map(" ".join)


@given(st.lists(st.tuples(words, words, cells), min_size=1, max_size=5), st.integers(2 * LONGEST_WORD + 30, 200))
def test_every_word_of_any_table_is_there_and_no_line_is_too_long(rows, width):
    table = (("NAME", "STATE", "WHY"), *rows)
    shown = lines(table, width)
    assert max(map(len, shown)) <= width
    assert sorted(" ".join(shown).split()) == sorted(" ".join(cell for row in table for cell in row).split())


# A number and its unit stay together even where there is no room for both.
plain_words = st.lists(st.text(st.characters(categories=("L",)), min_size=1, max_size=LONGEST_WORD), min_size=1, max_size=9)


@given(plain_words.map(" ".join), st.integers(1, 200))
def test_every_word_of_any_sentence_is_there(sentence, width):
    shown = wrapped(sentence, width)
    assert " ".join(shown).split() == sentence.split()
    assert all(len(line) <= width or " " not in line for line in shown)


@pytest.mark.parametrize("width", range(1, 40))
def test_a_window_too_narrow_for_any_table_is_no_reason_to_fail(width):
    assert lines(STATUS, width)
