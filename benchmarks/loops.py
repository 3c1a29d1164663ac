"""Busy loops: processes that keep the processors busy beside a measurement."""

from __future__ import annotations

import os
import subprocess
import sys

from parent import end_with_parent

LOOP = """
import os, sys
os.nice(int(sys.argv[1]))
print(flush=True)
while os.getppid() == int(sys.argv[2]):
    for _ in range(100_000):
        pass
"""


class Loops:
    """So many busy loops of this niceness, while a with block runs. The kernel ends them with us."""

    def __init__(self, count: int, nice: int = 0) -> None:
        self._count, self._nice = count, nice
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Loops:
        try:
            for _ in range(self._count):
                self._processes.append(self._start())
            for process in self._processes:
                self._wait_until_busy(process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", "-c", LOOP, str(self._nice), str(os.getpid())]
        return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=end_with_parent)

    @staticmethod
    def _wait_until_busy(process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("a busy loop does not start")

    def _stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.communicate()
        self._processes.clear()
