"""What a row has to work with: its sessions, its dice, letters to write, and questions to the facts."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from wasess.drill.letters import Letter, missing
from wasess.drill.process import until
from wasess.drill.row import Broken
from wasess.drill.told import about, in_words, is_trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from wasess.drill.process import Command
    from wasess.drill.stage import Stage
    from wasess.drill.told import Told
    from wasess.sandbox.usecases import Sandbox

PROBE_WITHIN = 10.0
NOTICED_WITHIN = 70.0


class Scene:
    """``user`` is the first of ``users``. Every letter written here is counted: what the bot never gets is lost."""

    def __init__(self, stage: Stage, users: tuple[str, ...], dice: Random) -> None:
        self.stage = stage
        self.users = users
        self.dice = dice
        self.letters: list[Letter] = []

    @property
    def user(self) -> str:
        """The session the fault is for."""
        return self.users[0]

    @property
    def box(self) -> Sandbox:
        """The stand-in for WhatsApp."""
        return self.stage.box

    @property
    def manager(self) -> Command:
        """The manager that runs."""
        return self.stage.manager

    # --- letters ----------------------------------------------------------------------------------------------------

    def write(self, user: str = "", text: str = "", contact: str = "") -> Letter:
        """A contact writes to a session."""
        user = user or self.user
        text = text or f"letter {len(self.letters)}"
        letter = Letter(self.box.say(contact or f"friend-of-{user}", user, text), user, time.time())
        self.letters.append(letter)
        return letter

    def has(self, letter: Letter) -> bool:
        """Whether the bot has it."""
        return letter.id in self.stage.got.look()

    async def arrived(self, letter: Letter, seconds: float, *, after: str = "") -> float:
        """Wait until the bot has a letter; return when it came (Unix time). ``after``: what came before it, for the complaint."""
        what = f"the message after {after} came" if after else "the message came"
        await until(lambda: self.has(letter), lambda: f"{what}; {self.words(letter.at, letter.user)}", seconds)
        return self.stage.got.look()[letter.id]

    async def probe(self, user: str = "", seconds: float = PROBE_WITHIN) -> float:
        """Write a letter; return how many seconds it took to the bot."""
        letter = self.write(user)
        return await self.arrived(letter, seconds) - letter.at

    def missing(self) -> int:
        """How many letters the bot has not got."""
        return len(missing(self.letters, self.stage.got.look()))

    async def settle(self, seconds: float) -> int:
        """Wait until the bot has every letter, or the time is over; return how many it has not got."""
        with suppress(Broken):
            await until(lambda: not self.missing(), "everything came", seconds)
        return self.missing()

    # --- facts ------------------------------------------------------------------------------------------------------

    def break_it(self, *words: str, user: str = "") -> float:
        """Set a sandbox fault; return the moment (Unix time)."""
        self.box.fault(user or self.user, *words)
        return time.time()

    def told(self, since: float, user: str = "") -> list[Told]:
        """What the managers told of a session since a moment."""
        lines = [line for manager in self.stage.managers for line in manager.told]
        return about(lines, user or self.user, since)

    def words(self, since: float, user: str = "") -> str:
        """The same, for people."""
        return in_words(self.told(since, user))

    async def noticed(
        self,
        since: float,
        fits: Callable[[Told], bool] = is_trouble,
        *,
        user: str = "",
        seconds: float = NOTICED_WITHIN,
        what: str = "",
    ) -> Told:
        """Wait until the manager tells something of a session that fits."""
        user = user or self.user
        found: list[Told] = []

        def look() -> bool:
            found.extend(filter(fits, self.told(since, user)))
            return bool(found)

        await until(look, lambda: f"{what or 'trouble'} was told; {self.words(since, user)}", seconds)
        return found[0]

    def happenings(self, what: str, since: float, user: str = "") -> list[float]:
        """When the server saw this of a session: ``dialled``, ``connected`` (up to the login), ``logged-in``, ``disconnected``, ``refused``."""
        user = user or self.user
        return [fact.at for fact in self.box.state.history if fact.user == user and fact.what == what and fact.at >= since]

    async def still(self, what: str, since: float, seconds: float, user: str = "") -> None:
        """Watch for some seconds that the server sees nothing of the kind. Raises `Broken` when it does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.happenings(what, since, user):
                raise Broken(f"{user or self.user} {what} again; {self.words(since, user)}")
            await asyncio.sleep(0.05)

    def no_code_shown(self) -> None:
        """Raises `Broken` when somebody showed a pairing code for one of the sessions."""
        shown = [user for user in self.users if (self.box.directory / "camera" / user).exists() or user in self.box.service.pairings]
        if shown:
            raise Broken(f"a pairing code was shown for {', '.join(shown)}")

    async def pause(self, most: float, least: float = 0.0) -> None:
        """Let the dice choose the instant."""
        await asyncio.sleep(self.dice.uniform(least, most))


def require(condition: object, complaint: str) -> None:
    """Raise `Broken` with the complaint unless it holds."""
    if not condition:
        raise Broken(complaint)
