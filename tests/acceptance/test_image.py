"""The Dockerfile, without docker: what it copies makes a whole package, what it pins is what is tested, and its commands work."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from homes import House

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile in order, each with the rest of its line."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
    return [(word, rest.strip()) for line in text.splitlines() if line.strip() for word, _, rest in [line.partition(" ")]]


def final() -> dict[str, list[str]]:
    """The instructions of the image itself, after the last FROM."""
    listed = instructions()
    last = max(place for place, (word, _) in enumerate(listed) if word == "FROM")
    found: dict[str, list[str]] = {}
    for word, rest in listed[last:]:
        found.setdefault(word, []).append(rest)
    return found


def health() -> tuple[dict[str, str], list[str]]:
    """The options of HEALTHCHECK and its command."""
    options, _, command = final()["HEALTHCHECK"][0].partition(" CMD ")
    return dict(re.findall(r"--([a-z-]+)=(\S+)", options)), json.loads(command)


def let_in(path: str) -> bool:
    """Whether a file of ours gets to docker at all (.dockerignore: the last line that fits decides)."""
    allowed = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#"):
            parts = path.split("/")
            heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
            if any(fnmatch.fnmatch(one, pattern) for one in (parts if "**/" in line else heads)):
                allowed = line.startswith("!")
    return allowed


def test_no_session_gets_into_an_image():
    for path in (
        "auth_sessions/shop/device.db",
        ".sandbox/x",
        ".git/config",
        "wasess.toml",
        "requirements/dev.txt",
        "wasess/cli/__pycache__/a.pyc",
    ):
        assert not let_in(path), path
    for path in ("wasess/cli/app.py", "pyproject.toml", "requirements/run.txt", "README.md", "LICENSE"):
        assert let_in(path), path


def test_what_is_copied_makes_a_whole_package(tmp_path):
    copied = [source for word, rest in instructions() if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for path in tracked:
        if let_in(path) and any(path == source or path.startswith(f"{source}/") for source in copied) and (ROOT / path).exists():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    (build,) = [rest for word, rest in instructions() if word == "RUN" and "pip wheel" in rest]
    arguments = build.split("&&", maxsplit=1)[0].split()
    assert arguments[:2] == ["pip", "wheel"]
    subprocess.run([sys.executable, "-m", *arguments], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("wasess/")}
    assert packed == {str(path.relative_to(tmp_path)) for path in (tmp_path / "wasess").rglob("*") if path.is_file()}


def test_what_is_installed_is_what_is_tested():
    pins = {
        name: set(re.findall(r"^(\S+==\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
        for name in ("dev", "run", "build")
    }
    assert pins["run"]
    assert pins["run"] | pins["build"] <= pins["dev"]
    needed = {re.split(r"[><=]", line, maxsplit=1)[0] for line in _dependencies()}
    assert needed <= {pin.split("==")[0] for pin in pins["run"]}
    for name in ("run", "build"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        assert len(re.findall(r"^\S+==\S+.* \\\n    --hash=sha256:", text, re.MULTILINE)) == len(re.findall(r"^\S+==", text, re.MULTILINE))
        assert any(f"--require-hashes -r requirements/{name}.txt" in rest for word, rest in instructions() if word == "RUN")
    installs = [part for word, rest in instructions() if word == "RUN" for part in rest.split("&&") if "pip install" in part]
    assert all("--require-hashes" in part or "--no-deps dist/" in part for part in installs)


def _dependencies() -> list[str]:
    import tomllib  # noqa: PLC0415 - only here

    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])


def test_the_image_is_small_private_and_ends_gently():
    image = final()
    assert image["FROM"] == ["python:3.12-slim"]  # glibc
    assert image["USER"] == ["wasess"]
    assert image["STOPSIGNAL"] == ["SIGTERM"]
    (volume,) = json.loads(image["VOLUME"][0])
    assert f"WASESS_HOME={volume}" in image["ENV"]
    assert any("--mode=700 --owner=wasess" in rest and volume in rest for rest in image["RUN"])
    words = [word for word, _ in instructions()]
    assert words.index("VOLUME") > max(place for place, word in enumerate(words) if word == "RUN")  # a later RUN would not reach the volume
    (run,) = [line for line in README.splitlines() if line.startswith("$ docker run ")]
    assert f"-v wasess:{volume} " in run
    assert "--stop-timeout 15" in run


async def test_the_commands_of_the_image_keep_a_session_and_say_when_it_is_well(tmp_path):
    command = json.loads(final()["CMD"][0])
    options, check = health()
    assert command[0] == check[0] == "wasess"
    assert int(options["start-period"].removesuffix("s")) >= 60
    async with House(tmp_path) as house:
        await house.link("alice")
        checking = await house.run(*check[1:])
        assert await checking.over() == 8
        serving = await house.run(*command[1:])
        await house.online(serving, "alice")
        checking = await house.run(*check[1:])
        assert await checking.over() == 0, checking.text
        assert not checking.text
        house.box.unlink("alice")
        await serving.said("alice: logged out")
        checking = await house.run(*check[1:])
        assert await checking.over() == 4, checking.text
        serving.signal(signal.Signals[final()["STOPSIGNAL"][0]])
        assert await serving.over(15) == 0
