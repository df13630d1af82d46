from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from unit_file import Unit, split

from wasess.cli import units
from wasess.cli.app import app, run
from wasess.errors import UsageError

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
UNITS = [units.MANAGER, units.VERIFY, units.TIMER]
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WASESS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.py").write_text("def reply(text): ...\n")
    return tmp_path


def program(folder, name="wasess"):
    """Something that systemd takes for a program."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def plan(**changes):
    return units.Plan(**{"command": ("/opt/wasess/bin/wasess",), **changes})


def service(**changes):
    return Unit(units.manager_unit(plan(**changes))).service


def analyze(*arguments):
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(Path.cwd())}  # --user asks for one
    done = subprocess.run(["systemd-analyze", *map(str, arguments)], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def write(folder, plan):
    for name, text in units.files(plan).items():
        (folder / name).write_text(text)
    return [folder / name for name in UNITS]


@pytest.mark.parametrize("own", [False, True], ids=["system", "user"])
@pytest.mark.parametrize("name", ["wasess", "of mine/50% $HOME ä;/wasess"])
def test_systemd_finds_nothing_wrong(folder, own, name):
    changes = {"run_as": ""} if own else {}
    made = plan(
        command=(program(folder, name),),
        home=f"{folder}/the \"h\\ome' 100%",
        bot=f"{folder}/a bot's $%.py:reply",
        memory=900,
        config=f"{folder}/a b%.toml",
        **changes,
    )
    assert analyze(*(["--user"] if own else []), "verify", *write(folder, made)) == (0, "")


def test_systemd_finds_something_wrong_when_there_is(folder):
    paths = write(folder, plan(command=(program(folder),)))
    paths[0].write_text(paths[0].read_text().replace("KillMode=mixed", "KillMode=mixed\nKillMood=mixed"))
    code, said = analyze("verify", *paths)
    assert "KillMood" in said
    (folder / "wasess").chmod(0o644)
    code, said = analyze("verify", *write(folder, plan(command=(str(folder / "wasess"),))))
    assert code != 0
    assert "is not executable" in said


def test_systemd_reads_the_program_as_it_was_written(folder):
    path = f"{folder}/of mine/50% $HOME %h ä;/wasess"
    _, said = analyze("verify", *write(folder, plan(command=(path,))))
    assert f"Command {path} is not executable" in said


def exposure(folder, text):
    (folder / "wasess.service").write_text(text)
    code, said = analyze("security", "--offline=true", "--threshold=20", folder / "wasess.service")
    assert code == 0, said
    return re.findall(r"Overall exposure level for wasess.service: (\d+\.\d)", said)[0]


def test_the_readme_names_the_exposure_that_systemd_finds(folder):
    (told,) = re.findall(r"exposure of (\d+\.\d)", README)
    assert exposure(folder, units.manager_unit(plan(bot="/var/lib/wasess/bot.py:reply"))) == told
    assert exposure(folder, units.verify_unit(plan())) == told


def test_what_is_printed_here_is_little_more_exposed(folder, capsys):
    assert run(["service"]) == 0
    assert float(exposure(folder, capsys.readouterr().out)) < 2


@given(st.lists(PRINTABLE, min_size=1, max_size=4))
def test_every_word_comes_back_from_a_command_line(words):
    line = units.command_line(("/bin/wasess", *words))
    assert split(line.removeprefix(":"), variables=not line.startswith(":")) == ["/bin/wasess", *words]
    assert "\n" not in line


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "a\tb", "\udcff", "\x1b[m"])
def test_what_no_unit_can_hold_is_refused(bad):
    for make in (units.manager_unit, units.verify_unit, units.crontab):
        for changes in ({"home": f"/{bad}/x"}, {"command": (f"/{bad}/wasess",)}):
            with pytest.raises(UsageError, match="can't be written"):
                make(plan(**changes))
    with pytest.raises(UsageError):
        units.manager_unit(plan(bot=f"/{bad}.py:reply"))


@pytest.mark.parametrize(
    "changes", [{"command": ("/a'b/wasess",)}, {"command": ('/a"b/wasess',)}, {"home": "/a\\/home"}, {"home": "/a /home"}]
)
def test_what_systemd_would_not_take_is_refused(changes):
    with pytest.raises(UsageError, match="can't be written"):
        units.manager_unit(plan(**changes))


def test_a_hung_manager_is_restarted_and_one_that_ends_too():
    told = service()
    for name, value in {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogSec": "60",
        "Restart": "always",
        "RestartSec": "2",
        "KillMode": "mixed",
        "TimeoutStopSec": "15",
        "UMask": "0077",
        "OOMPolicy": "continue",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
    }.items():
        assert told[name] == [value]
    assert Unit(units.manager_unit(plan())).sections["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert "RestartPreventExitStatus" not in told  # exit 2 is also a bot that could not be loaded yet


@pytest.mark.parametrize(
    ("changes", "peoples", "temporary"),
    [
        ({}, "yes", "yes"),
        ({"bot": "/home/anna/bot.py:reply"}, "read-only", "yes"),
        ({"command": ("/root/.local/bin/wasess",)}, "read-only", "yes"),
        ({"home": "/homes/x"}, "yes", "yes"),
        ({"reads": ("/home/anna/.pyenv/bin/python3",)}, "read-only", "yes"),
        ({"home": "/tmp/x"}, "yes", "no"),  # noqa: S108 - a name
        ({"bot": "/var/tmp/bot.py:reply"}, "yes", "no"),  # noqa: S108 - a name
    ],
)
def test_only_what_is_needed_of_peoples_folders_is_in_sight(changes, peoples, temporary):
    told = service(**changes)
    assert told["ProtectHome"] == [peoples]
    assert told["PrivateTmp"] == [temporary]


@pytest.mark.parametrize(
    ("home", "folders"),
    [
        ("/var/lib/wasess/auth_sessions", ["wasess wasess/auth_sessions"]),
        ("/var/lib/my bots/x", ['"my bots" "my bots/x"']),
        ("/srv/sessions", None),
        ("/var/lib", None),
        ("/var/libs/x", None),
    ],
)
def test_systemd_makes_a_home_below_var_lib(home, folders):
    assert service(home=home).get("StateDirectory") == folders


def test_an_account_with_other_programs_keeps_what_they_share():
    assert "RemoveIPC" in service()
    assert "RemoveIPC" not in service(run_as="anna")


def test_units_of_a_person_ask_for_nothing_that_takes_the_systems_rights():
    told = service(run_as="")
    assert not [name for name in told if name.startswith(("Protect", "Private", "Capability", "Ambient", "User", "State", "ReadWrite"))]
    assert told["SystemCallFilter"] == service()["SystemCallFilter"]
    assert Unit(units.manager_unit(plan(run_as=""))).sections["Install"] == {"WantedBy": ["default.target"]}


def test_a_sessions_process_is_not_hidden_from_the_manager():
    # A worker is not dumpable, so hidepid=2 would hide it from its own account, and no manager would see that it has grown too large.
    assert not service().keys() & {"ProtectProc", "ProcSubset"}


def test_memory_language_and_settings_are_passed_on():
    assert service(memory=900)["MemoryMax"] == ["900M"]
    assert "MemoryMax" not in service()
    assert service(lang="es", config="/etc/wasess.toml")["Environment"] == ["WASESS_LANG=es", "WASESS_CONFIG=/etc/wasess.toml"]


def test_the_options_reach_the_unit(folder, capsys):
    (folder / "set.toml").write_text("[serve]\npresence = 'quiet'\n")
    options = ["--bot", "bot.py:reply", "--home", "sessions", "--run-as", "anna", "--memory", "900"]
    assert run(["--config", "set.toml", "service", *options, "--lang", "es"]) == 0
    unit = Unit(capsys.readouterr().out)
    assert unit.command[-5:] == ["serve", "--home", f"{folder}/sessions", "--bot", f"{folder}/bot.py:reply"]
    assert Path(unit.command[0]).is_absolute()
    assert unit.one("User") == "anna"
    assert unit.one("MemoryMax") == "900M"
    assert unit.one("WorkingDirectory") == f"-{folder}"
    assert unit.service["Environment"] == ["WASESS_LANG=es", f"WASESS_CONFIG={folder}/set.toml"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "there is no 'nope' to print"),
        (["--bot", "nope.py:reply"], "there is no bot"),
        (["--bot", "bot.py"], "there is no bot"),
        (["--run-as", "an na"], "no name of an account"),
        (["--run-as", "anna\nExecStartPre=x"], "no name of an account"),
        (["--user", "--run-as", "anna"], "runs as yourself"),
        (["timer", "--install", "--directory", "x"], "all units at once"),
        (["--install", "--directory", "x", "--ping", "ftp://x"], "--ping wants an address"),
        (["--install", "--directory", "x", "--ping", "https://"], "--ping wants an address"),
        (["--install", "--directory", "x", "--ping", "https://x/a'b"], "--ping wants an address"),
        (["--install", "--directory", "x", "--ping", 'https://x"\nWASESS_BOT=y'], "--ping wants an address"),
    ],
)
def test_a_wrong_command_line_writes_nothing(folder, capsys, arguments, says):
    assert run(["service", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (folder / "x").exists()


def install(folder, *options):
    return run(["service", "--install", "--directory", str(folder / "units"), *options])


def test_installing_writes_what_is_printed_and_says_what_to_type(folder, capsys):
    assert install(folder) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"{folder}/units/{name} written" for name in UNITS]
    assert "systemctl daemon-reload && systemctl enable --now wasess.service wasess-verify.timer" in told.err
    for name, what in zip(UNITS, ("manager", "verify", "timer"), strict=True):
        path = folder / "units" / name
        assert path.stat().st_mode & 0o777 == 0o644
        assert run(["service", what, "--directory", str(folder / "units")]) == 0
        assert path.read_text() == capsys.readouterr().out
    assert analyze("verify", *(folder / "units" / name for name in UNITS)) == (0, "")


def test_installing_again_changes_nothing_and_never_what_is_another(folder, capsys):
    assert install(folder) == 0
    times = [(folder / "units" / name).stat().st_mtime_ns for name in UNITS]
    assert install(folder) == 0
    assert [(folder / "units" / name).stat().st_mtime_ns for name in UNITS] == times
    assert "was as it should be" in capsys.readouterr().out
    (folder / "units" / units.TIMER).write_text("mine\n")
    assert install(folder, "--memory", "900") == 2
    assert "differs; nothing was changed" in capsys.readouterr().err
    assert (folder / "units" / units.TIMER).read_text() == "mine\n"
    assert "MemoryMax" not in (folder / "units" / units.MANAGER).read_text()
    assert install(folder, "--memory", "900", "--force") == 0
    assert "MemoryMax=900M" in (folder / "units" / units.MANAGER).read_text()
    assert "minutely" in (folder / "units" / units.TIMER).read_text()


def test_a_masked_unit_stays_masked_unless_forced(folder, capsys):
    (folder / "units").mkdir()
    masked = folder / "units" / units.MANAGER
    masked.symlink_to(os.devnull)
    assert install(folder) == 2
    assert masked.is_symlink()
    assert install(folder, "--force") == 0
    assert not masked.is_symlink()
    assert "ExecStart" in masked.read_text()


def test_an_address_to_ping_is_nobody_elses_business(folder, capsys):
    secret = "https://hc.example/b7e1?x=1&y=%20$z"
    assert install(folder, "--ping", secret) == 0
    file = folder / "units" / units.PING
    assert file.stat().st_mode & 0o777 == 0o600
    name = next(option.envvar for option in get_command(app).get_command(None, "verify").params if option.name == "ping")
    assert file.read_text() == f'{name}="{secret}"\n'
    assert Unit((folder / "units" / units.VERIFY).read_text()).one("EnvironmentFile") == f"-{file}"
    assert not [path for path in (folder / "units").iterdir() if path != file and "hc.example" in path.read_text()]
    assert "hc.example" not in "".join(capsys.readouterr())


def test_only_root_installs_for_the_system(folder, capsys, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(["service", "--install"]) == 2
    told = capsys.readouterr().err
    assert "only root" in told
    assert re.search(r"next: sudo .*service --install", told)


def test_installing_for_oneself_needs_no_root(folder, capsys, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    assert run(["service", "--install", "--user", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["data"]
    assert document["written"] == [f"{folder}/config/systemd/user/{name}" for name in UNITS]
    assert document["next"][0] == "systemctl --user daemon-reload"
    unit = Unit(Path(document["written"][0]).read_text())
    assert unit.command[-1] == f"{folder}/auth_sessions"
    assert "User" not in unit.service


def test_a_folder_that_can_not_be_written_is_named(folder, capsys):
    (folder / "units").write_text("a file")
    assert install(folder) == 1
    told = capsys.readouterr().err
    assert f"{folder}/units" in told
    assert "next: wasess service --install --directory DIR" in told


def test_an_account_and_a_home_that_are_missing_are_made_first(folder, capsys):
    assert install(folder, "--run-as", "nobody-of-this-name", "--home", str(folder / "the home"), "--json") == 0
    first, second, *_ = json.loads(capsys.readouterr().out)["data"]["next"]
    assert first == "useradd --system --shell /usr/sbin/nologin --home-dir /var/lib/wasess nobody-of-this-name"
    assert second == f"install --directory --mode=700 --owner=nobody-of-this-name '{folder}/the home'"


def test_a_crontab_has_no_bare_percent_and_one_line_a_job():
    text = units.crontab(plan(home="/srv/50% off", bot="/srv/a b.py:reply"))
    jobs = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(jobs) == 2
    assert all(job.startswith("* * * * * ") for job in jobs)
    assert not re.search(r"(?<!\\)%", text)


def test_what_the_readme_types_installs_the_units_and_starts_them(folder, capsys):
    typed = [line.removeprefix("$ sudo ") for line in README.splitlines() if line.startswith("$ sudo ")]
    (install,) = [line for line in typed if "--install" in line]
    (folder / "opt").mkdir()
    (folder / "bot.py").rename(folder / "opt" / "bot.py")
    arguments = install.replace("/opt/wasess/bot.py", str(folder / "opt" / "bot.py")).split()
    assert arguments[0] == "/opt/wasess/bin/wasess"
    assert run([*arguments[1:], "--directory", str(folder / "units"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["data"]
    assert set(document["next"]) <= set(typed) | {line for line in document["next"] if line.startswith("useradd")}
    unit = Unit((folder / "units" / units.MANAGER).read_text())
    (connect,) = [line.split() for line in typed if " connect " in line]
    assert connect[:2] == ["-u", unit.one("User")]
    assert unit.command[unit.command.index("--home") + 1] == connect[-1]
    assert f"--home-dir {Path(connect[-1]).parent} {unit.one('User')}" in next(line for line in typed if line.startswith("useradd"))
    assert "systemctl restart wasess" in typed
