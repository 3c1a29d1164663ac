"""What holds for the tests of the meta-package; tests/integration has those that span the packages."""

import faulthandler
import sys

import pytest

TEST_LIMIT_S = 300


@pytest.fixture(autouse=True)
def watch():
    """A wait that nothing ends must fail the run, not hang it."""
    faulthandler.dump_traceback_later(TEST_LIMIT_S, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()
