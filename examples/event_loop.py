"""Wait in one loop for a POSIX queue and for signals: print each job until SIGTERM comes.

Example: python event_loop.py /jobs
"""

import argparse
import contextlib
import json
import queue
import selectors
import signal
import socket
import sys

try:
    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of ipcqueue's README says how to install it")


def main(jobs):
    signals, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    with jobs, selectors.DefaultSelector() as selector:
        selector.register(jobs, selectors.EVENT_READ)
        selector.register(signals, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if key.fileobj is jobs:
                    with contextlib.suppress(queue.Empty):  # another reader was faster
                        print("job", jobs.get_nowait(), flush=True)
                elif signal.SIGTERM in signals.recv(64):
                    return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=f"%(prog)s NAME\n\n{__doc__}")
    parser.add_argument("NAME", help="the name of a POSIX queue")
    try:
        jobs = posixmq.Queue(parser.parse_args().NAME, serializer=json)
    except posixmq.QueueError as error:
        parser.error(str(error))
    main(jobs)
