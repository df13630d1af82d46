"""Signs what goes to a webhook: Standard Webhooks, symmetric, ``v1`` (https://www.standardwebhooks.com).

The receiver checks three headers: ``webhook-id`` (the same at every try of one message: to notice repetitions), ``webhook-timestamp`` (of
this try, Unix seconds) and ``webhook-signature`` (``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``; with two secrets two of
these, separated by a space, so that the receiver can change to the new one at its leisure).

The signing itself is the reference library's, which has no dependencies since 1.1. It takes whatever it is given for a secret, even one
byte or half of a line that was pasted wrongly; `read_secrets` is as strict as the specification.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from standardwebhooks import Webhook

from wasess.errors import UsageError
from wasess.words import _, mark

if TYPE_CHECKING:
    from wasess.core.message import Message

PREFIX = "whsec_"
# In bytes, both from the specification.
SHORTEST = 24
LONGEST = 64
MOST_SECRETS = 2
HINT = mark("Write one that only the receiver and wasess know, for instance with: echo whsec_$(openssl rand -base64 32)")


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Read a file of secrets, one a line, the new one first while one replaces another. Raises `errors.UsageError`, which quotes nothing."""
    lines = text.removeprefix("\ufeff").split()
    if not lines:
        raise UsageError(_("The webhook's secret file is empty."), hint=_(HINT))
    if len(lines) > MOST_SECRETS:
        raise UsageError(
            _("The webhook's secret file holds {count} secrets; two are the most, while a new one replaces the old.").format(
                count=len(lines)
            ),
            hint=_("Keep the secret that the receiver checks, and the one that is to replace it."),
        )
    return tuple(_read_secret(line, number) for number, line in enumerate(lines, start=1))


def _read_secret(line: str, number: int) -> bytes:
    encoded = line.removeprefix(PREFIX).rstrip("=")
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        secret = b""
    if not line.startswith(PREFIX) or not secret:
        raise UsageError(_("Secret {number} of the webhook is not of the form whsec_BASE64.").format(number=number), hint=_(HINT))
    if not SHORTEST <= len(secret) <= LONGEST:
        sentence = _("Secret {number} of the webhook has {length} bytes instead of {shortest} to {longest}.")
        raise UsageError(sentence.format(number=number, length=len(secret), shortest=SHORTEST, longest=LONGEST), hint=_(HINT))
    return secret


def webhook_id(message: Message) -> str:
    """Name a message for the receiver: the same at every try, another for every other message, and no phone number can be read in it."""
    parts = json.dumps([message.session, message.chat, message.sender, message.id])
    return "msg_" + hashlib.sha256(parts.encode()).hexdigest()[:32]


class Signer:
    """Signs with each secret, in their order."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def headers(self, name: str, now: float, body: bytes) -> list[tuple[str, str]]:
        """Return the three headers for this body, sent ``now`` (Unix time) under this `webhook_id`."""
        moment = datetime.fromtimestamp(int(now), UTC)
        text = body.decode()
        signatures = " ".join(webhook.sign(name, moment, text) for webhook in self._webhooks)
        return [("webhook-id", name), ("webhook-timestamp", str(int(now))), ("webhook-signature", signatures)]
