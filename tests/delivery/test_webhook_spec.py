"""What the operator says about a webhook."""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from reference_receiver import OTHER_SECRET, SECRET, TOKEN

from wasess.delivery.webhook_spec import validate_webhook
from wasess.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def refused(url: str, secrets: str = SECRET, allow: tuple[str, ...] = ()) -> UsageError:
    with pytest.raises(UsageError) as caught:
        validate_webhook(url, secrets, allow=allow)
    return caught.value


@pytest.mark.parametrize(
    ("url", "socket", "target"),
    [
        ("http+unix:///run/bot.sock", "/run/bot.sock", "/"),
        ("http+unix:/run/bot.sock", "/run/bot.sock", "/"),
        ("HTTP+unix:///run/a b.sock:/in/ä?key=value", "/run/a b.sock", "/in/%C3%A4?key=value"),
    ],
)
def test_a_unix_socket(url: str, socket: str, target: str):
    spec = validate_webhook(url, SECRET)
    assert (spec.socket, spec.target, spec.authority) == (socket, target, "localhost")
    assert str(spec) == f"http+unix://{socket}:/…"


@pytest.mark.parametrize("path", ["", "run/bot.sock", "//run", "/run/\nbot", "/run/\0", "/" + "x" * 107])
def test_no_unix_socket(path: str):
    with pytest.raises(UsageError, match=r"http\+unix"):
        validate_webhook(f"http+unix:{path}", SECRET)


def test_the_folder_of_files_is_a_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(UsageError, match="is no folder"):
            validate_webhook("https://bot.example.com/", SECRET, files=path)
    assert validate_webhook("https://bot.example.com/", SECRET, files=tmp_path).files == tmp_path


def encoded(length: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(length))).decode()


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://bot.example.com", "bot.example.com", 443, "/", "bot.example.com"),
        ("HTTPS://Bot.Example.com:443/a?b=c#d", "bot.example.com", 443, "/a?b=c", "bot.example.com"),
        ("https://bot.example.com:8443/%61/", "bot.example.com", 8443, "/%61/", "bot.example.com:8443"),
        ("https://bücher.example/ä?ö", "xn--bcher-kva.example", 443, "/%C3%A4?%C3%B6", "xn--bcher-kva.example"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/", "1.1.1.1"),
        ("https://[2606:4700:0::1]:1/", "2606:4700::1", 1, "/", "[2606:4700::1]:1"),
        ("https://bot.example.com./", "bot.example.com.", 443, "/", "bot.example.com."),
        ("http://127.0.0.1:8000/in", "127.0.0.1", 8000, "/in", "127.0.0.1:8000"),
        ("http://[::1]/", "::1", 80, "/", "[::1]"),
        ("http://localhost/", "localhost", 80, "/", "localhost"),
        ("https://api.localhost:1/", "api.localhost", 1, "/", "api.localhost:1"),
    ],
)
def test_addresses_that_are_taken(url: str, host: str, port: int, target: str, authority: str):
    spec = validate_webhook(url, SECRET)
    assert (spec.host, spec.port, spec.target, spec.authority) == (host, port, target, authority)
    assert spec.loopback == (host in {"127.0.0.1", "::1"} or host.endswith("localhost"))


@pytest.mark.parametrize(
    "url",
    [
        "", "bot.example.com/in", "//bot.example.com", "ftp://bot.example.com", "https://", "https:///in", "https://:443/",
        "https://bot.example.com:0/", "https://bot.example.com:99999/", "https://bot.example.com:http/", "https://bot example.com/",
        "https://bot.example.com/a b", "https://bot.example.com/\n", "https://bot.example.com\\@10.0.0.1/", "https://[::1", "https://a..b/",
        "https://-a.example/", "https://a%2eb/", "https://bot.example.com/\x7f", "https://[fe80::1%25eth0]/", f"https://{'a' * 64}.example/",
    ],
)  # fmt: skip
def test_what_is_no_address(url: str):
    error = refused(url)
    assert str(error) == "The webhook is not of the form https://HOST[:PORT]/PATH."
    assert "https://bot.example.com" in error.hint


