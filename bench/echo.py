"""The bot of a soak, run by `wasess serve --bot bench/echo.py:reply`: says back what was said, and writes down that it was."""

from __future__ import annotations

import os
from pathlib import Path

SEEN = "BENCH_SEEN"
"""The environment variable that names the file to write to: one text a line, in the order of arrival."""


def reply(text: str) -> str:
    """Append first: a text that is answered was seen for certain."""
    with Path(os.environ[SEEN]).open("a") as file:
        file.write(f"{text}\n")
    return text
