"""A task of trio takes what comes into a POSIX queue: python trio_get.py NAME"""

import queue
import sys

import trio

from ipcqueue import posixmq


async def get(q):
    while True:
        await trio.lowlevel.wait_readable(q.fileno())
        try:
            return q.get_nowait()
        except queue.Empty:
            pass  # another reader was quicker


async def main():
    with posixmq.Queue(sys.argv[1]) as q:
        while (item := await get(q)) is not None:
            print(item, flush=True)


trio.run(main)
