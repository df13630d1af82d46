"""The way to WhatsApp, gone with servers on loopback in its place."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from email.utils import formatdate
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from wasess.doctor import probe
from wasess.doctor.checks import network
from wasess.sandbox import trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Place:
    """A certificate's authority, and what a client needs to believe it."""

    def __init__(self, folder: Path) -> None:
        self.trust = trust.Trust()
        self.trust.write_ca(folder / "ca.pem")
        self.client = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    @contextmanager
    def server(self, answer: Callable[[socket.socket], None]) -> Iterator[int]:
        """Let each connection be answered; the port."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    channel, _ = listener.accept()
                    with channel, suppress(OSError):
                        answer(channel)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(5)
            assert not thread.is_alive()

    def page(self, date: str) -> Callable[[socket.socket], None]:
        """A web server whose clock says so."""
        context = self.trust.server_context()

        def answer(channel: socket.socket) -> None:
            with context.wrap_socket(channel, server_side=True) as secure:
                while b"\r\n\r\n" not in secure.recv(4096):
                    pass
                secure.sendall(f"HTTP/1.1 400 Bad Request\r\nDate: {date}\r\nConnection: close\r\n\r\n".encode())

        return answer

    def way(self, port: int, host: str = "localhost") -> probe.Way:
        """Go there, wherever ``host`` may lead."""

        def resolve(_host: str, _port: int, **_options: object) -> list[object]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        return probe.whatsapp(host, port, self.client, resolve)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(way: probe.Way) -> list[str]:
    return [step.name for step in way.steps]


def found_in(way: probe.Way, **options: bool) -> list[tuple[str, str]]:
    part = network.judge(way, **{"sandbox": False, "online": False, **options})
    return [(found.level, found.code) for found in part.findings]


@pytest.mark.parametrize(
    ("ahead", "wanted"),
    [(0, ("ok", "CLOCK")), (20, ("note", "CLOCK_SKEW")), (-20, ("note", "CLOCK_SKEW")), (7200, ("warning", "CLOCK_SKEW"))],
)
def test_the_whole_way_and_the_time_over_there(place: Place, ahead: int, wanted: tuple[str, str]):
    with place.server(place.page(formatdate(time.time() - ahead, usegmt=True))) as port:
        way = place.way(port)
    assert (names(way), way.open) == (["dns", "tcp", "tls"], True), way
    assert way.skew is not None
    assert abs(way.skew - ahead) < 3
    assert found_in(way) == [("ok", "NETWORK"), wanted]


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "\xff" * 50])
def test_a_date_that_is_none_says_nothing_about_the_clock(place: Place, date: str):
    with place.server(place.page(date)) as port:
        way = place.way(port)
    assert (way.open, way.skew) == (True, None)
    assert found_in(way) == [("ok", "NETWORK")]


def test_a_certificate_of_another_time_is_the_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(trust, "SLACK", dt.timedelta(days=-2))
    place = Place(tmp_path)
    with place.server(place.page("")) as port:
        way = place.way(port)
    assert (names(way), way.open, way.steps[-1].bad_time) == (["dns", "tcp", "tls"], False, True)
    assert found_in(way) == [("error", "TLS_FAILED"), ("error", "CLOCK_WRONG")]


def test_a_certificate_of_somebody_else_is_not_the_clock(place: Place):
    with place.server(place.page("")) as port:
        way = place.way(port, host="web.example.org")
    assert (way.open, way.steps[-1].bad_time) == (False, False)
    assert found_in(way) == [("error", "TLS_FAILED")]
    assert found_in(way, online=True) == [("warning", "TLS_FAILED")], "a session that is online has another way"


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.0 200 OK\r\n\r\n"], ids=["hangs-up", "no-tls"])
def test_somebody_who_speaks_no_tls(place: Place, last_words: bytes):
    with place.server(lambda channel: channel.sendall(last_words)) as port:
        way = place.way(port)
    assert (names(way), way.open) == (["dns", "tcp", "tls"], False)
    assert way.steps[-1].problem


def test_each_step_ends_in_its_time(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "WITHIN", 0.2)
    quiet = threading.Event()
    begun = time.monotonic()
    with place.server(lambda _channel: quiet.wait(5)) as port:
        way = place.way(port)
        assert time.monotonic() - begun < 2
        quiet.set()
    assert (way.steps[-1].name, way.open) == ("tls", False)
    assert "no answer within" in way.steps[-1].problem
    never = threading.Event()
    begun = time.monotonic()
    way = probe.whatsapp("localhost", 1, place.client, lambda *_, **__: never.wait(5))
    assert (names(way), way.open, time.monotonic() - begun < 2) == (["dns"], False, True)
    never.set()


def test_nobody_listens_and_nobody_knows_the_name(place: Place):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    way = place.way(port)
    assert (names(way), way.steps[-1].problem) == (["dns", "tcp"], "Connection refused")
    assert found_in(way) == [("error", "TCP_FAILED")]

    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    way = probe.whatsapp("localhost", 1, place.client, unknown)
    assert names(way) == ["dns"]
    assert found_in(way) == [("error", "DNS_FAILED")]


def test_a_stand_in_is_only_knocked_at(place: Place):
    heard: SimpleQueue[bytes] = SimpleQueue()
    with place.server(lambda channel: heard.put(channel.recv(10))) as port:
        way = probe.stand_in("127.0.0.1", port)
        assert heard.get(timeout=10) == b""
    assert (names(way), way.open) == (["tcp"], True)
    assert found_in(way, sandbox=True) == [("ok", "NETWORK")]
    assert found_in(probe.stand_in("127.0.0.1", port), sandbox=True) == [("error", "STAND_IN_DOWN")]


def test_a_probe_in_a_thread_hands_over_what_it_came_to():
    assert probe.begun(lambda: probe.Way("x", 1, ())).result(5).host == "x"

    def broken() -> probe.Way:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        probe.begun(broken).result(5)
