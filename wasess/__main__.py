"""`wasess` and `python -m wasess`."""

from __future__ import annotations

import io
import os
import signal
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C while modules load: quietly gone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name need not be text, and is said nevertheless; a closed stream is None
            stream.reconfigure(errors="backslashreplace")
    from wasess.cli import uncaught  # noqa: PLC0415 - the umask comes before anything that could open a file
    from wasess.cli.app import run  # noqa: PLC0415 - as above

    uncaught.install()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
