from __future__ import annotations

import ssl
import subprocess
import sys
import time

import pytest

from wasess.sandbox.protobufs import waCert
from wasess.sandbox.signal.curve import KeyPair, verify
from wasess.sandbox.trust import Trust


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            break
    assert not waiting
    return near


def client_context(ca_file) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize("host", ["web.whatsapp.com", "mmg.whatsapp.net", "localhost", "127.0.0.1"])
def test_a_client_with_the_authority_accepts_the_server(tmp_path, host):
    trust = Trust()
    trust.write_ca(tmp_path / "ca.pem")
    near = shake_hands(trust.server_context(), client_context(tmp_path / "ca.pem"), host)
    assert near.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("host", ["web.whatsapp.net", "127.0.0.2"])
def test_the_certificate_is_for_no_other_host(tmp_path, host):
    trust = Trust()
    trust.write_ca(tmp_path / "ca.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(trust.server_context(), client_context(tmp_path / "ca.pem"), host)


def test_the_authority_of_another_sandbox_is_not_enough(tmp_path):
    Trust().write_ca(tmp_path / "ca.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(Trust().server_context(), client_context(tmp_path / "ca.pem"), "localhost")


def test_the_noise_chain_follows_the_clients_rules():
    trust, static = Trust(), KeyPair.generate()
    chain = waCert.CertChain.FromString(trust.certificate_chain(static.public))
    details = waCert.CertChain.NoiseCertificate.Details
    intermediate, leaf = details.FromString(chain.intermediate.details), details.FromString(chain.leaf.details)

    assert verify(bytes.fromhex(trust.root_key_hex), chain.intermediate.details, chain.intermediate.signature)
    assert verify(intermediate.key, chain.leaf.details, chain.leaf.signature)
    assert (intermediate.issuerSerial, leaf.issuerSerial) == (0, intermediate.serial)
    assert intermediate.HasField("issuerSerial")
    assert leaf.key == static.public
    for certificate in (intermediate, leaf):
        assert certificate.notBefore < time.time() < certificate.notAfter


def test_the_protobufs_come_without_neonize():
    program = "import sys, wasess.sandbox.protobufs; print('neonize' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
