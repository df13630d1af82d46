"""What the operator says about a webhook, checked: its URL, its secrets, and where else than to public addresses it may lead.

``https`` only; ``http`` for this machine alone (``localhost`` or a loopback address), and ``http+unix:///PATH`` for a unix socket of it, with
``:/TARGET`` behind it for a path in the request. A path or a query may hold a token, so neither is ever
shown: not in an error, not in a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

from wasess.delivery.signature import read_secrets
from wasess.delivery.webhook_address import LOOPBACK, kind, read_allowed, refusal
from wasess.errors import UsageError
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wasess.delivery.webhook_address import Address, Network

PORTS = {"https": 443, "http": 80}
UNIX = "http+unix"
LONGEST_SOCKET = 107  # bytes of its path: sun_path of unix(7)
HINT = mark("Give an address such as https://bot.example.com/whatsapp, or http+unix:///run/bot.sock for a receiver on this machine.")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_SAFE = "/%:?&=#+!$,;'@()*[]~"  # what `quote` leaves alone: it is there to take care of other than ASCII


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """``host`` in ASCII, an IPv6 address without brackets; ``target``: path and query. ``str()`` is fit to be shown.

    ``socket``: the path of a unix socket; host and port mean nothing then. ``files``: the folder below which an answer may name files, None for
    no file at all. ``may_write``: whether it may write to other chats than the one it is asked from.
    """

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    allowed: tuple[Network, ...] = ()
    socket: str = ""
    files: Path | None = None
    may_write: bool = False

    @property
    def literal(self) -> Address | None:
        """The address, when the host is one."""
        return _literal(self.host)

    @property
    def loopback(self) -> bool:
        """Whether it is for this machine, and nowhere else: it says so itself."""
        if self.literal is not None:
            return kind(self.literal) == LOOPBACK
        return self.server_name.rpartition(".")[2] == "localhost"

    @property
    def server_name(self) -> str:
        """What its certificate must be for."""
        return self.host.rstrip(".")

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS.get(self.scheme, PORTS["http"]) else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.socket:
            return f"{self.scheme}://{self.socket}:/…"
        return f"{self.scheme}://{self.authority}/…"


def validate_webhook(
    url: str, secret_text: str, *, allow: Sequence[str] = (), files: Path | None = None, may_write: bool = False
) -> WebhookSpec:
    """Check what the operator gave; ``secret_text`` is what is in the file, ``allow`` networks. Raises `errors.UsageError`.

    Names are not resolved: the network may not be up yet, and who answers today need not tomorrow. That is for every connection.
    """
    found, folder = read_secrets(secret_text), _checked_folder(files)
    if url.lower().startswith(f"{UNIX}:"):
        place, target = _socket(url)
        return WebhookSpec(UNIX, "localhost", PORTS["http"], target, found, (), place, folder, may_write)
    parts = _split(url)
    host = _ascii_host(parts.hostname or "")
    path = quote(parts.path or "/", safe=_SAFE)
    target = f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    spec = WebhookSpec(parts.scheme, host, port, target, found, read_allowed(allow), "", folder, may_write)
    _check_place(spec)
    return spec


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise _bad_form() from None
    # urlsplit drops some of these silently, and not all programs agree on what the others mean.
    if not fine or "\\" in url or not url.isprintable() or any(map(str.isspace, url)):
        raise _bad_form()
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            _("The webhook's address holds a user name or a password."),
            hint=_("Leave it out: the receiver knows wasess by the signature, made with --webhook-secret-file."),
        )
    return parts


def _socket(url: str) -> tuple[str, str]:
    """The path of a unix socket, and what is asked for behind it."""
    path, _colon, target = url[len(UNIX) + 1 :].removeprefix("//").partition(":/")
    if not path.startswith("/") or not url.isprintable() or len(path.encode(errors="replace")) > LONGEST_SOCKET:
        raise UsageError(
            _("The webhook is not of the form http+unix:///PATH/OF/SOCKET[:/TARGET]."), hint=_("For example: http+unix:///run/bot.sock")
        )
    return path, f"/{quote(target, safe=f'{_SAFE}')}"


def _checked_folder(files: Path | None) -> Path | None:
    if files is not None and not files.is_dir():
        raise UsageError(_("{folder} of --webhook-files is no folder.").format(folder=files), hint=_("Name the folder with the files."))
    return files.absolute() if files else None


def _bad_form() -> UsageError:
    return UsageError(_("The webhook is not of the form https://HOST[:PORT]/PATH."), hint=_(HINT))


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _ascii_host(host: str) -> str:
    """Return the name as DNS and certificates know it, or the address as all write it."""
    literal = _literal(host)
    if literal is not None and "%" not in host:
        return str(literal)
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise _bad_form()
    return name


def _check_place(spec: WebhookSpec) -> None:
    if spec.scheme == "http" and not spec.loopback:
        raise UsageError(
            _("The webhook {webhook} is not encrypted, and everybody on the way could read the messages.").format(webhook=spec),
            hint=_("Use https://; http:// is for a receiver on this machine, such as http://127.0.0.1:8000/."),
        )
    reason = refusal(spec.literal, loopback=spec.loopback, allowed=spec.allowed) if spec.literal else ""
    if reason:
        raise UsageError(
            _("The webhook {webhook} leads to {reason}.").format(webhook=spec, reason=_(reason)),
            hint=_("If that is meant, allow it with --webhook-allow {network}.").format(network=spec.host),
        )
