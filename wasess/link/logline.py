"""What the library says in a line of its log above DEBUG, and what a line is as text. Imported by the worker: light.

A line quotes what strangers chose: the id of a message, names, types. So its sentences are read here, where level, logger and text are still
apart, and only so far as no stranger can have written them: a sentence begins the text, an id is of the letters that ids are made of, and
what can be read in two ways says nothing. The texts are those of whatsmeow in neonize 0.5.2; tests/wire/test_worker_vitals.py provokes them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_DEBUG = b"\x12\x05DEBUG\x1a"  # and the length of the logger's name
PLAIN_ID = re.compile(rb"[0-9A-Za-z._-]{1,128}")
"""Ids as clients make them. One that is anything else is a stranger's text: nothing is told of it."""

# message.go decryptMessages: "Error decrypting message %s from %s: %v", and the same with "Ignoring". The second is SENDER or SENDER in CHAT.
_ABOUT = re.compile(
    rb"(?P<verb>Error decrypting|Ignoring) message (?P<id>[0-9A-Za-z._-]{1,128}) from (?P<source>[^\s\"]+@[^\s\"]+?(?: in [^\s\"]+?)?): (?P<why>.+)",
    re.DOTALL,
)
_OLD_COUNTER = b"received message with old counter"

# What SQLite says at the end of what could not be done; behind it the driver's explanation and numbers.
_LOST = rb"database disk image is malformed|file is not a database|attempt to write a readonly database|no such table: whatsmeow_\w+"
_ENVIRONMENT = rb"database or disk is full|unable to open database file|disk I/O error"
# Errors that end with what the sender has sent ("Input too small: %s" of libsignal), or may.
_QUOTING = rb"(?!failed to parse |failed to get message secret |message secret |failed to unmarshal )"
_NUMBERS = rb"(?: \([0-9A-Z_]+\))*"
_UNSTORED = re.compile(rb"%s(?:.*: )?(?P<words>%s|%s)(?:: [^:]{1,60})?%s" % (_QUOTING, _LOST, _ENVIRONMENT, _NUMBERS))
_DATABASE = re.compile(rb"%s(?:.*: )?(?P<words>database (?:table )?is locked|%s)%s" % (_QUOTING, _LOST, _NUMBERS))
# The beginnings of sentences in which no stranger is quoted; they end with an error of the library's own.
_FAILED = re.compile(
    rb"Failed to (?:get|store|save|delete|update|mark|migrate|encrypt|load|persist|remove|process sender key distribution message) "
    rb"(?!message secret key for )[0-9A-Za-z@.:_> -]{0,200}?: (?P<why>[^\n]+)"
)

_UNENCRYPTED = re.compile(rb"Failed to encrypt (?P<id>[0-9A-Za-z._-]{1,128}) for (?P<user>[^\s@:]+)@[^\s:]+: (?P<why>.+)", re.DOTALL)
# receipt.go handleReceipt; the chat and the sender are WhatsApp's words, the id is the asking device's.
_UNSERVED = re.compile(
    rb"Failed to handle retry receipt for (?P<chat>[^\s\"/]+@[^\s\"/]+)/(?P<id>[0-9A-Za-z._-]{1,128}) from (?P<sender>[^\s\"/]+@[^\s\":/]+): (?P<why>.+)",
    re.DOTALL,
)
_REDIAL = b"Error reconnecting after autoreconnect sleep: "
_GAVE_UP = b"Failed to reconnect after 515 code: "


class Entry(NamedTuple):
    """An entry of the log: ``level`` and ``name`` (of the logger) are the library's own words, ``text`` quotes others."""

    text: bytes
    level: bytes
    name: bytes


class Undelivered(NamedTuple):
    """A message of which there will be no event. ``source``: ``SENDER`` or ``SENDER in CHAT``; ``old``: its key had been used before."""

    id: bytes
    source: bytes
    why: bytes
    old: bool


