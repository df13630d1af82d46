"""A webhook receiver that checks signatures with the reference library, answers as the test says, and writes down all that it gets."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook, WebhookVerificationError

from wasess.core.message import Message
from wasess.delivery.webhook import WebhookBot
from wasess.delivery.webhook_spec import validate_webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from wasess.delivery.bot import Outcome, Trouble

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TOKEN = "t0ken-in-the-path"
NUMBER = "491701234567"
TEXT = "the private words"
MESSAGE = Message(id="3EB0A1", chat=f"{NUMBER}@s.whatsapp.net", sender=f"{NUMBER}@s.whatsapp.net", text=TEXT, timestamp=1.0, session="ann")


@dataclass(frozen=True)
class Post:
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    reader: asyncio.StreamReader

    @property
    def content(self) -> Any:
        return json.loads(self.body)


Answering = Callable[[Post, asyncio.StreamWriter], Awaitable[None]]


def http(status: int = 200, content: Any = None, kind: str = "application/json", **headers: str) -> bytes:
    """An answer with this content: bytes as they are, all else as JSON."""
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-length": str(len(body)), "content-type": kind}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body


def saying(answer: bytes) -> Answering:
    async def say(_post: Post, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return say


NOTHING_TO_SAY = http()


async def silence(post: Post, _writer: asyncio.StreamWriter) -> None:
    """No answer, until the other side hangs up."""
    await post.reader.read()


class Receiver:
    """``posts``: those with a good signature, in order; ``connections``: how many have been opened; ``ended``: each one's end."""

    def __init__(self, answer: Answering, secret: str) -> None:
        self.answer = answer
        self.posts: list[Post] = []
        self.connections = 0
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.ended: list[asyncio.Event] = []
        self._webhook = Webhook(secret)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.ended.append(asyncio.Event())
        number = self.connections
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                await self._one(await _read(reader, number), writer)
                await writer.drain()
        writer.close()
        self.ended[number - 1].set()

    async def _one(self, post: Post, writer: asyncio.StreamWriter) -> None:
        try:
            self._webhook.verify(post.body, post.headers)
        except WebhookVerificationError:
            writer.write(http(401))
            return
        self.posts.append(post)
        await self.answer(post, writer)


async def _read(reader: asyncio.StreamReader, connection: int) -> Post:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    return Post(first, headers, await reader.readexactly(int(headers["content-length"])), connection, reader)


@asynccontextmanager
async def receiving(
    answer: bytes | Answering = NOTHING_TO_SAY, secret: str = SECRET, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Receiver]:
    receiver = Receiver(saying(answer) if isinstance(answer, bytes) else answer, secret)
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for writer in receiver.writers:
            writer.transport.abort()
        await server.wait_closed()


class Asked:
    """A webhook bot whose every word is searched for what must not be in it."""

    def __init__(self, bot: WebhookBot, troubles: list[Trouble]) -> None:
        self.bot = bot
        self.troubles = troubles

    async def __call__(self, message: Message = MESSAGE) -> Outcome:
        outcome = await self.bot.ask(message)
        told = " ".join([outcome.detail, *(trouble.sentence for trouble in self.troubles)])
        for private in (TEXT, NUMBER, TOKEN, SECRET.removeprefix("whsec_"), OTHER_SECRET.removeprefix("whsec_")):
            assert private not in told
        return outcome


@asynccontextmanager
async def asking(
    port: int, url: str = "http://127.0.0.1", *, secrets: str = SECRET, allow: Sequence[str] = (), **options: Any
) -> AsyncIterator[Asked]:
    spec = validate_webhook(f"{url}:{port}/{TOKEN}?key={TOKEN}", secrets, allow=allow)
    troubles: list[Trouble] = []
    bot = WebhookBot(spec, troubles.append, **options)
    try:
        yield Asked(bot, troubles)
    finally:
        await bot.close()


class Authority:
    """A throw-away certificate authority."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a throw-away authority")])
        self._certificate = self._build(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))

    def trusted(self) -> ssl.SSLContext:
        """For a client that trusts this authority and no other."""
        return ssl.create_default_context(cadata=_pem(self._certificate).decode())

    def server(self, *names: str) -> ssl.SSLContext:
        """For a server that can show a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._build(subject, key, x509.SubjectAlternativeName([x509.DNSName(name) for name in names]))
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = self._folder / f"{names[0]}.pem"
        file.write_bytes(secret + _pem(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(), now - dt.timedelta(hours=1), now + dt.timedelta(hours=1)
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False).add_extension(authority, critical=False)
        of_authority = isinstance(extension, x509.BasicConstraints)
        usage = x509.KeyUsage(
            digital_signature=not of_authority,
            key_cert_sign=of_authority,
            crl_sign=of_authority,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
        return builder.add_extension(extension, critical=of_authority).sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
