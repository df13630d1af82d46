"""The Signal protocol as WhatsApp uses it: X3DH, double ratchet, sender keys, XEdDSA.

Version 3 of libsignal's protocol, wire-compatible with whatsmeow and Baileys. Pure computation: no files, no sockets.
WhatsApp's random padding of the plaintext is the caller's business.
"""

from __future__ import annotations

from wasess.sandbox.signal.curve import KEY_TYPE, KeyPair, verify
from wasess.sandbox.signal.errors import BadBundle, DecryptError, DuplicateMessage, NoSession, SignalError
from wasess.sandbox.signal.party import Kind, Party
from wasess.sandbox.signal.session import PreKeyBundle

__all__ = [
    "KEY_TYPE",
    "BadBundle",
    "DecryptError",
    "DuplicateMessage",
    "KeyPair",
    "Kind",
    "NoSession",
    "Party",
    "PreKeyBundle",
    "SignalError",
    "verify",
]
