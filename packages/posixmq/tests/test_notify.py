"""notify(): told once by a callback or a signal, and how nothing is missed all the same."""

import errno
import gc
import os
import queue
import signal
import socket
import sys
import threading
import time
import weakref

import pytest

import posixmq
from harness.tasks import until
from posixmq import QueueError

SETTLE_S = 0.1  # long enough for a notification that must not come


@pytest.fixture
def told():
    """A callback that counts its calls."""

    class Told:
        calls = 0
        thread = None

        def __call__(self):
            self.thread = threading.current_thread()
            self.calls += 1

    return Told()


@pytest.fixture
def thread_failures(monkeypatch):
    failures = []
    monkeypatch.setattr(threading, "excepthook", lambda args: failures.append(args.exc_value))
    return failures


def listeners():
    return [t for t in threading.enumerate() if t.name == "posixmq notify"]


# --- callbacks ------------------------------------------------------------------------------------


def test_a_callback_runs_once_in_a_thread_of_its_own(q, told):
    q.notify(told)
    q.put("x")
    until(lambda: told.calls == 1)
    assert told.thread not in (threading.main_thread(), *listeners())
    q.get()
    q.put("y")
    time.sleep(SETTLE_S)
    assert told.calls == 1


def test_another_process_s_message_is_told_of(q, told, spawn):
    q.notify(told)
    spawn("Queue(sys.argv[1], create=False).put(1)", q.name).finish()
    until(lambda: told.calls == 1)


def test_a_message_to_a_queue_that_is_not_empty_is_not_told_of(q, told):
    q.put("x")
    q.notify(told)
    q.put("y")
    time.sleep(SETTLE_S)
    assert told.calls == 0


def test_notify_none_takes_it_back(q, told):
    q.notify(told)
    q.notify(None)
    q.put("x")
    time.sleep(SETTLE_S)
    assert told.calls == 0
    q.get()
    q.notify(told)  # nobody is registered any more


def test_notify_none_without_need_does_nothing(q):
    q.notify(None)
    q.notify(None)


def test_what_a_callback_raises_goes_to_the_threading_hook(q, thread_failures):
    def fail():
        raise KeyError("from the callback")

    q.notify(fail)
    q.put("x")
    until(lambda: thread_failures)
    assert repr(thread_failures) == "[KeyError('from the callback')]"
    q.get()
    done = threading.Event()
    q.notify(done.set)
    q.put("y")
    assert done.wait(60), "one that failed does not end the others"


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_a_callback_for_which_there_is_no_thread_does_not_end_the_others(make, monkeypatch, error):
    q, other = make(), make()
    reported, done = [], threading.Event()

    def report(args):
        reported.append(args.exc_type)
        raise BrokenPipeError("nobody reads this")

    def refuse(_):
        raise error("can't start new thread")

    q.notify(print)
    other.notify(done.set)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", report)
        patch.setattr(threading.Thread, "start", refuse)
        q.put("x")
        until(lambda: reported == [error])
    other.put("x")
    assert done.wait(60)


def test_a_listener_that_ended_is_replaced(make, monkeypatch):
    from posixmq import _notify

    def fail(_):
        raise SystemError("unforeseen")

    q, other = make(), make()
    q.notify(print)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", print)
        patch.setattr(_notify, "_run", fail)
        q.put("x")
        until(lambda: _notify._listener is None)
    done = threading.Event()
    other.notify(done.set)
    other.put("x")
    assert done.wait(60)


def test_a_slow_callback_does_not_hold_up_another(make):
    slow, quick = make(), make()
    go_on, done = threading.Event(), threading.Event()
    slow.notify(lambda: go_on.wait(60))
    quick.notify(done.set)
    slow.put("x")
    quick.put("x")
    assert done.wait(60)
    go_on.set()


