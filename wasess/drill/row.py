"""A row of the fault matrix, and the verdict over it. Nothing is done here: a row says what must be, what was seen is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.drill.scene import Scene

Ground = Literal["shared", "own"]


class Broken(Exception):
    """Something did not happen, or happened and must not; the message says what, without a word of any message."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen. ``detected`` and ``recovered`` in seconds, None where there is nothing to detect or nobody comes back by himself."""

    happened: str
    detected: float | None = None
    recovered: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    ``name`` is what ``--only`` takes; ``source`` is its place in the fault matrix (FAULTS.md 5.3 and 5.4). ``bound``: seconds to be back in,
    ``detect_within``: seconds to notice in; None for no bound. ``ground``: beside others under one manager (``shared``), or with a home and
    a manager of its own (``own``; without ``serves`` it starts none). ``users``: how many linked sessions it needs. ``options``: of its manager.
    ``patient``: it mostly waits, so that any number of such rows may run at once. ``deadline``: seconds after which it is given up.
    """

    name: str
    source: str
    fault: str
    expected: str
    act: Callable[[Scene], Awaitable[Seen]]
    bound: float | None = None
    detect_within: float | None = None
    ground: Ground = "shared"
    users: int = 1
    options: tuple[str, ...] = ()
    serves: bool = True
    patient: bool = False
    deadline: float = 90.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row and what became of it. ``lost``: messages written to the session that the bot never got."""

    row: Row
    happened: str
    detected: float | None
    recovered: float | None
    lost: int
    ok: bool

    def as_json(self) -> dict[str, Any]:
        """The row of ``--json``."""
        return {
            "row": self.row.name,
            "fault": self.row.fault,
            "expected": self.row.expected,
            "happened": self.happened,
            "detected_s": _rounded(self.detected),
            "recovered_s": _rounded(self.recovered),
            "bound_s": self.row.bound,
            "lost": self.lost,
            "ok": self.ok,
        }

    def as_cells(self) -> tuple[str, ...]:
        """The row of the table."""
        figures = (_shown(self.detected), _shown(self.recovered), str(self.lost), _("ok") if self.ok else _("FAILED"))
        return (self.row.name, _(self.row.fault), _(self.row.expected), self.happened, *figures)


HEADINGS = ("row", "fault", "expected", "happened", "detected s", "back s", "lost", "ok")


def judge(row: Row, seen: Seen, lost: int) -> Verdict:
    """Hold what was seen against what must be. Whatever is out of bounds is said in ``happened``."""
    complaints = []
    if row.bound is not None and (seen.recovered is None or seen.recovered > row.bound):
        complaints.append(_("not back within {seconds:g} s").format(seconds=row.bound))
    if row.detect_within is not None and (seen.detected is None or seen.detected > row.detect_within):
        complaints.append(_("not noticed within {seconds:g} s").format(seconds=row.detect_within))
    if lost:
        complaints.append(_("{count} messages did not come").format(count=lost))
    happened = "; ".join([*complaints, seen.happened])
    return Verdict(row, happened, seen.detected, seen.recovered, lost, not complaints)


def failed(row: Row, why: str, lost: int) -> Verdict:
    """The row came to no end of its own."""
    return Verdict(row, why, None, None, lost, ok=False)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"
