"""The bots of mail and latency, run by `wasess serve --bot bench/notebook.py:note`: they write down when they were asked about which text."""

from __future__ import annotations

import os
import time

_FILE = os.open(os.environ.get("BENCH_SEEN", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(text: str) -> None:
    """Say nothing."""
    os.write(_FILE, f"{time.time():.6f} {text}\n".encode())


def answer(text: str) -> str:
    """Say it back."""
    note(text)
    return text
