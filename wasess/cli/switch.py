"""A dead man's switch (healthchecks.io and its like): told each time that all is well, it raises the alarm when it is told no more.

``GET URL`` says that all is well, ``GET URL/fail`` that it is not. The address is a secret: whoever knows it can keep the alarm quiet.
"""

from __future__ import annotations

import time
from contextlib import suppress
from http import HTTPStatus
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from wasess.errors import NetworkDown, UsageError
from wasess.words import _

if TYPE_CHECKING:
    from urllib.request import OpenerDirector, Request

WITHIN = 10.0
AGAIN_AFTER = 1.0


class Switch:
    """One address. Raises `UsageError`, see `require_address`."""

    def __init__(self, url: str) -> None:
        self._address = require_address(url)

    def __str__(self) -> str:
        """As much of the address as may be shown."""
        return f"{self._address.scheme}://{self._address.hostname}/…"

    def tell(self, *, healthy: bool) -> None:
        """Say how it is. Tries twice, 10 s each. Raises `NetworkDown` when nobody has taken note."""
        path = self._address.path
        url = urlunsplit(self._address._replace(path=path if healthy else f"{path.rstrip('/')}/fail", fragment=""))
        opener = _opener()
        problem, again = _get(opener, url)
        if again:
            time.sleep(AGAIN_AFTER)
            problem, _again = _get(opener, url)
        if not problem:
            return
        raise NetworkDown(_("{address} did not take the ping: {problem}").format(address=self, problem=problem))


def require_address(url: str) -> SplitResult:
    """The parts of an address. Raises `UsageError`, without it, for anything but an http or https one."""
    with suppress(ValueError):
        found = urlsplit(url)
        named = found.scheme in {"http", "https"} and found.hostname and found.username is None and found.port != 0
        if named and url.isascii() and url.isprintable() and " " not in url:
            return found
    raise UsageError(_("--ping wants an address that begins with https:// or http://"), hint="wasess verify --help")


def _get(opener: OpenerDirector, url: str) -> tuple[str, bool]:
    """As `_asked`, within 10 s in any case: no timeout of a socket ends the search for a name, or an answer that comes byte by byte."""
    answers: list[tuple[str, bool]] = []
    asking = Thread(target=lambda: answers.append(_asked(opener, url)), daemon=True)
    asking.start()
    asking.join(WITHIN)
    return answers[0] if answers else (_plain(TimeoutError()), True)


def _asked(opener: OpenerDirector, url: str) -> tuple[str, bool]:
    """What went wrong (empty: nothing), in words without the address, and whether it may go better in a moment."""
    from http.client import HTTPException  # noqa: PLC0415 - 35 ms that only a ping needs
    from urllib.error import HTTPError, URLError  # noqa: PLC0415 - as above

    try:
        with opener.open(url, timeout=WITHIN):
            return "", False
    except HTTPError as error:
        error.close()
        return f"HTTP {error.code}", error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
    except URLError as error:
        return _plain(error.reason), True
    except UnicodeError:
        return _("no machine can have this name"), False
    except (OSError, HTTPException, ValueError) as error:
        return _plain(error), True


def _plain(reason: object) -> str:
    """The system's own words; those of a library could quote the address."""
    if isinstance(reason, TimeoutError):
        return _("no answer within {seconds:.0f} s").format(seconds=WITHIN)
    return (reason.strerror if isinstance(reason, OSError) else None) or type(reason).__name__


def _opener() -> OpenerDirector:
    from urllib.request import HTTPRedirectHandler, build_opener  # noqa: PLC0415 - as above

    class SameHost(HTTPRedirectHandler):
        """Whoever is not the one that was named learns nothing."""

        def redirect_request(self, req: Request, *answer: Any) -> Request | None:
            """See `urllib.request`."""
            follow = super().redirect_request(req, *answer)
            if follow is None or (follow.host, follow.type) != (req.host, req.type):
                return None
            return follow

    opener = build_opener(SameHost)
    opener.addheaders = [("User-Agent", "wasess")]
    return opener
