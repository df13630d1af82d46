"""Whether a receiver on this machine may have the messages: a port is anybody's who takes it first, and so it must prove itself.

Asked of each new connection, before a byte of a message goes over it. One of these is enough:

- a unix socket, or its listener, that belongs to our own user or to root (SO_PEERCRED; nobody else can listen there in its name);
- a TCP listener of our own user or of root, as the kernel lists it in ``/proc/net/tcp``. Looked up is the other end of this very connection, by its
  four numbers. One that nobody has accepted yet has no owner there (inode 0): then every listener that it may belong to must be ours;
- the secret: wasess posts a challenge without any content, and the answer is signed with the same secret.

https needs none of it: there the certificate is the proof.

The challenge goes to a path of its own, for the webhook's path may hold a token::

    POST /.well-known/wasess-challenge
    webhook-id: chk_…   webhook-timestamp: …   webhook-signature: v1,…        (Standard Webhooks, as with a message)

    {"type": "challenge", "challenge": "32 hex digits", "receiver": "127.0.0.1:8000"}

The answer is a 200 with the body ``{"challenge": "the same"}``, and the same three headers over it, with the same ``webhook-id``. wasess itself never
signs such a body, so none of its own signatures can be sent back as an answer. ``receiver`` is where wasess believes to be: a receiver
that is elsewhere does not answer, or somebody in between could pass the challenge on to it.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import struct
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError

from wasess.delivery.signature import Signer
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wasess.delivery.webhook_spec import WebhookSpec

CHALLENGE_PATH = "/.well-known/wasess-challenge"
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENING = "0A"  # include/net/tcp_states.h
UNMAPPED = 65534  # how the kernel shows a user whom this user namespace does not have
ROOT = 0

Place = tuple[str, int]
"""An IP address and a port."""


class Listener(NamedTuple):
    """``refusal``: why it is not ours or root's; empty when it is, or not known. ``accepted``: it has taken the connection.

    Not ``known``: this machine has no other end of it. That is in another network name space; or the listener's queue was full, and the kernel has
    forgotten that it has agreed to a connection (tcp_syncookies): who listens when the first byte is sent will get it.
    """

    refusal: str
    known: bool
    accepted: bool


class Challenge:
    """One for each connection; ``now``: Unix time."""

    def __init__(self, spec: WebhookSpec, now: float) -> None:
        self._name, self._nonce = f"chk_{secrets.token_hex(16)}", secrets.token_hex(16)
        self._secrets = spec.secrets
        self.body = msgspec.json.encode({"type": "challenge", "challenge": self._nonce, "receiver": spec.authority})
        self.headers = [
            ("host", spec.authority),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            *Signer(spec.secrets).headers(self._name, now, self.body),
        ]

    def met(self, status: int, headers: dict[str, str], body: bytes) -> bool:
        """Whether this answer proves that the receiver knows a secret of ours."""
        if status != 200 or headers.get("webhook-id") != self._name:
            return False
        try:
            content = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        answer = content.get("challenge") if isinstance(content, dict) and "type" not in content else None
        if not isinstance(answer, str) or not hmac.compare_digest(answer.encode(), self._nonce.encode()):
            return False
        return any(_signed(secret, headers, body) for secret in self._secrets)


def _signed(secret: bytes, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def refusal_of_socket(path: str) -> str:
    """Say why the socket at ``path``, or the link to it, is not to be used; empty when it belongs to us or to root. Raises OSError."""
    owners = {os.stat(path, follow_symlinks=follow).st_uid for follow in (False, True)}  # noqa: PTH116 - a text, as the webhook's address has it
    foreign = [uid for uid in owners if not _trusted(uid)]
    return _("its socket belongs to another user ({uid})").format(uid=foreign[0]) if foreign else ""


def refusal_of_peer(peer: socket.socket) -> str:
    """Say why who listens at a connected unix socket is not to be asked; empty when it is us or root."""
    _pid, uid, _gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return "" if _trusted(uid) else _foreign(uid)


def listener_of(server: Place, client: Place, tables: Iterable[str] = TABLES) -> Listener:
    """Look up the other end of a connection; ``client`` is our own end."""
    found, accepted = set(), False
    for table in tables:
        owner, listeners = _owners(table, server, client)
        found |= listeners if owner is None else {owner}
        accepted |= owner is not None
    foreign = [uid for uid in found if not _trusted(uid)]
    return Listener(_foreign(foreign[0]) if foreign else "", known=bool(found), accepted=accepted)


def _owners(table: str, server: Place, client: Place) -> tuple[int | None, set[int]]:
    """Who has accepted this connection; without one who listens where it went to, if it is in this table. The kernel lists listeners first."""
    ends = {(_written(ours), _written(theirs)) for ours, theirs in zip(_forms(server), _forms(client), strict=True)}
    anywhere = {_written((str(type(ip_address(address))(0)), port)) for address, port in _forms(server)}
    listened = {ours for ours, _theirs in ends} | anywhere
    listeners: set[int] = set()
    for local, remote, state, uid, inode in _rows(table, server[1]):
        if state == LISTENING and local in listened:
            listeners.add(uid)
        elif (local, remote) in ends:
            return (uid, set()) if inode else (None, listeners)
    return None, set()


def _rows(table: str, port: int) -> Iterator[tuple[str, str, str, int, int]]:
    """Local and remote end, state, user and inode of each socket with this port. Without such a table there is none."""
    written = f":{port:04X} "
    try:
        with open(table, encoding="ascii") as lines:  # noqa: PTH123 - of the kernel, not of a home
            next(lines)
            for line in lines:
                if written not in line:
                    continue  # there may be a hundred thousand
                _number, local, remote, state, _queues, _timer, _again, uid, _timeout, inode, *_rest = line.split()
                yield local, remote, state, int(uid), int(inode)
    except (OSError, StopIteration):
        return


def _forms(place: Place) -> list[Place]:
    """An IPv4 place also as a socket of IPv6 has it."""
    address, port = place
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return [(str(found), port)] if found.version == 6 else [(str(found), port), (f"::ffff:{found}", port)]


def _written(place: Place) -> str:
    """As the kernel's tables have it: each 32 bits in the machine's own order."""
    packed = ip_address(place[0]).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{place[1]:04X}"


def _trusted(uid: int) -> bool:
    return uid != UNMAPPED and uid in {ROOT, os.geteuid()}


def _foreign(uid: int) -> str:
    return _("its listener belongs to another user ({uid})").format(uid=uid)


def place_of(name: Any) -> Place:
    """What a socket says of one of its ends, without scope and flow."""
    return str(name[0]).partition("%")[0], int(name[1])
