"""Tasks in event loops, for the tests of the asyncio queues."""

import asyncio
import importlib
import pickle
import time

import kind
from harness.process import descriptors
from harness.tasks import WAIT_LIMIT_S

AsyncQueue = importlib.import_module(f"{kind.PACKAGE}.asyncio").Queue
SETTLED = 5  # a task that spins has a new future in each turn of the loop


class Padded:
    """Pickles of 32 bytes, so that both kinds of queue hold as many messages."""

    @staticmethod
    def dumps(item):
        return pickle.dumps(item).ljust(32, b".")

    @staticmethod
    def loads(data):
        return pickle.loads(data)


async def steps(number=5):
    """Let the loop's other tasks run for a while."""
    for _ in range(number):
        await asyncio.sleep(0)


async def eventually(condition):
    """Let the loop go on until condition() is true."""
    end = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < end, condition
        await asyncio.sleep(0.001)


async def waiting(call):
    """A task that waits in the queue and no longer spins."""
    task = asyncio.create_task(call)
    future, turns = None, 0
    while turns < SETTLED:
        await asyncio.sleep(0)
        assert not task.done(), f"did not wait: {task}"
        before, future = future, task._fut_waiter
        turns = turns + 1 if future is before and future is not None else 0
    return task


async def cancel(task):
    """Cancel a task and see that it ends by that."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def failure(task):
    """The exception that a task ends with."""
    (error,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(error, Exception), error
    return error


def held(address):
    """This process's descriptors of a queue; a System V queue has none."""
    return descriptors(str(address))
