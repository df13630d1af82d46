"""The conversation of a pairing: what happens on the left, what must be done on the right."""

from __future__ import annotations

import pytest

from wasess import errors
from wasess.cli.pairing import AskPhoneCode, Fail, Finish, Happening, PhoneCode, PhoneRefused, Say, Show, Start, Tick, begin, step
from wasess.cli.refusals import dial_problem
from wasess.core import events
from wasess.link.port import LinkSignal

JID = "491701234567:3@s.whatsapp.net"


class Talk:
    """A pairing with its clock: ``after`` seconds something happens; returns what must be done."""

    def __init__(self, timeout: float = 180, phone: str = "") -> None:
        self.now = 1000.0
        self.state, self.begun = begin("alice", self.now, timeout, phone)

    def hear(self, happened: Happening, after: float = 0.0) -> list[object]:
        self.now += after
        self.state, commands = step(self.state, happened, self.now)
        return list(commands)

    def wait(self) -> list[object]:
        """Let the time come at which the pairing wants to be woken."""
        self.now = self.state.wake_at
        return self.hear(Tick())


def qr(text: str = "code") -> LinkSignal:
    return LinkSignal("qr", text)


def ended(cause: str, detail: str = "") -> LinkSignal:
    return LinkSignal("ended", cause, detail)


def log(line: str) -> LinkSignal:
    return LinkSignal("log", line)


def failure(commands: list[object]) -> errors.WasessError:
    (fail,) = commands
    assert isinstance(fail, Fail)
    return fail.error


def test_a_pairing_that_goes_well():
    talk = Talk()
    assert talk.begun == [Start("pair")]
    assert talk.hear(qr("one"), after=1) == [Show("one", 1, until=1061.0)]
    assert talk.hear(qr("two"), after=60) == [Show("two", 2, until=1081.0)]
    assert talk.hear(events.Paired(JID)) == [Say("the phone has accepted; logging in")]
    assert talk.hear(events.Connected(), after=3) == [Finish()]


def test_all_codes_used_up():
    talk = Talk()
    talk.hear(qr("1"))
    for number in "23456":
        talk.hear(qr(number), after=60 if number == "2" else 20)
    assert talk.now == 1140
    error = failure(talk.wait())
    assert talk.now == 1165
    assert isinstance(error, errors.PairingFailed)
    assert "6 of 6" in str(error)


def test_the_library_says_that_the_codes_are_used_up():
    talk = Talk()
    talk.hear(qr())
    error = failure(talk.hear(ended("library-returned", "pairing: timeout"), after=60))
    assert isinstance(error, errors.PairingFailed)


def test_the_first_code_lives_65_seconds_the_others_25():
    talk = Talk()
    talk.hear(qr())
    assert talk.state.wake_at == talk.now + 65
    talk.hear(qr(), after=60)
    assert talk.state.wake_at == talk.now + 25


def test_a_connection_lost_while_a_code_is_shown_is_not_called_used_up():
    talk = Talk()
    talk.hear(qr())
    assert isinstance(failure(talk.hear(ended("library-returned", "pairing: timeout"), after=10)), errors.NetworkDown)


def test_no_code_at_all():
    assert isinstance(failure(Talk().wait()), errors.NetworkDown)


def test_the_timeout_ends_the_waiting_but_not_a_login():
    talk = Talk(timeout=30)
    talk.hear(qr())
    assert talk.state.wake_at == 1030
    error = failure(talk.wait())
    assert "30 s" in str(error)
    talk = Talk(timeout=30)
    talk.hear(qr())
    talk.hear(events.Paired(JID), after=29)
    assert talk.hear(Tick(), after=2) == []


def test_a_network_that_is_down_is_tried_three_times():
    talk = Talk()
    refused = ended("dial-failed", "connection refused")
    assert talk.hear(refused) == [Say("WhatsApp can't be reached (connection refused); trying again in 1 s"), Start("pair", 1.0)]
    assert talk.hear(refused)[1] == Start("pair", 3.0)
    error = failure(talk.hear(refused))
    assert isinstance(error, errors.NetworkDown)
    assert error.exit_code == 3


@pytest.mark.parametrize(
    ("happened", "kind", "word"),
    [
        (log("ERROR Client: Failed to pair device: invalid device identity HMAC in pair success message"), errors.PairingFailed, "HMAC"),
        (log("WARN Client: Invalid HMAC from pair success message"), errors.PairingFailed, "HMAC"),
        (log("ERROR Client: Failed to pair device: invalid device signature in pair success message"), errors.PairingFailed, "signed"),
        (ended("library-returned", "pairing: error"), errors.PairingFailed, "can't be used"),
        (LinkSignal("passkey"), errors.PasskeyNeeded, "passkey"),
        (log("ERROR Client: Client outdated (405) connect failure (client version: 2.3000.1)"), errors.Outdated, "405"),
        (ended("library-returned", "pairing: err-client-outdated"), errors.Outdated, "405"),
        (log("WARN Client: Temporary ban connect failure: <failure/>"), errors.Banned, "banned"),
        (ended("library-returned", "pairing: err-unexpected-state"), errors.PairingFailed, "refused"),
        (log("INFO pairing: err-scanned-without-multidevice"), errors.PairingFailed, "too old"),
        (log("ERROR Client: Failed to handle code pair notification: bad"), errors.PairingFailed, "typed code"),
        (ended("crashed", "signal SIGSEGV"), errors.WorkerFailed, "SIGSEGV"),
        (ended("locked", "The session 'alice' is in use by process 7."), errors.Locked, "process 7"),
    ],
)
def test_what_ends_a_pairing_while_a_code_is_shown(happened, kind, word):
    talk = Talk()
    talk.hear(qr())
    (fail,) = talk.hear(happened)
    assert isinstance(fail, Fail)
    assert not fail.keep
    assert isinstance(fail.error, kind)
    assert word in str(fail.error)
    assert fail.error.hint


