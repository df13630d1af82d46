"""The worker: one child process that holds one WhatsApp session. Forked by `link.forkserver`; imports as little as it can.

The library acknowledges a message to WhatsApp when the event enters a channel of 100 slots in Go, before Python sees it. So the
event callback does one thing: it appends the raw event to the spool with one write, then wakes the host. Nothing is decoded here.

Threads: *main* reads the host's requests and says once a second that it lives; *session* sits in the library's blocking call; *sync* brings the
spool to the disk; *watch* lets receipts out; one for each request, because any call into the library may block for minutes. The process ends by
``os._exit`` alone: Go's runtime can't be shut down, and the library's threads never end by themselves.

Ways to end, reported as `Word.ENDED` and then meant by the exit status, too::

    the host says STOP, or its end of the socket closes, or SIGTERM  ->  drain, then "stopped"
    the library's call returns                                       ->  "dial-failed" or "library-returned"
    a QR callback in run mode, or no device row                      ->  "no-device"
    the library can't use device.db                                  ->  "database"
    another process holds the session's lock                         ->  "locked"
    its spool or its lock is not at its name any more, or cut        ->  drain, then "files-replaced"
    the spool's reserve on the disk can't be had any more            ->  drain, then "disk-full"
    a message that came could not be stored in device.db             ->  drain, then "disk-full" or "database"
    the spool can't be written, or a bug                             ->  "crashed"
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import struct
import threading
import time
from typing import Any, NoReturn

from wasess.errors import Locked, WasessError
from wasess.link import own_files
from wasess.link.calls import Call, OutOfStep, Stream, Word, pack
from wasess.link.errands import Errands
from wasess.link.library import EventCallback, Library, LogCallback, Residents, TextCallback, prepared
from wasess.link.log_reader import LogReader
from wasess.link.own_files import LOCK, SPOOL
from wasess.link.process import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, control_process, limit_files, mark_running, terminated_by
from wasess.link.pulse import Pulse
from wasess.link.receipts import NOTE, Receipts
from wasess.link.spool_file import SpoolFile
from wasess.link.subscription import DEVICE_PROPERTIES, EVENTS, PAIRING_OVER
from wasess.link.suspicion import Suspicion
from wasess.store.frame import frame
from wasess.store.lock import FileLock
from wasess.store.names import RUNNING_NAME
from wasess.words import _

# A predecessor may take DRAIN_DEADLINE to leave.
LOCK_WAIT = 5.0
# The callback has been idle this long: the library's channel is empty.
IDLE = 0.3
# Any library call may block for ever; the process leaves anyway.
DRAIN_DEADLINE = 3.0
# An open socket is closed within milliseconds.
DISCONNECT_PATIENCE = 0.5
# How long the library is kept from acknowledging a message that it could not store: until its socket is closed.
HOLD_DEADLINE = 2.0
SEND_TIMEOUT = 1.0
# Nobody waits for the disk unless all is to be durable, and each sync makes everybody wait who writes to the same file system: with 20 busy
# sessions, every second, a message took up to 50 ms to the bot (p99), and 18 ms with this.
SYNC_EVERY = 5.0

# The library puts "file:" before it and "?_foreign_keys=on" behind it. Where a session must exist, no file is made in the place
# of one that is gone: not at the start, and not by a connection that the library opens later. Its SQLite is built to leave what is
# committed to a WAL in memory (DEFAULT_WAL_SYNCHRONOUS=1): a power cut would take sessions back, and their contacts' messages with them.
DATABASE = {"pair": "device.db", "run": "device.db?mode=rw&_foreign_keys=on&_synchronous={synchronous}&rest="}


class Worker:
    """The session of ``order``: user, folder, mode ("run" or "pair"), obstacle and problem (why not to begin), library, proxy, root_key and announce: see `library.prepared`."""

    def __init__(self, order: dict[str, Any], control: socket.socket, wake: int) -> None:
        self._order = order
        self._control = control
        self._wake = wake
        self._pulse = Pulse(control)
        self._receipts = Receipts(self._note, self._pulse, durable=order["durable"])
        self._errands = Errands(self._receipts)
        self._log = LogReader(self._receipts, lambda *fields: self._tell(Word.HINT, *fields), self._could_not_store)
        self._stream = Stream()
        self._telling = threading.Lock()
        self._ending = threading.Lock()
        self._unsynced = threading.Lock()
        self._appending = threading.Lock()
        self._draining = ""
        self._unfit = "", ""
        self._disconnected = threading.Event()
        self._events = 0
        self._called = False
        self._spool: SpoolFile | None = None
        self._library: Library | None = None
        self._callbacks: tuple[object, ...] = ()
        self._stay = Residents()

    def run(self) -> NoReturn:
        """Do it all; never returns."""
        try:
            self._prepare()
            self._obey()
        except WasessError as error:
            self.end("crashed", str(error))
        except BaseException as error:  # noqa: BLE001 - the process ends here, and must say why
            self.end("crashed", f"{type(error).__name__}: {error}")

    def end(self, cause: str, detail: str = "") -> NoReturn:
        """Report and leave. The first caller does; any other thread stays here until the process is gone."""
        with self._ending:
            if self._draining and cause != "crashed":
                cause, detail = self._unfit if self._unfit[0] else ("stopped", self._draining)
            if self._spool:
                self._spool.sign_off()
                _sync(self._spool)
            self._tell(Word.ENDED, cause.encode(), detail.encode(errors="replace"))
            os._exit(0 if cause == "stopped" else 1)

    # --- the start -----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Everything up to the library's call: a wrong order or a held session ends here."""
        order = self._order
        hangup = terminated_by(signal.SIGTERM)
        self._poll = select.poll()
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(hangup, select.POLLIN)
        self._lock = self._take_lock()
        if order["obstacle"]:
            self.end(order["obstacle"], order["problem"])
        # A folder is self-contained and its paths are relative to it.
        if not mark_running(order["mode"]):
            self.end("locked", _("what died with the last worker is to be put back first"))
        self._suspicion = Suspicion("device.db")
        self._spool = SpoolFile(SPOOL, durable=order["durable"])
        if not self._spool.reserve():
            self.end("disk-full", self._spool.full)
        self._uuid = f"{order['user']}-{os.getpid()}-{os.urandom(6).hex()}"
        self._library = prepared(order, self._uuid)
        control_process(PR_SET_DUMPABLE, 0)  # after the maps were read: it gives /proc/self to root
        self._callbacks = (TextCallback(self._on_qr), TextCallback(self._on_login), self._event_callback(), LogCallback(self._on_log))
        self._unsynced.acquire()
        self._tell(Word.STARTED, b"%d" % self._spool.end)
        _thread(self._synchronise, self._spool)
        _thread(self._receipts.watch)
        _thread(self._session)

    def _take_lock(self) -> FileLock:
        """The lock, once a draining predecessor has let go; the host can end the wait."""
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                return FileLock.acquire(LOCK, "pairing" if self._order["mode"] == "pair" else "worker")
            except Locked as error:
                if time.monotonic() > deadline:
                    self.end("locked", str(error))
            for call in self._calls(timeout=0.05):
                if call.word == Word.STOP:
                    self.end("stopped", "before it had begun")
            if self._draining:
                self.end("stopped")

    # --- the library's side ----------------------------------------------------------------------------------------

    def _session(self) -> None:
        try:
            text = self._loaded().run(
                DATABASE[self._order["mode"]].format(synchronous="FULL" if self._order["durable"] else "NORMAL"),
                new_device=self._order["mode"] == "pair",
                properties=DEVICE_PROPERTIES,
                events=EVENTS,
                proxy=self._order["proxy"],
                level="DEBUG" if self._order["mode"] == "run" else "WARN",  # the lines of a pairing are secrets
                callbacks=self._callbacks,
            )
        except BaseException as error:  # noqa: BLE001 - the thread's top; the process ends here
            self.end("crashed", f"{type(error).__name__}: {error}")
        self.end(cause_of_return(text, pump_ran=self._events > 0), text)

    def _event_callback(self) -> object:
        string_at, pulse, monotonic, stay = ctypes.string_at, self._pulse, time.monotonic, self._stay

        def on_event(_uuid: int, data: int, size: int, code: int) -> None:
            """The hot path. What can't be written now may be lost, so the worker ends at once."""
            pulse.handing_over_since = monotonic()
            stay()
            try:
                payload = string_at(data, size)
                if self._append(code, payload):
                    self._receipts.written(code, payload)
            except BaseException as error:  # noqa: BLE001 - ctypes would print it, and the library would go on acking
                self.end("crashed", _("the spool can't be written: {error}").format(error=error))
            if self._unsynced.locked():
                self._unsynced.release()
            pulse.handing_over_since = 0.0

        return EventCallback(on_event)

    def _append(self, code: int, payload: bytes) -> bool:
        """Spool it and wake the host; False when nobody may find it there: its receipt must not go out. Raises `OSError`."""
        spool = self._opened()
        with self._appending:
            has_room = spool.append(frame(code, payload))
            fault = spool.fault(1)
        self._events += 1  # before the host wakes up: it may ask for something at once
        os.eventfd_write(self._wake, 1)
        if not has_room:
            self._leave("disk-full", spool.full)  # while there is room for what comes out
        if fault:
            self._leave("files-replaced", f"{SPOOL} {fault}")
        return not fault

    def _note(self, *fields: bytes) -> None:
        """Spool what the library's log says of a message; it goes on once that is done. Ends the worker where that can't be."""
        try:
            if not self._append(NOTE, b"\0".join(fields)):
                threading.Event().wait()  # until the end: what is held back by this note is never let out
            if self._order["durable"]:
                self._opened().sync()
        except OSError as error:
            self.end("crashed", _("the spool can't be written: {error}").format(error=error))

    def _on_qr(self, _uuid: int, text: int) -> None:
        self._called = True
        if self._order["mode"] == "run":
            self.end("no-device", _("the library asked for a QR code to be scanned"))
        self._tell(Word.QR, ctypes.string_at(text))

    def _on_login(self, _uuid: int, text: int) -> None:
        word = ctypes.string_at(text)
        self._tell(Word.LOGIN, word)
        if word.decode(errors="replace") in PAIRING_OVER:
            self.end("library-returned", f"pairing: {word.decode(errors='replace')}")

    def _on_log(self, data: int, size: int) -> None:
        """Take an entry of the library's log; it waits until this returns."""
        self._stay()
        try:
            self._log.take(data, size)
        except (OSError, IndexError):
            return

    def _could_not_store(self, words: str) -> None:
        """A message that the library could not store it acknowledges right after it has said so. That is prevented here, unless all is well.

        WhatsApp keeps the message, and brings it again.
        """
        if cause := self._suspicion.confirm(words):
            self._leave(cause, words)
            self._disconnected.wait(HOLD_DEADLINE)

    def _leave(self, cause: str, detail: str) -> None:
        """Drain and end, from any thread: the main one is told by a signal."""
        self._unfit = cause, detail
        os.kill(os.getpid(), signal.SIGTERM)

    def _synchronise(self, spool: SpoolFile) -> None:
        """Bring what was spooled to the disk; one fdatasync for all that was written during the one before."""
        while True:
            self._unsynced.acquire()
            written = self._receipts.unsynced
            _sync(spool)
            if not spool.fault():
                self._receipts.synced(written)
            if not self._order["durable"]:
                time.sleep(SYNC_EVERY)

    # --- the host's side ---------------------------------------------------------------------------------------------

    def _obey(self) -> NoReturn:
        while True:
            for call in self._calls(timeout=None):
                if call.word == Word.STOP:
                    self._draining = "asked to"
                else:
                    _thread(self._answer, call)
            if self._draining:
                self._drain()

    def _calls(self, timeout: float | None) -> list[Call]:
        """Wait for the host, for the next beat at the longest; the end of its socket, and SIGTERM, mean that it is time to go."""
        ready = self._poll.poll(self._pulse.wait(timeout, time.monotonic()))
        if words := self._pulse.words(time.monotonic(), up=self._events > 0):
            self._tell(Word.BEAT, *words)
        if self._spool and not self._draining and (fault := own_files.fault(self._spool, self._lock)):
            self._leave("files-replaced", fault)
        for descriptor, _happened in ready:
            if descriptor != self._control.fileno():
                self._draining = "ended by SIGTERM"
                return []
            try:
                data = self._control.recv(65536)
                if data:
                    return self._stream.feed(data)
            except (OSError, OutOfStep):
                pass
            self._draining = "the manager is gone"
        return []

    def _answer(self, call: Call) -> None:
        answer, problem = b"", _("the session is not up yet")
        try:
            if self._called or self._events:  # before, the library still writes its maps, and they have no lock
                answer, problem = self._errands.run(self._loaded(), call, events=self._events > 0)
        except BaseException as error:  # noqa: BLE001 - goes to whoever asked
            problem = f"{type(error).__name__}: {error}"
        self._tell(Word.RESULT, answer, problem.encode(errors="replace"), number=call.number)

    def _tell(self, word: Word, *fields: bytes, number: int = 0) -> None:
        try:
            with self._telling:
                self._control.sendall(pack(word, *fields, number=number))
        except OSError:
            os.kill(os.getpid(), signal.SIGTERM)  # the host is gone or stuck: drain

    # --- the end -------------------------------------------------------------------------------------------------------

    def _drain(self) -> NoReturn:
        """Close the socket, let the events that were acknowledged come through, leave: 0 lost, against 100 by a plain stop."""
        _thread(_leave_after, DRAIN_DEADLINE)
        library = self._loaded()
        while True:
            # While the library dials, Disconnect waits for the dial. There is no open socket then, so nothing new can come in meanwhile.
            # Before it dials, Disconnect does nothing, and the login comes after all: its events bring us here again.
            closing = _thread(library.disconnect)
            closing.join(DISCONNECT_PATIENCE)
            self._disconnected.set()
            seen = self._events
            time.sleep(IDLE)
            if seen == self._events:
                break
        if not closing.is_alive() and not self._opened().fault():  # else what comes again must be made readable
            os.unlink(RUNNING_NAME)  # noqa: PTH108 - pathlib is not loaded here
            library.stop()
        self.end("stopped", self._draining)

    def _opened(self) -> SpoolFile:
        if self._spool is None:
            raise RuntimeError("the spool is not open yet")
        return self._spool

    def _loaded(self) -> Library:
        if self._library is None:
            raise RuntimeError("the library is not loaded yet")
        return self._library


