from __future__ import annotations

from pathlib import Path

from wasess.link.contract import Contract
from wasess.link.nursery import environment
from wasess.words import speak

OURS = {
    "PATH": "/bin",
    "HTTPS_PROXY": "http://proxy:3128",
    "SSL_CERT_FILE": "/etc/mine.pem",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "WASESS_SANDBOX": "x",
    "LD_PRELOAD": "evil.so",
}


def test_workers_see_what_the_library_needs_and_nothing_else():
    found = environment(OURS, None)
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["SSL_CERT_FILE"] == "/etc/mine.pem"
    assert not {"AWS_SECRET_ACCESS_KEY", "WASESS_SANDBOX", "LD_PRELOAD"} & set(found)


def test_under_a_contract_only_the_contract_says_where_to_go():
    found = environment(OURS, Contract("http://127.0.0.1:1", Path("/box/ca.pem"), bytes(32)))
    assert found["SSL_CERT_FILE"] == "/box/ca.pem"
    assert "HTTPS_PROXY" not in found


def test_workers_speak_the_language_of_their_manager():
    assert environment(OURS | {"LANG": "es_ES.UTF-8", "WASESS_LANG": "es"}, None)["WASESS_LANG"] == "en"
    speak("es")
    try:
        assert environment(OURS, None)["WASESS_LANG"] == "es"
    finally:
        speak("en")
