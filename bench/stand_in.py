"""The WhatsApp stand-in as a process of its own, so that its work is not done by the bench: `python -m bench.stand_in FOLDER`.

Prints the path of its contract once it answers; ends when its stdin does, so it never outlives the bench. It claims to hold a pre-key already:
a first login then uploads 50 of them instead of 812, which would take 2 s of CPU for each session.

On stdin it takes orders that must not cost a question for each message (`bench.stage.Stage.order`), a line of JSON each, and answers with one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.attack import Attacks
from bench.traffic import Traffic
from wasess.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_A_TIME = 20  # messages queued before others on the event loop get their turn


class Times(list[str]):
    """The receipts of a device, and when each came (Unix time)."""

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__(known)
        self.moments: list[float] = []

    def append(self, message_id: str) -> None:
        """A receipt has come."""
        self.moments.append(time.time())
        super().append(message_id)


async def main(folder: Path) -> None:
    """Serve until stdin ends."""
    async with Sandbox(folder, claimed_pre_keys=1) as box:
        orders = {verb: partial(do, box) for verb, do in ORDERS.items()} | Traffic(box).orders | Attacks(box).orders
        print(box.contract_path, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            print(json.dumps(await orders[order.pop("verb")](**order)), flush=True)


async def _queue(box: Sandbox, user: str, contacts: list[str], count: int) -> None:
    """Contacts write to a user, one after the other; from now on its receipts are timed."""
    device = box.state.device(user)
    if device is None:
        raise ValueError(user)
    device.receipted = Times(device.receipted)
    for number in range(count):
        box.say(contacts[number % len(contacts)], user, f"message {number}")
        if number % AT_A_TIME == 0:
            await asyncio.sleep(0)


async def _receipts(box: Sandbox, user: str) -> list[float]:
    """When the receipts came since the last `_queue`, behind the moment of the last login, when what was queued began to go out."""
    device = box.state.device(user)
    login = max((fact.at for fact in box.state.history if (fact.user, fact.what) == (user, "logged-in")), default=0.0)
    return [login, *(device.receipted.moments if device is not None and isinstance(device.receipted, Times) else [])]


async def _pace(box: Sandbox, contact: str, users: list[str], rate: float, seconds: float, *, named: bool = False) -> list[float]:
    """Write to all users in turn, ``rate`` messages a second to each, for so long. Each text is the moment it was written.

    ``named``: and the user.

    Returns by how many seconds each was written too late.
    """
    began, step, late = time.time(), 1 / (rate * len(users)), []
    for number in range(round(seconds / step)):
        due = began + number * step
        await asyncio.sleep(max(0.0, due - time.time()))
        now = time.time()
        late.append(now - due)
        user = users[number % len(users)]
        box.say(contact, user, f"{now:.6f} {user}" if named else f"{now:.6f}")
    return late


async def _answers(box: Sandbox, contact: str) -> dict[str, float]:
    """Which texts a contact got, and when each came first."""
    return {message.text: message.at for message in reversed(box.contact(contact).received)}


ORDERS: dict[str, Any] = {"queue": _queue, "receipts": _receipts, "pace": _pace, "answers": _answers}

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
