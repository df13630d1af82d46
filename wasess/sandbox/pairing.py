"""How a companion without credentials gets some: by QR code, or by a code typed into the phone (PROTOCOL.md §2; whatsmeow pair-code.go)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wasess.sandbox import adv
from wasess.sandbox.adv import PairingRefused
from wasess.sandbox.connection import SERVER, Connection
from wasess.sandbox.faults import Fault, FaultBook
from wasess.sandbox.nodes import Attr, Node
from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.signal.curve import KeyPair
from wasess.sandbox.state import MAX_LINKED_DEVICES, Account, Device, State
from wasess.sandbox.versions import build_hash_fits

QR_CODES = 6
PBKDF2_ROUNDS = 2 << 16


@dataclass(slots=True)
class _LinkCode:
    number: str
    wrapped_companion_key: bytes
    ref: bytes
    finish: asyncio.Future[Node]


class Pairing:
    """A connection that waits to be linked. The phone's part is played by `scan` and `enter_code`."""

    def __init__(self, connection: Connection, state: State, faults: FaultBook) -> None:
        self._connection = connection
        self._state = state
        self._faults = faults
        payload = waWa6.ClientPayload.FromString(connection.wire.client_payload)
        registration = payload.devicePairingData
        self._build_hash_fits = build_hash_fits(payload)
        self._identity: bytes = registration.eIdent
        self._registration_id = int.from_bytes(registration.eRegid)
        self._signed_prekey = (int.from_bytes(registration.eSkeyID), registration.eSkeyVal, registration.eSkeySig)
        self._refs = [f"2@{base64.b64encode(secrets.token_bytes(64)).decode()}" for _ in range(QR_CODES)]
        self._link_code: _LinkCode | None = None

    def offer_codes(self) -> None:
        """Hand out the references that become QR codes."""
        refs = [Node("ref", {}, ref.encode()) for ref in self._refs]
        attrs: dict[str, Attr] = {"from": SERVER, "type": "set", "id": self._connection.next_id(), "xmlns": "md"}
        self._connection.push(Node("iq", attrs, [Node("pair-device", {}, refs)]))

    def waits_at(self, code: adv.QrCode) -> bool:
        """Whether this code was shown by this companion, with these keys."""
        wire = self._connection.wire
        return code.ref in self._refs and code.noise == wire.client_static and code.identity == self._identity

    @property
    def waits_for_code(self) -> bool:
        """Whether this companion has asked for a code to type in."""
        return self._link_code is not None

    async def scan(self, phone: Account, code: adv.QrCode) -> Device:
        """The phone has read the code: link the companion.

        Raises:
            PairingRefused: the phone or the companion says no.
        """
        return await self._link(phone, code.adv_secret)

    async def enter_code(self, typed: str, phone: Account | None = None) -> Device:
        """The person types the 8 characters into the phone whose number the companion named (or another one).

        Raises:
            PairingRefused: no code was asked for, it is wrong, or it is another phone's.
        """
        asked = self._link_code
        if asked is None:
            raise PairingRefused("no code was asked for")
        account = phone or self._state.account(asked.number)
        if account.number != asked.number:
            raise PairingRefused("the code was asked for with another phone's number")
        typed = typed.replace("-", "").upper()
        ephemeral = KeyPair.generate()
        self._connection.push(self._primary_hello(asked, typed, ephemeral, account))
        try:
            async with asyncio.timeout(20):
                finish = await asked.finish
        except TimeoutError:
            raise PairingRefused("the companion did not answer") from None
        shared = ephemeral.agree(_unwrap_key(typed, asked.wrapped_companion_key))
        return await self._link(account, self._open_bundle(finish, shared, account))

    def ask_passkey(self) -> None:
        """Demand a passkey (whatsmeow pair-passkey.go)."""
        options = b'{"challenge":"c2FuZGJveA","timeout":60000,"rpId":"whatsapp.com","allowCredentials":[],"userVerification":"required"}'
        attrs: dict[str, Attr] = {"from": SERVER, "type": "passkey_prologue_request", "id": self._connection.next_id()}
        self._connection.push(Node("notification", attrs, [Node("passkey_request_options", {}, options)]))

    def handle(self, node: Node) -> bool:
        """Take a stanza that belongs to the pairing; whether it was one."""
        registration = node.child("link_code_companion_reg")
        if node.tag != "iq" or registration is None:
            return False
        if registration.text("stage") == "companion_hello":
            self._companion_hello(node, registration)
        elif registration.text("stage") == "companion_finish" and self._link_code is not None:
            self._connection.result(node)
            if not self._link_code.finish.done():
                self._link_code.finish.set_result(registration)
        return True

    def _companion_hello(self, node: Node, registration: Node) -> None:
        refused = self._faults.take(self._connection.user, "pair-code-error")
        if refused is not None:
            self._connection.error(node, int(refused.value or "400"), "bad-request")
            return
        wrapped = registration.child("link_code_pairing_wrapped_companion_ephemeral_pub")
        ref = secrets.token_bytes(16)
        number = registration.text("jid").partition("@")[0]
        finish: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._link_code = _LinkCode(number, wrapped.bytes if wrapped else b"", ref, finish)
        self._state.note(self._connection.user, "pairing-code-asked")
        answer = Node("link_code_companion_reg", {"stage": "companion_hello"}, [Node("link_code_pairing_ref", {}, ref)])
        self._connection.result(node, answer)

    def _primary_hello(self, asked: _LinkCode, typed: str, ephemeral: KeyPair, account: Account) -> Node:
        content = [
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, _wrap_key(typed, ephemeral.public)),
            Node("primary_identity_pub", {}, account.party.identity.public),
            Node("link_code_pairing_ref", {}, asked.ref),
        ]
        attrs: dict[str, Attr] = {"from": SERVER, "type": "link_code_companion_reg", "id": self._connection.next_id()}
        return Node("notification", attrs, [Node("link_code_companion_reg", {"stage": "primary_hello"}, content)])

    def _open_bundle(self, finish: Node, shared: bytes, account: Account) -> bytes:
        """The ADV secret of a code pairing; only who typed the right code can open the bundle."""
        wrapped = finish.child("link_code_pairing_wrapped_key_bundle")
        data = wrapped.bytes if wrapped else b""
        key = _derive(shared, data[:32], b"link_code_pairing_key_bundle_encryption_key")
        try:
            bundle = AESGCM(key).decrypt(data[32:44], data[44:], None)
        except (InvalidTag, ValueError):
            raise PairingRefused("that is not the code the companion shows") from None
        if bundle[:32] != self._identity or bundle[32:64] != account.party.identity.public:
            raise PairingRefused("the companion's key bundle names other keys")
        return _derive(shared + account.party.identity.agree(self._identity) + bundle[64:], None, b"adv_secret")

    async def _link(self, phone: Account, adv_secret: bytes) -> Device:
        user = self._connection.user
        if len(phone.devices) >= MAX_LINKED_DEVICES:
            raise PairingRefused(f"this phone already has {MAX_LINKED_DEVICES} linked devices")
        if not self._build_hash_fits:
            raise PairingRefused("the companion's build hash is not that of the version it announces")
        if self._faults.take(user, "pair-silent"):
            raise PairingRefused("the server never told the companion (fault pair-silent)")
        if self._faults.take(user, "bad-hmac"):
            adv_secret = secrets.token_bytes(32)
        signer = KeyPair.generate() if self._faults.take(user, "bad-signature") else None
        device = Device(phone, phone.next_device, user, self._connection.wire.client_static, self._identity)
        device.registration_id, device.signed_prekey = self._registration_id, self._signed_prekey
        signed = adv.vouch(phone.party.identity, self._identity, device.number, signer)
        answer = await self._ask_companion(device, adv.seal(signed, adv_secret))
        device.signed_identity = adv.check_companion(answer, phone.party.identity, self._identity)
        phone.devices[device.number] = device
        phone.next_device += 1
        self._state.note(user, "paired", f"device {device.number}")
        self._hang_up(user)
        return device

    async def _ask_companion(self, device: Device, sealed: bytes) -> Node:
        success = Node(
            "pair-success",
            {},
            [
                Node("device-identity", {}, sealed),
                Node("biz", {"name": ""}),
                Node("device", {"jid": device.jid, "lid": device.lid}),
                Node("platform", {"name": "android"}),
            ],
        )
        try:
            answer = await self._connection.ask("md", success)
        except (TimeoutError, ConnectionError):
            raise PairingRefused("the companion did not confirm the link") from None
        error = answer.child("error")
        if error is not None:
            raise PairingRefused(f"the companion refused: {error.text('text')}")
        signed = answer.child("pair-device-sign")
        identity = signed.child("device-identity") if signed else None
        if identity is None:
            raise PairingRefused("the companion's confirmation is empty")
        return identity

    def _hang_up(self, user: str) -> None:
        """Send the 515 that makes the companion log in, or what a fault puts in its place."""
        redial = self._faults.take(user, "failing-515")
        if redial is not None:
            self._faults.set(user, Fault("refuse", phase="connect", count=int(redial.value or "1")))
        if self._faults.take(user, "no-515"):
            self._connection.end()
        else:
            self._connection.push(Node("stream:error", {"code": "515"}))


def _code_cipher(typed: str, salt: bytes, iv: bytes) -> Cipher[modes.CTR]:
    key = hashlib.pbkdf2_hmac("sha256", typed.encode(), salt, PBKDF2_ROUNDS, 32)
    return Cipher(algorithms.AES(key), modes.CTR(iv))


def _wrap_key(typed: str, public: bytes) -> bytes:
    """32 B salt, 16 B iv, and the public key under the code the person typed."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    return salt + iv + _code_cipher(typed, salt, iv).encryptor().update(public)


def _unwrap_key(typed: str, wrapped: bytes) -> bytes:
    return _code_cipher(typed, wrapped[:32], wrapped[32:48]).decryptor().update(wrapped[48:80])


def _derive(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)
