"""What is said of the client library and of the version that sessions announce: the moments are given, no clock is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasess.core.client_version import BUILT_AT, BUILT_IN, spell
from wasess.core.live import ManagerInfo
from wasess.doctor.census import ManagerView
from wasess.doctor.checks.versions import built_at, check, judge
from wasess.doctor.circumstances import Circumstances
from wasess.link import wheel

DAY = 86_400.0
WHATSAPP = Circumstances(library=Path("neonize.so"))
SANDBOX = Circumstances(realm="sandbox", library=Path("neonize.so"))


@pytest.mark.parametrize(
    ("circumstances", "days", "announced", "code", "level"),
    [
        (WHATSAPP, 10, BUILT_IN, "LIBRARY_AGE", "ok"),
        (WHATSAPP, 59, BUILT_IN, "LIBRARY_AGE", "ok"),
        (WHATSAPP, 60, BUILT_IN, "CLIENT_OLD", "note"),
        (WHATSAPP, 80, BUILT_IN, "CLIENT_OLD", "warning"),
        (WHATSAPP, 80, BUILT_IN + 70 * 75_000, "LIBRARY_AGE", "ok"),
        (SANDBOX, 80, BUILT_IN, "CLIENT_OLD", "ok"),
    ],
)
def test_an_old_client_is_told_of_before_it_is_refused(circumstances, days, announced, code, level):
    (found,) = judge(circumstances, BUILT_AT, announced, BUILT_AT + days * DAY)
    assert (found.code, found.level) == (code, level)
    assert found.fix == ("" if level == "ok" else "wasess serve --wa-version auto")
    if code == "CLIENT_OLD":
        assert found.sentence.endswith(
            f"(an estimate): {spell(announced)} is of {days} days ago, and others were refused at 80 to 153 days"
        )


def test_what_counts_is_what_the_manager_announces(monkeypatch):
    monkeypatch.setattr("wasess.doctor.checks.versions.time.time", lambda: BUILT_AT + 100 * DAY)

    def codes(version: str) -> set[str]:
        info = ManagerInfo(7, "0.1", "whatsapp", BUILT_AT, ready=True, kept=1, online=1, client_version=version)
        return {found.code for found in check(WHATSAPP, ManagerView(None, info, {})).findings}

    assert codes(spell(BUILT_IN + 100 * 75_000)) == {"VERSIONS"}
    for unknown in ("", "2.3000.1", "auto"):
        assert "CLIENT_OLD" in codes(unknown)
    assert "CLIENT_OLD" in {found.code for found in check(WHATSAPP, ManagerView()).findings}


def test_the_age_of_what_is_built_in_is_that_of_the_library():
    built = built_at(wheel.library())
    assert built is not None
    assert abs(built - BUILT_AT) < 14 * DAY
