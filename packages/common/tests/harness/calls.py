"""Calls in threads of their own."""

import threading
import time

from harness.tasks import WAIT_LIMIT_S, is_asleep, task_of, until


class Call(threading.Thread):
    """A call in a thread of its own; it keeps what was returned or raised, and when it ended."""

    def __init__(self, function, *args, **kwargs):
        super().__init__(daemon=True)
        self._work = function, args, kwargs
        self.value = self.error = self.ended = None
        self.start()
        self.task = task_of(self)

    def run(self):
        function, args, kwargs = self._work
        try:
            self.value = function(*args, **kwargs)
        except BaseException as error:  # the test looks at it
            self.error = error
        finally:
            self._work = function = args = kwargs = None
            self.ended = time.monotonic()

    def until_asleep(self):
        """Return when the thread sleeps inside a queue."""
        until(lambda: self.ended is not None or is_asleep(self.task), f"{self.task} to sleep")
        assert self.ended is None, f"did not block: {self.value!r}, {self.error!r}"
        return self

    def outcome(self, limit=WAIT_LIMIT_S):
        """What the call returned, or the exception that it raised."""
        self.join(limit)
        assert not self.is_alive(), f"still blocked after {limit} s"
        return self.value if self.error is None else self.error

    def result(self, limit=WAIT_LIMIT_S):
        """What the call returned; what it raised is raised here."""
        outcome = self.outcome(limit)
        if self.error is not None:
            raise self.error
        return outcome

    def failure(self, limit=WAIT_LIMIT_S):
        """What the call raised."""
        self.outcome(limit)
        assert self.error is not None, f"returned {self.value!r}"
        return self.error
