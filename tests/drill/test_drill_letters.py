from __future__ import annotations

import json
import subprocess

import pytest

from wasess.delivery.function import validate_bot
from wasess.drill.letters import BOT, GOT_NAME, HANG_NAME, HANGING_TEXT, Got, Letter, bot_source, missing

OWN_BOTS = """
async def later(message):
    return "later " + message.push_name

def text(text):
    return text.upper()

def fails(message):
    raise ValueError
"""


@pytest.fixture
def answer(tmp_path):
    def ask(text: str, source: str) -> dict[str, object]:
        (tmp_path / "bot.py").write_text(source)
        message = {"id": "M1", "chat": "c", "sender": "s", "text": text, "timestamp": 1.0, "push_name": "carol"}
        request = json.dumps({"n": 1, "message": message}) + "\n"
        command = validate_bot(f"{tmp_path}/bot.py:reply").command()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bot:
            bot.stdin.write(request)
            bot.stdin.flush()
            answers = [json.loads(bot.stdout.readline()) for _ in range(2)]
            bot.stdin.close()
        assert answers[0] == {"ready": True}
        return answers[1]

    return ask


def test_the_bot_says_the_text_back_and_notes_the_message(tmp_path, answer):
    assert answer("hello", bot_source())["reply"] == "echo hello"
    got = Got(tmp_path)
    assert set(got.look()) == {"M1"}
    assert got.times("M1") == 1
    assert got.times("M2") == 0


@pytest.mark.parametrize(("name", "reply"), [("later", "later carol"), ("text", "HELLO")])
def test_the_user_s_own_bot_answers_and_the_message_is_noted_all_the_same(tmp_path, answer, name, reply):
    (tmp_path / "own.py").write_text(OWN_BOTS)
    assert answer("hello", bot_source(str(tmp_path / "own.py"), name))["reply"] == reply
    assert set(Got(tmp_path).look()) == {"M1"}


def test_a_message_that_the_user_s_bot_fails_on_has_come(tmp_path, answer):
    (tmp_path / "own.py").write_text(OWN_BOTS)
    assert "ValueError" in answer("hello", bot_source(str(tmp_path / "own.py"), "fails"))["error"]
    assert set(Got(tmp_path).look()) == {"M1"}


def test_the_bot_hangs_only_on_that_text_and_only_while_it_is_told_to(answer):
    assert answer(HANGING_TEXT, bot_source())["reply"]


def test_the_names_in_the_bot_are_those_of_the_module():
    assert HANGING_TEXT in BOT
    assert f'"{HANG_NAME}"' in BOT
    assert f'"{GOT_NAME}"' in BOT


def test_a_note_that_is_half_written_is_read_later(tmp_path):
    got = Got(tmp_path)
    assert got.look() == {}
    file = tmp_path / GOT_NAME
    file.write_text('{"id": "A", "at": 1.0}\n{"id": "B"')
    assert got.look() == {"A": 1.0}
    with file.open("a") as more:
        more.write(', "at": 2.0}\n{"id": "A", "at": 9.0}\n')
    assert got.look() == {"A": 1.0, "B": 2.0}  # the first coming counts
    assert got.times("A") == 2


def test_what_is_missing():
    letters = [Letter("A", "alice", 1.0), Letter("B", "alice", 2.0)]
    assert missing(letters, {"A": 1.5}) == [letters[1]]
    assert missing(letters, {"A": 1.5, "B": 2.5}) == []
