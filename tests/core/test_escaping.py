from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.escaping import CUT, KEPT, cut, harmless, one_line

STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def test_of_all_of_unicode_nothing_gets_through_that_steers():
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {letter for letter in harmless(everything) if unicodedata.category(letter) in STEERING}
    assert left <= KEPT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ñandú, 你好, 👍🏽", "plain, ñandú, 你好, 👍🏽"),
        ("👩\u200d👩\u200d👧 ❤\ufe0f ن\u200cر 10\u00a0€", "👩\u200d👩\u200d👧 ❤\ufe0f ن\u200cر 10\u00a0€"),
        ("\x1b]52;c;ZXZpbA==\x07", r"\x1b]52;c;ZXZpbA==\x07"),
        ("\x9b2J\x85\x7f\0", r"\x9b2J\x85\x7f\x00"),
        ("a\r\n\tb\x0b\x0c\x1c", r"a\r\n\tb\x0b\x0c\x1c"),
        ("\u202egnp\u2066\u2069\u200e\u200f\u061c", r"\u202egnp\u2066\u2069\u200e\u200f\u061c"),
        ("\u2028\u2029\ufeff\u00ad\ufff9\ufffe", r"\u2028\u2029\ufeff\xad\ufff9\ufffe"),
        ("\U000e0041\ud800", r"\U000e0041\ud800"),
    ],
)
def test_what_steers_is_shown_and_what_people_write_stays(text: str, shown: str):
    assert harmless(text) == shown


def test_line_breaks_stay_where_they_are_wanted():
    assert harmless("a\n\x1bb", also="\n") == "a\n\\x1bb"


@given(st.text(), st.integers(min_value=1, max_value=60))
def test_a_line_is_one_and_has_its_length(text: str, longest: int):
    line = one_line(text, longest)
    assert len(line.splitlines()) <= 1
    assert len(line) <= longest
    assert line == harmless(text) or line.endswith(CUT)


def test_what_is_cut_says_so():
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