def main(order: dict[str, Any], control: socket.socket, wake: int) -> NoReturn:
    """The child's life after the fork; stdout and stderr are the output pipe."""
    os.set_blocking(1, False)  # a full pipe drops lines; it must not stop the library
    # A host that does not read must not keep the worker alive.
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_TIMEOUT), 0))
    worker = Worker(order, control, wake)
    try:
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit_files(order["files"])
        os.chdir(order["folder"])
    except OSError as error:
        worker.end("crashed", _("the session's folder can't be used: {error}").format(error=error))
    control_process(PR_SET_PDEATHSIG, signal.SIGTERM)
    worker.run()


def cause_of_return(text: str, *, pump_ran: bool) -> str:
    """Why the library's call came back: only before the first event, and not for the database, is it the dial."""
    database = ("failed to open database", "failed to upgrade database", "failed to scan session", "failed to check if foreign keys")
    if text.startswith(database):
        return "database"
    return "library-returned" if pump_ran or not text else "dial-failed"


def _leave_after(seconds: float) -> NoReturn:
    time.sleep(seconds)
    os._exit(0)


def _sync(spool: SpoolFile) -> None:
    try:
        spool.sync()
    except OSError as error:
        os.write(2, f"ERROR Spool: {error}\n".encode())


def _thread(target: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread
