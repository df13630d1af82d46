"""No path, link or other name makes a file of the home, or a secret one, go out; and what goes out is what was there when it was queued."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wasess.core.file_types import LARGEST_FILE
from wasess.core.message import Reply
from wasess.errors import StoreError
from wasess.store import outgoing_files
from wasess.store.mail import MailFile
from wasess.store.mail_checkpoint import settle
from wasess.store.outbox import Outbox
from wasess.store.outgoing_files import ANYWHERE, NOWHERE, NotSent, OutgoingFiles, Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CREDENTIALS = b"the credentials"
MENU = b"the menu"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


class Place:
    """A home with a session, a folder of files beside it that a webhook may name, and a secret file elsewhere."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.home = top / "home"
        self.session = self.home / "shop"
        self.files = top / "files"
        self.secret = top / "webhook.secret"
        for folder in (self.session / "media", self.session / "kept/20260101", self.files / "sub"):
            folder.mkdir(mode=0o700, parents=True)
        for name in ("device.db", "media/7.jpg", "kept/20260101/device.db", "inbox.db"):
            (self.session / name).write_bytes(CREDENTIALS)
        self.secret.write_bytes(CREDENTIALS)
        (self.files / "menu.pdf").write_bytes(MENU)
        (self.files / "sub/menu.pdf").write_bytes(MENU)
        self.outgoing = OutgoingFiles(self.session, [self.secret, top / "wasess.toml"])

    def copied(self, path: object, sources: Sources = ANYWHERE) -> bytes:
        """What goes out."""
        return (self.session / "outgoing" / self.outgoing.copy(str(path), sources)).read_bytes()

    def below(self, path: object) -> bytes:
        """The same for a webhook that may name what is in `files`."""
        return self.copied(path, Sources(folder=self.files))


@pytest.fixture(name="place")
def make_place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def link(place: Place) -> Path:
    (place.files / "link.pdf").symlink_to(place.session / "device.db")
    return place.files / "link.pdf"


def linked_folder(place: Place) -> Path:
    (place.files / "folder").symlink_to(place.session)
    return place.files / "folder/device.db"


def hard_link(place: Place, name: str = "device.db") -> Path:
    (place.files / "hard.pdf").hardlink_to(place.session / name)
    return place.files / "hard.pdf"


def by_another_process(place: Place) -> Path:
    return Path(f"/proc/{os.getppid()}/root") / (place.session / "device.db").relative_to("/")


# Each is a name for a file of the home.
NAMES: dict[str, Callable[[Place], Path | str]] = {
    "itself": lambda place: place.session / "device.db",
    "with dots": lambda place: f"{place.files}/../home/./shop//device.db",
    "a file that came with a message": lambda place: place.session / "media/7.jpg",
    "set aside": lambda place: place.session / "kept/20260101/device.db",
    "a link": link,
    "a linked folder": linked_folder,
    "a hard link": hard_link,
    "a hard link to a file that came with a message": lambda place: hard_link(place, "media/7.jpg"),
    "the root of a process": by_another_process,
    "the working directory of a process": lambda _place: "/proc/self/cwd/device.db",
}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_home_goes_out_under_any_name(place: Place, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place.session)
    path = NAMES[name](place)
    assert Path(path).read_bytes() == CREDENTIALS, "the name leads there"
    with pytest.raises(NotSent, match="home is never sent"):
        place.copied(path)
    for sources in (NOWHERE, Sources(folder=place.files)):
        with pytest.raises(NotSent):
            place.copied(path, sources)
    assert not (place.session / "outgoing").exists()


def test_an_open_file_of_the_manager_is_no_way_around(place: Place):
    with (place.session / "device.db").open("rb") as file, pytest.raises(NotSent, match="home is never sent"):
        place.copied(f"/proc/self/fd/{file.fileno()}")
    with (place.session / "device.db").open("rb") as file:
        (place.session / "device.db").unlink()
        with pytest.raises(NotSent, match="home is never sent"):
            place.copied(f"/proc/{os.getpid()}/fd/{file.fileno()}")


