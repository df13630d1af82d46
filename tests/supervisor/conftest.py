from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from village import Told
from watchroom import Watchroom

from wasess.store.sessions import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "auth_sessions").open(create=True)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def room(home: Home) -> Watchroom:
    return Watchroom(home)
