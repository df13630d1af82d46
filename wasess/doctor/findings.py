"""What a check has found: one line of the page that `wasess diagnose` prints, and what it has measured on the way."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Level = Literal["error", "warning", "note", "ok"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note", "ok")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` is stable. ``fix`` is the one command that helps, ready to be pasted into a shell; only a finding that is ok has none.

    ``session``: the user it is about, empty for the home.
    """

    code: str
    level: Level
    sentence: str
    fix: str = ""
    session: str = ""

    def __post_init__(self) -> None:
        if bool(self.fix) == (self.level == "ok"):
            raise ValueError(f"{self.code}: what is not ok names the command that helps, and only that")

    @property
    def rank(self) -> int:
        """Smaller is worse."""
        return LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class Part:
    """What one check has to say: its ``facts`` (JSON values, for the document) and its findings."""

    facts: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def ok(code: str, sentence: str, session: str = "") -> Finding:
    """All is well, and worth a line."""
    return Finding(code, "ok", sentence, session=session)


def by_rank(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The same findings, the worst first; among equals the order stays."""
    return tuple(sorted(findings, key=lambda found: found.rank))


def command(*words: str | Path) -> str:
    """The words as one command line, quoted where a shell needs it."""
    return shlex.join(map(str, words))
