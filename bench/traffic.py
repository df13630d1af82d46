"""Contacts who write to sessions all the time, in chats of two and in groups, and the books about it. Lives in the stand-in's process.

Each text names its session, its chat and its number there, so that whoever finds one knows where it belongs: ``user-000 carol 17``.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from wasess.sandbox import Sandbox
    from wasess.sandbox.state import Account

CONTACTS = ("carol", "dave", "erin")
ANSWER = "re "  # how the answer to a text begins
AT_A_TIME = 20  # messages written before others on the event loop get their turn


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat of ``user``'s with a contact, or in a group with all of them; each text is by one of the ``writers``."""

    user: str
    name: str
    writers: tuple[str, ...]

    @property
    def is_group(self) -> bool:
        """Whether it is one."""
        return len(self.writers) > 1


class Traffic:
    """Writes, and remembers what was written. ``orders`` are for the stand-in's stdin."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._sent: list[tuple[str, str, str, str, float]] = []
        self._numbers: dict[Chat, itertools.count[int]] = {}
        self._random = Random(0)
        self._writing: asyncio.Task[None] | None = None
        self.orders: dict[str, Callable[..., Awaitable[Any]]] = {
            "write": self._write,
            "fall-silent": self._fall_silent,
            "burst": self._burst,
            "open": self._open,
            "books": self._books,
        }

    # --- orders -----------------------------------------------------------------------------------------------------

    async def _write(self, users: list[str], rate: float, seed: int) -> None:
        """From now on ``rate`` messages a second, each in any chat of any of these users."""
        await self._fall_silent()
        self._random = Random(seed)
        self._writing = asyncio.create_task(self._pace(users, rate))

    async def _fall_silent(self) -> int:
        """No more; how many were written so far."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        return len(self._sent)

    async def _burst(self, user: str, count: int) -> None:
        """So many messages to one user at once."""
        for number in range(count):
            self._say(self._random.choice(_chats(user)))
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)

    async def _open(self) -> dict[str, Any]:
        """How many messages were written, and how many of them have not been acknowledged yet: by all devices, and by those ``of`` each user."""
        waiting = Counter(device.user for device in self._devices() for kind, _ in device.pending if kind == "message")
        return {
            "written": len(self._sent),
            "waiting": waiting.total(),
            "of": {device.user: waiting[device.user] for device in self._devices()},
        }

    async def _books(self) -> dict[str, Any]:
        """Everything: what was written (user, chat, text, id, when), what became of it, and which texts came to whom from users, and when."""
        return {
            "sent": self._sent,
            "receipted": {device.user: device.receipted for device in self._devices()},
            "pending": {device.user: [name for kind, name in device.pending if kind == "message"] for device in self._devices()},
            "answers": {account.name: [(message.text, message.at) for message in account.received] for account in self._contacts()},
            "unreadable": [name for account in self._contacts() for name in account.undecryptable],
            "why": [(fact.at, fact.user, fact.detail) for fact in self._box.state.history if fact.what == "phone-cannot-decrypt"],
        }

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _pace(self, users: list[str], rate: float) -> None:
        chats = [chat for user in users for chat in _chats(user)]
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            self._say(self._random.choice(chats))

    def _say(self, chat: Chat) -> None:
        box, writer = self._box, self._random.choice(chat.writers)
        text = f"{chat.user} {chat.name} {next(self._numbers.setdefault(chat, itertools.count()))}"
        if chat.is_group:
            box.group(chat.name, *chat.writers, chat.user)
            message_id = box.say_in_group(writer, chat.name, text)
        else:
            message_id = box.say(writer, chat.user, text)
        self._sent.append((chat.user, chat.name, text, message_id, time.time()))

    def _devices(self) -> list[Any]:
        return [device for account in self._box.state.accounts for device in account.devices.values()]

    def _contacts(self) -> list[Account]:
        return [self._box.contact(name) for name in CONTACTS]


def _chats(user: str) -> list[Chat]:
    return [*(Chat(user, name, (name,)) for name in CONTACTS), Chat(user, f"team-{user}", CONTACTS)]
