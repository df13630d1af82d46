"""`wasess verify --ping`: what a dead man's switch hears, and what becomes of a ping that it does not take. The address is a secret."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from documents import only_document
from stand_in_manager import live, managed
from test_verify import home, linked, verify
from watchman import watching

from wasess.cli import switch
from wasess.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["home", "verify"]  # fixtures

SECRET = "b7e1c0de-5ec2"


@pytest.fixture
def watchman(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(switch, "AGAIN_AFTER", 0.01)
    with watching() as found:
        yield found


@pytest.fixture
def well(home):
    """A home in which all is well."""
    linked(home, "alice")
    with managed(home, live("alice")):
        yield home


@pytest.mark.parametrize(
    ("address", "well", "ill"),
    [
        (f"/{SECRET}", f"/{SECRET}", f"/{SECRET}/fail"),
        (f"/{SECRET}/", f"/{SECRET}/", f"/{SECRET}/fail"),
        (f"/{SECRET}?create=1&x=%20", f"/{SECRET}?create=1&x=%20", f"/{SECRET}/fail?create=1&x=%20"),
        (f"/{SECRET}#top", f"/{SECRET}", f"/{SECRET}/fail"),
        ("", "/", "/fail"),
    ],
)
def test_the_switch_hears_whether_all_is_well(home, verify, watchman, address, well, ill):
    linked(home, "alice")
    with managed(home, live("alice")):
        assert verify("--ping", watchman.url + address) == (0, "", "")
    assert watchman.heard == [well]
    assert verify("--ping", watchman.url + address) == (8, "", "alice: no manager is running; wasess serve\n")
    assert watchman.heard == [well, ill]
    assert watchman.agents == {"wasess"}


def test_a_home_that_nobody_may_look_into_is_not_well(home, verify, watchman):
    home.session("alice").create()
    home.path.chmod(0o755)
    assert verify("--ping", f"{watchman.url}/{SECRET}")[0] == 1
    assert watchman.heard == [f"/{SECRET}/fail"]


def test_the_address_comes_from_the_environment_and_is_shown_nowhere(well, verify, watchman, monkeypatch, capsys):
    monkeypatch.setenv("WASESS_PING", f"{watchman.url}/{SECRET}")
    assert verify() == (0, "", "")
    assert watchman.heard == [f"/{SECRET}"]
    assert verify("--ping", f"{watchman.url}/other")[0] == 0
    assert watchman.heard[1:] == ["/other"]
    for arguments in (["config"], ["config", "--json"], ["verify", "--help"], ["diagnose", "--offline"], ["service", "verify"]):
        run(arguments)
        assert SECRET not in "".join(capsys.readouterr())
    monkeypatch.setenv("WASESS_PING", "")
    assert verify() == (0, "", "")
    assert len(watchman.heard) == 2


@pytest.mark.parametrize(
    "address",
    [
        f"ftp://example.com/{SECRET}",
        f"file:///{SECRET}",
        f"example.com/{SECRET}",
        f"http:///{SECRET}",
        f"http://user:{SECRET}@example.com/",
        f"http://example.com:99999/{SECRET}",
        f"http://example.com:0/{SECRET}",
        f"http://[::1/{SECRET}",
        f"http://example.com/{SECRET} x",
        f"http://example.com/{SECRET}\nHost: x",
        f"http://exämple.com/{SECRET}",
    ],
)
def test_what_is_no_address_is_refused_before_anybody_is_asked(home, verify, address):
    linked(home, "alice")
    with managed(home, live("alice")) as manager:
        code, out, err = verify("--ping", address)
        assert manager.asked == 0
    assert (code, out) == (2, "")
    assert "--ping wants an address that begins with https:// or http://" in err
    assert SECRET not in err


def assert_not_taken(said: tuple[int, str, str], problem: str, code: int = 0) -> None:
    found, out, err = said
    assert (found, out) == (code, "")
    [ping] = [line for line in err.splitlines() if line.startswith("http")]
    assert len(err.splitlines()) == 1 + bool(code), "what is wrong with a session is told all the same"
    assert ping.endswith(f"/… did not take the ping: {problem}")
    assert SECRET not in err


@pytest.mark.parametrize(("status", "times"), [(404, 1), (410, 1), (500, 2), (503, 2)])
def test_a_refusal_is_told_and_the_exit_code_keeps_its_meaning(home, verify, watchman, status, times):
    """What may go better in a moment is tried again."""
    address = f"{watchman.url}/{SECRET}"
    linked(home, "alice")
    watchman.answers = [(status, {})] * times * 2
    with managed(home, live("alice")):
        assert_not_taken(verify("--ping", address), f"HTTP {status}")
    assert_not_taken(verify("--ping", address), f"HTTP {status}", code=8)
    assert watchman.heard == [f"/{SECRET}"] * times + [f"/{SECRET}/fail"] * times


def test_a_second_try_that_is_taken_is_enough(well, verify, watchman):
    watchman.answers = [(502, {}), (200, {})]
    assert verify("--ping", f"{watchman.url}/{SECRET}") == (0, "", "")
    assert len(watchman.heard) == 2


def test_a_redirect_is_followed_on_the_same_machine_alone(well, verify, watchman):
    watchman.answers = [(301, {"Location": f"/v2/{SECRET}"})]
    assert verify("--ping", f"{watchman.url}/{SECRET}") == (0, "", "")
    assert watchman.heard == [f"/{SECRET}", f"/v2/{SECRET}"]
    with watching() as stranger:
        watchman.answers = [(302, {"Location": f"{stranger.url}/{SECRET}"})]
        assert_not_taken(verify("--ping", f"{watchman.url}/{SECRET}"), "HTTP 302")
        assert stranger.heard == []


def test_redirects_without_an_end_are_given_up(well, verify, watchman):
    watchman.answers = [(302, {"Location": f"/{SECRET}"})] * 100
    assert_not_taken(verify("--ping", f"{watchman.url}/{SECRET}"), "HTTP 302")
    assert len(watchman.heard) < 30


def test_output_for_programs_stays_alone_on_stdout_and_quiet_stays_quiet(well, verify, watchman):
    address = f"{watchman.url}/{SECRET}"
    watchman.answers = [(404, {})] * 3
    code, out, err = verify("--json", "--ping", address)
    assert (code, only_document("verify", out)["ok"]) == (0, True)
    assert "HTTP 404" in err
    code, out, err = verify("--nagios", "--ping", address)
    assert (code, out.partition(" | ")[0]) == (0, "WASESS OK - 1 of 1 session online")
    assert "HTTP 404" in err
    assert verify("--quiet", "--ping", address) == (0, "", "")
    assert len(watchman.heard) == 3


def test_nobody_listens(well, verify, watchman):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert_not_taken(verify("--ping", f"http://127.0.0.1:{reserved.getsockname()[1]}/{SECRET}"), "Connection refused")


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example"])
def test_a_name_that_no_machine_can_have(well, verify, watchman, host):
    assert_not_taken(verify("--ping", f"http://{host}/{SECRET}"), "no machine can have this name")


def silence(_: socket.socket) -> None:
    """Take the question, and say nothing."""


def drops(channel: socket.socket) -> None:
    """Say a little now and then, so that no wait for the next byte is a long one."""
    channel.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        channel.sendall(b"x")
        time.sleep(0.02)


def nonsense(channel: socket.socket) -> None:
    channel.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    channel.shutdown(socket.SHUT_RDWR)


def closing(channel: socket.socket) -> None:
    channel.shutdown(socket.SHUT_RDWR)


@contextmanager
def strange(conduct: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that behaves like this; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    channel, _ = listener.accept()
                    taken.append(channel)
                    threading.Thread(target=behave, args=(channel,), daemon=True).start()

        def behave(channel: socket.socket) -> None:
            with suppress(OSError):
                channel.recv(65536)
                conduct(channel)

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for channel in taken:
                channel.close()


@pytest.mark.parametrize("conduct", [silence, drops])
def test_a_slow_switch_is_not_waited_for(well, verify, watchman, monkeypatch, conduct):
    monkeypatch.setattr(switch, "WITHIN", 0.3)
    with strange(conduct) as port:
        began = time.monotonic()
        assert_not_taken(verify("--ping", f"http://127.0.0.1:{port}/{SECRET}"), "no answer within 0 s")
        assert time.monotonic() - began >= 0.6, "it was asked once more"


@pytest.mark.parametrize(("conduct", "problem"), [(nonsense, "BadStatusLine"), (closing, "RemoteDisconnected")])
def test_what_is_no_switch(well, verify, watchman, conduct, problem):
    with strange(conduct) as port:
        assert_not_taken(verify("--ping", f"http://127.0.0.1:{port}/{SECRET}"), problem)


def test_a_switch_that_speaks_no_tls(well, verify, watchman):
    code, out, err = verify("--ping", f"{watchman.url.replace('http', 'https')}/{SECRET}")
    assert (code, out) == (0, "")
    assert err.startswith("https://127.0.0.1/… did not take the ping: ")
    assert SECRET not in err
    assert not watchman.heard
