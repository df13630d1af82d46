"""Which client version each session announces: what is built in, a fixed one, or with ``auto`` the one that WhatsApp's start page names.

The page is asked for once a day, at the start of a session, through that session's proxy, by a process of its own (`link.page_process`). What it
named is kept in a file of the home. Where it can't be had, what it named last counts, or what is built in: no session stays offline for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from wasess.core import client_version
from wasess.core.client_version import AUTO, BUILT_IN
from wasess.link.fetcher import PROXIES, environment_proxy
from wasess.store.atomic import write_atomic
from wasess.store.guard import beginning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.link.contract import Contract
    from wasess.link.port import LinkSpec

CACHE_NAME = ".client-version"
LARGEST_CACHE = 4096
HOST = "web.whatsapp.com"
ASK_EVERY = 86_400.0
ASK_AGAIN_AFTER = 3600.0  # at the soonest: a page that could not be had, or a version that was refused nevertheless
DEADLINE = 8  # seconds for all of it, at the start of a session
LONGEST_PROBLEM = 200

# As in `link.fetcher`.
BOOTSTRAP = "import sys; sys.path.extend(sys.argv[1:]); from wasess.link.page_process import main; main()"
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
KEPT_OUTSIDE_A_SANDBOX = ("SSL_CERT_FILE", "SSL_CERT_DIR")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Named:
    """What the page named: an N, 0 for none yet. ``asked_at``: when that was, ``tried_at``: when it was last asked for; Unix times."""

    number: int = 0
    asked_at: float = 0.0
    tried_at: float = 0.0


class Versions:
    """Of all sessions of a home. ``wish``: ``auto``, ``2.3000.N``, or empty for what is built in; ``cache``: the home's file for what the page named."""

    def __init__(self, contract: Contract | None, wish: str = "", cache: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._contract = contract
        self._wish = wish
        self._cache = cache
        self._now = now
        self._told: dict[str, str] = {}
        self._named: Named | None = None
        self._asking = asyncio.Lock()

    def announce(self, user: str, wish: str) -> None:
        """From its next link on this user's announce ``wish``: ``auto``, or ``2.3000.N``."""
        self._told[user] = wish

    @property
    def usual(self) -> int:
        """The N that is announced for users of whom nothing else was told, as far as is known by now."""
        if self._wish == AUTO:
            return (self._named or Named()).number or BUILT_IN
        return client_version.parse(self._wish) if self._wish else BUILT_IN

    async def number(self, spec: LinkSpec) -> int:
        """The N that this link is to announce. At most `DEADLINE` seconds; raises nothing."""
        wish = self._told.get(spec.user, self._wish)
        if wish != AUTO:
            return client_version.parse(wish) if wish else BUILT_IN
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE), self._asking:
                await self._look(spec)
        return (self._named or Named()).number or BUILT_IN

    async def _look(self, spec: LinkSpec) -> None:
        """Ask for the page when it is time to."""
        if self._named is None:
            self._named = await asyncio.to_thread(_kept, self._cache)
        named, now = self._named, self._now()
        fresh = not spec.outdated and 0 <= now - named.asked_at < ASK_EVERY
        if fresh or 0 <= now - named.tried_at < ASK_AGAIN_AFTER:
            return
        await self._remember(replace(named, tried_at=now))  # whatever comes of it
        number, problem = await self._ask(spec.user)
        if number:
            logger.info("WhatsApp's start page names the client version %s", client_version.spell(number))
            await self._remember(Named(number, now, now))
        else:
            logger.info("WhatsApp's start page does not tell the client version (%s); going on without", problem)

    async def _remember(self, named: Named) -> None:
        self._named = named
        if self._cache:
            await asyncio.to_thread(_keep, self._cache, named)

    async def _ask(self, user: str) -> tuple[int, str]:
        """The number, or 0 and what is wrong."""
        proxy = self._contract.proxy_for(user) if self._contract else environment_proxy(os.environ, HOST)
        if proxy and proxy.partition("://")[0] not in PROXIES:
            return 0, "it can't be asked through a proxy of this kind: use http:// or socks5://"
        order = {
            "host": HOST,
            "proxy": proxy,
            "ca_file": str(self._contract.ca_file) if self._contract else "",
            "largest": 0,
            "deadline": DEADLINE,
            "parent": os.getpid(),
        }
        try:
            return _read(await _answer(order, self._environment()))
        except OSError as error:
            return 0, str(error)

    def _environment(self) -> dict[str, str]:
        kept = KEPT if self._contract else (*KEPT, *KEPT_OUTSIDE_A_SANDBOX)
        return {name: os.environ[name] for name in kept if name in os.environ}


async def _answer(order: dict[str, Any], environment: dict[str, str]) -> bytes:
    """What the process says; it is gone when this returns, or is cancelled. Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", BOOTSTRAP, *filter(os.path.isabs, sys.path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    try:
        said, _nothing = await process.communicate(json.dumps(order).encode())
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return said


def _read(said: bytes) -> tuple[int, str]:
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        answer = json.loads(said)
        number = answer["number"]
        if isinstance(number, int) and client_version.allowed(number):
            return number, ""
        return 0, "".join(letter if letter.isprintable() else "?" for letter in str(answer["problem"])[:LONGEST_PROBLEM])
    return 0, "the process that asks for it ended"


def _kept(cache: Path | None) -> Named:
    """What the file says; nothing of a file that is damaged."""
    if cache:
        with suppress(OSError, ValueError, TypeError, RecursionError):
            named = Named(**json.loads(beginning(cache, LARGEST_CACHE)))
            if type(named.number) is int and (client_version.allowed(named.number) or not named.number):
                return replace(named, asked_at=float(named.asked_at), tried_at=float(named.tried_at))
    return Named()


def _keep(cache: Path, named: Named) -> None:
    """Only a memory: a disk that does not take it is no reason to stop."""
    with suppress(OSError):
        write_atomic(cache, json.dumps(asdict(named)).encode(), durable=False)
