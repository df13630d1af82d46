"""The control socket at its name: it comes back when somebody deletes it, and connections that are open stay."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from test_control_server import INFO, Manager, home

from wasess.control import listener
from wasess.control.address import SOCKET_NAME, connected, listening
from wasess.control.client import Client
from wasess.control.server import serving

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["home"]
HEAD = b"GET /v1/manager HTTP/1.1\r\nHost: wasess\r\n"


def removed(path: Path) -> None:
    path.unlink()


def stale(path: Path) -> None:
    """As an earlier manager, or a backup, leaves one."""
    listening(path.parent).close()


def file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "LOOK_EVERY", 0.01)


async def comes(home: Path) -> None:
    """Until a command is answered."""
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await asyncio.to_thread(lambda: Client(home).report())).manager == INFO
            except Exception:  # noqa: BLE001 - whatever it says while nobody listens
                await asyncio.sleep(0.01)
            else:
                return


@pytest.mark.parametrize("damage", [removed, stale, file])
async def test_a_socket_that_is_gone_comes_back(home: Path, damage: Callable[[Path], None]):
    async with serving(home, Manager(), pytest.fail):
        for _ in range(3):
            damage(home / SOCKET_NAME)
            await comes(home)
    assert not (home / SOCKET_NAME).exists()


async def test_a_connection_that_is_open_stays(home: Path):
    async with serving(home, Manager(), pytest.fail):
        with closing(connected(home, 5)) as channel:
            channel.sendall(HEAD)
            (home / SOCKET_NAME).unlink()
            await comes(home)
            channel.sendall(b"\r\n")
            assert (await asyncio.to_thread(channel.recv, 12)).startswith(b"HTTP/1.1 ")


async def test_another_manager_that_listens_there_is_left_alone(home: Path):
    async with serving(home, Manager(), pytest.fail):
        with closing(listening(home)) as other:
            there = (home / SOCKET_NAME).lstat().st_ino
            async with asyncio.timeout(10):
                (asked, _address) = await asyncio.get_running_loop().sock_accept(other)
            asked.close()
            channel = await asyncio.to_thread(connected, home, 5)
            channel.close()
            assert (home / SOCKET_NAME).lstat().st_ino == there


async def test_what_can_not_be_put_back_is_told_once(home: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    tries: list[Path] = []
    often = asyncio.Event()

    def tried(folder: Path) -> socket.socket:
        tries.append(folder)
        if len(tries) == 4:
            often.set()
        return listening(folder)

    monkeypatch.setattr(listener, "listening", tried)
    async with serving(home, Manager(), told.append):
        (home / SOCKET_NAME).unlink()
        (home / SOCKET_NAME).mkdir()
        async with asyncio.timeout(10):
            await often.wait()
        assert len(told) == 1
        (home / SOCKET_NAME).rmdir()
        await comes(home)


async def test_a_socket_that_could_not_be_had_at_the_start_comes_later(home: Path):
    told: list[str] = []
    (home / SOCKET_NAME).mkdir()
    async with serving(home, Manager(), told.append):
        assert len(told) == 1
        (home / SOCKET_NAME).rmdir()
        await comes(home)
    assert len(told) == 1
