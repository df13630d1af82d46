from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.redact import redact

QR = "https://wa.me/settings/linked_devices#2@AbC+d/e==,Zm9vYmFyYmF6,cXV4cXV1eA==,c2VjcmV0,1"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("hello", "hello"),
        ("from 4917012345667:7@s.whatsapp.net", "from 491***67:7@s.whatsapp.net"),
        ("lid 226536219395389@lid", "lid 226***89@lid"),
        ("group 120363000000000001@g.us", "group 120***01@g.us"),
        ("call +49 170 123-4567 now", "call 491***67 now"),
        ("from ٤٩١٧٠١٢٣٤٥٦٧", "from ٤٩١***٦٧"),
        (f"Emitting QR code {QR} now", "Emitting QR code [qr] now"),
        ("Emitting QR code 2@abc/d,efg=,hij=,klm=", "Emitting QR code [qr]"),
        ("Pair Code:  ABCD-1234", "Pair Code:  [code]"),
        ("code ABCD1234 given", "code [code] given"),
        ("key q8n0Kb2Zt3C8wq0fM1lYc1mYtq3Y0m3vQy0m8s2d4Ww=", "key [key]"),
        ("node ab" + "01" * 32, "node [key]"),
        ("dial 127.0.0.1:45123: refused, 10.0 s", "dial 127.0.0.1:45123: refused, 10.0 s"),
        ("Failed to encrypt 3EB0F8B4ADFA013E22D6 for x", "Failed to encrypt 3EB0F8B4ADFA013E22D6 for x"),
    ],
)
def test_secrets_go_and_the_rest_stays(line, shown):
    assert redact(line) == shown


@given(st.text() | st.from_regex(r"([0-9A-Za-z+/=@:,. #-]{0,50}\n?){0,5}"))
def test_nothing_that_looks_like_a_number_or_a_key_is_left(line):
    shown = redact(line)
    assert not re.search(r"\d{7}", shown)
    assert not re.search(r"[A-Za-z0-9+/_-]{32}", shown)
    assert redact(shown) == shown


@given(st.text(), st.from_regex(r"[1-9]\d{6,14}", fullmatch=True), st.text())
def test_a_phone_number_is_never_shown_in_full(before, number, after):
    assert number not in redact(f"{before} {number} {after}")


@given(st.lists(st.from_regex(r"[A-Za-z0-9+/]{8,60}={0,2}", fullmatch=True), min_size=4, max_size=5))
def test_no_part_of_a_qr_text_is_shown(parts):
    shown = redact("QR https://wa.me/settings/linked_devices#" + ",".join(parts))
    assert shown == "QR [qr]"
