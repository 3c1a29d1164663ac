"""Let a task of trio take what comes into a POSIX queue, and print it until None comes.

Example: python trio_get.py /jobs
"""

import argparse
import queue
import sys

try:
    import trio

    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; pip install trio, and ipcqueue as the section Install of its README says")


async def get(q):
    while True:
        await trio.lowlevel.wait_readable(q.fileno())
        try:
            return q.get_nowait()
        except queue.Empty:
            pass  # another reader was quicker


async def main(q):
    with q:
        while (item := await get(q)) is not None:
            print(item, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=f"%(prog)s NAME\n\n{__doc__}")
    parser.add_argument("NAME", help="the name of a POSIX queue")
    try:
        q = posixmq.Queue(parser.parse_args().NAME)
    except posixmq.QueueError as error:
        parser.error(str(error))
    trio.run(main, q)
