"""Sends a message again that its recipient could not decrypt, and that the library can't serve any more.

A device that can't decrypt a message asks for it with a retry receipt. The library answers from its memory of the last 256 messages, under
the same id and to that device alone. After the worker was replaced (a crash, a restart, an upgrade) the message is not there, and the library
says so in its log (`link.logline.unserved`): only then it is sent again here, as a new message. The library makes the id of each message
itself, and WhatsApp's server takes one whose id it knows for a repeated frame: it acknowledges it and delivers nothing.

A new message goes to all of the recipient's devices, and so to all members of a group. Therefore:

* in a group nothing is sent again: everybody would get it twice because one device could not read it;
* nor for a linked device of a recipient who has it on another device, which a delivery receipt proves;
* of a message that is asked for, only one new one is made, whoever asks and however often; `MOST_TIMES` in a row when that can't be read either.

A file is not sent again: its copy is deleted once it is sent, and by now something else may lie at its path.
What can't be served is counted in the gap ledger (`store.gaps.NOT_RESENT`), and stands in the message's own record.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from wasess.core.message import BROADCAST, CHANNEL
from wasess.store.gaps import Cause, Gap
from wasess.store.outbox import RESENT
from wasess.words import _

if TYPE_CHECKING:
    from wasess.core.events import AskedAgain
    from wasess.store.gaps import Gaps
    from wasess.store.outbox import Letter, Outbox

MOST_TIMES = 2
LONGEST_AGE = 7 * 86_400.0  # seconds since it was sent; a text may be erased sooner (--keep-texts)
OPEN = ("queued", "sending")
SHARED = ("@g.us", BROADCAST, CHANNEL)


def send_again(asked: AskedAgain, outbox: Outbox, gaps: Gaps, now: float) -> tuple[str, Cause | None]:
    """Queue the message again, within the caller's transaction; return the chat where it is queued, and why it could not be; both empty: it need not be."""
    letter = outbox.find(asked.id)
    if letter is None or not _is_for(asked, letter):
        gaps.enter(Gap(asked.chat, asked.sender, "", Cause.RESEND_UNKNOWN, 1, now))
        return "", Cause.RESEND_UNKNOWN
    if letter.state in OPEN:
        outbox.sent(letter.seq, asked.id, now)  # whoever asks for it has got it
    if asked.device and (letter.delivered_at or letter.read_at):
        return "", None
    key, times = _key(letter)
    if outbox.holds(key):
        return "", None
    why = _obstacle(letter, times, now)
    if why is None and letter.reply is not None:
        new = outbox.queue(key, letter.chat, letter.reply, now, letter.about)
        outbox.remark(letter.seq, _("its recipient could not decrypt it; sent again as {position}").format(position=new.seq))
        return letter.chat, None
    found = why or Cause.RESEND_ERASED
    gaps.enter(Gap(letter.chat, asked.sender, asked.id, found, 1, now))
    outbox.remark(letter.seq, _("its recipient could not decrypt it, and it could not be sent again"))
    return "", found


def _is_for(asked: AskedAgain, letter: Letter) -> bool:
    """Whether it is asked for where it was sent. The library sends to a phone number's hidden id, so the two may be of different kinds."""
    if asked.chat == letter.chat and asked.chat.endswith(SHARED):
        return True
    is_own = asked.sender != asked.chat  # another device of the account itself, about a chat
    kinds = {address.partition("@")[2] for address in (asked.chat, letter.chat)}
    return not is_own and (asked.chat == letter.chat or kinds == {"s.whatsapp.net", "lid"})


def _obstacle(letter: Letter, times: int, now: float) -> Cause | None:
    if letter.chat.endswith(SHARED):
        return Cause.RESEND_GROUP
    if times > MOST_TIMES:
        return Cause.RESEND_TOO_OFTEN
    if letter.reply is None:
        return Cause.RESEND_ERASED
    if letter.kept or letter.reply.file or letter.reply.data:
        return Cause.RESEND_FILE
    return Cause.RESEND_OLD if now - (letter.sent_at or letter.queued_at) > LONGEST_AGE else None


def _key(letter: Letter) -> tuple[str, int]:
    """The key of the message that is sent in its place: the same whenever it is asked for; and how many that makes of the first one."""
    if letter.key.startswith(RESENT):
        first, _colon, times = letter.key.removeprefix(RESENT).partition(":")
        made = int(times) + 1 if times.isdecimal() else MOST_TIMES + 1
    else:
        first, made = hashlib.sha256(letter.key.encode()).hexdigest()[:32], 1
    return f"{RESENT}{first}:{made}", made
