from __future__ import annotations

import subprocess
import sys

import pytest

from wasess.errors import WorkerFailed
from wasess.link import wheel


def test_the_installed_library_is_the_published_one():
    wheel.verify(wheel.library())


def test_a_changed_library_is_refused(tmp_path):
    real = wheel.library()
    copy = tmp_path / real.name
    copy.write_bytes(real.read_bytes()[:-1])
    with pytest.raises(WorkerFailed, match="not the library that neonize"):
        wheel.verify(copy)


def test_neonize_is_never_imported():
    program = (
        "import sys; from wasess.link import host, translate, wheel, protobuf; wheel.verify(wheel.library()); protobuf.e2e();"
        " protobuf.neonize(); sys.exit('neonize' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
