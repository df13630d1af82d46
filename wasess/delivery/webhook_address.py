"""Which addresses a webhook may lead to: public ones, and those that the operator has named.

Whoever controls the DNS of the webhook's name could else make wasess post messages, signed, to services inside this network. So a name is
resolved once for each connection, all its addresses are checked, and the connection goes to a checked address, never to the name: a
second look-up could give something else. One bad address among good ones spoils them all.

Loopback is for a webhook that says so itself (``http://127.0.0.1:8000``): the operator typed it. Such a webhook goes nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from wasess.errors import UsageError
from wasess.words import _, mark

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

LOOPBACK = mark("an address of this machine")
PRIVATE = mark("a private address")
SHARED = mark("an address shared behind a provider's router")
LINK_LOCAL = mark("a link-local address, where clouds keep credentials")
CLOUD = mark("an address of the cloud's own services")
MULTICAST = mark("a multicast address")
EMBEDDED = mark("an IPv4 address inside an IPv6 address")
RESERVED = mark("an address that is reserved for special use")

# IANA's registries of special-purpose addresses. Not `ipaddress.is_global`: it takes multicast for global, and its tables differ from one
# Python to the next. The first that matches names it.
_SPECIAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    (LOOPBACK, ("127.0.0.0/8", "::1/128")),
    (PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    (SHARED, ("100.64.0.0/10",)),
    (LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (CLOUD, ("168.63.129.16/32",)),  # Azure's; the other clouds' are link-local, shared, private or reserved
    (MULTICAST, ("224.0.0.0/4", "ff00::/8")),
    # Compatible, mapped, translated (2), NAT64 (2), 6to4, Teredo
    (EMBEDDED, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")),
    (RESERVED, ("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24")),
    (RESERVED, ("240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20")),
)
_TABLE: tuple[tuple[Network, str], ...] = tuple((ip_network(text), kind) for kind, texts in _SPECIAL for text in texts)
_UNICAST = IPv6Network("2000::/3")  # all of IPv6 that has been given out to anyone


def kind(address: Address) -> str:
    """Say what is special about an address, for `words._`; empty when it is a public one."""
    for network, special in _TABLE:
        if address in network:
            return special
    return RESERVED if address.version == 6 and address not in _UNICAST else ""


def refusal(address: Address, *, loopback: bool, allowed: Sequence[Network]) -> str:
    """Say why a webhook must not lead there, for `words._`; empty when it may. ``loopback``: it is for this machine, and nowhere else."""
    special = kind(address)
    if loopback:
        return "" if special == LOOPBACK else special or mark("no address of this machine")
    return "" if any(address in network for network in allowed) else special


def read_allowed(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks (``10.1.2.3``, ``10.0.0.0/8``, ``fd00::/8``). Raises `errors.UsageError`."""
    return tuple(map(_read_network, texts))


def _read_network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            _("{text!r} is no network that a webhook can be allowed to lead to.").format(text=text),
            hint=_("Name an IP address or a network, such as 10.1.2.3 or 10.0.0.0/8."),
        ) from None


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system for a name's addresses, best first. Raises OSError.

    In a thread that nobody waits for: the system's resolver takes up to half a minute when no server answers and can't be interrupted;
    asyncio's own threads would hold up others, and the manager's end.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: OSError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look() -> None:
        addresses: list[str] = []
        failure = None
        try:
            addresses = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=look, name="webhook-name", daemon=True).start()
    return await found
