"""The fixtures of System V queues alone; the harness has the others, and kind.py what differs."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "common")]

from harness.plugin import *  # noqa: E402, F403


@pytest.fixture
def key(address):
    """A key that no other queue has."""
    return address
