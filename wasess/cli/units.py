"""The texts of the files that keep wasess running: systemd's units, and a crontab. Pure.

What a unit holds back from the manager is as much as it and its sessions do without. Three settings that one would look for are missing
on purpose; the unit says so, with the reason, because a person who adds them would not see what breaks.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from wasess.cli.switch import require_address
from wasess.errors import UsageError
from wasess.words import _

SYSTEM_FOLDER = "/etc/systemd/system"
SYSTEM_HOME = "/var/lib/wasess/auth_sessions"
ACCOUNT = "wasess"
MANAGER, VERIFY, TIMER = "wasess.service", "wasess-verify.service", "wasess-verify.timer"
SETTINGS, PING = "wasess.env", "wasess-verify.env"

_STATE_FOLDER = PurePosixPath("/var/lib")
_PEOPLES_FOLDERS = ("/home", "/root", "/run/user")
_TEMPORARY_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108 - names to compare with
_PLAIN = re.compile(r"[A-Za-z0-9_./:=@+,%-]+")
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}\$?")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the files are about. Every path is absolute.

    ``command``: the words that run wasess. ``bot``: ``FILE.py:FUNCTION``, empty for none. ``run_as``: the account, empty for units of a
    person's own systemd (``systemctl --user``). ``memory``: MiB for all processes together, 0 for no limit. ``reads``: what else the
    processes read, the interpreter for one. ``folder``: where the units will be; the files with what is secret are beside them.
    ``config``: the file of settings, empty for the ``wasess.toml`` that may be beside the bot, or else beside the home.
    """

    command: tuple[str, ...]
    home: str = SYSTEM_HOME
    bot: str = ""
    run_as: str = ACCOUNT
    lang: str = "en"
    memory: int = 0
    reads: tuple[str, ...] = ()
    folder: str = SYSTEM_FOLDER
    config: str = ""

    @property
    def workplace(self) -> str:
        """The working directory."""
        return str(PurePosixPath(self.bot or self.home).parent)

    @property
    def environment(self) -> tuple[str, ...]:
        """The variables that are no secret, as ``NAME=value``."""
        return (f"WASESS_LANG={self.lang}", *([f"WASESS_CONFIG={self.config}"] if self.config else []))


def manager_unit(plan: Plan) -> str:
    """Return the unit of `wasess serve`."""
    bot = ("--bot", plan.bot) if plan.bot else ()
    limit = [f"MemoryMax={plan.memory}M"] if plan.memory else []
    return _text(
        "# Made by: wasess service. Change it with: systemctl edit wasess",
        "[Unit]",
        "Description=WhatsApp sessions kept by wasess",
        *_after_network(plan),
        "# Always try again: what keeps it from starting (a bot whose database is not up yet, a full disk) may be over in a minute.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={command_line((*plan.command, 'serve', '--home', plan.home, *bot))}",
        *_surroundings(plan, SETTINGS),
        "Restart=always",
        "RestartSec=2",
        "# The bot may take 60 s to load, the sessions 10 s to come up.",
        "TimeoutStartSec=120",
        "# A manager that hangs is killed: an abort would only leave its dump behind.",
        "WatchdogSec=60",
        "WatchdogSignal=SIGKILL",
        "# SIGTERM goes to the manager alone: it drains its sessions, and is gone within 10 s.",
        "KillMode=mixed",
        "TimeoutStopSec=15",
        "# One session's process that runs out of memory is replaced by the manager; the others stay.",
        "OOMPolicy=continue",
        *limit,
        "# For 200 sessions: a process with about ten threads and twenty files each.",
        "TasksMax=8192",
        "LimitNOFILE=65536",
        "",
        *_hardening(plan),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if plan.run_as else 'default.target'}",
    )


def verify_unit(plan: Plan) -> str:
    """Return the unit that looks once whether all sessions are well; `verify_timer` starts it."""
    return _text(
        "# Made by: wasess service. It fails while a session is not well: systemctl status wasess-verify",
        "[Unit]",
        "Description=Whether the WhatsApp sessions kept by wasess are well",
        *_after_network(plan),
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={command_line((*plan.command, 'verify', '--all', '--home', plan.home))}",
        "# WASESS_PING=URL, for one: an address with a secret in it is not for a command line.",
        *_surroundings(plan, PING),
        "TimeoutStartSec=50",
        "# In the journal: what is wrong, and not each minute that nothing is.",
        "SyslogLevel=warning",
        "LogLevelMax=notice",
        "",
        *_hardening(plan),
    )


