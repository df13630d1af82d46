"""The real library in a process of its own, with nothing of wasess's worker around it: calls come as JSON lines, events go out as such.

Run as ``python bare_client.py FOLDER CONTRACT USER``. Bytes travel as base64; a call is ``{"call": NAME, "number": N, "fields": [...]}``.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from wasess.link import wheel
from wasess.link.library import EventCallback, Library, LogCallback, TextCallback
from wasess.link.subscription import DEVICE_PROPERTIES

EVENTS = bytes((2, 3, 12, 17, 18, 44))  # PairStatus, Connected, Disconnected, Message, Receipt, UndecryptableMessage

_TEXT, _BUFFER, _INT = ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int
_BYTES_CALLS = {
    "Upload": (_BUFFER, _INT, _INT),
    "DownloadAny": (_BUFFER, _INT),
    "DecryptPollVote": (_BUFFER, _INT),
    "SendMessage": (_BUFFER, _INT, _BUFFER, _INT),
}
_TEXT_CALLS = {
    "SendChatPresence": (_BUFFER, _INT, _INT, _INT),
    "MarkRead": (_BUFFER, _INT, _BUFFER, _INT, _BUFFER, _INT, _TEXT),
}


class Client(Library):
    """The library with the calls that bots need; every argument is passed as it comes."""

    def __init__(self, user: str) -> None:
        super().__init__(str(wheel.library()), f"{user}-{os.getpid()}")
        struct = self._go.SendMessage.restype
        for name, arguments in _BYTES_CALLS.items():
            getattr(self._go, name).restype, getattr(self._go, name).argtypes = struct, (_TEXT, *arguments)
        for name, arguments in _TEXT_CALLS.items():
            getattr(self._go, name).restype, getattr(self._go, name).argtypes = ctypes.c_void_p, (_TEXT, *arguments)

    def call(self, name: str, arguments: list[Any]) -> bytes:
        found = getattr(self._go, name)(self._uuid, *arguments)
        return self._bytes(found) if name in _BYTES_CALLS else self._text(found).encode()


def main() -> None:
    folder, contract_file, user = sys.argv[1:]
    contract = json.loads(Path(contract_file).read_text())
    words = Words()
    client = Client(user)
    client.pin_root_key(bytes.fromhex(contract["root_key"]))
    callbacks = words.callbacks()
    session = {
        "new_device": not Path(folder, f"{user}.db").exists(),
        "properties": DEVICE_PROPERTIES,
        "events": EVENTS,
        "proxy": contract["proxy"].replace("//", f"//{user}:x@"),
        "level": "WARN",
        "callbacks": callbacks,
    }
    threading.Thread(target=lambda: client.run(f"{folder}/{user}.db", **session), daemon=True).start()
    for line in sys.stdin:
        threading.Thread(target=obey, args=(client, words, json.loads(line)), daemon=True).start()
    os._exit(0)


def obey(client: Client, words: Words, order: dict[str, Any]) -> None:
    arguments = [base64.b64decode(field["bytes"]) if isinstance(field, dict) else field for field in order["fields"]]
    words.say(result=order["number"], data=client.call(order["call"], arguments))


class Words:
    """Our standard output; the library's own prints go to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def say(self, data: bytes = b"", **what: Any) -> None:
        with self._lock:
            self._out.write(json.dumps({**what, "data": base64.b64encode(data).decode()}) + "\n")
            self._out.flush()

    def callbacks(self) -> tuple[object, ...]:
        return (
            TextCallback(lambda _uuid, text: self.say(ctypes.string_at(text), event="qr")),
            TextCallback(lambda _uuid, _text: None),
            EventCallback(lambda _uuid, data, size, code: self.say(ctypes.string_at(data, size), event=code)),
            LogCallback(lambda data, size: print(ctypes.string_at(data, size), file=sys.stderr)),  # noqa: T201 - for whoever debugs a test
        )


if __name__ == "__main__":
    main()
