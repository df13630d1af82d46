"""The faults of a soak, and the random choice of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

QUICKLY = 5.0
HEALS_WITHIN = 60.0
SLOWLY = 180.0  # wasess itself stays away for one to two minutes from a server that refused it
EVERYONE = "*"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of fault. After at most ``heals_within`` seconds (from its end) its session must be back.

    ``waits`` is set first, for the next dials; ``strikes`` hits the live connection. Both are words of the stand-in. ``process`` gets
    ``signal`` ("worker" or "fork server"). A fault that ``lasts`` (lowest and highest seconds) is ended by the word ``ends``.
    """

    name: str
    waits: str = ""
    strikes: str = ""
    process: str = ""
    signal: str = "SIGKILL"
    lasts: tuple[float, float] = (0.0, 0.0)
    ends: str = "clear"
    heals_within: float = HEALS_WITHIN


TROUBLES = (
    Trouble("reset", strikes="rst", heals_within=QUICKLY),
    Trouble("fin", strikes="fin", heals_within=QUICKLY),
    Trouble("close 1001", strikes="close 1001", heals_within=QUICKLY),
    Trouble("refuse", "refuse", "rst", lasts=(5, 45)),
    Trouble("black hole, then thaw", strikes="freeze", lasts=(5, 60), ends="thaw", heals_within=120),
    Trouble("black hole for good", strikes="freeze", lasts=(1, 30), heals_within=120),
    *(Trouble(f"stall at {phase}", f"stall {phase} count=1", "rst", heals_within=120) for phase in ("connect", "tls", "upgrade", "noise")),
    *(Trouble(f"garbage at {phase}", f"garbage {phase} count=1", "rst") for phase in ("tls", "upgrade", "noise")),
    *(Trouble(f"HTTP {status}", f"http_status upgrade {status} count=1", "rst", heals_within=SLOWLY) for status in (403, 429, 502, 503)),
    *(Trouble(f"stream error {code}", strikes=f"stream-error {code}") for code in ("500", "503", "515", "516", "xml-not-well-formed")),
    Trouble("unknown receipt", strikes="poison receipt-unknown", heals_within=QUICKLY),
    Trouble("unknown chat state", strikes="poison chatstate-unknown", heals_within=QUICKLY),
    Trouble("mute", "mute all", lasts=(20, 60), heals_within=120),
    Trouble("no answer to pings", "mute ping", lasts=(20, 60), heals_within=120),
    Trouble("slow", "slow 5", lasts=(20, 60)),
    Trouble("kill -9 of the worker", process="worker"),
    Trouble("SIGSTOP of the worker", process="worker", signal="SIGSTOP"),
    Trouble("kill -9 of the fork server", process="fork server"),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A fault for a session, or for everyone, that lasts so many seconds."""

    trouble: Trouble
    user: str
    lasts: float


def choose(random: Random, users: list[str], seconds_left: float) -> Chosen | None:
    """Take one that is over, and healed, in time; None when nobody is there to be struck or nothing fits any more."""
    fitting = [trouble for trouble in TROUBLES if trouble.lasts[1] + trouble.heals_within <= seconds_left]
    if not users or not fitting:
        return None
    trouble = random.choice(fitting)
    user = EVERYONE if trouble.process == "fork server" else random.choice(users)
    return Chosen(trouble, user, random.uniform(*trouble.lasts))
