from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from village import Told

from wasess.store.sessions import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "auth_sessions").open(create=True)


@pytest.fixture
def told() -> Told:
    return Told()
