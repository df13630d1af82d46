"""The bot of the proofs that nothing is lost, run by `wasess serve --bot bench/clerk.py:answer`. It writes down each text that it is done with.

It can be broken from outside: the file `OUTAGE` beside its notes says how ("raise", "hang"), as long as it is there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

NOTES = Path(os.environ.get("BENCH_SEEN", os.devnull))
OUTAGE = NOTES.with_suffix(".outage")
LOOKS_EVERY = 0.02
SOME = "0"  # texts that end so are answered by `answer_some`

_FILE = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Broken(Exception):
    """What was ordered."""


def answer(text: str) -> str:
    """Answer every text."""
    while (order := _order()) == "hang":
        time.sleep(LOOKS_EVERY)
    if order == "raise":
        raise Broken
    os.write(_FILE, f"{time.time():.6f} {os.getpid()} {text}\n".encode())
    return f"re {text}"


def answer_some(text: str) -> str | None:
    """Answer every tenth."""
    answered = answer(text)
    return answered if text.endswith(SOME) else None


def _order() -> str:
    try:
        return OUTAGE.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
