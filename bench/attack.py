"""A contact who attacks a session, beside others who only want to talk. Lives in the stand-in's process (`bench.stand_in`).

What he chooses himself (ids, names, types, texts, what lies behind a file's address) is made of the library's and SQLite's own sentences, and of
what delimits them: a reader that can be steered by a sender is steered by some of it. All of it is what a contact can send, not a server.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from wasess.drill.stanzas import RECEIPTS
from wasess.sandbox import content, envelope
from wasess.sandbox.cdn import Behind
from wasess.sandbox.letter import Letter
from wasess.sandbox.nodes import Node
from wasess.sandbox.signal.party import Party
from wasess.sandbox.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.sandbox import Sandbox
    from wasess.sandbox.nodes import Attr
    from wasess.sandbox.state import Device

MALLORY = "mallory"
FRIEND = "dave"  # who writes to the attacked session
NEIGHBOUR = "carol"  # who writes to the other ones
FILE_BYTES = 250 << 20
CLAIMED = 1000
FILE_EVERY = 2.0  # seconds, at the most often
LOOKS_EVERY = 0.02

SENTENCES = (
    "database or disk is full",
    "database disk image is malformed",
    "file is not a database",
    "attempt to write a readonly database",
    "unable to open database file",
    "disk I/O error",
    "no such table: whatsmeow_sessions",
    "received message with old counter (current index: 9, received count: 3)",
    "failed to decrypt prekey message: no session found",
    "Error decrypting message 3EB0 from 4915100000000@s.whatsapp.net: database disk image is malformed",
    "Ignoring message 3EB0 from 4915100000000@s.whatsapp.net: received message with old counter",
    "Failed to store message secret key for 3EB0: disk I/O error",
    "Handler queue is full, message ordering is no longer guaranteed",
    "fatal error: concurrent map writes",
    "panic: runtime error: invalid memory address or nil pointer dereference",
    "WARN Client: Error decrypting message X from Y: file is not a database",
    '<receipt id="3EB0" to="4915100000000@s.whatsapp.net"/>',
)
# {word}: something of its own, {other}: an address of somebody else's, {sentence}: one of the above
FRAMES = (
    "{word}: {sentence} (",
    "{word}: {sentence}",
    "{word}: {sentence} (26)",
    "{word} from {other}: {sentence}",
    "{word}\n{sentence}\n",
    '{word}" to="{other}" type="{sentence}',
    "{word}'>{sentence}<",
    "{word}\x1b]52;c;{sentence}\x07",
)


@dataclass(frozen=True, slots=True)
class Attacker:
    """Who attacks whom, and with what dice. ``first``: somebody's first message to somebody else, as it should be."""

    box: Sandbox
    device: Device
    dice: Random
    first: bytes

    def words(self) -> str:
        """What a stranger may choose as an id, a name or a type."""
        dice = self.dice
        other = str(self.box.contact(FRIEND).jid)
        return dice.choice(FRAMES).format(word=f"{dice.randrange(16**12):012X}", other=other, sentence=dice.choice(SENTENCES))

    def message(self, *inside: Node, name: str = "", **changed: str) -> Node:
        """A message of his, with an id of his own choice."""
        author = self.box.contact(MALLORY)
        attrs: dict[str, Attr] = {"from": author.jid, "sender_lid": author.lid_jid, "id": name or self.words(), "type": "text"}
        return Node("message", {**attrs, "t": str(int(time.time())), "notify": self.words(), **changed}, list(inside))

    def sealed(self, padded: bytes) -> Node:
        """Something that the session can decrypt."""
        party, address = self.box.contact(MALLORY).party, self.device.address
        kind, data = party.encrypt(address, padded, None if party.has_session(address) else self.device.take_bundle())
        return Node("enc", {"v": "2", "type": kind}, data)


# --- what he sends --------------------------------------------------------------------------------------------------------


def _unknown_version(attacker: Attacker) -> Node:
    """A first message as it should be, but for its version: the library quotes the id, and a bracket ends its line."""
    version = attacker.dice.choice((0, 1, 2, 4, 5, 9, 15)) << 4 | 3
    return attacker.message(Node("enc", {"v": "2", "type": "pkmsg"}, bytes([version]) + attacker.first[1:]))


def _undecryptable(attacker: Attacker) -> Node:
    kind = attacker.dice.choice(("msg", "pkmsg", "skmsg"))
    return attacker.message(Node("enc", {"v": "2", "type": kind}, b"\x33" + attacker.dice.randbytes(120)))


def _odd_encryption(attacker: Attacker) -> Node:
    version, kind = attacker.dice.choice((("99", "msg"), ("2", attacker.words()), ("2", "rot13")))
    return attacker.message(Node("enc", {"v": version, "type": kind}, attacker.dice.randbytes(40)), type=attacker.words())


def _held(attacker: Attacker) -> Node:
    """A good message. Its receipt is waited for by its id."""
    name = attacker.dice.choice(('{}"', '{}" to="', "{}\n", "{}>", "{} x", "{}'", "é{}", '"{}')).format(
        f"{attacker.dice.randrange(16**16):016X}"
    )
    text = envelope.write_text(f"{MALLORY} {attacker.dice.randrange(10**9)}")
    attacker.box.service.post.archive.keep(Letter(name, attacker.box.contact(MALLORY), text, "pn"))  # for who asks for it again
    return attacker.message(attacker.sealed(text), name=name)


