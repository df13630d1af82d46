"""What `wasess serve` says about the options of a webhook, and which paths of it other commands know."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from wasess.cli.app import run
from wasess.cli.bots import WebhookOptions, chosen_bot
from wasess.delivery.webhook_spec import WebhookSpec
from wasess.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://bot.example.com/in"


@pytest.fixture(name="secret")
def make_secret(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "files").mkdir()
    (tmp_path / "secret").write_text(SECRET)
    return tmp_path / "secret"


def test_a_webhook_may_name_files_and_write_elsewhere_only_when_told_so(secret: Path):
    files, home = secret.with_name("files"), secret.with_name("home")
    careful = chosen_bot("", "", WebhookOptions(URL, secret, (), None, may_write=False), home)
    free = chosen_bot("", "", WebhookOptions(URL, secret, (), files, may_write=True), home)
    assert isinstance(careful, WebhookSpec)
    assert isinstance(free, WebhookSpec)
    assert (careful.files, careful.may_write, free.files, free.may_write) == (None, False, files, True)


def test_these_options_belong_to_a_webhook(secret: Path):
    for options in (
        WebhookOptions("", secret, (), None, may_write=False),
        WebhookOptions("", None, ("10.0.0.0/8",), None, may_write=False),
        WebhookOptions("", None, (), secret.parent, may_write=False),
        WebhookOptions("", None, (), None, may_write=True),
    ):
        with pytest.raises(UsageError, match="belong to --webhook"):
            chosen_bot("", "", options, secret.with_name("home"))


@pytest.mark.parametrize("folder", ["home", "home/shop/media", "link"])
def test_the_home_is_no_folder_of_files(secret: Path, folder: str):
    (secret.parent / "home/shop/media").mkdir(parents=True)
    (secret.parent / "link").symlink_to("home/shop")
    with pytest.raises(UsageError, match="nothing in there is ever sent"):
        chosen_bot("", "", WebhookOptions(URL, secret, (), secret.parent / folder, may_write=False), secret.with_name("home"))


@pytest.mark.parametrize("variable", ["", "WASESS_WEBHOOK_SECRET_FILE", "WASESS_WEBHOOK_FILES", "wasess.toml"])
def test_a_unit_does_not_hide_what_the_settings_name(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """With a /tmp of its own, the manager would not see it."""
    for name in [name for name in os.environ if name.startswith("WASESS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir("/")
    options: list[str] = []
    if variable == "wasess.toml":
        (tmp_path / variable).write_text('[serve]\nwebhook-files = "files"\n')
        options = ["--config", str(tmp_path / variable)]
    elif variable:
        monkeypatch.setenv(variable, "/tmp/elsewhere")  # noqa: S108 - a name to compare with
    assert run([*options, "service", "manager", "--home", "/var/lib/wasess/auth_sessions"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PrivateTmp=")]
    lies_there = sys.executable.startswith(("/tmp/", "/var/tmp/"))  # noqa: S108 - a checkout may be anywhere, and the program is named, too
    assert told == ["PrivateTmp=no" if variable or lies_there else "PrivateTmp=yes"]
