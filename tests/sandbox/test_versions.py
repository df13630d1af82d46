from __future__ import annotations

import hashlib

import pytest

from wasess.sandbox.faults import FaultBook, FaultError, parse_fault
from wasess.sandbox.protobufs import waWa6
from wasess.sandbox.versions import announced, build_hash_fits, parse_version, spell, start_page


def registration(version: tuple[int, int, int], build_hash: bytes) -> waWa6.ClientPayload:
    payload = waWa6.ClientPayload()
    said = payload.userAgent.appVersion
    said.primary, said.secondary, said.tertiary = version
    payload.devicePairingData.buildHash = build_hash
    return payload


def test_a_version_is_three_numbers():
    assert parse_version("2.3000.1053000000") == (2, 3000, 1053000000)
    assert spell((2, 3000, 7)) == "2.3000.7"


@pytest.mark.parametrize("text", ["", "2.3000", "2.3000.x", "2.3000.1.1", "2.3000.-1", "2.3000.1 ", "2.3000.٣", "2..3"])
def test_anything_else_is_none(text):
    with pytest.raises(ValueError, match="no version"):
        parse_version(text)


def test_the_build_hash_is_the_md5_of_the_versions_text():
    right = hashlib.md5(b"2.3000.7", usedforsecurity=False).digest()
    assert announced(registration((2, 3000, 7), right)) == (2, 3000, 7)
    assert build_hash_fits(registration((2, 3000, 7), right))
    assert not build_hash_fits(registration((2, 3000, 8), right))
    assert build_hash_fits(registration((2, 3000, 8), b""))


def test_the_start_page_names_the_revision():
    head, _, body = start_page((2, 3000, 1053000000)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'"client_revision":1053000000,' in body


def test_outdated_is_a_fault_with_the_least_version():
    fault = parse_fault(["outdated", "below=2.3000.1053000000", "count=2"])
    assert (fault.kind, fault.value, fault.count) == ("outdated", "2.3000.1053000000", 2)
    book = FaultBook()
    book.set("*", fault)
    assert [book.value("alice", "outdated") for _ in range(3)] == ["2.3000.1053000000"] * 3
    assert book.value("alice", "failure") == ""


@pytest.mark.parametrize("words", [["outdated"], ["outdated", "below=7"], ["outdated", "below="], ["outdated", "7"]])
def test_outdated_says_what_it_needs(words):
    with pytest.raises(FaultError, match=r"below=2.3000.N"):
        parse_fault(words)
