"""The faults that users of other message queue packages live with, one test each.

Each opens with the fault; that it cannot come back is what the test is for.
"""

import queue
import signal
import threading
import time
import tracemalloc
import warnings

import pytest

from harness.calls import Call
from harness.process import descriptors
from harness.tasks import main_task, until_asleep
from posixmq import Queue, QueueError, RawSerializer


def test_a_smaller_opener_of_a_larger_queue_receives(make, name):
    """ipcqueue sized its receive buffer by what the opener asked for: EMSGSIZE."""
    make(name, maxmsgsize=1024).put("x" * 900)
    smaller = make(name, maxmsgsize=16)
    assert smaller.maxmsgsize == 1024
    assert smaller.get() == "x" * 900


def test_a_restarting_handler_does_not_turn_a_wait_into_empty(make):
    """ipcqueue took the restarted call for a timeout and raised Empty."""
    q = make(on_signal="retry")
    task = main_task()
    calls = []

    def poke():
        until_asleep(task)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        time.sleep(0.05)
        q.put("message")

    before = signal.signal(signal.SIGUSR1, lambda *_: calls.append(1))
    signal.siginterrupt(signal.SIGUSR1, False)
    try:
        poker = Call(poke)
        assert q.get(timeout=60) == "message"
        poker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls == [1]


def test_a_dropped_queue_does_not_leak_its_descriptor(name):
    """ipcqueue kept the descriptor of an object that was dropped without close()."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(20):
            Queue(name, 1, 16)
    assert descriptors(name) == []


def test_a_kept_message_does_not_keep_the_receive_buffer(make):
    """posix_ipc: 1,000 kept messages of 10 bytes held 8.2 MB."""
    q = make(maxsize=2, maxmsgsize=8192, serializer=RawSerializer)
    tracemalloc.start()
    try:
        kept = []
        for _ in range(1000):
            q.put(b"0123456789")
            kept.append(q.get())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 1000
    assert held < 200_000


def test_a_message_the_reader_cannot_decode_is_not_thrown_away(make, name):
    """ipcqueue lost a message that it had received and could not use."""
    make(name, serializer=RawSerializer).put(b"precious", priority=4)
    with pytest.raises(QueueError) as caught:
        make(name).get()
    assert (caught.value.data, caught.value.priority) == (b"precious", 4)


def test_rlimit_msgqueue_is_not_called_too_many_open_files(spawn, name):
    """The kernel says EMFILE, and peers pass that on in the kernel's words."""
    out = spawn(
        """
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (100, hard))
        try:
            Queue(sys.argv[1])
        except QueueError as error:
            print(error)
        """,
        name,
    ).finish()
    assert "RLIMIT_MSGQUEUE" in out
    assert "open files" not in out.lower()


def test_the_umask_does_not_narrow_the_mode(spawn, name):
    """Elsewhere the second user gets EACCES because the umask took the rights away."""
    spawn(
        """
        import stat

        os.umask(0o077)
        with Queue(sys.argv[1], 1, 16, mode=0o666, trusted=True) as q:
            (descriptor,) = descriptors(sys.argv[1])
            mode = stat.S_IMODE(os.stat(f"/proc/self/fd/{descriptor}").st_mode)
            assert mode == 0o666, oct(mode)
            q.unlink()
        """,
        name,
    ).finish()


def test_a_signal_does_not_abort_a_wait_that_shall_go_on(make):
    """posix_ipc raises SignalError, and its users write the loop each for himself."""
    q = make(on_signal="retry")
    task = main_task()

    def poke():
        for _ in range(3):
            until_asleep(task)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            time.sleep(0.01)
        q.put("message")

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        poker = Call(poke)
        assert q.get() == "message"
        poker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_blocked_reader_can_be_cancelled(make):
    """Nothing ends a blocked mq_receive of the peers but a message."""
    q = make()
    getter = Call(q.get).until_asleep()
    q.close()
    error = getter.failure()
    assert isinstance(error, QueueError)
    assert error.errno == QueueError.INVALID_DESCRIPTOR


def test_a_mistake_in_the_name_is_said_in_words():
    """A name without its slash was a bare errno."""
    with pytest.raises(QueueError) as caught:
        Queue("jobs")
    assert caught.value.errno == QueueError.INVALID_VALUE
    assert "slash" in str(caught.value)
    assert "jobs" in str(caught.value)


def test_non_blocking_calls_do_not_change_the_queue_for_others(make, name):
    """O_NONBLOCK would live in the open file description, which forked processes share."""
    q = make(name)
    with pytest.raises(queue.Empty):
        q.get_nowait()
    getter = Call(q.get).until_asleep()
    with pytest.raises(queue.Empty):
        q.get_nowait()
    getter.until_asleep()
    q.put("x")
    assert getter.result() == "x"
