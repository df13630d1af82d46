"""`wasess inbox …`: the messages that came in, and what became of them; dead letters are tried again, or dropped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from wasess.cli.braked_chats import chosen_chats, line_of, release_chats
from wasess.cli.errand import answering_manager, existing, require_consent
from wasess.cli.letterbox import LARGEST_POSITION, document_of, letterbox
from wasess.cli.message_page import page_of
from wasess.cli.options import HOME, HomeOption, JsonOption, UserArgument, YesOption, complete_user
from wasess.cli.render import emit
from wasess.cli.result import Result
from wasess.control.client import Client
from wasess.core.redact import redact
from wasess.delivery import by_hand
from wasess.delivery.rules import askable, for_bots
from wasess.doctor.times import span
from wasess.errors import StoreError, UsageError
from wasess.store.sessions import Home
from wasess.words import _, mark, plural

if TYPE_CHECKING:
    from wasess.delivery.mailbox import Mailbox
    from wasess.store.inbox import Item, State
    from wasess.store.sessions import Session

HEADINGS = (
    *(mark("USER"), mark("POSITION"), mark("STATE"), mark("AGE"), mark("KIND"), mark("CHAT"), mark("TRIES"), mark("WHY")),
)  # fmt: skip
STATES: dict[str, State] = {"waiting": "waiting", "dead": "dead", "done": "done", "unasked": "unasked"}
LIMIT = 100
CAN_BE = {"retry": frozenset({"dead", "unasked"}), "drop": frozenset({"dead", "waiting"})}


class _Group(TyperGroup):
    """Without the name of a command it is ``list``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See typer; a shell that completes names is offered the commands."""
        plain = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["list", *args] if plain and not ctx.resilient_parsing else args)


app = typer.Typer(
    cls=_Group,
    rich_markup_mode=None,
    add_completion=False,
    help="Look at the messages that came in; try dead letters again, or drop them.",
)

PositionsArgument = Annotated[
    list[int] | None,
    typer.Argument(
        min=1,
        max=LARGEST_POSITION,
        metavar="[POSITION]...",
        help="The messages' numbers, as `wasess inbox` shows them.",
        show_default=False,
    ),
]

FailedRepliesOption = Annotated[bool, typer.Option("--failed-replies", help="All replies that could not be sent, instead.")]


@app.command("list")
def list_messages(
    *,
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Only those of this session.", show_default=False, autocompletion=complete_user)
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="waiting|dead|done|unasked", help="Show these; repeat it.", show_default="waiting and dead"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="Show the newest N.")] = LIMIT,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """List messages, the newest last: by default those that wait for the bot, and the dead letters.

    A dead letter is a message that the bot failed on too often; unasked means that no bot was there for it, or a rule left it out.
    """
    states = _states(state or ["waiting", "dead"])
    opened = Home(home).open(create=False)
    sessions = [existing(opened, user)] if user is not None else opened.sessions()
    found: list[tuple[str, Item]] = []
    problems: dict[str, StoreError] = {}
    total = 0
    for session in sessions:
        try:
            items, count = _newest(session, states, limit)
        except StoreError as error:
            if user is not None:
                raise
            problems[session.user] = error
        else:
            found += items
            total += count
    found.sort(key=lambda pair: pair[1].received_at)
    return emit(_listed(found[-limit:], total, problems, time.time()), as_json=json)


@app.command()
def show(
    *,
    user: UserArgument,
    position: Annotated[
        int, typer.Argument(min=1, max=LARGEST_POSITION, metavar="POSITION", help="The message's number.", show_default=False)
    ],
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Show everything about a message, its text too."""
    session = existing(Home(home).open(create=False), user)
    with letterbox(session) as mailbox:
        item = mailbox.inbox.item(position) if mailbox else None
    if item is None:
        raise UsageError(_missing(user, position), hint=f"wasess inbox list {user}")
    more = {"tries": item.tries, "retry_at": item.retry_at or None, "finished_at": item.finished_at, "detail": item.detail}
    return emit(Result(document_of(user, item) | more, page_of(user, item, time.time())), as_json=json)


