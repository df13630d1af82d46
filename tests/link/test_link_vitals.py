from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wasess.link.port import Vitals
from wasess.link.vitals import look, parse_stat


def test_this_process_is_alive_and_uses_memory():
    found = look(os.getpid(), Vitals(line_age=3.0))
    assert found.state == "R"
    assert found.cpu > 0
    assert found.memory > 1 << 20
    assert found.line_age == 3.0


def test_of_a_process_that_is_gone_nothing_is_known():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        gone = process.pid
    assert look(gone, Vitals(unacked_age=1.0)) == Vitals(unacked_age=1.0)


@pytest.mark.parametrize("name", ["python3", "a) T (b", "evil) R 1 2 3"])
def test_a_name_does_not_disturb(name):
    line = f"71 ({name}) T 1 71 71 0 -1 4194560 5 0 0 0 250 50 0 0 20 0 1 0 1 1 1"
    assert parse_stat(line) == ("T", 3.0 * 100 / os.sysconf("SC_CLK_TCK"))
