"""Homes of which something is broken: every command ends soon and says so, and takes nothing with it that was there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from damage_values import DAMAGES
from fuzzed_home import Broken, Damage, healthy
from hypothesis import strategies as st
from tryout import LIMIT, changes, files, judge_json, try_all

if TYPE_CHECKING:
    from pathlib import Path

    from tryout import Files, Place

pytestmark = LIMIT

LOOKING = [
    *("list", "status", "status alice", "verify --all", "verify alice", "verify --all --nagios", "diagnose --offline"),
    *("diagnose alice --offline", "logs", "logs alice", "config", "remove alice"),
]
# What may become of the files, as ``path kind``. Who looks at a database in WAL mode leaves SQLite's own files there.
ALWAYS = rb"(streams|desk|person)/.*|home/.*/device\.db-(wal|shm) new"
# A journal that a dead writer has left is SQLite's to roll back, with the session's lock held.
ROLLED_BACK = [rb"home/alice/device\.db-(journal|wal|shm) (gone|content)", rb"home/alice/lock (new|content)"]
REPAIRS = [
    rb"home/.* mode",
    rb"home/(.*/)?\.?lock (new|content)",
    rb"home/[^/]*/session\.json content",
    rb"home/(\.control\.sock|.*\.tmp) gone",
]
MAY_CHANGE = {
    "pause alice": [rb"home/alice/paused new"],
    "resume alice": [rb"home/alice/paused gone"],
    "resume carol": [rb"home/carol/paused gone"],
    "rename alice bob": [rb"home/alice/lock (new|content)"],
    "rename alice dave": [rb"home/alice/lock (new|content)", rb"home/alice(/.*)? gone", rb"home/dave(/.*)? new"],
    "remove alice --yes": [rb"home/alice(/.*)? gone", rb"home/alice/.* content", rb"home/alice/lock new"],
    "diagnose --fix --offline": REPAIRS,
    "diagnose alice --fix --offline": REPAIRS,
}
NO_DOCUMENT = {"verify --all --nagios", "logs", "logs alice"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The healthy home."""
    path = tmp_path_factory.mktemp("model") / "home"
    healthy(path)
    return path


def try_out(place: Place, model: Path, damages: list[Damage], command: str, *, as_json: bool) -> None:
    with Broken(model, place.root / "home") as home:
        for damage in damages:
            home.suffer(damage)
        before = files(place.root)
        json, where = ["--json"] * as_json, ["--home", str(home.path)] * (command != "config")
        said = place.type(*command.split(), *where, *json)
        if as_json and command not in NO_DOCUMENT:
            judge_json(said)
        nothing_is_lost(before, files(place.root), command)


def nothing_is_lost(before: Files, after: Files, command: str) -> None:
    """Only what the command says it changes is different, and nothing that was there is nowhere now."""
    journal = any(name.startswith(b"home/alice/device.db-") for name in before)
    may_change = re.compile(b"|".join([ALWAYS, *MAY_CHANGE.get(command, ()), *(ROLLED_BACK if journal else ())]), re.DOTALL)
    for path, kind in changes(before, after).items():
        assert may_change.fullmatch(b"%s %s" % (path, kind.encode())), (command, path, kind)
    if command == "rename alice dave":
        assert _moved(before) == _moved(after)
    if "--fix" in command:
        for path in before.keys() & after.keys():
            if path.endswith(b"session.json") and before[path] != after[path]:
                assert after[path][1] in {before[path][1], before[path + b".bak"][1]}


def _moved(found: Files) -> dict[bytes, object]:
    """What is in the folder of alice, or of dave, and is the same in both."""
    changing = (b"/session.json", b"/session.json.bak", b"/lock")
    below = {name[len(b"home/alice") :]: value for name, value in found.items() if name.startswith(b"home/alice")}
    below |= {name[len(b"home/dave") :]: value for name, value in found.items() if name.startswith(b"home/dave")}
    return {name: value for name, value in below.items() if name not in changing}


CASES = st.tuples(DAMAGES, st.sampled_from(LOOKING * 2 + list(MAY_CHANGE) * 3), st.booleans())
KNOWN = [
    ([Damage("alice/lock", "pipe", 0o600)], "status", True),
    ([Damage(".lock", "pipe", 0o600)], "list", False),
    ([Damage("alice/spool.pos", "pipe", 0o600)], "diagnose --offline", True),
    (
        [Damage("alice/lock", "held", b'{"pid": 7, "host": "h", "boot_id": "b", "purpose": "serve", "since": 1e300}\n')],
        "pause alice",
        False,
    ),
    ([Damage("alice/lock", "twin")], "rename alice dave", False),
    ([Damage("alice/lock", "twin")], "diagnose alice --fix --offline", False),
    ([Damage("alice/device.db", "database", "UPDATE whatsmeow_device SET jid = NULL")], "list", False),
    ([Damage(".log/serve.ndjson", "append", b'{"": "\\u009b"}\n')], "logs", True),
    ([Damage("alice/session.json", "flip", [(0.3125, 128)])], "list", False),
    ([Damage("alice/session.json", "write", b'{"schema": 2, "record": ' + b"[" * 50_000)], "list", False),
]


def test_damaged_homes(place: Place, model: Path):
    def broken(case: tuple[list[Damage], str, bool]) -> None:
        damages, command, as_json = case
        try_out(place, model, damages, command, as_json=as_json)

    try_all("homes", CASES, broken, KNOWN)