@app.command()
def retry(
    *,
    user: UserArgument,
    positions: PositionsArgument = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    every_unasked: Annotated[
        bool, typer.Option("--all-unasked", help="All that no bot was asked about: not your own, nor statuses and channels.")
    ] = False,
    failed_replies: FailedRepliesOption = False,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Ask the bot again about dead letters, or about messages that nobody was asked about.

    In the order in which they came, before what came later in the same chat and still waits.

    With --failed-replies: send what could not be sent again, be it the bot's or yours. A file has to be sent anew: wasess send.
    """
    session = existing(Home(home).open(create=False), user)
    if failed_replies:
        _alone(positions or every or every_unasked, f"wasess inbox retry {user} --failed-replies")
        return emit(_resent(Home(home), session), as_json=json)
    states: tuple[State, ...] = (*(("dead",) if every else ()), *(("unasked",) if every_unasked else ()))
    chosen = _chosen(session, positions or [], states, hint=f"wasess inbox retry {user} --all")
    changed, managed = _changed(Home(home), session, "retry", chosen)
    said = plural("{count} message of {user} waits for the bot again", "{count} messages of {user} wait for the bot again", len(changed))
    refused = _refused(session, chosen, changed, "retry") if positions else {}
    data = {"user": user, "retried": changed, "refused": list(refused), "managed": managed}
    lines = (said.format(count=len(changed), user=user), *refused.values())
    return emit(Result(data, lines, hint="" if managed else "wasess serve", exit_code=2 if refused else 0), as_json=json)


@app.command()
def drop(
    *,
    user: UserArgument,
    positions: PositionsArgument = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All dead letters.")] = False,
    failed_replies: FailedRepliesOption = False,
    yes: YesOption = False,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Give up dead letters, or messages that wait for the bot, for good.

    Their texts are deleted when their time is over, as those of all messages that are done with.

    With --failed-replies: give up what could not be sent; these texts are deleted at once.
    """
    session = existing(Home(home).open(create=False), user)
    if failed_replies:
        _alone(positions or all_dead, f"wasess inbox drop {user} --failed-replies")
        return emit(_given_up(Home(home), session, yes=yes), as_json=json)
    chosen = _chosen(session, positions or [], ("dead",) if all_dead else (), hint=f"wasess inbox drop {user} --all-dead")
    if chosen:
        question = plural("Give up {count} message of {user}?", "Give up {count} messages of {user}?", len(chosen))
        require_consent(question.format(count=len(chosen), user=user), yes=yes)
    changed, managed = _changed(Home(home), session, "drop", chosen)
    said = plural("{count} message of {user} was given up", "{count} messages of {user} were given up", len(changed))
    refused = _refused(session, chosen, changed, "drop") if positions else {}
    data = {"user": user, "dropped": changed, "refused": list(refused), "managed": managed}
    lines = (said.format(count=len(changed), user=user), *refused.values())
    return emit(Result(data, lines, exit_code=2 if refused else 0), as_json=json)


@app.command()
def release(
    *,
    user: UserArgument,
    chats: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CHAT]...", help="The chats, as they are shown, or their full addresses.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All chats of the session that were paused so.")] = False,
    give_up: Annotated[bool, typer.Option("--drop", help="Give up the messages and replies that have waited there.")] = False,
    yes: YesOption = False,
    home: HomeOption = HOME,
    json: JsonOption = False,
) -> int:
    """Let the bot answer again in chats that were paused because a machine answered it there.

    What has waited there goes on. When the other side is a machine still, the chat is paused again after as many answers as before:
    --drop breaks the loop, for the last message is not answered then.
    """
    session = existing(Home(home).open(create=False), user)
    chosen = chosen_chats(session, chats or [], every=every)
    if give_up and chosen:
        question = plural("Give up what waits in {count} chat of {user}?", "Give up what waits in {count} chats of {user}?", len(chosen))
        require_consent(question.format(count=len(chosen), user=user), yes=yes)
    released, managed = release_chats(Home(home), session, chosen, drop=give_up)
    said = plural("the bot answers in {count} chat of {user} again", "the bot answers in {count} chats of {user} again", len(released))
    rows = [
        {"chat": redact(one.chat), "braked_at": one.at, "messages": one.messages, "replies": one.replies}
        for one in sorted(released, key=lambda one: one.at)
    ]
    data = {"user": user, "released": rows, "dropped": give_up, "managed": managed}
    lines = (said.format(count=len(released), user=user), *(line_of(row, dropped=give_up) for row in rows))
    return emit(Result(data, lines, hint="" if managed or not rows else "wasess serve"), as_json=json)


