from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest
from gateway_rig import soon, until
from wire_client import DEADLINE

from wasess.sandbox.faults import Fault
from wasess.sandbox.jid import Jid
from wasess.sandbox.nodes import Node, encode
from wasess.sandbox.protobufs import waCert

if TYPE_CHECKING:
    from wasess.sandbox.gateway import Wire

PING = Node("iq", {"id": "7", "to": Jid(""), "xmlns": "w:p", "type": "get"})
PONG = Node("iq", {"id": "7", "from": Jid(""), "type": "result"})


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
