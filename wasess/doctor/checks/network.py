"""The way to WhatsApp, and the clock, which is compared with the time over there."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wasess.doctor.findings import Finding, Level, Part, command, ok
from wasess.doctor.times import span
from wasess.words import _

if TYPE_CHECKING:
    from wasess.doctor.probe import Step, Way

NAMES = {"dns": "DNS", "tcp": "TCP", "tls": "TLS"}
EXACT = 3.0  # a Date is whole seconds, and it has travelled
HARMLESS = 30.0


def skipped(sentence: str) -> Part:
    """It was not tried: as was asked for (empty), or for the reason in ``sentence``."""
    facts = {"network": None, "clock": {"skew": None}}
    if not sentence:
        return Part(facts, (ok("NETWORK_SKIPPED", _("the network was not looked at (--offline)")),))
    return Part(facts, (Finding("NETWORK_UNKNOWN", "warning", sentence, "wasess sandbox serve"),))


def judge(way: Way, *, sandbox: bool, online: bool) -> Part:
    """``sandbox``: the way to a stand-in's proxy. ``online``: a session of the home is, so that what fails here fails for us alone."""
    facts: dict[str, Any] = {"network": asdict(way) | {"open": way.open}, "clock": {"skew": way.skew}}
    findings = [_opened(way, sandbox=sandbox) if way.open else _closed(way, sandbox=sandbox, level="warning" if online else "error")]
    if way.steps and way.steps[-1].bad_time:
        sentence = _("WhatsApp's certificate is not valid at this machine's time: the clock is wrong")
        findings.append(Finding("CLOCK_WRONG", "error", sentence, "timedatectl"))
    elif way.skew is not None:
        findings.append(_clock(way.skew))
    return Part(facts, tuple(findings))


def _opened(way: Way, *, sandbox: bool) -> Finding:
    said = {"host": way.host, "port": way.port, "times": _times(way.steps)}
    if sandbox:
        return ok("NETWORK", _("the stand-in's proxy answers at {host}:{port} ({times})").format(**said))
    return ok("NETWORK", _("{host} can be reached: {times}").format(**said))


def _closed(way: Way, *, sandbox: bool, level: Level) -> Finding:
    failed = way.steps[-1]
    said = {"host": way.host, "port": way.port, "step": NAMES[failed.name], "problem": failed.problem, "took": _milliseconds(failed)}
    if sandbox:
        sentence = _("the stand-in's proxy does not answer at {host}:{port}: {problem}").format(**said)
        return Finding("STAND_IN_DOWN", level, sentence, "wasess sandbox serve")
    sentence = _("{host} can't be reached: {step} failed after {took} ({problem})").format(**said)
    before = _times(way.steps[:-1])
    if before:
        sentence = _("{sentence}; before that: {times}").format(sentence=sentence, times=before)
    fix = command("getent", "ahosts", way.host) if failed.name == "dns" else command("curl", "-v", f"https://{way.host}")
    return Finding(f"{NAMES[failed.name]}_FAILED", level, sentence, fix)


def _times(steps: tuple[Step, ...]) -> str:
    return ", ".join(f"{NAMES[step.name]} {_milliseconds(step)}" for step in steps)


def _milliseconds(step: Step) -> str:
    return f"{step.seconds * 1000:.0f} ms"


def _clock(skew: float) -> Finding:
    off = abs(skew)
    if off <= EXACT:
        return ok("CLOCK", _("the clock is right"))
    sentence = _("the clock is {off} ahead of WhatsApp's") if skew > 0 else _("the clock is {off} behind WhatsApp's")
    level: Level = "note" if off <= HARMLESS else "warning"
    return Finding("CLOCK_SKEW", level, sentence.format(off=span(off)), "timedatectl")
