"""Every allocation of every operation may fail: the table is operations.py."""

import subprocess
import sys
from pathlib import Path

import pytest

ENDURANCE = Path(__file__).with_name("endurance.py")


@pytest.mark.endurance
# Later ones crash in pickle, marshal, list and importlib: PyUnicode_Split, list_dealloc, func_clear. The C
# that is tested here is the same in all of them.
@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python 3.12 and later do not outlive it themselves"
)
def test_an_allocation_that_fails_breaks_nothing():
    """No crash, no hang, no other exception than MemoryError, nothing half done or left behind."""
    testing = pytest.importorskip("_testcapi", reason="this Python lacks _testcapi")
    if not hasattr(testing, "set_nomemory"):
        pytest.skip("this Python's _testcapi cannot make allocations fail")
    command = [sys.executable, "-I", str(ENDURANCE), "nomemory"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *findings, _ = done.stdout.splitlines()
    assert not findings
