"""Any payload round-trips, and any selection agrees with a model."""

from queue import Empty

import pytest

from sysvmq import Queue, RawSerializer

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

quick = hypothesis.settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

plain = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
picklable = plain | st.lists(plain) | st.dictionaries(st.text(), st.tuples(plain, st.floats()))
types = st.integers(1, 4) | st.integers(1, 2**31 - 1)


@pytest.fixture(scope="module")
def queue():
    with Queue() as queue:
        yield queue


@pytest.fixture(scope="module")
def raw_queue():
    with Queue(serializer=RawSerializer) as queue:
        yield queue


@quick
@hypothesis.given(data=st.binary(max_size=6000), msg_type=types)
def test_any_bytes_come_back(raw_queue, data, msg_type):
    raw_queue.put(data, msg_type=msg_type, timeout=60)
    assert raw_queue.get(msg_type=msg_type, timeout=60) == data


@quick
@hypothesis.given(item=picklable, protocol=st.integers(0, 5))
def test_any_picklable_item_comes_back(queue, item, protocol):
    queue.put(item, pickle_protocol=protocol, timeout=60)
    assert repr(queue.get(timeout=60)) == repr(item)  # NaN is not equal to itself


class Model:
    """A list that selects by type as msgrcv(2) says."""

    def __init__(self):
        self.messages = []

    def get(self, wanted):
        if wanted > 0:
            fits = [m for m in self.messages if m[0] == wanted]
        else:
            fits = [m for m in self.messages if wanted == 0 or m[0] <= -wanted]
            if wanted:
                fits = [m for m in fits if m[0] == min(fits)[0]]
        if not fits:
            return None
        self.messages.remove(fits[0])
        return fits[0][1]


@quick
@hypothesis.given(
    steps=st.lists(
        st.tuples(st.just("put"), types) | st.tuples(st.just("get"), st.integers(-5, 5)),
        max_size=40,
    )
)
def test_selection_agrees_with_the_model(queue, steps):
    while not queue.empty():  # what an example that failed has left
        queue.get_nowait()
    model = Model()
    for number, (step, msg_type) in enumerate(steps):
        if step == "put":
            queue.put(number, msg_type=msg_type, timeout=60)
            model.messages.append((msg_type, number))
            continue
        try:
            got = queue.get_nowait(msg_type)
        except Empty:
            got = None
        assert got == model.get(msg_type)
    assert queue.qsize() == len(model.messages)
    for _, number in model.messages:
        assert queue.get_nowait() == number
