"""Where a webhook's connections go: names that lead elsewhere, certificates for others."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest
from reference_receiver import OTHER_SECRET, SECRET, Authority, Receiver, asking, http, receiving, saying

from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.webhook_address import resolve
from wasess.delivery.webhook_connection import Connections
from wasess.delivery.webhook_spec import validate_webhook

if TYPE_CHECKING:
    from pathlib import Path

NAME = "bot.example.test"  # in no DNS: whoever looked it up twice would not arrive
SOON = 10.0


@pytest.fixture(name="authority", scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


class Names:
    """A resolver that gives these answers one after the other, the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


async def test_the_connection_goes_to_the_checked_address_and_the_certificate_is_for_the_name(authority: Authority):
    names = Names(["127.0.0.1"])
    async with (
        receiving(tls=authority.server(NAME)) as receiver,
        asking(receiver.port, f"https://{NAME}", allow=["127.0.0.1"], resolve=names, tls=authority.trusted()) as ask,
    ):
        for _time in range(3):
            assert await ask() == Outcome(Verdict.ANSWERED)
    assert names.asked == [(NAME, receiver.port)]
    assert receiver.posts[0].headers["host"] == f"{NAME}:{receiver.port}"
    assert receiver.connections == 1


async def test_a_name_that_leads_elsewhere_later_is_not_followed_there(authority: Authority):
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with (
        receiving(http(200, connection="close"), tls=authority.server(NAME)) as receiver,
        asking(receiver.port, f"https://{NAME}", allow=["127.0.0.1"], resolve=names, tls=authority.trusted()) as ask,
    ):
        assert (await ask()).verdict is Verdict.ANSWERED
        outcome = await ask()
        (trouble,) = ask.troubles
    assert outcome == Outcome(Verdict.AWAY, detail="its name leads to 10.0.0.1, a private address, which is not allowed")
    assert (trouble.code, trouble.level) == ("WEBHOOK_NOT_ALLOWED", "error")
    assert len(receiver.posts) == 1


async def test_where_a_name_leads_is_told_once_in_a_while():
    now = [0.0]
    names = Names(["10.0.0.1"], ["10.0.0.1"], ["10.0.0.2"], ["10.0.0.1"])
    async with asking(443, f"https://{NAME}", resolve=names, clock=lambda: now[0]) as ask:
        for now[0] in (0.0, 1.0, 599.0, 600.0):
            await ask()
        told = [trouble.sentence for trouble in ask.troubles]
    assert [sentence.partition("leads to ")[2].partition(",")[0] for sentence in told] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert told[0] == (
        f"the webhook https://{NAME}/… gets no messages: its name leads to 10.0.0.1, a private address, which is not allowed; "
        "if it is meant to lead there, allow it with --webhook-allow"
    )


