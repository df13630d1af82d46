"""WhatsApp addresses as people write them."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"[0-9A-Za-z._-]{1,100}@(?:s\.whatsapp\.net|lid|g\.us|newsletter|broadcast)")
# Groups of today have 18 digits; older ones the number of who made them, and when.
_GROUP = re.compile(r"[0-9]{16,25}|[1-9][0-9]{6,14}-1[0-9]{9}")
_DECORATION = re.compile(r"[ ()./-]")
_NUMBER = re.compile(r"\+?[1-9][0-9]{6,14}")


def address_of(text: str) -> str:
    """The address that is meant by an address, an international phone number, or the id of a group; empty for what is none of these."""
    plain = text.strip()
    if _ADDRESS.fullmatch(plain):
        return plain
    if _GROUP.fullmatch(plain):
        return f"{plain}@g.us"
    number = _DECORATION.sub("", plain)
    return f"{number.removeprefix('+')}@s.whatsapp.net" if _NUMBER.fullmatch(number) else ""


def is_person(address: str) -> bool:
    """Whether it is one person's, by number or hidden: no group, list or channel."""
    return address.endswith(("@s.whatsapp.net", "@lid"))
