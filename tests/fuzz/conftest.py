from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from tryout import Place

import wasess.assembly  # noqa: F401 - what loads longest: six processes at once compile it in a fresh clone, and no command is slow for that

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path, pytestconfig: pytest.Config) -> Place:
    """Where commands are typed."""
    return Place(tmp_path, pytestconfig.stash[fault_handler_stderr_fd_key])
