"""A handler and a listener that wait where those of the standard library give up."""

from logging.handlers import QueueHandler, QueueListener


class PatientHandler(QueueHandler):
    """Waits for room, for a second at most."""

    def enqueue(self, record):
        self.queue.put(record, timeout=1)


class PatientListener(QueueListener):
    """Stops after all records that were logged before, however full the queue is."""

    def enqueue_sentinel(self):
        self.queue.put(self._sentinel)
