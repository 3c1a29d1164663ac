"""Measures one sample of one work with one contender, in an interpreter of its own.

    python -I work.py '{"contender": "posixmq", "test": "pair", "count": 1000, ...}'

Prints one line of JSON: {"wall": s, "cpu": s}, seconds a message, or {"error": words}.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from itertools import repeat
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from contenders import CHANNELS, Channel, Spec, Unavailable
from plan import ITEM
from works import TESTS, TIME_LIMIT_S, Result, Task, result

# Pickle alone, and with the system calls


def pickle_only(task: Task) -> Result:
    """What pickle alone costs for the small dict."""
    dumps, loads = pickle.dumps, pickle.loads
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in repeat(None, task["count"]):
        loads(dumps(ITEM, 1))
    return result(time.perf_counter() - wall, time.process_time() - cpu, task["count"])


def loop_only(task: Task) -> Result:
    """The same with the system calls in between, all from C."""
    sys.path.insert(0, task["scratch"])
    import bound

    posix, name = task["contender"] == "loop-posix", task["name"]
    wall, cpu = time.perf_counter(), time.process_time()
    bound.run(posix, name, task["key"], task["count"], ITEM, pickle.dumps, pickle.loads)
    return result(time.perf_counter() - wall, time.process_time() - cpu, task["count"])


# One sample


def make_channels(task: Task) -> list[Channel]:
    return [
        CHANNELS[task["channel"]](
            Spec(
                name=f"{task['name']}-{index}",
                key=task["key"] + index,
                path=f"{task['scratch']}/{index}",
                original=task["original"],
                size=task["size"],
                pickled=task["pickled"],
                depth=task["depth"],
                sender_binds=task["test"] in ("workers", "paced", "fanout"),
            )
        )
        for index in range(2 if task["test"].endswith(("pingpong", "growth")) else 1)
    ]


def check_site(site: str) -> None:
    """Make sure that ours came from the folder asked for."""
    for name in ("posixmq", "sysvmq"):
        module = sys.modules.get(name)
        if site and module and Path(str(module.__file__)).parents[1] != Path(site):
            raise ImportError(f"{name} is not in {site}")


def run(task: Task) -> Result:
    if task["contender"] == "pickle":
        return pickle_only(task)
    if task["contender"].startswith("loop-"):
        return loop_only(task)
    if task["site"]:
        sys.path.insert(0, task["site"])
    channels = make_channels(task)
    check_site(task["site"])
    item = ITEM if task["pickled"] else bytes(task["size"])
    try:
        return TESTS[task["test"]](channels, task, item)
    finally:
        for channel in channels:
            channel.remove()


def main() -> None:
    signal.alarm(TIME_LIMIT_S)
    try:
        answer: dict[str, Any] = dict(run(json.loads(sys.argv[1])))
    except ImportError as error:
        answer = {"error": f"cannot be imported: {type(error).__name__}: {error}"}
    except Unavailable as error:
        answer = {"error": f"not available: {error}"}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    os._exit(0)  # no contender's exit handlers: some wait for readers that are gone


if __name__ == "__main__":
    main()
