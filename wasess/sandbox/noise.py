"""The server's side of WhatsApp's Noise channel, without I/O: bytes in, bytes out.

    HEADER --"WA" 6 3--> HELLO --ClientHello / ServerHello--> FINISH --ClientFinish--> TRANSPORT

The pattern is Noise_XX_25519_AESGCM_SHA256 with the four header bytes as prologue; the three messages are HandshakeMessage protobufs.
Every message, and every stanza after, is one frame: its length in three bytes, most significant first, then the bytes. In transport
each direction has its own key and counter, and nothing is authenticated besides. (Read in whatsmeow's handshake.go and socket/.)
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError

from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.signal.curve import KeyPair

PATTERN: Final = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"  # padded to the hash's size, as the Noise specification wants
HEADER: Final = b"WA\x06\x03"  # protocol 6, string dictionary 3
ROUTING: Final = b"ED\x00\x01"  # a client may put routing information before the header: this, a 3-byte length, the bytes
MAX_FRAME: Final = (1 << 24) - 1


class NoiseError(Exception):
    """The peer does not speak this protocol, or its bytes don't decrypt."""


class State(enum.Enum):
    """What the server waits for."""

    HEADER = enum.auto()  # the first bytes of the connection
    HELLO = enum.auto()  # the client's ephemeral key
    FINISH = enum.auto()  # the client's static key and payload
    TRANSPORT = enum.auto()  # stanzas, for the rest of the connection


class NoiseServer:
    """One connection's channel.

    Give it everything that arrives with `feed`; after each call send what `take_reply` returns. Once `established`, `client_payload`
    (a serialized waWa6.ClientPayload) and `client_static` (32 bytes) are known, `feed` returns plaintexts and `encrypt` makes frames.
    """

    def __init__(self, static: KeyPair, chain: bytes) -> None:
        self.client_payload = b""
        self.client_static = b""
        self._state = State.HEADER
        self._static = static
        self._chain = chain
        self._buffer = bytearray()
        self._reply = b""
        self._handshake = Handshake(HEADER)
        self._ephemeral = KeyPair.generate()
        self._read = Direction(bytes(32))
        self._write = Direction(bytes(32))

    @property
    def established(self) -> bool:
        """Whether the handshake is over."""
        return self._state is State.TRANSPORT

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes from the client and return the plaintexts of the transport frames that are complete.

        Raises:
            NoiseError: the client's bytes are wrong; the channel is of no further use.
        """
        self._buffer += data
        plaintexts = []
        if self._state is State.HEADER and not self._take_header():
            return []
        while (frame := self._take_frame()) is not None:
            if self._state is State.TRANSPORT:
                plaintexts.append(self._read.decrypt(frame))
            elif self._state is State.HELLO:
                self._answer_hello(_handshake_message(frame).clientHello)
            else:
                self._finish(_handshake_message(frame).clientFinish)
        return plaintexts

    def take_reply(self) -> bytes:
        """Return what the handshake has to say to the client, each byte once."""
        reply, self._reply = self._reply, b""
        return reply

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return one frame that carries the plaintext. Frames must reach the client in the order they were made."""
        return frame_of(self._write.encrypt(plaintext))

    def _take_header(self) -> bool:
        start = 7 + int.from_bytes(self._buffer[4:7]) if self._buffer.startswith(ROUTING) else 0
        if len(self._buffer) < start + len(HEADER):
            return False
        found = bytes(self._buffer[start : start + len(HEADER)])
        if found != HEADER:
            raise NoiseError(f"the connection starts with {found.hex(' ')}, expected {HEADER.hex(' ')}")
        del self._buffer[: start + len(HEADER)]
        self._state = State.HELLO
        return True

    def _take_frame(self) -> bytes | None:
        end = 3 + int.from_bytes(self._buffer[:3])
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[3:end])
        del self._buffer[:end]
        return frame

    def _answer_hello(self, hello: waWa6.HandshakeMessage.ClientHello) -> None:
        self._handshake.authenticate(hello.ephemeral)
        self._handshake.authenticate(self._ephemeral.public)
        self._handshake.mix(_agree(self._ephemeral, hello.ephemeral))
        static = self._handshake.encrypt(self._static.public)
        self._handshake.mix(_agree(self._static, hello.ephemeral))
        chain = self._handshake.encrypt(self._chain)
        message = waWa6.HandshakeMessage(serverHello={"ephemeral": self._ephemeral.public, "static": static, "payload": chain})
        self._reply += frame_of(message.SerializeToString())
        self._state = State.FINISH

    def _finish(self, finish: waWa6.HandshakeMessage.ClientFinish) -> None:
        self.client_static = self._handshake.decrypt(finish.static)
        self._handshake.mix(_agree(self._ephemeral, self.client_static))
        self.client_payload = self._handshake.decrypt(finish.payload)
        from_client, to_client = self._handshake.split()
        self._read, self._write = Direction(from_client), Direction(to_client)
        self._state = State.TRANSPORT


