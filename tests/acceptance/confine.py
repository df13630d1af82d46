"""Becomes a command under the restrictions of a systemd unit, with the kernel's own means, as systemd itself would.

Run as ``confine.py UNIT WORDS...``. A setting that it neither carries out nor leaves out for a reason is refused, so that a unit can't
gain one that was never tried. It works as root and, where user namespaces are free, as anybody.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from unit_file import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ALLOW = 0x7FFF0000  # SCMP_ACT_ALLOW
NOT_EQUAL, EQUAL, AT_LEAST, MASKED_EQUAL = 1, 4, 5, 7  # SCMP_CMP_…
ALL_FAMILIES = range(46)
NAMESPACES = {"ipc": 0x08000000, "net": 0x40000000, "mnt": 0x00020000, "pid": 0x20000000, "user": 0x10000000, "uts": 0x04000000}
BIND, MOVE, RECURSIVE, PRIVATE = 4096, 8192, 16384, 1 << 18
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, READ_ONLY = 442, -100, 0x8000, 1
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

# What is true without doing anything, or would need what no test has.
LEFT_OUT = {
    "AmbientCapabilities": "there are none",
    "CapabilityBoundingSet": "part of PrivateUsers here",
    "KeyringMode": "wasess keeps no keys in the kernel",
    "LimitCORE": "a limit, not a right",
    "LimitNOFILE": "a limit, not a right",
    "ProtectClock": "without capabilities there is no way to it",
    "ProtectControlGroups": "read-only with the rest",
    "ProtectHome": "the interpreter of a test may be there",
    "ProtectKernelLogs": "without capabilities there is no way to them",
    "ProtectKernelModules": "without capabilities there is no way to them",
    "PrivateTmp": "the home of a test is there",
    "RemoveIPC": "happens after the end",
    "RestrictSUIDSGID": "wasess sets no modes but 0600 and 0700",
    "SystemCallArchitectures": "libseccomp's own default",
    "SystemCallErrorNumber": "always EPERM here",
    "UMask": "set by the caller",
    "NoNewPrivileges": "libseccomp's own default",
    "PrivateIPC": "part of PrivateUsers here",
    "PrivateMounts": "part of PrivateUsers here",
    "ProtectHostname": "part of PrivateUsers here",
    "ProtectKernelTunables": "part of ProtectSystem here",
    "ReadWritePaths": "part of ProtectSystem here",
}


class _Comparison(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("kind", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


_c = ctypes.CDLL(None, use_errno=True)
_seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
_seccomp.seccomp_init.restype = ctypes.c_void_p
_seccomp.seccomp_load.argtypes = (ctypes.c_void_p,)
_seccomp.seccomp_rule_add_array.argtypes = (
    *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
    ctypes.POINTER(_Comparison),
)


class Filter:
    """Rules about system calls, with what happens to all others."""

    def __init__(self, otherwise: int) -> None:
        self._context = _seccomp.seccomp_init(ctypes.c_uint32(otherwise))
        assert self._context

    def add(self, action: int, call: str, *comparisons: tuple[int, int, int, int]) -> None:
        """A rule for a call, if its arguments compare so; none for a call that this machine does not have."""
        number = _seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            array = (_Comparison * max(1, len(comparisons)))(*(_Comparison(*one) for one in comparisons))
            assert _seccomp.seccomp_rule_add_array(self._context, action, number, len(comparisons), array) == 0, (call, comparisons)

    def load(self) -> None:
        """From now on, for ever."""
        assert _seccomp.seccomp_load(self._context) == 0


def refuse(number: int) -> int:
    """The action of a call that fails with this errno."""
    return 0x00050000 | number


@cache
def groups() -> dict[str, list[str]]:
    """systemd's groups of system calls."""
    found: dict[str, list[str]] = {}
    said = subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True, check=True).stdout
    name = ""
    for text in said.splitlines():
        if text.startswith("@"):
            name = text.strip()
            found[name] = []
        elif text.startswith("    ") and not text.strip().startswith("#"):
            found[name].append(text.strip())
    return found


def calls(names: Iterable[str]) -> set[str]:
    """The system calls that a list of calls and groups stands for."""
    return {call for name in names for call in (calls(groups()[name]) if name.startswith("@") else [name])}


def allowed_calls(values: list[str]) -> set[str]:
    """What several ``SystemCallFilter=`` lines come to: the first allows, one with ``~`` takes away."""
    found: set[str] = set()
    for value in values:
        listed = calls(value.removeprefix("~").split())
        found = found - listed if value.startswith("~") else found | listed
    return found | calls(["@default"])


def system_call_filter(values: list[str]) -> None:
    rules = Filter(refuse(errno.EPERM))
    for call in allowed_calls(values):
        rules.add(ALLOW, call)
    rules.load()


def address_families(values: list[str]) -> None:
    import socket  # noqa: PLC0415 - only here

    wanted = {getattr(socket, name) for name in values[-1].split()}
    rules = Filter(ALLOW)
    for family in set(ALL_FAMILIES) - wanted:
        rules.add(refuse(errno.EAFNOSUPPORT), "socket", (0, EQUAL, family, 0))
    rules.add(refuse(errno.EAFNOSUPPORT), "socket", (0, AT_LEAST, ALL_FAMILIES.stop, 0))
    rules.load()


