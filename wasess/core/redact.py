"""Takes out of a log line what must never be in one: numbers in full, QR texts, pairing codes, keys."""

from __future__ import annotations

import re

# A QR text holds the secret that links a phone. Today it is a URL, it used to start with "2@"; both end at white space.
_QR = re.compile(r"(?:https?://)?wa\.me/settings/linked_devices\S*|\b\d@[^\s,]+(?:,[^\s,]+){2,}")
# whatsmeow's alphabet for pairing codes leaves out 0, I, O and U.
_PAIRING_CODE = re.compile(r"(?<![0-9A-Za-z])[1-9A-HJ-NP-TV-Z]{4}-[1-9A-HJ-NP-TV-Z]{4}(?![0-9A-Za-z])")
_PAIRING_CODE_PLAIN = re.compile(r"(\bcode\b\W{0,5})[1-9A-HJ-NP-TV-Z]{8}\b", re.IGNORECASE)
# Keys in base64 or hex. The longest word of our own in a log line is shorter.
_KEY = re.compile(r"[A-Za-z0-9+/_-]{32,}={0,2}")
# A phone number as people write it, then any number as long as one: the user part of a JID, too.
_SPACED_NUMBER = re.compile(r"\+\d(?:[ ()-]{0,2}\d){6,}")
_NUMBER = re.compile(r"\d{7,}")


def redact(line: str) -> str:
    """Return ``line`` without secrets; a number keeps its first three and last two digits (``491***67:7@s.whatsapp.net``)."""
    line = _QR.sub("[qr]", line)
    line = _PAIRING_CODE.sub("[code]", line)
    line = _PAIRING_CODE_PLAIN.sub(r"\1[code]", line)
    line = _KEY.sub("[key]", line)
    line = _SPACED_NUMBER.sub(lambda match: _shorten("".join(filter(str.isdigit, match[0]))), line)
    return _NUMBER.sub(lambda match: _shorten(match[0]), line)


def _shorten(digits: str) -> str:
    return f"{digits[:3]}***{digits[-2:]}"
