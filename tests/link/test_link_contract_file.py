from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wasess.errors import SandboxError
from wasess.link.contract import Contract

GOOD = {"proxy": "http://127.0.0.1:4567", "ca_file": "ca.pem", "root_key": "ab" * 32}


@pytest.fixture
def write(tmp_path):
    (tmp_path / "ca.pem").write_text("a certificate")

    def put(content):
        path = tmp_path / "contract.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return put


def test_the_three_keys_are_enough(write, tmp_path):
    assert Contract.load(write(GOOD)) == Contract("http://127.0.0.1:4567", tmp_path / "ca.pem", bytes.fromhex("ab" * 32))


def test_extras_are_read_and_unknown_keys_are_not_minded(write, tmp_path):
    contract = Contract.load(write({**GOOD, "camera": "camera", "control": "/run/x.sock", "direct_port": 7}))
    assert contract.camera == tmp_path / "camera"
    assert str(contract.control) == "/run/x.sock"


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:4567/", "http://localhost:1", "http://[::1]:80", "http://127.9.9.9:80"])
def test_any_loopback_address_will_do(write, proxy):
    assert Contract.load(write({**GOOD, "proxy": proxy})).proxy == proxy.rstrip("/")


def test_the_session_is_the_user_of_the_proxy(write):
    assert Contract.load(write(GOOD)).proxy_for("alice-2") == "http://alice-2:x@127.0.0.1:4567"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("[]", "must be a JSON object"),
        ({**GOOD, "proxy": 7}, "proxy must be a text"),
        ({key: GOOD[key] for key in ("ca_file", "root_key")}, "proxy is missing"),
        ({**GOOD, "proxy": "http://10.0.0.1:80"}, "must be this machine"),
        ({**GOOD, "proxy": "http://web.whatsapp.com:443"}, "must be this machine"),
        ({**GOOD, "proxy": "http://127.0.0.1.example.com:80"}, "must be this machine"),
        ({**GOOD, "proxy": "https://127.0.0.1:80"}, "http://127.0.0.1:PORT"),
        ({**GOOD, "proxy": "http://127.0.0.1"}, "http://127.0.0.1:PORT"),
        ({**GOOD, "proxy": "http://127.0.0.1:99999"}, "http://127.0.0.1:PORT"),
        ({**GOOD, "proxy": "http://user@127.0.0.1:80"}, "http://127.0.0.1:PORT"),
        ({**GOOD, "ca_file": "missing.pem"}, "does not exist"),
        ({**GOOD, "root_key": "ab"}, "64 hex digits"),
        ({**GOOD, "root_key": "zz" * 32}, "64 hex digits"),
        ({**GOOD, "camera": 1}, "camera must be a text"),
    ],
)
def test_what_is_wrong_is_said(write, content, says):
    with pytest.raises(SandboxError, match=says) as caught:
        Contract.load(write(content))
    assert caught.value.hint


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(SandboxError, match=r"nowhere\.json can't be read: No such file"):
        Contract.load(tmp_path / "nowhere.json")


def test_waits_for_nobody_at_a_pipe_and_ends_at_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SandboxError, match="not JSON"):
            Contract.load(path)
