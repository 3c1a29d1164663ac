"""One loop for a queue and for signals: python event_loop.py /jobs"""

import contextlib
import json
import queue
import selectors
import signal
import socket
import sys

from ipcqueue import posixmq


def main(name):
    signals, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    with posixmq.Queue(name, serializer=json) as jobs, selectors.DefaultSelector() as selector:
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
    main(sys.argv[1])