def test_one_thread_listens_for_all_queues(make):
    queues = [make(maxsize=1, maxmsgsize=32) for _ in range(20)]
    called = []
    for i, q in enumerate(queues):
        q.notify(lambda i=i: called.append(i))
    assert len(listeners()) == 1 and listeners()[0].daemon
    for q in queues:
        q.put(1)
    until(lambda: sorted(called) == list(range(20)))


def test_closing_takes_it_back_and_lets_the_callback_go(q, make):
    def told():
        raise AssertionError("told of a message after close()")

    other = make(q.name)
    q.notify(told)
    gone = weakref.ref(told)
    del told
    q.close()
    until(lambda: gc.collect() is not None and gone() is None)
    other.put("x")
    other.notify(print)


def test_closing_any_handle_of_the_process_takes_it_back(q, told):
    """So the kernel has it: stated in the docstring."""
    q.notify(told)
    posixmq.Queue(q.name, create=False).close()
    assert q.stat().notify_pid == 0
    q.put("x")
    time.sleep(SETTLE_S)
    assert told.calls == 0


def test_a_callback_that_was_told_is_let_go(q):
    class Told:
        def __call__(self):
            done.set()

    done, told = threading.Event(), Told()
    gone = weakref.ref(told)
    q.notify(told)
    del told
    q.put("x")
    assert done.wait(60)
    until(lambda: gc.collect() is not None and gone() is None)


# --- who may ask ----------------------------------------------------------------------------------


def test_a_second_request_of_this_process_is_refused(q, told):
    q.notify(told)
    with pytest.raises(QueueError, match="this one has asked already") as caught:
        q.notify(print)
    assert (caught.value.errno, caught.value.os_errno) == (QueueError.ERROR, errno.EBUSY)
    q.put("x")
    until(lambda: told.calls == 1)


def test_a_request_while_another_process_has_asked_names_it(q, spawn):
    process = spawn(
        """
        q = Queue(sys.argv[1], create=False)
        q.notify(print)
        print("asked", flush=True)
        sys.stdin.readline()
        """,
        q.name,
    )
    assert process.line() == "asked"
    with pytest.raises(QueueError, match=f"process {process.pid} has asked first") as caught:
        q.notify(signal.SIGUSR1)
    assert caught.value.os_errno == errno.EBUSY
    q.notify(None)  # is about this process, and does nothing
    assert q.stat().notify_pid == process.pid
    process.finish()
    q.notify(print)  # it has ended, and its request with it


@pytest.mark.parametrize("number", [0, -1, 65, 10**30])
def test_a_signal_number_out_of_range_is_an_invalid_value(q, number):
    with pytest.raises(QueueError, match="signal must be 1 to SIGRTMAX") as caught:
        q.notify(number)
    assert caught.value.errno == QueueError.INVALID_VALUE
    assert q.stat().notify_pid == 0


@pytest.mark.parametrize("target", ["SIGUSR1", 1.5, True, False, b""], ids=repr)
def test_what_is_no_target_is_a_type_error(q, target):
    with pytest.raises(TypeError, match="callable, a signal number or None"):
        q.notify(target)
    assert q.stat().notify_pid == 0


@pytest.mark.parametrize("target", [None, print, signal.SIGUSR1], ids=repr)
def test_a_closed_queue_notifies_nobody(q, target):
    q.notify(None)
    q.close()
    with pytest.raises(QueueError, match="it is closed") as caught:
        q.notify(target)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGRTMAX - 3], ids=int)
def test_a_signal_runs_its_handler(q, number):
    calls = []
    before = signal.signal(number, lambda *args: calls.append(args[0]))
    try:
        q.notify(number)
        q.put("x")
        until(lambda: calls)
        q.get()
        q.put("y")
        time.sleep(SETTLE_S)
        assert calls == [number]
    finally:
        signal.signal(number, before)


# --- nothing is missed ----------------------------------------------------------------------------

MESSAGES = 5000


