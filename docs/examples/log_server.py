"""Write what comes through a queue to a file: python log_server.py /log all.log"""

import logging
import logging.handlers
import signal
import sys

from ipcqueue import posixmq

ENDING = {signal.SIGINT, signal.SIGTERM}

_, name, path = sys.argv
writer = logging.FileHandler(path)
writer.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
with posixmq.Queue(name, maxmsgsize=8192) as queue:
    listener = logging.handlers.QueueListener(queue, writer)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    listener.start()
    signal.sigwait(ENDING)
    listener.stop()
