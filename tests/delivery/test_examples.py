"""The bots in examples/, asked as `wasess serve` asks them."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wasess.core.message import Location, Media, Message, Reply
from wasess.delivery.bot import Outcome, Trouble, Verdict
from wasess.delivery.function import FunctionBot, validate_bot
from wasess.delivery.program import ProgramBot, validate_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ANN = "491701234567@s.whatsapp.net"
TEXT = Message(id="A1", chat=ANN, sender=ANN, text="hello", timestamp=1_779_984_000.0, push_name="Ann")
THANKS = Reply("Thanks, I have kept it.", quote=True)


@asynccontextmanager
async def asking(
    bot_of: Callable[[Callable[[Trouble], None]], FunctionBot | ProgramBot],
) -> AsyncIterator[Callable[[Message], Awaitable[object]]]:
    troubles: list[Trouble] = []
    bot = bot_of(troubles.append)

    async def ask(message: Message) -> tuple[Reply, ...]:
        outcome = await bot.ask(message)
        assert outcome == Outcome(Verdict.ANSWERED, outcome.replies)
        return outcome.replies

    try:
        yield ask
    finally:
        await bot.close()
    assert troubles == []


def function(name: str) -> Callable[[Callable[[Trouble], None]], FunctionBot]:
    return lambda tell: FunctionBot(validate_bot(f"{EXAMPLES}/{name}"), tell)


async def test_the_echo_bot():
    async with asking(function("echo_bot.py:reply")) as ask:
        assert await ask(TEXT) == (Reply("you said: hello"),)
        assert await ask(replace(TEXT, kind="reaction", text="+")) == ()


async def test_the_faq_bot():
    async with asking(function("faq_bot.py:answer")) as ask:
        (hours,) = await ask(replace(TEXT, text="WHEN are you open?"))
        assert "9:00" in hours.text
        assert hours.quote is True
        (price,) = await ask(replace(TEXT, text="what does it cost, how much do I pay when you come?", is_group=True))
        assert "40 euros" in price.text
        (greeting,) = await ask(TEXT)
        assert greeting.text.startswith("Hello Ann!")
        assert await ask(replace(TEXT, is_group=True)) == ()
        assert await ask(replace(TEXT, text="where does this picture come from?", kind="image")) == ()
        assert await ask(replace(TEXT, text="...")) == ()


async def test_the_media_saver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SAVE_TO", str(tmp_path / "saved"))
    came = tmp_path / "came"
    came.write_bytes(b"picture")
    picture = replace(TEXT, kind="image", text="", media=Media("image/png; odd=1", 7, "../../../escaped.png", str(came)))
    async with asking(function("media_saver.py:save")) as ask:
        assert await ask(picture) == (THANKS,)
        assert await ask(replace(picture, id="../A2")) == (THANKS,)  # the same content
        came.write_bytes(b"something else")
        assert await ask(replace(picture, media=replace(picture.media, mime="../x"))) == (THANKS,)
        (sorry,) = await ask(replace(picture, media=Media("image/png", 7, problem="too large")))
        assert "Sorry" in sorry.text
        assert await ask(TEXT) == ()
    kept = sorted((tmp_path / "saved").rglob("*.*"), key=lambda file: file.suffix)
    assert [file.read_bytes() for file in kept] == [b"something else", b"picture"]
    assert all(re.fullmatch(r"2026-05-2[89]/[0-9a-f]{32}\.(png|bin)", str(file.relative_to(tmp_path / "saved"))) for file in kept)
    assert {file.name for file in tmp_path.glob("*")} == {"came", "saved"}  # noqa: ASYNC240 -- nothing else runs on this loop


async def test_the_program_bot():
    async with asking(lambda tell: ProgramBot(validate_program(f"'{EXAMPLES}/program_bot.py'"), tell)) as ask:
        assert await ask(replace(TEXT, text="three little words")) == (Reply("3 words", quote=True),)
        assert await ask(replace(TEXT, kind="location", location=Location(1.0, 2.0))) == (Reply(react="\N{ROUND PUSHPIN}"),)
        assert await ask(replace(TEXT, kind="sticker", text="")) == ()
