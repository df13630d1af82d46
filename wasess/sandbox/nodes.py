"""WhatsApp's binary XML: stanzas as values, and their wire form.

A stanza on the wire is one flag byte (bit 1: the rest is zlib) and one node. A node is a list: its tag, its attributes as alternating
keys and values, and, when the size is even, its content. Frequent strings are one or two bytes out of a fixed dictionary (tokens.json,
made by tools/derive_tokens.py); digits and upper-case hex go two characters to a byte. The markers below are those of whatsmeow's
binary/token/token.go, whose dictionary version is the same 3.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

from wasess.sandbox.jid import LID_SERVER, USER_SERVER, Jid

LIST_EMPTY: Final = 0
DICTIONARY_0: Final = 236
DICTIONARY_3: Final = 239
INTEROP_JID: Final = 245
FB_JID: Final = 246
AD_JID: Final = 247
LIST_8: Final = 248
LIST_16: Final = 249
JID_PAIR: Final = 250
HEX_8: Final = 251
BINARY_8: Final = 252
BINARY_20: Final = 253
BINARY_32: Final = 254
NIBBLE_8: Final = 255

COMPRESSED: Final = 2
MAX_STANZA: Final = 1 << 24  # the frame limit of the socket below; also a bound on what zlib may unfold
MAX_DEPTH: Final = 64

# The domain byte of an AD_JID. The hosted servers have no other form on the wire, whatever the device.
DOMAINS: Final = {0: USER_SERVER, 1: LID_SERVER, 128: "hosted", 129: "hosted.lid"}
DOMAIN_OF: Final = {server: domain for domain, server in DOMAINS.items()}
ALWAYS_AD: Final = ("hosted", "hosted.lid")
MESSENGER: Final = "msgr"
INTEROP: Final = "interop"

NIBBLES: Final = re.compile(r"[0-9.-]{1,127}")
HEX: Final = re.compile(r"[0-9A-F]{1,127}")
NIBBLE_TO_HEX: Final = str.maketrans("-.", "ab")
HEX_TO_NIBBLE: Final = str.maketrans("ab", "-.")


class NodeError(ValueError):
    """Bytes that are no stanza, or a node that has no wire form."""


_Octets = bytes  # the class below has a property called bytes
Attr = str | Jid | int
Content = None | _Octets | list["Node"]


@dataclass(slots=True)
class Node:
    """One stanza or a part of one.

    An attribute that is a `Jid` travels as an address, one that is a `str` or an `int` as text: the clients tell the two apart.
    Decoded attributes are `str` or `Jid`, decoded text content is UTF-8 bytes.
    """

    tag: str
    attrs: dict[str, Attr] = field(default_factory=dict)
    content: Content = None

    def child(self, tag: str) -> Node | None:
        """Return the first child of that name."""
        return next(iter(self.children(tag)), None)

    def children(self, tag: str | None = None) -> list[Node]:
        """Return the children, all or those of that name; content that is bytes has none."""
        nodes = self.content if isinstance(self.content, list) else []
        return [node for node in nodes if tag is None or node.tag == tag]

    def text(self, attr: str, default: str = "") -> str:
        """Return an attribute as text, an address in its text form."""
        return str(self.attrs.get(attr, default))

    @property
    def bytes(self) -> _Octets:
        """The content when it is bytes, else nothing."""
        return self.content if isinstance(self.content, _Octets) else b""


def encode(node: Node) -> bytes:
    """Return the wire form of a stanza, uncompressed, with its flag byte.

    Raises:
        NodeError: the node has an empty tag, or an address or size that the wire format can't hold.
    """
    out = bytearray(b"\0")
    _write_node(out, node)
    return bytes(out)


def decode(data: bytes) -> Node:
    """Read the wire form of one stanza, with its flag byte.

    Raises:
        NodeError: the bytes are cut off, left over, nested too deeply, too many, or not of this format.
    """
    if not data:
        raise NodeError("an empty stanza")
    reader = _Reader(_inflate(data[1:]) if data[0] & COMPRESSED else data[1:])
    try:
        node = reader.node()
    except UnicodeDecodeError as error:
        raise NodeError(f"a string is not UTF-8: {error}") from error
    if reader.position != len(reader.data):
        raise NodeError(f"{len(reader.data) - reader.position} bytes are left over after the stanza")
    return node


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, MAX_STANZA)
    except zlib.error as error:
        raise NodeError(f"the compressed stanza is damaged: {error}") from error
    if not stream.eof:
        raise NodeError("the compressed stanza is cut off or too big")
    return plain


def _load_tokens() -> tuple[list[str], list[list[str]]]:
    table = json.loads(resources.files(__package__).joinpath("tokens.json").read_text(encoding="utf-8"))
    return table["single"], table["double"]


SINGLE, DOUBLE = _load_tokens()
TOKENS: Final = {token: bytes((DICTIONARY_0 + page, index)) for page, tokens in enumerate(DOUBLE) for index, token in enumerate(tokens)} | {
    token: bytes((index,)) for index, token in enumerate(SINGLE) if token
}


def _write_node(out: bytearray, node: Node) -> None:
    if not node.tag:
        raise NodeError("a node needs a tag")
    _write_list_size(out, 1 + 2 * len(node.attrs) + (node.content is not None))
    _write_string(out, node.tag)
    for key, value in node.attrs.items():
        _write_string(out, key)
        if isinstance(value, Jid):
            _write_jid(out, value)
        else:
            _write_string(out, str(value))
    if isinstance(node.content, list):
        _write_list_size(out, len(node.content))
        for child in node.content:
            _write_node(out, child)
    elif node.content is not None:
        _write_binary(out, node.content)


def _write_list_size(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(LIST_EMPTY)
    elif size < 1 << 8:
        out += bytes((LIST_8, size))
    elif size < 1 << 16:
        out.append(LIST_16)
        out += size.to_bytes(2)
    else:
        raise NodeError(f"a list of {size} items has no wire form")


def _write_binary(out: bytearray, data: bytes) -> None:
    size = len(data)
    if size < 1 << 8:
        out += bytes((BINARY_8, size))
    elif size < 1 << 20:
        out.append(BINARY_20)
        out += size.to_bytes(3)
    else:
        out.append(BINARY_32)
        out += size.to_bytes(4)
    out += data


def _write_string(out: bytearray, text: str) -> None:
    token = TOKENS.get(text)
    if token is not None:
        out += token
    elif NIBBLES.fullmatch(text):
        _write_packed(out, NIBBLE_8, text.translate(NIBBLE_TO_HEX))
    elif HEX.fullmatch(text):
        _write_packed(out, HEX_8, text)
    else:
        _write_binary(out, text.encode(errors="surrogateescape"))


def _write_packed(out: bytearray, marker: int, digits: str) -> None:
    odd = len(digits) % 2
    packed = bytes.fromhex(digits + "f" * odd)
    out += bytes((marker, len(packed) | odd << 7))
    out += packed


def _write_jid(out: bytearray, jid: Jid) -> None:
    domain = DOMAIN_OF.get(jid.server)
    if domain is not None and (jid.device or jid.server in ALWAYS_AD):
        if not 0 <= jid.device < 1 << 8:
            raise NodeError(f"device {jid.device} has no wire form")
        out += bytes((AD_JID, domain, jid.device))
        _write_string(out, jid.user)
        return
    if jid.server == MESSENGER:
        out.append(FB_JID)
        _write_string(out, jid.user)
        out += jid.device.to_bytes(2)
    elif jid.device:
        raise NodeError(f"addresses on {jid.server} have no device")
    else:
        out.append(JID_PAIR)
        if jid.user:
            _write_string(out, jid.user)
        else:
            out.append(LIST_EMPTY)
    _write_string(out, jid.server)


class _Reader:
    """Reads one stanza from its first byte on; every method takes what it returns off the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def node(self, depth: int = 0) -> Node:
        if depth > MAX_DEPTH:
            raise NodeError("the stanza is nested too deeply")
        size = self._list_size(self._integer(1))
        tag = self._string() if size else ""
        if not tag:
            raise NodeError("a node without a tag")
        attrs: dict[str, Attr] = {}
        for _ in range((size - 1) // 2):
            key = self._string()
            attrs[key] = self._value(self._integer(1))
        return Node(tag, attrs, self._content(depth) if size % 2 == 0 else None)

    def _content(self, depth: int) -> Content:
        marker = self._integer(1)
        if marker in {LIST_EMPTY, LIST_8, LIST_16}:
            return [self.node(depth + 1) for _ in range(self._list_size(marker))]
        if marker in {BINARY_8, BINARY_20, BINARY_32}:
            return self._binary(marker)
        return str(self._value(marker)).encode()

    def _string(self) -> str:
        value = self._value(self._integer(1))
        if isinstance(value, Jid):
            raise NodeError("an address where only text can stand")
        return value

    def _value(self, marker: int) -> str | Jid:
        if marker == LIST_EMPTY:
            return ""
        if marker < len(SINGLE):
            return SINGLE[marker]
        if DICTIONARY_0 <= marker <= DICTIONARY_3:
            return DOUBLE[marker - DICTIONARY_0][self._integer(1)]
        if marker in {BINARY_8, BINARY_20, BINARY_32}:
            return self._binary(marker).decode()
        if marker in {NIBBLE_8, HEX_8}:
            return self._packed(marker)
        return self._jid(marker)

    def _jid(self, marker: int) -> Jid:
        if marker == JID_PAIR:
            return Jid(self._string(), self._server())
        if marker == AD_JID:
            domain, device = self._integer(1), self._integer(1)
            if domain not in DOMAINS:
                raise NodeError(f"an address of the unknown domain {domain}")
            return Jid(self._string(), DOMAINS[domain], device)
        if marker == FB_JID:
            user, device = self._string(), self._integer(2)
            return Jid(user, self._server(MESSENGER), device)
        if marker == INTEROP_JID:  # the network it comes from is put before the user, as Baileys writes it
            user, device, network = self._string(), self._integer(2), self._integer(2)
            return Jid(f"{network}-{user}", self._server(INTEROP), device)
        raise NodeError(f"{marker} starts no value, at byte {self.position}")

    def _server(self, expected: str = "") -> str:
        server = self._string()
        if not server or server != (expected or server):
            raise NodeError(f"an address on the server {server!r}")
        return server

    def _packed(self, marker: int) -> str:
        head = self._integer(1)
        digits = self._take(head & 0x7F).hex()
        if head >> 7:
            digits = digits[:-1]
        if marker == HEX_8:
            return digits.upper()
        text = digits.translate(HEX_TO_NIBBLE)
        if text and not all(character in "0123456789-." for character in text):
            raise NodeError("packed digits hold something else")
        return text

    def _list_size(self, marker: int) -> int:
        if marker == LIST_EMPTY:
            return 0
        if marker not in {LIST_8, LIST_16}:
            raise NodeError(f"{marker} starts no list, at byte {self.position}")
        return self._integer(1 if marker == LIST_8 else 2)

    def _binary(self, marker: int) -> bytes:
        if marker == BINARY_20:
            return self._take(self._integer(3) & 0xFFFFF)
        return self._take(self._integer(1 if marker == BINARY_8 else 4))

    def _integer(self, size: int) -> int:
        return int.from_bytes(self._take(size))

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise NodeError("the stanza is cut off")
        taken = self.data[self.position : end]
        self.position = end
        return taken
