"""The kernel is given no deadline on the wall clock; see common/test_timeout.py for the rest."""

import ctypes
import platform
import time
from pathlib import Path

import pytest

from harness.calls import Call

NUMBERS = {"x86_64": ("242", "243"), "aarch64": ("182", "183"), "riscv64": ("182", "183")}


@pytest.mark.parametrize("direction", ["get", "put"])
def test_the_kernel_is_given_no_deadline_on_the_wall_clock(q, full, direction):
    """mq_timedreceive(3) knows CLOCK_REALTIME alone: a step of that clock would move the end.

    While the call sleeps, the kernel shows its arguments: the timeout must not be there, or lie
    so far away that no step reaches it.
    """
    call = (
        (lambda: q.get(timeout=60)) if direction == "get" else (lambda: full.put(b"x", timeout=60))
    )
    waiter = Call(call).until_asleep()
    try:
        words = Path(waiter.task, "syscall").read_text().split()
    except OSError:
        pytest.skip("the kernel shows no arguments of system calls here")
    if words[0] not in NUMBERS.get(platform.machine(), ()):
        pytest.skip("unknown machine")
    pointer = int(words[5], 16)
    if pointer:
        seconds = ctypes.c_int64.from_address(pointer).value
        assert seconds > time.time() + 366 * 86400
    q.put("end")
    full.get()
    waiter.result()
