from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.acceptance
def test_the_demo_tells_its_story_to_the_end() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools/demo.py"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n  ok  ") == 6