@ROOT_ONLY
def test_another_mount_of_the_home_is_no_way_around(place: Place):
    """In a name space of its own, which ends with the process."""
    script = """
import subprocess, sys
from pathlib import Path
from wasess.store.outgoing_files import ANYWHERE, NotSent, OutgoingFiles
session, there, one = map(Path, sys.argv[1:])
for source, target in ((session, there), (session / "device.db", one)):
    if subprocess.run(["mount", "--bind", source, target]).returncode:
        sys.exit("can't mount")
for path in (there / "device.db", one):
    try:
        OutgoingFiles(session).copy(str(path), ANYWHERE)
    except NotSent as error:
        print(error)
"""
    place.secret.with_name("one").touch()
    place.secret.with_name("there").mkdir()
    words = ["unshare", "-m", sys.executable, "-c", script, place.session, place.top / "there", place.top / "one"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if ran.returncode:
        pytest.skip(f"no mount here: {ran.stderr.strip()}")
    assert ran.stdout.count("home is never sent") == 2


def test_a_secret_file_never_goes_out(place: Place, monkeypatch: pytest.MonkeyPatch):
    (place.top / "again").hardlink_to(place.secret)
    (place.top / "wasess.toml").symlink_to(place.top / "real.toml")
    (place.top / "real.toml").write_text("[serve]")
    (place.top / "credentials").mkdir()
    (place.top / "credentials/token").write_text("secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place.top / "credentials"))
    for name in ("webhook.secret", "again", "wasess.toml", "real.toml", "credentials/token"):
        with pytest.raises(NotSent, match="secrets is never sent"):
            place.copied(place.top / name)


@pytest.mark.parametrize("path", ["menu.pdf", "sub/menu.pdf", "./sub/menu.pdf", "TOP/menu.pdf", "TOP/sub/menu.pdf"])
def test_a_webhook_names_what_is_below_its_folder(place: Place, path: str):
    assert place.below(path.replace("TOP", str(place.files))) == MENU
    with pytest.raises(NotSent, match="--webhook-files DIR"):
        place.copied(path.replace("TOP", str(place.files)), NOWHERE)


@pytest.mark.parametrize(
    "path",
    ["../webhook.secret", "sub/../../webhook.secret", "TOP/../webhook.secret", "/etc/shadow", "/etc/passwd", "TOPsecret", "TOP", "", "sub/",
     "//etc/passwd", "/proc/self/environ", "/dev/stdin", "a\0b", "sub", ".", "..", "none.pdf", "menu.pdf/x", "~/x"],
)  # fmt: skip
def test_nothing_else_is_named_by_a_webhook(place: Place, path: str):
    (place.top / "filessecret").write_bytes(CREDENTIALS)
    with pytest.raises(NotSent):
        place.below(path.replace("TOP", str(place.files)))


def test_below_the_folder_no_link_is_followed(place: Place):
    (place.files / "here.pdf").symlink_to("menu.pdf")
    (place.files / "there").symlink_to("sub")
    (place.files / "twice.pdf").hardlink_to(place.top / "webhook.secret")
    (place.files / "fd.pdf").symlink_to("/proc/self/fd/0")
    for path in ("here.pdf", "there/menu.pdf", "twice.pdf", "fd.pdf"):
        with pytest.raises(NotSent):
            place.below(path)


def test_the_folder_itself_may_be_reached_through_a_link(place: Place):
    (place.top / "current").symlink_to(place.files)
    assert place.copied("menu.pdf", Sources(folder=place.top / "current")) == MENU


@pytest.mark.parametrize("sources", [ANYWHERE, Sources(folder=Path())])
def test_what_is_no_regular_file_is_refused_at_once(place: Place, sources: Sources):
    sources = sources if sources.anywhere else Sources(folder=place.files)
    os.mkfifo(place.files / "pipe")
    (place.files / "empty").touch()
    with (place.files / "large").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    for name, words in (("pipe", "not a regular"), ("sub", "not a regular"), ("empty", "is empty"), ("large", "larger than 64 MiB")):
        with pytest.raises(NotSent, match=words):
            place.copied(place.files / name, sources)
    for name in ("/dev/zero", "/dev/null", "/proc/self/status", "/sys/kernel/uevent_seqnum"):
        with pytest.raises(NotSent):
            place.copied(name, sources)
    assert not list((place.session / "outgoing").iterdir())


def test_a_file_that_turns_into_another_while_it_is_opened_is_one_of_the_two_and_never_the_credentials(place: Place):
    """A race, of a second: a thread changes menu, link to the credentials, and menu again."""
    path, over = place.files / "race.pdf", threading.Event()

    def change() -> None:
        while not over.is_set():
            for make in (lambda new: new.write_bytes(MENU), lambda new: new.symlink_to(place.session / "device.db")):
                new = place.files / "new"
                make(new)
                new.replace(path)

    path.write_bytes(MENU)
    changing = threading.Thread(target=change)
    changing.start()
    sent: set[bytes] = set()
    refused = 0
    deadline = time.monotonic() + 1
    try:
        while time.monotonic() < deadline:
            for sources in (ANYWHERE, Sources(folder=place.files)):
                try:
                    sent.add(place.copied(path, sources))
                except NotSent:
                    refused += 1
    finally:
        over.set()
        changing.join()
    assert refused
    assert sent <= {MENU}


def test_the_copy_is_private_and_what_happens_to_the_file_does_not_matter(place: Place):
    name = place.outgoing.copy(str(place.files / "menu.pdf"), ANYWHERE)
    (place.files / "menu.pdf").unlink()
    (place.files / "menu.pdf").symlink_to(place.session / "device.db")
    copy = place.session / "outgoing" / name
    assert copy.read_bytes() == MENU
    assert (stat.S_IMODE(copy.stat().st_mode), stat.S_IMODE(copy.parent.stat().st_mode)) == (0o600, 0o700)
    assert place.outgoing.write([b"ab", b"c"]) != name


def test_a_full_disk_is_told_and_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outgoing_files, "RESERVE", 2**62)
    with pytest.raises(StoreError, match=os.strerror(errno.ENOSPC)):
        place.copied(place.files / "menu.pdf")
    assert not list((place.session / "outgoing").iterdir())


def test_a_folder_of_copies_that_is_a_link_is_not_followed(place: Place):
    (place.session / "outgoing").symlink_to(place.files)
    with pytest.raises(StoreError):
        place.copied(place.files / "menu.pdf")
    assert sorted(path.name for path in place.files.iterdir()) == ["menu.pdf", "sub"]


@pytest.fixture(name="outbox")
def open_outbox(tmp_path: Path) -> Iterator[Outbox]:
    (tmp_path / "inbox/bob").mkdir(mode=0o700, parents=True)
    with closing(MailFile(tmp_path / "inbox/bob")) as mail:
        yield Outbox(mail)


def test_a_copy_is_deleted_once_its_reply_is_done_with(tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch):
    session = tmp_path / "inbox/bob"
    files = OutgoingFiles(session)
    first, second, orphan = (files.write([name]) for name in (b"1", b"2", b"3"))
    outbox.queue("a", "1@lid", Reply(file="/a.pdf"), 1.0, kept=first)
    outbox.queue("b", "1@lid", Reply(data=b"2", name="b.pdf"), 1.0, kept=second)

    def left() -> set[str]:
        return {path.name for path in (session / "outgoing").iterdir()}

    assert not settle(session)  # the orphan is young: its reply may be about to be queued
    assert left() == {first, second, orphan}
    monkeypatch.setattr(outgoing_files, "YOUNG", 0.0)
    assert settle(session)
    assert left() == {first, second}
    outbox.sent(1, "3EB0", 2.0)
    outbox.end(2, "failed", "no", 2.0)
    assert settle(session)
    assert left() == set()


def test_the_row_has_the_name_of_the_copy_and_not_the_bytes(outbox: Outbox):
    letter = outbox.queue("a", "1@lid", Reply(data=b"x" * 1000, name="b.pdf"), 1.0, kept="f" * 32)
    assert (letter.kept, letter.reply) == ("f" * 32, Reply(name="b.pdf"))
    assert outbox.holds("a")
    assert not outbox.holds("b")
    forged = outbox.queue("b", "1@lid", Reply('","kept":"' + "e" * 32), 1.0)
    assert forged.kept == ""
    assert outbox.kept() == {"f" * 32, ""}
