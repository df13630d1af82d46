"""The sandbox contract: how workers reach a WhatsApp stand-in instead of the real one.

A JSON file with three required keys, so that anything which serves them is a valid stand-in::

    {"proxy": "http://127.0.0.1:PORT", "ca_file": "PATH", "root_key": "64 hex digits"}

and two that only our own sandbox sets: ``camera`` (a folder where `connect` leaves the QR text it shows) and ``control`` (its
unix socket). Paths are relative to the contract file's folder.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from wasess.errors import SandboxError
from wasess.store.guard import beginning
from wasess.words import _, mark

if TYPE_CHECKING:
    from pathlib import Path

ROOT_KEY_SIZE = 32
LARGEST = 2**16
HINT = mark("Start a stand-in with `wasess sandbox serve`, or correct the file.")


@dataclass(frozen=True, slots=True)
class Contract:
    """``proxy`` is an ``http://`` URL on loopback, ``root_key`` the 32 bytes that replace WhatsApp's pinned Noise root key."""

    proxy: str
    ca_file: Path
    root_key: bytes
    camera: Path | None = None
    control: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Contract:
        """Read the contract at ``path``. Raises `errors.SandboxError`, saying what is wrong with which key."""
        try:
            fields = json.loads(beginning(path, LARGEST))
        except OSError as error:
            raise SandboxError(
                _("The sandbox contract {path} can't be read: {problem}.").format(path=path, problem=error.strerror), hint=_(HINT)
            ) from error
        except (ValueError, RecursionError) as error:
            raise SandboxError(
                _("The sandbox contract {path} is not JSON: {error}.").format(path=path, error=error), hint=_(HINT)
            ) from error
        if not isinstance(fields, dict):
            raise SandboxError(_("The sandbox contract {path} must be a JSON object.").format(path=path), hint=_(HINT))
        try:
            return _read(fields, path.absolute().parent)
        except ValueError as error:
            raise SandboxError(_("The sandbox contract {path} is wrong: {error}.").format(path=path, error=error), hint=_(HINT)) from error

    def proxy_for(self, user: str) -> str:
        """Return the proxy URL that tells the stand-in which session dials: the user id is the proxy's user name."""
        return f"http://{quote(user, safe='')}:x@{urlsplit(self.proxy).netloc}"


def _read(fields: dict[str, Any], folder: Path) -> Contract:
    ca_file = folder / _text(fields, "ca_file")
    if not ca_file.is_file():
        raise ValueError(_("ca_file {ca_file} does not exist").format(ca_file=ca_file))
    return Contract(
        proxy=_loopback(_text(fields, "proxy")),
        ca_file=ca_file,
        root_key=_key(_text(fields, "root_key")),
        camera=folder / _text(fields, "camera") if "camera" in fields else None,
        control=folder / _text(fields, "control") if "control" in fields else None,
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(_("{name} must be a text").format(name=name) if name in fields else _("{name} is missing").format(name=name))
    return value


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != ROOT_KEY_SIZE:
        raise ValueError(_("root_key must be 64 hex digits"))
    return key


def _loopback(proxy: str) -> str:
    """A stand-in anywhere else could be fed real credentials by mistake."""
    try:
        url = urlsplit(proxy)
        host, port = url.hostname or "", url.port
    except ValueError:
        host, port = "", None
    else:
        if url.scheme != "http" or url.username is not None or url.path not in {"", "/"} or url.query or url.fragment:
            port = None
    if not host or not port:
        raise ValueError(_("proxy must look like http://127.0.0.1:PORT"))
    if host != "localhost" and not _is_loopback(host):
        raise ValueError(_("the proxy's host must be this machine (127.0.0.1), not {host}").format(host=host))
    return proxy.removesuffix("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