# --- looking --------------------------------------------------------------------------------------------------------


def _states(names: list[str]) -> tuple[State, ...]:
    if wrong := [name for name in names if name not in STATES]:
        sentence = _("{name} is no state of a message; there are {names}").format(name=ascii(wrong[0][:40]), names=", ".join(STATES))
        raise UsageError(sentence, hint="wasess inbox list --help")
    return tuple(STATES[name] for name in dict.fromkeys(names))


def _newest(session: Session, states: tuple[State, ...], limit: int) -> tuple[list[tuple[str, Item]], int]:
    """The newest ones of a session, and how many there are."""
    with letterbox(session) as mailbox:
        if mailbox is None:
            return [], 0
        counts = mailbox.inbox.counts()
        items = mailbox.inbox.items(states=states, limit=limit, newest=True)
    return [(session.user, item) for item in reversed(items)], sum(counts.get(state, 0) for state in states)


def _listed(found: list[tuple[str, Item]], total: int, problems: dict[str, StoreError], now: float) -> Result:
    rows = [_row(user, item) for user, item in found]
    wrong = [{"user": user, "code": error.code, "message": str(error), "hint": error.hint} for user, error in problems.items()]
    left_out = max(0, total - len(rows))
    lines = [f"{user}: {error}" for user, error in problems.items()]
    if left_out:
        lines.append(plural("{count} older one: --limit", "{count} older ones: --limit", left_out).format(count=left_out))
    if not rows and not lines:
        lines.append(_("no such messages"))
    dead = next((user for user, item in found if item.state == "dead"), "")
    hint = next((error.hint for error in problems.values()), f"wasess inbox retry {dead} --all" if dead else "")
    data = {"messages": rows, "left_out": left_out, "problems": wrong}
    table = (HEADINGS, *(_cells(row, now) for row in rows)) if rows else ()
    return Result(data, tuple(lines), table, hint, exit_code=1 if problems else 0)


def _row(user: str, item: Item) -> dict[str, Any]:
    message = item.message
    return {
        "user": user,
        "position": item.seq,
        "state": item.state,
        "received_at": item.received_at,
        "kind": message.kind if message else None,
        "chat": redact(message.chat) if message else None,
        "tries": item.tries,
        "retry_at": item.retry_at or None,
        "detail": item.detail,
    }


def _cells(row: dict[str, Any], now: float) -> tuple[str, ...]:
    age = span(now - row["received_at"])
    return (
        row["user"],
        str(row["position"]),
        row["state"],
        age,
        row["kind"] or "-",
        row["chat"] or "-",
        str(row["tries"]),
        row["detail"] or "-",
    )


# --- changing -------------------------------------------------------------------------------------------------------


def _chosen(session: Session, positions: list[int], states: tuple[State, ...], *, hint: str) -> list[int]:
    """The messages that are meant: by their numbers, or all of these states."""
    if bool(positions) == bool(states):
        raise UsageError(_("name the messages by their numbers, or say that all are meant"), hint=hint)
    if positions:
        return sorted(set(positions))
    with letterbox(session) as mailbox:
        return (
            [item.seq for item in mailbox.inbox.items(states=states) if item.state == "dead" or for_bots(item.message)] if mailbox else []
        )