def collector(q, received, handle=None):
    """The documented pattern: ask again first, then take all there is."""

    def take_all():
        q.notify(take_all)
        try:
            while True:
                received.append(q.get_nowait())
        except queue.Empty:
            pass

    return take_all


SENDER = """
import random

q = Queue(sys.argv[1], create=False)
for number in range({messages}):
    q.put(number, timeout=60)
    if random.random() < 0.02:
        time.sleep(random.random() / 1000)
"""


@pytest.mark.slow
def test_asking_again_first_misses_no_message(make, spawn, thread_failures):
    q = make(maxsize=10, maxmsgsize=32)
    received = []
    collector(q, received)()
    process = spawn(SENDER.format(messages=MESSAGES), q.name)
    process.finish(100)
    until(lambda: len(received) == MESSAGES)
    assert sorted(received) == list(range(MESSAGES))
    assert thread_failures == []
    until(lambda: q.stat().notify_pid == os.getpid())
    q.notify(None)


def test_what_is_there_before_the_first_request_is_taken(q):
    received = []
    q.put(1)
    collector(q, received)()
    assert received == [1]
    q.put(2)
    until(lambda: received == [1, 2])
    until(lambda: q.stat().notify_pid == os.getpid())
    q.notify(None)


@pytest.mark.slow
def test_the_pattern_holds_for_signals(make, spawn):
    q = make(maxsize=10, maxmsgsize=32)
    received = []

    def take_all(*_):
        q.notify(signal.SIGUSR1)
        try:
            while True:
                received.append(q.get_nowait())
        except queue.Empty:
            pass

    before = signal.signal(signal.SIGUSR1, take_all)
    try:
        take_all()
        process = spawn(SENDER.format(messages=1000), q.name)
        until(lambda: len(received) == 1000)
        process.finish()
        assert sorted(received) == list(range(1000))
        q.notify(None)
    finally:
        signal.signal(signal.SIGUSR1, before)


# --- fork, exit, descriptors ----------------------------------------------------------------------


def test_the_child_of_a_fork_has_asked_for_nothing_and_may_ask(spawn, name, fresh):
    spawn(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        q, other = Queue(sys.argv[1], 2, 64), Queue(sys.argv[2], 2, 64)
        told = threading.Event()
        q.notify(told.set)
        pid = os.fork()
        if pid == 0:
            own = threading.Event()
            try:
                assert not [d for d in descriptors() if "socket" in os.readlink(f"/proc/self/fd/{d}")]
                q.close()  # does not take the parent's request back
                other.notify(own.set)
                other.put("x")
                assert own.wait(60)
                assert not told.is_set()
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert q.stat().notify_pid == os.getpid()
        q.put("x")
        assert told.wait(60)
        q.unlink()
        other.unlink()
        q.close()
        other.close()
        """,
        name,
        fresh(),
    ).finish()


def test_a_process_that_lost_all_descriptors_may_ask_anew(spawn, name, fresh):
    """A daemon closes everything it has inherited."""
    spawn(
        """
        import warnings
        q = Queue(sys.argv[1], 2, 64)
        q.notify(print)
        from posixmq import _notify
        os.dup2(os.open(os.devnull, os.O_RDONLY), _notify._listener.socket.fileno())
        Queue(sys.argv[1], create=False).close()  # removes the request: wakes the listener
        other = Queue(sys.argv[2], 2, 64)
        deadline = time.monotonic() + 60
        told = threading.Event()
        while not told.is_set():
            assert time.monotonic() < deadline
            other.notify(None)
            try:
                other.notify(told.set)
            except OSError:
                time.sleep(0.05)
                continue
            other.put(1)
            told.wait(0.2)
            other.get_nowait()
        q.unlink(); other.unlink(); q.close(); other.close()
        """,
        name,
        fresh(),
    ).finish()


LOSE_SOCKET = """
q = Queue(sys.argv[1], 2, 64)
q.notify(print)
from posixmq import _notify
number = _notify._listener.socket.fileno()
os.close(number)
file = os.open(os.devnull, os.O_RDONLY)
assert file == number
"""


def test_a_file_that_came_in_the_sockets_place_stays_open(spawn, name):
    spawn(
        LOSE_SOCKET
        + """
q.put(1)  # wakes the listener
until(lambda: _notify._listener is None)
time.sleep(0.1)
os.fstat(file)
q.unlink(); q.close()
""",
        name,
    ).finish()


def test_nor_does_the_child_of_a_fork_close_it(spawn, name):
    spawn(
        LOSE_SOCKET
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
pid = os.fork()
if pid == 0:
    try:
        os.fstat(file)
    except OSError:
        os._exit(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
q.unlink(); q.close()
""",
        name,
    ).finish()


