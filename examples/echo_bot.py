"""The smallest bot: it gets a text and returns the reply. Run it with `wasess serve --bot examples/echo_bot.py:reply`."""

from __future__ import annotations


def reply(text: str) -> str:
    """Say back what was said."""
    return f"you said: {text}"
