"""neonize's library alone, with callbacks that do nothing: `python -m bench.bare DATABASE LIBRARY PROXY ROOT_KEY`, in the folder of a device.

It logs in and receives until its stdin ends. What wasess does on top is measured against it.
"""

from __future__ import annotations

import os
import sys
import threading

from wasess.link.library import EventCallback, Library, LogCallback, TextCallback
from wasess.link.subscription import DEVICE_PROPERTIES, EVENTS

CALLBACKS = (TextCallback(lambda *_: None), TextCallback(lambda *_: None), EventCallback(lambda *_: None), LogCallback(lambda *_: None))


def main(database: str, path: str, proxy: str, root_key: str) -> None:
    """Never returns."""
    library = Library(path, f"bare-{os.getpid()}")
    library.pin_root_key(bytes.fromhex(root_key))
    threading.Thread(target=_end, args=(library,), daemon=True).start()
    problem = library.run(
        database,
        new_device=False,
        properties=DEVICE_PROPERTIES,
        events=EVENTS,
        proxy=proxy,
        level="WARN",
        callbacks=CALLBACKS,
    )
    sys.exit(problem or "the library returned")


def _end(library: Library) -> None:
    sys.stdin.read()
    library.disconnect()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
