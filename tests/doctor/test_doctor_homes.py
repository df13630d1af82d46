"""Half-destroyed homes: each is looked at without a traceback, what is wrong is named, and nothing is changed."""

from __future__ import annotations

import itertools
import json
import os
import random
from typing import TYPE_CHECKING

import pytest
from damages import DAMAGES, Damage
from linked_homes import codes, link

from wasess.cli.app import run
from wasess.doctor.examination import HOME_FACTS, SESSION_FACTS, document
from wasess.errors import WasessError
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.doctor.examination import Diagnosis
BY_NAME = {damage.name: damage for damage in DAMAGES}
DOCUMENTED = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}


def pairs() -> list[tuple[Damage, ...]]:
    """Every two damages, in both orders that matter: what leaves nothing to strike comes last."""
    return [tuple(sorted(pair, key=lambda damage: damage.gone)) for pair in itertools.combinations(DAMAGES, 2)]


def states(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every name below, with what a change would change."""
    return {str(path): (found := path.lstat(), (found.st_mode, found.st_size, found.st_mtime_ns))[1] for path in folder.rglob("*")}


def broken(home: Home, *damages: Damage) -> None:
    link(home)
    for damage in damages:
        try:
            damage.strike(home.path)
        except (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError):
            continue  # the one before has left nothing to strike


def sound(diagnosis: Diagnosis) -> None:
    """What holds for any home."""
    plain = document(diagnosis)
    json.dumps(plain)
    assert plain.keys() == {"home", "manager", "findings", "sessions"}
    assert plain["home"].keys() == set(HOME_FACTS)
    assert all(found.keys() == {*SESSION_FACTS, "findings"} for found in plain["sessions"])
    assert diagnosis.exit_code in DOCUMENTED
    for found in diagnosis.all_findings():
        assert found.code != "CHECK_FAILED", found
        assert bool(found.fix) == (found.level != "ok")
        assert found.sentence.isprintable(), found


def test_a_home_that_is_well_but_for_its_manager(home: Home, looked: Callable[..., Diagnosis]):
    link(home)
    diagnosis = looked(home)
    sound(diagnosis)
    assert codes(diagnosis, "error") == {"NO_MANAGER"}
    assert codes(diagnosis, "warning") == {"NO_MANAGER"}
    assert codes(diagnosis, "ok") >= {"HOME_SAFE", "DISK", "VERSIONS", "LINKED", "UPTIME", "MESSAGES", "PHONE_SEEN"}
    assert diagnosis.exit_code == 8
    assert diagnosis.sessions[0].facts["phone"] == "49***67"
    assert diagnosis.sessions[0].facts["device_db"] == "intact"
    assert "491701234567" not in json.dumps(document(diagnosis))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_each_damage_is_named(home: Home, looked: Callable[..., Diagnosis], damage: Damage):
    broken(home, damage)
    before = states(home.path.parent)
    diagnosis = looked(home)
    assert states(home.path.parent) == before
    sound(diagnosis)
    assert damage.code in codes(diagnosis), diagnosis
    assert diagnosis.exit_code == _exit_code(damage)


def _exit_code(damage: Damage) -> int:
    """A closed folder is open to root; an open session keeps its own exit code, an open home is an error of the home's."""
    return {"session-open": 1, "session-closed": 8 if os.geteuid() == 0 else 1}.get(damage.name, damage.exit_code)


@pytest.mark.parametrize("first", DAMAGES, ids=lambda damage: damage.name)
def test_any_two_damages(tmp_path: Path, looked: Callable[..., Diagnosis], first: Damage):
    for number, pair in enumerate(pair for pair in pairs() if pair[0] is first):
        home = Home(tmp_path / str(number)).open(create=True)
        broken(home, *pair)
        sound(looked(home, "alice" if number % 2 else ""))


@pytest.mark.parametrize("seed", range(30))
def test_many_damages_and_the_command_itself(home: Home, seed: int, capsys: pytest.CaptureFixture[str]):
    """Also with --fix and --bundle: no traceback, one document, a documented exit code, and what is good stays."""
    dice = random.Random(seed)
    chosen = sorted(dice.sample(DAMAGES, dice.randint(3, 12)), key=lambda damage: damage.gone)
    broken(home, *chosen)
    archive = home.path.parent / "bundle.zip"
    options = ["--home", str(home.path), "--offline", "--json", *(["--fix"] if seed % 2 else []), "--bundle", str(archive)]
    code = run(["diagnose", *options])
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert code in DOCUMENTED, chosen
    assert told["data"], told
    assert "Traceback" not in shown.err
    assert archive.stat().st_size > 500


@pytest.mark.parametrize("damage", [BY_NAME[name] for name in ("session-is-file", "session-is-link", "home-missing", "home-is-file")])
def test_a_user_that_can_not_be_found(home: Home, looked: Callable[..., Diagnosis], damage: Damage):
    broken(home, damage)
    diagnosis = looked(home, "alice")
    assert diagnosis.exit_code == 4
    assert any(found.session == "alice" and found.level == "error" for found in diagnosis.findings)


def test_a_user_that_does_not_exist_gets_the_command_to_type(home: Home, capsys: pytest.CaptureFixture[str]):
    link(home)
    assert run(["diagnose", "bob", "--home", str(home.path), "--offline"]) == 4
    shown = capsys.readouterr()
    assert "there is no session bob" in shown.out
    assert "next: wasess connect bob" in shown.err
    assert "alice" not in shown.out
    assert run(["diagnose", "B ob", "--home", str(home.path), "--offline"]) == 2


def test_an_error_of_the_home_alone_ends_with_1(home: Home, looked: Callable[..., Diagnosis]):
    assert looked(home).exit_code == 0
    home.path.chmod(0o755)
    assert looked(home).exit_code == 1
    home.path.chmod(0o700)
    assert looked(home, reserve=2**62).exit_code == 1
    assert "DISK_FULL" in codes(looked(home, reserve=2**62))
    room = looked(home).home["room"]
    low = looked(home, reserve=room // 2)
    assert ("DISK_LOW" in codes(low), low.exit_code) == (True, 0)


def test_errors_of_the_store_are_none_of_the_command(home: Home):
    """What the other commands refuse with an error, this one reports."""
    broken(home, BY_NAME["home-open"])
    with pytest.raises(WasessError):
        home.open(create=False)
    assert run(["diagnose", "--home", str(home.path), "--offline"]) == 8