def namespaces(_values: list[str]) -> None:
    rules = Filter(ALLOW)
    for flag in NAMESPACES.values():
        rules.add(refuse(errno.EPERM), "clone", (0, MASKED_EQUAL, flag, flag))
        rules.add(refuse(errno.EPERM), "unshare", (0, MASKED_EQUAL, flag, flag))
    rules.add(refuse(errno.ENOSYS), "clone3")  # its flags are out of a filter's sight
    rules.add(refuse(errno.EPERM), "setns")
    rules.load()


def write_or_execute(_values: list[str]) -> None:
    rules = Filter(ALLOW)
    rules.add(refuse(errno.EPERM), "mmap", (2, MASKED_EQUAL, 6, 6))
    rules.add(refuse(errno.EPERM), "mprotect", (2, MASKED_EQUAL, 4, 4))
    rules.add(refuse(errno.EPERM), "pkey_mprotect", (2, MASKED_EQUAL, 4, 4))
    rules.add(refuse(errno.EPERM), "shmat", (2, MASKED_EQUAL, 0o100000, 0o100000))
    rules.load()
    _c.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, which newer systemd uses; Linux 6.3


def realtime(_values: list[str]) -> None:
    rules = Filter(ALLOW)
    for policy in (1, 2, 6):  # FIFO, RR, DEADLINE
        rules.add(refuse(errno.EPERM), "sched_setscheduler", (1, EQUAL, policy, 0))
    rules.load()


def personality(_values: list[str]) -> None:
    rules = Filter(ALLOW)
    rules.add(refuse(errno.EPERM), "personality", (0, NOT_EQUAL, 0, 0))
    rules.load()


def own_accounts(_values: list[str]) -> None:
    """A user namespace with this account alone, and beside it namespaces of what belongs to the machine."""
    user, group = os.getuid(), os.getgid()
    flags = NAMESPACES["user"] | NAMESPACES["mnt"] | NAMESPACES["ipc"] | NAMESPACES["uts"]
    _checked(_c.unshare(flags))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount(None, "/", RECURSIVE | PRIVATE)


def own_devices(_values: list[str]) -> None:
    """A /dev with nothing of the machine's."""
    folder = Path(tempfile.mkdtemp())
    _mount("tmpfs", str(folder), 0, "tmpfs")
    for name in DEVICES:
        (folder / name).touch()
        _mount(f"/dev/{name}", str(folder / name), BIND)
    (folder / "shm").mkdir()
    _mount("/dev/shm", str(folder / "shm"), BIND)  # noqa: S108 - where it is
    _mount(str(folder), "/dev", MOVE)
    folder.rmdir()


def read_only_system(_values: list[str], writable: list[str]) -> None:
    """Everything but /dev, /proc and what the unit names."""
    for path in writable:
        _mount(path, path, BIND | RECURSIVE)
    _mount("/proc/sys", "/proc/sys", BIND)
    _set_read_only("/", wanted=True)
    for path in (*writable, "/proc", "/dev"):
        _set_read_only(path, wanted=False)
    _set_read_only("/proc/sys", wanted=True)


def no_capabilities() -> None:
    """None now, and none that a program could bring."""
    for number in range(64):
        _c.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _checked(_c.capset(header, (ctypes.c_uint32 * 6)()))


# In this order: a filter may forbid what the next step needs, and systemd's order is the same.
CARRIED_OUT: dict[str, Callable[[list[str]], None]] = {
    "PrivateUsers": own_accounts,
    "PrivateDevices": own_devices,
    "ProtectSystem": lambda _values: None,  # with the paths to leave writable, see `confine`
    "RestrictAddressFamilies": address_families,
    "RestrictRealtime": realtime,
    "MemoryDenyWriteExecute": write_or_execute,
    "LockPersonality": personality,
    "RestrictNamespaces": namespaces,
    "SystemCallFilter": system_call_filter,
}
ABOUT_RIGHTS = (
    "Protect",
    "Private",
    "Restrict",
    "SystemCall",
    "Capability",
    "Ambient",
    "Lock",
    "Memory",
    "NoNew",
    "Remove",
    "Keyring",
    "UMask",
)
ABOUT_AMOUNTS = ("MemoryMax",)


def confine(service: dict[str, list[str]]) -> None:
    """Put this process under the restrictions of a ``[Service]`` section. Raises `AssertionError` for one that was never thought of."""
    settings = {name: values for name, values in service.items() if name.startswith(ABOUT_RIGHTS) and name not in ABOUT_AMOUNTS}
    assert settings.keys() <= CARRIED_OUT.keys() | LEFT_OUT.keys(), settings.keys() - CARRIED_OUT.keys() - LEFT_OUT.keys()
    groups()  # a program that is run now, and not when nothing can be run
    for name in [one for one in CARRIED_OUT if one in settings]:
        if name == "ProtectSystem":
            read_only_system(settings[name], service["ReadWritePaths"])
            no_capabilities()
        CARRIED_OUT[name](settings[name])


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(source: str | None, target: str, flags: int, kind: str | None = None) -> None:
    encoded = [text.encode() if text else None for text in (source, target, kind)]
    _checked(_c.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), None))


def _set_read_only(path: str, *, wanted: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY if wanted else 0, 0 if wanted else READ_ONLY, 0, 0)
    flags = AT_RECURSIVE if wanted else 0
    _checked(_c.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, attributes, ctypes.sizeof(attributes)))


def main() -> None:
    assert platform.system() == "Linux"
    confine(Unit(Path(sys.argv[1]).read_text()).service)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is the point


if __name__ == "__main__":
    main()
