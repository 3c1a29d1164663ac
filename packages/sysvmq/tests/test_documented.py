"""A program written for the original runs unchanged."""

import queue

from documented import session
from sysvmq import Queue, QueueError


def test_the_documented_session_runs_to_the_letter(isolated):
    code = """\
import doctest
test = doctest.DocTestParser().get_doctest(args[0], {}, "it", None, None)
print(doctest.DocTestRunner(verbose=False).run(test).failed)
print(len(open("/proc/sysvipc/msg").readlines()) - 1)
"""
    assert isolated(code, session(1)).finish() == "0\n0"


def test_a_program_written_for_the_original_runs(key):
    """Positional arguments throughout, as the original's signatures allow."""
    mq = Queue(key, 4096)
    other = Queue(key)
    try:
        mq.put({"job": 1}, True, 3, 2)
        mq.put({"job": 2}, False, 5)
        mq.put_nowait({"job": 3}, 4, 0)
        assert mq.qattr() == {"size": 3, "max_bytes": 4096}
        assert mq.qsize() == 3
        assert other.get(True, 5) == {"job": 2}
        assert other.get(False, -4) == {"job": 1}
        assert other.get_nowait(4) == {"job": 3}
        try:
            other.get(False)
        except queue.Empty:
            pass
        else:
            raise AssertionError
        try:
            while True:
                mq.put("fill" * 100, False)
        except queue.Full:
            assert mq.qsize() > 5
        try:
            mq.put("x" * 5000)
        except QueueError as error:
            assert error.errno == QueueError.TOO_BIG_MESSAGE
            assert isinstance(error.msg, str)
    finally:
        mq.close()
    try:
        other.get()
    except QueueError as error:
        assert error.errno == QueueError.INVALID_DESCRIPTOR
    else:
        raise AssertionError


def test_max_bytes_of_an_existing_queue_is_set_as_in_the_original(make, key):
    first = make(key, 4096)
    make(key, 2048)
    assert first.qattr()["max_bytes"] == 2048
