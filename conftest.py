"""What holds for the tests of all three distributions."""

from __future__ import annotations

import functools
import multiprocessing

import pytest


@functools.cache
def missing_semaphores() -> str:
    """Return why multiprocessing can make no semaphores, or nothing if it can."""
    try:
        multiprocessing.get_context("fork").Semaphore()
    except OSError as error:
        return f"multiprocessing can make no semaphores, which need /dev/shm ({error.strerror})"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("semaphores") and (reason := missing_semaphores()):
        pytest.skip(reason)


# ---------------------------------------------------------------- the documented examples

# They use the queue /foo and the key 1, which may be somebody's already.


def in_use() -> bool:
    """Say whether one of the two exists, as far as the installed packages can tell."""
    from ipcqueue import posixmq, sysvmq

    for open_existing in (
        lambda: posixmq.Queue("/foo", create=False).close(),
        lambda: sysvmq.Queue(1, create=False).detach(),
    ):
        try:
            open_existing()
        except OSError as error:
            if error.errno == posixmq.QueueError.DOES_NOT_EXIST:
                continue
        return True
    return False


@pytest.fixture(autouse=True)
def spare_foreign_queues(request: pytest.FixtureRequest) -> None:
    """Leave queues alone that the examples would empty and remove."""
    documented = request.node.path.name in ("README.md", "tutorial.md")
    if documented and "Queue('/foo')" in request.node.path.read_text() and in_use():
        pytest.skip("the queue /foo or the key 1 is in use, and the example would remove it")
