"""What `wasess verify` finds out: a verdict on each session, as values."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wasess.core import health, reasons
from wasess.core.escaping import harmless
from wasess.core.states import State
from wasess.core.verdict import Sight, judge
from wasess.doctor.census import census, manager_of
from wasess.doctor.times import span
from wasess.errors import NotLinked
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Collection

    from wasess.core.live import ManagerInfo
    from wasess.core.verdict import Limits
    from wasess.doctor.census import SessionView
    from wasess.errors import WasessError
    from wasess.store.sessions import Home

LONGEST_DETAIL = 200
_COMMAND = re.compile(r"`([^`]+)`")

# The command alone would mislead: something must be done, or thought of, before it.
NOT_THE_COMMAND_ALONE = frozenset(
    {
        *(reasons.CLOCK_WRONG.code, reasons.DATABASE_DAMAGED.code, reasons.MANAGER_SILENT.code, reasons.REPLACED_FOR_GOOD.code),
        *(reasons.LOGGED_OUT_EARLY.code, reasons.ACCOUNT_LOCKED.code, reasons.ACCOUNT_BANNED.code, reasons.OUTDATED.code),
        reasons.OTHER_VERSION.code,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One session. ``code`` and ``exit_code`` are the verdict's, ``age`` too: seconds since WhatsApp was heard of, None when unknown."""

    user: str
    state: State
    code: str
    exit_code: int
    detail: str = ""
    age: float | None = None

    @property
    def sentence(self) -> str:
        """What is the matter."""
        return _(reasons.BY_CODE[self.code].sentence)

    @property
    def action(self) -> str:
        """What to do about it; empty when it heals by itself."""
        return _(reasons.BY_CODE[self.code].action).format(user=self.user)

    @property
    def line(self) -> str:
        """All of it in one line that ends with what to type, if anything."""
        return "; ".join(filter(None, (f"{self.user}: {self.sentence}{self._in_brackets}", self.remedy)))

    @property
    def remedy(self) -> str:
        """The command of the action, or all of the action when the command alone would not do."""
        commands = _COMMAND.findall(self.action)
        return commands[0] if commands and self.code not in NOT_THE_COMMAND_ALONE else self.action

    @property
    def _in_brackets(self) -> str:
        detail = span(self.age or 0) if self.code == reasons.UNPROVEN.code else one_line(self.detail)
        return f" ({detail})" if detail else ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """All of it. ``manager``: None when none answers. ``problem``: why nobody could look at all."""

    findings: tuple[Finding, ...] = ()
    manager: ManagerInfo | None = None
    problem: WasessError | None = None

    @property
    def unhealthy(self) -> list[Finding]:
        """Those that somebody must be told of."""
        return [finding for finding in self.findings if finding.exit_code]

    @property
    def exit_code(self) -> int:
        """The worst."""
        return self.problem.exit_code if self.problem else health.worst(finding.exit_code for finding in self.findings)

    @property
    def online(self) -> int:
        """How many are, as they say themselves."""
        return sum(finding.state is State.ONLINE for finding in self.findings)


def examined(home: Home, users: Collection[str], limits: Limits) -> Checkup:
    """Look at these sessions (all, when none is named); a named one that is not there is a finding, too.

    No home is a problem: a check that looks in the wrong place would always be content. Raises `WasessError` and OSError when the home
    can't be looked at.
    """
    home.open(create=False)
    if not users and not home.path.exists():
        return Checkup(problem=NotLinked(_("there is no home at {home} yet").format(home=home.path), hint="wasess connect USER"))
    manager = manager_of(home)
    views = {view.user: view for view in census(home, manager, users, quick=True)}
    now = time.time()
    findings = [_finding(view, manager.info, now, limits) for view in views.values()]
    findings += [_missing(home, user) for user in users if user not in views]
    return Checkup(tuple(sorted(findings, key=lambda finding: finding.user)), manager.info)


def one_line(text: str) -> str:
    """What others wrote, fit for one line on a terminal: harmless, and not too long."""
    plain = harmless(" ".join(text.split()))
    if len(plain) <= LONGEST_DETAIL:
        return plain
    part = plain[: LONGEST_DETAIL - 2]
    return f"{part.rpartition(' ')[0] or part} …"


def as_data(finding: Finding) -> dict[str, Any]:
    """A finding for ``--json``."""
    return {
        "user": finding.user,
        "healthy": not finding.exit_code,
        "exit_code": finding.exit_code,
        "state": finding.state,
        "code": finding.code,
        "sentence": finding.sentence,
        "detail": finding.detail,
        "action": finding.action,
        "age": finding.age,
    }


def _finding(view: SessionView, manager: ManagerInfo | None, now: float, limits: Limits) -> Finding:
    paired_at = view.record.paired_at if view.record else None
    verdict = judge(Sight(view.state, view.code, view.exit_code, view.live, paired_at), manager, now, limits)
    return Finding(view.user, view.state, verdict.code, verdict.exit_code, view.detail, verdict.age)


def _missing(home: Home, user: str) -> Finding:
    reason = reasons.NEEDS_PAIRING
    detail = _("there is no such session in {home}").format(home=home.path)
    return Finding(user, State.NEW, reason.code, health.exit_code(State.NEW, reason.code), detail)
