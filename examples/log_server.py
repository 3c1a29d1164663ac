"""Write what other programs log through a POSIX queue to a file, until Ctrl-C or SIGTERM comes.

Example: python log_server.py /log all.log
"""

import argparse
import logging
import logging.handlers
import signal
import sys

try:
    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of ipcqueue's README says how to install it")

ENDING = {signal.SIGINT, signal.SIGTERM}

parser = argparse.ArgumentParser(usage=f"%(prog)s NAME FILE\n\n{__doc__}")
parser.add_argument("NAME", help="the name of the queue")
parser.add_argument("FILE", help="what is logged is appended to it")
arguments = parser.parse_args()
try:
    writer = logging.FileHandler(arguments.FILE)
    queue = posixmq.Queue(arguments.NAME, maxmsgsize=8192)
except OSError as error:
    parser.error(str(error))
writer.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
with queue:
    listener = logging.handlers.QueueListener(queue, writer)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    listener.start()
    signal.sigwait(ENDING)
    listener.stop()
