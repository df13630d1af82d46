"""The ways a pairing can be refused, as sentences: what the library's events and log lines mean for the person at the terminal. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wasess import errors
from wasess.core import events
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Callable

_DIAL_LAYERS = re.compile(r'^(?:(?:failed to (?:dial whatsapp web websocket|WebSocket dial|send handshake request)|Get "[^"]*"): )+')


def in_event(user: str, event: events.Event) -> errors.WasessError | None:
    """The refusal an event stands for; None when it is none."""
    match event:
        case events.PairError(detail=detail):
            return unfit_answer(user, detail)
        case events.TemporaryBan(expires_in=seconds):
            return banned(user, seconds)
        case events.ConnectFailure(reason=reason):
            sentence = _("WhatsApp refused the first login of {user} ({reason}); the credentials are kept").format(user=user, reason=reason)
            return errors.PairingFailed(sentence, hint=_("to link again: wasess connect {user} --force").format(user=user))
        case _:
            refusal = _BARE_EVENTS.get(type(event))
            return refusal(user) if refusal else None


def in_log_line(user: str, line: str) -> errors.WasessError | None:
    """The refusal a log line stands for, where the library says it in no other way (whatsmeow pair.go, pair-code.go, qrchan.go).

    Only what a line begins with counts: behind it stands what others have written.
    """
    if line.startswith(_NOT_PAIRED):
        return unfit_answer(user, line.removeprefix(_NOT_PAIRED))
    return next((refusal(user) for beginning, refusal in _LOG_LINES if line.startswith(beginning)), None)


def in_last_word(user: str, word: str) -> errors.WasessError | None:
    """The refusal the library's QR channel closed with (whatsmeow qrchan.go); None for ``timeout``, which is none."""
    refusal = _LAST_WORDS.get(word)
    return refusal(user) if refusal else None


def unfit_answer(user: str, detail: str) -> errors.WasessError:
    """The phone answered, and this side refused the answer; ``detail`` is the library's text."""
    if "HMAC" in detail:
        sentence = _("the phone's answer was not made from this code (its HMAC is wrong); nothing was linked")
    elif "signature" in detail:
        sentence = _("the phone's answer is not signed by the phone it claims to come from; nothing was linked")
    else:
        sentence = _("the phone's answer can't be used ({detail}); nothing was linked").format(detail=detail)
    return errors.PairingFailed(sentence, hint=_("scan the newest code with the right phone: wasess connect {user}").format(user=user))


def dial_problem(detail: str) -> str:
    """What is behind a dial that failed, without the layers of the library it came through."""
    return _DIAL_LAYERS.sub("", detail) or _("no reason given")


def phone_number(user: str, detail: str) -> errors.WasessError:
    """WhatsApp gives no code to type for this number."""
    sentence = _("WhatsApp gave no code for this phone number ({detail})").format(detail=detail)
    hint = _("check the number (country code first, no leading 0), or scan a picture: wasess connect {user}").format(user=user)
    return errors.PairingFailed(sentence, hint=hint)


def passkey(user: str) -> errors.WasessError:
    """The account is behind the passkey gate (PEERS.md 2, complaint 1)."""
    sentence = _(
        "WhatsApp asks this account for a passkey before it links a device; neonize 0.5.2 can't answer that, so no code will work now"
    )
    hint = _("remove the passkey in WhatsApp (Settings > Account > Passkeys) or wait some days, then: wasess connect {user}").format(
        user=user
    )
    return errors.PasskeyNeeded(sentence, hint=hint)


def banned(user: str, seconds: float = 0) -> errors.WasessError:
    """402; ``seconds`` until it ends, 0 when unknown."""
    hint = _("wait, then: wasess connect {user}").format(user=user)
    if not seconds:
        return errors.Banned(_("WhatsApp has banned this account for a time"), hint=hint)
    return errors.Banned(
        _("WhatsApp has banned this account for a time for {minutes:.0f} more minutes").format(minutes=seconds / 60), hint=hint
    )


def taken_back(user: str) -> errors.WasessError:
    """The phone had accepted, and the device row is gone again (401, 403, 406, or device_removed)."""
    sentence = _("WhatsApp took the link of {user} back right after the phone had accepted it").format(user=user)
    hint = _("wait a few minutes, look at Linked devices on the phone, then: wasess connect {user}").format(user=user)
    return errors.LoggedOut(sentence, hint=hint)


def _outdated(user: str) -> errors.WasessError:
    hint = _("announce a newer version, which often helps: wasess connect {user} --wa-version auto; or pip install --upgrade wasess")
    return errors.Outdated(_("WhatsApp refuses this version of the client library (405)"), hint=hint.format(user=user))


def _replaced(user: str) -> errors.WasessError:
    sentence = _("another client logged in with the new credentials of {user}").format(user=user)
    return errors.Replaced(sentence, hint=_("stop the other client that uses this folder"))


def _unfit_typed_code(user: str) -> errors.WasessError:
    return errors.PairingFailed(_("the phone's answer does not fit the typed code"), hint=f"wasess connect {user} --phone NUMBER")


def _old_phone(_user: str) -> errors.WasessError:
    return errors.PairingFailed(_("the phone's WhatsApp is too old to link devices"), hint=_("update WhatsApp on the phone"))


def _unwilling(user: str) -> errors.WasessError:
    return errors.PairingFailed(
        _("WhatsApp refused to begin a pairing"), hint=_("wait a few minutes, then: wasess connect {user}").format(user=user)
    )


_BARE_EVENTS: dict[type[events.Event], Callable[[str], errors.WasessError]] = {
    events.LoggedOut: taken_back,
    events.ClientOutdated: _outdated,
    events.StreamReplaced: _replaced,
}

_NOT_PAIRED = "ERROR Client: Failed to pair device: "

_LOG_LINES: tuple[tuple[str, Callable[[str], errors.WasessError]], ...] = (
    ("WARN Client: Invalid HMAC from pair success", lambda user: unfit_answer(user, "HMAC")),
    ("ERROR Client: Failed to handle code pair notification", _unfit_typed_code),
    ("ERROR Client: Client outdated (405)", _outdated),
    ("WARN Client: Temporary ban connect failure", banned),
    ("INFO pairing: err-scanned-without-multidevice", _old_phone),
    ("WARN Client: Unknown connect failure", _unwilling),
)

_LAST_WORDS: dict[str, Callable[[str], errors.WasessError]] = {
    "error": lambda user: unfit_answer(user, _("the library does not say why")),
    "err-client-outdated": _outdated,
    "err-unexpected-state": _unwilling,
}
