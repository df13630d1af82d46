"""The messages the drill writes and what became of them. The truth is with the bot: it notes the id of each message it is handed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GOT_NAME = "got.ndjson"
HANG_NAME = "hang"
HANGING_TEXT = "please hang"

BOT = '''
"""Made by `wasess drill`: notes each message by its id, then lets the bot answer it."""
import json, os, threading, time
from pathlib import Path
from wasess.delivery.bot_process import load

HERE = Path(__file__).parent
GOT = os.open(HERE / "got.ndjson", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
FILE, NAME = {file!r}, {name!r}
FUNCTION, WANTS_TEXT = load(Path(FILE), NAME) if FILE else (None, False)

def reply(message):
    os.write(GOT, (json.dumps({{"id": message.id, "at": time.time()}}) + "\\n").encode())
    if message.text == "please hang" and (HERE / "hang").exists():
        threading.Event().wait()
    if FUNCTION is None:
        return "echo " + message.text[:100]
    return FUNCTION(message.text if WANTS_TEXT else message)
'''


def bot_source(file: str = "", name: str = "") -> str:
    """The source of the drill's bot; with a file and a name it lets that function answer, without one it says the text back."""
    return BOT.format(file=file, name=name)


class Got:
    """Reads what the bots of one folder have noted: the moment of each message's first coming, by id."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / GOT_NAME
        self._place = 0
        self._at: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def look(self) -> dict[str, float]:
        """Read what is new; return all moments so far."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._place)
                data = file.read()
        except FileNotFoundError:
            return self._at
        whole = data[: data.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.splitlines():
            note = json.loads(line)
            self._at.setdefault(note["id"], float(note["at"]))
            self._times[note["id"]] = self._times.get(note["id"], 0) + 1
        return self._at

    def times(self, message_id: str) -> int:
        """How often the bot was given this message."""
        self.look()
        return self._times.get(message_id, 0)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message a contact wrote to a session, and when (Unix time)."""

    id: str
    user: str
    at: float


def missing(letters: list[Letter], got: dict[str, float]) -> list[Letter]:
    """Those the bot has not got."""
    return [letter for letter in letters if letter.id not in got]
