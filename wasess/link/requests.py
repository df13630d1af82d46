"""What the host asks of the library, as its protobuf bytes, and what the answers mean."""

from __future__ import annotations

import re

from wasess.core.redact import redact
from wasess.errors import UsageError, WorkerFailed
from wasess.link import protobuf
from wasess.words import _

SERVERS = frozenset({"s.whatsapp.net", "lid", "g.us", "newsletter", "broadcast"})

MAX_TEXT = 65536

# WhatsApp checks the display name and accepts common pairs of "Browser (OS)" only (whatsmeow pair-code.go); 1 is Chrome.
PAIRING_CLIENT = 1
PAIRING_DISPLAY = "Chrome (Linux)"

# What whatsmeow says of an answer that it has read and does not like (errors.go: IQError, ElementMissingError).
_ANSWERED = ("info query returned ", "missing <list> element in ")

_ADDRESS = re.compile(r"(?P<user>[0-9A-Za-z._-]+)@(?P<server>[a-z.]+)")
_PHONE = re.compile(r"[1-9][0-9]{6,14}")


def send_request(to: str, text: str) -> tuple[bytes, bytes]:
    """Return the recipient (neonize.JID) and the message (WAWebProtobufsE2E.Message). Raises `errors.UsageError` on a bad address or a long text."""
    match = _ADDRESS.fullmatch(to)
    if not match or match["server"] not in SERVERS:
        raise UsageError(
            _("{address!r} is not a WhatsApp address.").format(address=redact(to)), hint=_("Write it like 491701234567@s.whatsapp.net.")
        )
    if len(text) > MAX_TEXT:
        raise UsageError(
            _("The text has {length} characters; WhatsApp takes {most}.").format(length=len(text), most=MAX_TEXT),
            hint=_("Send it in parts."),
        )
    jid = protobuf.neonize().JID(User=match["user"], RawAgent=0, Device=0, Integrator=0, Server=match["server"])
    return jid.SerializeToString(), protobuf.e2e().Message(conversation=text).SerializeToString()


def read_sent(answer: bytes) -> str:
    """Return the id of the message sent. Raises `errors.WorkerFailed` with the library's reason."""
    found = protobuf.neonize().SendMessageReturnFunction.FromString(answer)
    if found.Error or not found.SendResponse.ID:
        raise WorkerFailed(_("The message was not sent: {detail}.").format(detail=redact(found.Error or _("the library returned no id"))))
    return str(found.SendResponse.ID)


def pair_phone_request(phone: str) -> bytes:
    """Return neonize.PairPhoneParams. Raises `errors.UsageError` unless ``phone`` is an international number in digits."""
    if not _PHONE.fullmatch(phone):
        raise UsageError(_("The phone number must be international and digits only."), hint=_("Write it like 491701234567."))
    parameters = protobuf.neonize().PairPhoneParams(
        phone=phone, showPushNotification=True, clientType=PAIRING_CLIENT, clientDisplayName=PAIRING_DISPLAY
    )
    return bytes(parameters.SerializeToString())


def read_code(answer: bytes) -> str:
    """Return the pairing code as the phone wants it: ``ABCD-EFGH``. Raises `errors.WorkerFailed`."""
    found = protobuf.neonize().PairPhoneReturnFunction.FromString(answer)
    if found.Error or not found.Code:
        raise WorkerFailed(
            _("WhatsApp gave no pairing code: {detail}.").format(detail=redact(found.Error or _("the library returned none")))
        )
    return str(found.Code)


def read_probed(answer: bytes) -> None:
    """Return when the server has answered `Library.blocklist`, be it with a refusal. Raises `errors.WorkerFailed` when it has not."""
    found = protobuf.neonize().GetBlocklistReturnFunction.FromString(answer)
    if found.Error and not found.Error.startswith(_ANSWERED):
        raise WorkerFailed(_("WhatsApp did not answer: {detail}.").format(detail=redact(found.Error)))
