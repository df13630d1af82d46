"""What the server says: logouts, bans, refusals, errors of the stream, and pairings that go wrong (FAULTS.md 5.3, rows 9 to 15)."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from wasess.drill import virtual
from wasess.drill.process import family, living, until
from wasess.drill.row import Row, Seen
from wasess.drill.scene import require
from wasess.store.device import DEVICE_NAME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from wasess.drill.process import Command
    from wasess.drill.scene import Scene

WATCHED = 4.0  # seconds in which nothing must be dialled
BAN = 3
PAIRING_FAILED = 4
RATHER = 2.0  # between the moment a pause begins and the moment it is told


def refused_for_good(reason: str, code: str) -> Callable[[Scene], Awaitable[Seen]]:
    """401, 403, 406: the credentials stay, nobody dials, no code is shown, and other sessions do not notice."""

    async def act(scene: Scene) -> Seen:
        other = scene.users[1]
        await scene.pause(3)
        await scene.probe()
        key = await asyncio.to_thread(noise_key, scene.stage.home.session(scene.user).folder)
        scene.break_it("failure", reason)
        broken = scene.break_it("rst")
        told = await scene.noticed(broken, lambda line: line.state == "logged_out", seconds=15, what="logged_out")
        require(told.code == code, f"the code was {told.code}, not {code}")
        await scene.still("dialled", told.at, WATCHED)
        scene.no_code_shown()
        kept = await asyncio.to_thread(holds, scene.stage.home.session(scene.user).folder, key)
        require(kept, "the credentials are gone from device.db")
        await scene.probe(other)
        return Seen(f"{scene.words(broken)}; nothing dialled for {WATCHED:.0f} s, credentials kept, no code", told.at - broken)

    return act


async def banned(scene: Scene) -> Seen:
    """402: paused until it is over, then one try."""
    await scene.probe()
    scene.break_it("failure", f"402:101:{BAN}", "count=1")
    broken = scene.break_it("rst")
    letter = scene.write()
    told = await scene.noticed(broken, lambda line: line.code == "BANNED", seconds=15, what="BANNED")
    ends = told.next_retry_at or 0
    arrived = await scene.arrived(letter, 30)
    dials = scene.happenings("dialled", told.at)
    require(dials and dials[0] >= ends - 0.1, f"it dialled {ends - dials[0]:.1f} s before the ban was over")
    require(len(dials) == 1, f"it dialled {len(dials)} times")
    await scene.probe()
    happened = f"{told} for {ends - told.at:.1f} s, the next dial {dials[0] - ends:.1f} s after its end"
    return Seen(happened, told.at - broken, max(0.0, arrived - ends))


async def outdated(scene: Scene) -> Seen:
    """405, for two sessions: an hour's pause, and people are told once."""
    await asyncio.gather(*(scene.probe(user) for user in scene.users))
    for user in scene.users:
        scene.break_it("failure", "405", "count=1", user=user)
    broken = time.time()
    for user in scene.users:
        scene.break_it("rst", user=user)
    letters = [scene.write(user) for user in scene.users]
    told = [
        await scene.noticed(broken, lambda line: line.state == "outdated", user=user, seconds=15, what="outdated") for user in scene.users
    ]
    pauses = [(line.next_retry_at or 0) - line.at for line in told]
    require(all(3000 <= pause <= 4200 for pause in pauses), f"the next tries are {pauses} s away, not about an hour")
    for user in scene.users:
        await scene.still("dialled", told[-1].at, WATCHED / 2, user)
    alerts = [line for line in scene.manager.told if line.code == "OUTDATED" and line.level == "error" and line.at >= broken]
    require(len(alerts) == 1, f"{len(alerts)} alerts, not one, for {len(scene.users)} sessions")
    require("pip install" in told[0].action, "the alert does not say how to upgrade")
    recovered = await _restart(scene, letters[0].id)
    return Seen(f"{told[0]}, next try in {pauses[0] / 60:.0f} min, one alert; back after a restart", told[0].at - broken, recovered)


