"""Which version of WhatsApp Web the client library announces, which other one it may be told to announce, and how old that is.

A version is ``2.3000.N``; only N changes, by some 75,000 a day. The facts are of neonize 0.5.2 and of the threads in PASSKEY.md, section 4: of
four builds that WhatsApp refused (code 405) the age at the refusal is known, 80 to 153 days. Nothing here is a promise of WhatsApp's.
"""

from __future__ import annotations

import re

BUILT_IN = 1_047_769_893
"""What neonize 0.5.2 announces."""
BUILT_IN_HASH = bytes.fromhex("720d377baa41c35727fd204d3ebe516e")
"""Its `build_hash`."""
BUILT_AT = 1_789_430_400.0
"""Unix time: about when that was WhatsApp's newest, mid-September 2026."""
HEADROOM = 50_000_000
"""So far above `BUILT_IN`, nearly two years, a number is a mistake."""
A_DAY = 75_000
OLD_AFTER, REFUSED_FROM, REFUSED_TO = 60, 80, 153
"""Days. From the first on people are told; at ages between the others builds were refused."""

AUTO = "auto"
_TEXT = re.compile(r"2\.3000\.([0-9]{1,10})", re.ASCII)
_ON_PAGE = re.compile(rb'"client_revision":([0-9]{1,12})(?![0-9])')


def allowed(number: int) -> bool:
    """Whether this N may be announced."""
    return BUILT_IN <= number < BUILT_IN + HEADROOM


def parse(text: str) -> int:
    """The N of ``2.3000.N``. Raises ValueError for any other text, and for an N that may not be announced."""
    found = _TEXT.fullmatch(text)
    if not found or not allowed(number := int(found[1])):
        raise ValueError(text)
    return number


def is_wish(text: str) -> bool:
    """Whether it says what to announce: ``auto``, a version that may be announced, or nothing: what is built in."""
    try:
        return text in {"", AUTO} or bool(parse(text))
    except ValueError:
        return False


def spell(number: int) -> str:
    """The version's text."""
    return f"2.3000.{number}"


def build_hash(number: int) -> bytes:
    """What a registration says besides (whatsmeow clientpayload.go): the MD5 of the version's text, 16 bytes."""
    import hashlib  # noqa: PLC0415 - OpenSSL, which a worker has no other use for

    return hashlib.md5(spell(number).encode(), usedforsecurity=False).digest()


def on_page(page: bytes) -> int:
    """The N that the web client's start page names; 0 when it names none that may be announced, or several."""
    found = {int(digits) for digits in _ON_PAGE.findall(page)}
    number = found.pop() if len(found) == 1 else 0
    return number if allowed(number) else 0


def age(number: int, now: float) -> float:
    """How many days before ``now`` (Unix time) this N was WhatsApp's newest; an estimate."""
    return (now - BUILT_AT) / 86_400 - (number - BUILT_IN) / A_DAY
