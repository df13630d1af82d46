from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.sandbox import nodes
from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node, NodeError, decode, encode

WORDS = st.one_of(
    st.sampled_from(sorted(nodes.TOKENS)),
    st.text("0123456789-.", min_size=1, max_size=140),
    st.text("0123456789ABCDEF", min_size=1, max_size=140),
    st.text(min_size=1, max_size=300),
)
USERS = st.one_of(st.text("0123456789", min_size=1, max_size=20), st.text(min_size=1, max_size=20))
JIDS = st.one_of(
    st.builds(Jid, USERS, st.sampled_from(["s.whatsapp.net", "lid", "hosted", "hosted.lid"]), st.integers(0, 255)),
    st.builds(Jid, USERS, st.just("msgr"), st.integers(0, 65535)),
    st.builds(Jid, st.just("") | USERS, st.sampled_from(["s.whatsapp.net", "lid", "g.us", "broadcast", "newsletter"])),
)
ATTRS = st.dictionaries(WORDS, st.just("") | WORDS | JIDS, max_size=5)
LEAVES = st.builds(Node, WORDS, ATTRS, st.none() | st.binary(max_size=600))
TREES = st.recursive(LEAVES, lambda inner: st.builds(Node, WORDS, ATTRS, st.lists(inner, max_size=4)), max_leaves=12)


@given(TREES)
def test_what_is_encoded_is_decoded(node):
    assert decode(encode(node)) == node


@given(st.binary(max_size=200))
def test_any_bytes_are_a_stanza_or_an_error(data):
    with contextlib.suppress(NodeError):
        decode(data)


@given(TREES, st.data())
def test_a_stanza_cut_anywhere_is_an_error(node, data):
    wire = encode(node)
    with pytest.raises(NodeError):
        decode(wire[: data.draw(st.integers(0, len(wire) - 1))])


@pytest.mark.parametrize("size", [0, 255, 256, (1 << 20) - 1, 1 << 20])
def test_content_of_every_length_class(size):
    node = Node("enc", {}, b"\x07" * size)
    assert decode(encode(node)) == node


@pytest.mark.parametrize("count", [0, 1, 255, 256, 70_000])
def test_lists_of_every_length_class(count):
    node = Node("list", {}, [Node("item")] * count)
    if count < 1 << 16:
        assert decode(encode(node)) == node
    else:
        with pytest.raises(NodeError, match="70000"):
            encode(node)


# Written by hand from whatsmeow's binary/encoder.go and binary/token/token.go, not by this encoder.
@pytest.mark.parametrize(
    ("node", "wire"),
    [
        (Node("xmlstreamend"), "00 f8 01 02"),
        (Node("iq", {"from": Jid("")}), "00 f8 03 19 06 fa 00 03"),
        (Node("iq", {"from": Jid("123")}), "00 f8 03 19 06 fa ff 82 12 3f 03"),
        (Node("iq", {"from": Jid("1234", device=7)}), "00 f8 03 19 06 f7 00 07 ff 02 12 34"),
        (Node("iq", {"from": Jid("1234", "lid", 7)}), "00 f8 03 19 06 f7 01 07 ff 02 12 34"),
        (Node("iq", {"id": "1.2-3"}), "00 f8 03 19 08 ff 83 1b 2a 3f"),
        (Node("iq", {"id": "AB12C"}), "00 f8 03 19 08 fb 83 ab 12 cf"),
        (Node("iq", {"id": "zq"}), "00 f8 03 19 08 fc 02 7a 71"),
        (Node("read-self", {}, b"\x01\x02"), "00 f8 02 ec 00 fc 02 01 02"),
        (Node("iq", {}, [Node("active")]), "00 f8 02 19 f8 01 f8 01 ec 01"),
    ],
)
def test_known_bytes(node, wire):
    assert encode(node) == bytes.fromhex(wire)
    assert decode(bytes.fromhex(wire)) == node


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("f6 ff 01 12 01 00 fc 04 6d 73 67 72", Jid("12", "msgr", 256)),
        ("f5 ff 01 12 00 02 00 03 fc 07 69 6e 74 65 72 6f 70", Jid("3-12", "interop", 2)),
        ("f7 80 63 ff 01 12", Jid("12", "hosted", 99)),
        ("f7 81 00 ff 01 12", Jid("12", "hosted.lid")),
    ],
)
def test_rare_addresses_are_read(wire, value):
    assert decode(bytes.fromhex("00 f8 03 19 06" + wire)).attrs["from"] == value


def test_text_content_arrives_as_bytes():
    assert decode(bytes.fromhex("00 f8 02 19 03")).bytes == b"s.whatsapp.net"


def test_an_int_travels_as_text():
    assert decode(encode(Node("count", {"value": 812}))).attrs == {"value": "812"}


def test_a_compressed_stanza_is_read():
    plain = encode(Node("iq", {"id": "1"}))
    assert decode(b"\x02" + zlib.compress(plain[1:])) == Node("iq", {"id": "1"})


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\0",
        b"\x02not zlib",
        b"\x02" + zlib.compress(b"\xf8\x01\x02")[:-3],
        b"\x02" + zlib.compress(bytes(nodes.MAX_STANZA + 1)),
        b"\0\xf8\x01\x02\x02",  # left over
        b"\0\xf8\x00",  # no tag
        b"\0\xf8\x01\xfc\x00",  # an empty tag
        b"\0\xf8\x01\xf0",  # 240 is no marker
        b"\0\xf8\x01\xfa\x00\x03",  # an address as the tag
        b"\0\xf8\x03\x19\x06\xfa\xff\x01\x12\x00",  # an address without a server
        b"\0\xf8\x03\x19\x06\xf7\x02\x00\xff\x01\x12",  # an unknown domain
        b"\0\xf8\x01\xfc\x01\xff",  # not UTF-8
        b"\0\xf8\x01\xff\x01\x1c",  # 12 is no nibble
        b"\0" + b"\xf8\x02\x19\xf8\x01" * 100 + b"\xf8\x01\x19",  # nested too deeply
    ],
    ids=range(15),
)
def test_what_is_no_stanza_is_refused(wire):
    with pytest.raises(NodeError):
        decode(wire)


@pytest.mark.parametrize("node", [Node(""), Node("a", {"to": Jid("1", device=256)}), Node("a", {"to": Jid("1", "g.us", 2)})])
def test_what_has_no_wire_form_is_refused(node):
    with pytest.raises(NodeError):
        encode(node)


def test_looking_into_a_node():
    node = Node("iq", {"to": Jid("1", device=2), "t": 5}, [Node("a", {}, b"x"), Node("b"), Node("a")])
    assert node.child("a") == Node("a", {}, b"x")
    assert node.child("c") is None
    assert len(node.children()) == 3
    assert len(node.children("a")) == 2
    assert (node.text("to"), node.text("t"), node.text("none", "?")) == ("1:2@s.whatsapp.net", "5", "?")
    assert (node.bytes, node.children()[0].bytes, node.children()[0].children()) == (b"", b"x", [])


@pytest.mark.parametrize("text", ["s.whatsapp.net", "1@lid", "1:2@lid", "9-8@g.us"])
def test_an_address_reads_as_it_is_written(text):
    assert str(Jid.parse(text)) == text


def test_a_bare_address_has_no_device():
    assert Jid.parse("1:2@lid").bare == Jid("1", "lid")


@pytest.mark.parametrize("text", ["", "1@", "@lid", "1@2@lid", "1:@lid", "1:x@lid", "1:2:3@lid", "1:\u0662@lid"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is not a WhatsApp address"):
        Jid.parse(text)
