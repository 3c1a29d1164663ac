"""Interpreters that peek, list and remove; see common/test_subinterpreters.py for the rest."""

import sys

import pytest

own_gil = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="own-GIL interpreters come with Python 3.12"
)


@own_gil
def test_an_isolated_interpreter_receives_looks_and_pickles(make, key, spawn):
    queue = make(key)
    queue.put("x", msg_type=3)
    child = spawn(
        '''
        from harness.interp import SETUP, create, interpreters, run

        code = """
        import pickle
        q = pickle.loads(pickle.dumps(Queue(addresses[0])))
        assert q.peek() == ("x", 3)
        assert type(q.peek()) is package.Message
        assert q.stat().size == 1
        assert q.id in [info.id for info in package.list_queues()]
        assert package.limits().queues > 0
        q.set(mode=0o640)
        q.put([id(package.Message), id(package.QueueStat)], msg_type=9)
        """
        for _ in range(2):
            number = create()
            run(number, code)
            ids = Queue(address()).get(msg_type=9)
            exec(SETUP + code)
            print(set(ids) & set(q.get(msg_type=9)) or "apart")
            interpreters.destroy(number)
        ''',
        key,
    )
    assert child.finish() == "apart\napart"
    assert queue.stat().mode == 0o640
    assert queue.receive() == ("x", 3)


@own_gil
def test_close_in_one_interpreter_wakes_another(make, key, spawn):
    make(key)
    spawn(
        '''
        from harness.calls import Call
        from harness.interp import create, run

        number = create()
        getter = Call(run, number, """
        try:
            Queue(addresses[0]).get()
            raise AssertionError("a message")
        except QueueError as error:
            assert error.errno == QueueError.INVALID_DESCRIPTOR, error
        """).until_asleep()
        Queue(address()).close()
        getter.result()
        ''',
        key,
    ).finish()
