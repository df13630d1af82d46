"""The chapter "Troubleshooting" of both READMEs: each situation is brought about, and what it promises is typed and compared."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from chapter import ROOT, Section, Step, joined, sections
from homes import House, Running, until
from situations import damaged, faults, paused, unlinked_on_the_phone
from terminal import Terminal, wasess

from wasess.sandbox.adv import PairingRefused
from wasess.sandbox.envelope import write_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.wire]

USER = "shop"
MIB = 2**20
BAN = "failure 402:101:600"
NEEDS_A_FILE = """
from pathlib import Path

def reply(text):
    return Path(__file__).with_name("mended").read_text() + text
"""
TROUBLE = re.compile(r"  (?:error|warning|advertencia) ")
IN_ORDER = (
    *("no manager", "dead letter", "bot away", "missing", "expired", "too many", "passkey", "replaced", "banned", "outdated"),
    *("paused", "disk full", "damaged", "small terminal", "used up", "locked"),
)


class Person:
    """Types what the chapter says, in its language, and compares."""

    def __init__(self, house: House, language: str, situation: str) -> None:
        self.house = house
        self.language = language
        self.section: Section = sections(language)[IN_ORDER.index(situation)]
        self.environment = {"WASESS_LANG": language}

    async def serve(self, *options: str) -> Running:
        """A manager that has the session online."""
        serve = await self.house.run("serve", *options, environment={"WASESS_DISK_RESERVE": os.environ.get("WASESS_DISK_RESERVE", "32")})
        await self.house.online(serve, USER)
        return serve

    async def start(self, step: Step) -> Running:
        """Type a command that takes its time."""
        name, *arguments = step.command.split()
        assert name == "wasess"
        return await self.house.run(*arguments, environment=self.environment)

    async def reads(self, number: int, exit_code: int, *, seconds: float = 15) -> None:
        """Type the command of a step; again, for what comes about by and by, until it prints what stands below it."""
        step = self.section.steps[number]
        deadline = time.monotonic() + seconds
        while True:
            done = await self.start(step)
            code = await done.over(60)
            if code == exit_code and not step.missing(done.text) and self.tells_all(step, done):
                return
            assert time.monotonic() < deadline, f"exit {code}; not printed: {step.missing(done.text)!r}, or more than that:\n{done.text}"

    def tells_all(self, step: Step, done: Running) -> bool:
        """Whether no error and no warning of a diagnosis is left out of the block."""
        if "diagnose" not in step.command:
            return True
        troubles = [line for line in joined(done.out) if TROUBLE.match(line)]
        return len(troubles) == sum(TROUBLE.match(line) is not None for line in step.lines)

    async def shows(self, number: int, running: Running) -> None:
        """A command that stays prints what stands below it."""
        step = self.section.steps[number]
        await until(lambda: not step.missing(running.text), lambda: f"{step.missing(running.text)!r} in\n{running.text}", 20)

    async def links(self, number: int) -> None:
        """Type a `connect`, and scan its code."""
        connecting = await self.start(self.section.steps[number])
        await self.house.box.scan(USER, await self.code(connecting))
        assert await connecting.over(30) == 0, connecting.text
        await self.shows(number, connecting)

    async def code(self, connecting: Running) -> str:
        """The code that a phone's camera sees."""
        camera = self.house.box.directory / "camera" / USER
        await until(lambda: camera.exists() and camera.read_text(), lambda: f"a code:\n{connecting.text}")
        return camera.read_text()

    async def is_well(self) -> None:
        """It is online, and `wasess verify` has nothing to say."""
        await until(lambda: self.house.device(USER).online, "it is online", 60)
        deadline = time.monotonic() + 10
        while True:
            done = await self.house.run("verify", USER, "--grace", "0")
            if await done.over(20) == 0:
                break
            assert time.monotonic() < deadline, done.text
        assert not done.text


@pytest.fixture(params=["en", "es"])
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with House(tmp_path) as opened:
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
        yield opened


def test_every_section_is_tried(language: str):
    assert len(sections(language)) == len(IN_ORDER)


def test_both_languages_type_the_same_commands():
    english, spanish = sections("en"), sections("es")
    assert [[step.command for step in section.steps] for section in english] == [
        [step.command for step in section.steps] for section in spanish
    ]
    assert [section.exit_code for section in english] == [section.exit_code for section in spanish]
    assert [len(section.causes) for section in english] == [len(section.causes) for section in spanish]


