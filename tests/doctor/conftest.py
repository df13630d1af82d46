"""Real homes on a real disk, without WhatsApp: what the tests of the doctor share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasess.doctor.circumstances import Circumstances
from wasess.doctor.examination import examine
from wasess.store.sessions import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasess.doctor.examination import Diagnosis


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "auth_sessions").open(create=True)


@pytest.fixture
def looked() -> Callable[..., Diagnosis]:
    """Examine a home, without a network."""
    return lambda home, user="", **circumstances: examine(home, Circumstances(user, **circumstances))
