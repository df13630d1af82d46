"""Makes a text harmless for a terminal and for a log: what could steer either is shown as an escape instead. Pure.

Names, message ids, types and file names are chosen by strangers. Raw, they move the cursor, set the clipboard (OSC 52), turn the
direction of a line (U+202E) or begin a line of their own (U+2028, U+0085). Escaped is everything but what Unicode calls printable:
control characters (C0, DEL, C1), format characters (bidi controls, tags, interlinear marks), line and paragraph separators, lone
surrogates, private and unassigned code points. `KEPT` is let through: emoji and some scripts need the joiners.
"""

from __future__ import annotations

LONGEST_LINE = 4000  # characters of one line of a log
CUT = "…"
# No-break spaces, the space of East Asian scripts, and the (non-)joiner of emoji, Arabic and Indic scripts: none moves anything.
KEPT = frozenset("\u00a0\u202f\u3000\u200c\u200d")


def harmless(text: str, also: str = "") -> str:
    r"""The text with ``\x1b`` for an escape character, ``\n`` for a line break, and so on. ``also``: characters that are let through, too."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in KEPT or letter in also else ascii(letter)[1:-1] for letter in text)


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """The harmless text in one line of at most ``longest`` characters: see `cut`."""
    return cut(harmless(text[: longest + 1]), longest)


def cut(text: str, longest: int = LONGEST_LINE) -> str:
    """At most ``longest`` characters; a text that is longer ends with `CUT`."""
    return text if len(text) <= longest else text[: longest - len(CUT)] + CUT
