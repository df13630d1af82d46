"""A webhook receiver that believes nothing unsigned: `python -m bench.receiver SECRET COUNT`.

Prints its port, then, once it has seen so many different messages, when each came and how many requests it refused, as a line of JSON.
Plain asyncio, so that it is not what is measured; the signatures are checked by the reference library.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

from standardwebhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

YES = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n" + b'{"reply": null}'
NO = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"


class Receiver:
    """``came``: when which message was first seen, by its ``webhook-id``. ``enough`` is set when there are ``count``."""

    def __init__(self, secret: str, count: int) -> None:
        self.came: dict[str, float] = {}
        self.refused = 0
        self.enough = asyncio.Event()
        self._webhook = Webhook(secret)
        self._count = count

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = [line.partition(": ") for line in head.split("\r\n")[1:]]
                headers = {name.lower(): value for name, _, value in fields}
                writer.write(self._answer(headers, await reader.readexactly(int(headers["content-length"]))))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, headers: dict[str, str], body: bytes) -> bytes:
        try:
            self._webhook.verify(body, headers)
        except WebhookVerificationError:
            self.refused += 1
            return NO
        self.came.setdefault(headers["webhook-id"], time.time())
        if len(self.came) >= self._count:
            self.enough.set()
        return YES


async def main(secret: str, count: int) -> None:
    """Serve until there are enough."""
    receiver = Receiver(secret, count)
    async with await asyncio.start_server(receiver.serve, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await receiver.enough.wait()
        print(json.dumps({"came": list(receiver.came.values()), "refused": receiver.refused}), flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until the manager has heard all answers


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