async def test_no_messages_after_a_restart(house: House, language: str):
    person = Person(house, language, "no manager")
    await house.link(USER)
    serve = await person.serve()
    await until(house.home.last_alive, "the manager left a sign", 15)
    serve.process.terminate()
    await serve.over(15)
    house.box.say("carol", USER, "are you there")
    await person.reads(0, person.section.exit_code)
    await person.shows(1, await person.start(person.section.steps[1]))
    await until(lambda: house.box.contact("carol").texts == ["you said: are you there"], "it arrived", 15)
    await person.is_well()


async def test_causes_why_nothing_arrives(house: House, language: str):
    person = Person(house, language, "no manager")
    causes = person.section.causes
    elsewhere = "\n".join(line for section in sections(language) for step in section.steps for line in step.lines)
    assert causes[0] in elsewhere
    assert causes[1] in elsewhere
    await house.link(USER, "other")
    serve = await house.serve("--only", "other")
    await house.online(serve, "other")
    await _diagnosed(person, causes[2])
    serve.process.terminate()
    await serve.over(15)
    await person.serve()
    house.box.say("carol", USER, "are you there")
    await _diagnosed(person, causes[3])
    await faults("refuse connect", "rst")(house, USER)
    await _diagnosed(person, causes[4])


async def _diagnosed(person: Person, part: str) -> None:
    step = Step(f"wasess diagnose {USER}", (f"…{part}…",))
    deadline = time.monotonic() + 20
    while True:
        done = await person.start(step)
        await done.over(30)
        if not step.missing(done.text):
            return
        assert time.monotonic() < deadline, f"{part}:\n{done.text}"


async def test_a_dead_letter(house: House, language: str):
    person = Person(house, language, "dead letter")
    await house.link(USER)
    await house.serve(bot=NEEDS_A_FILE, environment=person.environment)
    house.box.say("carol", USER, "hello")
    await person.reads(0, 0, seconds=20)
    await person.reads(1, 0)
    (house.folder / "mended").write_text("again: ")
    await person.reads(2, 0)
    await until(lambda: house.box.contact("carol").texts == ["again: hello"], "it was answered", 15)


async def test_the_bot_is_away(house: House, language: str):
    person = Person(house, language, "bot away")
    await house.link(USER)
    program = f"sh -c 'test -e mended && exec {sys.executable} examples/program_bot.py'"
    await house.serve("--program", program, environment=person.environment)
    house.box.say("carol", USER, "hello")
    await person.reads(0, 0, seconds=20)
    await person.reads(1, 0)
    (house.folder / "mended").touch()
    await until(lambda: house.box.contact("carol").texts == ["1 words"], "it was answered", 30)


async def test_messages_are_missing(house: House, language: str):
    person = Person(house, language, "missing")
    await house.link(USER)
    await person.serve()
    device = house.device(USER)
    right = device.signed_prekey
    device.signed_prekey = (right[0] + 7, *right[1:])
    house.box.send_plaintext("carol", USER, write_text("hello"))  # for a key that the session does not have; nobody sends it again
    device.signed_prekey = right
    await person.reads(0, 0)


async def test_expired(house: House, language: str):
    person = Person(house, language, "expired")
    await house.link(USER)
    await person.serve()
    await unlinked_on_the_phone(house, USER)
    await person.reads(0, person.section.exit_code)
    await person.links(1)
    await person.is_well()


async def test_the_phone_is_silent(house: House, language: str):
    person = Person(house, language, "expired")
    await house.link(USER)
    session = house.home.session(USER)
    record = session.record.load()
    assert record
    long_ago = time.time() - 10.5 * 86400
    session.record.save(replace(record, created_at=long_ago, paired_at=long_ago, phone_seen_at=long_ago))
    await person.serve()
    await person.reads(2, 0)


async def test_too_many_devices(house: House, language: str):
    person = Person(house, language, "too many")
    house.home.open(create=True).claim_realm("sandbox")
    others = ("one", "two", "three", "four")
    phone = house.box.phone(USER).number
    for other in others:
        connecting = await house.run("connect", other)
        camera = house.box.directory / "camera" / other
        await until(camera.exists, lambda running=connecting: f"a code:\n{running.text}")
        await house.box.scan(other, camera.read_text(), phone=phone)
        assert await connecting.over(30) == 0, connecting.text
    connecting = await person.start(person.section.steps[0])
    with pytest.raises(PairingRefused, match="4 linked devices"):
        await house.box.scan(USER, await person.code(connecting))
    assert await connecting.over(40) == person.section.exit_code
    await person.shows(0, connecting)
    await person.reads(1, 4)
    house.box.unlink(others[0])
    await house.serve()
    await person.links(2)
    await person.is_well()


