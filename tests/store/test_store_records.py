from __future__ import annotations

import json
import random
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasess.core.outages import Outage
from wasess.errors import RecordDamaged, StoreError, UnsafeHome
from wasess.store.record_shape import MIGRATIONS, SCHEMA
from wasess.store.records import HISTORY_LENGTH, Change, RecordFile, SessionRecord

SHAPES = Path(__file__).parent / "shapes"

RECORD = SessionRecord(user="alice", created_at=1_700_000_000.5, state="NEW", reason_code="CREATED", since=1_700_000_000.5)

WRITER = """
import sys
from pathlib import Path
from wasess.core.outages import Outage
from wasess.store.records import Change, RecordFile
file = RecordFile(Path(sys.argv[1]))
while True:
    n = file.load().restarts + 1
    file.note(Change(float(n), "ONLINE", "OK", "x" * 200), restarts=n, outages=(Outage(float(n), None, "STOPPED"),))
    print(n, flush=True)
"""


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "alice"
    path.mkdir(0o700)
    return path


@pytest.fixture
def file(folder):
    return RecordFile(folder)


def change(number: int) -> Change:
    return Change(float(number), "ONLINE", "OK", f"The session came up for the {number}th time.")


def test_there_is_none_at_first(file, folder):
    assert file.load() is None
    assert file.history() == []
    assert not list(folder.iterdir())


def test_remembers_a_record(file, folder):
    full = replace(RECORD, paired_at=1.0, jid="491701234567:3@s.whatsapp.net", lid="1:3@lid", last_online_at=2.0, restarts=4, resume_at=3.0)
    full = replace(full, phone_seen_at=4.5)
    file.save(RECORD)
    file.save(full)
    assert RecordFile(folder).load() == full
    assert (folder / "session.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "session.json").read_bytes())["schema"] == SCHEMA


def test_changes_some_fields(file):
    file.save(RECORD)
    file.note(change(1), state="ONLINE", restarts=1)
    assert file.load() == replace(RECORD, state="ONLINE", restarts=1)
    with pytest.raises(TypeError):
        file.note(change(2), colour="green")
    assert file.history() == [change(1)]


def test_can_not_change_what_is_not_there(file):
    with pytest.raises(StoreError, match="'alice' has no record") as caught:
        file.note(change(1), state="ONLINE")
    assert caught.value.hint == "wasess connect alice"


def test_sees_at_once_what_another_wrote(file, folder):
    file.save(RECORD)
    other = RecordFile(folder)
    assert other.load() == RECORD
    file.note(change(1), state="ONLINE")
    assert other.load() == replace(RECORD, state="ONLINE")
    assert other.history() == [change(1)]


def test_keeps_the_last_changes_in_order(file):
    file.save(RECORD)
    for number in range(HISTORY_LENGTH + 15):
        file.note(change(number))
    assert file.history() == [change(number) for number in range(15, HISTORY_LENGTH + 15)]
    assert file.load() == RECORD


def test_keeps_a_ledger_of_outages(file, folder):
    ledger = (
        Outage(1.5, 2.0, "NETWORK_DOWN", 3, 4),
        *(Outage(float(n), float(n), "STOPPED") for n in range(20)),
        Outage(3.0, None, "STOPPED"),
    )
    assert file.outages() == ()
    file.note(outages=ledger)
    assert RecordFile(folder).read() == (None, ledger)
    file.save(RECORD)
    file.note(change(1), outages=ledger[1:], restarts=2)
    assert file.read() == (replace(RECORD, restarts=2), ledger[1:])
    file.note(change(2))
    assert file.outages() == ledger[1:]
    file.note(outages=())
    assert file.read() == (replace(RECORD, restarts=2), ())
    assert file.history() == [change(1), change(2)]


def test_notes_several_things_in_one_write(file, folder):
    file.save(RECORD)
    before = (folder / "session.json").read_bytes()
    file.note(change(1), change(2), outages=(Outage(1.0, None, "STOPPED"),), state="STOPPED", resume_at=9.0)
    assert (folder / "session.json.bak").read_bytes() == before
    assert file.load() == replace(RECORD, state="STOPPED", resume_at=9.0)
    assert file.history() == [change(1), change(2)]
    with pytest.raises(TypeError):
        file.note(change(3), outages=(), colour="green")
    assert file.outages()


OLD_RECORD = SessionRecord(
    user="alice",
    created_at=1_700_000_000.5,
    state="stopped",
    reason_code="STOPPED",
    since=1_700_090_000.0,
    paired_at=1_700_000_010.25,
    jid="491701234567:3@s.whatsapp.net",
    lid="123:3@lid",
    last_online_at=1_700_000_101.5,
    restarts=2,
)


def test_every_older_shape_has_a_file_and_a_way_to_the_present():
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA))
    assert {path.name for path in SHAPES.glob("session-*")} == {f"session-{number}.json" for number in range(1, SCHEMA)}


