"""The other end of a dead man's switch: a server that is told whether all is well, and answers as the test wants."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watchman:
    """``heard``: the paths that were asked for; ``answers``: status and fields of the next ones, then 200."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.agents: set[str] = set()
        self.answers: list[tuple[int, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def run(self) -> None:
        self._server.serve_forever(0.01)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> Any:
        watchman = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                watchman.heard.append(self.path)
                watchman.agents.add(self.headers["User-Agent"])
                status, fields = watchman.answers.pop(0) if watchman.answers else (200, {})
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def watching() -> Iterator[Watchman]:
    watchman = Watchman()
    thread = threading.Thread(target=watchman.run)
    thread.start()
    try:
        yield watchman
    finally:
        watchman.close()
        thread.join()
