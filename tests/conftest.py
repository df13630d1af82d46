from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasess.words import VARIABLES

if TYPE_CHECKING:
    import pytest

# The tests and the commands they start speak English, whatever this machine does.
for name in VARIABLES:
    os.environ.pop(name, None)
os.environ["LANG"] = "C.UTF-8"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=20, help="how often `wasess serve` is killed by the test that does so (20)")
