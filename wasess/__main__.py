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
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C while modules load: quietly gone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name need not be text, and is said nevertheless; a closed stream is None
            stream.reconfigure(errors="backslashreplace")
    from wasess.cli.app import run  # noqa: PLC0415 - the umask comes before anything that could open a file

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