def verify_timer() -> str:
    """Return the timer that starts `verify_unit` each minute."""
    return _text(
        "# Made by: wasess service",
        "[Unit]",
        "Description=Look each minute whether the WhatsApp sessions are well",
        "",
        "[Timer]",
        "OnCalendar=minutely",
        "AccuracySec=5s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    )


def crontab(plan: Plan) -> str:
    """Return lines for ``crontab -e`` on a machine without systemd: cron starts the manager when there is none, and mails what is wrong."""
    bot = ("--bot", plan.bot) if plan.bot else ()
    serve = _cron_words((*plan.command, "serve", "--home", plan.home, *bot))
    verify = _cron_words((*plan.command, "verify", "--all", "--home", plan.home))
    environment, place = _cron_words(("env", *plan.environment)), _cron_words(("cd", plan.workplace))
    lock, log = _cron_words((f"{plan.home}.cron",)), _cron_words((f"{plan.home}.log",))
    return _text(
        "# Made by: wasess service cron. Each minute: a manager, if there is none, and a mail from cron about what is not well.",
        f"* * * * * umask 077; {place} && {environment} flock -n {lock} {serve} >>{log} 2>&1",
        f"* * * * * {place} && {environment} {verify}",
    )


def files(plan: Plan) -> dict[str, str]:
    """Return the units by their file names."""
    return {MANAGER: manager_unit(plan), VERIFY: verify_unit(plan), TIMER: verify_timer()}


def ping_file(url: str) -> str:
    """Return the file of `PING`, for the owner's eyes only. Raises `errors.UsageError` for an address that it can't hold."""
    require_address(url)
    if set(url) & set("\"'\\"):
        raise UsageError(_("--ping wants an address that begins with https:// or http://"), hint="--ping https://…")
    return f'WASESS_PING="{url}"\n'


def command_line(words: tuple[str, ...]) -> str:
    """Return ``ExecStart=``'s value for these words (systemd.service(5), command lines). Raises `errors.UsageError`, see `word`."""
    if set(words[0]) & set("\"'\\"):  # systemd takes no such program, however it is written
        raise _unwritable(words[0])
    # A colon: what looks like a variable is none.
    return (":" if any("$" in one for one in words) else "") + " ".join(map(word, words))


def word(text: str) -> str:
    """Return one word of a unit file's list (systemd.syntax(7)). Raises `errors.UsageError` for what no unit file can hold."""
    _require_writable(text)
    text = text.replace("%", "%%")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def line(text: str) -> str:
    """Return a value that takes a whole line, quotes and all. Raises `errors.UsageError` for what no unit file can hold."""
    _require_writable(text)
    if text != text.strip() or text.endswith("\\"):
        raise _unwritable(text)
    return text.replace("%", "%%")


def state_folders(home: str) -> list[str]:
    """Return the folders below /var/lib that systemd makes for the account: each on the way to the home. Empty for a home elsewhere."""
    path = PurePosixPath(home)
    if _STATE_FOLDER not in path.parents:
        return []
    return [word(str(one.relative_to(_STATE_FOLDER))) for one in (*reversed(path.parents), path) if _STATE_FOLDER in one.parents]


def shell(words: tuple[str, ...]) -> str:
    """Return the words as a person types them."""
    return shlex.join(words)


def require_account(name: str) -> str:
    """Return an account's name. Raises `errors.UsageError` for what can be none."""
    if not _ACCOUNT_NAME.fullmatch(name):
        raise UsageError(_("{name!r} is no name of an account").format(name=name), hint="--run-as wasess")
    return name


def _require_writable(text: str) -> None:
    if not text.isprintable():  # a line break, for one, or bytes that are no text
        raise _unwritable(text)


def _unwritable(text: str) -> UsageError:
    return UsageError(_("{path!r} can't be written into a unit file").format(path=text), hint=_("use a path of plain characters"))


def _after_network(plan: Plan) -> list[str]:
    """A person's own systemd knows no network-online.target."""
    return ["Wants=network-online.target", "After=network-online.target"] if plan.run_as else []


def _surroundings(plan: Plan, environment: str) -> list[str]:
    """Who runs it, where, and with what environment."""
    state = state_folders(plan.home) if plan.run_as else []
    return [
        *([f"User={plan.run_as}"] if plan.run_as else []),
        *([f"StateDirectory={' '.join(state)}", "StateDirectoryMode=0700"] if state else []),
        f"WorkingDirectory=-{line(plan.workplace)}",
        *(f"Environment={word(one)}" for one in plan.environment),
        f"EnvironmentFile=-{line(f'{plan.folder}/{environment}')}",
        "UMask=0077",
    ]


def _hardening(plan: Plan) -> list[str]:
    """Everything else a process may do that wasess does not."""
    own = [*_OF_ITS_OWN, *([] if plan.run_as else _LEFT_TO_THE_SYSTEM)]
    return [*own, *_around(plan)] if plan.run_as else own


def _around(plan: Plan) -> list[str]:
    """What takes rights that only the system's systemd has: another view of the file system, of devices and of accounts."""
    reads = [plan.home, plan.bot, *plan.command, *plan.reads]
    peoples = "read-only" if any(_below(path, _PEOPLES_FOLDERS) for path in reads) else "yes"
    temporary = "no" if any(_below(path, _TEMPORARY_FOLDERS) for path in reads) else "yes"
    # An account with other programs would lose what these share when wasess stops.
    ipc = ["RemoveIPC=yes"] if plan.run_as == ACCOUNT else []
    return [
        "ProtectSystem=strict",
        f"ReadWritePaths={word(plan.home)}",
        f"ProtectHome={peoples}",
        f"PrivateTmp={temporary}",
        *ipc,
        *_AROUND,
    ]


def _below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _cron_words(words: tuple[str, ...]) -> str:
    """For a shell, and for cron, to which a bare % is a line break."""
    for one in words:
        _require_writable(one)
    return shlex.join(words).replace("%", "\\%")


def _text(*lines: str) -> str:
    return "\n".join(lines) + "\n"


# The kernel holds a process to these by itself, whoever starts it.
_OF_ITS_OWN = (
    "NoNewPrivileges=yes",
    "LimitCORE=0",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "# A bot that makes machine code as it runs (numba, node) needs a no here: systemctl edit wasess",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
    "KeyringMode=private",
)
_LEFT_TO_THE_SYSTEM = ("# A system unit (wasess service, without --user) also keeps the rest of the machine out of sight.",)
_AROUND = (
    "PrivateDevices=yes",
    "PrivateIPC=yes",
    "PrivateMounts=yes",
    "PrivateUsers=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "# Not here: ProtectProc=invisible. A session's process hides its memory from its own account, and would be hidden altogether:",
    "# the manager could not see any more that it has grown too large, or stands still.",
    "# Not here: ProcSubset=pid. It hides the boot id, which every lock names, and what a bot's libraries ask of the machine.",
)
