"""What the name of a file says of its type, and the reverse: `mimetypes` with its built-in tables alone, so that it is the same on every machine."""

from __future__ import annotations

import mimetypes
import re
from pathlib import PurePath

STICKER_MIME = "image/webp"
UNKNOWN_MIME = "application/octet-stream"
LARGEST_FILE = 64 * 2**20
"""Bytes of a file that is sent or fetched: the library has it in memory several times while it encrypts it."""
# Python's own table has neither the newer office formats nor these sounds.
TYPES = {
    ".3gp": "video/3gpp",
    ".aac": "audio/aac",
    ".amr": "audio/amr",
    ".m4a": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".webp": STICKER_MIME,
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

_ENDINGS = {mime: suffix for suffix, mime in TYPES.items()} | {"audio/ogg": ".ogg"}
_ENDING = re.compile(r"\.[a-z0-9]{1,8}\Z", re.ASCII)


def type_of(name: str) -> str:
    """The type that a file's name stands for."""
    known = TYPES.get(PurePath(name).suffix.lower()) or mimetypes.MimeTypes().guess_type(name, strict=False)[0]
    return known or UNKNOWN_MIME


def ending(mime: str, name: str = "") -> str:
    """What the name of a received file ends in: as its sender's did, else as its type says; empty where neither is of letters and digits."""
    plain = mime.partition(";")[0].strip().lower()
    usual = _ENDINGS.get(plain) or mimetypes.MimeTypes().guess_extension(plain, strict=False) or ""
    found = (_ENDING.search(text) for text in (name.lower(), usual))
    return next((match[0] for match in found if match), "")
