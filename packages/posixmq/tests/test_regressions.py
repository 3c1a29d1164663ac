"""The faults that users of other message queue packages live with, one test each.

Each opens with the fault; that it cannot come back is what the test is for.
"""

import pytest

from posixmq import Queue, QueueError


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


def test_a_mistake_in_the_name_is_said_in_words():
    """A name without its slash was a bare errno."""
    with pytest.raises(QueueError) as caught:
        Queue("jobs")
    assert caught.value.errno == QueueError.INVALID_VALUE
    assert "slash" in str(caught.value)
    assert "jobs" in str(caught.value)
