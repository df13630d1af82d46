"""What the server answers when a companion asks: pre-keys, users, groups, where files are (PROTOCOL.md §3 and §4)."""

from __future__ import annotations

import time
from hashlib import sha1
from typing import TYPE_CHECKING

from wasess.sandbox.cdn import TTL
from wasess.sandbox.jid import USER_SERVER, Jid
from wasess.sandbox.nodes import Attr, Node
from wasess.sandbox.signal.session import PreKeyBundle
from wasess.sandbox.trust import MEDIA_HOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.sandbox.cdn import Cdn
    from wasess.sandbox.connection import Connection
    from wasess.sandbox.state import Account, Device, State

SETTINGS = {
    "abt": Node("props", {"protocol": "1"}),
    "blocklist": Node("list"),
    "privacy": Node(
        "privacy",
        {},
        [
            Node("category", {"name": name, "value": "all"})
            for name in ("last", "online", "profile", "status", "readreceipts", "groupadd", "calladd")
        ],
    ),
}
"""Every account's: no experiments, nobody blocked, everything visible to all. Changes are accepted and forgotten."""


class Answers:
    """Answers a logged-in companion's iqs. ``remove`` is called when the companion logs itself out."""

    def __init__(self, state: State, cdn: Cdn, remove: Callable[[Device], None], claimed_pre_keys: int = 0) -> None:
        self._state = state
        self._cdn = cdn
        self._remove = remove
        self._claimed_pre_keys = claimed_pre_keys
        self._by_namespace: dict[str, Callable[[Connection, Device, Node], None]] = {
            "encrypt": self._encrypt,
            "passive": self._passive,
            "usync": self._usync,
            "w:g2": self._groups,
            "w:m": self._media,
            "md": self._linked_devices,
            **dict.fromkeys(SETTINGS, self._settings),
        }

    def answer(self, connection: Connection, device: Device, node: Node) -> None:
        """Answer any iq; one that nobody knows gets an empty result and is noted."""
        namespace = node.text("xmlns")
        handler = self._by_namespace.get(namespace)
        if handler is not None:
            handler(connection, device, node)
            return
        if namespace in ("w:p", "urn:xmpp:ping"):
            device.pings += 1
        else:
            self._state.unhandled.append(f"iq {node.text('type')} {namespace}")
        connection.result(node)

    def _encrypt(self, connection: Connection, device: Device, node: Node) -> None:
        if node.child("count") is not None:
            known = len(device.prekeys) or (0 if device.prekeys_used else self._claimed_pre_keys)
            connection.result(node, Node("count", {"value": str(known)}))
        elif (wanted := node.child("key")) is not None:
            connection.result(node, Node("list", {}, [self._bundle(user) for user in wanted.children("user")]))
        elif node.child("digest") is not None:
            connection.result(node, _digest(device))
        elif (keys := node.child("list")) is not None:
            self._store_keys(device, node, keys)
            connection.result(node)
        else:
            signed = node.child("skey") or (rotate.child("skey") if (rotate := node.child("rotate")) else None)
            if signed is not None:
                device.signed_prekey = (*_key(signed), _content(signed, "signature"))
            connection.result(node)

    def _store_keys(self, device: Device, node: Node, keys: Node) -> None:
        known = {key_id for key_id, _ in device.prekeys} | device.prekeys_used
        fresh = [_key(key) for key in keys.children("key")]
        device.prekeys.extend(key for key in fresh if key[0] not in known)
        signed = node.child("skey")
        if signed is not None:
            device.signed_prekey = (*_key(signed), _content(signed, "signature"))
        device.registration_id = int.from_bytes(_content(node, "registration"))
        self._state.note(device.user, "pre-keys-uploaded", str(len(fresh)))

    def _bundle(self, user: Node) -> Node:
        jid = user.attrs.get("jid")
        account = self._state.by_jid(jid) if isinstance(jid, Jid) else None
        if account is None or not isinstance(jid, Jid):
            return Node("user", dict(user.attrs), [Node("error", {"code": "404", "text": "item-not-found"})])
        if jid.device == 0:
            return bundle_node(jid, account.party.bundle())
        device = account.devices.get(jid.device)
        if device is None:
            return Node("user", dict(user.attrs), [Node("error", {"code": "406", "text": "not-acceptable"})])
        return bundle_node(jid, device.take_bundle(), device.signed_identity)

    def _passive(self, connection: Connection, device: Device, node: Node) -> None:
        device.active = node.child("active") is not None
        self._state.note(device.user, "active" if device.active else "passive")
        connection.result(node)

    def _settings(self, connection: Connection, device: Device, node: Node) -> None:  # noqa: ARG002 -- same shape as its siblings
        connection.result(node, *([SETTINGS[node.text("xmlns")]] if node.text("type") == "get" else []))

    def _usync(self, connection: Connection, device: Device, node: Node) -> None:  # noqa: ARG002 -- same shape as its siblings
        query = node.child("usync")
        wanted, users = (query.child("query"), query.child("list")) if query else (None, None)
        if query is None or wanted is None or users is None:
            connection.error(node, 400, "bad-request")
            return
        protocols = [part.tag for part in wanted.children()]
        answers = [self._user(user, protocols) for user in users.children("user")]
        attrs: dict[str, Attr] = {key: query.text(key) for key in ("sid", "mode", "context") if query.text(key)}
        attrs |= {"index": "0", "last": "true"}
        connection.result(node, Node("usync", attrs, [Node("result"), Node("list", {}, answers)]))

    def _user(self, user: Node, protocols: list[str]) -> Node:
        asked = user.attrs.get("jid")
        contact = user.child("contact")
        number = contact.bytes.decode(errors="replace").partition("@")[0].lstrip("+") if contact else ""
        account = self._state.by_jid(asked) if isinstance(asked, Jid) else self._state.find(number)
        if account is None:
            absent = [Node("contact", {"type": "out"})] if "contact" in protocols else []
            return Node("user", {"jid": asked if isinstance(asked, Jid) else Jid(number)}, absent)
        jid = asked.bare if isinstance(asked, Jid) else account.jid
        makers = {
            "devices": lambda: _devices(account),
            "contact": lambda: Node("contact", {"type": "in"}, contact.bytes if contact else None),
            "status": lambda: Node("status", {}, b""),
        }
        if jid.server == USER_SERVER:  # asked by its LID, a user has no pair to tell: both clients would file the LID as a phone number
            makers["lid"] = lambda: Node("lid", {"val": account.lid_jid})
        return Node("user", {"jid": jid}, [makers[name]() for name in protocols if name in makers])

    def _media(self, connection: Connection, device: Device, node: Node) -> None:  # noqa: ARG002 -- same shape as its siblings
        attrs: dict[str, Attr] = {"auth": self._cdn.auth, "ttl": str(TTL), "auth_ttl": str(TTL), "max_buckets": "12"}
        connection.result(node, Node("media_conn", attrs, [Node("host", {"hostname": MEDIA_HOST})]))

    def _groups(self, connection: Connection, device: Device, node: Node) -> None:
        if node.child("participating") is not None:
            joined = [self._group(group.id) for group in self._state.groups.values() if device.account in group.members]
            connection.result(node, Node("groups", {}, joined))
            return
        group = self._state.groups.get(node.text("to").partition("@")[0])
        if group is None:
            connection.error(node, 404, "item-not-found")
        elif device.account not in group.members:
            connection.error(node, 403, "forbidden")
        else:
            connection.result(node, self._group(group.id))

    def _group(self, group_id: str) -> Node:
        group = self._state.groups[group_id]
        members = [_member(member, by_lid=group.lid_addressed, first=index == 0) for index, member in enumerate(group.members)]
        mode = "lid" if group.lid_addressed else "pn"
        creator = group.members[0].lid_jid if group.lid_addressed else group.members[0].jid
        now = str(int(time.time()))
        attrs: dict[str, Attr] = {
            "id": group.id,
            "subject": group.subject,
            "creation": now,
            "s_t": now,
            "creator": creator,
            "addressing_mode": mode,
        }
        return Node("group", attrs, members)

    def _linked_devices(self, connection: Connection, device: Device, node: Node) -> None:
        connection.result(node)
        if node.child("remove-companion-device") is not None:
            self._state.note(device.user, "logged-out-by-client")
            self._remove(device)


