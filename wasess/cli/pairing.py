"""DECIDES how a pairing goes on: what happened in, what to do out. No clock, no process, no terminal (`cli.connect` has those).

::

    DIALING ──qr──► SHOWING ──Paired──► LOGGING_IN ──Connected──► Finish
       │ no code      │ codes used up      │ 20 s without Connected, or the login after 515 failed:
       │ dial-failed  │ bad signature      │   the worker is started again in "run" mode, once;
       ▼ (3 dials)    ▼ passkey, 405 …     ▼   then
      Fail           Fail                 Fail, the credentials stay: the phone has accepted them

While a code is shown the library's event pump stands still (NEONIZE.md 1.1): before ``Paired`` there are no events, and its log lines and the
end of its code list are all there is to know of a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from wasess import errors
from wasess.cli import refusals
from wasess.core import events
from wasess.link.port import LinkSignal
from wasess.words import _

CODES = 6  # refs in one <pair-device>; PROTOCOL.md 2.2
FIRST_CODE_LIVES = 60.0  # NEONIZE.md 3.1
CODE_LIVES = 20.0
CODE_GRACE = 5.0
FIRST_CODE_WITHIN = 45.0  # TLS hangs for 10 s and a Noise handshake for 20 s before the library gives up; an HTTP upgrade hangs for ever
CONNECTED_WITHIN = 20.0  # NEONIZE.md 1.8: after 515 the library dials once and never again
DIAL_PAUSES = (1.0, 3.0)


class Phase(Enum):
    """Where a pairing stands."""

    DIALING = "dialing"  # no code yet
    SHOWING = "showing"  # a code waits for the phone
    LOGGING_IN = "logging in"  # the phone has accepted; 515 and the first login


@dataclass(frozen=True, slots=True)
class Pairing:
    """A pairing under way. Times are of one monotonic clock; ``phone`` is set when a code to type is wanted instead of a picture."""

    user: str
    give_up_at: float
    wake_at: float
    timeout: float
    phone: str = ""
    phase: Phase = Phase.DIALING
    codes: int = 0
    code_until: float = 0.0
    dials: int = 0
    logins: int = 0


# --- what happens, besides link signals and events --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """`wake_at` has come."""


@dataclass(frozen=True, slots=True)
class PhoneCode:
    """The code to type into the phone."""

    text: str


@dataclass(frozen=True, slots=True)
class PhoneRefused:
    """WhatsApp gave no code for this number."""

    detail: str


# --- what to do ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """End the link there is and start one, ``after`` so many seconds."""

    mode: Literal["pair", "run"]
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Show:
    """Put this code on the screen until ``until``; ``typed``: letters to type, not a picture."""

    code: str
    number: int
    until: float
    typed: bool = False


@dataclass(frozen=True, slots=True)
class AskPhoneCode:
    """Ask the link for a code to type; answer with `PhoneCode` or `PhoneRefused`."""

    phone: str


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the person; the code, if one is shown, is no longer good."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Linked and logged in."""


@dataclass(frozen=True, slots=True)
class Fail:
    """It ends here. ``keep``: the phone has accepted the link and WhatsApp did not take it back, so the new credentials stay."""

    error: errors.WasessError
    keep: bool = False


Happening = LinkSignal | events.Event | Tick | PhoneCode | PhoneRefused
Command = Start | Show | AskPhoneCode | Say | Finish | Fail
Step = tuple[Pairing, list[Command]]


def begin(user: str, now: float, timeout: float, phone: str = "") -> Step:
    """Start a pairing that gives up ``timeout`` seconds from now unless the phone has accepted by then."""
    pairing = Pairing(user, now + timeout, min(now + FIRST_CODE_WITHIN, now + timeout), timeout, phone)
    return pairing, [Start("pair")]


def step(pairing: Pairing, happened: Happening, now: float) -> Step:  # noqa: PLR0911 - one line for each happening
    """What a happening changes, and what is to be done about it. Nothing may follow a `Finish` or a `Fail`."""
    match happened:
        case LinkSignal(kind="qr", value=code) if pairing.phase is not Phase.LOGGING_IN:
            return _new_code(pairing, code, now)
        case LinkSignal(kind="log", value=line):
            return _log_line(pairing, line)
        case LinkSignal(kind="hint", value="gave-up"):
            return _log_in_again(pairing, _("the first login failed"), now)
        case LinkSignal(kind="passkey"):
            return pairing, [Fail(refusals.passkey(pairing.user))]
        case LinkSignal(kind="ended", value=cause, detail=detail):
            return _link_ended(pairing, cause, detail, now)
        case PhoneCode(text=text) if pairing.phase is Phase.SHOWING:
            until = pairing.code_until + CODE_LIVES * (CODES - pairing.codes)
            return pairing, [Show(text, pairing.codes, min(until, pairing.give_up_at), typed=True)]
        case PhoneRefused(detail=detail):
            return pairing, [Fail(refusals.phone_number(pairing.user, detail))]
        case Tick() if now >= pairing.wake_at:
            return _time_is_up(pairing, now)
        case events.Event():
            return _event(pairing, happened, now)
        case _:
            return pairing, []


def _new_code(pairing: Pairing, code: str, now: float) -> Step:
    until = now + (CODE_LIVES if pairing.codes else FIRST_CODE_LIVES)
    shown = replace(
        pairing,
        phase=Phase.SHOWING,
        codes=pairing.codes + 1,
        code_until=until,
        wake_at=min(until + CODE_GRACE, pairing.give_up_at),
    )
    if not pairing.phone:
        return shown, [Show(code, shown.codes, until)]
    return shown, [AskPhoneCode(pairing.phone)] if shown.codes == 1 else []


