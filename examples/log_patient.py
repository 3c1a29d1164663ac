"""A handler and a listener that wait where those of the standard library give up.

Example: from log_patient import PatientHandler, PatientListener
"""

import argparse
from logging.handlers import QueueHandler, QueueListener


class PatientHandler(QueueHandler):
    """Waits for room, for a second at most."""

    def enqueue(self, record):
        self.queue.put(record, timeout=1)


class PatientListener(QueueListener):
    """Stops after all records that were logged before, however full the queue is."""

    def enqueue_sentinel(self):
        self.queue.put(self._sentinel)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=f"import log_patient\n\n{__doc__}")
    parser.parse_args()
    parser.error("this is a module for other programs to import")