def _member(member: Account, *, by_lid: bool, first: bool) -> Node:
    role: dict[str, Attr] = {"type": "superadmin"} if first else {}
    if by_lid:
        return Node("participant", {"jid": member.lid_jid, "phone_number": member.jid, **role})
    return Node("participant", {"jid": member.jid, "lid": member.lid_jid, **role})


def _devices(account: Account) -> Node:
    listed = [Node("device", {"id": "0"})]
    listed += [Node("device", {"id": str(number), "key-index": str(number)}) for number in account.devices]
    return Node("devices", {"version": "2"}, [Node("device-list", {}, listed)])


def _digest(device: Device) -> Node:
    """What the server keeps of a device's keys, and a hash over it, from which a companion sees whether it must upload them again.

    Baileys asks for it at every login, and uploads more when there is none; the fields are those that whatsapp-rust reads.
    """
    signed_id, signed, signature = device.signed_prekey
    bundle = PreKeyBundle(
        registration_id=device.registration_id,
        identity=device.identity,
        signed_prekey_id=signed_id,
        signed_prekey=signed,
        signature=signature,
        prekey_id=None,
        prekey=None,
    )
    key_ids = [Node("id", {}, key_id.to_bytes(3)) for key_id, _ in device.prekeys]
    hashed = sha1(b"".join((device.identity, signed, signature, *(key for _, key in device.prekeys))), usedforsecurity=False)
    return Node("digest", {}, [*bundle_node(device.jid, bundle).children(), Node("list", {}, key_ids), Node("hash", {}, hashed.digest())])


def _key(node: Node) -> tuple[int, bytes]:
    return int.from_bytes(_content(node, "id")), _content(node, "value")


def _content(node: Node, tag: str) -> bytes:
    child = node.child(tag)
    return child.bytes if child is not None else b""


def bundle_node(jid: Jid, bundle: PreKeyBundle, signed_identity: bytes = b"") -> Node:
    """A pre-key bundle as the answer to ``<key><user jid/></key>`` (whatsmeow prekeys.go)."""
    signed = Node(
        "skey",
        {},
        [
            Node("id", {}, bundle.signed_prekey_id.to_bytes(3)),
            Node("value", {}, bundle.signed_prekey),
            Node("signature", {}, bundle.signature),
        ],
    )
    content = [
        Node("registration", {}, bundle.registration_id.to_bytes(4)),
        Node("type", {}, b"\x05"),
        Node("identity", {}, bundle.identity),
        signed,
    ]
    if bundle.prekey_id is not None and bundle.prekey is not None:
        content.append(Node("key", {}, [Node("id", {}, bundle.prekey_id.to_bytes(3)), Node("value", {}, bundle.prekey)]))
    if signed_identity:
        content.append(Node("device-identity", {}, signed_identity))
    return Node("user", {"jid": jid}, content)
