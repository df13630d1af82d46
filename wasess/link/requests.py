"""What the host asks of the library, as its protobuf bytes, and what the answers mean."""

from __future__ import annotations

import base64
import os
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.message import DecodeError, EncodeError

from wasess.core.redact import redact
from wasess.errors import FileForged, FileUnavailable, SendRefused, UsageError, WorkerFailed
from wasess.link import protobuf
from wasess.link.attachment import MAX_FILE
from wasess.link.content import MAX_ID, MEDIA_FIELDS, unwrapped
from wasess.link.outgoing import UPLOADS
from wasess.store.names import OUTGOING_NAME
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wasess.core.message import Reply
    from wasess.link.attachment import Attachment

SERVERS = frozenset({"s.whatsapp.net", "lid", "g.us", "newsletter", "broadcast"})

# WhatsApp checks the display name and accepts common pairs of "Browser (OS)" only (whatsmeow pair-code.go); 1 is Chrome.
PAIRING_CLIENT = 1
PAIRING_DISPLAY = "Chrome (Linux)"

# A receipt names one message in the stanza itself and the others in a list.
MAX_IDS = 256
# A vote names its options by SHA-256; 12 are the most of a poll.
HASH_BYTES, MAX_HASHES = 32, 64
# What the file server calls a kind of file, and, with a capital, its keys' derivation (whatsmeow download.go, mediaTypeToMMSType).
MMS_TYPES = {"image": "image", "sticker": "image", "video": "video", "audio": "audio", "document": "document"}
# With any other length the library's AES-GCM panics, which ends the process.
IV_BYTES = 12

# What whatsmeow says of an answer that it has read and does not like (errors.go: IQError, ElementMissingError).
_ANSWERED = ("info query returned ", "missing <list> element in ")
# The server has answered, and it took nothing (errors.go: ErrServerReturnedError).
_REFUSED = "server returned error"
STATUS_DIGITS = 3

_ADDRESS = re.compile(r"(?P<user>[0-9A-Za-z._-]+)@(?P<server>[a-z.]+)")
_COPY = re.compile(r"[0-9a-f]{32}")
_PHONE = re.compile(r"[1-9][0-9]{6,14}")
# Where a file is on the file server: a path, and a query behind it.
_TARGET = re.compile(r"/[!-~]{1,2047}", re.ASCII)
_ID = re.compile(rf"[0-9A-Za-z._-]{{1,{MAX_ID}}}")


class WantedFile(NamedTuple):
    """The file of a message. ``target``: of the request to the file server; ``key`` is empty when it is not encrypted; ``declared``: its bytes, 0 for unknown."""

    target: str
    key: bytes
    words: str
    sealed_digest: bytes
    digest: bytes
    declared: int
    allowed: int


def address_request(to: str) -> bytes:
    """Return neonize.JID. Raises `errors.UsageError` on a bad address."""
    match = _ADDRESS.fullmatch(to)
    if not match or match["server"] not in SERVERS:
        raise UsageError(
            _("{address!r} is not a WhatsApp address.").format(address=redact(to)), hint=_("Write it like 491701234567@s.whatsapp.net.")
        )
    jid = protobuf.neonize().JID(User=match["user"], RawAgent=0, Device=0, Integrator=0, Server=match["server"])
    return bytes(jid.SerializeToString())


def key_request(key: str) -> bytes:
    """Return the key of a message that is sent, as a note in the spool can hold it. Raises `errors.UsageError`."""
    if "\0" in key or len(key) > MAX_ID:
        raise UsageError(_("A key has at most {most} characters, none of them NUL.").format(most=MAX_ID))
    return key.encode(errors="replace")


def read_sent(answer: bytes) -> str:
    """Return the id of the message sent. Raises `errors.WorkerFailed` with the library's reason; `errors.SendRefused` for the server's."""
    found = protobuf.neonize().SendMessageReturnFunction.FromString(answer)
    if found.Error.startswith(_REFUSED):
        code = found.Error.removeprefix(_REFUSED).strip()
        status = int(code) if len(code) == STATUS_DIGITS and code.isascii() and code.isdigit() else 0
        raise SendRefused(_("WhatsApp did not take the message: {detail}.").format(detail=redact(found.Error)), status=status)
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


def copy_request(folder: Path, reply: Reply, kept: str) -> Path | None:
    """Return where the copy of a reply's file is, None when it has none. Raises `errors.UsageError` for a file that no copy was made of."""
    if not (kept or reply.file or reply.data):
        return None
    if not _COPY.fullmatch(kept):
        raise UsageError(_("No copy was made of the file when the reply was queued."))
    return folder / OUTGOING_NAME / kept


def upload_request(attachment: Attachment) -> tuple[bytes, bytes, bytes]:
    """Return the copy's name, neonize's number for what the file is encrypted as, and the size that it may have grown to."""
    return os.fsencode(attachment.path.name), b"%d" % UPLOADS[attachment.kind], b"%d" % MAX_FILE


