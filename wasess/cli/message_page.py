"""Everything about one message, for people: a line a field, then the text, indented. No field and no text can look like another field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasess.cli.letterbox import sender_of
from wasess.core.escaping import harmless
from wasess.doctor.times import moment, size, span
from wasess.words import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasess.core.message import Media, Message
    from wasess.store.inbox import Item


INDENT = "  "


def page_of(user: str, item: Item, now: float) -> tuple[str, ...]:
    """The lines; the text comes last, and it alone may have line breaks."""
    head = _("message {position} of {user}: {state}").format(position=item.seq, user=user, state=item.state)
    ago = _("{ago} ago").format(ago=span(now - item.received_at))
    fields = [(_("received"), f"{moment(item.received_at)} ({ago})")]
    if item.tries:
        fields.append((_("tries"), str(item.tries)))
    if item.detail:
        fields.append((_("problem"), item.detail))
    if item.retry_at > now and item.state == "waiting":
        fields.append((_("next try"), moment(item.retry_at)))
    if item.message is None:
        gone = _("it is damaged, and can't be shown") if item.damage else _("its text was deleted: its time was over")
        return (head, *_lines(fields), gone)
    text = (f"{INDENT}{harmless(line)}" for line in item.message.text.split("\n")) if item.message.text else ()
    return (head, *_lines([*fields, *_fields(item.message)]), *text)


def _lines(fields: list[tuple[str, str]]) -> Iterator[str]:
    return (f"{name}: {harmless(value)}" for name, value in fields if value)


def _fields(message: Message) -> Iterator[tuple[str, str]]:
    yield _("from"), sender_of(message)
    yield _("also known as"), message.sender_alt
    yield _("sent"), moment(message.timestamp)
    yield _("id"), message.id
    yield _("kind"), message.kind
    yield _("about"), message.about
    if message.quote:
        yield _("answers"), f"{message.quote.id} ({message.quote.sender}): {message.quote.text}"
    yield _("mentions"), ", ".join(message.mentions)
    if message.media:
        yield _("file"), _file(message.media)
    if message.location:
        place = message.location
        yield _("place"), " ".join(filter(None, (f"{place.latitude}, {place.longitude}", place.name, place.address)))
    yield _("contacts"), ", ".join(contact.name for contact in message.contacts)
    if message.poll:
        yield _("options"), ", ".join(message.poll.options)
    yield _("votes"), ", ".join(message.votes)


def _file(media: Media) -> str:
    known = [media.mime, size(media.size) if media.size else "", media.name, media.problem]
    seconds = _("{count} s").format(count=media.seconds) if media.seconds else ""
    return f"{media.path or '-'} ({', '.join(filter(None, [*known, seconds]))})"
