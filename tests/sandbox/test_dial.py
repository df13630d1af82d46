from __future__ import annotations

import asyncio
import ssl
import time

import pytest
from gateway_rig import soon, until
from websockets.exceptions import InvalidMessage
from wire_client import Client

from wasess.sandbox.dial import GARBAGE
from wasess.sandbox.faults import Fault
from wasess.sandbox.trust import Trust

# --- who gets in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", ["", "Basic ", "Basic %%%", "Bearer YWxpY2U6eA==", "Basic Ong=", "Basic //8="])
async def test_a_proxy_address_without_a_name_is_refused(rig, authorization):
    async with rig.client() as client:
        await client.open(rig.gateway.port)
        assert b" 407 " in await client.connect(authorization=authorization)
        assert await client.reader.read() == b""


async def test_the_proxy_leads_nowhere_else(rig):
    async with rig.client() as client:
        await client.open(rig.gateway.port)
        assert b" 502 " in await client.connect("static.whatsapp.net:443")
        assert await client.reader.read() == b""


@pytest.mark.parametrize("request_head", [b"GET / HTTP/1.1\r\n\r\n", b"hello\r\n\r\n", bytes(20_000)])
async def test_what_is_no_proxy_request_is_refused(rig, request_head):
    async with rig.client() as client:
        await client.open(rig.gateway.port)
        client.writer.write(request_head)
        assert (await client.reader.read())[:13] in {b"HTTP/1.1 502 ", b""}


async def test_a_direct_address_without_a_name_is_refused(rig):
    async with rig.client("") as client:
        await client.open(rig.gateway.direct_port)
        await client.tls("localhost")
        assert (await client.upgrade()).status_code == 400


async def test_a_client_that_does_not_trust_us_leaves_nothing_behind(rig, tmp_path):
    Trust().write_ca(tmp_path / "other.pem")
    async with Client(tmp_path / "other.pem") as client:
        await client.open(rig.gateway.port)
        await client.connect()
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.tls("web.whatsapp.com")
    await until(lambda: not rig.gateway._connections)


async def test_a_client_with_a_wrong_hello_is_let_go(rig):
    async with rig.client() as client:
        await client.open(rig.gateway.port)
        await client.connect()
        await client.tls("web.whatsapp.com")
        await client.upgrade()
        client.send(b"WB\x06\x03")
        assert await client.end() is None


# --- faults of the dial ------------------------------------------------------------------------------------------

PHASES = ["connect", "tls", "upgrade", "noise"]


async def dial_to(client: Client, port: int, phase: str):
    """Go up to a phase and return the coroutine of its step."""
    await client.open(port)
    if phase == "connect":
        return client.connect()
    await client.connect()
    if phase == "tls":
        return client.tls("web.whatsapp.com")
    await client.tls("web.whatsapp.com")
    if phase == "upgrade":
        return client.upgrade()
    await client.upgrade()
    client.send(client.noise.hello())
    return client.frame()


@pytest.mark.parametrize("phase", PHASES)
async def test_a_reset_in_every_phase(rig, phase):
    rig.faults.set("alice", Fault("reset", phase))
    async with rig.client() as client:
        step = await dial_to(client, rig.gateway.port, phase)
        with pytest.raises(ConnectionResetError):
            await soon(step)


async def test_a_refusal_comes_before_any_answer(rig):
    rig.faults.set("alice", Fault("refuse", "connect"))
    async with rig.client() as client:
        step = await dial_to(client, rig.gateway.port, "connect")
        with pytest.raises(ConnectionResetError):
            await soon(step)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_fin_in_every_phase(rig, phase):
    rig.faults.set("alice", Fault("fin", phase))
    async with rig.client() as client:
        step = await dial_to(client, rig.gateway.port, phase)
        with pytest.raises((EOFError, ssl.SSLError, ConnectionError, InvalidMessage)) as caught:
            await soon(step)
        assert not isinstance(caught.value, ConnectionResetError) or phase == "tls"  # asyncio calls it so in a TLS handshake


@pytest.mark.parametrize("phase", PHASES)
async def test_a_stall_in_every_phase_ends_when_the_client_gives_up(rig, phase):
    rig.faults.set("alice", Fault("stall", phase))
    async with rig.client() as client:
        step = await dial_to(client, rig.gateway.port, phase)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(step, 0.2)
        assert len(rig.gateway._connections) == 1
    await until(lambda: not rig.gateway._connections)


async def test_garbage_instead_of_the_proxys_answer(rig):
    rig.faults.set("alice", Fault("garbage", "connect"))
    async with rig.client() as client:
        assert GARBAGE.startswith(await soon(await dial_to(client, rig.gateway.port, "connect")))


@pytest.mark.parametrize(("phase", "error"), [("tls", ssl.SSLError), ("upgrade", InvalidMessage)])
async def test_garbage_instead_of_tls_and_of_the_upgrade(rig, phase, error):
    rig.faults.set("alice", Fault("garbage", phase))
    async with rig.client() as client:
        step = await dial_to(client, rig.gateway.port, phase)
        with pytest.raises(error):
            await soon(step)


async def test_garbage_instead_of_the_noise_answer_is_a_whole_frame(rig):
    rig.faults.set("alice", Fault("garbage", "noise"))
    async with rig.client() as client:
        assert (await soon(await dial_to(client, rig.gateway.port, "noise")))[3:] == GARBAGE


@pytest.mark.parametrize("status", [403, 429, 502, 503])
async def test_an_http_status_of_the_proxy_and_of_the_upgrade(rig, status):
    rig.faults.set("alice", Fault("http_status", "connect", value=str(status), count=1))
    rig.faults.set("alice", Fault("http_status", "upgrade", value=str(status), count=1))
    async with rig.client() as client:
        answer = await soon(await dial_to(client, rig.gateway.port, "connect"))
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert await client.reader.read() == b""
    async with rig.client() as client:
        answer = await soon(await dial_to(client, rig.gateway.port, "upgrade"))
        assert answer.status_code == status
    async with rig.connected():
        assert not rig.faults.active("alice")


@pytest.mark.parametrize("phase", PHASES)
async def test_a_delay_in_every_phase(rig, phase):
    rig.faults.set("alice", Fault("delay", phase, value="0.2", count=1))
    started = time.monotonic()
    async with rig.connected():
        assert time.monotonic() - started > 0.2


async def test_a_delay_may_come_before_another_fault(rig):
    rig.faults.set("alice", Fault("delay", "connect", value="0.2"))
    rig.faults.set("alice", Fault("refuse", "connect"))
    started = time.monotonic()
    async with rig.client() as client:
        step = await dial_to(client, rig.gateway.port, "connect")
        with pytest.raises(ConnectionResetError):
            await soon(step)
    assert time.monotonic() - started > 0.2


async def test_a_fault_hits_its_user_only_unless_it_is_everyones(rig):
    rig.faults.set("bob", Fault("refuse", "connect"))
    async with rig.connected():
        rig.faults.set("*", Fault("reset", "tls", count=1))
    async with rig.client("carol") as client:
        await client.open(rig.gateway.direct_port)
        with pytest.raises(ConnectionResetError):
            await soon(client.tls("localhost"))


async def test_a_fault_may_strike_a_number_of_times(rig):
    rig.faults.set("alice", Fault("refuse", "connect", count=2))
    for _ in range(2):
        async with rig.client() as client:
            step = await dial_to(client, rig.gateway.port, "connect")
            with pytest.raises(ConnectionResetError):
                await soon(step)
    async with rig.connected():
        pass
