#!/usr/bin/env python3
"""A bot as a program of its own. Run it with `wasess serve --program examples/program_bot.py`.

It needs nothing of wasess, and could be written in any language: read a line of JSON from stdin, write a line of JSON to stdout. The line
that comes has the number `n` and the `message`; the line that goes has the same `n` and the `reply`, or an `error`, after which the message
is tried again. What you want to read yourself goes to stderr.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def reply(message: dict[str, Any]) -> str | dict[str, Any] | None:
    """Say what you want to say here. `message` has the fields of `wasess.Message`; None is no reply."""
    if message["kind"] == "location":
        return {"react": "📍"}
    if message["kind"] != "text":
        return None
    return {"text": f"{len(message['text'].split())} words", "quote": True}


def main() -> None:
    """Answer until there are no more lines: then wasess ends."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"n": request["n"], "reply": reply(request["message"])}
        except Exception as error:  # noqa: BLE001 - a message that we fail on must not cost the others their answers
            sys.stderr.write(f"failed on a message: {type(error).__name__}\n")
            answer = {"n": request["n"], "error": "failed"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()  # at once: wasess waits for it


if __name__ == "__main__":
    main()
