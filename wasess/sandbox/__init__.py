"""PRETENDS. A WhatsApp server on loopback, with every fault it can have: state (facts), service (the wire), use cases (verbs)."""

from __future__ import annotations

from wasess.sandbox.adv import PairingRefused
from wasess.sandbox.usecases import Sandbox

__all__ = ["PairingRefused", "Sandbox"]