async def test_passkey(house: House, language: str):
    person = Person(house, language, "passkey")
    connecting = await person.start(person.section.steps[0])
    await person.code(connecting)
    house.box.ask_passkey(USER)
    assert await connecting.over(20) == person.section.exit_code
    await person.shows(0, connecting)


async def test_replaced(house: House, language: str):
    person = Person(house, language, "replaced")
    await house.link(USER)
    await person.serve()
    await faults("stream-error replaced")(house, USER)
    await person.reads(0, person.section.exit_code)
    await person.reads(1, 0)
    await person.is_well()


async def test_banned(house: House, language: str):
    person = Person(house, language, "banned")
    await house.link(USER)
    await person.serve()
    await faults(BAN, "rst")(house, USER)
    await person.reads(0, person.section.exit_code)


async def test_outdated(house: House, language: str):
    person = Person(house, language, "outdated")
    await house.link(USER)
    await person.serve()
    await faults("outdated below=2.3000.1053000000", "rst")(house, USER)
    await person.reads(0, person.section.exit_code)
    await person.reads(1, 0)
    await person.is_well()


async def test_outdated_is_over_after_a_restart(house: House):
    person = Person(house, "en", "outdated")
    await house.link(USER)
    serve = await person.serve()
    await faults("failure 405", "rst")(house, USER)
    await person.reads(0, person.section.exit_code)
    house.box.clear(USER)
    serve.process.terminate()
    await serve.over(15)
    await person.serve()
    await person.is_well()


async def test_paused(house: House, language: str):
    person = Person(house, language, "paused")
    await house.link(USER)
    await person.serve()
    await paused(house, USER)
    await person.reads(0, person.section.exit_code)
    await person.reads(1, 0)
    await person.is_well()


@pytest.mark.alone  # what others free or fill is in its figures
async def test_disk_full(house: House, language: str, monkeypatch: pytest.MonkeyPatch):
    free = shutil.disk_usage(house.folder).free
    reserve = int(free * 0.75) // MIB  # full below it, and free again above 1.25 times as much
    monkeypatch.setenv("WASESS_DISK_RESERVE", str(reserve))
    person = Person(house, language, "disk full")
    person.environment["WASESS_DISK_RESERVE"] = str(reserve)
    await house.link(USER)
    await person.serve()
    filler = house.folder / "filler"
    try:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, int(free * 0.3))
        await person.reads(0, person.section.exit_code, seconds=40)
        assert not house.device(USER).online
    finally:
        filler.unlink()
    await person.is_well()


async def test_damaged(house: House, language: str):
    person = Person(house, language, "damaged")
    await house.link(USER)
    good = (house.home.path / USER / "device.db").read_bytes()
    await damaged(house, USER)
    await house.serve()
    await person.reads(0, person.section.exit_code)
    (house.home.path / USER / "device.db").write_bytes(good)
    await person.is_well()


def test_small_terminal(tmp_path: Path, language: str):
    async def look() -> None:
        async with House(tmp_path) as house:
            step = Person(house, language, "small terminal").section.steps[0]
            ours = {name: value for name, value in os.environ.items() if not name.startswith("WASESS_")}
            ours |= {"WASESS_HOME": str(house.home.path), "WASESS_SANDBOX": str(house.box.contract_path), "WASESS_LANG": language}
            window = Terminal(wasess(*step.command.split()[1:]), ours | {"TERM": "xterm-256color"}, 24, 120)
            try:
                await asyncio.to_thread(
                    window.until, lambda: not step.missing("\n".join(line.rstrip() for line in window.text().splitlines()))
                )
                await asyncio.to_thread(window.resize, 40, 120)
                await house.box.scan(USER, await asyncio.to_thread(window.until_code))
                assert await asyncio.to_thread(window.until_over) == 0
            finally:
                window.close()

    asyncio.run(look())


@pytest.mark.timeout(240)
async def test_the_codes_are_used_up(tmp_path: Path):
    """Both languages at once: WhatsApp's clock can't be hurried."""

    async def wait(house: House, language: str) -> None:
        person = Person(house, language, "used up")
        connecting = await person.start(person.section.steps[0])
        assert await connecting.over(200) == person.section.exit_code
        await person.shows(0, connecting)

    async with House(tmp_path / "en") as english, House(tmp_path / "es") as spanish:  # a house buries whoever has died when it is left
        await asyncio.gather(wait(english, "en"), wait(spanish, "es"))


async def test_locked(house: House, language: str):
    person = Person(house, language, "locked")
    await house.link(USER)
    await person.serve()
    await person.reads(0, person.section.exit_code)
    await person.is_well()
