from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from tryout import Place

from wasess.cli.app import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path


# In a fresh clone six processes compile all commands at once; no command is slow for that.
for command in COMMANDS:
    importlib.import_module(f"wasess.cli.{command}")


@pytest.fixture
def place(tmp_path: Path, pytestconfig: pytest.Config) -> Place:
    """Where commands are typed."""
    return Place(tmp_path, pytestconfig.stash[fault_handler_stderr_fd_key])
