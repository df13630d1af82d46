from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wasess.sandbox.noise import NoiseError, NoiseServer, frame_of
from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.signal.curve import KeyPair


class Initiator:
    """The client's side, written from the Noise specification with another HKDF and no code of the server's."""

    def __init__(self) -> None:
        self.static = KeyPair.generate()
        self.ephemeral = KeyPair.generate()
        self.hash = self.chaining = self.key = b"Noise_XX_25519_AESGCM_SHA256" + bytes(4)
        self.counter = self.sent = self.received = 0
        self._bind(b"WA\x06\x03")

    def hello(self) -> bytes:
        self._bind(self.ephemeral.public)
        message = waWa6.HandshakeMessage(clientHello={"ephemeral": self.ephemeral.public}).SerializeToString()
        return b"WA\x06\x03" + self._frame(message)

    def finish(self, answer: bytes, payload: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the frame to send, the server's static key and its certificate chain."""
        assert int.from_bytes(answer[:3], "big") == len(answer) - 3
        hello = waWa6.HandshakeMessage.FromString(answer[3:]).serverHello
        self._bind(hello.ephemeral)
        self._mix(self.ephemeral.agree(hello.ephemeral))
        server_static = self._open(hello.static)
        self._mix(self.ephemeral.agree(server_static))
        chain = self._open(hello.payload)
        static = self._seal(self.static.public)
        self._mix(self.static.agree(hello.ephemeral))
        message = waWa6.HandshakeMessage(clientFinish={"static": static, "payload": self._seal(payload)}).SerializeToString()
        keys = self._derive(b"")
        self.write, self.read = AESGCM(keys[:32]), AESGCM(keys[32:])
        return self._frame(message), server_static, chain

    def encrypt(self, plaintext: bytes) -> bytes:
        self.sent += 1
        return self._frame(self.write.encrypt((self.sent - 1).to_bytes(12, "big"), plaintext, b""))

    def decrypt(self, frame: bytes) -> bytes:
        assert int.from_bytes(frame[:3], "big") == len(frame) - 3
        self.received += 1
        return self.read.decrypt((self.received - 1).to_bytes(12, "big"), frame[3:], b"")

    def _frame(self, data: bytes) -> bytes:
        return len(data).to_bytes(3, "big") + data

    def _bind(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _derive(self, secret: bytes) -> bytes:
        return HKDF(hashes.SHA256(), 64, self.chaining, b"").derive(secret)

    def _mix(self, secret: bytes) -> None:
        keys = self._derive(secret)
        self.chaining, self.key, self.counter = keys[:32], keys[32:], 0

    def _nonce(self) -> bytes:
        self.counter += 1
        return (self.counter - 1).to_bytes(12, "big")

    def _seal(self, plaintext: bytes) -> bytes:
        ciphertext = AESGCM(self.key).encrypt(self._nonce(), plaintext, self.hash)
        self._bind(ciphertext)
        return ciphertext

    def _open(self, ciphertext: bytes) -> bytes:
        plaintext = AESGCM(self.key).decrypt(self._nonce(), ciphertext, self.hash)
        self._bind(ciphertext)
        return plaintext


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
