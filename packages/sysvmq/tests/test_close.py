"""close removes the queue, and so wakes callers on other objects and in other processes."""

import pytest

from harness.calls import Call
from harness.errors import is_closed
from harness.ways import WAYS, make_stuck, wait
from kind import remove_id
from sysvmq import QueueError, RawSerializer


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def stuck(make, way):
    """A queue on which a caller waits that way."""
    return make_stuck(make, way)


def test_close_wakes_other_objects_of_the_queue(stuck, way, make):
    waiter = Call(wait, make(stuck.key, serializer=RawSerializer), way).until_asleep()
    stuck.close()
    assert is_closed(waiter.outcome())


WAITER = """\
queue = Queue(address(), serializer=RawSerializer)
print(is_closed(refusal(wait, queue, args[1])))
queue.close()
"""


def test_close_wakes_other_processes(stuck, way, spawn):
    children = [spawn(WAITER, stuck.key, way).until_asleep() for _ in range(2)]
    stuck.close()
    for child in children:
        assert child.finish() == "True"


def test_a_queue_removed_by_another_process_wakes_its_callers(stuck, way, spawn):
    waiter = Call(wait, stuck, way).until_asleep()
    spawn("Queue(address()).close()", stuck.key).finish()
    assert is_closed(waiter.outcome())
    stuck.close()


def test_a_queue_removed_by_another_program_wakes_its_callers(stuck, way, when_asleep):
    when_asleep(lambda: remove_id(stuck.id))
    with pytest.raises(QueueError) as caught:
        wait(stuck, way)
    assert is_closed(caught.value)


def test_close_of_a_queue_already_removed_is_quiet_and_wakes(stuck):
    remove_id(stuck.id)
    stuck.close()
    assert stuck.closed


def test_the_last_reference_may_go_while_a_thread_waits(make, key):
    keeper, queue = make(key), make(key)
    waiter = Call(queue.get).until_asleep()
    del queue
    keeper.put("x")
    assert waiter.result() == "x"
