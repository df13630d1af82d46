"""The smallest webhook receiver that checks who is speaking. It needs `pip install standardwebhooks`, and nothing of wasess.

Make a secret that only you and wasess know, start the receiver, and start wasess with its address::

    echo "whsec_$(openssl rand -base64 32)" > secret && chmod 600 secret
    python examples/webhook_receiver.py secret
    wasess serve --webhook http://127.0.0.1:8000/ --webhook-secret-file secret

In front of the internet, put a web server with a certificate before it: wasess sends to other machines over https only.
"""

from __future__ import annotations

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

LONGEST = 1024 * 1024  # bytes; far more than a message has
ANSWERS: dict[str, dict[str, Any]] = {}  # by webhook-id; in real life a table that outlives this process


def reply(message: dict[str, Any]) -> str | None:
    """Say what you want to say here. ``message`` has the fields of `wasess.core.message.Message`; None is no reply."""
    if message["kind"] != "text":
        return None
    return f"you said: {message['text']}"


class Receiver(BaseHTTPRequestHandler):
    """Answers 200 to what wasess has signed, and 401 to all else."""

    protocol_version = "HTTP/1.1"  # keeps the connection open for the next message
    webhook: Webhook

    def do_POST(self) -> None:
        """Take one message."""
        length = int(self.headers.get("content-length", 0))
        if not 0 < length <= LONGEST:
            self.close_connection = True
            self.answer(413)
            return
        body = self.rfile.read(length)
        try:
            event = self.webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):
            self.answer(401)
            return
        self.answer(200, self.answer_once(event["data"]))

    def answer_once(self, message: dict[str, Any]) -> dict[str, Any]:
        """Ask for a reply once for each message: one whose answer was lost on the way comes again, under the same ``webhook-id``."""
        name = self.headers["webhook-id"]
        if name not in ANSWERS:
            ANSWERS[name] = {"reply": reply(message)}
        return ANSWERS[name]

    def answer(self, status: int, content: dict[str, Any] | None = None) -> None:
        """Send this status, and the content as JSON."""
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing: messages are nobody else's business."""


def main() -> None:
    """Serve until Ctrl+C."""
    parser = argparse.ArgumentParser(description="Receive messages from wasess, and echo them.")
    parser.add_argument("secret_file", type=Path, help="the file that wasess gets as --webhook-secret-file")
    parser.add_argument("--port", type=int, default=8000, help="the port on this machine (8000; 0 for any that is free)")
    options = parser.parse_args()
    Receiver.webhook = Webhook(options.secret_file.read_text().split()[0])
    with ThreadingHTTPServer(("127.0.0.1", options.port), Receiver) as server:
        sys.stdout.write(f"listening on http://127.0.0.1:{server.server_port}/\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
