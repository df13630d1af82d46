"""What the running manager says of itself and its sessions, as values: the vocabulary of the control socket. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

from wasess.core.states import State  # noqa: TC001 - msgspec reads the annotations when it runs


@dataclass(frozen=True, slots=True)
class ManagerInfo:
    """A manager. ``ready``: every session has had its first try. ``kept``: the sessions it keeps; ``online``: of those.

    ``bot``: why its bot can't be asked about anything now, in a sentence; empty when it can, or there is none. ``longest_stall``: the seconds
    for which all sessions once waited for the manager's event loop, the longest such time since it was ready; ``stalled_at``: when that was over.
    ``blind``: why it can't look for sessions now; empty when it can.
    """

    pid: int
    version: str
    realm: str
    started_at: float
    ready: bool
    kept: int
    online: int
    bot: str = ""
    longest_stall: float = 0.0
    stalled_at: float | None = None
    client_version: str = ""  # 2.3000.N, what its sessions announce unless they were told otherwise; empty when it does not say
    blind: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """A session that the manager keeps.

    ``code``, ``detail``: why it is in its state (`core.reasons`, and the library's own words). ``next_try_at``: None when there is no
    next try without a human, or none is needed. ``proven_at``: when WhatsApp was last heard of; None before the first time.
    ``pid``: the session's process, 0 when there is none; ``memory``: its bytes. ``received_at``, ``sent_at``: the last message in and
    the last reply out since the manager started. ``waiting``: messages that the bot has not dealt with yet. ``problem``: what is wrong
    with its messages or files while it is connected (a code of `core.reasons`), empty when nothing is. ``kept``: False while the manager
    could not take the session up; it tries again.
    """

    user: str
    state: State
    code: str
    detail: str
    since: float
    next_try_at: float | None
    failures: int
    restarts: int
    proven_at: float | None
    pid: int
    memory: int
    received_at: float | None
    sent_at: float | None
    waiting: int
    problem: str = ""
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of repairing a session. ``ok``: it is online, and WhatsApp has answered a question since. ``seconds``: how long that took.

    ``code`` and ``detail`` say why, as in `Live`; ``next_try_at`` as there.
    """

    user: str
    ok: bool
    state: State
    code: str
    detail: str
    seconds: float
    next_try_at: float | None = None