def test_the_next_request_finds_that_the_socket_is_lost(spawn, name, fresh):
    spawn(
        LOSE_SOCKET
        + """
other, told = Queue(sys.argv[2], 2, 64), threading.Event()
other.notify(told.set)
other.put(1)
assert told.wait(60)
os.fstat(file)
q.unlink(); other.unlink(); q.close(); other.close()
""",
        name,
        fresh(),
    ).finish()


def test_a_process_with_a_request_ends_at_once(spawn, name):
    spawn(
        """
        started = threading.Event()

        def callback():
            started.set()
            time.sleep(1000)  # longer than anybody waits for this process

        q = Queue(sys.argv[1], 2, 64)
        q.notify(callback)
        q.put("x")
        q.unlink()
        q.close()
        assert started.wait(60)
        """,
        name,
    ).finish()


def test_more_requests_than_the_kernel_has_room_for_are_refused(make, monkeypatch):
    """It would sleep in mq_notify(2), with the queue held."""
    from posixmq import _notify

    q, other = make(), make()
    q.notify(print)
    monkeypatch.setattr(_notify._listener, "most", len(_notify._listener.callbacks))
    with pytest.raises(QueueError, match="queues to notify it") as caught:
        other.notify(print)
    assert caught.value.errno == QueueError.NO_SYSTEM_RESOURCES
    assert _notify._listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 100_000


def test_a_process_without_netlink_sockets_is_told_so(make, monkeypatch):
    from posixmq import _notify

    def refuse(*_):
        raise OSError(errno.EAFNOSUPPORT, "no such family")

    monkeypatch.setattr(_notify, "_listener", None)
    monkeypatch.setattr(_notify.socket, "socket", refuse)
    q = make()
    with pytest.raises(QueueError, match=r"need a netlink socket.*a signal number needs none"):
        q.notify(print)
    q.notify(signal.SIGUSR1)


def test_an_interpreter_without_daemon_threads_says_so(spawn, name):
    if sys.version_info < (3, 13):
        pytest.skip("needs isolated interpreters")
    code = f"""
import posixmq
with posixmq.Queue({name!r}, 2, 64) as q:
    assert q.stat().max_size == 2
    for _ in range(2):
        try:
            q.notify(print)
        except RuntimeError as error:
            assert "daemon" in str(error), error
        else:
            raise AssertionError("not refused")
    assert q.stat().notify_pid == 0
"""
    spawn(
        """
        import _interpreters
        failed = _interpreters.run_string(_interpreters.create("isolated"), sys.argv[1])
        assert failed is None, failed.formatted
        """,
        code,
    ).finish()


def test_a_signal_handler_may_ask_while_its_thread_is_asking(make, monkeypatch):
    """It may come at any moment, also while notify() holds its lock."""
    from posixmq import _notify

    q, other = make(), make()
    tokens = _notify.secrets.token_bytes

    def interrupted(size):
        monkeypatch.setattr(_notify.secrets, "token_bytes", tokens)
        other.notify(print)  # as a handler would, in this very thread
        return tokens(size)

    monkeypatch.setattr(_notify.secrets, "token_bytes", interrupted)
    q.notify(print)
    q.notify(None)
    other.notify(None)
