"""Processes that die, hang, sleep or meet each other (FAULTS.md 5.3, rows 17 to 19, 24 and 25)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from wasess.drill.letters import HANG_NAME, HANGING_TEXT
from wasess.drill.process import family, living, stands_still, until
from wasess.drill.row import Broken, Row, Seen
from wasess.drill.scene import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.drill.letters import Letter
    from wasess.drill.scene import Scene

GONE_WITHIN = 5.0
LOCKED_EXIT = 9
WRITES_EVERY = 0.03
LONGEST_SLEEP = 20.0
DAY = 86400


async def manager_killed(scene: Scene) -> Seen:
    """Kill -9 the manager under load; its workers must go, and the next manager gets everything."""
    async with _load(scene):
        await scene.pause(2, 0.5)
        below = family(scene.manager.pid)
        scene.manager.signal(signal.SIGKILL)
        gone = await until(lambda: not living(below), lambda: f"{len(living(below))} processes were gone", GONE_WITHIN)
        await scene.pause(1)
    return await _next_manager(scene, f"its {len(below)} processes were gone after {gone:.1f} s", gone)


async def manager_ended_under_load(scene: Scene) -> Seen:
    """SIGTERM while messages pour in: drained, and nothing is lost."""
    async with _load(scene):
        await scene.pause(2, 0.5)
        below = family(scene.manager.pid)
        ended = time.time()
        code = await scene.stage.stop()
        took = time.time() - ended
        require(code == 0, f"the manager ended with exit code {code}")
        require(took <= 10, f"it took {took:.1f} s")
        require(not living(below), "a process was left behind")
    return await _next_manager(scene, f"drained in {took:.1f} s, exit code 0", took)


async def bot_stuck(scene: Scene) -> Seen:
    """The bot never comes back from one message. Meanwhile others get theirs, and the session stays online."""
    await scene.probe()
    logins = scene.stage.device(scene.user).logins
    hang = scene.stage.folder / HANG_NAME
    hang.touch()
    stuck = scene.write(text=HANGING_TEXT)
    await scene.arrived(stuck, 10)
    hang.unlink()
    slowest = 0.0
    while not (told := [line for line in scene.told(stuck.at) if line.code == "BOT_STUCK"]):
        require(time.time() - stuck.at < 75, f"nobody noticed; {scene.words(stuck.at)}")
        letter = scene.write(contact="somebody-else")
        slowest = max(slowest, await scene.arrived(letter, 10) - letter.at)
        await asyncio.sleep(2)
    again = await until(lambda: scene.stage.got.times(stuck.id) > 1, "the message came again", 20)
    device = scene.stage.device(scene.user)
    require(device.online and device.logins == logins, "the session did not stay online")
    await scene.probe()
    happened = f"restarted; the message came again; others got theirs within {slowest:.2f} s; the session stayed online"
    return Seen(happened, told[0].at - stuck.at, again)


async def worker_sleeps(scene: Scene) -> Seen:
    """SIGSTOP of the session's process: found stuck and replaced, or well again soon after it wakes."""
    await scene.probe()
    worker = _worker(scene)
    seconds = scene.dice.uniform(12, LONGEST_SLEEP)
    os.kill(worker, signal.SIGSTOP)
    await until(lambda: stands_still(worker), "the process stood still", GONE_WITHIN)
    stopped = time.time()
    letter = scene.write()
    try:
        await _arrived_or_over(scene, letter, seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    woken = stopped + seconds
    arrived = await scene.arrived(letter, 40)
    told = scene.told(stopped)
    await scene.probe()
    happened = f"{scene.words(stopped)}; back {arrived - stopped:.1f} s after the stop, which lasted {seconds:.0f} s at most"
    return Seen(happened, told[0].at - stopped if told else None, max(0.0, arrived - woken))


async def manager_sleeps(scene: Scene) -> Seen:
    """SIGSTOP of the manager, and of nothing else."""
    await scene.probe()
    seconds = scene.dice.uniform(6, LONGEST_SLEEP)
    scene.manager.signal(signal.SIGSTOP)
    letter = scene.write()
    try:
        await asyncio.sleep(seconds)
    finally:
        scene.manager.signal(signal.SIGCONT)
    woken = time.time()
    arrived = await scene.arrived(letter, 40)
    slow = await scene.probe()
    await asyncio.sleep(2)  # what was only a suspicion must not turn into an outage
    await scene.probe()
    return Seen(f"slept {seconds:.0f} s; {scene.words(woken)}; the next message in {slow:.2f} s", None, max(0.0, arrived - woken))


async def all_sleep(scene: Scene) -> Seen:
    """SIGSTOP of the manager and everything below it, as in a suspended machine; the server has cut the connection meanwhile."""
    await scene.probe()
    seconds = scene.dice.uniform(6, LONGEST_SLEEP)
    asleep = [scene.manager.pid, *family(scene.manager.pid)]
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    letter = scene.write()
    try:
        await asyncio.sleep(seconds / 2)
        if scene.dice.random() < 0.5:
            scene.break_it("rst")
        await asyncio.sleep(seconds / 2)
    finally:
        for pid in reversed(asleep):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    woken = time.time()
    arrived = await scene.arrived(letter, 40)
    slow = await scene.probe()
    return Seen(f"slept {seconds:.0f} s; {scene.words(woken)}; the next message in {slow:.2f} s", None, max(0.0, arrived - woken))


async def clock_jumps(scene: Scene) -> Seen:
    """The wall clock goes a day forth or back under a manager; what it shows as time is then wrong, what it does is not."""
    offset = scene.stage.folder / "offset"
    offset.write_text("0")
    manager = await scene.stage.jumping_serve(offset)
    await scene.stage.online(scene.user)
    await scene.probe()
    logins = scene.stage.device(scene.user).logins
    slowest = 0.0
    for jump in scene.dice.sample((DAY, -DAY), 2):
        offset.write_text(str(jump))
        slowest = max(slowest, await scene.probe())
        await asyncio.sleep(2)
        require(scene.stage.device(scene.user).logins == logins, f"it logged in again after a jump of {jump / DAY:+.0f} day")
        scene.break_it("rst")  # its timers must still be right
        letter = scene.write()
        slowest = max(slowest, await scene.arrived(letter, 20) - letter.at)
        logins = scene.stage.device(scene.user).logins
    require(manager.alive, f"the manager ended: {manager.last_words}")
    return Seen("online throughout; a reset after each jump was healed", None, slowest)


async def two_managers(scene: Scene) -> Seen:
    """A second manager for the same home."""
    await scene.probe()
    first = scene.manager
    logins = scene.stage.device(scene.user).logins
    second = await scene.stage.run("serve")
    started = time.time()
    code = await second.over(15)
    took = time.time() - started
    require(code == LOCKED_EXIT, f"the second ended with exit code {code}: {second.last_words}")
    require(any(str(first.pid) in line for line in second.log), f"it did not name the holder: {second.last_words}")
    await scene.probe()
    require(first.alive and scene.stage.device(scene.user).logins == logins, "the first did not go on undisturbed")
    return Seen(f"refused with exit code {code}, naming process {first.pid}; the first went on", took)


async def _next_manager(scene: Scene, so_far: str, detected: float) -> Seen:
    started = time.time()
    await scene.stage.serve()
    first = scene.write()
    arrived = await scene.arrived(first, 30)
    lost = await scene.settle(20)
    return Seen(f"{so_far}; the next manager got {len(scene.letters) - lost} of {len(scene.letters)} messages", detected, arrived - started)


async def _arrived_or_over(scene: Scene, letter: Letter, seconds: float) -> None:
    with contextlib.suppress(Broken):
        await scene.arrived(letter, seconds)


@contextlib.asynccontextmanager
async def _load(scene: Scene) -> AsyncIterator[None]:
    """Contacts write all the time."""

    async def write() -> None:
        while True:
            scene.write(contact=f"contact-{scene.dice.randrange(3)}-of-{scene.user}")
            await asyncio.sleep(WRITES_EVERY)

    await scene.probe()
    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


def _worker(scene: Scene) -> int:
    holder = scene.stage.home.session(scene.user).lock_holder()
    require(holder, "the session's process is not known")
    return holder.pid if holder else 0


ROWS = (
    Row(
        "manager-killed",
        "5.3/17",
        "kill -9 of the manager under load",
        "its processes gone within 5 s; the next manager gets everything",
        manager_killed,
        bound=15,
        detect_within=5,
        ground="own",
        users=2,
    ),
    Row(
        "manager-ended",
        "5.3/18",
        "SIGTERM to the manager under load",
        "drained within 10 s, exit code 0; nothing lost",
        manager_ended_under_load,
        bound=15,
        detect_within=10,
        ground="own",
        users=2,
    ),
    Row(
        "bot-stuck",
        "5.3/19",
        "the bot never returns from one message",
        "restarted within 65 s, the message comes again, others never wait, the session stays online",
        bot_stuck,
        bound=20,
        detect_within=65,
        ground="own",
        patient=True,
        deadline=130,
    ),
    Row(
        "worker-sleeps",
        "5.3/24",
        "SIGSTOP of a session's process for 12 to 20 s",
        "back within 10 s after it wakes, or before",
        worker_sleeps,
        bound=10,
        ground="own",
        patient=True,
    ),
    Row(
        "manager-sleeps",
        "5.3/24",
        "SIGSTOP of the manager for 6 to 20 s",
        "back within 10 s after it wakes",
        manager_sleeps,
        bound=10,
        ground="own",
        patient=True,
    ),
    Row(
        "all-sleep",
        "5.3/24",
        "SIGSTOP of the manager and all its processes for 6 to 20 s (a suspended machine)",
        "back within 10 s after waking",
        all_sleep,
        bound=10,
        ground="own",
        patient=True,
    ),
    Row(
        "clock-jumps",
        "5.3/24",
        "the wall clock jumps by a day, forth and back",
        "nobody logs in again; a reset after it is healed within 10 s",
        clock_jumps,
        bound=10,
        ground="own",
        serves=False,
    ),
    Row(
        "two-managers",
        "5.3/25",
        "a second manager is started on the same home",
        "it refuses with exit code 9 and names the first, which goes on",
        two_managers,
        detect_within=10,
        ground="own",
    ),
)