def test_lines_that_mean_nothing_for_the_pairing():
    talk = Talk()
    talk.hear(qr())
    for line in ("WARN Database: slow", "INFO pairing: success", "WARN Client: Got 503 stream error"):
        assert talk.hear(log(line)) == []


@pytest.mark.parametrize(
    "first",
    [
        Tick(),
        LinkSignal("hint", "gave-up", "Failed to reconnect after 515 code: dial"),
        ended("library-returned"),
        ended("crashed", "SIGKILL"),
    ],
)
def test_a_login_that_fails_after_515_is_tried_once_more_by_a_fresh_worker(first):
    talk = Talk()
    talk.hear(qr())
    talk.hear(events.Paired(JID))
    if isinstance(first, Tick):
        talk.now = talk.state.wake_at
    assert talk.hear(first)[-1] == Start("run")
    (fail,) = talk.wait()
    assert isinstance(fail, Fail)
    assert fail.keep
    assert isinstance(fail.error, errors.Degraded)


def test_a_failed_515_that_is_heard_of_before_the_pairing_itself():
    talk = Talk()
    talk.hear(qr())
    assert talk.hear(LinkSignal("hint", "gave-up", "Failed to reconnect after 515 code: dial"))[-1] == Start("run")
    assert talk.hear(events.Paired(JID)) == []
    assert talk.hear(events.Connected()) == [Finish()]


@pytest.mark.parametrize(
    ("event", "kind", "keep"),
    [
        (events.LoggedOut(401), errors.LoggedOut, False),
        (events.TemporaryBan(101, 600), errors.Banned, True),
        (events.ClientOutdated(), errors.Outdated, True),
        (events.StreamReplaced(), errors.Replaced, True),
        (events.ConnectFailure(400), errors.PairingFailed, True),
    ],
)
def test_credentials_the_phone_has_accepted_are_kept_unless_whatsapp_took_them_back(event, kind, keep):
    talk = Talk()
    talk.hear(qr())
    talk.hear(events.Paired(JID))
    (fail,) = talk.hear(event)
    assert isinstance(fail, Fail)
    assert isinstance(fail.error, kind)
    assert fail.keep is keep


def test_a_code_to_type_is_asked_for_once_and_lives_as_long_as_all_pictures():
    talk = Talk(phone="491701234567", timeout=500)
    assert talk.hear(qr()) == [AskPhoneCode("491701234567")]
    assert talk.hear(PhoneCode("ABCD-EFGH"), after=1) == [Show("ABCD-EFGH", 1, until=1160.0, typed=True)]
    assert talk.hear(qr(), after=59) == []


def test_a_phone_number_whatsapp_does_not_know():
    talk = Talk(phone="491701234567")
    talk.hear(qr())
    error = failure(talk.hear(PhoneRefused("400 bad-request")))
    assert isinstance(error, errors.PairingFailed)
    assert "400" in str(error)


def test_after_the_phone_has_accepted_a_late_code_is_not_shown():
    talk = Talk()
    talk.hear(qr())
    talk.hear(events.Paired(JID))
    assert talk.hear(qr()) == []


def test_a_device_that_is_gone_when_it_logs_in_again_was_taken_back():
    talk = Talk()
    talk.hear(qr())
    talk.hear(events.Paired(JID))
    talk.hear(ended("library-returned"))
    (fail,) = talk.hear(ended("no-device"))
    assert isinstance(fail, Fail)
    assert isinstance(fail.error, errors.LoggedOut)
    assert not fail.keep


@pytest.mark.parametrize(
    ("word", "kind"),
    [("timeout", errors.NetworkDown), ("err-unexpected-state", errors.PairingFailed), ("err-client-outdated", errors.Outdated)],
)
def test_a_refusal_before_the_first_code(word, kind):
    assert isinstance(failure(Talk().hear(ended("library-returned", f"pairing: {word}"))), kind)


def test_a_failed_dial_is_told_without_the_layers_it_came_through():
    layers = 'failed to dial whatsapp web websocket: failed to WebSocket dial: failed to send handshake request: Get "https://x/ws/chat": '
    assert (
        dial_problem(f"{layers}tls: first record does not look like a TLS handshake")
        == "tls: first record does not look like a TLS handshake"
    )
    assert dial_problem("") == "no reason given"
