"""Screens as text files: what moves in them is replaced, and the rest is compared byte for byte with tests/acceptance/screens.

To renew them after a change that was meant: ``WASESS_SCREENS=write pytest tests/acceptance/test_screens.py``, and read what git shows.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).with_name("screens")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()=>].?)")
MOVING = (
    (re.compile(r"\bscreens-\w{8}\b"), "screens-xxxxxxxx"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "2026-01-01 00:00:00"),
    (re.compile(r"\b(process|proceso) \d+"), r"\1 N"),
    (re.compile(r"\d+\.\d %"), "N %"),
    (re.compile(r"\d\d\*\*\*\d\d"), "49***67"),
)
SPAN = re.compile(r"\d+(?:\.\d)? (?:s|min|h)\b( *)")


def still(text: str) -> str:
    """The text with times, processes and numbers of phones replaced."""
    for pattern, instead in MOVING:
        text = pattern.sub(instead, text)
    # In a table, what stands behind stays where it is.
    return SPAN.sub(lambda span: "N s".ljust(len(span[0])) if len(span[1]) > 1 else f"N s{span[1]}", text)


def require_same(name: str, screen: str) -> None:
    """Compare a screen with its file, or write that."""
    path, text = FOLDER / f"{name}.txt", still(screen) + "\n"
    if os.environ.get("WASESS_SCREENS") == "write":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path} is missing: see {__file__}"
    assert text == path.read_text(), f"{path} is another one: see {__file__}"


def require_fit(written: bytes, columns: int) -> None:
    """The terminal breaks no line but one that is a single word, or a command to be copied."""
    for line in ESCAPES.sub("", written.decode()).replace("\r", "").split("\n"):
        assert len(line) <= columns or line.lstrip().startswith("-> ") or len(line.split()) == 1, line


def require_all_words(screen: str, piped: str, names: tuple[str, ...]) -> None:
    """Every word that a pipe gets stands on the screen whole; a name that is wider than the window goes on in the next line."""
    lost = Counter(still(piped).split()) - Counter(still(screen).split())
    unbroken = screen.replace("\n", "")
    assert all(word == "-" or (any(name in word for name in names) and word in unbroken) for word in lost), (lost, screen)