def unknown_refusal(value: str) -> Callable[[Scene], Awaitable[Seen]]:
    """A login refused in words the library does not know: the worker ends, the code is named, the next try is minutes away."""

    async def act(scene: Scene) -> Seen:
        await scene.pause(3)
        await scene.probe()
        worker = _worker(scene)
        scene.break_it("failure", value, "count=1")
        broken = scene.break_it("rst")
        letter = scene.write()
        told = await scene.noticed(broken, lambda line: line.code == "REFUSED_UNKNOWN", seconds=20, what="REFUSED_UNKNOWN")
        pause = (told.next_retry_at or 0) - told.at
        require(pause >= 60 - RATHER, f"the next try is {pause:.0f} s away, and must be 60 s or more")
        await until(lambda: not living({worker}), "the old worker ended", 5)
        await scene.still("dialled", told.at, WATCHED)
        recovered = await _restart(scene, letter.id)
        return Seen(f"{told}, next try in {pause:.0f} s; back after a restart of the manager", told.at - broken, recovered)

    return act


async def failing_515(scene: Scene) -> Seen:
    """The library dials once after a 515, and never again."""
    await scene.pause(3)
    await scene.probe()
    scene.break_it("refuse", "count=1")
    broken = scene.break_it("stream-error", "515")
    letter = scene.write()
    arrived = await scene.arrived(letter, 70)
    told = await scene.noticed(broken, seconds=5)
    await scene.probe()
    return Seen(scene.words(broken), told.at - broken, arrived - broken)


async def failing_515_in_pairing(scene: Scene) -> Seen:
    """The phone has accepted; the dial after that fails."""
    user = f"{scene.dice.randrange(10**6)}-pairing-515"
    scene.break_it("failing-515", "1", user=user)
    connecting = await scene.stage.run("connect", user)
    await scene.box.scan(user, await _code(scene, connecting, user))
    scanned = time.time()
    code = await connecting.over(45)
    require(code == 0, f"connect ended with exit code {code}: {connecting.last_words}")
    require(scene.stage.device(user).logins >= 1, "it says that it is linked, and has never logged in")
    require(not family(connecting.pid), "a process was left behind")
    return Seen("connect linked it all the same, exit code 0", None, time.time() - scanned)


async def replaced(scene: Scene) -> Seen:
    """Another client logs in with the same credentials: a minute's pause, three times, then it is a human's turn."""
    await scene.pause(3)
    await scene.probe()
    broken = scene.break_it("stream-error", "replaced")
    letter = scene.write()
    told = await scene.noticed(broken, lambda line: line.code == "REPLACED", seconds=15, what="REPLACED")
    pause = (told.next_retry_at or 0) - told.at
    require(60 - RATHER <= pause <= 90, f"the next try is {pause:.0f} s away, and must be a minute")
    await scene.still("dialled", told.at, WATCHED)
    pauses = virtual.replaced_again_and_again(scene.dice)
    require(pauses[-1] is None and len(pauses) == 4, f"virtual: it tried with these pauses: {pauses}")
    require(virtual.waits_for_nobody(scene.dice), "virtual: it dialled although it is a human's turn")
    recovered = await _restart(scene, letter.id)
    happened = f"{told} ({told.reason}), next try in {pause:.0f} s; virtual: three tries, then it waits for a human; back after a restart"
    return Seen(happened, told.at - broken, recovered)


async def code_runs_out(scene: Scene) -> Seen:
    """Nobody scans."""
    user = f"{scene.dice.randrange(10**6)}-no-phone"
    seconds = scene.dice.choice((3, 4, 5))
    connecting = await scene.stage.run("connect", user, "--timeout", str(seconds))
    await _code(scene, connecting, user)
    shown = time.time()
    return await _ended_well(scene, connecting, user, shown, seconds + 5)


async def socket_drops_at_code(scene: Scene) -> Seen:
    """While a code is shown the connection breaks, and WhatsApp can't be reached any more."""
    user = f"{scene.dice.randrange(10**6)}-dropped"
    connecting = await scene.stage.run("connect", user)
    await _code(scene, connecting, user)
    await scene.pause(2)
    scene.break_it("refuse", user=user)
    dropped = scene.break_it("rst", user=user)
    return await _ended_well(scene, connecting, user, dropped, 45)


async def _ended_well(scene: Scene, connecting: Command, user: str, since: float, patience: float) -> Seen:
    """The command ended by itself, said why, and left nothing: no process, no code, no session."""
    below = family(connecting.pid)
    code = await connecting.over(patience)
    took = time.time() - since
    require(code not in {0, 1} and code > 0, f"connect ended with exit code {code}: {connecting.last_words}")
    require(not any("Traceback" in line for line in connecting.log), "connect ended with a traceback")
    await until(lambda: not living(below), "every process of connect ended", 5)
    require(not (scene.box.directory / "camera" / user).exists(), "the code is still to be seen")
    errors = [line for line in connecting.log if line.startswith("error:")]
    require(errors, f"connect did not say why it ended: {connecting.last_words}")
    return Seen(f"{errors[-1].strip()} (exit code {code}, no process left)", took)


