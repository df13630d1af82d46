"""The few functions of neonize's shared library that wasess calls. Runs in the worker only; imports ctypes and nothing heavier.

The library is neonize 0.5.2's, unmodified. Its strings and byte structs belong to the caller, who gives them back through
``FreeString`` and ``FreeBytesStruct``. Every call may block for minutes (a TLS stall holds the socket's lock), so each runs in
a thread of its own. Buffers go in as pointer and length; the Go side copies them before it returns or goes on.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from typing import Any

from wasess.core import client_version
from wasess.errors import WorkerFailed
from wasess.link import memory
from wasess.words import _

EXPECTED_VERSION = "0.5.2"

# whatsmeow's WACertPubKey (handshake.go): the root of the certificate chain in the Noise handshake. Nothing else is pinned.
PINNED_ROOT_KEY = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")

TextCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)  # uuid, text
EventCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)  # uuid, data, size, code
LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)  # data, size


# The version as the library holds it. Made before the library is loaded, so that memory which is new since then has no copy of ours.
_TRIPLE = "=3I"
_BUILT_IN = struct.pack(_TRIPLE, 2, 3000, client_version.BUILT_IN)
_ALIGNED = 4


class _Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _ProxySettings(ctypes.Structure):
    _fields_ = (("address", ctypes.c_char_p), ("no_websocket", ctypes.c_bool), ("only_login", ctypes.c_bool), ("no_media", ctypes.c_bool))


_TEXT, _BUFFER, _INT = ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int
_PROTOTYPES = {
    "Neonize": (
        ctypes.c_void_p,
        (
            *(_TEXT, _TEXT, _BUFFER, _INT, _INT, _TEXT),  # database, uuid, jid, new device, log level
            *(TextCallback, TextCallback, EventCallback, LogCallback),  # on QR, on login status, on event, on log
            *(_BUFFER, _INT, _BUFFER, _INT, _BUFFER, _INT),  # subscribed events, device properties, phone to pair
            ctypes.POINTER(_ProxySettings),
        ),
    ),
    "GetVersion": (ctypes.c_void_p, ()),
    "Disconnect": (None, (_TEXT,)),
    "Stop": (None, (_TEXT,)),
    "Logout": (ctypes.c_void_p, (_TEXT,)),
    "SendMessage": (ctypes.POINTER(_Bytes), (_TEXT, _BUFFER, _INT, _BUFFER, _INT)),
    "PairPhone": (ctypes.POINTER(_Bytes), (_TEXT, _BUFFER, _INT)),
    "GetBlocklist": (ctypes.POINTER(_Bytes), (_TEXT,)),
    "SendPresence": (ctypes.c_void_p, (_TEXT, _TEXT)),
    "SendChatPresence": (ctypes.c_void_p, (_TEXT, _BUFFER, _INT, _INT, _INT)),
    "MarkRead": (ctypes.c_void_p, (_TEXT, _TEXT, _INT, _BUFFER, _INT, _BUFFER, _INT, _TEXT)),
    "DecryptPollVote": (ctypes.POINTER(_Bytes), (_TEXT, _BUFFER, _INT)),
    "Upload": (ctypes.POINTER(_Bytes), (_TEXT, _BUFFER, _INT, _INT)),
    "FreeBytesStruct": (None, (ctypes.POINTER(_Bytes),)),
    "FreeString": (None, (ctypes.c_void_p,)),
}


class Library:
    """The loaded library, and the one session that this process runs in it.

    ``uuid`` names the session inside the library; it must be new at every start: the library keys unlocked maps by it.
    """

    def __init__(self, path: str, uuid: str) -> None:
        """Load it. Raises `errors.WorkerFailed` when it can't be loaded or is another release."""
        self._uuid = uuid.encode()
        self._before = memory.maps()
        try:
            self._go = ctypes.CDLL(path)
            for name, (result, arguments) in _PROTOTYPES.items():
                function = getattr(self._go, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise WorkerFailed(_("neonize's library can't be loaded: {error}.").format(error=error)) from error
        version = self._text(self._go.GetVersion())
        if version != EXPECTED_VERSION:
            raise WorkerFailed(
                _("neonize's library says version {version!r}; wasess needs {needed}.").format(version=version, needed=EXPECTED_VERSION)
            )
        self._path = path

    def pin_root_key(self, key: bytes) -> None:
        """Overwrite the pinned root key in this process's memory, so that a stand-in's certificates are accepted.

        Must come before `run`, and before the process gives up /proc/self/maps. Raises `errors.WorkerFailed` unless the key
        is found exactly once in the library's writable memory.
        """
        found = memory.occurrences(memory.writable_ranges(memory.maps(), self._path), PINNED_ROOT_KEY)
        if len(found) != 1 or len(key) != len(PINNED_ROOT_KEY):
            raise WorkerFailed(
                _("The pinned root key was found {times} times in neonize's library, not once; nothing was changed.").format(
                    times=len(found)
                )
            )
        ctypes.memmove(found[0], key, len(key))

    def announce(self, number: int, build_hash: bytes) -> None:
        """Have 2.3000.``number`` announced, with its `core.client_version.build_hash`: overwrite what is built in, in this process's memory.

        whatsmeow (clientpayload.go) holds the three numbers twice, as uint32 side by side: in a variable, and in Go's heap behind the payload of
        each login; and once the MD5 of the version's text, which a registration says, too. Where Go's heap is only the map tells: memory that is
        new since the library was loaded. Must come before `run`, and before the process gives up /proc/self.

        Raises `errors.WorkerFailed`, with nothing changed, unless the numbers are found just so, and the hash once.
        """
        try:
            after = memory.maps()
            variables, heaps = memory.writable_ranges(after, self._path), memory.touched(memory.new_ranges(self._before, after))
            numbers = [memory.occurrences(ranges, _BUILT_IN) for ranges in (variables, heaps)]
            hashes = memory.occurrences(variables + heaps, client_version.BUILT_IN_HASH)
        except OSError as error:
            raise WorkerFailed(_("The process's own memory can't be read ({error}); nothing was changed.").format(error=error)) from error
        counts = (*map(len, numbers), len(hashes))
        aligned = all(place % _ALIGNED == 0 for places in numbers for place in places)
        if counts != (1, 1, 1) or not aligned or len(build_hash) != len(client_version.BUILT_IN_HASH):
            raise WorkerFailed(
                _("Another client version can't be announced: it was found {places} times, not {expected}; nothing was changed.").format(
                    places="+".join(map(str, counts)), expected="1+1+1"
                )
            )
        for (place,) in numbers:
            ctypes.memmove(place, struct.pack(_TRIPLE, 2, 3000, number), struct.calcsize(_TRIPLE))
        ctypes.memmove(hashes[0], build_hash, len(build_hash))

    def run(
        self, database: str, *, new_device: bool, properties: bytes, events: bytes, proxy: str, level: str, callbacks: tuple[object, ...]
    ) -> str:
        """Run the session; blocks until it is over, and returns the library's error text, empty after `stop`.

        ``level``: of the entries that are given to the log callback, and above. ``callbacks`` are on QR, on login status, on event, on log, in this order; the caller keeps them alive for ever.
        """
        settings = _ProxySettings(proxy.encode(), False, False, False) if proxy else None  # noqa: FBT003 - a C struct's fields
        return self._text(
            self._go.Neonize(
                database.encode(), self._uuid, b"", 0, int(new_device), level.encode(), *callbacks,
                events, len(events), properties, len(properties), b"", 0, ctypes.byref(settings) if settings else None,
            )
        )  # fmt: skip

    def send_message(self, recipient: bytes, message: bytes) -> bytes:
        """Send; blocks for up to 75 s for the server's word. Serialized JID and Message in, SendMessageReturnFunction out."""
        return self._bytes(self._go.SendMessage(self._uuid, recipient, len(recipient), message, len(message)))

    def pair_phone(self, parameters: bytes) -> bytes:
        """Ask for a pairing code. Serialized PairPhoneParams in, PairPhoneReturnFunction out."""
        return self._bytes(self._go.PairPhone(self._uuid, parameters, len(parameters)))

    def logout(self) -> str:
        """Unlink at the server, then delete the device row; the error text, empty when done. No event follows."""
        return self._text(self._go.Logout(self._uuid))

    def blocklist(self) -> bytes:
        """Ask the server whom this account blocks: the smallest question there is. GetBlocklistReturnFunction out."""
        return self._bytes(self._go.GetBlocklist(self._uuid))

    def send_presence(self, presence: bytes) -> str:
        """Tell the server ``available`` or ``unavailable``; no answer comes. The error text: a device without a push name can't."""
        return self._text(self._go.SendPresence(self._uuid, presence))

    def send_typing(self, chat: bytes, state: int) -> str:
        """Tell a chat that somebody writes (0) or does not (1); no answer comes. Serialized JID in, the error text out."""
        return self._text(self._go.SendChatPresence(self._uuid, chat, len(chat), state, 0))

    def mark_read(self, ids: bytes, at: int, chat: bytes, sender: bytes) -> str:
        """Tell that messages (ids with spaces between) were read; no answer comes. Serialized JIDs in, the error text out.

        The first time it asks the server whether the account tells such things: up to 75 s.
        """
        return self._text(self._go.MarkRead(self._uuid, ids, at, chat, len(chat), sender, len(sender), b"read"))

    def decrypt_vote(self, event: bytes) -> bytes:
        """Read a vote; asks the database alone. Serialized neonize.Message in, ReturnFunctionWithError out.

        Fields that are missing, and an ``encIV`` of another length than 12, end the process: the caller has checked that.
        """
        return self._bytes(self._go.DecryptPollVote(self._uuid, event, len(event)))

    def upload(self, content: bytes, kind: int) -> bytes:
        """Encrypt a file and upload it; blocks as long as that takes. UploadReturnFunction out."""
        return self._bytes(self._go.Upload(self._uuid, content, len(content), kind))

    def disconnect(self) -> None:
        """Close the socket. Events already read go on to arrive."""
        self._go.Disconnect(self._uuid)

    def stop(self) -> None:
        """End `run`. Events still queued in the library are dropped."""
        self._go.Stop(self._uuid)

    def _text(self, address: int | None) -> str:
        if not address:
            return ""
        try:
            return ctypes.string_at(address).decode(errors="replace")
        finally:
            self._go.FreeString(address)

    def _bytes(self, pointer: ctypes._Pointer[_Bytes]) -> bytes:
        if not pointer:  # type: ignore[truthy-bool]  # a null pointer is false: ctypes says so, its stub does not
            return b""
        try:
            found = pointer.contents
            return ctypes.string_at(found.data, found.size) if found.data else b""
        finally:
            self._go.FreeBytesStruct(pointer)


def prepared(order: dict[str, Any], uuid: str) -> Library:
    """Load the library that ``order`` names, and change in memory what it wants changed. Raises `errors.WorkerFailed`.

    ``root_key``: in hex, empty for WhatsApp's own. ``announce``: a version's number and build hash (hex), empty for what is built in. Where that
    can't be announced nothing is changed: a login goes on with what is built in, and a pairing, where somebody looks on, ends.
    """
    library = Library(order["library"], uuid)
    if order["root_key"]:
        library.pin_root_key(bytes.fromhex(order["root_key"]))
    if order["announce"]:
        number, build_hash = order["announce"]
        try:
            library.announce(number, bytes.fromhex(build_hash))
        except WorkerFailed as error:
            if order["mode"] == "pair":
                raise
            said = _("The version that is built in is announced instead.")
            os.write(2, f"WARN Version: {error} {said}\n".encode())
    return library


class Residents:
    """Lets the library's threads keep the state that Python makes for each of them, from its first call back on.

    Otherwise it is made and unmapped again at every call, which costs more than what our callbacks do. There are some twenty threads at
    most; the state of one that ends is lost. Call it in a callback.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._ensure = ctypes.pythonapi.PyGILState_Ensure  # once more than it is released

    def __call__(self) -> None:
        """Take this thread in."""
        thread = threading.get_ident()
        if thread not in self._known:
            self._known.add(thread)
            self._ensure()
