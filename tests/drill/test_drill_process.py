from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

from wasess.drill.process import stands_still, until

BUSY = """
import threading
def spin():
    while True:
        pass
for _ in range(3):
    threading.Thread(target=spin, daemon=True).start()
print("busy", flush=True)
threading.Event().wait()
"""


def test_a_process_stands_still_when_all_its_threads_do_and_when_it_is_gone():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "busy\n"
            assert not stands_still(process.pid)
            process.send_signal(signal.SIGSTOP)
            asyncio.run(until(lambda: stands_still(process.pid), "it stood still", 10))
            process.send_signal(signal.SIGCONT)
            asyncio.run(until(lambda: not stands_still(process.pid), "it went on", 10))
        finally:
            process.kill()
    assert stands_still(process.pid)
