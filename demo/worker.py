"""A worker of the demo: count the words of whatever text comes through the queues.

It is a program of its own. All it is told is the name of the one queue and the key of the other:

    python worker.py /name key

A job from the POSIX queue is ``(number, text)``, the most urgent first; ``None`` means go home.
Each text is answered by a report ``(number, pid, words)`` to the coordinator through the System V
queue. What comes back through that queue is picked out by its type, the number of the job: the next
part of the same document, or an empty text once the coordinator has all its counts.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from typing import Any

from ipcqueue import posixmq, sysvmq

COORDINATOR = 1  # the message type that the coordinator reads
PATIENCE = 60.0  # seconds; whoever started this worker may have died without a word


def count_words(text: str) -> dict[str, int]:
    """Return how often each word occurs."""
    return dict(Counter(re.findall(r"\w+", text.lower())))


def count_document(number: int, text: str, mail: sysvmq.Queue[Any]) -> None:
    """Count one document part by part until the coordinator says that it has them all."""
    while text:
        mail.put((number, os.getpid(), count_words(text)), msg_type=COORDINATOR, timeout=PATIENCE)
        text = mail.get(msg_type=number, timeout=PATIENCE)


def main(name: str, key: int) -> None:
    """Work until told to go home."""
    # create=False: to join a queue, not to make an empty one of the same name when it is gone.
    with posixmq.Queue(name, create=False) as jobs, sysvmq.Queue(key, create=False) as mail:
        while (job := jobs.get(timeout=PATIENCE)) is not None:
            number, text = job
            count_document(number, text, mail)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
