from __future__ import annotations

import os
import random
import time

import pytest

from wasess.store.atomic import write_atomic

WRITER = """
import sys
from pathlib import Path
from wasess.store.atomic import write_atomic
n = 0
while True:
    write_atomic(Path(sys.argv[1]), b"%d" % (n % 10) * 200_000, durable=sys.argv[2] == "True")
    n += 1
    print(n, flush=True)
"""


@pytest.mark.parametrize("durable", [True, False])
def test_replaces_a_file(tmp_path, durable):
    path = tmp_path / "file"
    path.touch(0o644)
    write_atomic(path, b"one", durable=durable)
    write_atomic(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_leaves_the_old_content_and_no_rest_when_it_fails(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "file", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "file").symlink_to("other")
    write_atomic(tmp_path / "file", b"ours")
    assert (tmp_path / "other").read_bytes() == b"theirs"
    assert not (tmp_path / "file").is_symlink()


def test_sweeps_what_killed_writers_left(tmp_path):
    old, young, foreign = (tmp_path / name for name in (".file.1.tmp", ".file.2.tmp", ".other.1.tmp"))
    for path in (old, young, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (time.time() - 100,) * 2)
    write_atomic(tmp_path / "file", b"x")
    assert (old.exists(), young.exists(), foreign.exists()) == (False, True, True)


@pytest.mark.parametrize("durable", [True, False])
def test_a_kill_at_any_instant_leaves_one_whole_content(tmp_path, another, durable):
    seeded = random.Random(7)
    path = tmp_path / "file"
    for _ in range(8):
        with another(WRITER, path, durable):
            time.sleep(seeded.uniform(0, 0.02))  # the instant of the kill is what is random here, not a wait
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1