class Direction:
    """One way of the transport: a key and a counter."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the next ciphertext."""
        return self._cipher.encrypt(self._nonce(), plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext of the next ciphertext, or raise NoiseError."""
        try:
            return self._cipher.decrypt(self._nonce(), ciphertext, None)
        except InvalidTag as error:
            raise NoiseError(f"frame {self._counter - 1} of the transport does not decrypt") from error

    def _nonce(self) -> bytes:
        self._counter += 1
        return (self._counter - 1).to_bytes(12)


class Handshake:
    """The symmetric state of a Noise handshake: a running hash, a chaining key and the current cipher. Both sides keep the same."""

    def __init__(self, prologue: bytes) -> None:
        self._hash = PATTERN
        self._chaining_key = PATTERN
        self._cipher = AESGCM(PATTERN)
        self._counter = 0
        self.authenticate(prologue)

    def authenticate(self, data: bytes) -> None:
        """Bind the data to everything that follows."""
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix(self, secret: bytes) -> None:
        """Bring a shared secret into the key."""
        self._chaining_key, key = _expand(self._chaining_key, secret)
        self._cipher = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return the ciphertext and bind it."""
        ciphertext = self._cipher.encrypt(self._nonce(), plaintext, self._hash)
        self.authenticate(ciphertext)
        return ciphertext

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext and bind the ciphertext, or raise NoiseError."""
        try:
            plaintext = self._cipher.decrypt(self._nonce(), ciphertext, self._hash)
        except InvalidTag as error:
            raise NoiseError("a handshake message does not decrypt") from error
        self.authenticate(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the transport keys: from the client, to the client."""
        return _expand(self._chaining_key, b"")

    def _nonce(self) -> bytes:
        self._counter += 1
        return (self._counter - 1).to_bytes(12)


def frame_of(data: bytes) -> bytes:
    """Return the data with its length before it.

    Raises:
        NoiseError: the data is 16 MiB or more.
    """
    if len(data) > MAX_FRAME:
        raise NoiseError(f"{len(data)} bytes are too many for a frame")
    return len(data).to_bytes(3) + data


def _handshake_message(frame: bytes) -> waWa6.HandshakeMessage:
    try:
        return waWa6.HandshakeMessage.FromString(frame)
    except DecodeError as error:
        raise NoiseError("a handshake frame holds no HandshakeMessage") from error


def _agree(own: KeyPair, public: bytes) -> bytes:
    try:
        return own.agree(public)
    except ValueError as error:
        raise NoiseError("the client's public key is none") from error


def _expand(salt: bytes, secret: bytes) -> tuple[bytes, bytes]:
    key = hmac.digest(salt, secret, "sha256")
    first = hmac.digest(key, b"\x01", "sha256")
    return first, hmac.digest(key, first + b"\x02", "sha256")
