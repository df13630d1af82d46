"""Runs rows: links what they need, starts managers, lets rows that only wait run side by side, and keeps every row to its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Self

from wasess.drill.process import adopt_orphans, end_descendants
from wasess.drill.row import Broken, Verdict, failed, judge
from wasess.drill.scene import Scene
from wasess.drill.stage import Stage, UsersBot
from wasess.errors import WasessError
from wasess.link.contract import Contract
from wasess.link.host import WorkerHost
from wasess.sandbox.usecases import Sandbox
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasess.drill.row import Row

    Progress = Callable[[str], None]

BRISK_AT_ONCE = 2  # rows that keep the machine busy
STARTED_AT_ONCE = 3  # managers
LINKED_AT_ONCE = 6
SETTLES_WITHIN = 10.0
SHARED = "shared"
DEBUG_LINES = 40


class Drill:
    """One run, as a context manager: what it makes is gone afterwards, whatever happens. ``tell`` gets a line of progress now and then."""

    def __init__(self, rows: tuple[Row, ...], seed: int, bot: UsersBot, tell: Progress) -> None:
        self._rows = rows
        self._seed = seed
        self._bot = bot
        self._tell = tell
        self._folder = Path()
        self._stages: dict[str, Stage] = {}
        self._brisk = asyncio.Semaphore(BRISK_AT_ONCE)
        self._starts = asyncio.Semaphore(STARTED_AT_ONCE)
        self._awaited = {row.name for row in rows if row.patient}
        self._calm = asyncio.Event()

    async def __aenter__(self) -> Self:
        adopt_orphans()
        self._folder = Path(tempfile.mkdtemp(prefix="wasess-drill-"))
        self._box = Sandbox(self._folder / "sandbox", claimed_pre_keys=1)
        await self._box.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.gather(*(stage.close() for stage in self._stages.values()))
            await end_descendants()
            await self._box.__aexit__()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def run(self) -> list[Verdict]:
        """Run all rows; return their verdicts in the order of the rows."""
        began = time.monotonic()
        await self._prepare()
        sessions = sum(row.users for row in self._rows)
        self._tell(
            _("{sessions} sessions linked in {seconds:.0f} s; {rows} rows").format(
                sessions=sessions, seconds=time.monotonic() - began, rows=len(self._rows)
            )
        )
        if SHARED in self._stages:
            await self._stages[SHARED].serve()
        return await asyncio.gather(*(self._play(row) for row in self._rows))

    # --- before -----------------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        host, places = WorkerHost(Contract.load(self._box.contract_path)), asyncio.Semaphore(LINKED_AT_ONCE)
        for row in self._rows:
            if self._name(row) not in self._stages:
                self._stages[self._name(row)] = Stage(self._folder / self._name(row), self._box, self._bot)

        async def link(row: Row, user: str) -> None:
            async with places:
                await self._stages[self._name(row)].link(host, (user,))

        try:
            await asyncio.gather(*(link(row, user) for row in self._rows for user in users_of(row)))
        finally:
            await host.close()

    @staticmethod
    def _name(row: Row) -> str:
        return SHARED if row.ground == SHARED else row.name

    # --- a row ------------------------------------------------------------------------------------------------------

    async def _play(self, row: Row) -> Verdict:
        scene = Scene(self._stages[self._name(row)], users_of(row), Random(f"{self._seed}:{row.name}"))  # noqa: S311 - a drill is to be repeated
        if not row.patient and self._awaited:
            await self._calm.wait()
        async with contextlib.nullcontext() if row.patient else self._brisk:
            began = time.monotonic()
            verdict = await self._judged(row, scene)
        if not verdict.ok and os.environ.get("WASESS_DEBUG"):
            self._show(scene)
        self._tell(f"{'ok    ' if verdict.ok else 'FAILED'} {row.name} ({time.monotonic() - began:.0f} s): {verdict.happened}")
        return verdict

    def _show(self, scene: Scene) -> None:
        """Everything that is known of a row that failed."""
        for manager in scene.stage.managers:
            self._tell("\n".join(["its manager said:", *manager.log[-DEBUG_LINES:]]))
            self._tell(
                "\n".join(f"  {line.at:.3f} {line.event} {line} {line.reason}" for line in manager.told if line.session in scene.users)
            )
        for fact in self._box.state.history:
            if fact.user in scene.users:
                self._tell(f"  {fact.at:.3f} server: {fact.user} {fact.what} {fact.detail}")
        got = scene.stage.got.look()
        for letter in scene.letters[-DEBUG_LINES:]:
            receipted = letter.id in scene.stage.device(letter.user).receipted
            self._tell(f"  {letter.at:.3f} letter {letter.id}, got {got.get(letter.id)}, receipted {receipted}")

    async def _judged(self, row: Row, scene: Scene) -> Verdict:
        try:
            await self._begin(row, scene)
            async with asyncio.timeout(row.deadline):
                seen = await row.act(scene)
                lost = await scene.settle(SETTLES_WITHIN)
        except Broken as why:
            return failed(row, str(why), scene.missing())
        except TimeoutError:
            return failed(row, _("not over after {seconds:.0f} s").format(seconds=row.deadline), scene.missing())
        except (WasessError, OSError, ValueError) as error:
            return failed(row, f"{type(error).__name__}: {error}", scene.missing())
        finally:
            if row.ground != SHARED:
                await scene.stage.close()
        return judge(row, seen, lost)

    async def _begin(self, row: Row, scene: Scene) -> None:
        """Bring its sessions up. A start keeps the machine busy: few at a time, and the brisk rows once all patient ones have begun."""
        try:
            if row.serves:
                async with self._starts:
                    if row.ground == "own":
                        await scene.stage.serve(*row.options)
                    await scene.stage.online(*scene.users)
        finally:
            self._awaited.discard(row.name)
            if not self._awaited:
                self._calm.set()


def users_of(row: Row) -> tuple[str, ...]:
    """The names of the sessions of a row; no other row has them."""
    return tuple(f"{row.name}-{number}" for number in range(1, row.users + 1))
