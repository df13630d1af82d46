"""Inputs that nobody sane would send: stanzas that kill the library's event pump, hostile stanzas, hostile names and files (FAULTS.md 5.4)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from wasess.drill import stanzas
from wasess.drill.row import Row, Seen
from wasess.drill.scene import require
from wasess.sandbox.faults import POISONS

if TYPE_CHECKING:
    from wasess.drill.scene import Scene

POISON_BOUND = 5.0
NEXT_MESSAGE_WITHIN = 1.0
USAGE = 2
HOSTILE_NAMES = (
    "..",
    ".",
    "/",
    "/etc/passwd",
    "../../alice",
    "a/b",
    "%00",
    "a%41",
    "#",
    "a?mode=memory",
    "аlice",  # noqa: RUF001 - the look-alike is the point
    "ａlice",  # noqa: RUF001 - as above
    "Alice",
    "a" * 300,
    "-rf",
    "--help=x",
    "con",
    "nul",
    "com1",
    "a b",
    "a\nb",
    "a\u202eb",
    "alice.",
    "",
)
NAMES_BY_COMMAND = 5


async def poisons(scene: Scene) -> Seen:
    """Each poison, each to a session that has met at most two others, in an order of the dice; each followed by a healthy message.

    The message comes at an instant of the dice: before the session's process has ended, after that, or when the next one is there.
    """
    order = scene.dice.sample(POISONS, len(POISONS))
    shares = [order[number :: len(scene.users)] for number in range(len(scene.users))]
    took: dict[str, float] = {}
    began = time.time()

    async def feed(user: str, names: list[str]) -> None:
        for name in names:
            await scene.probe(user)
            struck = scene.break_it("poison", name, user=user)
            await scene.pause(NEXT_MESSAGE_WITHIN)
            letter = scene.write(user)
            took[name] = await scene.arrived(letter, 80, after=name) - struck
            await scene.probe(user)

    await asyncio.gather(*(feed(user, share) for user, share in zip(scene.users, shares, strict=True)))
    slowest = max(took, key=lambda name: took[name])
    late = [f"{name} {seconds:.1f} s" for name, seconds in sorted(took.items()) if seconds > POISON_BOUND]
    noticed = [line for user in scene.users for line in scene.told(began, user) if line.state == "waiting"]
    happened = f"{len(took)} poisons; slowest: {slowest}" + (f"; late: {', '.join(late)}" if late else "")
    return Seen(f"{happened}; {len(noticed)} workers replaced", None, took[slowest])


async def hostile_stanzas(scene: Scene) -> Seen:
    """Each stanza, in an order of the dice, followed by a healthy message."""
    hostile = stanzas.hostile(scene.dice)
    names = scene.dice.sample(sorted(hostile), len(hostile))
    logins = scene.stage.device(scene.user).logins
    began = time.time()
    slowest, worst = 0.0, ""
    for name in names:
        hostile[name](scene.box, scene.user, f"stranger-of-{scene.user}")
        letter = scene.write()
        took = await scene.arrived(letter, 30, after=name) - letter.at
        if took > slowest:
            slowest, worst = took, name
    again = scene.stage.device(scene.user).logins - logins
    return Seen(f"{len(names)} stanzas, {again} reconnects; slowest after {worst}; {scene.words(began)}", None, slowest)


async def hostile_names(scene: Scene) -> Seen:
    """Names that would leave the home, or mean something to a shell, a URL or another system."""
    before = _below(scene)
    for name in scene.dice.sample(HOSTILE_NAMES, NAMES_BY_COMMAND):
        command = await scene.stage.run("connect", "--timeout", "1", "--", name)
        code = await command.over(20)
        require(code == USAGE, f"connect {name[:20]!a} ended with exit code {code}: {command.last_words[:80]}")
        require(not any("Traceback" in line for line in command.log), f"connect {name[:20]!a} ended with a traceback")
    accepted = [name for name in HOSTILE_NAMES if stanzas.accepted_as_user(name)]
    require(not accepted, f"accepted as user ids: {accepted!a}")
    require(_below(scene) == before, "something was made or changed on the disk")
    return Seen(f"{len(HOSTILE_NAMES)} names refused, {NAMES_BY_COMMAND} of them by the command line with exit code {USAGE}")


async def hostile_files(scene: Scene) -> Seen:
    """Settings and files of the wrong shape: refused in a sentence, or done without; never a traceback, never a dead manager."""
    contract = json.loads(scene.box.contract_path.read_text())
    folder = scene.stage.folder
    cases = {
        "a contract that is no JSON": ("contract", "{"),
        "a contract that is a list": ("contract", "[]"),
        "a contract with a proxy elsewhere": ("contract", json.dumps(contract | {"proxy": "http://169.254.169.254:80"})),
        "a contract with a file as proxy": ("contract", json.dumps(contract | {"proxy": "file:///etc/passwd"})),
        "a contract with numbers": ("contract", json.dumps(contract | {"root_key": 7})),
        "a number of sessions that is none": ("WASESS_MAX_PARALLEL", "many"),
        "a bot that does not exist": ("WASESS_BOT", "nowhere.py:reply"),
        "a bot that is no function": ("WASESS_BOT", "bot.py:GOT"),
    }
    for what, (setting, value) in cases.items():
        if setting == "contract":
            (folder / "contract.json").write_text(value)
            command = await scene.stage.run("serve", WASESS_SANDBOX=str(folder / "contract.json"))
        else:
            command = await scene.stage.run("serve", **{setting: value})
        code = await command.over(20)
        require(code in {1, USAGE}, f"{what}: exit code {code}: {command.last_words[:80]}")
        require(not any("Traceback" in line for line in command.log), f"{what}: a traceback")
        require(any(line.startswith("error:") for line in command.log), f"{what}: no sentence says what is wrong")
    record = scene.stage.home.session(scene.user).folder / "session.json"
    content = record.read_bytes()
    record.write_bytes(content[: len(content) // 2])
    await scene.stage.serve()
    await scene.stage.online(scene.user)
    slow = await scene.probe()
    return Seen(f"{len(cases)} refused in a sentence; a record written half stops no session: its message came in {slow:.2f} s")


def _below(scene: Scene) -> list[str]:
    return sorted(str(path) for path in scene.stage.folder.rglob("*"))


ROWS = (
    Row(
        "poison-stanzas",
        "5.4",
        "stanzas that end the library's event pump",
        "back within 5 s, and the next message arrives",
        poisons,
        bound=POISON_BOUND,
        users=4,
        deadline=150,
    ),
    Row(
        "hostile-stanzas",
        "5.4",
        "stanzas and receipts that nobody sane would send",
        "nothing dies, the next message arrives within 10 s (after a stream error the library itself holds a reply back for 5 s)",
        hostile_stanzas,
        bound=10,
        patient=True,
        deadline=150,
    ),
    Row(
        "hostile-names",
        "5.4",
        "user ids that lead elsewhere",
        "refused with exit code 2, nothing made on the disk",
        hostile_names,
        ground="own",
        users=0,
        serves=False,
    ),
    Row(
        "hostile-files",
        "5.4",
        "settings and files of the wrong shape",
        "refused in a sentence, or done without",
        hostile_files,
        ground="own",
        serves=False,
    ),
)
