"""WhatsApp addresses: who a stanza is from and to.

A user lives on a server (`s.whatsapp.net` for phone numbers, `lid` for hidden ids, `g.us` for groups); each linked device of a user
has a number, the phone itself being device 0. An address without a user is the server itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

USER_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"
STATUS = "status@broadcast"  # where people post for all their contacts


@dataclass(frozen=True, slots=True)
class Jid:
    """One address. Its text form is `user:device@server`; device 0 is left out, and so is an empty user with its `@`."""

    user: str
    server: str = USER_SERVER
    device: int = 0

    @classmethod
    def parse(cls, text: str) -> Jid:
        """Read `user@server`, `user:device@server` or a bare server.

        Raises:
            ValueError: the text has no server, several `@`, or a device that isn't a decimal number.
        """
        account, at, server = text.rpartition("@")
        user, colon, device = account.partition(":")
        if not server or "@" in account or (at and not user) or (colon and not (device.isascii() and device.isdigit())):
            raise ValueError(f"{text!r} is not a WhatsApp address like user:device@server")
        return cls(user, server, int(device or 0))

    @property
    def bare(self) -> Jid:
        """The user without the device."""
        return replace(self, device=0)

    def __str__(self) -> str:
        if not self.user:
            return self.server
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}"
