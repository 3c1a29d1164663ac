"""Log through a queue: python log_worker.py /log"""

import logging
import logging.handlers
import sys

from ipcqueue import posixmq

queue = posixmq.Queue(sys.argv[1], maxmsgsize=8192, readable=False)
logging.getLogger().addHandler(logging.handlers.QueueHandler(queue))
logging.getLogger().setLevel(logging.INFO)

logging.info("%s has started", sys.argv[0])
try:
    {}["no such key"]
except KeyError:
    logging.exception("something failed")
