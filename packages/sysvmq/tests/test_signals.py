"""What a System V queue does with on_signal="raise"; see common/test_signals.py for the rest."""

import signal
import threading

import pytest

from harness.ways import WAYS, make_stuck, wait
from sysvmq import QueueError


@pytest.mark.parametrize("way", WAYS)
def test_raise_is_interrupted_though_the_handler_restarts(make, handler, when_asleep, way):
    """The kernel never restarts msgrcv and msgsnd, signal(7)."""
    q, calls, main = make_stuck(make, way), [], threading.main_thread().ident
    handler(signal.SIGUSR1, lambda number, _: calls.append(number), restart=True)
    size = q.qsize()
    when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        wait(q, way)
    assert caught.value.errno == QueueError.INTERRUPTED
    assert calls == [signal.SIGUSR1]
    assert q.qsize() == size