class Unserved(NamedTuple):
    """A message that a device asked for with a retry receipt, and that the library could not send to it again. Addresses as the library writes them."""

    id: bytes
    sender: bytes
    chat: bytes


def text_at(head: bytes) -> tuple[int, int]:
    """Where the text begins and ends in an entry that begins like this (6 bytes are enough); (0, 0): nowhere."""
    if len(head) < 2 or head[0] != 0x0A:
        return 0, 0
    size = shift = 0
    for at, byte in enumerate(head[1:6], 2):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return at, at + size
    return 0, 0


def debugger(rest: bytes) -> bytes:
    """The name of the logger, from what stands behind the text in an entry at the level DEBUG; empty at another level."""
    return rest[len(_DEBUG) + 1 :] if rest.startswith(_DEBUG) else b""


def read_entry(entry: bytes) -> Entry:
    """Read a serialized neonize.LogEntry (three texts: message, level, name). Raises `IndexError` when it is cut off."""
    fields, at = {1: b"", 2: b"", 3: b""}, 0
    while at < len(entry):
        number, at = entry[at] >> 3, at + 1
        size, shift = 0, 0
        while True:
            byte, at = entry[at], at + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # the last byte of a varint has its top bit clear
                break
        fields[number], at = entry[at : at + size], at + size
    return Entry(fields[1], fields[2], fields[3])


def shown(entry: Entry) -> bytes:
    """One line for people: ``LEVEL name: message``. Nothing is read from it."""
    return b"%s %s: %s" % (entry.level, entry.name, b" ".join(entry.text.split()))


def undelivered(entry: Entry) -> Undelivered | None:
    """The message that could not be decrypted, or whose key had been used before; None where the line says nothing that is certain."""
    if entry[1:] != (b"WARN", b"Client"):
        return None
    found = _ABOUT.fullmatch(entry.text)
    # An id such as ``A from somebody: …`` makes a line that reads like one about A; but then it says `` from `` once more.
    if not found or entry.text.count(b" from ") != 1:
        return None
    old = found["verb"] == b"Ignoring"
    if old and _OLD_COUNTER not in found["why"]:
        return None
    return Undelivered(found["id"], found["source"], found["why"], old)


def unserved(entry: Entry) -> Unserved | None:
    """The message that somebody has asked for in vain; None where the line says nothing that is certain."""
    found = _UNSERVED.fullmatch(entry.text) if entry[1:] == (b"ERROR", b"Client") else None
    # An id such as ``A from somebody: …`` makes a line that reads like one about A; but then it says `` from `` once more.
    if not found or entry.text.count(b" from ") != 1:
        return None
    return Unserved(found["id"], found["sender"], found["chat"])


def unstored(missing: Undelivered) -> str:
    """SQLite's words when what a message changed could not be stored; empty otherwise."""
    found = None if missing.old else _UNSTORED.fullmatch(missing.why)
    return found["words"].decode() if found else ""


def meaning(entry: Entry) -> tuple[bytes, ...]:
    """What a line means for its session (`hints`), empty for nearly all of them.

    ::

        redial WHY | gave-up WHAT | database WORDS | unencrypted ID WHY   the recipient's main device was left out of the message
    """
    error, client = entry.level == b"ERROR", entry.name == b"Client"
    if error and client and entry.text.startswith(_REDIAL):
        return b"redial", entry.text[len(_REDIAL) :]
    if error and client and entry.text.startswith(_GAVE_UP):
        return b"gave-up", entry.text
    if entry.level not in {b"ERROR", b"WARN"} or not entry.name.startswith((b"Client", b"Database")):
        return ()
    if missing := undelivered(entry):
        why = b"" if missing.old else missing.why
    else:
        failed = _FAILED.fullmatch(entry.text)
        why = failed["why"] if failed else b""
    if found := _DATABASE.fullmatch(why):
        return b"database", found["words"]
    if found := _UNENCRYPTED.fullmatch(entry.text):
        return b"unencrypted", found["id"], found["why"]
    return ()
