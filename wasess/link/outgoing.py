"""Writes a `core.message.Reply` as the WAWebProtobufsE2E.Message that WhatsApp's own clients would send.

A file is uploaded between the two steps: `compose` says no to what can't be sent, before anything is; `with_upload` adds where it is.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING, Any

from wasess.core.message import MEDIA, STATUS
from wasess.core.redact import redact
from wasess.errors import UsageError
from wasess.link import protobuf
from wasess.link.content import MAX_TEXT, MEDIA_FIELDS, plain_address
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.message import Kind, Location, Message, Poll, Reply
    from wasess.link.attachment import Attachment

FIELDS: dict[Kind, str] = {
    **{kind: name for name, kind in MEDIA_FIELDS.items() if name != "ptvMessage"},
    "voice": "audioMessage",
}
CAPTIONED: frozenset[Kind] = frozenset({"image", "video", "document"})
# What the library encrypts a file for: neonize utils/enum.py, MediaType.
UPLOADS: dict[Kind, int] = {"image": 0, "sticker": 0, "video": 1, "audio": 2, "voice": 2, "document": 3}

MAX_EMOJI = 32  # characters: some are put together of a dozen
MAX_QUESTION, MAX_OPTION = 255, 100
MIN_OPTIONS, MAX_OPTIONS = 2, 12
MAX_QUOTED = 1024
# whatsmeow makes one by itself only where it sends reporting tokens; without it nobody can vote.
SECRET_BYTES = 32


def compose(to: str, reply: Reply, quoted: Message | None = None, attachment: Attachment | None = None) -> Any:
    """Return the Message for a chat. ``quoted``: the message that the reply quotes or reacts to, where it is known.

    Raises `errors.UsageError` for what can't be sent.
    """
    _one_thing(reply, has_file=bool(reply.file) or attachment is not None)
    if len(reply.text) > MAX_TEXT:
        raise UsageError(
            _("The text has {length} characters; WhatsApp takes {most}.").format(length=len(reply.text), most=MAX_TEXT),
            hint=_("Send it in parts."),
        )
    try:
        return _reaction(to, reply, quoted) if reply.react is not None else _content(to, reply, quoted, attachment)
    except UnicodeEncodeError as error:
        raise UsageError(_("The text holds half a character, which can't be sent.")) from error


def _content(to: str, reply: Reply, quoted: Message | None, attachment: Attachment | None) -> Any:
    context = _context(to, reply, quoted)
    if reply.location is not None:
        return _place(reply.location, context)
    if reply.poll is not None:
        return _poll(reply.poll, context)
    if attachment is not None:
        return _file(reply, attachment, context)
    if context is None:
        return _make(conversation=reply.text)
    return _make(extendedTextMessage={"text": reply.text, "contextInfo": context})


def with_upload(message: Any, uploaded: Any) -> Any:
    """Add to a composed file where it was uploaded to (neonize.UploadResponse)."""
    part = _part(message)
    part.URL, part.directPath, part.mediaKey = uploaded.url, uploaded.DirectPath, uploaded.MediaKey
    part.fileEncSHA256, part.fileSHA256, part.fileLength = uploaded.FileEncSHA256, uploaded.FileSHA256, uploaded.FileLength
    part.mediaKeyTimestamp = int(time.time())
    return message


def _make(**fields: Any) -> Any:
    return protobuf.e2e().Message(**fields)


def _one_thing(reply: Reply, *, has_file: bool) -> None:
    """A reply holds one thing only. Of a file that came as bytes there is nothing left in the reply."""
    alone = sum(thing is not None for thing in (reply.react, reply.location, reply.poll))
    if alone + bool(reply.text or has_file) > 1:
        raise UsageError(
            _("A text or a file, a reaction, a place and a poll can't be one message."), hint=_("Send them one after the other.")
        )
    if not (alone or reply.text or has_file):
        raise UsageError(_("There is nothing to send: the text is empty."))


# --- what a message is about --------------------------------------------------------------------------------------


def _target(reply: Reply, quoted: Message | None) -> str:
    """The id of the message that is quoted or reacted to; empty for none."""
    if isinstance(reply.quote, str) and reply.quote:
        if quoted is not None and quoted.id != reply.quote:
            raise UsageError(_("The message that was found is not the one that is to be quoted."))
        return reply.quote
    if quoted is not None and (reply.quote or reply.react is not None):
        return quoted.id
    if reply.quote or reply.react is not None:
        raise UsageError(_("There is no message to answer to."), hint=_("Name its id."))
    return ""


def _context(to: str, reply: Reply, quoted: Message | None) -> Any:
    """What it quotes and whom it mentions, None for neither."""
    fields: dict[str, Any] = {}
    if target := _target(reply, quoted):
        fields = {"stanzaID": target, "participant": _author(to, quoted), "quotedMessage": _quoted(quoted)}
        if quoted is not None and quoted.chat == STATUS:
            fields["remoteJID"] = STATUS
    mentions = [plain_address(name) for name in reply.mentions]
    if not all(mentions):
        bad = next(name for name in reply.mentions if not plain_address(name))
        raise UsageError(
            _("{address!r} is not a WhatsApp address.").format(address=redact(bad)), hint=_("Write it like 491701234567@s.whatsapp.net.")
        )
    if mentions:
        fields["mentionedJID"] = mentions
    return protobuf.e2e().ContextInfo(**fields) if fields else None


def _author(to: str, quoted: Message | None) -> str:
    """Who wrote what is quoted: unless that is known, in a chat of two the other one."""
    if quoted is not None:
        return quoted.sender
    if to.endswith("@g.us"):
        raise UsageError(_("In a group a message can be quoted only when it is known who wrote it."))
    return to


def _quoted(quoted: Message | None) -> Any:
    """As much of it as a client shows in the box above an answer."""
    if quoted is None:
        return _make(conversation="")
    text = quoted.text[:MAX_QUOTED]
    if quoted.kind not in MEDIA:
        return _make(conversation=text)
    part = {"mimetype": quoted.media.mime if quoted.media else ""}
    part |= {"caption": text} if quoted.kind in CAPTIONED else {}
    return _make(**{FIELDS[quoted.kind]: part})


def _reaction(to: str, reply: Reply, quoted: Message | None) -> Any:
    if len(reply.react or "") > MAX_EMOJI:
        raise UsageError(_("A reaction is one emoji."))
    place = STATUS if quoted is not None and quoted.chat == STATUS else to
    key = {"remoteJID": place, "fromMe": quoted.from_me if quoted else False, "ID": _target(reply, quoted)}
    if (place == STATUS or to.endswith("@g.us")) and not key["fromMe"]:
        key["participant"] = _author(to, quoted)
    return _make(reactionMessage={"key": key, "text": reply.react, "senderTimestampMS": time.time_ns() // 1_000_000})


# --- content ------------------------------------------------------------------------------------------------------


def _place(place: Location, context: Any) -> Any:
    if not (math.isfinite(place.latitude) and math.isfinite(place.longitude) and abs(place.latitude) <= 90 and abs(place.longitude) <= 180):
        raise UsageError(_("A place needs a latitude between -90 and 90 and a longitude between -180 and 180 degrees."))
    if place.live:
        raise UsageError(_("A place that moves can't be sent."), hint=_("Send where it is now."))
    fields = {"degreesLatitude": place.latitude, "degreesLongitude": place.longitude, "name": place.name, "address": place.address}
    return _make(locationMessage=fields | _with(context))


def _poll(poll: Poll, context: Any) -> Any:
    """The first version of the field: the library tells the server that it is a poll for that one alone (whatsmeow send.go)."""
    options = [option.strip() for option in poll.options]
    if not 0 < len(poll.question.strip()) <= MAX_QUESTION:
        raise UsageError(_("A poll needs a question of at most {most} characters.").format(most=MAX_QUESTION))
    if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS or len(set(options)) != len(options):
        raise UsageError(
            _("A poll needs {fewest} to {most} options that differ from each other.").format(fewest=MIN_OPTIONS, most=MAX_OPTIONS)
        )
    if not all(0 < len(option) <= MAX_OPTION for option in options):
        raise UsageError(_("An option of a poll has 1 to {most} characters.").format(most=MAX_OPTION))
    if not 0 <= poll.selectable <= len(options):
        raise UsageError(
            _("A poll of {count} options can't let people choose {chosen}.").format(count=len(options), chosen=poll.selectable)
        )
    asked = {"name": poll.question, "options": [{"optionName": option} for option in options], "selectableOptionsCount": poll.selectable}
    return _make(pollCreationMessage=asked | _with(context), messageContextInfo={"messageSecret": secrets.token_bytes(SECRET_BYTES)})


def _file(reply: Reply, attachment: Attachment, context: Any) -> Any:
    part: dict[str, Any] = {"mimetype": attachment.mime} | _with(context)
    if reply.text:
        part["caption"] = reply.text
    if attachment.kind == "document":
        part |= {"fileName": attachment.name, "title": attachment.name}
    if attachment.kind == "voice":
        part["PTT"] = True
    message = _make(**{FIELDS[attachment.kind]: part})
    return _make(documentWithCaptionMessage={"message": message}) if attachment.kind == "document" and reply.text else message


def _part(message: Any) -> Any:
    """Where the upload goes in what `_file` made."""
    if message.HasField("documentWithCaptionMessage"):
        message = message.documentWithCaptionMessage.message
    return next(getattr(message, name) for name in FIELDS.values() if message.HasField(name))


def _with(context: Any) -> dict[str, Any]:
    return {"contextInfo": context} if context is not None else {}
