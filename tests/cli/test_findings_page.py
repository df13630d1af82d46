"""The last line of a diagnosis agrees with its exit code."""

from __future__ import annotations

import pytest

from wasess.cli.findings_page import Page
from wasess.core import health
from wasess.doctor.examination import Diagnosis
from wasess.doctor.findings import Finding, ok


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ([ok("A", "well")], 0, "no problem found"),
        ([ok("A", "well"), Finding("B", "note", "by the way", "true")], 0, "no problem found, 1 note"),
        ([Finding("PAIRING", "note", "a pairing is under way", "true")], 4, "no fault found, but not every session is up, 1 note"),
        ([ok("A", "well")], health.DEGRADED, "no fault found, but not every session is up"),
        ([Finding("C", "warning", "bad", "true"), Finding("B", "note", "by the way", "true")], 3, "1 warning, 1 note"),
        ([Finding("C", "error", "worse", "true")], 4, "1 error"),
    ],
)
def test_the_last_line_calls_nothing_well_that_is_not(findings: list[Finding], code: int, last: str):
    lines = list(Page().lines(Diagnosis({"path": "/home"}, None, tuple(findings), (), code)))
    assert lines[-1] == last
