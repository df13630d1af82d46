"""A diagnosis as the page that a person reads: a block for the home, one for each session, the worst first in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.cli.layout import wrapped
from wasess.core.escaping import harmless
from wasess.words import _, mark, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wasess.doctor.examination import Diagnosis, SessionReport
    from wasess.doctor.findings import Finding
    from wasess.doctor.repair import Repair

LABELS = {
    "error": mark("error"),
    "warning": mark("warning"),
    "note": mark("note"),
    "ok": mark("ok"),
    "repaired": mark("repaired"),
    "skipped": mark("skipped"),
    "failed": mark("failed"),
}
COLOURS = {"error": 31, "warning": 33, "note": 36, "ok": 32, "repaired": 32, "skipped": 33, "failed": 31}
UNWRAPPED = 100_000
FEW = 3  # with more sessions, one that is well gets a single line
NARROWEST = 40


class Page:
    """Makes lines at most ``width`` columns wide, but for commands and what can't be broken; with escape codes when ``colourful``."""

    def __init__(self, width: int = UNWRAPPED, *, colourful: bool = False) -> None:
        self._width = max(width, NARROWEST)
        self._colourful = colourful
        self._indent = 2 + max(len(_(label)) for label in LABELS.values()) + 2

    def lines(self, diagnosis: Diagnosis, repairs: Iterable[Repair] = ()) -> Iterator[str]:
        """The whole page."""
        repaired = [line for repair in repairs for line in self._entry(repair.outcome, repair.sentence)]
        if repaired:
            yield from (self._heading(_("repairs")), *repaired, "")
        yield from self._block(_("home {path}").format(path=harmless(str(diagnosis.home["path"]))), diagnosis.findings)
        brief = len(diagnosis.sessions) > FEW
        for report in sorted(diagnosis.sessions, key=lambda report: min(found.rank for found in report.findings)):
            yield ""
            yield from self._block(report.user, report.findings[:1] if brief and _is_well(report) else report.findings)
        yield ""
        yield summary(diagnosis.all_findings(), diagnosis.exit_code)

    def _block(self, heading: str, findings: Iterable[Finding]) -> Iterator[str]:
        yield self._heading(heading)
        for found in findings:
            yield from self._entry(found.level, found.sentence)
            if found.fix:
                yield f"{' ' * self._indent}-> {harmless(found.fix)}"

    def _heading(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._colourful else text

    def _entry(self, kind: str, sentence: str) -> list[str]:
        label = _(LABELS[kind])
        first = f"  {label}".ljust(self._indent)
        lines = wrapped(harmless(sentence), self._width, first, " " * self._indent)
        if self._colourful:
            lines[0] = lines[0].replace(label, f"\x1b[{COLOURS[kind]}m{label}\x1b[0m", 1)
        return lines


def _is_well(report: SessionReport) -> bool:
    return all(found.level == "ok" for found in report.findings)


def summary(findings: Iterable[Finding], exit_code: int) -> str:
    """How many problems there are, in one line that agrees with the exit code: a session that is paused, or being paired, is not up."""
    levels = [found.level for found in findings]
    errors, warnings, notes = levels.count("error"), levels.count("warning"), levels.count("note")
    parts = [
        plural("{count} error", "{count} errors", errors).format(count=errors) if errors else "",
        plural("{count} warning", "{count} warnings", warnings).format(count=warnings) if warnings else "",
    ]
    found = ", ".join(filter(None, parts)) or (_("no fault found, but not every session is up") if exit_code else _("no problem found"))
    if not notes:
        return found
    return plural("{found}, {count} note", "{found}, {count} notes", notes).format(found=found, count=notes)