def _changed(home: Home, session: Session, verb: str, positions: list[int]) -> tuple[list[int], bool]:
    """The messages for which it was done, and whether a manager did it."""
    if not positions:
        return [], answering_manager(home) is not None
    if answering_manager(home):
        return Client(home.path).change_inbox(session.user, verb, positions), True
    with letterbox(session) as mailbox:
        changed = [position for position in positions if mailbox and _change(mailbox, verb, position)]
    if changed and answering_manager(home):  # it has come meanwhile, and may have read the inbox before
        Client(home.path).change_inbox(session.user, verb, changed)
        return changed, True
    return changed, False


def _change(mailbox: Mailbox, verb: str, position: int) -> bool:
    if verb == "drop":
        return by_hand.drop(mailbox, position, time.time())
    return {"retry": by_hand.retry, "resend": by_hand.resend, "drop-replies": by_hand.drop_reply}[verb](mailbox, position)


def _alone(other: object, hint: str) -> None:
    if other:
        raise UsageError(_("--failed-replies is said alone"), hint=hint)


def _failed_replies(session: Session) -> list[int]:
    with letterbox(session) as mailbox:
        return mailbox.outbox.failed() if mailbox else []


def _resent(home: Home, session: Session) -> Result:
    user, chosen = session.user, _failed_replies(session)
    changed, managed = _changed(home, session, "resend", chosen)
    left = len(chosen) - len(changed)
    lines = [plural("{count} reply of {user} is sent again", "{count} replies of {user} are sent again", len(changed))]
    if left:
        lines.append(plural("{count} has a file that is gone", "{count} have files that are gone", left))
    said = [line.format(count=count, user=user) for line, count in zip(lines, (len(changed), left), strict=False)]
    data = {"user": user, "retried": [], "replies": changed, "refused": [], "managed": managed}
    hint = f"wasess inbox drop {user} --failed-replies" if left else ("" if managed else "wasess serve")
    return Result(data, tuple(said), hint=hint, exit_code=2 if left else 0)


def _given_up(home: Home, session: Session, *, yes: bool) -> Result:
    user, chosen = session.user, _failed_replies(session)
    if chosen:
        question = plural("Give up {count} reply of {user}?", "Give up {count} replies of {user}?", len(chosen))
        require_consent(question.format(count=len(chosen), user=user), yes=yes)
    changed, managed = _changed(home, session, "drop-replies", chosen)
    said = plural("{count} reply of {user} was given up", "{count} replies of {user} were given up", len(changed))
    data = {"user": user, "dropped": [], "replies": changed, "refused": [], "managed": managed}
    return Result(data, (said.format(count=len(changed), user=user),))


def _refused(session: Session, chosen: list[int], changed: list[int], verb: str) -> dict[int, str]:
    """Why nothing was done to these, each in a sentence."""
    left = [position for position in chosen if position not in set(changed)]
    with letterbox(session) as mailbox:
        items = {position: mailbox.inbox.item(position) if mailbox else None for position in left}
    return {position: _why_not(session.user, position, item, verb) for position, item in items.items()}


def _why_not(user: str, position: int, item: Item | None, verb: str) -> str:
    if item is None:
        return _missing(user, position)
    if verb == "retry" and item.damage:
        return _("message {position} is damaged ({problem}); ask who wrote it to send it again, and drop it").format(
            position=position, problem=item.damage
        )
    if verb == "retry" and item.message is None:
        return _("the text of message {position} is gone").format(position=position)
    if verb == "retry" and item.message and not askable(item.message):
        return _("message {position} is none that a bot is ever asked about").format(position=position)
    allowed = ", ".join(sorted(CAN_BE[verb]))
    return _("message {position} is {state}; only these can be meant: {states}").format(position=position, state=item.state, states=allowed)


def _missing(user: str, position: int) -> str:
    return _("there is no message {position} of {user}").format(position=position, user=user)
