"""A checkup as one line of a monitoring plugin. Pure.

Nagios Plugin Development Guidelines: one line on stdout, ``SERVICE STATUS - text | 'label'=value[unit];warn;crit;min;max …``; the exit
code is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. Icinga, Checkmk, Naemon, Sensu and Zabbix read the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.cli.checkup import one_line
from wasess.words import _, plural

if TYPE_CHECKING:
    from wasess.cli.checkup import Checkup

OK, WARNING, CRITICAL, UNKNOWN = range(4)
STATUS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# The worst last: what can't be looked at may be lost.
ORDER = (OK, WARNING, UNKNOWN, CRITICAL)
# Of ours: what heals by itself is a warning, what can't be looked at is unknown, all else is critical.
_STATUS_OF = {0: OK, 3: WARNING, 1: UNKNOWN, 2: UNKNOWN}

TOLD = 3


def plugin_status(checkup: Checkup) -> int:
    """The plugin's exit code."""
    codes = [checkup.exit_code] if checkup.problem else [finding.exit_code for finding in checkup.findings]
    return max((_STATUS_OF.get(code, CRITICAL) for code in codes), key=ORDER.index, default=OK)


def plugin_line(checkup: Checkup, max_age: float) -> str:
    """The plugin's line. ``max_age`` (seconds) is shown as a threshold."""
    status = f"WASESS {STATUS[plugin_status(checkup)]}"
    if checkup.problem:
        return f"{status} - {_readable(str(checkup.problem))}"
    return f"{status} - {_readable(_text(checkup))} | {' '.join(_figures(checkup, max_age))}"


def _text(checkup: Checkup) -> str:
    unhealthy = checkup.unhealthy
    count = len(checkup.findings)
    counted = plural("{online} of {count} session online", "{online} of {count} sessions online", count)
    parts = [counted.format(online=checkup.online, count=count) if count else _("no sessions")]
    parts += [finding.line for finding in unhealthy[:TOLD]]
    if more := len(unhealthy) - TOLD:
        parts += [_("and {count} more").format(count=more)] if more > 0 else []
    return "; ".join(parts)


def _figures(checkup: Checkup, max_age: float) -> list[str]:
    count = len(checkup.findings)
    figures = [f"online={checkup.online};;;0;{count}", f"unhealthy={len(checkup.unhealthy)};;;0;{count}"]
    ages = [finding.age for finding in checkup.findings if finding.age is not None]
    if ages:
        figures.append(f"oldest_proof={max(ages):.0f}s;{max_age:.0f};;0;")
    return figures


def _readable(text: str) -> str:
    """A bar would begin the figures."""
    return "; ".join(one_line(part) for part in text.replace("|", "/").split("; "))
