"""Carry out every line of operations.py many times, or with the memory running out at every place.

`python -I endurance.py leaks TIMES` prints each operation that leaves something behind, and
`python -I endurance.py nomemory` each that behaves badly when an allocation fails;
test_leaks.py and test_nomemory.py read what is printed.

What a release build of Python shows is enough to see a single forgotten Py_DECREF. Of an object
made by the call: a block of Python's more, or bytes of malloc(3). Of an object that was there
before: its own count, which goes up with each call. All objects that the collector can reach are
looked at.
"""

import ctypes
import faulthandler
import gc
import importlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from types import CodeType

HERE = Path(__file__).parent  # a link: its parent is the package's own folder of tests
sys.path[:0] = [str(HERE.parent), str(HERE)]

import kind  # noqa: E402
from operations import Rig, operations  # noqa: E402

# --- leaks -------------------------------------------------------------------------------------------


class Mallinfo2(ctypes.Structure):
    """What mallinfo2(3) returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    ]


def heap():
    """The bytes that malloc(3) has given out; 0 where the C library cannot tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2  # glibc 2.33
    except AttributeError:
        return 0
    mallinfo2.restype = Mallinfo2
    seen = mallinfo2()
    return seen.uordblks + seen.hblkhd


def references():
    """The reference counts of all objects that can be reached, by id."""
    seen = {}
    waiting = gc.get_objects()
    waiting.append(thread_dictionary())
    while waiting:
        fresh = {}
        for each in waiting:
            if id(each) not in seen and id(each) not in fresh:
                fresh[id(each)] = each
        seen.update(fresh)
        waiting = gc.get_referents(*fresh.values())
        # The collector does not look into code: there lie the constants of the operations.
        waiting += [each.co_consts for each in fresh.values() if type(each) is CodeType]
    return {
        key: sys.getrefcount(each)
        for key, each in seen.items()
        if type(each) is not int or not -5 <= each <= 1024  # those are everybody's
    }


def thread_dictionary():
    """What extensions keep for this thread, out of the collector's sight."""
    look = ctypes.pythonapi.PyThreadState_GetDict
    look.restype = ctypes.c_void_p  # a borrowed reference, which py_object would take for a new one
    return ctypes.cast(look(), ctypes.py_object).value


def state(rig):
    """What a leak makes grow: Python's blocks, bytes of malloc, descriptors, queues."""
    gc.collect()
    return (
        sys.getallocatedblocks(),
        heap() // 16,
        len(os.listdir("/proc/self/fd")) * 1_000_000,
        rig.kernel_queues() * 1_000_000,
    )


KINDS = ("blocks", "16 bytes of malloc", "descriptors", "kernel queues")


def perform(rig, operation, times):
    """Carry an operation out, each time from the same state; it must end as the table says."""
    call, raises, queue = operation.call, operation.raises, operation.queue
    for _ in range(times):
        try:
            call(rig)
        except raises:
            pass
        else:
            assert not raises, "nothing was raised"
        if queue:
            rig.restore(queue)


def leaks(rig, operation, times):
    """Return what each call leaves behind: {kind: how many a call}, nothing where there is no leak."""
    perform(rig, operation, 20)
    before = state(rig)
    perform(rig, operation, times)
    grown = [after - value for after, value in zip(state(rig), before, strict=True)]
    found = {kind: value / times for kind, value in zip(KINDS, grown, strict=True)}
    found = {kind: value for kind, value in found.items() if value >= 0.6}
    return found | leaked_references(rig, operation, min(times, 1000))


def leaked_references(rig, operation, times):
    """Return the kinds of object whose reference count has gone up with the calls."""
    gc.collect()
    before = references()
    perform(rig, operation, times)
    gc.collect()
    after = references()
    grown = {key: after[key] - count for key, count in before.items() if key in after}
    grown = {key: value / times for key, value in grown.items() if value >= 0.9 * times}
    del before, after
    names = {
        id(each): f"{type(each).__name__} {each!r:.60}"
        for each in everything()
        if id(each) in grown
    }
    return {f"references to {names.get(key, 'a constant')}": grown[key] for key in grown}


def everything():
    """What the collector knows, and what hangs on it directly."""
    objects = [*gc.get_objects(), thread_dictionary()]
    return objects + gc.get_referents(*objects)


def find_leaks(rig, operation, times):
    """Say what leaks. Caches grow once, a leak grows every time: only what comes again counts."""
    for number in (min(times, 1000), times) if times > 1000 else (times,):
        found = leaks(rig, operation, number)
        for calls in (number, number, max(number, 5000)):  # the last tells a leak from a cache
            if not found:
                break
            found = {k: v for k, v in leaks(rig, operation, calls).items() if k in found}
        if found:
            return [f"leaks {amount:.2f} {kind} a call" for kind, amount in found.items()]
    return []


# --- allocation failures ------------------------------------------------------------------------------