@pytest.mark.parametrize("host", ["bot.example.com", "localhost.example.com", "10.0.0.1", "[::ffff:127.0.0.1]", "0x7f000001"])
def test_http_is_for_this_machine_alone(host: str):
    error = refused(f"http://{host}/{TOKEN}", allow=("0.0.0.0/0", "::/0"))
    assert str(error).endswith("/… is not encrypted, and everybody on the way could read the messages.")
    assert TOKEN not in str(error)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("10.0.0.1", "a private address"),
        ("169.254.169.254", "a link-local address, where clouds keep credentials"),
        ("[::ffff:10.0.0.1]", "an IPv4 address inside an IPv6 address"),
    ],
)
def test_an_address_that_needs_leave(host: str, reason: str):
    error = refused(f"https://{host}/{TOKEN}")
    shown = f"[{ip_address(host.strip('[]'))}]" if ":" in host else host
    assert str(error) == f"The webhook https://{shown}/… leads to {reason}."
    network = error.hint.removeprefix("If that is meant, allow it with --webhook-allow ").rstrip(".")
    assert validate_webhook(f"https://{host}/", SECRET, allow=(network,)).literal is not None


@pytest.mark.parametrize("user", ["user", "user:hunter2", ":hunter2"])
def test_a_password_in_the_address_is_refused_and_not_repeated(user: str):
    error = refused(f"https://{user}@bot.example.com/")
    assert "user name or a password" in str(error)
    assert "hunter2" not in f"{error} {error.hint}"


def test_nothing_private_is_shown():
    spec = validate_webhook(f"https://bot.example.com/{TOKEN}?key={TOKEN}", f"{SECRET}\n{OTHER_SECRET}")
    assert str(spec) == "https://bot.example.com/…"
    assert TOKEN not in repr(spec)
    assert repr(spec.secrets[0]) not in repr(spec)


@pytest.mark.parametrize("allow", ["bot", "10.0.0.0/33", "", "10.0.0.0-10.0.0.9"])
def test_what_can_not_be_allowed(allow: str):
    error = refused("https://bot.example.com", allow=("10.0.0.0/8", allow))
    assert str(error) == f"{allow!r} is no network that a webhook can be allowed to lead to."


@pytest.mark.parametrize("text", [SECRET, f"\n{SECRET}\r\n\n", f"\ufeff{SECRET}", encoded(32).rstrip("=")])
def test_a_secret(text: str):
    (secret,) = validate_webhook("https://bot.example.com", text).secrets
    assert len(secret) in {24, 32}


def test_two_secrets_keep_their_order():
    secrets = validate_webhook("https://bot.example.com", f"{encoded(24)}\n{encoded(64)}").secrets
    assert [len(secret) for secret in secrets] == [24, 64]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\n", "The webhook's secret file is empty."),
        (f"{SECRET}\n" * 3, "The webhook's secret file holds 3 secrets; two are the most, while a new one replaces the old."),
        (SECRET.removeprefix("whsec_"), "Secret 1 of the webhook is not of the form whsec_BASE64."),
        (f"{SECRET}\nwhsec_hunter2!", "Secret 2 of the webhook is not of the form whsec_BASE64."),
        ("whsec_", "Secret 1 of the webhook is not of the form whsec_BASE64."),
        ("whsec_aaaaa", "Secret 1 of the webhook is not of the form whsec_BASE64."),
        ("whsk_" + "a" * 88, "Secret 1 of the webhook is not of the form whsec_BASE64."),
        ("whsec_ä", "Secret 1 of the webhook is not of the form whsec_BASE64."),
        (encoded(23), "Secret 1 of the webhook has 23 bytes instead of 24 to 64."),
        (encoded(65), "Secret 1 of the webhook has 65 bytes instead of 24 to 64."),
    ],
)
def test_secrets_that_are_none(text: str, complaint: str):
    error = refused("https://bot.example.com", text)
    assert str(error) == complaint
    assert error.hint
