"""PRETENDS. A WhatsApp server on loopback, with every fault it can have: state (facts), service (the wire), use cases (verbs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasess.sandbox.adv import PairingRefused
    from wasess.sandbox.usecases import Sandbox

__all__ = ["PairingRefused", "Sandbox"]


def __getattr__(name: str) -> Any:
    """Load on first use: a layer such as `wasess.sandbox.nodes` needs none of the others."""
    if name == "Sandbox":
        from wasess.sandbox.usecases import Sandbox  # noqa: PLC0415 -- see above

        return Sandbox
    if name == "PairingRefused":
        from wasess.sandbox.adv import PairingRefused  # noqa: PLC0415 -- see above

        return PairingRefused
    raise AttributeError(name)
