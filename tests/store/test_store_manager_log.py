from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from wasess.errors import UnsafeHome
from wasess.store.manager_log import OLD_LOGS, LogReader, log_path, read_log

if TYPE_CHECKING:
    from pathlib import Path


class Writer:
    """Writes numbers as the manager writes its lines, and renames the files as it does."""

    def __init__(self, home: Path) -> None:
        self.path = log_path(home)
        self.path.parent.mkdir(mode=0o700, parents=True)
        self.number = 0

    def write(self, count: int = 1) -> None:
        with self.path.open("a") as file:
            for _ in range(count):
                file.write(json.dumps({"number": self.number}) + "\n")
                self.number += 1

    def rotate(self) -> None:
        for number in range(OLD_LOGS, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if newer.exists():
                newer.replace(older)


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path)


@pytest.fixture
def reader(tmp_path):
    with LogReader(tmp_path) as opened:
        yield opened


def numbers(reader: LogReader) -> list[int]:
    return [entry["number"] for entry in reader.entries()]


def all_numbers(home: Path) -> list[int]:
    return [entry["number"] for entry in read_log(home)]


def test_no_log_is_an_empty_one(tmp_path):
    assert all_numbers(tmp_path) == []
    assert not log_path(tmp_path).parent.exists()


def test_all_files_are_read_the_oldest_first(writer, tmp_path):
    for _ in range(OLD_LOGS + 2):
        writer.write(3)
        writer.rotate()
    writer.write(2)
    assert all_numbers(tmp_path) == list(range(6, 17))


def test_reading_goes_on_over_rotations(writer, reader):
    assert numbers(reader) == []
    writer.write(2)
    assert numbers(reader) == [0, 1]
    assert numbers(reader) == []
    writer.write()
    writer.rotate()
    assert numbers(reader) == [2]
    writer.write()
    writer.rotate()
    writer.write()
    writer.rotate()
    writer.write()
    assert numbers(reader) == [3, 4, 5]
    assert numbers(reader) == []


def test_who_sleeps_through_more_rotations_than_there_are_files_gets_what_is_left(writer, reader):
    writer.write()
    assert numbers(reader) == [0]
    for _ in range(OLD_LOGS + 3):
        writer.rotate()
        writer.write()
    assert numbers(reader) == [writer.number - n for n in range(OLD_LOGS + 1, 0, -1)]


def test_half_a_line_is_waited_for(writer, reader):
    writer.write()
    with writer.path.open("a") as file:
        file.write('{"number": ')
    assert numbers(reader) == [0]
    with writer.path.open("a") as file:
        file.write('"one"}\n')
    assert numbers(reader) == ["one"]


@pytest.mark.parametrize("torn", [b'{"number": 9', b"[1]", b"\xff\xfe", b"null", b"", b"9" * 5000, b"[" * 100_000])
def test_what_is_no_line_is_passed_over(writer, tmp_path, torn):
    writer.write()
    with writer.path.open("ab") as file:
        file.write(torn + b"\n")
    writer.write()
    assert all_numbers(tmp_path) == [0, 1]


def test_a_log_that_others_may_write_is_refused(writer, tmp_path):
    writer.write()
    writer.path.chmod(0o622)
    with pytest.raises(UnsafeHome):
        all_numbers(tmp_path)


def test_a_log_that_leads_elsewhere_is_refused(writer, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"number": 1}\n')
    writer.path.symlink_to(elsewhere)
    with pytest.raises(UnsafeHome):
        all_numbers(tmp_path)