@pytest.mark.parametrize("bad", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%1", "100.64.0.1"])
async def test_one_bad_address_spoils_a_name(authority: Authority, bad: str):
    async with (
        receiving(host="127.0.0.2", tls=authority.server(NAME)) as receiver,
        asking(receiver.port, f"https://{NAME}", allow=["127.0.0.2"], resolve=Names(["127.0.0.2", bad]), tls=authority.trusted()) as ask,
    ):
        outcome = await ask()
    assert outcome.verdict is Verdict.AWAY
    assert bad in outcome.detail
    assert not receiver.connections


async def test_http_for_localhost_goes_nowhere_else():
    async with receiving() as receiver:
        async with asking(receiver.port, "http://localhost", resolve=Names(["127.0.0.1"])) as ask:
            assert (await ask()).verdict is Verdict.ANSWERED
        async with asking(receiver.port, "http://localhost", allow=["0.0.0.0/0"], resolve=Names(["93.184.215.14"])) as ask:
            assert (await ask()).detail == "its name leads to 93.184.215.14, no address of this machine, which is not allowed"


async def test_the_next_address_is_tried_when_one_does_not_answer():
    """As with a machine that has IPv6 addresses, and no IPv6."""
    async with receiving() as receiver, asking(receiver.port, "http://localhost", resolve=Names(["127.0.0.3", "127.0.0.1"])) as ask:
        assert (await ask()).verdict is Verdict.ANSWERED


async def test_an_address_that_says_nothing_leaves_time_for_the_next(authority: Authority):
    names = Names(["127.0.0.2", "127.0.0.1"])
    async with (
        receiving(tls=authority.server("localhost")) as receiver,
        asking(receiver.port, "https://localhost", resolve=names, tls=authority.trusted(), connect_deadline=0.8) as ask,
    ):
        with socket.create_server(("127.0.0.2", receiver.port)):
            assert (await ask()).verdict is Verdict.ANSWERED


@pytest.mark.parametrize("limits", [{"idle_limit": 0.0}, {"life": 0.0}])
async def test_a_connection_does_not_last_for_ever(limits: dict[str, float]):
    """Else a name that has moved would never be looked up again."""
    names = Names(["127.0.0.1"])
    async with receiving(secret=OTHER_SECRET) as receiver:
        spec = validate_webhook(f"http://localhost:{receiver.port}", SECRET)
        connections = Connections(spec, names, None, 5.0, **limits)
        try:
            for _time in range(2):
                assert (await connections.post([("host", "localhost")], b"{}")).status == 401
        finally:
            await connections.close()
    assert receiver.connections == len(names.asked) == 2


async def test_a_name_that_there_is_not():
    async def nothing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with asking(443, f"https://{NAME}", resolve=nothing) as ask:
        assert await ask() == Outcome(Verdict.AWAY, detail="its name can't be resolved: Name or service not known")
    async with asking(443, f"https://{NAME}", resolve=Names([])) as ask:
        assert await ask() == Outcome(Verdict.AWAY, detail="its name has no address")


async def test_a_resolver_that_does_not_answer():
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with asking(443, f"https://{NAME}", resolve=never, connect_deadline=0.1) as ask, asyncio.timeout(SOON):
        assert await ask() == Outcome(Verdict.AWAY, detail="no connection within 0 s")


async def test_the_system_resolver_is_asked_in_a_thread():
    assert "127.0.0.1" in await resolve("127.1", 80)
    with pytest.raises(OSError, match="known"):
        await resolve("no-such-name.invalid", 80)


async def test_other_ways_to_write_an_address_are_seen_through():
    async with receiving() as receiver, asking(receiver.port, "https://0x7f000001") as ask:
        assert (await ask()).detail == "its name leads to 127.0.0.1, an address of this machine, which is not allowed"
    assert not receiver.connections


async def _over_tls(receiver: Receiver, authority: Authority) -> Outcome:
    async with asking(
        receiver.port, f"https://{NAME}", allow=["127.0.0.1"], resolve=Names(["127.0.0.1"]), tls=authority.trusted(), connect_deadline=2.0
    ) as ask:
        return await ask()


async def test_a_certificate_for_another_name_is_not_accepted(authority: Authority):
    async with receiving(tls=authority.server("other.example.test")) as receiver:
        outcome = await _over_tls(receiver, authority)
    assert outcome.verdict is Verdict.AWAY
    assert outcome.detail.startswith("its certificate is not accepted: Hostname mismatch")
    assert not receiver.posts


async def test_a_certificate_for_the_address_alone_is_not_accepted(authority: Authority):
    async with receiving(tls=authority.server("127.0.0.1")) as receiver:
        assert (await _over_tls(receiver, authority)).verdict is Verdict.AWAY
    assert not receiver.posts


async def test_a_certificate_of_an_authority_that_nobody_trusts(authority: Authority, tmp_path: Path):
    async with receiving(tls=Authority(tmp_path).server(NAME)) as receiver:
        outcome = await _over_tls(receiver, authority)
    assert outcome.verdict is Verdict.AWAY
    assert outcome.detail.startswith("its certificate is not accepted: ")
    assert not receiver.posts


async def test_a_receiver_without_tls(authority: Authority):
    async def speak(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(400))
        writer.close()

    receiver = Receiver(saying(http()), SECRET)
    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        outcome = await _over_tls(receiver, authority)
    assert outcome.verdict is Verdict.AWAY
    assert outcome.detail.startswith("it does not speak TLS as it should: ")


async def test_a_handshake_that_does_not_come_to_an_end(authority: Authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the kernel accepts, and nobody says a word
        start = time.monotonic()
        async with asking(
            listener.getsockname()[1], "https://localhost", resolve=Names(["127.0.0.1"]), tls=authority.trusted(), connect_deadline=0.2
        ) as ask:
            assert (await ask()).verdict is Verdict.AWAY
        assert time.monotonic() - start < SOON
