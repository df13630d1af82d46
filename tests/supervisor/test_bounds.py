"""What strangers send makes no threads and no tasks without end in the manager."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from village import EVENT, Told, Village, link_device, spooled, text, translate, until

from wasess.core.message import Message, Reply
from wasess.delivery.bot import Outcome, Verdict
from wasess.supervisor.chat_presence import MOST_AT_ONCE
from wasess.supervisor.mail_settings import MailSettings
from wasess.supervisor.manager_settings import Settings
from wasess.supervisor.supervisor import THREADS, Supervisor

if TYPE_CHECKING:
    from wasess.store.sessions import Home

MESSAGES = 1000
SETTLER = 1
QUICK = Settings(ready_within=2.0, look_every=0.05, mail=MailSettings(read_receipts=True, typing=True))


class BusyBot:
    """Answers at once, and counts."""

    at_once = 32
    pauses = (1.0,)

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, message: Message) -> Outcome:
        self.asked += 1
        return Outcome(Verdict.ANSWERED, (Reply(message.text),))

    async def close(self) -> None:
        return


async def test_a_flood_makes_no_more_threads_and_tasks_than_a_message(home: Home, told: Told):
    link_device(home.session("alice"))
    host, bot = Village(), BusyBot()
    before = threading.active_count()
    supervisor = Supervisor(home, host, translate, told, settings=QUICK, bot=bot)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: any(notice.event == "manager_ready" for notice in told.notices))
    link = host.links["alice"]
    hanging = asyncio.Event()

    async def hang(*_words: object, **_options: object) -> None:
        await hanging.wait()

    link.mark_read = link.typing = hang  # type: ignore[method-assign] # a worker that answers nothing any more
    most_threads = most_tasks = 0
    idle = len(asyncio.all_tasks())
    for number in range(MESSAGES):
        chat = f"4917{number:08}@s.whatsapp.net"  # each is a stranger of its own
        event = text(f"{number}", chat=chat)
        link.frames(EVENT, spooled(replace(event, message=replace(event.message, id=f"id{number}"))))
        if number % 50 == 0:
            await asyncio.sleep(0)
    while bot.asked < MESSAGES:
        most_threads = max(most_threads, threading.active_count())
        most_tasks = max(most_tasks, len(asyncio.all_tasks()))
        await asyncio.sleep(0.005)
    assert most_threads - before <= THREADS + SETTLER
    assert most_tasks - idle <= MOST_AT_ONCE + bot.at_once + 40
    hanging.set()
    await until(lambda: len(link.replies) == MESSAGES)
    supervisor.stop()
    await asyncio.wait_for(running, 20)
