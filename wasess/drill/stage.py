"""Where rows play: a folder with a home of linked sessions and a manager, around the one sandbox of the drill."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wasess.core.reasons import NEVER_STARTED
from wasess.core.states import State
from wasess.drill.letters import Got, bot_source
from wasess.drill.process import Command, until
from wasess.drill.row import Broken
from wasess.link.port import LinkSpec
from wasess.store.records import SessionRecord
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from pathlib import Path

    from wasess.link.port import Link, LinkHost
    from wasess.sandbox.state import Device
    from wasess.sandbox.usecases import Sandbox

LINKED_WITHIN = 40.0
ONLINE_WITHIN = 40.0
STOPPED_WITHIN = 12.0


@dataclass(frozen=True, slots=True)
class UsersBot:
    """The bot of the user's own; empty for none."""

    file: str = ""
    name: str = ""


class Stage:
    """``serve`` starts managers and ``close`` ends them; the last one is ``manager``."""

    def __init__(self, folder: Path, box: Sandbox, bot: UsersBot) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.box = box
        self.home = Home(folder / "home")
        self.got = Got(folder)
        self.managers: list[Command] = []
        self._commands: list[Command] = []
        (folder / "bot.py").write_text(bot_source(bot.file, bot.name))

    @property
    def manager(self) -> Command:
        """The manager that was started last."""
        return self.managers[-1]

    @property
    def environment(self) -> dict[str, str]:
        """In which commands run: nothing of the caller's own settings of wasess, and English, which the rows read."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
        return ours | {"WASESS_HOME": str(self.home.path), "WASESS_SANDBOX": str(self.box.contract_path), "WASESS_LANG": "en"}

    async def link(self, host: LinkHost, users: tuple[str, ...]) -> None:
        """Link sessions as `wasess connect` does, without a screen."""
        self.home.open(create=True).claim_realm("sandbox")
        await asyncio.gather(*(self._link(host, user) for user in users))

    async def _link(self, host: LinkHost, user: str) -> None:
        session = self.home.session(user)
        session.create()
        link = await host.start(LinkSpec(user, session.folder, "pair"))
        await self.box.scan(user, await _first_code(link))
        await until(lambda: self.device(user).active, f"{user} was linked", LINKED_WITHIN)
        await link.stop()
        now, found = time.time(), session.device()
        if found is None:
            raise Broken(f"{user} was linked and has no credentials")
        # The pairing is told to be old: what happens to a young one is not what most rows are about.
        record = SessionRecord(user, now, State.NEW, NEVER_STARTED.code, now, paired_at=now - 3600, jid=found.jid, lid=found.lid)
        session.record.save(record)

    async def run(self, *arguments: str, **environment: str) -> Command:
        """Any wasess command."""
        return await self._start("wasess", *arguments, environment=environment)

    async def serve(self, *options: str, under: tuple[str, ...] = ()) -> Command:
        """`wasess serve` with the drill's bot; ``under`` another command that becomes it."""
        bot = ("--bot", "bot.py:reply", "--brake", "0")  # the drill writes as soon as it is answered, as a machine does
        return await self._manage("wasess", "serve", "--events", *bot, *options, under=under)

    async def jumping_serve(self, offset: Path) -> Command:
        """A manager whose wall clock is off by the seconds that stand in a file, now."""
        words = (str(self.home.path), str(self.box.contract_path), str(self.folder / "bot.py"), str(offset))
        return await self._manage("wasess.drill.jumping_clock", *words)

    async def stop(self) -> int:
        """End the manager as an operator does; return its exit code."""
        self.manager.signal(signal.SIGTERM)
        return await self.manager.over(STOPPED_WITHIN)

    async def online(self, *users: str, seconds: float = ONLINE_WITHIN) -> None:
        """Wait until the manager and the server agree that these sessions are up."""
        manager = self.manager

        def up(user: str) -> bool:
            said = any(line.session == user and line.state == "online" for line in manager.told)
            return said and self.device(user).online

        def missing() -> str:
            return f"online: {', '.join(user for user in users if not up(user))}; the manager said: {manager.last_words}"

        await until(lambda: all(map(up, users)) or not manager.alive, missing, seconds)
        if not manager.alive:
            raise Broken(f"the manager ended: {manager.last_words}")

    def device(self, user: str) -> Device:
        """What the server knows of a session."""
        device = self.box.state.device(user)
        if device is None:
            raise Broken(f"{user} is not linked")
        return device

    async def _manage(self, module: str, *arguments: str, under: tuple[str, ...] = ()) -> Command:
        self.managers.append(await self._start(module, *arguments, under=under))
        return self.manager

    async def _start(self, module: str, *arguments: str, environment: dict[str, str] | None = None, under: tuple[str, ...] = ()) -> Command:
        ours = self.environment | (environment or {})
        started = await Command.start("-m", module, *arguments, folder=self.folder, environment=ours, under=under)
        self._commands.append(started)
        return started

    async def close(self) -> None:
        """End everything that runs here."""
        await asyncio.gather(*(command.close() for command in self._commands))


async def _first_code(link: Link) -> str:
    async for found in link.signals():
        if found.kind == "qr":
            return found.value
    raise Broken("a worker ended before it showed a code")
