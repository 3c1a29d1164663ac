"""Unrelated Python processes."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import kind
from harness.tasks import WAIT_LIMIT_S, is_asleep, until

SKIPPED = 77  # the exit status of a script that finds something missing here, and prints what

PATHS = [str(Path(kind.__file__).parent), str(Path(__file__).parents[1])]  # of kind and harness
# They are for the imports alone: the script itself sees the paths of any program.
PRELUDE = f"""\
import sys
sys.path[:0] = {PATHS!r}
from harness.script import *
del sys.path[:2]
"""


class Child(subprocess.Popen):
    """An unrelated Python process on a script, which finds the names of script.py."""

    def __init__(self, script, code, *args, **env):
        script.write_text(PRELUDE + textwrap.dedent(code))
        super().__init__(
            [sys.executable, "-I", str(script), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
            start_new_session=True,
        )
        self.task = f"/proc/{self.pid}"

    def until_asleep(self):
        """Return when the main thread sleeps inside a queue."""
        until(lambda: self.poll() is not None or is_asleep(self.task), f"{self.task} to sleep")
        assert self.returncode is None, f"ended: {self.communicate()}"
        return self

    def line(self):
        """The next line that it prints."""
        return self.stdout.readline().strip()

    def tell(self, line=""):
        """Write a line to its standard input."""
        self.stdin.write(f"{line}\n")
        self.stdin.flush()

    def end(self):
        """Kill the process with all its children, and return what they wrote."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.communicate()

    def finish(self, limit=2 * WAIT_LIMIT_S):
        """Wait for its end and return what it printed; fail if it failed."""
        try:
            out, err = self.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            out, err = self.end()
        if self.returncode == SKIPPED:
            pytest.skip(out.strip())
        assert self.returncode == 0, f"exit {self.returncode}\n{out}\n{err}"
        return out.strip()