def read_uploaded(answer: bytes) -> Any:
    """Return neonize.UploadResponse. Raises `errors.WorkerFailed`."""
    found = protobuf.neonize().UploadReturnFunction.FromString(answer)
    if found.Error or not found.UploadResponse.DirectPath:
        raise WorkerFailed(
            _("The file was not uploaded: {detail}.").format(detail=redact(found.Error or _("the library returned no address")))
        )
    return found.UploadResponse


def download_request(raw: bytes, allowed: int) -> WantedFile:
    """Return where the file of a spooled message event is, and what it must be. ``allowed``: the most bytes.

    Raises `errors.UsageError` when there is no file in it, `errors.FileUnavailable` when it can't be had, `errors.FileForged` when no client writes so.
    """
    message = unwrapped(_event(raw).Message)
    name = next((name for name in MEDIA_FIELDS if message.HasField(name)), "")
    if not name:
        raise UsageError(_("There is no file in this message."))
    part = getattr(message, name)
    if part.fileLength > allowed:
        raise FileUnavailable(_("The file has {size} bytes; {most} are allowed.").format(size=part.fileLength, most=allowed))
    if not part.directPath or not part.fileSHA256:  # as a linked device gets what may be viewed once
        raise FileUnavailable(_("The message does not say where its file is."))
    # Without its hash an encrypted file is taken as an open one (whatsmeow download.go, Download).
    key, sealed_digest = (part.mediaKey, part.fileEncSHA256) if part.fileEncSHA256 else (b"", b"")
    sizes = {len(part.fileSHA256), *((len(key), len(sealed_digest)) if sealed_digest else ())}
    if sizes != {HASH_BYTES} or not isinstance(part.directPath, str) or not _TARGET.fullmatch(part.directPath):
        raise FileForged(_("The message names no file as WhatsApp's clients do."))
    kind = MMS_TYPES[MEDIA_FIELDS[name]]
    digest = base64.urlsafe_b64encode(sealed_digest).decode()
    target = f"{part.directPath}&hash={digest}&mms-type={kind}&__wa-mms="
    return WantedFile(target, key, f"WhatsApp {kind.capitalize()} Keys", sealed_digest, part.fileSHA256, part.fileLength, allowed)


def sealed_size(size: int) -> int:
    """How many bytes a file of so many has once it is encrypted (`link.media_cipher`): whole blocks with padding, and the MAC."""
    return (size // 16 + 1) * 16 + 10


def path_request(path: Path, folder: Path) -> bytes:
    """Return a path in the session's folder as the worker knows it. Raises `errors.UsageError` for any other."""
    inner, outer = path.absolute(), folder.absolute()
    if inner.is_relative_to(outer) and ".." not in inner.parts and inner != outer:
        return bytes(inner.relative_to(outer))
    raise UsageError(_("{path} is not in the session's folder.").format(path=path))


def vote_request(raw: bytes) -> bytes:
    """Return a spooled vote's event, neonize.Message, as the library can take it: a field that is missing there ends the process.

    Raises `errors.UsageError` when it is none.
    """
    found = _event(raw)
    found.ClearField("SourceWebMsg")
    found.ClearField("NewsLetterMeta")
    found.ClearField("Raw")
    message = unwrapped(found.Message)
    if len(message.pollUpdateMessage.vote.encIV) != IV_BYTES:
        raise UsageError(_("This message is no vote in a poll."))
    bare = protobuf.e2e().Message(pollUpdateMessage=message.pollUpdateMessage)
    found.Message.CopyFrom(bare)
    try:
        return bytes(found.SerializeToString())
    except EncodeError as error:
        raise UsageError(_("This message is no vote in a poll.")) from error


def read_votes(answer: bytes) -> tuple[str, ...]:
    """Return the SHA-256 of each option that is chosen, in hex. Raises `errors.WorkerFailed`: the library does not know the poll."""
    try:
        found = protobuf.neonize().ReturnFunctionWithError.FromString(answer)
    except DecodeError as error:
        raise WorkerFailed(_("The vote could not be read.")) from error
    if found.Error:
        raise WorkerFailed(_("The vote could not be read: {detail}.").format(detail=redact(found.Error)))
    return tuple(option.hex() for option in found.PollVoteMessage.selectedOptions[:MAX_HASHES] if len(option) == HASH_BYTES)


def read_request(chat: str, sender: str, ids: Sequence[str]) -> tuple[bytes, ...]:
    """Return the ids in one text, the Unix time, chat and sender (neonize.JID). Raises `errors.UsageError`."""
    if not 0 < len(ids) <= MAX_IDS or not all(map(_ID.fullmatch, ids)):
        raise UsageError(_("1 to {most} ids of messages can be marked as read at once.").format(most=MAX_IDS))
    return " ".join(ids).encode(), b"%d" % time.time(), address_request(chat), address_request(sender)


def typing_request(chat: str, *, on: bool) -> tuple[bytes, bytes]:
    """Return the chat (neonize.JID) and neonize's number for what is done there (neonize utils/enum.py, ChatPresence)."""
    return address_request(chat), b"0" if on else b"1"


def _event(raw: bytes) -> Any:
    try:
        return protobuf.neonize().Message.FromString(raw)
    except DecodeError as error:
        raise UsageError(_("This is no message of WhatsApp's.")) from error
