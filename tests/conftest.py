from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from wasess.words import VARIABLES

if TYPE_CHECKING:
    import pytest

# The tests and the commands they start speak English, whatever this machine does.
for name in VARIABLES:
    os.environ.pop(name, None)
os.environ["LANG"] = "C.UTF-8"
# What they write can be written by nobody else, also where a user's files are his group's: a bot's file that others can write is refused.
os.umask(0o022)

# A machine that is busy with other tests fails none. In CI the inputs are the same each time: what is new there is the commit.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI")))
settings.load_profile("here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=20, help="how often `wasess serve` is killed by the test that does so (20)")
