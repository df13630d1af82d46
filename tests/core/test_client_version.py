from __future__ import annotations

import pytest

from wasess.core import client_version
from wasess.core.client_version import BUILT_AT, BUILT_IN, HEADROOM, age, allowed, build_hash, is_wish, on_page, parse, spell

DAY = 86_400.0


@pytest.mark.parametrize("number", [BUILT_IN, BUILT_IN + 1, BUILT_IN + HEADROOM - 1])
def test_a_version_from_the_built_in_one_on_may_be_announced(number):
    assert allowed(number)
    assert parse(spell(number)) == number
    assert is_wish(spell(number))
    assert on_page(f'x"client_revision":{number},"y'.encode()) == number


@pytest.mark.parametrize("number", [0, 1, BUILT_IN - 1, BUILT_IN + HEADROOM, 2**32, 10**12])
def test_no_other_may(number):
    assert not allowed(number)
    assert not is_wish(spell(number))
    assert on_page(f'"client_revision":{number}}}'.encode()) == 0
    with pytest.raises(ValueError, match=r"2\.3000"):
        parse(spell(number))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2.3000",
            "2.3000.",
            "3.3000.1053000000",
            "2.3001.1053000000",
            "2.3000.1053000000.0",
            " 2.3000.1053000000",
            "2.3000.1053000000\n",
        ),
        *("1053000000", "Auto", "2.3000.+1053000000", "2.3000.1_053_000_000", "2.3000.١٠٥٣٠٠٠٠٠٠", "2.3000.01053000000"),
    ],
)
def test_a_version_is_spelt_in_one_way(text):
    assert not is_wish(text)


def test_nothing_and_auto_are_wishes_too():
    assert is_wish("")
    assert is_wish("auto")


def test_a_page_names_one_version():
    assert on_page(b'"client_revision":1053000000,"client_revision":1053000000,') == 1_053_000_000
    assert on_page(b'"client_revision":1053000000,"client_revision":1053000001,') == 0
    assert on_page(b"") == 0
    assert on_page(b'"client_revision":,"client_revision":-1053000000') == 0
    assert on_page(b'"client_revision":' + b"1053000000" * 1000) == 0


def test_the_hash_of_what_is_built_in_is_the_md5_of_its_text():
    assert build_hash(BUILT_IN) == client_version.BUILT_IN_HASH
    assert len(build_hash(BUILT_IN + 1)) == 16
    assert build_hash(BUILT_IN + 1) != client_version.BUILT_IN_HASH


def test_a_newer_version_is_younger():
    assert age(BUILT_IN, BUILT_AT + 10 * DAY) == 10
    assert age(BUILT_IN + 750_000, BUILT_AT + 10 * DAY) == 0
