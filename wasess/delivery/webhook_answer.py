"""What a webhook's answer means: a decision, without network or clock.

==================================  =========================================================================================
2xx                                 taken; its JSON may carry replies
429, 408, 502, 503, 504             nobody is there to take any message; ``Retry-After`` says for how long, an hour at most
all else: 3xx, 4xx, 500             it said no to this message. A redirect is not followed: it could lead anywhere
==================================  =========================================================================================

The JSON, up to 8 MiB, as ``application/json``: ``{"reply": "text"}``, ``{"reply": {fields of core.message.Reply}}`` or
``{"replies": [...]}`` of these. Nothing at all, ``null``, an object without these two names, or another content type: no reply. An answer that
can't be read or sent is the receiver's fault, and as good as a no: it must not vanish.

A receiver is another program, perhaps on another machine, and an answer is only words of it. So it names no file of this machine, but below the folder
that the operator has named, and it writes to nobody but the chat that it was asked from (`confined`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from wasess.delivery.bot import Outcome, Verdict
from wasess.delivery.replies import BadReply, read_replies
from wasess.delivery.webhook_connection import LONGEST_BODY
from wasess.store.outgoing_files import Sources
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.message import Message
    from wasess.delivery.webhook_connection import Answer
    from wasess.delivery.webhook_spec import WebhookSpec

AWAY = frozenset({408, 429, 502, 503, 504})
LONGEST_WAIT = 3600.0


def outcome_of(answer: Answer, now: float) -> Outcome:
    """``now`` in Unix time, for a Retry-After that is a date."""
    if answer.status in AWAY:
        return Outcome(Verdict.AWAY, detail=_status(answer), wait=retry_after(answer.headers.get("retry-after", ""), now))
    if 300 <= answer.status < 400:
        return Outcome(Verdict.RAISED, detail=_("it answered {status}, and redirects are not followed").format(status=answer.status))
    if answer.status >= 400:
        return Outcome(Verdict.RAISED, detail=_status(answer))
    try:
        return Outcome(Verdict.ANSWERED, read_replies(_replies(answer)))
    except BadReply as error:
        return Outcome(Verdict.RAISED, detail=str(error))


def confined(outcome: Outcome, message: Message, spec: WebhookSpec) -> Outcome:
    """What the answer asks for, as far as the operator lets the webhook do it; a no, when that is not all of it."""
    if spec.may_write:
        return replace(outcome, files=Sources(folder=spec.files))
    here = {message.answer_to}
    if message.answer_to == message.sender and message.sender_alt:
        here.add(message.sender_alt)  # the same chat by its other address
    if any(reply.to and reply.to not in here for reply in outcome.replies):
        problem = _("a reply is to another chat than the one that was asked about, which takes --webhook-may-write")
        return Outcome(Verdict.RAISED, detail=problem)
    return replace(outcome, replies=tuple(replace(reply, to="") for reply in outcome.replies), files=Sources(folder=spec.files))


def retry_after(text: str, now: float) -> float:
    """Return how many seconds the header asks for, of which it gets an hour at most; 0 when it asks for nothing that can be read."""
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    # A date in "-0000" comes without a zone, and is in UTC all the same.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(aware.timestamp() - now, 0.0), LONGEST_WAIT)


def _status(answer: Answer) -> str:
    return _("it answered {status}").format(status=answer.status)


def _replies(answer: Answer) -> Any:
    """Return what `read_replies` is to read. Raises `BadReply`."""
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return None
    if not answer.whole:
        raise BadReply(_("its answer is longer than {most} MiB").format(most=LONGEST_BODY // 2**20))
    content = _decode(answer.body)
    if content is None:
        return None
    if not isinstance(content, dict):
        raise BadReply(_("its answer is JSON, but no object such as {example}").format(example='{"reply": "…"}'))
    if "reply" in content and "replies" in content:
        raise BadReply(_("its answer has both a reply and replies"))
    if not isinstance(content.get("replies", []), list):
        raise BadReply(_("the replies in its answer are no list"))
    return content.get("reply", content.get("replies"))


def _decode(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReply(_("its answer is no valid JSON")) from None
