"""The names that every script finds: see children.py.

An address travels as text: address() is the script's first argument as its kind of queue takes it.
"""

# ruff: noqa: F401

import ctypes
import errno
import json
import os
import queue
import signal
import sys
import threading
import time

import kind
from harness.errors import is_closed, refusal
from harness.process import (
    become,
    caught_signals,
    descriptors,
    drop_capabilities,
    import_all,
    isolate,
    set_limit,
    skip,
)
from harness.tasks import (
    is_asleep,
    main_task,
    read,
    switches,
    task_of,
    until,
    until_asleep,
    until_spinning,
)
from harness.ways import wait
from kind import DecodeError, Queue, QueueError, RawSerializer
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
