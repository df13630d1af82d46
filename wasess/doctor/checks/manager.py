"""Who manages this home, and does it answer?"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import wasess
from wasess.control.address import SOCKET_NAME
from wasess.core import reasons
from wasess.doctor.findings import Finding, Part, command, ok
from wasess.doctor.processes import glance, holder_facts
from wasess.doctor.times import moment, span
from wasess.store.sessions import HOME_LOCK_NAME
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.live import ManagerInfo
    from wasess.doctor.census import ManagerView
    from wasess.store.lock import Holder
    from wasess.store.sessions import Home


LONG_STALL = 1.0


def check(home: Home, manager: ManagerView, *, needed: bool) -> Part:
    """``needed``: there are sessions that it should keep."""
    if manager.holder is None:
        return Part({"manager": None}, (_absent(home, needed=needed),))
    info = asdict(manager.info) if manager.info else None
    facts = {"manager": {"answers": manager.info is not None, "holder": holder_facts(manager.holder), "info": info}}
    if manager.info is None:
        return Part(facts, (_silent(home, manager.holder),))
    return Part(facts, _answering(manager.info, manager.holder))


def _absent(home: Home, *, needed: bool) -> Finding:
    last = home.last_alive()
    sentence = _(reasons.NO_MANAGER.sentence)
    if last:
        sentence = _("{sentence}; the last sign of one is {ago} old ({moment})").format(
            sentence=sentence, ago=span(time.time() - last), moment=moment(last)
        )
    return Finding(reasons.NO_MANAGER.code, "warning" if needed else "note", sentence, "wasess serve")


def _silent(home: Home, holder: Holder) -> Finding:
    said = _("{sentence} ({holder})").format(sentence=_(reasons.MANAGER_SILENT.sentence), holder=holder)
    if not holder.pid:
        return Finding(reasons.MANAGER_SILENT.code, "error", said, command("fuser", "-v", home.path / HOME_LOCK_NAME))
    found = glance(holder.pid)
    if found and found.stopped:
        sentence = _("the manager's process {pid} is stopped (SIGSTOP); it does nothing until it goes on").format(pid=holder.pid)
        return Finding("MANAGER_STOPPED", "error", sentence, f"kill -CONT {holder.pid}")
    if not (home.path / SOCKET_NAME).exists():
        said = _("{sentence}: it has no control socket").format(sentence=said)
    return Finding(
        reasons.MANAGER_SILENT.code, "error", _("{sentence}; end it, then start it again").format(sentence=said), f"kill {holder.pid}"
    )


def _stall(info: ManagerInfo) -> Finding:
    """How long all sessions have waited for the manager itself."""
    sentence = _("the sessions never waited longer than {seconds:.3f} s for the manager's event loop").format(seconds=info.longest_stall)
    if info.longest_stall < LONG_STALL or info.stalled_at is None:
        return ok("EVENT_LOOP", sentence)
    sentence = _("all sessions waited {seconds:.1f} s for the manager's event loop ({moment})").format(
        seconds=info.longest_stall, moment=moment(info.stalled_at)
    )
    return Finding("EVENT_LOOP", "note", sentence, "wasess logs")


def _answering(info: ManagerInfo, holder: Holder) -> tuple[Finding, ...]:
    said = {"pid": info.pid, "moment": moment(info.started_at), "version": info.version, "online": info.online, "kept": info.kept}
    if holder.purpose != "serve":
        sentence = _("a command manages it for a moment: {holder}").format(holder=holder)
    elif info.ready:
        sentence = _("managed by process {pid} since {moment}: wasess {version}, {online} of {kept} online").format(**said)
    else:
        sentence = _("the manager (process {pid}, wasess {version}) is still starting: {online} of {kept} online").format(**said)
    found: tuple[Finding, ...] = (ok("MANAGER", sentence), _stall(info))
    if info.bot:
        found = (*found, Finding("BOT", "error", info.bot, "wasess logs"))
    if info.version == wasess.__version__:
        return found
    sentence = _("the manager runs wasess {version}, and {installed} is installed: restart it").format(
        version=info.version, installed=wasess.__version__
    )
    return (*found, Finding("MANAGER_OLD", "warning", sentence, f"kill -TERM {info.pid} && wasess serve"))
