"""Which addresses a webhook may lead to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis.strategies import integers, ip_addresses

from wasess.delivery.webhook_address import kind, read_allowed, refusal


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "223.255.255.255",
     "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"],
)  # fmt: skip
def test_public_ones(text: str):
    assert kind(ip_address(text)) == ""


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("this machine", "127.0.0.1 127.255.255.254 ::1"),
        ("private", "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fd00:ec2::254 fec0::1"),
        ("shared", "100.64.0.1 100.100.100.200 100.127.255.255"),
        ("link-local", "169.254.169.254 169.254.170.2 fe80::1 fe80::1%eth0"),
        ("cloud", "168.63.129.16"),
        ("multicast", "224.0.0.1 239.255.255.255 ff02::1"),
        ("inside", "::ffff:8.8.8.8 ::ffff:10.0.0.1 ::8.8.8.8 64:ff9b::a00:1 64:ff9b:1::a00:1 2002:a00:1::1 2001:0:1::1 ::ffff:0:a00:1"),
        ("reserved", "0.0.0.0 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255"),
        ("reserved", "2001:2::1 2001:db8::1 3fff::1 100::1 4000::1 5f00::1"),
        ("inside", "::"),
    ],
)  # fmt: skip
def test_special_ones(words: str, texts: str):
    for text in texts.split():
        assert words in kind(ip_address(text)), text


@given(ip_addresses())
def test_nothing_that_python_knows_as_special_is_public(address: IPv4Address | IPv6Address):
    if not kind(address):
        assert address.is_global
        assert not address.is_multicast
        assert not (isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo))


@given(integers(0, 2**32 - 1).map(IPv4Address))
def test_most_of_the_internet_is_public(address: IPv4Address):
    if address.is_global and not address.is_multicast:
        assert kind(address) == "" or address == IPv4Address("168.63.129.16") or str(address).startswith(("192.88.99.", "192.0.0."))


def test_what_is_allowed_by_name():
    allowed = read_allowed(["10.1.2.3/8", "fd00::/8", "64:ff9b::/96"])
    for text in ("10.255.0.1", "fd00::1", "64:ff9b::a00:1", "8.8.8.8"):
        assert refusal(ip_address(text), loopback=False, allowed=allowed) == ""
    for text in ("172.16.0.1", "127.0.0.1", "fc00::1", "::ffff:10.0.0.1"):
        assert refusal(ip_address(text), loopback=False, allowed=allowed)


def test_what_is_for_this_machine_goes_nowhere_else():
    everywhere = read_allowed(["0.0.0.0/0", "::/0"])
    for text in ("127.0.0.1", "::1"):
        assert refusal(ip_address(text), loopback=True, allowed=()) == ""
    for text in ("10.0.0.1", "8.8.8.8", "::ffff:127.0.0.1"):
        assert refusal(ip_address(text), loopback=True, allowed=everywhere)
