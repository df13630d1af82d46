"""A companion on the bare library (bare_client.py), as tests talk to it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasess.link import protobuf
from wasess.link.translate import translate

if TYPE_CHECKING:
    from wasess.core.message import Message
    from wasess.sandbox import Sandbox
    from wasess.sandbox.jid import Jid
    from wasess.sandbox.state import Device

PATIENCE = 20
MESSAGE, RECEIPT, CONNECTED, UNDECRYPTABLE = 17, 18, 3, 44
FOR_DEVICES = {"senderKeyDistributionMessage", "messageContextInfo"}
LONGEST_LINE = 1 << 26
MEDIA_NUMBERS = {"image": 0, "video": 1, "audio": 2, "document": 3}


class BareCompanion:
    """One linked device: its events by number, and the library's calls."""

    def __init__(self, box: Sandbox, folder: Path, user: str) -> None:
        self.box = box
        self.user = user
        self.events: list[tuple[int, Any]] = []
        self._folder = folder
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count(1)
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def start(self) -> None:
        command = (sys.executable, str(Path(__file__).parent / "bare_client.py"), str(self._folder), str(self.box.contract_path), self.user)
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "SSL_CERT_FILE": str(self.box.ca_file)}
        log = (self._folder / f"{self.user}.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=log, env=environment, limit=LONGEST_LINE
        )
        log.close()
        self._reading = asyncio.create_task(self._read())

    async def pair(self) -> Device:
        await self.start()
        await self.until(lambda: any(code == "qr" for code, _ in self.events))
        code = next(data for code, data in self.events if code == "qr")
        device = await self.box.scan(self.user, code.decode())
        await self.until(lambda: any(code == CONNECTED for code, _ in self.events))
        return device

    async def stop(self) -> None:
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def until(self, condition: Any, seconds: float = PATIENCE) -> None:
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(condition)
        except TimeoutError:
            log = (self._folder / f"{self.user}.log").read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self.user}: waited in vain; {[code for code, _ in self.events]}; {log}") from None

    def raw(self, message_id: str) -> Any:
        """The library's own event of a message; None as long as there is none. The handing over of a sender key is one of the same id."""
        found = [event for code, event in self.events if code == MESSAGE and message_id == event.Info.ID]
        return next((event for event in found if {field.name for field, _ in event.Message.ListFields()} - FOR_DEVICES), None)

    async def message(self, message_id: str) -> tuple[Message, Any]:
        """Wait for a message; returns it as wasess reads it, and as the library's event."""
        await self.until(lambda: self.raw(message_id))
        event = self.raw(message_id)
        return translate(MESSAGE, event.SerializeToString()).message, event

    def receipts(self) -> list[tuple[Any, ...]]:
        """Type (whatsmeow's: "" is delivered), sender and ids of every receipt so far."""
        types = protobuf.neonize().Receipt.ReceiptType
        found = [event for code, event in self.events if code == RECEIPT]
        return [(types.Name(event.Type), event.MessageSource.Sender.User, *event.MessageIDs) for event in found]

    async def call(self, name: str, *fields: Any) -> bytes:
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        packed = [{"bytes": base64.b64encode(field).decode()} if isinstance(field, bytes) else field for field in fields]
        self._process.stdin.write(json.dumps({"call": name, "number": number, "fields": packed}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            return await self._answers[number]

    async def send(self, to: Jid, message: Any) -> Any:
        """Returns the SendMessageReturnFunction."""
        address, packed = jid_bytes(to), message.SerializeToString()
        return protobuf.neonize().SendMessageReturnFunction.FromString(
            await self.call("SendMessage", address, len(address), packed, len(packed))
        )

    async def sent(self, to: Jid, message: Any) -> str:
        """Send, and it must work; returns the message id."""
        answer = await self.send(to, message)
        assert not answer.Error, answer.Error
        return str(answer.SendResponse.ID)

    async def upload(self, kind: str, data: bytes) -> Any:
        """Returns the UploadReturnFunction."""
        return protobuf.neonize().UploadReturnFunction.FromString(await self.call("Upload", data, len(data), MEDIA_NUMBERS[kind]))

    async def download(self, message: Any) -> Any:
        """Returns the DownloadReturnFunction."""
        packed = message.SerializeToString()
        return protobuf.neonize().DownloadReturnFunction.FromString(await self.call("DownloadAny", packed, len(packed)))

    async def vote(self, event: Any) -> Any:
        """Decrypt the vote in a message event; returns the ReturnFunctionWithError."""
        packed = event.SerializeToString()
        return protobuf.neonize().ReturnFunctionWithError.FromString(await self.call("DecryptPollVote", packed, len(packed)))

    async def _read(self) -> None:
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            data = base64.b64decode(said["data"])
            if "result" in said:
                with contextlib.suppress(asyncio.InvalidStateError):  # the test has given up waiting
                    self._answers[said["result"]].set_result(data)
                continue
            async with self._news:
                self.events.append((said["event"], _decoded(said["event"], data)))
                self._news.notify_all()


def jid_bytes(jid: Jid) -> bytes:
    made = protobuf.neonize().JID(User=jid.user, Server=jid.server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False)
    return bytes(made.SerializeToString())


def _decoded(code: Any, data: bytes) -> Any:
    classes = {MESSAGE: "Message", RECEIPT: "Receipt", UNDECRYPTABLE: "UndecryptableMessage"}
    return getattr(protobuf.neonize(), classes[code]).FromString(data) if code in classes else data
