"""The one place where concrete classes are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wasess.link.contract import Contract
from wasess.link.host import WorkerHost

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.link.port import LinkHost


@dataclass(frozen=True, slots=True)
class Realm:
    """Which WhatsApp is meant: the real one, or the stand-in of a contract."""

    contract: Contract | None

    @property
    def name(self) -> Literal["whatsapp", "sandbox"]:
        """The mark a home gets."""
        return "sandbox" if self.contract else "whatsapp"

    def camera(self, user: str) -> Path | None:
        """Where the phone of a sandbox looks for the code of a user."""
        return self.contract.camera / user if self.contract and self.contract.camera else None

    def host(self) -> LinkHost:
        """Starts links in this realm."""
        return WorkerHost(self.contract)


def realm(contract_file: Path | None) -> Realm:
    """The realm of a contract file; None is the real WhatsApp. Raises `SandboxError`."""
    return Realm(Contract.load(contract_file) if contract_file else None)