@pytest.mark.parametrize("number", range(1, SCHEMA))
def test_a_file_of_an_older_shape_is_read_and_written_back_as_the_present_one(file, folder, number):
    old = (SHAPES / f"session-{number}.json").read_bytes()
    shutil.copyfile(SHAPES / f"session-{number}.json", folder / "session.json")
    (folder / "session.json").chmod(0o600)
    assert file.read() == (OLD_RECORD, ())
    assert [line.code for line in file.history()] == ["PAIRED", "STARTING", "ONLINE", "STOPPED"]
    assert (folder / "session.json").read_bytes() == old  # reading changes nothing
    file.note(change(5), outages=(Outage(5.0, None, "STOPPED"),), phone_seen_at=7.0)
    assert json.loads((folder / "session.json").read_bytes())["schema"] == SCHEMA
    assert (folder / "session.json.bak").read_bytes() == old
    assert file.read() == (replace(OLD_RECORD, phone_seen_at=7.0), (Outage(5.0, None, "STOPPED"),))
    assert len(file.history()) == 5
    # The previous version may be one of the older shape, and still answers.
    (folder / "session.json").write_bytes(b"{")
    assert file.read() == (OLD_RECORD, ())


def test_the_previous_version_answers_for_a_damaged_file(file, folder):
    file.save(RECORD)
    file.note(change(1), state="ONLINE")
    (folder / "session.json").write_bytes(b"")
    assert file.load() == RECORD
    # And the next write repairs the file, without putting the damage over the good copy.
    file.note(change(2), state="STOPPED")
    assert file.load() == replace(RECORD, state="STOPPED")
    (folder / "session.json").write_bytes(b"{")
    assert file.load() == RECORD


@pytest.mark.parametrize("damage", [b"\xae", b"[" * 50_000, b"{}"])
def test_a_peek_at_a_damaged_file_is_at_its_previous_version(file, folder, damage):
    file.save(RECORD)
    content = (folder / "session.json").read_bytes()
    (folder / "session.json").write_bytes(content.replace(b'"record":{"1":{', b'"record":{"1":' + damage))
    assert file.peek() == RECORD


