"""An interpreter's descriptors of queues; see common/test_subinterpreters.py for the rest."""

import sys

import pytest


@pytest.mark.skipif(sys.version_info < (3, 12), reason="own-GIL interpreters come with Python 3.12")
def test_an_interpreter_that_ends_closes_its_queues(make, name, spawn):
    make(name)
    spawn(
        '''
        from harness.interp import create, interpreters, run

        mine, number = Queue(address()), create()
        run(number, """
        import warnings
        warnings.simplefilter("ignore")
        q = Queue(addresses[0])
        q.put(1)
        """)
        assert len(descriptors(args[0])) == 2
        interpreters.destroy(number)
        assert len(descriptors(args[0])) == 1
        assert mine.get() == 1
        ''',
        name,
    ).finish()
