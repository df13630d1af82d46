from __future__ import annotations

import os
from pathlib import Path

import pytest

from wasess.core.file_types import type_of
from wasess.core.message import Reply
from wasess.errors import UsageError
from wasess.link.attachment import MAX_FILE, Attachment, attach

OPUS = b"OggS" + bytes(24) + b"OpusHead" + bytes(100)
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(20)


@pytest.fixture
def file(tmp_path):
    def make(name, content=b"content"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return make


@pytest.mark.parametrize(
    ("name", "kind", "mime"),
    [
        ("a.jpg", "image", "image/jpeg"),
        ("a.JPEG", "image", "image/jpeg"),
        ("a.png", "image", "image/png"),
        ("a.webp", "image", "image/webp"),
        ("a.gif", "document", "image/gif"),
        ("a.mp4", "video", "video/mp4"),
        ("a.mp3", "audio", "audio/mpeg"),
        ("a.ogg", "audio", "audio/ogg"),
        ("a.m4a", "audio", "audio/mp4"),
        ("a.wav", "document", "audio/x-wav"),
        ("a.pdf", "document", "application/pdf"),
        ("a.docx", "document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a", "document", "application/octet-stream"),
        ("a.unheard-of", "document", "application/octet-stream"),
    ],
)
def test_the_name_says_what_a_file_is(file, name, kind, mime):
    path = file(name)
    assert attach(Reply(file=path)) == Attachment(Path(path), kind, mime, name, 7)


def test_a_name_that_is_no_text_is_read_as_far_as_it_goes(tmp_path):
    path = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.pdf")
    Path(path).write_bytes(b"content")
    found = attach(Reply(file=path))
    assert found.name == "caf\N{REPLACEMENT CHARACTER}.pdf"
    assert found.path.read_bytes() == b"content"


def test_the_type_that_the_bot_says_comes_first(file):
    assert attach(Reply(file=file("a.bin"), mime="image/PNG")).kind == "image"
    assert attach(Reply(file=file("a.png"), mime="application/pdf")).kind == "document"


def test_a_voice_message_is_ogg_with_opus(file):
    found = attach(Reply(file=file("a.ogg", OPUS), voice=True))
    assert (found.kind, found.mime) == ("voice", "audio/ogg; codecs=opus")
    assert attach(Reply(file=file("a.opus", OPUS), voice=True)).kind == "voice"
    for path in (file("b.mp3"), file("b.ogg", b"OggS" + bytes(60)), file("c.ogg")):
        with pytest.raises(UsageError, match="Ogg file with Opus"):
            attach(Reply(file=path, voice=True))


def test_a_sticker_is_webp(file):
    assert attach(Reply(file=file("a.webp", WEBP), sticker=True)).mime == "image/webp"
    with pytest.raises(UsageError, match="WebP"):
        attach(Reply(file=file("a.png"), sticker=True))


def test_only_pictures_videos_and_documents_have_a_caption(file):
    assert attach(Reply("look", file=file("a.png")))
    for reply in (
        Reply("look", file=file("a.mp3")),
        Reply("look", file=file("a.ogg", OPUS), voice=True),
        Reply("look", file=file("a.webp", WEBP), sticker=True),
    ):
        with pytest.raises(UsageError, match="caption"):
            attach(reply)


def test_what_is_no_file_is_refused_at_once(file, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    large = Path(file("large"))
    os.truncate(large, MAX_FILE + 1)
    for path, words in (
        (tmp_path / "none", "No such file"),
        (tmp_path / "pipe", "is not a file"),
        (tmp_path, "irectory"),
        (Path("/dev/zero"), "is not a file"),
        (Path(file("empty", b"")), "empty"),
        (large, "65 MiB; the most that can be sent is 64 MiB"),
        (tmp_path / "a\0b", "null (byte|character)"),
    ):
        with pytest.raises(UsageError, match=words):
            attach(Reply(file=str(path)))


def test_a_type_does_not_depend_on_the_machine(monkeypatch):
    monkeypatch.setattr("mimetypes.knownfiles", ["/nowhere"])
    assert type_of("a.html") == "text/html"
