"""What `wasess sandbox say` was asked to send, as content: a text, or the one other thing that its options name."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wasess.sandbox import content

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasess.sandbox.content import Content

BY_MIME: Final = {"image/jpeg": "image", "image/png": "image", "image/webp": "sticker", "video/mp4": "video"}
"""What is shown in the chat; any other file but a sound is sent as a document."""


def content_of(text: str, *, reply_to: str = "", file: str = "", voice: bool = False, **orders: str | Sequence[str]) -> Content:
    """The content of an order. ``file`` is a path on this machine; the other names are those of `_MAKERS`, an empty one is no order.

    Raises:
        ValueError: more than one thing, or one that can't be read.
    """
    wanted = {name: value for name, value in orders.items() if value}
    unknown = wanted.keys() - _MAKERS.keys()
    if unknown:
        raise ValueError(f"there is no {', '.join(unknown)} to send")
    if len(wanted) + bool(file) > 1:
        raise ValueError(f"one thing at a time, not {' and '.join(wanted)}{' and file' if file else ''}")
    if file:
        return _file(Path(file), text, reply_to, voice=voice)
    return next((_MAKERS[name](text, value) for name, value in wanted.items()), content.text(text, quote=reply_to))


def _file(path: Path, caption: str, reply_to: str, *, voice: bool) -> Content:
    mime = mimetypes.guess_type(path.name)[0] or ""
    kind = "voice" if voice else "audio" if mime.startswith("audio/") else BY_MIME.get(mime, "document")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror})") from error
    return content.file(kind, data, caption=caption, mime="" if voice else mime, name=path.name, quote=reply_to)


def _location(name: str, where: str) -> Content:
    latitude, _, longitude = where.partition(",")
    try:
        return content.location(float(latitude), float(longitude), name=name)
    except ValueError:
        raise ValueError(f"{where!r} is no LATITUDE,LONGITUDE") from None


_MAKERS: Final[dict[str, Callable[[str, Any], Content]]] = {
    "react_to": content.reaction,
    "edit": content.edit,
    "delete": lambda _text, of: content.deletion(of),
    "vote": lambda option, to: content.vote(to, option),
    "poll": lambda question, options: content.poll(question, *options),
    "location": _location,
}
