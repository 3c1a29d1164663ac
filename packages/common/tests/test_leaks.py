"""No operation leaves anything behind, however it ends: the table is operations.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENDURANCE = Path(__file__).with_name("endurance.py")
TIMES = os.environ.get("MQ_TEST_OPERATIONS", "300")


@pytest.mark.endurance
@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps what was freed"
)
def test_no_operation_leaks_references_memory_descriptors_or_queues():
    """Of each operation MQ_TEST_OPERATIONS calls, the dear ones fewer."""
    command = [sys.executable, "-I", str(ENDURANCE), "leaks", TIMES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *findings, summary = done.stdout.splitlines()
    assert not findings
    print(summary)
