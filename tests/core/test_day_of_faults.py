"""A day of 200 sessions and everything that can happen to them, in seconds: nothing is left dead, nothing is dialled too often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from turns import PARALLEL, PER_SECOND
from world import BUSY, DIAL_HANGS, HOLE, REFUSED, UNWELL, Session, World

from wasess.core import events, reasons
from wasess.core.outages import open_outage
from wasess.core.states import State

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR, DAY = 3600.0, 86_400.0
SESSIONS = 200
QUIET_AT_THE_END = 0.5 * HOUR
PACE = 30.0  # for 200 sessions to come through the gate
BACK_AFTER_REFUSAL = 60.0 + 2.0 + PACE
BACK_AFTER_HOLE = 60.0 + DIAL_HANGS + PACE
BACK_AFTER_SLEEP = 10.0 + PACE
BACK_AFTER_DEAF = 50.0
A_TRY = 60.0
TRIES_AT_ITS_TIME = [(State.CONNECTING, reason) for reason in (reasons.OUTDATED, reasons.BANNED, reasons.REPLACED)]

WEATHER = st.lists(
    st.tuples(
        st.floats(0.02 * DAY, 0.9 * DAY),
        st.sampled_from([5.0, 45.0, 120.0, 600.0, 1800.0, 3600.0]),
        st.sampled_from([REFUSED, HOLE, BUSY, UNWELL]),
    ),
    max_size=4,
)
NIGHTS = st.lists(st.tuples(st.floats(0.02 * DAY, 0.8 * DAY), st.sampled_from([20.0, 300.0, 8 * HOUR])), max_size=2)
DISKS = st.lists(st.tuples(st.floats(0.02 * DAY, 0.9 * DAY), st.floats(10.0, HOUR)), max_size=2)


@dataclass(frozen=True)
class Plan:
    """``faults``: of single sessions, in a day. ``weather``, ``nights`` (sleep), ``disks`` (full): of all, begin and length."""

    seed: int
    faults: int
    weather: list[tuple[float, float, str]]
    nights: list[tuple[float, float]]
    disks: list[tuple[float, float]]


PLANS = st.builds(Plan, st.integers(0, 2**32), st.sampled_from([200, 1000, 2000]), WEATHER, NIGHTS, DISKS)


# --- what can happen to one session -----------------------------------------------------------------------------------------


def on_library(name: str) -> Callable[[Session], None]:
    def strike(session: Session) -> None:
        if session.library:
            getattr(session.library, name)()

    return strike


def end_worker(cause: str, detail: str) -> Callable[[Session], None]:
    def strike(session: Session) -> None:
        if session.library and session.library.alive:
            session.worker_ended(session.library, cause, detail)

    return strike


def until(name: str, event: events.Event, shortest: float, longest: float) -> Callable[[Session], None]:
    """The server, or the disk, holds something against the session for a while."""

    def strike(session: Session) -> None:
        setattr(session, name, session.world.now + session.world.luck.uniform(shortest, longest))
        if session.library:
            session.library.say(event)

    return strike


def ban(session: Session) -> None:
    if session.library and session.library.open and session.library.alive:
        length = session.world.luck.uniform(10.0, 2 * HOUR)
        session.banned_until = session.world.now + length
        session.library.say(events.TemporaryBan(101, length))


def rival(session: Session) -> None:
    if session.library and session.library.open:
        session.rivals = session.world.luck.choice([0, 0, 1, 2, 5])
        session.library.say(events.StreamReplaced())


def unlink(session: Session) -> None:
    session.unlinked = True
    if session.library:
        session.library.say(events.LoggedOut(401))
    session.world.later(session.world.luck.uniform(600.0, HOUR), pair_again, session)


def pair_again(session: Session) -> None:
    session.unlinked, session.peace_until = False, 0.0  # whoever starts it by hand does not wait
    session.feed(events.StartRequested(paired_at=session.world.now, banned_until=session.banned_until), human=True)


def stop_and_start(session: Session) -> None:
    session.feed(events.StopRequested(), human=True)
    session.world.later(session.world.luck.uniform(0.1, 600.0), pair_again, session)


def flap(session: Session) -> None:
    for number in range(8):
        session.world.later(number * 4.0, on_library("drop"), session)


def stall(session: Session) -> None:
    session.stalls = 1
    on_library("drop")(session)


def babel(session: Session) -> None:
    session.babel = True
    on_library("drop")(session)


def give_up(session: Session) -> None:
    if session.library and session.library.open:
        session.library.open = False
        session.library.say(events.LibraryGaveUp("Failed to reconnect after 515 code: EOF"))


FAULTS: dict[str, Callable[[Session], None]] = {
    "reset": on_library("drop"),
    "deaf": on_library("go_deaf"),
    "dead end": on_library("die"),
    "gave up": give_up,
    "stuck": on_library("hang"),
    "too large": on_library("grow"),
    "crash": end_worker("crashed", "SIGSEGV"),
    "poison": end_worker("library-returned", "required field Receipt.Type not set"),
    "babel": babel,
    "stall": stall,
    "flap": flap,
    "ban": ban,
    "rival": rival,
    "unlink": unlink,
    "outdated": until("outdated_until", events.ClientOutdated(), 60.0, 2 * HOUR),
    "refused": until("refused_until", events.ConnectFailure(409), 10.0, HOUR),
    "database": until("broken_until", events.DatabaseLost("truncated"), 1.0, HOUR),
    "locked": until("locked_until", events.OtherEvent(0), 1.0, 600.0),
    "stop": stop_and_start,
}


def strike(session: Session, name: str) -> None:
    """One fault; what was promised about an earlier one no longer holds."""
    session.expected = None
    steady = session.snapshot.state is State.ONLINE and session.snapshot.failures == 0 and session.snapshot.losses == 0
    clear = not session.world.sky()[0] and not session.world.disk_full and session.sound
    FAULTS[name](session)
    if name == "deaf" and steady and clear:
        expect(session, "deaf", BACK_AFTER_DEAF)


# --- the day ------------------------------------------------------------------------------------------------------------------


def expect(session: Session, what: str, within: float) -> None:
    """It is online again in time, unless something else happens to it."""
    world = session.world
    session.expected = promised = (what, world.now, world.now + within)
    world.later(within, kept, session, promised)


def kept(session: Session, promised: tuple[str, float, float]) -> None:
    assert session.expected is not promised, f"not back {promised[2] - promised[1]:.0f} s after {promised[0]}: {session.snapshot}"


def worsen(world: World, what: str) -> None:
    for session in world.sessions:
        session.expected = None
        if session.library and what == HOLE:
            session.library.go_deaf()
        elif session.library and what == REFUSED:
            session.library.drop()


def clear_up(world: World, what: str) -> None:
    if world.sky()[0]:
        return
    for session in world.sessions:
        if session.library and what == HOLE:
            session.library.hear_again()
            session.expected = None  # whatever made it deaf: all that slept through the hole strikes at its end
        found = session.snapshot
        if what in {HOLE, REFUSED} and found.reason in reasons.NETWORK and session.sound and not world.disk_full:
            expect(session, f"the {what}", BACK_AFTER_HOLE if what == HOLE else BACK_AFTER_REFUSAL)


def fill(world: World, length: float) -> None:
    world.disk_full = True
    forget(world)
    world.later(2.0, world.tell, events.DiskFull("0 MiB free"))
    world.later(2.0 + length, make_room, world)


def make_room(world: World) -> None:
    world.disk_full = False
    world.tell(events.DiskFree())


def forget(world: World) -> None:
    for session in world.sessions:
        session.expected = None


def sleep(world: World, seconds: float) -> None:
    forget(world)
    calm = [
        session for session in world.sessions if session.snapshot.state is State.ONLINE and not session.snapshot.failures and session.sound
    ]
    world.sleep(seconds)
    if not world.sky()[0] and not world.disk_full:
        for session in calm:
            session.expected = promised = ("sleep", world.now, world.now + BACK_AFTER_SLEEP)
            world.later(BACK_AFTER_SLEEP, awake, session, promised)


def awake(session: Session, promised: tuple[str, float, float]) -> None:
    """Most have not even lost their connection."""
    if session.expected is promised:
        library = session.library
        assert session.snapshot.state is State.ONLINE, f"not back after a sleep: {session.snapshot}"
        assert library
        assert library.open
        assert not library.deaf
        session.expected = None


def live(plan: Plan) -> World:
    weather = [(begin, begin + length, what) for begin, length, what in plan.weather]
    world = World(SESSIONS, plan.seed, weather)
    agenda: list[tuple[float, Callable[..., None], tuple[object, ...]]] = []
    for begin, end, what in weather:
        agenda += [(begin, worsen, (world, what)), (end, clear_up, (world, what))]
    agenda += [(begin, fill, (world, length)) for begin, length in plan.disks]
    agenda += [(begin, sleep, (world, seconds)) for begin, seconds in plan.nights]
    names = sorted(FAULTS)
    for _ in range(plan.faults):
        session, name = world.luck.choice(world.sessions), world.luck.choice(names)
        agenda.append((world.luck.uniform(60.0, 0.92 * DAY), strike, (session, name)))
    for session in world.sessions:
        session.feed(events.StartRequested(), human=True)
    for at, happening, arguments in sorted(agenda, key=lambda entry: entry[0]):
        world.run(max(at, world.now))
        happening(*arguments)
    world.run(max(DAY, world.now + QUIET_AT_THE_END + HOUR))
    return world


def well(session: Session) -> bool:
    """Online, or it waits for a human, or for a time that the server has set."""
    found = session.snapshot
    if found.reason is reasons.BANNED:
        return session.banned_until > session.world.now
    return found.state in {State.ONLINE, State.OUTDATED} or found.reason is reasons.REPLACED_FOR_GOOD


def check_dials(dials: list[float]) -> None:
    most = PARALLEL + int(PER_SECOND)
    assert all(later - sooner >= 1 - 1e-9 for sooner, later in zip(dials, dials[most:], strict=False)), "dialled too fast"


WORST = Plan(
    seed=3,
    faults=2000,
    weather=[(3 * HOUR, 3600.0, REFUSED), (8 * HOUR, 1800.0, HOLE), (14 * HOUR, 600.0, BUSY), (15 * HOUR, 45.0, UNWELL)],
    nights=[(5 * HOUR, 300.0), (17 * HOUR, 8 * HOUR)],
    disks=[(11 * HOUR, 1200.0)],
)
SLEPT_THROUGH_A_HOLE = Plan(
    seed=2**32 - 1,
    faults=200,
    weather=[
        (57_390.65654124461, 120.0, REFUSED),
        (52_725.075208068236, 5.0, BUSY),
        (71_096.64010477402, HOUR, HOLE),
        (24_603.50610370941, 1800.0, REFUSED),
    ],
    nights=[(44_623.76883051075, 20.0), (60_905.500124494276, 8 * HOUR)],
    disks=[],
)


@pytest.mark.timeout(600)  # 10 s of work, and the machine may be busy
@settings(max_examples=1, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(PLANS)
@example(WORST)
@example(SLEPT_THROUGH_A_HOLE)
def test_a_day_of_faults_leaves_nobody_dead(plan: Plan):
    world = live(plan)
    trying = [session for session in world.sessions if not well(session)]
    for session in trying:
        found = session.snapshot
        assert (found.state, found.reason) in TRIES_AT_ITS_TIME, f"{session.number}: {found}"
    world.run(world.now + A_TRY)
    for session in trying:
        assert well(session), f"{session.number}: {session.snapshot}"
    for session in world.sessions:
        assert session.snapshot.state is not State.ONLINE or open_outage(session.ledger) is None
        assert all(outage.end is not None and outage.end >= outage.start for outage in session.ledger[:-1])
    check_dials(world.dials)
