"""What can go wrong in the Signal protocol.

SignalError (ValueError)
├── NoSession             nothing to encrypt with: a bundle or a distribution is needed first
├── BadBundle             a pre-key bundle whose signed pre-key its identity did not sign
└── DecryptError          what arrived can't be read; the state is as it was before
    └── DuplicateMessage  its key was used already: the message was read once before
"""

from __future__ import annotations


class SignalError(ValueError):
    """Root of everything this package raises."""


class NoSession(SignalError):
    """There is no session (or no sender key) to encrypt with."""


class BadBundle(SignalError):
    """The signature of a bundle's signed pre-key is not its identity's."""


class DecryptError(SignalError):
    """Damaged, forged, foreign or for a key that is not ours."""


class DuplicateMessage(DecryptError):
    """The message key is gone because it was used: answer with a receipt, not with a retry."""
