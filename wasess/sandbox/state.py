"""The sandbox's facts: accounts, their phones and linked devices, groups, and what happened. Tests read them; only the service writes."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from wasess.sandbox.jid import LID_SERVER, Jid
from wasess.sandbox.observed import Fact, Received, Seen, Typing
from wasess.sandbox.signal.party import Party
from wasess.sandbox.signal.session import PreKeyBundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.sandbox.nodes import Node

MAX_LINKED_DEVICES = 4
"""WhatsApp lets a phone link this many companions."""


class Device:
    """A companion device as the server knows it: its public keys, what waits for it, and whether it is online."""

    def __init__(self, account: Account, number: int, user: str, noise_static: bytes, identity: bytes) -> None:
        self.account = account
        self.number = number
        self.user = user
        self.noise_static = noise_static
        self.identity = identity
        self.signed_identity = b""
        self.registration_id = 0
        self.signed_prekey: tuple[int, bytes, bytes] = (0, b"", b"")
        self.prekeys: deque[tuple[int, bytes]] = deque()
        self.prekeys_used: set[int] = set()
        self.pending: dict[tuple[str, str], Node] = {}
        self.receipted: list[str] = []
        self.nacked: list[tuple[str, str]] = []
        self.sent_ids: dict[str, int] = {}
        self.seen: list[Seen] = []
        self.typing: list[Typing] = []
        self.logins = 0
        self.pings = 0
        self.online = False
        self.active = False
        self.available = False
        self.removed = False

    @property
    def jid(self) -> Jid:
        """The phone-number address."""
        return Jid(self.account.number, device=self.number)

    @property
    def lid(self) -> Jid:
        """The hidden address."""
        return Jid(self.account.lid, LID_SERVER, self.number)

    @property
    def address(self) -> str:
        """How a phone files it: one session, whichever address space a stanza uses."""
        return f"{self.account.number}:{self.number}"

    def take_bundle(self) -> PreKeyBundle:
        """Give out a pre-key bundle; each one-time key only once."""
        key_id, key = self.prekeys.popleft() if self.prekeys else (None, None)
        if key_id is not None:
            self.prekeys_used.add(key_id)
        signed_id, signed, signature = self.signed_prekey
        return PreKeyBundle(
            registration_id=self.registration_id,
            identity=self.identity,
            signed_prekey_id=signed_id,
            signed_prekey=signed,
            signature=signature,
            prekey_id=key_id,
            prekey=key,
        )


class Account:
    """A WhatsApp account: one phone (device 0) with its keys, and the companions linked to it."""

    def __init__(self, name: str, number: str = "") -> None:
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        self.name = name
        self.number = number or f"4915{digest % 10**9:09d}"
        self.lid = str(10**14 + int.from_bytes(hashlib.sha256(self.number.encode()).digest()[:6]))
        self.party = Party.create()
        self.devices: dict[int, Device] = {}
        self.next_device = 1
        self.received: list[Received] = []
        self.undecryptable: list[str] = []
        self.asked_again: dict[str, int] = {}
        self.delivery_receipts: list[str] = []
        self.off = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def jid(self) -> Jid:
        """The phone-number address of the phone itself."""
        return Jid(self.number)

    @property
    def lid_jid(self) -> Jid:
        """The hidden address of the phone itself."""
        return Jid(self.lid, LID_SERVER)

    def when_on(self, job: Callable[[], None]) -> None:
        """Let the phone do something with what the server has for it: now, or in this order when it is on again."""
        if self.off:
            self._waiting.append(job)
        else:
            job()

    def switch(self, *, on: bool) -> None:
        """Turn the phone on or off. What has come meanwhile it takes now, with delivery receipts and all."""
        self.off = not on
        jobs, self._waiting = (self._waiting, []) if on else ([], self._waiting)
        for job in jobs:
            job()

    @property
    def texts(self) -> list[str]:
        """The texts this phone got from others, in order of arrival."""
        return [message.text for message in self.received if message.kind == "text" and not message.own]

    @property
    def copies(self) -> list[str]:
        """The texts of its own linked devices that were copied to this phone."""
        return [message.text for message in self.received if message.kind == "text" and message.own]


@dataclass(slots=True)
class Group:
    """A group chat, or all that see each other's status (its ``server`` is ``broadcast`` then).

    Who has whose sender key is kept by address, as each client does.
    """

    id: str
    subject: str
    members: list[Account]
    lid_addressed: bool = False
    server: str = "g.us"
    has_sender_key: set[tuple[str, str]] = field(default_factory=set)

    @property
    def jid(self) -> Jid:
        """The group's address."""
        return Jid(self.id, self.server)


class State:
    """Everything the stand-in knows."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self.groups: dict[str, Group] = {}
        self.history: list[Fact] = []
        self.unhandled: list[str] = []
        self.dials: dict[str, int] = {}
        self.versions: dict[str, tuple[int, int, int]] = {}  # that each user's companion last announced

    def note(self, user: str, what: str, detail: str = "") -> None:
        """Add a line to the history."""
        self.history.append(Fact(time.time(), user or "-", what, detail))

    def note_dial(self, user: str) -> None:
        """Count a dial, whatever becomes of it."""
        self.dials[user] = self.dials.get(user, 0) + 1
        self.note(user, "dialled")

    @property
    def accounts(self) -> list[Account]:
        """Every account, each once."""
        return list(dict.fromkeys(self._accounts.values()))

    def account(self, name_or_number: str) -> Account:
        """The account of a name or phone number; a new one is made when there is none."""
        known = self.find(name_or_number)
        if known is not None:
            return known
        number = name_or_number if name_or_number.isdigit() else ""
        account = Account(name_or_number, number)
        for key in (account.name, account.number, account.lid):
            self._accounts[key] = account
        return account

    def find(self, name_number_or_lid: str) -> Account | None:
        """The account of a name, number or LID, or None."""
        return self._accounts.get(name_number_or_lid)

    def by_jid(self, jid: Jid) -> Account | None:
        """The account an address belongs to."""
        return self._accounts.get(jid.user)

    def device(self, user: str) -> Device | None:
        """The linked device of a wasess user id; the newest if there were several."""
        linked = [device for account in self.accounts for device in account.devices.values() if device.user == user]
        return linked[-1] if linked else None

    def device_at(self, jid: Jid) -> Device | None:
        """The linked device with this address, or None."""
        account = self.by_jid(jid)
        return account.devices.get(jid.device) if account else None

    def facts(self) -> dict[str, Any]:
        """The whole state as JSON-ready values, without keys."""
        return {
            "accounts": [
                {
                    "name": account.name,
                    "number": account.number,
                    "lid": account.lid,
                    "off": account.off,
                    "received": [message.facts() for message in account.received],
                    "delivery_receipts": len(account.delivery_receipts),
                    "devices": [_device(device) for device in account.devices.values()],
                }
                for account in self.accounts
            ],
            "groups": [
                {"id": group.id, "subject": group.subject, "members": [m.name for m in group.members]} for group in self.groups.values()
            ],
            "history": [asdict(fact) for fact in self.history],
            "unhandled": list(self.unhandled),
        }


def _device(device: Device) -> dict[str, Any]:
    return {
        "user": device.user,
        "jid": str(device.jid),
        "lid": str(device.lid),
        "online": device.online,
        "active": device.active,
        "logins": device.logins,
        "pings": device.pings,
        "pre_keys": len(device.prekeys),
        "pending": len(device.pending),
        "receipted": len(device.receipted),
        "seen": [asdict(seen) for seen in device.seen],
        "typing": [asdict(typing) for typing in device.typing],
    }
