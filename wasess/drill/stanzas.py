"""Hostile stanzas: the 36 and the 8 receipts of FAULTS.md 5.4, and a few more. Each is a way to do it to a session."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wasess.errors import BadUserId
from wasess.sandbox.connection import SERVER
from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node
from wasess.sandbox.service import STRANGER
from wasess.store.sessions import parse_user_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from wasess.sandbox.nodes import Attr
    from wasess.sandbox.usecases import Sandbox

    Hostile = Callable[[Sandbox, str, str], None]

RECEIPTS = (
    "",
    "read",
    "read-self",
    "played",
    "played-self",
    "sender",
    "inactive",
    "peer_msg",
    "hist_sync",
    "retry",
    "server-error",
    "view",
    "no-such-type",
)
PLAINTEXTS = ("empty plaintext", "random protobuf", "bad padding", "only padding", "invalid UTF-8 in the body", "a body of 1 MB with NUL")


def accepted_as_user(name: str) -> bool:
    """Whether the name would be taken as a user id."""
    try:
        parse_user_id(name)
    except BadUserId:
        return False
    return True


def hostile(dice: Random) -> dict[str, Hostile]:
    """All of them by their names; what is random in them is of the dice."""
    crafted: dict[str, Hostile] = {name: _crafted(_plaintext(name, dice)) for name in PLAINTEXTS}
    bare: dict[str, Hostile] = {name: _bare(node) for name, node in _nodes(dice).items()}
    return {**crafted, **bare, **{f"receipt {kind or 'plain'}": _bare(_receipt(kind)) for kind in RECEIPTS}}


def _crafted(padded: bytes) -> Hostile:
    """Properly encrypted by a contact, with this inside."""

    def send(box: Sandbox, user: str, contact: str) -> None:
        box.send_plaintext(contact, user, padded)

    return send


def _bare(node: Node) -> Hostile:
    """As it is, on the live connection."""

    def send(box: Sandbox, user: str, _contact: str) -> None:
        box.send_stanza(user, node)

    return send


def _plaintext(name: str, dice: Random) -> bytes:
    """With its padding, where it has one."""
    body = {
        "empty plaintext": b"",
        "random protobuf": dice.randbytes(200) + b"\x01",
        "bad padding": b"\x0a\x02hi" + b"\xff",
        "only padding": b"\x04" * 4,
        "invalid UTF-8 in the body": b"\x0a\x04\xff\xfe\xfd\xfc" + b"\x01",
        "a body of 1 MB with NUL": b"\x0a\x80\x80\x40" + b"\x00" * (1 << 20) + b"\x01",
    }
    return body[name]


def _nodes(dice: Random) -> dict[str, Node]:
    return {**_messages(dice), **_notifications(), **_others()}


def _message(*content: Node, drop: str = "", sender: Attr = STRANGER, **changed: Attr) -> Node:
    attrs: dict[str, Attr] = {
        "from": sender,
        "id": f"HOSTILE{time.monotonic_ns()}",
        "type": "text",
        "t": str(int(time.time())),
        "notify": "stranger",
        **changed,
    }
    return Node("message", {name: value for name, value in attrs.items() if name != drop}, list(content))


def _messages(dice: Random) -> dict[str, Node]:
    random_text = Node("enc", {"v": "2", "type": "msg"}, dice.randbytes(120))
    random_first = Node("enc", {"v": "2", "type": "pkmsg"}, dice.randbytes(200))
    return {
        "random ciphertext": _message(random_text),
        "random pre-key message": _message(random_first),
        "random sender-key message": _message(Node("enc", {"v": "2", "type": "skmsg"}, dice.randbytes(90))),
        "no id": _message(random_text, drop="id"),
        "no from": _message(random_text, drop="from"),
        "from as text": _message(random_text, sender="not an address"),
        "a bad timestamp": _message(random_text, t="yesterday"),
        "a timestamp of the year 300000": _message(random_text, t="9999999999999"),
        "an unknown kind of encryption": _message(Node("enc", {"v": "2", "type": "rot13"}, b"uryyb")),
        "an unknown version of encryption": _message(Node("enc", {"v": "99", "type": "msg"}, b"hello")),
        "encryption without content": _message(Node("enc", {"v": "2", "type": "msg"})),
        "no encryption at all": _message(),
        "unavailable": _message(Node("unavailable", {"type": "view_once"})),
        "unavailable, hosted": _message(Node("unavailable", {"hosted": "true"})),
        "invalid UTF-8 in the push name": _message(random_text, notify=b"\xff\xfe".decode("utf-8", "surrogateescape")),
        "a status broadcast": _message(random_text, sender=Jid("status", "broadcast"), participant=STRANGER),
        "a group that does not exist": _message(random_text, sender=Jid("120363999999999999", "g.us"), participant=STRANGER),
        "a newsletter": _message(Node("plaintext", {}, b"\x0a\x02hi"), sender=Jid("120363999999999999", "newsletter"), server_id="x"),
    }


def _notifications() -> dict[str, Node]:
    kinds: dict[str, list[Node]] = {
        "w:gp2": [Node("no-such-change", {"x": "y"})],
        "picture": [Node("set", {"jid": "nobody", "id": "x"})],
        "account_sync": [Node("privacy", {}, [Node("category", {"name": "no-such", "value": "thing"})])],
        "devices": [Node("update", {"hash": "x"})],
        "encrypt": [Node("no-such-child")],
        "newsletter": [Node("live_updates", {}, [Node("messages", {"t": "x"})])],
        "mediaretry": [Node("rmr", {})],
        "privacy_token": [Node("tokens", {}, [Node("token", {"type": "trusted_contact"})])],
        "server_sync": [Node("collection", {"name": "no_such_collection", "version": "x"})],
        "no-such-notification": [],
    }
    found = {}
    for kind, content in kinds.items():
        attrs: dict[str, Attr] = {
            "from": SERVER if kind in {"encrypt", "account_sync", "server_sync"} else STRANGER,
            "type": kind,
            "t": "0",
        }
        found[f"notification {kind}"] = Node("notification", {**attrs, "id": f"N{time.monotonic_ns()}"}, content)
    return found


def _others() -> dict[str, Node]:
    return {
        "an odd presence": Node("presence", {"from": STRANGER, "type": "sleepwalking", "last": "deny-ish"}),
        "an odd call": Node("call", {"from": STRANGER, "id": "C1", "t": "x"}, [Node("no-such-offer", {"call-id": "1"})]),
        "a call of nothing": Node("call", {"from": STRANGER, "id": "C2", "t": "0"}),
        "an odd chat state": Node("chatstate", {"from": STRANGER}, [Node("dancing")]),
        "a chat state of nothing": Node("chatstate", {"from": STRANGER}),
        "an odd count of offline messages": Node("ib", {"from": SERVER}, [Node("offline", {"count": "many"})]),
        "an odd preview of offline messages": Node("ib", {"from": SERVER}, [Node("offline_preview", {"count": "-1", "message": "x"})]),
        "a second success": Node("success", {"t": str(int(time.time())), "props": "0", "abprops": "0", "location": "sandbox"}),
        "a stream error without a code": Node("stream:error", {}),
        "an unknown tag": Node("no-such-tag", {"a": "b"}, [Node("c")]),
        "an iq that nobody asked for": Node("iq", {"from": SERVER, "type": "result", "id": "nobody-asked"}),
        "an iq that asks for nothing": Node("iq", {"from": SERVER, "type": "get", "id": "q1", "xmlns": "no-such"}),
        "an ack of nothing": Node("ack", {"from": STRANGER, "id": "A1", "class": "no-such-class"}),
    }


def _receipt(kind: str) -> Node:
    attrs: dict[str, Attr] = {"from": STRANGER, "id": f"R{kind.upper() or 'PLAIN'}", "t": str(int(time.time()))}
    return Node("receipt", {**attrs, **({"type": kind} if kind else {})})
