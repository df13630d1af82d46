"""wasess keeps WhatsApp linked-device sessions alive: link once, stay linked.

For a bot's file: ``from wasess import Message, Reply`` (and what is in them: `Contact`, `Location`, `Media`, `Poll`, `Quote`).
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Contact", "Location", "Media", "Message", "Poll", "Quote", "Reply"]

TYPE_CHECKING = False  # typing's own would cost each command 3 ms
if TYPE_CHECKING:
    from wasess.core.message import Contact, Location, Media, Message, Poll, Quote, Reply


def __getattr__(name: str) -> object:
    """Load them when they are asked for: the commands do without, and dataclasses take 20 ms to make."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wasess.core import message  # noqa: PLC0415 - see above

    return getattr(message, name)
