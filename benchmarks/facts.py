"""Where and when it was measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

VERSIONED = (
    *("posixmq", "sysvmq", "posix_ipc", "sysv_ipc", "faster-fifo", "cloudtoid-interprocess"),
    *("zeroq", "kickmsg", "pyzmq", "redis"),
)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def facts() -> dict[str, Any]:
    """Where and when this was measured."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "processor": processor(),
        "usable processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "free threading": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "versions": versions(),
        "load at start": os.getloadavg()[0],
    }


def facts_words(where: dict[str, Any]) -> str:
    named = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    words = (
        f"{where['date']}; {where['usable processors']} x {where['processor']}, "
        f"Linux {where['kernel']}; load {where['load at start']:.2f} at the start; {named}"
    )
    if where["load at start"] > where["usable processors"] / 2:
        words += "\n\nThe machine was busy with other work: trust the ratios of CPU time alone."
    return words
