"""Starts workers and reads them: the real implementation of the door `link.port`. No thread per worker; all on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from wasess.core.redact import redact
from wasess.errors import Locked, StoreError, WasessError, WorkerFailed
from wasess.link import protobuf
from wasess.link.calls import Call, OutOfStep, Stream, Word, pack
from wasess.link.nursery import Child, Nursery
from wasess.link.output import Output
from wasess.link.port import LinkSignal, Vitals
from wasess.link.requests import pair_phone_request, read_code, read_probed, read_sent, send_request
from wasess.link.vitals import look
from wasess.store.device import NoRoom
from wasess.store.sessions import Home
from wasess.words import _, mark

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wasess.link.contract import Contract
    from wasess.link.port import LinkSpec

# The worker leaves by itself 3 s after it was told to.
STOPS_WITHIN = 5.0
# Longer than the library's own limit for a send, 75 s.
ANSWERS_WITHIN = 90.0
NO_DEVICE = mark("there is no device in device.db")
# Log lines beyond this many unread signals are dropped: a reader that hangs must not fill the memory.
MAX_UNREAD = 1000


class WorkerHost:
    """Runs each session in a process of its own, which may have ``files`` descriptors open.

    With a ``contract`` all of them talk to that stand-in.
    """

    def __init__(self, contract: Contract | None = None, files: int = 256) -> None:
        self._contract = contract
        self._files = files
        self._nursery: Nursery | None = None
        self._starting = asyncio.Lock()
        self._workers: set[_Worker] = set()
        self._loading: asyncio.Task[object] | None = None

    async def start(self, spec: LinkSpec) -> _Worker:
        """Start a session's process. Raises `errors.WorkerFailed` or `errors.UnsupportedPlatform` when no process can be had."""
        cause, problem = await asyncio.to_thread(_obstacle, spec)
        nursery = await self._living_nursery()
        order = {
            "user": spec.user,
            "folder": str(spec.folder.absolute()),
            "mode": spec.mode,
            "obstacle": cause,
            "problem": problem,
            "files": self._files,
            "library": str(nursery.library),
            "proxy": self._contract.proxy_for(spec.user) if self._contract else "",
            "root_key": self._contract.root_key.hex() if self._contract else "",
        }
        worker = await _start(nursery, order)
        self._workers.add(worker)
        worker.over.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    async def close(self) -> None:
        """End every link and the fork server."""
        await asyncio.gather(*(worker.stop() for worker in tuple(self._workers)))
        if self._nursery:
            await self._nursery.close()
            self._nursery = None
        if self._loading:
            await self._loading

    async def _living_nursery(self) -> Nursery:
        async with self._starting:
            if self._nursery and not self._nursery.alive:
                await self._nursery.close()
                self._nursery = None
            if not self._nursery:
                # Meanwhile, and while the first workers dial, a thread loads what their first event will need.
                self._loading = self._loading or asyncio.create_task(asyncio.to_thread(protobuf.neonize))
                self._nursery = await Nursery.start(self._contract)
            return self._nursery


class _Worker:
    """A `link.port.Link` on a worker process."""

    def __init__(self, child: Child, control: socket.socket, wake: int, output: int) -> None:
        self._child = child
        self._control = control
        self._wake = wake
        self._output = Output(output)
        self._stream = Stream()
        self._signals: asyncio.Queue[LinkSignal] = asyncio.Queue()
        self._spooled_unread = False
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[bytes]] = {}
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

    async def send(self, to: str, text: str) -> str:
        """Send a text; return its id once the server has acknowledged it. Raises `errors.WorkerFailed`."""
        sent = read_sent(await self._ask(Word.SEND, *send_request(to, text)))
        self._read_output()  # what the library said about this message was written before its answer
        unencrypted = self._output.unencrypted.pop(sent, "")
        if unencrypted and not to.endswith("@g.us"):  # in a group it is one member of many
            raise WorkerFailed(_("The message could not be encrypted for its recipient: {detail}.").format(detail=redact(unencrypted)))
        return sent

    async def probe(self) -> None:
        """Ask WhatsApp for the block list; return once it has answered. Raises `errors.WorkerFailed`."""
        read_probed(await self._ask(Word.PROBE))

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
        return read_code(await self._ask(Word.PAIR_PHONE, pair_phone_request(phone)))

    async def logout(self) -> None:
        """Unlink at WhatsApp, then end. Raises `errors.WorkerFailed` when WhatsApp did not agree; then nothing was deleted."""
        await self._ask(Word.LOGOUT)
        await self.stop()

    async def stop(self) -> None:
        """Drain and end, within 5 s."""
        self._stopping = True
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._write(pack(Word.STOP)), 1)
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
        elif call.word == Word.ENDED:
            self._last_word = fields[0], redact(fields[1])

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

    async def _ask(self, word: Word, *fields: bytes) -> bytes:
        self._numbers += 1
        number = self._numbers
        asked: asyncio.Future[bytes] = self._loop.create_future()
        self._asked[number] = asked
        try:
            if self.over.done() or self._stopping:
                raise WorkerFailed(_("The session is not running."))
            await self._write(pack(word, *fields, number=number))
            async with asyncio.timeout(ANSWERS_WITHIN):
                return await asked
        except TimeoutError as error:
            raise WorkerFailed(_("WhatsApp did not answer within {seconds:.0f} s.").format(seconds=ANSWERS_WITHIN)) from error
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


async def _start(nursery: Nursery, order: dict[str, Any]) -> _Worker:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    output, their_output = os.pipe()
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        child = await nursery.fork(order, [theirs.fileno(), wake, their_output])
    except BaseException:
        control.close()
        os.close(output)
        os.close(wake)
        raise
    finally:
        theirs.close()
        os.close(their_output)
    control.setblocking(False)  # noqa: FBT003 - the socket's own signature
    os.set_blocking(output, False)
    return _Worker(child, control, wake, output)


def _obstacle(spec: LinkSpec) -> tuple[str, str]:
    """Why there is no device to log in with: the cause with which the worker ends at once in run mode, and words. Empty: there is one."""
    if spec.mode == "pair":
        return "", ""
    session = Home(spec.folder.parent).session(spec.user)
    try:
        found = session.protected_credentials()
        lost = "" if found.device else session.lost_credentials(found, session.record.load()) or NO_DEVICE
    except Locked:
        return "", ""  # a predecessor writes to it; the worker waits for that one, and never shows a QR anyway
    except WasessError as error:
        cause = "disk-full" if isinstance(error, NoRoom) else "database" if isinstance(error, StoreError) else "no-device"
        return cause, str(error)
    return ("no-device" if lost == NO_DEVICE else "database" if lost else ""), _(lost)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
