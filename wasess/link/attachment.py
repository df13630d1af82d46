"""The file of a reply: what it is, and whether WhatsApp would take it. Looks at the file, sends nothing.

The type follows from the name, as everywhere on the web (`core.file_types`). What a client shows as a picture, a video or a sound WhatsApp
limits to a few formats; anything else is a document.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.core.file_types import LARGEST_FILE, STICKER_MIME, ending, type_of
from wasess.errors import UsageError
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.message import Kind, Reply

MAX_FILE = LARGEST_FILE
VOICE_MIME = "audio/ogg; codecs=opus"
SHOWN: dict[str, Kind] = {
    **dict.fromkeys(("image/jpeg", "image/png", "image/webp"), "image"),
    **dict.fromkeys(("video/mp4", "video/3gpp"), "video"),
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mp4", "audio/mpeg", "audio/ogg"), "audio"),
}
# Enough to see what a file begins with.
_HEAD = 64


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that can be sent. ``path`` is absolute, ``size`` in bytes."""

    path: Path
    kind: Kind
    mime: str
    name: str
    size: int


def attach(reply: Reply, copy: Path | None = None) -> Attachment:
    """Look at the file of a reply, or at the ``copy`` that was made of it. Raises `errors.UsageError` when it can't be sent, or not as it was meant."""
    path = (copy or Path(reply.file)).absolute()
    size, head = _look(path)
    name = reply.name or Path(reply.file).name
    mime = (reply.mime or type_of(name)).lower()
    kind: Kind = SHOWN.get(mime.partition(";")[0].strip(), "document")
    if reply.voice:
        kind, mime = "voice", _voice(mime, head)
    elif reply.sticker:
        kind, mime = "sticker", _sticker(head)
    if reply.text and kind in {"audio", "voice", "sticker"}:
        raise UsageError(_("A sound, a voice message and a sticker have no caption."), hint=_("Send the text by itself."))
    shown = os.fsencode(name or f"file{ending(mime)}").decode(errors="replace")  # a name may hold bytes that are no text
    return Attachment(path, kind, mime, shown, size)


def _look(path: Path) -> tuple[int, bytes]:
    """Its size and first bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # never waits for somebody who writes to a named pipe
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - it is open already
            found = os.fstat(descriptor)
            head = file.read(_HEAD) if stat.S_ISREG(found.st_mode) else b""
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(_("The file {path} can't be read: {problem}.").format(path=path, problem=problem)) from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(_("{path} is not a file.").format(path=path))
    if not found.st_size:
        raise UsageError(_("The file {path} is empty; WhatsApp takes no empty file.").format(path=path))
    if found.st_size > MAX_FILE:
        raise UsageError(
            _("The file {path} has {size} MiB; the most that can be sent is {most} MiB.").format(
                path=path, size=-(-found.st_size // 2**20), most=MAX_FILE // 2**20
            ),
            hint=_("Send a link to it."),
        )
    return found.st_size, head


def _voice(mime: str, head: bytes) -> str:
    if not mime.startswith("audio/ogg") or not head.startswith(b"OggS") or b"OpusHead" not in head:
        raise UsageError(
            _("A voice message must be an Ogg file with Opus sound."),
            hint=_("Convert it: ffmpeg -i FILE -ac 1 -c:a libopus voice.ogg"),
        )
    return VOICE_MIME


def _sticker(head: bytes) -> str:
    if not head.startswith(b"RIFF") or head[8:12] != b"WEBP":
        raise UsageError(_("A sticker must be a WebP picture."), hint=_("Convert it: cwebp FILE -o sticker.webp"))
    return STICKER_MIME
