"""Interpreters with a GIL of their own, for scripts: a crash then ends no test but the script's.

What runs there finds queue, threading, time, os, the package as `package`, Queue, QueueError, and
the script's arguments as `addresses`.
"""

import sys
import textwrap

try:
    import _interpreters as interpreters
except ImportError:  # Python 3.12
    import _xxsubinterpreters as interpreters

import kind
from harness.calls import Call

SETUP = f"""\
import os, queue, threading, time
import {kind.PACKAGE} as package
from {kind.PACKAGE} import Queue, QueueError
addresses = {[kind.parse_address(each) for each in sys.argv[1:]]}
"""


def create():
    """A new interpreter.

    In a thread, Python 3.12 hangs in the import of any C module, so it imports all here.
    """
    options = ("isolated",) if hasattr(interpreters, "new_config") else ()
    number = interpreters.create(*options, **({} if options else {"isolated": True}))
    run(number, "package.serializers.load_pickle()")
    return number


def run(number, code):
    """Run code in an interpreter; raise what it raises there."""
    problem = interpreters.run_string(number, SETUP + textwrap.dedent(code))
    if problem is not None:
        raise AssertionError(getattr(problem, "formatted", problem))


def run_alone(code):
    """Run code in an interpreter that comes and goes with it."""
    number = create()
    try:
        run(number, code)
    finally:
        interpreters.destroy(number)


def run_all(*codes):
    """Run pieces of code at once, each in a thread and an interpreter of its own."""
    numbers = [create() for _ in codes]
    for call in [Call(run, *each) for each in zip(numbers, codes, strict=True)]:
        call.result()
    for number in numbers:
        interpreters.destroy(number)
