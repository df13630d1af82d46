from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import time
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import InvalidMessage
from wire_client import DEADLINE, Client

from wasess.sandbox.dial import GARBAGE
from wasess.sandbox.faults import Fault, FaultBook
from wasess.sandbox.gateway import Gateway, Wire
from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node, encode
from wasess.sandbox.protobufs import waCert
from wasess.sandbox.trust import Trust

PING = Node("iq", {"id": "7", "to": Jid(""), "xmlns": "w:p", "type": "get"})
PONG = Node("iq", {"id": "7", "from": Jid(""), "type": "result"})


class Rig:
    """A gateway, and its wires in the order they came up."""

    def __init__(self, tmp_path) -> None:
        self.ca_file = tmp_path / "ca.pem"
        self.trust = Trust()
        self.trust.write_ca(self.ca_file)
        self.faults = FaultBook()
        self.arrived: asyncio.Queue[Wire] = asyncio.Queue()
        self.gateway = Gateway(self.trust, self.faults, self.on_wire)

    async def on_wire(self, wire: Wire) -> None:
        self.arrived.put_nowait(wire)
        await until(lambda: wire.closed, deadline=60)

    def client(self, user: str = "alice") -> Client:
        return Client(self.ca_file, user)

    @asynccontextmanager
    async def connected(self):
        async with self.client() as client:
            await client.dial(self.gateway.port)
            yield client, await soon(self.arrived.get())


async def soon(awaitable):
    async with asyncio.timeout(DEADLINE):
        return await awaitable


async def until(condition, deadline: float = DEADLINE) -> None:
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110  (what is waited for is the state that callers see, and it has no event)
            await asyncio.sleep(0.005)


@pytest.fixture
async def rig(tmp_path):
    rig = Rig(tmp_path)
    await rig.gateway.start()
    yield rig
    await soon(rig.gateway.close())
    assert not rig.gateway._connections
    gc.collect()  # a transport left open would warn here, and warnings are errors


async def test_a_client_comes_in_by_the_proxy(rig):
    async with rig.connected() as (client, wire):
        assert (wire.user, wire.id, wire.closed, wire.ended_by) == ("alice", 1, False, "")
        assert wire.client_payload == client.payload
        assert wire.client_static == client.noise.static.public
        chain = waCert.CertChain.FromString(client.chain)
        assert waCert.CertChain.NoiseCertificate.Details.FromString(chain.leaf.details).key == client.server_static


async def test_a_client_comes_in_by_the_direct_port(rig):
    async with rig.client("bob") as client:
        await client.dial_directly(rig.gateway.direct_port)
        wire = await soon(rig.arrived.get())
        assert wire.user == "bob"
        client.send_node(PING)
        assert await soon(wire.recv()) == PING


async def test_stanzas_go_both_ways(rig):
    async with rig.connected() as (client, wire):
        for size in (0, 10, 100_000, 3_000_000):
            client.send_node(Node("message", {"id": str(size)}, bytes(size)))
            assert (await soon(wire.recv())).bytes == bytes(size)
            _, received = await soon(asyncio.gather(wire.send(Node("ack", {"id": "1"}, bytes(size))), client.recv()))
            assert received.bytes == bytes(size)


async def test_any_plaintext_can_be_sent(rig):
    async with rig.connected() as (client, wire):
        await wire.send_raw_plain(b"\x00\xff\xff no stanza")
        assert client.noise.decrypt(await client.frame()) == b"\x00\xff\xff no stanza"


async def test_websocket_pings_are_answered(rig):
    async with rig.connected() as (client, _):
        client.ping(b"are you there")
        assert await client.pong() == b"are you there"


async def test_a_stanza_in_the_clients_last_handshake_message_is_not_lost(rig):
    async with rig.client() as client:
        await client.open(rig.gateway.port)
        await client.connect()
        await client.tls("web.whatsapp.com")
        await client.upgrade()
        client.send(client.noise.hello())
        frame, _, _ = client.noise.finish(await client.frame(), client.payload)
        client.send(frame + client.noise.encrypt(encode(PING)))
        assert await soon((await soon(rig.arrived.get())).recv()) == PING


async def test_every_connection_has_its_own_number(rig):
    async with rig.connected() as (_, first), rig.connected() as (_, second):
        assert (first.id, second.id) == (1, 2)


# --- how a connection ends ---------------------------------------------------------------------------------------


async def test_the_client_closes(rig):
    async with rig.connected() as (client, wire):
        client.close()
        assert await soon(wire.recv()) is None
        assert await soon(wire.recv()) is None
        assert (wire.closed, wire.ended_by) == (True, "client")
        assert await client.end() == 1000


async def test_the_client_vanishes(rig):
    async with rig.connected() as (client, wire):
        client.writer.transport.abort()
        assert await soon(wire.recv()) is None
        assert wire.ended_by == "client"