async def _code(scene: Scene, connecting: Command, user: str) -> str:
    camera: Path = scene.box.directory / "camera" / user
    await until(lambda: camera.exists() or not connecting.alive, lambda: f"a code was shown: {connecting.last_words}", 20)
    code = await asyncio.to_thread(_read, camera)
    require(code, f"connect ended: {connecting.last_words}")
    return code


async def _restart(scene: Scene, letter_id: str) -> float:
    """Restart the manager, which is what an operator does; return how long the letter took then."""
    await scene.stage.stop()
    restarted = time.time()
    await scene.stage.serve()
    letter = next(letter for letter in scene.letters if letter.id == letter_id)
    arrived = await scene.arrived(letter, 20)
    await scene.probe()
    return arrived - restarted


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _worker(scene: Scene) -> int:
    holder = scene.stage.home.session(scene.user).lock_holder()
    return holder.pid if holder else 0


def noise_key(folder: Path) -> bytes:
    """The device's key in device.db, to be found again."""
    with closing(_database(folder)) as database:
        return bytes(database.execute("SELECT noise_key FROM whatsmeow_device").fetchone()[0])


def holds(folder: Path, key: bytes) -> bool:
    """Whether any table of device.db still holds this key."""
    with closing(_database(folder)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return any(key in line for name in tables for line in database.execute(f'SELECT * FROM "{name}"'))  # noqa: S608 - its own names


def _database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(folder.absolute() / DEVICE_NAME))}?mode=ro", uri=True, timeout=5)


def _logout_row(reason: str, code: str) -> Row:
    return Row(
        f"failure-{reason}",
        "5.3/9",
        f"the login is refused with {reason}",
        "LOGGED_OUT within 10 s; credentials kept, no dial, no code; others untouched",
        refused_for_good(reason, code),
        detect_within=10,
        users=2,
    )


ROWS = (
    _logout_row("401", "LOGGED_OUT"),
    _logout_row("403", "ACCOUNT_LOCKED"),
    _logout_row("406", "ACCOUNT_BANNED"),
    Row(
        "ban-402",
        "5.3/10",
        f"the login is refused with 402 (a ban of {BAN} s)",
        "paused until it is over, no dial before, one try within 5 s after",
        banned,
        bound=5,
        detect_within=10,
    ),
    Row(
        "outdated-405",
        "5.3/11",
        "the logins of two sessions are refused with 405",
        "OUTDATED, one alert, next try in about an hour",
        outdated,
        bound=15,
        detect_within=10,
        ground="own",
        users=2,
    ),
    Row(
        "refused-418",
        "5.3/12",
        "the login is refused with the unknown code 418",
        "the worker ends at once, the code is named, slow retry",
        unknown_refusal("418"),
        bound=15,
        detect_within=10,
        ground="own",
    ),
    Row(
        "refused-499",
        "5.3/12",
        "the login is refused with the unknown code 499",
        "the worker ends at once, slow retry",
        unknown_refusal("499"),
        bound=15,
        detect_within=10,
        ground="own",
    ),
    Row(
        "failing-515",
        "5.3/13",
        "stream error 515, and the dial after it fails",
        "back within 20 s",
        failing_515,
        bound=20,
        patient=True,
    ),
    Row(
        "pairing-515",
        "5.3/13",
        "after the scan: 515, and the dial after it fails",
        "linked within 20 s",
        failing_515_in_pairing,
        bound=20,
        ground="own",
        users=0,
        serves=False,
        patient=True,
    ),
    Row(
        "replaced",
        "5.3/14",
        "another client logs in with the same credentials",
        "paused, one try a minute, three at most, then a human's turn",
        replaced,
        bound=15,
        detect_within=10,
        ground="own",
    ),
    Row(
        "code-runs-out",
        "5.3/15",
        "nobody scans the code",
        "a clear message and exit code within 5 s, no process left",
        code_runs_out,
        detect_within=10,
        ground="own",
        users=0,
        serves=False,
    ),
    Row(
        "code-drops",
        "5.3/15",
        "the connection breaks while a code is shown, and can't be had again",
        "a clear message and exit code within 40 s, no process left",
        socket_drops_at_code,
        detect_within=40,
        ground="own",
        users=0,
        serves=False,
        patient=True,
    ),
)
