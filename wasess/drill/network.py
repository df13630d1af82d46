"""Faults of the network and of whatever stands between this machine and WhatsApp (FAULTS.md 5.3, rows 1 to 8 and 29)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from wasess.drill import virtual
from wasess.drill.process import until
from wasess.drill.row import Row, Seen
from wasess.drill.scene import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.drill.scene import Scene

KEEPALIVE = 30.0  # the longest of the library's own periods
AWAY = 45.0
ANSWERS_WITHIN = 2.0
TOO_MANY_PAUSE = 60.0
RATHER = 0.5  # next_retry_at is told in wall time, measured at two places


async def cut(scene: Scene) -> Seen:
    """Cut the connection; the next message must come, and soon."""
    await scene.pause(3)
    await scene.probe()
    broken = scene.break_it("rst")
    return await _back(scene, broken, broken, 20)


def for_a_while(*words: str, seconds: float) -> Callable[[Scene], Awaitable[Seen]]:
    """A row that sets a fault of the dial for so many seconds and then cuts the connection. The clock of its bound starts at the end of it."""

    async def act(scene: Scene) -> Seen:
        await scene.pause(3)
        await scene.probe()
        scene.break_it(*words, f"seconds={seconds}")
        broken = scene.break_it("rst")
        return await _back(scene, broken, broken + seconds, seconds + 60)

    return act


def with_jitter(act: Callable[[Scene], Awaitable[Seen]]) -> Callable[[Scene], Awaitable[Seen]]:
    """The same row; and the pauses before its tries must differ, so that many sessions never dial in step."""

    async def watched(scene: Scene) -> Seen:
        seen = await act(scene)
        pauses = [round(line.next_retry_at - line.at, 2) for line in scene.told(0) if line.next_retry_at is not None]
        require(len(pauses) < 2 or len(set(pauses)) > 1, f"all pauses before its tries were the same: {pauses}")
        return Seen(f"{len(pauses)} pauses of {', '.join(map(str, pauses))} s; {seen.happened}", seen.detected, seen.recovered)

    return watched


def once(*words: str) -> Callable[[Scene], Awaitable[Seen]]:
    """A row that sets a fault for one dial and then cuts the connection. The clock of its bound starts at the cut."""

    async def act(scene: Scene) -> Seen:
        await scene.pause(3)
        await scene.probe()
        scene.break_it(*words, "count=1")
        broken = scene.break_it("rst")
        return await _back(scene, broken, broken, 80)

    return act


async def black_hole(scene: Scene) -> Seen:
    """The live connection goes silent, at any instant of a keepalive period; new ones would work."""
    await scene.pause(KEEPALIVE)
    await scene.probe()
    broken = scene.break_it("freeze", "live")
    return await _back(scene, broken, broken, 80)


async def tls_stall(scene: Scene) -> Seen:
    """Meanwhile another session of the same manager must answer all the time."""
    neighbour = scene.users[1]
    await scene.pause(3)
    await scene.probe()
    seconds = scene.dice.uniform(10, 14)
    scene.break_it("stall", "tls", f"seconds={seconds:.1f}")
    broken = scene.break_it("rst")
    waiting = asyncio.create_task(_back(scene, broken, broken + seconds, seconds + 60))
    slowest = 0.0
    while not waiting.done():
        slowest = max(slowest, await scene.probe(neighbour))
        await asyncio.wait({waiting}, timeout=1)
    seen = await waiting
    require(slowest <= ANSWERS_WITHIN, f"another session had to wait {slowest:.1f} s for its message")
    return Seen(f"{seen.happened}; another session got its messages within {slowest:.2f} s", seen.detected, seen.recovered)


async def too_many(scene: Scene) -> Seen:
    """HTTP 429: the next try is a minute or more away. The manager is restarted then, to see that the session is well."""
    await scene.probe()
    scene.break_it("http_status", "upgrade", "429", "count=1")
    broken = scene.break_it("rst")
    letter = scene.write()
    told = await scene.noticed(broken, lambda line: line.code == "RATE_LIMITED", seconds=15, what="RATE_LIMITED")
    pause = (told.next_retry_at or 0) - told.at
    require(pause >= TOO_MANY_PAUSE - RATHER, f"the next try is {pause:.0f} s away, and must be {TOO_MANY_PAUSE:.0f} s or more")
    await scene.still("dialled", told.at, 5)
    await scene.stage.stop()
    restarted = time.time()
    await scene.stage.serve()
    recovered = await scene.arrived(letter, 20) - restarted
    await scene.probe()
    return Seen(f"{told}, next try in {pause:.0f} s; back after a restart of the manager", told.at - broken, recovered)


async def away_for_a_day(scene: Scene) -> Seen:
    """In virtual time, with the code that decides in production."""
    walk = virtual.away_for_a_day(scene.dice)
    require(walk.longest_pause <= virtual.LONGEST_PAUSE, f"virtual: once it waited {walk.longest_pause:.0f} s for its next try")
    return Seen(f"virtual: {walk.tries} tries in 24 h, the last failed {walk.last_reason}", walk.detected, walk.recovered)


async def _back(scene: Scene, broken: float, ended: float, patience: float) -> Seen:
    """Wait for the message that was written at the break, then for another one. ``ended``: when the session could come back."""
    letter = scene.write()
    arrived = await scene.arrived(letter, patience)
    told = await scene.noticed(broken, seconds=5)
    slow = await scene.probe()
    await until(lambda: scene.stage.device(scene.user).online, "the session was online", 5)
    return Seen(f"{scene.words(broken)}; the next message in {slow:.2f} s", told.at - broken, max(0.0, arrived - ended))


ROWS = (
    Row("tcp-reset", "5.3/1", "the connection is reset (TCP RST)", "back within 1 s", cut, bound=1),
    Row(
        "server-away",
        "5.3/2",
        "the server refuses every dial for 45 s",
        "back within 10 s after it has returned",
        for_a_while("refuse", seconds=AWAY),
        bound=10,
        ground="own",
        patient=True,
        deadline=150,
    ),
    Row(
        "server-away-a-day",
        "5.3/3",
        "the server refuses every dial for 24 h",
        "back within 60 s after it has returned",
        away_for_a_day,
        bound=60,
        ground="own",
        users=0,
        serves=False,
    ),
    Row(
        "black-hole",
        "5.3/4",
        "the live connection goes silent; new ones would work",
        "noticed and back within 50 s",
        black_hole,
        bound=50,
        detect_within=50,
        ground="own",
        patient=True,
        deadline=150,
    ),
    Row(
        "tls-stall",
        "5.3/5",
        "the TLS handshake is never answered for 10 to 14 s",
        "other sessions never wait; back within 30 s after it ends",
        tls_stall,
        bound=30,
        ground="own",
        users=2,
        patient=True,
        deadline=120,
    ),
    Row(
        "upgrade-stall",
        "5.3/6",
        "one HTTP upgrade is never answered",
        "back within 60 s",
        once("stall", "upgrade"),
        bound=60,
        ground="own",
        patient=True,
        deadline=120,
    ),
    Row(
        "noise-stall",
        "5.3/7",
        "one Noise handshake is never answered",
        "back within 30 s",
        once("stall", "noise"),
        bound=30,
        ground="own",
        patient=True,
    ),
    Row(
        "noise-garbage",
        "5.3/7",
        "one Noise handshake is answered with garbage",
        "back within 10 s",
        once("garbage", "noise"),
        bound=10,
        ground="own",
    ),
    Row("http-429", "5.3/8", "a dial is answered with HTTP 429", "no try for 60 s", too_many, bound=15, detect_within=10, ground="own"),
    Row(
        "http-403",
        "5.3/8",
        "dials are answered with HTTP 403 for 8 s",
        "tries with pauses of the dice, of 60 s at most; back within 60 s after it ends",
        with_jitter(for_a_while("http_status", "upgrade", "403", seconds=8)),
        bound=60,
        ground="own",
        patient=True,
        deadline=110,
    ),
    Row(
        "http-503",
        "5.3/8",
        "dials are answered with HTTP 503 for 8 s",
        "tries with pauses of the dice, of 60 s at most; back within 60 s after it ends",
        with_jitter(for_a_while("http_status", "upgrade", "503", seconds=8)),
        bound=60,
        ground="own",
        patient=True,
        deadline=110,
    ),
    Row(
        "dns-unknown",
        "5.3/29",
        "the name of WhatsApp's host can't be resolved for 8 s (in a sandbox the proxy resolves: it answers 502)",
        "tries with pauses of the dice, of 60 s at most; back within 60 s after it ends",
        with_jitter(for_a_while("http_status", "connect", "502", seconds=8)),
        bound=60,
        ground="own",
        patient=True,
        deadline=110,
    ),
    Row(
        "dns-slow",
        "5.3/29",
        "resolving takes 8 s (in a sandbox the proxy resolves: it answers so late)",
        "back within 15 s",
        once("delay", "connect", "8"),
        bound=15,
        ground="own",
        patient=True,
    ),
)