def _event(pairing: Pairing, event: events.Event, now: float) -> Step:
    if isinstance(event, events.Paired) and pairing.phase is not Phase.LOGGING_IN:
        accepted = replace(pairing, phase=Phase.LOGGING_IN, wake_at=now + CONNECTED_WITHIN)
        return accepted, [Say(_("the phone has accepted; logging in"))]
    if isinstance(event, events.Connected) and pairing.phase is Phase.LOGGING_IN:
        return pairing, [Finish()]
    error = refusals.in_event(pairing.user, event)
    return pairing, [_fail(pairing, error)] if error else []


def _log_line(pairing: Pairing, line: str) -> Step:
    if pairing.phase is Phase.LOGGING_IN:
        return pairing, []  # from here on the library reports by events
    error = refusals.in_log_line(pairing.user, line)
    return pairing, [Fail(error)] if error else []


def _fail(pairing: Pairing, error: errors.WasessError) -> Fail:
    """Credentials the phone has accepted are kept, unless WhatsApp took them back."""
    return Fail(error, keep=pairing.phase is Phase.LOGGING_IN and not isinstance(error, errors.LoggedOut))


def _link_ended(pairing: Pairing, cause: str, detail: str, now: float) -> Step:
    if cause == "locked":
        return pairing, [
            Fail(
                errors.Locked(
                    detail or _("another process uses the session {user}").format(user=pairing.user), hint=_("stop it, then try again")
                )
            )
        ]
    if cause == "no-device":
        return pairing, [Fail(refusals.taken_back(pairing.user))]
    if pairing.phase is Phase.LOGGING_IN:
        return _log_in_again(pairing, detail or cause, now)
    if cause == "dial-failed":
        return _dial_again(pairing, refusals.dial_problem(detail), now)
    if cause == "library-returned" and (pairing.phase is Phase.SHOWING or detail.startswith("pairing: ")):
        word = detail.removeprefix("pairing: ")
        return pairing, [Fail(refusals.in_last_word(pairing.user, word) or _codes_ended(pairing, now))]
    why = f"{cause}: {detail}" if detail else cause
    sentence = _("the worker of {user} ended during the pairing ({why})").format(user=pairing.user, why=why)
    return pairing, [Fail(errors.WorkerFailed(sentence, hint=f"wasess connect {pairing.user}"))]


def _dial_again(pairing: Pairing, detail: str, now: float) -> Step:
    if pairing.phase is Phase.DIALING and pairing.dials < len(DIAL_PAUSES):
        pause = DIAL_PAUSES[pairing.dials]
        dialled = replace(pairing, dials=pairing.dials + 1, wake_at=min(now + pause + FIRST_CODE_WITHIN, pairing.give_up_at))
        return dialled, [
            Say(_("WhatsApp can't be reached ({detail}); trying again in {seconds:.0f} s").format(detail=detail, seconds=pause)),
            Start("pair", pause),
        ]
    sentence = _("WhatsApp can't be reached ({detail}); {attempts} attempts failed").format(detail=detail, attempts=pairing.dials + 1)
    return pairing, [Fail(errors.NetworkDown(sentence, hint=_("check the network, then: wasess connect {user}").format(user=pairing.user)))]


def _log_in_again(pairing: Pairing, why: str, now: float) -> Step:
    """A fresh worker repairs a login that failed after 515 (NEONIZE.md 1.6, Z2). Once."""
    if pairing.logins:
        sentence = _("{user} is linked, but the login did not come to an end ({why}); the credentials are kept").format(
            user=pairing.user, why=why
        )
        hint = _("wasess serve keeps trying; to link again: wasess connect {user} --force").format(user=pairing.user)
        return pairing, [Fail(errors.Degraded(sentence, hint=hint), keep=True)]
    again = replace(pairing, phase=Phase.LOGGING_IN, logins=1, wake_at=now + CONNECTED_WITHIN)
    return again, [Say(_("{why}; logging in once more").format(why=why)), Start("run")]


def _time_is_up(pairing: Pairing, now: float) -> Step:
    if pairing.phase is Phase.LOGGING_IN:
        return _log_in_again(pairing, _("no answer within {seconds:.0f} s").format(seconds=CONNECTED_WITHIN), now)
    if now >= pairing.give_up_at:
        sentence = _("no phone was linked within {seconds:.0f} s").format(seconds=pairing.timeout)
        return pairing, [Fail(errors.PairingFailed(sentence, hint=f"wasess connect {pairing.user} --timeout SECONDS"))]
    if pairing.phase is Phase.SHOWING:
        return pairing, [Fail(_codes_ended(pairing, now))]
    sentence = _("WhatsApp sent no code within {seconds:.0f} s").format(seconds=FIRST_CODE_WITHIN)
    return pairing, [Fail(errors.NetworkDown(sentence, hint=_("check the network, then: wasess connect {user}").format(user=pairing.user)))]


def _codes_ended(pairing: Pairing, now: float) -> errors.WasessError:
    """The library shows no more codes: they are used up, or its connection is gone; it says the same for both."""
    hint = f"wasess connect {pairing.user}"
    if pairing.codes and now >= pairing.code_until - 1:
        return errors.PairingFailed(
            _("the codes are used up ({number} of {codes}); no phone has scanned one").format(number=pairing.codes, codes=CODES), hint=hint
        )
    return errors.NetworkDown(_("WhatsApp closed the connection before a phone had scanned a code"), hint=hint)