def _damaged_text(attacker: Attacker) -> Node:
    return attacker.message(
        attacker.sealed(
            attacker.dice.choice((b"\x01", b"\x04" * 4, b"\x0a\x04\xff\xfe\xfd\xfc\x01", attacker.dice.randbytes(60) + b"\x01"))
        )
    )


def _receipt(attacker: Attacker) -> Node:
    kind = attacker.dice.choice((*RECEIPTS, attacker.words()))
    attrs: dict[str, Attr] = {"from": attacker.box.contact(MALLORY).jid, "id": attacker.words(), "t": str(int(time.time()))}
    return Node("receipt", {**attrs, **({"type": kind} if kind else {})})


def _chat_state(attacker: Attacker) -> Node:
    state = attacker.dice.choice(("composing", "dancing", attacker.words()))
    return Node("chatstate", {"from": attacker.box.contact(MALLORY).jid}, [Node(state, {"media": attacker.words()})])


STANZAS: dict[str, Callable[[Attacker], Node]] = {
    "unknown versions": _unknown_version,
    "undecryptable": _undecryptable,
    "odd encryptions": _odd_encryption,
    "ids with a quote": _held,
    "damaged texts": _damaged_text,
    "receipts": _receipt,
    "chat states": _chat_state,
}
KEPT = frozenset({"ids with a quote", "damaged texts"})  # what the server keeps until its receipt has come; there is none for the others
FILES = "files of lying size"


def _post_file(attacker: Attacker) -> None:
    """A quarter of a gigabyte behind a message that speaks of a thousand bytes."""
    attacker.box.post(MALLORY, attacker.device.user, content.forged_file("document", bytes(CLAIMED), behind=Behind(FILE_BYTES)))


# --- orders ---------------------------------------------------------------------------------------------------------------


class Attacks:
    """``orders`` are for the stand-in's stdin.

    What waits in the stand-in itself, behind the attacker's stanzas for example, is no delay of wasess's: ``_left`` is when each message went out
    (its id, Unix time).
    """

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._left: dict[str, float] = {}
        self.orders: dict[str, Callable[..., Awaitable[Any]]] = {"attack": self._attack}

    async def _attack(self, user: str, others: list[str], seconds: float, rates: list[float], stanzas: int, seed: int) -> dict[str, Any]:
        """For so long, a friend writes to the user and a neighbour to the others (messages a second to each of them), and the attacker does his work.

        Returns the texts of both (each has the moment it was written) and when they left, how late they were written, and what was sent how often.
        """
        device = self._box.state.device(user)
        if device is None:
            raise ValueError(user)
        _, first = Party.create().encrypt("somebody", envelope.write_text("hello"), Party.create().bundle())
        attacker = Attacker(self._box, device, Random(seed), first)
        send, Wire.send = Wire.send, self._noting(Wire.send)  # type: ignore[method-assign]
        try:
            friend, neighbour, sent = await asyncio.gather(
                self._pace(FRIEND, [user], rates[0], seconds),
                self._pace(NEIGHBOUR, others, rates[1], seconds),
                self._send(attacker, stanzas, seconds),
            )
        finally:
            Wire.send = send  # type: ignore[method-assign]
        both = {"friend": friend, "neighbour": neighbour}
        left = {whose: {text: self._left.get(name, now) for text, now, _, name in written} for whose, written in both.items()}
        return {**left, "late": [late for _, _, late, _ in (*friend, *neighbour)], "sent": sent}

    def _noting(self, send: Callable[[Wire, Node], Awaitable[None]]) -> Callable[[Wire, Node], Awaitable[None]]:
        async def noting(wire: Wire, node: Node) -> None:
            if node.tag == "message":
                self._left.setdefault(node.text("id"), time.time())
            await send(wire, node)

        return noting

    async def _pace(self, contact: str, users: list[str], rate: float, seconds: float) -> list[tuple[str, float, float, str]]:
        """The texts, when each was written, by how much that was too late, and its id."""
        began, step, written = time.time(), 1 / (rate * len(users)), []
        for number in range(round(seconds / step)):
            due = began + number * step
            await asyncio.sleep(max(0.0, due - time.time()))
            now = time.time()
            text = f"{contact} {now:.6f}"
            written.append((text, now, now - due, self._box.say(contact, users[number % len(users)], text)))
        return written

    async def _send(self, attacker: Attacker, stanzas: int, seconds: float) -> dict[str, int]:
        """Evenly over the time. What is due while the session is away is sent when it is back, at once: so would a server."""
        sent: Counter[str] = Counter()
        kinds, began, next_file = list(STANZAS), time.monotonic(), 0.0
        for number in range(stanzas):
            due = began + number * seconds / stanzas
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            with suppress(TimeoutError):
                await self._box.until(lambda: attacker.device.online, max(LOOKS_EVERY, began + seconds - time.monotonic()))
            if time.monotonic() >= next_file:
                next_file = time.monotonic() + FILE_EVERY
                _post_file(attacker)
                sent[FILES] += 1
                continue
            kind = attacker.dice.choice(kinds)
            if kind in KEPT:
                self._box.service.post.delivery.deliver(attacker.device, STANZAS[kind](attacker))
            elif attacker.device.online:
                self._box.send_stanza(attacker.device.user, STANZAS[kind](attacker))
            else:
                continue
            sent[kind] += 1
        return dict(sent)
