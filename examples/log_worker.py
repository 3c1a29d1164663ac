"""Log through a POSIX queue to log_server.py, which may be started before or later.

Example: python log_worker.py /log
"""

import argparse
import logging
import logging.handlers
import sys

try:
    from ipcqueue import posixmq
except ImportError as error:
    sys.exit(f"{error}; the section Install of ipcqueue's README says how to install it")

parser = argparse.ArgumentParser(usage=f"%(prog)s NAME\n\n{__doc__}")
parser.add_argument("NAME", help="the name of the queue")
try:
    queue = posixmq.Queue(parser.parse_args().NAME, maxmsgsize=8192, readable=False)
except posixmq.QueueError as error:
    parser.error(str(error))
logging.getLogger().addHandler(logging.handlers.QueueHandler(queue))
logging.getLogger().setLevel(logging.INFO)

logging.info("%s has started", sys.argv[0])
try:
    {}["no such key"]
except KeyError:
    logging.exception("something failed")