PLACES = 20_000  # more allocations than any operation makes
COUNTS = (1, 3)  # how many fail in a row


def attempt(rig, operation, start, count):
    """Carry an operation out while count allocations fail, the first of them number start.

    Return what it raised, and whether it ended before so many were made.
    """
    from _testcapi import remove_mem_hooks, set_nomemory

    raised, ended = None, False
    call = operation.call
    set_nomemory(start - 1, start - 1 + count)  # it counts from 0
    try:
        call(rig)
    except BaseException as error:
        raised = error
    try:
        ctypes.create_string_buffer(1000)
    except MemoryError:
        ended = True  # the failure was still to come
    remove_mem_hooks()
    return raised, ended


# Where the frame object for a traceback cannot be made, Python 3.11 and 3.12 lose the exception.
# What an extension's function loses reads otherwise: <method 'put' of ...> returned NULL ...
LOST_BY_PYTHON = ("error return without exception set", "<function ", "execution of module")


def is_excused(error):
    """Whether an exception is a MemoryError, or what Python makes of one, or what comes of either."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, SystemError) and str(error).startswith(LOST_BY_PYTHON):
            return True
        if str(error) == "can't allocate read lock":  # a RuntimeError of open()
            return True
        error = error.__cause__ or error.__context__
    return False


def judge(rig, operation, raised, before, count):
    """Return what was wrong with the end of an operation: words, or None."""
    wanted = operation.raises or ()
    if raised is None and wanted:
        return "nothing was raised"
    # For want of a DecodeError the serializer's own exception: with the data, if it can be added.
    bare = isinstance(getattr(raised, "data", None), bytes) or (
        count > 1 and operation.raises and operation.messages == -1
    )
    if (
        raised is not None
        and not isinstance(raised, wanted)
        and not bare
        and not is_excused(raised)
    ):
        return "raised " + "".join(traceback.format_exception_only(raised)).strip()
    if operation.queue and operation.messages:
        moved = rig.level(operation.queue) - before
        done = operation.messages
        kept = getattr(raised, "data", None) or getattr(raised, "items", None) is not None
        if raised is None and moved != done:
            return f"returned, and {moved} messages have come"
        # The memory set aside for a message spares it one failure; these here go on failing all the
        # same. And where Python cannot add a traceback, it replaces what was raised.
        if moved == done == -1 and raised is not None and (count > 1 or operation.raises):
            return None
        if raised is not None and moved != 0 and not kept and not operation.partial:
            return f"raised {type(raised).__name__}, and {moved} messages have come"
    return None


def find_failures(rig, operation):
    """Let every allocation of an operation fail, alone and with some that follow it.

    Not with all that follow: Python itself does not outlive that everywhere.
    """
    found = {}
    for count in COUNTS:
        limit = PLACES
        number = 0
        while (number := number + 1) < limit:
            before = rig.level(operation.queue) if operation.queue else 0
            raised, ended = attempt(rig, operation, number, count)
            if ended and limit == PLACES:
                limit = number + 5  # it needs no more than this; caches come and go
            words = judge(rig, operation, raised, before, count)
            del raised
            if words:
                found.setdefault(words, f"allocations {number} to {number + count - 1} fail")
            rig.tidy()
            if operation.queue:
                rig.restore(operation.queue)
    return [f"{words} ({where})" for words, where in found.items()]


def nomemory(rig, operation):
    """Say what is wrong when allocations fail; nothing may be left behind either."""
    perform(rig, operation, 3)
    find_failures(rig, operation)
    gc.collect()
    before = state(rig)[2:]
    found = find_failures(rig, operation)
    gc.collect()
    for what, was, value in zip(KINDS[2:], before, state(rig)[2:], strict=True):
        if value > was:
            found.append(f"leaves {(value - was) // 1_000_000} {what} behind")
    return found


# --- the run ----------------------------------------------------------------------------------------

LIMIT_S = 600  # for one operation: it hangs


def main():
    faulthandler.enable()
    what, *numbers = sys.argv[1:]
    # Import it first: one of the operations imports it anew.
    importlib.import_module(f"{kind.PACKAGE}._explain")
    if what == "nomemory":  # what cannot be raised is no finding
        sys.unraisablehook = threading.excepthook = lambda *_: None
    done = findings = 0
    with Rig() as rig:
        for name, operation in operations(rig).items():
            if operation.only not in ("", what):
                continue
            started = time.monotonic()
            faulthandler.dump_traceback_later(LIMIT_S, exit=True)
            print("...", name, file=sys.stderr, end=" ", flush=True)
            if what == "leaks":
                times = max(300, int(numbers[0]) // operation.cost)
                found = find_leaks(rig, operation, times)
            else:
                times = 1
                found = nomemory(rig, operation)
            print(f"{times} times, {time.monotonic() - started:.2f} s", file=sys.stderr)
            done += times
            findings += len(found)
            for words in found:
                print(f"{name}: {words}", flush=True)
    print(f"{done} operations, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