async def test_the_server_closes(rig):
    async with rig.connected() as (client, wire):
        await wire.send(PONG)
        await wire.close(1011)
        assert await client.recv() == PONG
        assert await client.end() == 1011
        assert (await soon(wire.recv()), wire.ended_by) == (None, "server")


async def test_the_server_sends_fin(rig):
    async with rig.connected() as (client, wire):
        await wire.send(PONG)
        wire.fin()
        assert await client.recv() == PONG
        assert await client.end() is None
        assert (await soon(wire.recv()), wire.ended_by) == (None, "server")


async def test_the_server_resets(rig):
    async with rig.connected() as (client, wire):
        wire.reset()
        with pytest.raises(ConnectionResetError):
            await client.end()
        assert (await soon(wire.recv()), wire.ended_by) == (None, "reset")


async def test_what_is_sent_after_the_end_is_dropped(rig):
    async with rig.connected() as (_client, wire):
        wire.fin()
        await wire.send(PONG)
        await wire.close()
        wire.thaw()
        wire.reset()
        assert wire.ended_by == "server"


async def test_a_client_that_does_not_hang_up_after_our_fin_is_cut_off(rig):
    async with rig.connected() as (client, wire):
        client.writer.transport.pause_reading()
        started = time.monotonic()
        wire.fin()
        await until(lambda: not rig.gateway._connections)
        assert 4 < time.monotonic() - started < DEADLINE


async def test_a_black_hole_lets_nothing_through_until_it_ends(rig):
    async with rig.connected() as (client, wire):
        wire.freeze()
        client.send_node(PING)
        await wire.send(PONG)
        client.ping(b"hello?")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.gather(client.recv(), wire.recv())
        assert not wire.closed

        wire.thaw()
        assert await soon(wire.recv()) == PING
        assert await client.recv() == PONG
        assert await client.pong() == b"hello?"
        client.send_node(PING)
        assert await soon(wire.recv()) == PING


async def test_a_client_that_gives_up_on_a_black_hole_ends_it(rig):
    async with rig.connected() as (client, wire):
        wire.freeze()
        client.writer.transport.abort()
        assert await soon(wire.recv()) is None
        assert wire.ended_by == "client"


@pytest.mark.parametrize("nonsense", [b"\x00\x00\x05hello", None])
async def test_a_client_that_sends_no_stanzas_is_closed(rig, caplog, nonsense):
    async with rig.connected() as (client, wire):
        client.send(nonsense or client.noise.encrypt(b"\x00\xf0"))
        assert await client.end() == 1002
        assert (await soon(wire.recv()), wire.ended_by) == (None, "server")
    assert "alice sent what is no stanza" in caplog.text


async def test_a_failing_server_is_told_and_costs_one_connection(rig, caplog):
    async def fail(_wire: Wire) -> None:
        raise RuntimeError("a bug")

    rig.gateway._on_wire = fail
    async with rig.client() as client:
        await client.dial(rig.gateway.port)
        with pytest.raises(ConnectionResetError):
            await client.end()
    assert [record.exc_info[0] for record in caplog.records if record.levelno == logging.ERROR] == [RuntimeError]


async def test_the_connection_ends_with_the_server_function(rig):
    async def leave(wire: Wire) -> None:
        await wire.send(PONG)

    rig.gateway._on_wire = leave
    async with rig.client() as client:
        await client.dial(rig.gateway.port)
        assert await client.recv() == PONG
        assert await client.end() == 1000


async def test_closing_the_gateway_ends_everything(rig):
    rig.faults.set("carol", Fault("stall", "connect"))
    async with rig.connected() as (client, _wire), rig.client("carol") as stalled, rig.client() as silent:
        await stalled.open(rig.gateway.port)
        waiting = asyncio.create_task(stalled.connect())
        await silent.open(rig.gateway.port)
        await until(lambda: not rig.faults.active("dave") and len(rig.gateway._connections) == 3)
        await soon(rig.gateway.close())
        with pytest.raises((EOFError, ConnectionError)):
            await soon(waiting)
        assert await silent.reader.read() == b""
        assert await client.end() is None
        with pytest.raises(ConnectionRefusedError):
            await client.open(rig.gateway.port)


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
        assert b" 502 " in await client.connect("mmg.whatsapp.net:443")
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


async def test_a_hundred_clients_at_once(rig):
    async def come_and_go(number: int) -> None:
        async with rig.client(f"user{number}") as client:
            await client.dial(rig.gateway.port)
            client.send_node(PING)
            client.close()
            await client.end()

    await soon(asyncio.gather(*(come_and_go(number) for number in range(100))))
    assert rig.arrived.qsize() == 100
    await until(lambda: not rig.gateway._connections)
