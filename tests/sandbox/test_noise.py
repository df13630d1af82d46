from __future__ import annotations

import pytest
from wire_client import Initiator

from wasess.sandbox.noise import NoiseError, NoiseServer, frame_of
from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.signal.curve import KeyPair


def start() -> tuple[NoiseServer, Initiator, KeyPair]:
    static = KeyPair.generate()
    return NoiseServer(static, b"the chain"), Initiator(), static


def shake_hands(server: NoiseServer, client: Initiator) -> None:
    server.feed(client.hello())
    frame, _, _ = client.finish(server.take_reply(), b"payload")
    server.feed(frame)


def test_a_handshake_and_the_stanzas_after_it():
    server, client, static = start()
    assert server.feed(client.hello()) == []
    frame, server_static, chain = client.finish(server.take_reply(), b"payload")
    assert (server_static, chain, server.established) == (static.public, b"the chain", False)

    assert server.feed(frame) == []
    assert server.established
    assert (server.client_payload, server.client_static, server.take_reply()) == (b"payload", client.static.public, b"")
    for text in (b"one", b"", b"x" * 70_000):
        assert server.feed(client.encrypt(text)) == [text]
        assert client.decrypt(server.encrypt(text)) == text


def test_bytes_may_arrive_one_at_a_time():
    server, client, _ = start()
    for byte in client.hello():
        server.feed(bytes([byte]))
    frame, _, _ = client.finish(server.take_reply(), b"payload")
    stream = frame + client.encrypt(b"one") + client.encrypt(b"two")
    assert [text for byte in stream for text in server.feed(bytes([byte]))] == [b"one", b"two"]


def test_a_stanza_may_follow_the_finish_in_one_piece():
    server, client, _ = start()
    server.feed(client.hello())
    frame, _, _ = client.finish(server.take_reply(), b"payload")
    assert server.feed(frame + client.encrypt(b"one") + client.encrypt(b"two")) == [b"one", b"two"]


def test_routing_information_before_the_header_is_skipped():
    server, client, _ = start()
    routing = b"some bytes"
    for byte in b"ED\x00\x01" + len(routing).to_bytes(3, "big") + routing + client.hello():
        server.feed(bytes([byte]))
    frame, _, _ = client.finish(server.take_reply(), b"payload")
    server.feed(frame)
    assert server.client_payload == b"payload"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"WA\x06\x02",  # another dictionary
        b"WA\x06\x03" + frame_of(b"\xff"),  # no protobuf
        b"WA\x06\x03" + frame_of(b""),  # no key
        b"WA\x06\x03" + frame_of(waWa6.HandshakeMessage(clientHello={"ephemeral": bytes(32)}).SerializeToString()),  # a point of low order
    ],
)
def test_a_wrong_hello_is_refused(data):
    server, _, _ = start()
    with pytest.raises(NoiseError):
        server.feed(data)


@pytest.mark.parametrize("part", ["static", "payload"])
@pytest.mark.parametrize("value", [b"", b"short", bytes(48)])
def test_a_forged_finish_is_refused(part, value):
    server, client, _ = start()
    server.feed(client.hello())
    frame, _, _ = client.finish(server.take_reply(), b"payload")
    message = waWa6.HandshakeMessage.FromString(frame[3:])
    setattr(message.clientFinish, part, value)
    with pytest.raises(NoiseError):
        server.feed(frame_of(message.SerializeToString()))
    assert not server.established


def test_a_damaged_or_repeated_stanza_is_refused():
    server, client, _ = start()
    shake_hands(server, client)
    frame = client.encrypt(b"one")
    server.feed(frame)
    with pytest.raises(NoiseError, match="frame 1"):
        server.feed(frame)


def test_a_frame_has_a_limit():
    with pytest.raises(NoiseError, match="16777216"):
        frame_of(bytes(1 << 24))
