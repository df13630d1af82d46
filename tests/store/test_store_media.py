from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wasess.errors import StoreError
from wasess.store.media import MEDIA_NAME, PART, MediaFile, NewFile, delete_media, make_media_folder, media_files


@pytest.fixture
def folder(tmp_path):
    session = tmp_path / "session"
    (session / MEDIA_NAME).mkdir(parents=True)
    return session


def write(folder, path, data):
    file = NewFile(folder, path)
    os.write(file.descriptor, data)
    file.keep()
    file.close()


def names(folder):
    return sorted(path.name for path in (folder / MEDIA_NAME).iterdir())


def test_a_file_is_kept_for_its_owner_alone(folder):
    for path in (folder / MEDIA_NAME / "1.png", folder / "top"):
        write(folder, path, b"content")
        assert path.read_bytes() == b"content"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(folder) == ["1.png"]


def test_one_that_is_there_already_or_half_of_it_is_replaced(folder):
    (folder / MEDIA_NAME / "1.png").write_bytes(b"old")
    (folder / MEDIA_NAME / "1.png.part").write_bytes(b"ol")
    write(folder, folder / MEDIA_NAME / "1.png", b"new")
    assert ((folder / MEDIA_NAME / "1.png").read_bytes(), names(folder)) == (b"new", ["1.png"])


def test_one_that_is_not_kept_leaves_nothing_behind(folder):
    before = len(list(Path("/proc/self/fd").iterdir()))
    (folder / MEDIA_NAME / "1.png").write_bytes(b"old")
    file = NewFile(folder, folder / MEDIA_NAME / "1.png")
    os.write(file.descriptor, b"new")
    assert names(folder) == ["1.png", "1.png" + PART]
    file.close()
    assert ((folder / MEDIA_NAME / "1.png").read_bytes(), names(folder)) == (b"old", ["1.png"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_link_leads_out_of_the_folder(folder, tmp_path):
    (tmp_path / "target").write_bytes(b"safe")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / MEDIA_NAME / "link").symlink_to(tmp_path / "target")
    (folder / MEDIA_NAME / "link.part").symlink_to(tmp_path / "target")
    write(folder, folder / MEDIA_NAME / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"safe"
    assert not (folder / MEDIA_NAME / "link").is_symlink()
    with pytest.raises(OSError, match="elsewhere"):
        NewFile(folder, folder / "elsewhere" / "file")
    with pytest.raises(StoreError, match="not in the session"):
        NewFile(folder, folder / MEDIA_NAME / ".." / ".." / "file")
    assert not (tmp_path / "file").exists()


def test_only_what_is_called_as_ours_is_counted_and_deleted(folder, tmp_path):
    media = folder / MEDIA_NAME
    for name in ("1.png", "2", "3.ogg.part", "notes.txt", ".hidden", "9" * 30 + ".png", "٣.png", "4.PNG", "5.png\n", "6.tar.gz"):
        (media / name).write_bytes(b"123")
    (tmp_path / "target").write_bytes(b"safe")
    (media / "7.png").symlink_to(tmp_path / "target")
    (media / "8").mkdir()
    ours = {MediaFile("1.png", 1, 3, part=False), MediaFile("2", 2, 3, part=False), MediaFile("3.ogg.part", 3, 3, part=True)}
    assert set(media_files(folder)) == ours
    before = names(folder)
    assert delete_media(folder, ["1.png", "notes.txt", "../session/top", "8", "77.png", "3.ogg.part"]) == ["1.png", "77.png", "3.ogg.part"]
    assert names(folder) == [name for name in before if name not in {"1.png", "3.ogg.part"}]


def test_a_folder_that_is_a_link_is_not_entered(folder, tmp_path):
    (folder / MEDIA_NAME).rmdir()
    assert (media_files(folder), delete_media(folder, ["1.png"])) == ([], [])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(b"safe")
    (folder / MEDIA_NAME).symlink_to(tmp_path / "elsewhere")
    assert (media_files(folder), delete_media(folder, ["1.png"])) == ([], [])
    make_media_folder(folder)
    with pytest.raises(OSError, match=MEDIA_NAME):
        NewFile(folder, folder / MEDIA_NAME / "1.png")
    assert (tmp_path / "elsewhere" / "1.png").read_bytes() == b"safe"
