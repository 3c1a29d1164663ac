"""Calls of queues, and how they ended, in a form that compares and goes through a pipe.

Started as a script it is the second process: a line is a command, the answer is a line.
"""

from __future__ import annotations

import ast
import gc
import os
import signal
import sys
from collections.abc import Callable
from queue import Empty, Full
from typing import Any

import posixmq
import sysvmq

Outcome = tuple[Any, ...]


def outcome(call: Callable[[], Any]) -> Outcome:
    """Return how a call ended; what the packages do not promise to raise passes."""
    try:
        value = call()
    except Empty:
        return ("empty",)
    except Full:
        return ("full",)
    except (posixmq.DecodeError, sysvmq.DecodeError) as error:
        shown = [(e.data, e.priority, e.msg_type) for e in error.failures or [error]]
        return ("undecodable", list(error.items), shown)
    except (posixmq.QueueError, sysvmq.QueueError) as error:
        return ("error", error.errno, getattr(error, "count", None))
    return ("returned", tuple(value) if isinstance(value, tuple) else value)


def take_into(queue: Any, size: int, **how: Any) -> tuple[int, int, bytes]:
    """get_into a buffer of that size, and show what lies in it."""
    buffer = bytearray(b"\xa5" * size)
    taken, mark = queue.get_into(buffer, **how)
    if set(buffer[taken:]) - {0xA5}:
        raise AssertionError("get_into wrote behind the message")
    return taken, mark, bytes(buffer[:taken])


def stat(queue: Any) -> dict[str, Any]:
    """Return what the model knows of stat()."""
    shown = queue.stat()._asdict()
    return {name: shown[name] for name in ("size", "bytes", "linked", "max_bytes") if name in shown}


OURS = {"take_into": take_into, "stat": stat}


def carry_out(queue: Any, method: str, *args: Any, **how: Any) -> Outcome:
    if method in OURS:
        return outcome(lambda: OURS[method](queue, *args, **how))
    return outcome(lambda: getattr(queue, method)(*args, **how))


def open_queue(family: str, way: str, *args: Any, pickles: bool, **how: Any) -> Any:
    package = {"posixmq": posixmq, "sysvmq": sysvmq}[family]
    opener = package.Queue if way == "new" else getattr(package.Queue, way)
    return opener(*args, serializer=None if pickles else package.RawSerializer, **how)


def answer(queues: dict[int, Any], what: str, slot: int, *rest: Any) -> Outcome:
    """Carry out one command."""
    if what == "open":
        args, how = rest
        return outcome(lambda: queues.__setitem__(slot, open_queue(*args, **how)))
    if what == "call":
        args, how = rest
        return carry_out(queues[slot], *args, **how)
    if what == "look":
        (methods,) = rest
        return tuple(carry_out(queues[slot], method) for method in methods)
    if what == "drop":
        queues.pop(slot, None)
        return ("returned", None)
    # The error of a refused batch stands in its own list: the collector ends what its traceback keeps.
    gc.collect()
    return ("returned", len(os.listdir("/proc/self/fd")))


def serve() -> None:
    """Answer line by line until the other process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # as in machine.run()
    queues: dict[int, Any] = {}
    for line in sys.stdin:
        print(ascii(answer(queues, *ast.literal_eval(line))), flush=True)


if __name__ == "__main__":
    serve()
