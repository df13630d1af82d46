"""What a bot answers, read strictly: a text, a `Reply`, a list of these, or nothing; from JSON, an object for a `Reply`."""

from __future__ import annotations

from typing import Any

import msgspec

from wasess.core.message import Reply
from wasess.words import _

LONGEST_TEXT = 65_536  # characters; WhatsApp takes no more
LONGEST_NAME = 255
MOST_REPLIES = 100

# msgspec 0.22 learns a class when it is first converted to, and two threads that are first at once end the process (SIGSEGV).
msgspec.json.Decoder(Reply)


class BadReply(ValueError):
    """The answer can't be sent. The sentence quotes none of it."""


def read_replies(answer: Any) -> tuple[Reply, ...]:
    """Return what is to be sent, in order; an empty text is no reply. Raises `BadReply`."""
    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    if len(parts) > MOST_REPLIES:
        raise BadReply(_("the bot gave {count} replies; at most {most} are sent").format(count=len(parts), most=MOST_REPLIES))
    return tuple(reply for part in parts if (reply := _read(part)) is not None)


def _read(part: Any) -> Reply | None:
    if part is None or part == "":
        return None
    if isinstance(part, str):
        part = Reply(part)
    elif isinstance(part, dict):
        unknown = part.keys() - set(Reply.__dataclass_fields__)
        if unknown:
            raise BadReply(_("a reply has no field {name}").format(name=ascii(min(map(str, unknown)))))
    elif not isinstance(part, Reply):
        raise BadReply(_("the bot returned {kind}, which is no text, Reply, list or None").format(kind=type(part).__name__))
    try:
        # Also for one that Python code has made: nothing has checked what is in it.
        reply = msgspec.convert(msgspec.to_builtins(part), Reply)
    except (msgspec.ValidationError, TypeError) as error:
        raise BadReply(_("the reply is wrong: {problem}").format(problem=error)) from None
    return _checked(reply)


def _checked(reply: Reply) -> Reply:
    """A reply that says one thing, in characters that can be sent. Half of an emoji is none (JavaScript cuts them so)."""
    try:
        msgspec.json.encode(reply)
    except UnicodeEncodeError as error:
        raise BadReply(_("the reply holds half a character")) from error
    contents = [bool(reply.file), bool(reply.data), reply.react is not None, reply.location is not None, reply.poll is not None]
    if sum(contents) > 1 or (not any(contents) and not reply.text):
        raise BadReply(_("a reply is one of a text, a file, a reaction, a location and a poll"))
    if reply.name and (len(reply.name) > LONGEST_NAME or "/" in reply.name or not reply.name.isprintable()):
        raise BadReply(_("the name of a file has 1 to {most} printable characters and no slash").format(most=LONGEST_NAME))
    if len(reply.text) > LONGEST_TEXT:
        raise BadReply(_("the reply has {length} characters; WhatsApp takes {most}").format(length=len(reply.text), most=LONGEST_TEXT))
    return reply
