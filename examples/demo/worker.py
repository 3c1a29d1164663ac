"""A worker of the demo: count the words of whatever text comes through the queues.

It is a program of its own, which run.py starts. All it is told is the name of the one queue and the
key of the other.

A job from the POSIX queue is ``(number, text)``, the most urgent first; ``None`` means go home.
Each text is answered by a report ``(number, pid, words)`` to the coordinator through the System V
queue. What comes back through that queue is picked out by its type, the number of the job: the next
part of the same document, or an empty text once the coordinator has all its counts.

Example: python worker.py /name 1234
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

try:
    from ipcqueue import posixmq, sysvmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of README.md says how to install ipcqueue")

COORDINATOR = 1  # the message type that the coordinator reads
STARTER = os.getppid()
LOOK_S = 1.0  # how often a worker that waits looks whether its starter is still there


def wait(call: Callable[..., Any], *item: Any, **choice: int) -> Any:
    """Get or put, however long it takes; end when the program that started this one has ended."""
    while os.getppid() == STARTER:
        with contextlib.suppress(queue.Empty, queue.Full):
            return call(*item, timeout=LOOK_S, **choice)
    sys.exit(f"worker {os.getpid()}: the program that started this one has ended")


def count_words(text: str) -> dict[str, int]:
    """Return how often each word occurs."""
    return dict(Counter(re.findall(r"\w+", text.lower())))


def count_document(number: int, text: str, mail: sysvmq.Queue[Any]) -> None:
    """Count one document part by part until the coordinator says that it has them all."""
    while text:
        wait(mail.put, (number, os.getpid(), count_words(text)), msg_type=COORDINATOR)
        text = wait(mail.get, msg_type=number)


def main() -> None:
    """Work until told to go home."""
    parser = argparse.ArgumentParser(usage=f"%(prog)s NAME KEY\n\n{__doc__}")
    parser.add_argument("NAME", help="the name of the POSIX queue")
    parser.add_argument("KEY", help="the key of the System V queue", type=int)
    arguments = parser.parse_args()
    try:
        # create=False: to join a queue, not to make an empty one of the same name when it is gone.
        jobs = posixmq.Queue(arguments.NAME, create=False)
        mail = sysvmq.Queue(arguments.KEY, create=False)
    except (posixmq.QueueError, sysvmq.QueueError) as error:
        parser.error(str(error))
    with jobs, mail:
        while (job := wait(jobs.get)) is not None:
            number, text = job
            count_document(number, text, mail)


if __name__ == "__main__":
    main()
