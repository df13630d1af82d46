"""Keeps every file that is sent to you, in a folder for each day, and says thanks.

Run it with `wasess serve --bot examples/media_saver.py:save`. The files go to `saved/2026-05-28/…` below the current folder, or below the one
that the variable SAVE_TO names.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import shutil
import threading
from datetime import datetime
from pathlib import Path

from wasess import Media, Message, Reply

FOLDER = Path(os.environ.get("SAVE_TO", "saved"))


def save(message: Message) -> Reply | None:
    """Store the message's file, if it has one."""
    if message.media is None or message.from_me:
        return None
    if not message.media.path:
        return Reply("Sorry, I could not get your file. Please send it again.", quote=True)
    folder = FOLDER / datetime.fromtimestamp(message.timestamp).astimezone().strftime("%Y-%m-%d")
    folder.mkdir(parents=True, exist_ok=True)
    keep(Path(message.media.path), folder / name_of(message.media))
    return Reply("Thanks, I have kept it.", quote=True)


def name_of(media: Media) -> str:
    """Make a name from the content. `media.name` is what the sender calls the file: "../../.bashrc", if it is somebody with bad manners.

    So a file that comes again, because this bot was killed before it had answered, has the same name and is stored once.
    """
    with Path(media.path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest[:32] + (mimetypes.guess_extension(media.mime.partition(";")[0].strip()) or ".bin")


def keep(file: Path, place: Path) -> None:
    """Copy a file so that no half of it is ever at its place. Several threads may be at it: each has a half of its own."""
    half = place.with_suffix(f".{threading.get_ident()}.half")
    shutil.copyfile(file, half)
    half.replace(place)
