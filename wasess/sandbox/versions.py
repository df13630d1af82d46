"""What a companion announces itself as, and what the server makes of it (whatsmeow clientpayload.go; PASSKEY.md 4).

At every login a client says its version, three numbers. At its registration it says the MD5 of the version's text, too: the build hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasess.sandbox.protobufs import waWa6

Version = tuple[int, int, int]

CURRENT: Final = (2, 3000, 1_053_000_000)
"""What the start page names where nobody wants anything else: about that of December 2026."""


def parse_version(text: str) -> Version:
    """Read ``2.3000.N``.

    Raises:
        ValueError: it is no version.
    """
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,10}", text, re.ASCII):
        raise ValueError(f"{text!r} is no version such as 2.3000.1053000000")
    first, second, third = map(int, text.split("."))
    return first, second, third


def spell(version: Version) -> str:
    """The version's text."""
    return ".".join(map(str, version))


def announced(payload: waWa6.ClientPayload) -> Version:
    """The version that a client says it has."""
    said = payload.userAgent.appVersion
    return said.primary, said.secondary, said.tertiary


def build_hash_fits(payload: waWa6.ClientPayload) -> bool:
    """Whether a registration's build hash is that of the announced version; so is one without any."""
    told = payload.devicePairingData.buildHash
    return not told or told == hashlib.md5(spell(announced(payload)).encode(), usedforsecurity=False).digest()


def start_page(version: Version) -> bytes:
    """An HTTP answer: the web client's start page, as far as it names the version."""
    bundle = {"client_revision": version[2], "haste_session": "sandbox"}
    body = f"<!DOCTYPE html><title>WhatsApp Web</title><script>{json.dumps(bundle, separators=(',', ':'))}</script>\n".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
