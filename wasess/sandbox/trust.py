"""Who the sandbox's server claims to be: throw-away keys that a client is told to trust instead of WhatsApp's.

Two things vouch for a server: the TLS certificate of WhatsApp's hosts, and, inside the Noise handshake, a chain of two signed protobufs
that ends in a key pinned in the client. All private keys here are made afresh and live in memory, so nobody can reuse them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wasess.sandbox.protobufs import waCert
from wasess.sandbox.signal.curve import KeyPair

HOST: Final = "web.whatsapp.com"
MEDIA_HOST: Final = "mmg.whatsapp.net"
ROOT_SERIAL: Final = 0  # clients accept no other issuer for the intermediate certificate
INTERMEDIATE_SERIAL: Final = 1
LEAF_SERIAL: Final = 2
SLACK: Final = dt.timedelta(hours=1)  # a client's clock may be behind
LIFE: Final = dt.timedelta(days=30)


class Trust:
    """A TLS authority with a certificate for WhatsApp's host names and for localhost, and a Noise root key."""

    def __init__(self) -> None:
        self.root = KeyPair.generate()
        self._intermediate = KeyPair.generate()
        self._not_before = dt.datetime.now(dt.UTC).replace(microsecond=0) - SLACK
        self._not_after = self._not_before + LIFE
        ca_key, self._leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        self._ca = self._sign_ca(ca_key)
        self._leaf = self._sign_leaf(ca_key)

    @property
    def root_key_hex(self) -> str:
        """The public Noise root key, 64 hex digits: what a client must have pinned."""
        return self.root.public.hex()

    def write_ca(self, path: Path) -> None:
        """Write the authority's certificate, PEM, for a client's SSL_CERT_FILE or NODE_EXTRA_CA_CERTS."""
        path.write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))

    def server_context(self) -> ssl.SSLContext:
        """Return a TLS server context with the leaf certificate, for HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        key = self._leaf_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with tempfile.TemporaryDirectory() as folder:  # mode 0700; the ssl module reads keys from files only
            pem = Path(folder, "leaf.pem")
            pem.write_bytes(key + self._leaf.public_bytes(serialization.Encoding.PEM))
            context.load_cert_chain(pem)
        return context

    def certificate_chain(self, static_public: bytes) -> bytes:
        """Return the serialized CertChain that vouches for a server's Noise static key (32 bytes).

        What clients check: the root signs the intermediate's details and has serial 0; the intermediate's key signs the leaf's details
        and its serial is the leaf's issuer; the leaf's key is the static key of the handshake; both are valid now.
        """
        intermediate = self._details(INTERMEDIATE_SERIAL, ROOT_SERIAL, self._intermediate.public)
        leaf = self._details(LEAF_SERIAL, INTERMEDIATE_SERIAL, static_public)
        chain = waCert.CertChain(
            intermediate={"details": intermediate, "signature": self.root.sign(intermediate)},
            leaf={"details": leaf, "signature": self._intermediate.sign(leaf)},
        )
        serialized: bytes = chain.SerializeToString()
        return serialized

    def _details(self, serial: int, issuer: int, key: bytes) -> bytes:
        details = waCert.CertChain.NoiseCertificate.Details(
            serial=serial,
            issuerSerial=issuer,
            key=key,
            notBefore=int(self._not_before.timestamp()),
            notAfter=int(self._not_after.timestamp()),
        )
        serialized: bytes = details.SerializeToString()
        return serialized

    def _sign_ca(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        name = _name("wasess sandbox authority")
        builder = self._builder(name, name, key.public_key(), key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return builder.add_extension(_usage(signs_certificates=True), critical=True).sign(key, hashes.SHA256())

    def _sign_leaf(self, ca_key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        builder = self._builder(_name(HOST), self._ca.subject, self._leaf_key.public_key(), ca_key.public_key())
        names = [
            x509.DNSName(HOST),
            x509.DNSName(MEDIA_HOST),
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        return builder.add_extension(_usage(signs_certificates=False), critical=True).sign(ca_key, hashes.SHA256())

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), self._not_before, self._not_after)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
