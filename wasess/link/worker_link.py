"""One worker process and its host's end of the socket, the wake and the output pipe: the real `link.port.Link`. All on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from wasess.core.redact import redact
from wasess.errors import SendRefused, UsageError, WorkerFailed
from wasess.link import requests
from wasess.link.attachment import attach
from wasess.link.calls import MAX_SIZE, Call, OutOfStep, Stream, Word, pack
from wasess.link.outgoing import compose, with_upload
from wasess.link.output import Output
from wasess.link.port import LinkSignal, Vitals
from wasess.link.transfers import Transfers
from wasess.link.vitals import look
from wasess.words import _

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from wasess.core.message import Message, Reply
    from wasess.link.fetcher import Fetcher
    from wasess.link.nursery import Child

# The worker leaves by itself 3 s after it was told to.
STOPS_WITHIN = 5.0
# Longer than the library's own limit for a send, 75 s.
ANSWERS_WITHIN = 90.0
# So that one session leaves places for others.
MAX_FETCHES = 2
# A file of the largest size, at 2 Mbit/s.
CARRIES_WITHIN = 300.0
# Log lines beyond this many unread signals are dropped: a reader that hangs must not fill the memory.
MAX_UNREAD = 1000
# As many messages as can be on their way at once, and more.
MAX_UNENCRYPTED = 200


class WorkerLink:
    """A `link.port.Link` on a worker process, whose working directory is ``folder``."""

    def __init__(self, child: Child, user: str, folder: Path, fetcher: Fetcher, control: socket.socket, wake: int, output: int) -> None:
        self._child = child
        self._user = user
        self._folder = folder
        self._fetcher = fetcher
        self._fetches = asyncio.Semaphore(MAX_FETCHES)
        self._transfers = Transfers()
        self._control = control
        self._wake = wake
        self._output = Output(output)
        self._stream = Stream()
        self._signals: asyncio.Queue[LinkSignal] = asyncio.Queue()
        self._spooled_unread = False
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._unencrypted: dict[str, str] = {}  # ids of messages without their recipient's main device: nobody can read them
        self._last_word: tuple[str, str] | None = None
        self._stopping = False
        self._ages: tuple[bytes, ...] = (b"0", b"0")
        self._beat_at = 0.0
        self._writing = asyncio.Lock()
        self._hung_up = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control, self._read_control)
        self._loop.add_reader(wake, self._read_wake)
        self._loop.add_reader(output, self._read_output)
        self.over: asyncio.Task[None] = self._loop.create_task(self._watch())

    # --- link.port.Link -----------------------------------------------------------------------------------------------

    async def signals(self) -> AsyncIterator[LinkSignal]:
        """Everything that happens, in order; ends after ``ended``."""
        while True:
            found = await self._signals.get()
            if found.kind == "spooled":
                self._spooled_unread = False
            yield found
            if found.kind == "ended":
                return

    async def send(self, to: str, reply: Reply, quoted: Message | None = None, key: str = "", kept: str = "") -> str:
        """Send; return its id once the server has acknowledged it. Raises `errors.UsageError`, `errors.WorkerFailed`."""
        recipient, key_bytes = requests.address_request(to), requests.key_request(key)
        copy = requests.copy_request(self._folder, reply, kept)
        attachment = await asyncio.to_thread(attach, reply, copy) if copy else None
        message = compose(to, reply, quoted, attachment)
        if attachment:
            async with self._transfers.place(attachment.size):
                answer = await self._ask(Word.UPLOAD, *requests.upload_request(attachment), within=CARRIES_WITHIN)
            message = with_upload(message, requests.read_uploaded(answer))
        sent = requests.read_sent(await self._ask(Word.SEND, recipient, message.SerializeToString(), key_bytes))
        unencrypted = self._unencrypted.pop(sent, "")  # the library says so before it answers
        if unencrypted and not to.endswith("@g.us"):  # in a group it is one member of many
            raise SendRefused(_("The message could not be encrypted for its recipient: {detail}.").format(detail=redact(unencrypted)))
        return sent

    async def download(self, raw: bytes, path: Path, most: int) -> int:
        """Have the file of a message fetched into the session's folder; see `link.port.Link`. Raises `errors.UsageError`, too."""
        wanted = requests.download_request(raw, most)
        requests.path_request(path, self._folder)
        if self.over.done() or self._stopping:
            raise WorkerFailed(_("The session is not running."))
        async with self._fetches:
            return await self._fetcher.fetch(self._user, self._folder, wanted, path)

    async def votes(self, raw: bytes) -> tuple[str, ...]:
        """Read a vote. Raises `errors.UsageError`, `errors.WorkerFailed`."""
        return requests.read_votes(await self._ask(Word.VOTE, requests.vote_request(raw)))

    async def mark_read(self, chat: str, sender: str, ids: Sequence[str]) -> None:
        """Tell the sender of these messages that they were read. Raises `errors.UsageError`, `errors.WorkerFailed`."""
        await self._ask(Word.MARK_READ, *requests.read_request(chat, sender, ids))

    async def typing(self, chat: str, *, on: bool) -> None:
        """Show a chat that an answer is being written, or no longer. Raises `errors.UsageError`, `errors.WorkerFailed`."""
        await self._ask(Word.TYPING, *requests.typing_request(chat, on=on))

    async def probe(self) -> None:
        """Ask WhatsApp for the block list; return once it has answered. Raises `errors.WorkerFailed`."""
        requests.read_probed(await self._ask(Word.PROBE))

    async def presence(self, *, available: bool) -> None:
        """Say that this device is in use, or not. Raises `errors.WorkerFailed`; a device that knows no name for itself can't."""
        await self._ask(Word.PRESENCE, b"available" if available else b"unavailable")

    def vitals(self) -> Vitals:
        """Look at the process; all unknown when it is gone."""
        if self.over.done():
            return Vitals()
        self._read_all()  # a beat may have waited for us
        line_age, unacked_age = (int(age) / 1000 for age in self._ages)
        beat_age = self._loop.time() - self._beat_at if self._beat_at else 0.0
        return look(self._child.pid, Vitals(beat_age=beat_age, line_age=line_age, unacked_age=unacked_age))

    async def pairing_code(self, phone: str) -> str:
        """Ask for a code to type into the phone. Raises `errors.WorkerFailed`."""
        return requests.read_code(await self._ask(Word.PAIR_PHONE, requests.pair_phone_request(phone)))

    async def logout(self) -> None:
        """Unlink at WhatsApp, then end. Raises `errors.WorkerFailed` when WhatsApp did not agree; then nothing was deleted."""
        await self._ask(Word.LOGOUT)
        await self.stop()

    async def stop(self) -> None:
        """Drain and end, within 5 s."""
        self._stopping = True
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._write(pack(Word.STOP))
        done, _ = await asyncio.wait([self.over], timeout=STOPS_WITHIN)
        if not done:
            self.kill()
        await asyncio.shield(self.over)

    def kill(self) -> None:
        """End the process at once."""
        self._stopping = True
        self._child.kill()

    # --- reading -------------------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        while self._read_control():
            pass

    def _read_control(self) -> bool:
        """Hear what has arrived; False when there was nothing, for now or for ever."""
        if self._hung_up:
            return False
        try:
            data = self._control.recv(65536)
            calls = self._stream.feed(data)
        except BlockingIOError:
            return False
        except (OSError, OutOfStep):
            data, calls = b"", []
        for call in calls:
            self._hear(call)
        if not data:
            self._loop.remove_reader(self._control)
            self._hung_up = True
        return bool(data)

    def _hear(self, call: Call) -> None:
        if call.word == Word.BEAT:
            self._beat_at = self._loop.time()
            self._ages = call.fields
            return
        fields = [field.decode(errors="replace") for field in call.fields] if call.word != Word.RESULT else []
        if call.word == Word.STARTED:
            self._signal("started", str(self._child.pid), fields[0])
        elif call.word == Word.QR:
            self._signal("qr", fields[0])
        elif call.word == Word.LOGIN:
            self._signal(
                "passkey" if "passkey" in fields[0] else "log", fields[0] if "passkey" in fields[0] else f"INFO pairing: {fields[0]}"
            )
        elif call.word == Word.RESULT:
            asked = self._asked.pop(call.number, None)
            if asked and not asked.done():
                answer, problem = call.fields
                if problem:
                    asked.set_exception(WorkerFailed(redact(problem.decode(errors="replace"))))
                else:
                    asked.set_result(answer)
        elif call.word == Word.HINT:
            self._take_hint(*fields)
        elif call.word == Word.ENDED:
            self._last_word = fields[0], redact(fields[1])

    def _take_hint(self, kind: str, text: str, why: str = "") -> None:
        if kind != "unencrypted":
            self._signal("hint", kind, redact(text))
            return
        self._unencrypted[text] = why
        if len(self._unencrypted) > MAX_UNENCRYPTED:
            del self._unencrypted[next(iter(self._unencrypted))]

    def _read_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        if not self._spooled_unread:
            self._spooled_unread = True
            self._signal("spooled")

    def _read_output(self) -> None:
        for line in self._output.read():
            if self._signals.qsize() < MAX_UNREAD:
                self._signal("log", line)
        if self._output.closed:
            self._loop.remove_reader(self._output.descriptor)

    def _signal(self, kind: Any, value: str = "", detail: str = "") -> None:
        self._signals.put_nowait(LinkSignal(kind, value, detail))

    # --- asking --------------------------------------------------------------------------------------------------------

    async def _ask(self, word: Word, *fields: bytes, within: float = ANSWERS_WITHIN) -> bytes:
        if sum(map(len, fields)) > MAX_SIZE // 2:
            raise UsageError(_("This is too large for one message."))
        self._numbers += 1
        number = self._numbers
        asked: asyncio.Future[bytes] = self._loop.create_future()
        self._asked[number] = asked
        try:
            if self.over.done() or self._stopping:
                raise WorkerFailed(_("The session is not running."))
            await self._write(pack(word, *fields, number=number))
            async with asyncio.timeout(within):
                return await asked
        except TimeoutError as error:
            raise WorkerFailed(_("WhatsApp did not answer within {seconds:.0f} s.").format(seconds=within)) from error
        except OSError as error:
            raise WorkerFailed(_("The session ended before it could answer.")) from error
        finally:
            self._asked.pop(number, None)

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            await self._loop.sock_sendall(self._control, data)

    # --- the end --------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Wait for the process to be gone, read what it left, say so."""
        status = await self._child.exited
        self._read_all()
        self._read_output()
        cause, detail = self._cause(status)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(WorkerFailed(_("The session ended before it could answer.")))
        self._loop.remove_reader(self._control)
        self._loop.remove_reader(self._wake)
        self._loop.remove_reader(self._output.descriptor)
        self._control.close()
        os.close(self._wake)
        self._output.close()
        self._signal("spooled")
        self._signal("ended", cause, detail)

    def _cause(self, status: int | None) -> tuple[str, str]:
        if self._last_word and self._last_word[0] != "stopped":
            return self._last_word
        if self._stopping:
            return "stopped", ""
        said = self._last_word[1] if self._last_word else self._output.last_words
        if status is None:
            return "crashed", said or _("the fork server was gone, too")
        if status < 0:
            return "crashed", ": ".join(filter(None, (_("signal {signal}").format(signal=_signal_name(-status)), said)))
        return "crashed", said or _("exit status {status}").format(status=status)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
