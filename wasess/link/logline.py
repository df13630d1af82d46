"""The library's log entries as lines of text on the worker's output pipe. Imported by the worker: light."""

from __future__ import annotations

import re

# Both ends are the library's own words; what a stranger wrote can stand at neither. A database that is only locked may be free by the
# time the library asks the sender to send again.
_UNSTORED = re.compile(
    rb"WARN Client: Error decrypting message .*: (?P<words>database or disk is full|database disk image is malformed|"
    rb"file is not a database|attempt to write a readonly database|unable to open database file|disk I/O error|"
    rb"no such table: whatsmeow_\w+)(?:: .{1,60})?(?: \(\d+\))?$"
)


def log_line(entry: bytes) -> bytes:
    """Turn a serialized neonize.LogEntry (three texts: message, level, name) into one line: ``LEVEL name: message``."""
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
    message = b" ".join(fields[1].split())
    return b"%s %s: %s" % (fields[2], fields[3], message)


def unstored(line: bytes) -> str:
    """Return SQLite's words when the library says with this line that it could not store what a message changed; empty otherwise."""
    found = _UNSTORED.match(line)
    return found["words"].decode() if found else ""
