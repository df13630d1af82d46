"""The smallest webhook receiver that checks who is speaking. It needs `pip install standardwebhooks`, and nothing of wasess.

Make a secret that only you and wasess know, start the receiver, and start wasess with its address::

    echo "whsec_$(openssl rand -base64 32)" > secret && chmod 600 secret
    python examples/webhook_receiver.py secret --socket /run/user/1000/bot.sock
    wasess serve --webhook http+unix:///run/user/1000/bot.sock --webhook-secret-file secret

A unix socket is the safest way between two programs of one machine: nobody else can listen there in its place. Without ``--socket`` it is
a port (``--webhook http://127.0.0.1:8000/``). A port is anybody's who takes it first, so wasess sends messages there only when the receiver
runs as the same user or as root, or has answered a challenge: `Receiver.prove`.

In front of the internet, put a web server with a certificate before it: wasess sends to other machines over https only.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

LONGEST = 1024 * 1024  # bytes; far more than a message has
CHALLENGE_PATH = "/.well-known/wasess-challenge"
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
    here = ""  # our own address, as wasess writes it

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
        if self.path == CHALLENGE_PATH:
            self.prove(event)
        elif event.get("type") == "message":
            self.answer(200, self.answer_once(event["data"]))
        else:
            self.answer(404)

    def prove(self, event: dict[str, Any]) -> None:
        """Show wasess that we know the secret; only when it believes to be talking to this very address, or somebody could be in between."""
        if event.get("type") != "challenge" or event.get("receiver") != self.here:
            self.answer(404)
            return
        now, name, content = datetime.now(UTC), self.headers["webhook-id"], {"challenge": event["challenge"]}
        signature = self.webhook.sign(name, now, json.dumps(content))
        signed = {"webhook-id": name, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
        self.answer(200, content, signed)

    def answer_once(self, message: dict[str, Any]) -> dict[str, Any]:
        """Ask for a reply once for each message: one whose answer was lost on the way comes again, under the same ``webhook-id``."""
        name = self.headers["webhook-id"]
        if name not in ANSWERS:
            ANSWERS[name] = {"reply": reply(message)}
        return ANSWERS[name]

    def answer(self, status: int, content: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> None:
        """Send this status, these headers, and the content as JSON."""
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing: messages are nobody else's business."""


def port_server(port: int) -> ThreadingHTTPServer:
    """Listen on a port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    Receiver.here = f"127.0.0.1:{server.server_port}"
    return server


def main() -> None:
    """Serve until Ctrl+C."""
    parser = argparse.ArgumentParser(description="Receive messages from wasess, and echo them.")
    parser.add_argument("secret_file", type=Path, help="the file that wasess gets as --webhook-secret-file")
    parser.add_argument("--port", type=int, default=8000, help="the port on this machine (8000; 0 for any that is free)")
    parser.add_argument("--socket", type=Path, help="listen on this unix socket instead, in a folder that only you can write to")
    options = parser.parse_args()
    Receiver.webhook = Webhook(options.secret_file.read_text().split()[0])
    if options.socket:
        options.socket.unlink(missing_ok=True)
    with ThreadingUnixStreamServer(str(options.socket), Receiver) if options.socket else port_server(options.port) as server:
        sys.stdout.write(f"listening on {f'http+unix://{options.socket}' if options.socket else f'http://{Receiver.here}/'}\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("stopped\n")


if __name__ == "__main__":
    main()
