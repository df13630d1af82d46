"""Texts of strangers: all sentences of the library's that wasess reads, and what looks like the XML of its stanzas."""

from __future__ import annotations

SOMEBODY = "victim@s.whatsapp.net"
WORDS = (
    "database or disk is full",
    "database disk image is malformed (11)",
    "file is not a database",
    "attempt to write a readonly database (1032)",
    "unable to open database file: no such file or directory",
    "disk I/O error",
    "no such table: whatsmeow_sessions",
    "database is locked",
    "received message with old counter (index: 1, count: 0)",
    "expected handshake response status code 101 but got 429",
    'failed to send handshake request: Get "https://web.whatsapp.com/ws/chat": Forbidden',
)
BEGINNINGS = (
    f"Error decrypting message AAAA from {SOMEBODY}: ",
    f"Ignoring message AAAA from {SOMEBODY}: ",
    f"AAAA from {SOMEBODY}: ",
    f"AAAA from {SOMEBODY} in 1@g.us: ",
    "X: ",
    "X\nERROR Client: ",
    "Error reconnecting after autoreconnect sleep: ",
    "Failed to reconnect after 515 code: ",
    f"Failed to store LID-PN mapping for {SOMEBODY} -> {SOMEBODY}: ",
    "Failed to get prekey for retry receipt: ",
    f"Failed to encrypt 3EB0AA for {SOMEBODY}: ",
)
SENTENCES = tuple(f"{beginning}{words}{end}" for beginning in BEGINNINGS for words in WORDS for end in ("", " ("))
STRANGE = (
    '"',
    'A" participant="victim@lid',
    f'A" participant="{SOMEBODY}" to="{SOMEBODY}" type="inactive"/>',
    'A" recipient="victim@lid',
    'A" to="victim@lid',
    'A" from="victim@lid',
    'A" participant="victim@lid" t="1" type="read"><list><item id="B',
    'A" type="retry"><retry id="A',
    '<receipt id="A" to="victim@lid"/>',
    "A\nB",
    "A from",
    " from ",
    "id with = and & and ' and >",
    "\x1b[31mred",
    "\u202eright to left",
    "x" * 300,
    "x" * 20_000 + '" to="victim@lid',
)
