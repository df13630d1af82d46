"""What becomes of a message that an operator sends, as values: part of the vocabulary of the control socket. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

WAITS = ("queued", "sent", "delivered")
"""What can be waited for."""

_ENDS = frozenset({"failed", "unknown"})
_ENOUGH = {
    "sent": _ENDS | {"sent", "delivered", "read"},
    "delivered": _ENDS | {"delivered", "read"},
}


@dataclass(frozen=True, slots=True)
class Sending:
    """A message in the outbox of ``user``, without its text. ``position`` is its place there.

    ``state``: queued · sending (it may be on its way) · sent (the server has acknowledged it) · delivered (a device of the recipient's has
    it) · read · failed · unknown (see `store.outbox`). ``detail``: what went wrong last. ``message_id`` is empty until it is known.
    """

    user: str
    position: int
    key: str
    to: str
    state: str
    message_id: str
    tries: int
    detail: str
    queued_at: float
    sent_at: float | None
    delivered_at: float | None
    read_at: float | None


@dataclass(frozen=True, slots=True)
class Released:
    """A chat that was braked and is not any more (`store.brakes`). ``at``: since when it was.

    ``messages`` and ``replies``: how many waited there for the bot, and to be sent; dropped, or on their way now.
    """

    chat: str
    at: float
    messages: int
    replies: int


def has_come(state: str, wait: str) -> bool:
    """Whether somebody who waits for one of `WAITS` has waited long enough, be it in vain."""
    return wait == "queued" or state in _ENOUGH[wait]
