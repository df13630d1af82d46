from __future__ import annotations

import pytest

from wasess.core.file_types import ending


@pytest.mark.parametrize(
    ("mime", "name", "found"),
    [
        ("image/jpeg", "", ".jpg"),
        ("audio/ogg; codecs=opus", "", ".ogg"),
        ("image/webp", "", ".webp"),
        ("application/pdf", "menu", ".pdf"),
        ("application/octet-stream", "Menu.PDF", ".pdf"),
        ("text/plain", "notes.md", ".md"),
        ("text/plain", "../../notes.sh/", ".txt"),
        ("x/y", "a.b c", ""),
        ("x/y", "a.\u00e9", ""),
        ("x/y", "a.b\n", ""),
        ("", "", ""),
    ],
)
def test_a_received_file_ends_as_its_name_or_its_type_does(mime, name, found):
    assert ending(mime, name) == found
