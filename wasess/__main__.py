"""`wasess` and `python -m wasess`."""

from __future__ import annotations

import io
import os
import resource
import signal
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    os.umask(0o077)
    # A core file would hold messages and keys. Only the soft limit: a bot may raise its own again.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _open_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C while modules load: quietly gone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name need not be text, and is said nevertheless; a closed stream is None
            stream.reconfigure(errors="backslashreplace")
    from wasess.cli import uncaught  # noqa: PLC0415 - the umask comes before anything that could open a file
    from wasess.cli.app import run  # noqa: PLC0415 - as above

    uncaught.install()
    sys.exit(run(sys.argv[1:]))


def _open_standard_streams() -> None:
    """Give a command that was started without stdin, stdout or stderr an empty one.

    The next file that is opened would take the number: a home's lock as stderr, and as that of each bot.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - the function's own signature
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))


if __name__ == "__main__":
    main()