def test_the_first_version_has_a_copy_beside_it(file, folder):
    file.save(RECORD)
    content = (folder / "session.json").read_bytes()
    (folder / "session.json").write_bytes(content[: len(content) // 2])
    assert file.load() == RECORD


def test_refuses_to_guess_or_to_overwrite_when_both_are_damaged(file, folder):
    file.save(RECORD)
    file.save(RECORD)
    for name in ("session.json", "session.json.bak"):
        (folder / name).write_bytes(b"\x00" * 100)
    for attempt in (file.load, file.history, lambda: file.save(RECORD), lambda: file.note(change(1))):
        with pytest.raises(RecordDamaged, match=r"'alice' can't be read.*device\.db") as caught:
            attempt()
        assert "wasess diagnose alice" in caught.value.hint
    assert (folder / "session.json").read_bytes() == b"\x00" * 100


LINE = {"at": 1, "state": "", "code": "", "sentence": "", "number": 1}
ROW = {"start": 1.5, "end": None, "code": "STOPPED", "attempts": 0, "recovered": 0}
WRONG = [
    *(
        {"schema": schema, **tables}
        for schema in (1, SCHEMA)
        for tables in (
            {"record": {"1": {}}},
            {"record": {"1": {"user": 1}}},
            {"record": {"1": []}},
            {"record": []},
            {"record": {"x": {}}},
            {"history": {"1": {**LINE, "at": "now"}}},
            {"history": {"1": {**LINE, "at": float("inf")}}},
            {"history": {"1": {**LINE, "at": 10**400}}},
            {"history": {"1": {"at": 1, "state": "", "code": "", "sentence": ""}}},
        )
    ),
    *({"schema": SCHEMA, "outages": {"1": {name: value for name, value in ROW.items() if name != missing}}} for missing in ROW),
    {"schema": SCHEMA, "outages": {"1": {**ROW, "start": None}}},
    {"schema": SCHEMA, "outages": {"1": {**ROW, "start": float("nan")}}},
    {"schema": SCHEMA, "outages": {"1": {**ROW, "end": "now"}}},
    {"schema": SCHEMA, "outages": {"1": {**ROW, "code": 7}}},
    {"schema": SCHEMA, "outages": {"1": {**ROW, "attempts": True}}},
    {"schema": SCHEMA, "outages": {"1": {**ROW, "recovered": 1.5}}},
    {"schema": SCHEMA, "outages": {"first": ROW}},
    {"schema": SCHEMA, "outages": {"1": "STOPPED"}},
    {"schema": SCHEMA, "outages": [ROW]},
    {"schema": "1"},
    {"schema": True},
    {"schema": 0},
    {"schema": 1.5},
    {"record": {}},
    [],
    None,
    7,
]


@pytest.mark.parametrize("content", WRONG)
def test_json_of_another_shape_is_damage(file, folder, content):
    (folder / "session.json").write_text(json.dumps(content))
    for attempt in (file.load, file.outages, file.history, lambda: file.note(change(1))):
        with pytest.raises(RecordDamaged):
            attempt()


def test_a_field_more_in_a_row_is_no_damage(file, folder):
    (folder / "session.json").write_text(json.dumps({"schema": SCHEMA, "outages": {"1": {**ROW, "more": 1}}}))
    assert file.outages() == (Outage(1.5, None, "STOPPED"),)


def test_a_full_ledger_and_history_are_noted_in_order_whatever_goes_and_comes(file):
    seeded = random.Random(31)
    ledger = ()
    file.save(RECORD)
    for number in range(60):
        kept = [outage for outage in ledger if seeded.random() > 0.1]
        ends = kept[:-1] + [replace(outage, end=outage.start + 1, attempts=number) for outage in kept[-1:]]
        ledger = (*ends, Outage(float(number // 2), None, "STOPPED"))
        file.note(change(number), outages=ledger)
        assert file.outages() == ledger
    assert file.history() == [change(number) for number in range(60)]


def test_json_too_deep_is_damage(file, folder):
    (folder / "session.json").write_text("[" * 100_000)
    with pytest.raises(RecordDamaged):
        file.load()


def test_leaves_the_file_of_a_newer_wasess_alone(file, folder):
    file.save(RECORD)
    file.save(RECORD)
    newer = json.dumps({"schema": SCHEMA + 1, "session": {}})
    (folder / "session.json").write_text(newer)
    for attempt in (file.load, lambda: file.save(RECORD)):
        with pytest.raises(StoreError, match=f"number {SCHEMA + 1}") as caught:
            attempt()
        assert not isinstance(caught.value, RecordDamaged)
    assert (folder / "session.json").read_text() == newer


def test_refuses_a_link(file, folder, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    (folder / "session.json").symlink_to(tmp_path / "other.json")
    with pytest.raises(UnsafeHome):
        file.load()
    with pytest.raises(UnsafeHome):
        file.save(RECORD)


@given(data=st.data())
def test_no_damage_to_the_file_is_taken_for_a_record(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("alice")
    file = RecordFile(folder)
    file.save(RECORD)
    content = (folder / "session.json").read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    (folder / "session.json").write_bytes(content[:cut] + data.draw(st.binary(max_size=4)))
    with suppress(StoreError):
        assert file.load() in {RECORD, None}


def test_a_kill_at_any_instant_leaves_a_record(file, folder, another):
    seeded = random.Random(30)
    file.save(RECORD)
    for _ in range(30):
        with another(WRITER, folder) as writer:
            time.sleep(seeded.uniform(0, 0.03))  # the instant of the kill is what is random here, not a wait
            writer.kill()
            said = int((writer.stdout.read().split() or ["0"])[-1])
        record = file.load()
        assert record is not None
        assert record.restarts >= said
        # A record, a line and an outage that were noted together are found together.
        assert record.restarts == file.history()[-1].at == file.outages()[-1].start
        # The main file itself is whole: nothing had to fall back to the previous version.
        assert json.loads((folder / "session.json").read_bytes())["schema"] == SCHEMA
