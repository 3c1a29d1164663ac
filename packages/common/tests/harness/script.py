"""The names that every script finds: see children.py.

An address travels as text: address() is the script's first argument as its kind of queue takes it.
"""

import sys

import kind
from kind import QueueError
from kind import mq as package

args = sys.argv[1:]
globals()[kind.PACKAGE] = package


def address(number=0):
    """An argument of the script, as an address."""
    return kind.parse_address(args[number])


def report(call):
    """Print what a call returns, or whether it was not permitted, and in which words."""
    try:
        print(call())
    except QueueError as error:
        print(error.errno == QueueError.NO_PERMISSIONS, error.msg)
