"""The verbs: what a person with a phone, a contact, or a bad day can do to a session. Tests and the command line call these."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from wasess.sandbox import content as contents
from wasess.sandbox.adv import PairingRefused, QrCode
from wasess.sandbox.archive import Kept
from wasess.sandbox.chat import Chat
from wasess.sandbox.control import ControlSocket
from wasess.sandbox.faults import ONLY_LIVE, Fault, FaultBook, FaultError, parse_fault, strikes
from wasess.sandbox.gateway import Gateway
from wasess.sandbox.jid import LID_SERVER, STATUS, Jid
from wasess.sandbox.service import Service, strike
from wasess.sandbox.state import Account, Device, Group, State
from wasess.sandbox.trust import Trust
from wasess.sandbox.versions import CURRENT, parse_version, start_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.sandbox.cdn import Cdn
    from wasess.sandbox.chat import Addressing
    from wasess.sandbox.content import Content
    from wasess.sandbox.nodes import Node
    from wasess.sandbox.pairing import Pairing

CONTRACT_FILE = "contract.json"


class Sandbox:
    """A WhatsApp on loopback.

    ::

        async with Sandbox(directory) as box:
            ...                                   # start a client with WASESS_SANDBOX=box.contract_path
            await box.scan("alice", qr_text)
            sent = box.say("carol", "alice", "hello")
            box.post("carol", "alice", content.reaction("👍", sent))     # and whatever else wasess.sandbox.content makes

    ``directory`` gets the contract file, the throw-away CA, the control socket and the camera folder. ``claimed_pre_keys``
    is what the server says of a device that has uploaded none: 0, as WhatsApp does, makes the client upload 812 (2 s);
    more makes it upload 50. Every ``keepalive`` seconds the server pings each companion, and cuts off those that did not answer.
    """

    def __init__(self, directory: Path, *, claimed_pre_keys: int = 0, keepalive: float = 30.0) -> None:
        self.directory = directory
        self.state = State()
        self.faults = FaultBook()
        self.service = Service(self.state, self.faults, claimed_pre_keys, keepalive)
        self.direct_port = 0
        self.start_page: bytes | None = None
        """The whole HTTP answer to who asks for the web client's start page; None: a page that names the version that is wanted."""
        self._trust = Trust()
        self._gateway = Gateway(
            self._trust, self.faults, self.service.on_wire, self.state.note_dial, self.service.cdn.serve, self._show_start_page
        )
        self._control = ControlSocket(self, directory)
        self._phones: dict[str, Account] = {}

    @property
    def contract_path(self) -> Path:
        """The file that WASESS_SANDBOX names."""
        return self.directory / CONTRACT_FILE

    @property
    def root_key(self) -> str:
        """The Noise root key, 64 hex digits."""
        return self._trust.root_key_hex

    @property
    def ca_file(self) -> Path:
        """The CA that the companion must trust."""
        return self.directory / "ca.pem"

    @property
    def cdn(self) -> Cdn:
        """The file server: what it holds, and what was transferred."""
        return self.service.cdn

    async def __aenter__(self) -> Self:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        camera = self.directory / "camera"
        camera.mkdir(mode=0o700, exist_ok=True)
        self._trust.write_ca(self.ca_file)
        port = await self._gateway.start()
        self.direct_port = self._gateway.direct_port
        control = await self._control.start()
        contract = {
            "proxy": f"http://127.0.0.1:{port}",
            "ca_file": str(self.ca_file.resolve()),
            "root_key": self.root_key,
            "camera": str(camera.resolve()),
            "control": str(control),
            "direct_port": self.direct_port,
        }
        _write_private(self.contract_path, json.dumps(contract, indent=1) + "\n")
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.contract_path.unlink()
        shutil.rmtree(self.directory / "camera", ignore_errors=True)
        await self._control.close()
        await self._gateway.close()

    # --- the person with the phone ------------------------------------------------------------------------------

    async def scan(self, user: str, qr_text: str, *, phone: str = "") -> Device:
        """The phone scans a code that ``user``'s companion shows. ``phone``: a number; default: a phone of the user's own.

        Raises:
            PairingRefused: nobody shows this code, or the phone, the server or the companion says no.
        """
        code = QrCode.parse(qr_text)
        pairing = self.service.pairings.get(user)
        if pairing is None or not pairing.waits_at(code):
            raise PairingRefused(f"{user} shows no such code (any more)")
        return await self._linked(user, pairing.scan(self.phone(user, phone), code))

    async def enter_code(self, user: str, code: str, *, phone: str = "") -> Device:
        """The person types the 8-character code into the phone.

        Raises:
            PairingRefused: see `scan`.
        """
        pairing = self.service.pairings.get(user)
        if pairing is None:
            raise PairingRefused(f"{user} does not wait to be linked")
        return await self._linked(user, pairing.enter_code(code, self.state.account(phone) if phone else None))

    def phone(self, user: str, number: str = "") -> Account:
        """The account a user's companion is, or will be, linked to; of any other name: that contact's."""
        if number:
            return self.state.account(number)
        return self._phones.get(user) or self.state.account(user)

    def unlink(self, user: str) -> None:
        """The person removes this companion from "linked devices" on the phone."""
        self.service.remove(self._device(user))
        self.state.note(user, "unlinked")

    def ask_passkey(self, user: str) -> None:
        """WhatsApp asks the waiting companion for a passkey, which neonize can't give."""
        self._pairing(user).ask_passkey()

    # --- contacts ---------------------------------------------------------------------------------------------------

    def contact(self, name: str) -> Account:
        """A person with a phone; made on first mention."""
        return self.state.account(name)

    def say(self, contact: str, user: str, text: str, *, via: Addressing = "pn", message_id: str = "") -> str:
        """A contact writes to the account behind ``user``. Returns the message id, which is the contact's choice."""
        return self.service.post.write(self.contact(contact), self.phone(user), text, via, message_id)

    def post(self, contact: str, to: str, content: Content, *, via: Addressing = "pn") -> str:
        """A contact writes anything to the account behind a user, or in the group ``to`` (whose addressing counts). Returns the message id.

        Raises:
            ValueError: it is about a message that does not exist.
        """
        group = self._group_of(to)
        writer = self.contact(contact)
        readers = [self.phone(to)] if group is None else [member for member in group.members if member is not writer]
        if group is not None:
            via = "lid" if group.lid_addressed else "pn"
        chat = Chat(writer, tuple(readers), via, self.service.post.archive, self.service.cdn, self.phone, group)
        return self.service.post.post(chat, content)

    def receipt(self, contact: str, user: str, *ids: str, kind: str = "read", group: str = "") -> None:
        """A contact has ``read`` or ``played`` messages of a user's; without ids all that it got in their chat, or in a group.

        Raises:
            ValueError: there is no such message, or there is nothing to read.
        """
        reader, author = self.contact(contact), self.phone(user)
        place = self.group(group) if group else None
        found = ids or tuple(m.id for m in reader.received if (m.sender, m.group) == (author.number, place.id if place else ""))
        if not found:
            raise ValueError(f"{contact} has got nothing from {user}")
        first = self.service.post.archive.find(found[0])
        chat = first.chat if isinstance(first, Kept) else None
        by_lid = place.lid_addressed if place else chat is not None and chat.server == LID_SERVER
        for device in author.devices.values():
            sender = reader.lid_jid if by_lid else reader.jid
            self.service.post.delivery.receipt(device, sender, found, kind=kind, group=place.jid if place else None)

    def ask_again(self, contact: str, user: str, message_id: str, *, device: int = 0) -> None:
        """A contact's phone, or another ``device`` of the contact's, says that it can't decrypt this message of a user's (a retry receipt).

        Nobody looks whether there is such a message.
        """
        reader, author = self.contact(contact), self.phone(user)
        sender = Jid(reader.number, device=device)
        for companion in author.devices.values():
            self.service.post.delivery.ask_again(companion, sender, message_id, reader)

    def switch_phone(self, name: str, *, on: bool) -> None:
        """Turn a contact's or a user's phone off or on. One that is off gets nothing and gives no receipts until it is on again."""
        self.phone(name).switch(on=on)
        self.state.note(name, "phone-on" if on else "phone-off")

    def send_plaintext(self, contact: str, user: str, padded: bytes) -> str:
        """A contact's client sends something that no client sends: properly encrypted, but with this inside. Returns the message id."""
        return self.service.post.write_plaintext(self.contact(contact), self.phone(user), padded)

    def group(self, subject: str, *members: str, lid_addressed: bool = False) -> Group:
        """A group of contacts and users; made on first mention. Those of ``status@broadcast`` see each other's status."""
        known = self._group_of(subject)
        if known is not None:
            return known
        accounts = [self.phone(name) for name in members]
        jid = Jid.parse(STATUS) if subject == STATUS else Jid(f"12036300000000{len(self.state.groups):04d}", "g.us")
        group = Group(jid.user, subject, accounts, lid_addressed, jid.server)
        self.state.groups[group.id] = group
        return group

    def say_in_group(self, contact: str, subject: str, text: str) -> str:
        """A member writes to a group. Returns the message id."""
        self.group(subject)
        return self.post(contact, subject, contents.text(text))

    # --- bad days ------------------------------------------------------------------------------------------------------

    def fault(self, user: str, *words: str) -> Fault:
        """Break something for a user (``*``: for all), in the words of the command line: ``fault alice refuse connect seconds=45``.

        A fault that hits a live connection strikes now; any other waits for its moment. A black hole does both, unless it is for the live
        connection only (``freeze live``).

        Raises:
            ValueError: no such fault (the text lists what there is), or nothing live to strike.
        """
        fault = parse_fault(list(words))
        live = [connection for name, connection in self.service.connections.items() if user in (name, "*")]
        if not strikes(fault):
            self.faults.set(user, fault)
        elif fault.kind == "freeze" and fault.value != ONLY_LIVE:
            self.faults.set(user, replace(fault, kind="stall", phase="connect"))
        elif fault.kind == "thaw":
            self.faults.clear(user)
        elif not live:
            raise FaultError(f"{user} has no live connection that {fault.kind} could strike")
        if strikes(fault):
            for connection in live:
                strike(connection, fault)
        self.state.note(user, "fault", " ".join(words))
        return fault

    def clear(self, user: str) -> None:
        """End every fault that waits for this user."""
        self.faults.clear(user)

    def send_stanza(self, user: str, node: Node) -> None:
        """Send any stanza to a user's live connection."""
        self.service.connections[user].push(node)

    async def until(self, condition: Callable[[], Any], seconds: float = 10) -> None:
        """Wait until a condition on the facts holds.

        Raises:
            TimeoutError: it never did.
        """
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 -- the facts change in many places; a look is cheap
                await asyncio.sleep(0.005)

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _show_start_page(self, user: str) -> bytes:
        self.state.note(user, "start-page")
        wanted = self.faults.value(user, "outdated")
        page = start_page(parse_version(wanted) if wanted else CURRENT)
        return page if self.start_page is None else self.start_page

    def _group_of(self, subject: str) -> Group | None:
        return next((group for group in self.state.groups.values() if group.subject == subject), None)

    async def _linked(self, user: str, linking: Any) -> Device:
        try:
            device: Device = await linking
        except PairingRefused as refusal:
            self.state.note(user, "pairing-refused", str(refusal))
            raise
        self._phones[user] = device.account
        return device

    def _device(self, user: str) -> Device:
        device = self.state.device(user)
        if device is None:
            raise ValueError(f"{user} is not linked")
        return device

    def _pairing(self, user: str) -> Pairing:
        pairing = self.service.pairings.get(user)
        if pairing is None:
            raise ValueError(f"{user} does not wait to be linked")
        return pairing


def _write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, so that a reader sees the old or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
