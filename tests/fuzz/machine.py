"""State machines that drive real queues, in two processes, beside a model of them."""

from __future__ import annotations

import ast
import contextlib
import faulthandler
import gc
import itertools
import os
import pickle
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from calls import Outcome, carry_out, open_queue, outcome
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model import Kernel, PosixKernel, SysvKernel, decode, decode_many

import posixmq
import sysvmq

HANDLES = 6  # open at once
STUCK_S = 60  # no example may take that long

# Bytes that unpickle to nothing at once, or to something plain: nothing here runs code.
plain = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=8)
items = plain | st.lists(plain, max_size=3)
raw = (
    st.just(b"") | st.builds(b"\0".__add__, st.binary(max_size=70)) | st.builds(pickle.dumps, items)
)
payloads = st.tuples(items, st.integers(0, 5), raw)
picks = st.integers(0, HANDLES - 1)
patience = st.sampled_from(
    [{"block": False}, {"timeout": 0}, {"timeout": 1e-9}, {"timeout": 0.001}, {}]
)


# ------------------------------------------------------------------- the second process


class Helper:
    """A process that opens and uses queues on command."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("calls.py")
        self.process = subprocess.Popen(
            [sys.executable, "-I", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
        )
        self.slots = itertools.count()

    def ask(self, what: str, slot: int, *rest: Any) -> Outcome:
        assert self.process.stdin and self.process.stdout
        print(ascii((what, slot, *rest)), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the second process died of {(what, *rest)}: {self.process.wait()}"
        return ast.literal_eval(line)

    def end(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(STUCK_S)


@dataclass(eq=False)
class Handle:
    """A queue object of this process, or of the second one: then it has a slot there."""

    kernel: Kernel
    pickles: bool
    queue: Any = None
    helper: Helper | None = None
    slot: int = 0
    named: str | None = None
    closed: bool = False

    def call(self, method: str, *args: Any, **how: Any) -> Outcome:
        if self.helper is None:
            return carry_out(self.queue, method, *args, **how)
        return self.helper.ask("call", self.slot, (method, *args), how)

    def look(self, methods: tuple[str, ...]) -> tuple[Outcome, ...]:
        """Call several methods without arguments; the second process is asked only once."""
        if self.helper is None:
            return tuple(carry_out(self.queue, method) for method in methods)
        return self.helper.ask("look", self.slot, methods)

    def drop(self) -> None:
        self.queue = None
        if self.helper is not None:
            self.helper.ask("drop", self.slot)


# ------------------------------------------------------------------------ what both have


class Machine(RuleBasedStateMachine):
    """Rules for both kinds; examples and steps are counted over all of a class."""

    examples: ClassVar[int] = 0
    steps: ClassVar[int] = 0
    helper: ClassVar[Helper | None] = None
    package: Any
    marks: Any

    def __init__(self) -> None:
        super().__init__()
        faulthandler.dump_traceback_later(STUCK_S, exit=True)
        if Machine.helper is None:
            Machine.helper = Helper()
        type(self).examples += 1
        gc.collect()
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.theirs = self.helper.ask("count", 0)
        self.handles: list[Handle] = []

    def teardown(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        try:
            for handle in self.handles:
                handle.call("close")
                handle.drop()
            gc.collect()
            assert len(os.listdir("/proc/self/fd")) == self.descriptors
            assert self.helper.ask("count", 0) == self.theirs
        finally:
            self.clean()

    def clean(self) -> None:
        raise NotImplementedError

    def pick(self, number: int) -> Handle:
        type(self).steps += 1
        return self.handles[number % len(self.handles)]

    def room_for_handle(self) -> bool:
        return len(self.handles) < HANDLES

    def start(
        self, kernel: Kernel, pickles: bool, far: bool, *args: Any, named: str | None, **how: Any
    ) -> None:
        """Open what the model says can be opened."""
        handle = Handle(kernel, pickles, named=named)
        how["pickles"] = pickles
        if far:
            handle.helper, handle.slot = self.helper, next(self.helper.slots)
            done = self.helper.ask("open", handle.slot, (self.package.__name__, *args), how)
            assert done == ("returned", None), done
        else:
            handle.queue = open_queue(self.package.__name__, *args, **how)
        self.handles.append(handle)

    def refused(self, code: str, *args: Any, **how: Any) -> None:
        """See an opening fail."""
        got = outcome(lambda: open_queue(self.package.__name__, *args, pickles=False, **how))
        assert got == ("error", getattr(self.package.QueueError, code), None), got

    def gone(self, handle: Handle) -> bool:
        return handle.closed or handle.kernel.removed

    def compare(
        self, handle: Handle, expected: Outcome, method: str, *args: Any, **how: Any
    ) -> None:
        """See that a call ends as the model's did, and that a handle that is gone says so."""
        # Waiting for ever is for calls that need not wait.
        if "block" not in how and "timeout" not in how and expected[0] != "returned":
            how["block"] = False
        got = handle.call(method, *args, **how)
        if got[:1] == ("error",) and expected[:1] == ("error",):
            assert got[1] == expected[1], (got, expected)
            return
        assert got == expected, (got, expected)

    def see_gone(self, handle: Handle, method: str, *args: Any, **how: Any) -> None:
        got = handle.call(method, *args, **how)
        # A call that is wrong in two ways may say either.
        codes = ("INVALID_DESCRIPTOR", "TOO_BIG_MESSAGE", "INVALID_VALUE")
        allowed = [getattr(self.package.QueueError, code) for code in codes]
        assert got[0] == "error" and got[1] in allowed, got

    # --- putting

    def payload(self, handle: Handle, drawn: tuple[Any, int, bytes]) -> tuple[Any, int, bytes]:
        """Return item, protocol and the bytes that they are sent as."""
        item, protocol, data = drawn
        if handle.pickles:
            # As the second process reads it: of two equal strings that are one object pickle writes one.
            item = ast.literal_eval(repr(item))
            return item, protocol, pickle.dumps(item, protocol)
        return data, protocol, data

    def put(
        self, number: int, drawn: tuple[Any, int, bytes], mark: int, nowait: bool, how: Any
    ) -> None:
        handle = self.pick(number)
        item, protocol, data = self.payload(handle, drawn)
        how = dict(how, pickle_protocol=protocol, **{handle.kernel.mark_name: mark})
        method = "put"
        if nowait:
            method = "put_nowait"
            how.pop("block", None), how.pop("timeout", None)
        if self.gone(handle):
            return self.see_gone(handle, method, item, **how)
        expected = outcome(lambda: handle.kernel.put(mark, data))
        if nowait:
            got = handle.call(method, item, **how)
            assert got[:2] == expected[:2], (got, expected)
        else:
            self.compare(handle, expected, method, item, **how)

    def put_many(self, number: int, drawn: list[Any], mark: int, how: Any) -> None:
        handle = self.pick(number)
        made = [self.payload(handle, (item, 1, data)) for item, _, data in drawn]
        batch, how = [item for item, _, _ in made], dict(how, **{handle.kernel.mark_name: mark})
        if self.gone(handle):
            return self.see_gone(handle, "put_many", batch, **how) if batch else None
        expected = outcome(lambda: handle.kernel.put_many(mark, [data for _, _, data in made]))
        if expected != ("returned", len(batch)) and "timeout" not in how:
            how["block"] = False
        got = handle.call("put_many", batch, **how)
        assert got == expected, (got, expected)

    # --- taking

    def take(self, number: int, method: str, selection: dict[str, Any], how: Any) -> None:
        """get, get_nowait and receive."""
        handle = self.pick(number)
        kernel = handle.kernel
        if method == "get_nowait":
            how = {}
        if self.gone(handle):
            return self.see_gone(handle, method, **selection, **how)

        def expect() -> Any:
            mark, data = kernel.take(selection)
            item = decode(kernel, handle.pickles, mark, data)
            return (item, mark) if method == "receive" else item

        expected = outcome(expect)
        if method == "get_nowait":
            got = handle.call(method, **selection)
            assert got[:2] == expected[:2], (got, expected)
        else:
            self.compare(handle, expected, method, **selection, **how)

    def take_many(self, number: int, most: int | None, selection: dict[str, Any], how: Any) -> None:
        handle = self.pick(number)
        kernel = handle.kernel
        if self.gone(handle):
            return self.see_gone(handle, "get_many", most, **selection, **how)
        expected = outcome(
            lambda: decode_many(kernel, handle.pickles, kernel.take_many(most, selection))
        )
        self.compare(handle, expected, "get_many", most, **selection, **how)

    def take_into(self, number: int, size: int, selection: dict[str, Any], how: Any) -> None:
        handle = self.pick(number)
        if self.gone(handle):
            return self.see_gone(handle, "take_into", size, **selection, **how)
        expected = outcome(lambda: handle.kernel.take_into(size, selection))
        self.compare(handle, expected, "take_into", size, **selection, **how)

    # --- looking

    def facts(self, kernel: Kernel) -> dict[str, Any]:
        """Return what each method that looks must return."""
        raise NotImplementedError

    @invariant()
    def every_handle_sees_the_same(self) -> None:
        for handle in self.handles:
            facts = self.facts(handle.kernel)
            outcomes = handle.look(tuple(facts))
            for (method, value), got in zip(facts.items(), outcomes, strict=True):
                if self.gone(handle):
                    code = self.package.QueueError.INVALID_DESCRIPTOR
                    assert got[:2] == ("error", code), (method, got)
                else:
                    assert got == ("returned", value), (method, got, value)

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def drop(self, number: int) -> None:
        """Forget an object without a word."""
        handle = self.pick(number)
        self.handles.remove(handle)
        handle.drop()

    @precondition(lambda self: self.handles and self.room_for_handle())
    @rule(number=picks)
    def unpickle(self, number: int) -> None:
        """A queue goes by its name or id through pickle."""
        handle = self.pick(number)
        if handle.helper is not None or self.gone(handle) or not self.travels(handle):
            return
        copy = pickle.loads(pickle.dumps(handle.queue))
        assert copy == handle.queue
        self.handles.append(Handle(handle.kernel, handle.pickles, copy, named=handle.named))

    def travels(self, handle: Handle) -> bool:
        return True


# ------------------------------------------------------------------------------- POSIX


class PosixMachine(Machine):
    """Names, priorities and a capacity in messages."""

    package = posixmq
    examples = steps = 0
    priorities = st.sampled_from([0, 0, 1, 2, 31, 32, 32767])

    def __init__(self) -> None:
        super().__init__()
        token = secrets.token_hex(4)
        self.names: dict[str, PosixKernel | None] = {f"/fuzz-{token}-{n}": None for n in range(2)}

    def clean(self) -> None:
        for name, kernel in self.names.items():
            if kernel is not None:
                with contextlib.suppress(posixmq.QueueError):  # as after a finding
                    posixmq.unlink(name)

    def facts(self, kernel: Kernel) -> dict[str, Any]:
        assert isinstance(kernel, PosixKernel)
        size = len(kernel.messages)
        return {
            "qsize": size,
            "empty": size == 0,
            "full": size == kernel.maxsize,
            "qattr": {
                "size": size,
                "max_size": kernel.maxsize,
                "max_msgbytes": kernel.maxmsgsize,
            },
            "stat": {"size": size, "bytes": kernel.bytes, "linked": kernel in self.names.values()},
        }

    def travels(self, handle: Handle) -> bool:
        return handle.named is not None and self.names[handle.named] is handle.kernel

    @initialize(pickles=st.booleans())
    def begin(self, pickles: bool) -> None:
        self.open(0, 3, 64, pickles, False, True, False)

    @precondition(Machine.room_for_handle)
    @rule(
        which=st.integers(0, 1),
        maxsize=st.integers(1, 5),
        maxmsgsize=st.sampled_from([1, 16, 64]),
        pickles=st.booleans(),
        far=st.booleans(),
        create=st.booleans(),
        exclusive=st.booleans(),
    )
    def open(
        self,
        which: int,
        maxsize: int,
        maxmsgsize: int,
        pickles: bool,
        far: bool,
        create: bool,
        exclusive: bool,
    ) -> None:
        name = list(self.names)[which]
        exclusive = exclusive and create
        how = {"create": create, "exclusive": exclusive}
        kernel = self.names[name]
        if kernel is None and not create:
            return self.refused("DOES_NOT_EXIST", "new", name, **how)
        if kernel is not None and exclusive:
            return self.refused("EXISTS", "new", name, **how)
        if kernel is None:
            kernel = self.names[name] = PosixKernel(maxsize, maxmsgsize)
        self.start(kernel, pickles, far, "new", name, maxsize, maxmsgsize, named=name, **how)

    @precondition(Machine.room_for_handle)
    @rule(maxsize=st.integers(1, 3), pickles=st.booleans(), far=st.booleans())
    def open_anonymous(self, maxsize: int, pickles: bool, far: bool) -> None:
        kernel = PosixKernel(maxsize, 40)
        self.start(kernel, pickles, far, "anonymous", maxsize, 40, named=None)

    @precondition(lambda self: self.handles and self.room_for_handle())
    @rule(number=picks, pickles=st.booleans())
    def open_descriptor(self, number: int, pickles: bool) -> None:
        handle = self.pick(number)
        if handle.helper is None and not handle.closed:
            fd = os.dup(handle.queue.fileno())
            self.start(handle.kernel, pickles, False, "from_fd", fd, named=None)

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def close(self, number: int) -> None:
        handle = self.pick(number)
        assert handle.call("close") == ("returned", None)
        handle.closed = True

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def unlink(self, number: int) -> None:
        """Remove the name, which may by now be that of another queue."""
        handle = self.pick(number)
        got = handle.call("unlink")
        if handle.named is None or self.names[handle.named] is None:
            assert got[:2] == ("error", posixmq.QueueError.DOES_NOT_EXIST), got
        else:
            assert got == ("returned", None), got
            self.names[handle.named] = None

    @precondition(lambda self: self.handles)
    @rule(number=picks, drawn=payloads, mark=priorities, nowait=st.booleans(), how=patience)
    def one(self, number: int, drawn: Any, mark: int, nowait: bool, how: Any) -> None:
        self.put(number, drawn, mark, nowait, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, drawn=st.lists(payloads, max_size=6), mark=priorities, how=patience)
    def many(self, number: int, drawn: Any, mark: int, how: Any) -> None:
        self.put_many(number, drawn, mark, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, method=st.sampled_from(["get", "get_nowait", "receive"]), how=patience)
    def get(self, number: int, method: str, how: Any) -> None:
        self.take(number, method, {}, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, most=st.none() | st.integers(1, 6), how=patience)
    def get_many(self, number: int, most: int | None, how: Any) -> None:
        self.take_many(number, most, {}, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, size=st.sampled_from([0, 1, 15, 16, 40, 64, 100]), how=patience)
    def get_into(self, number: int, size: int, how: Any) -> None:
        self.take_into(number, size, {}, how)


# ---------------------------------------------------------------------------- System V


class SysvMachine(Machine):
    """Keys, ids, types and a capacity in bytes."""

    package = sysvmq
    examples = steps = 0
    types = st.sampled_from([1, 1, 2, 3, 4, 2**31 - 1])
    selections = st.fixed_dictionaries(
        {}, optional={"msg_type": st.integers(-4, 4), "exclude": st.booleans()}
    )

    def __init__(self) -> None:
        super().__init__()
        first = 0x0F000000 + 2 * secrets.randbelow(2**23)
        self.keys: dict[int, SysvKernel | None] = {first: None, first + 1: None}
        self.ids: dict[int, SysvKernel] = {}

    def clean(self) -> None:
        for msqid, kernel in self.ids.items():
            if not kernel.removed:
                with contextlib.suppress(sysvmq.QueueError):  # closed just now
                    sysvmq.remove(msqid)

    def facts(self, kernel: Kernel) -> dict[str, Any]:
        assert isinstance(kernel, SysvKernel)
        size = len(kernel.messages)
        return {
            "qsize": size,
            "empty": size == 0,
            "qattr": {"size": size, "max_bytes": kernel.max_bytes},
            "stat": {"size": size, "bytes": kernel.bytes, "max_bytes": kernel.max_bytes},
        }

    def find(self, msqid: int) -> None:
        self.ids[msqid] = self.handles[-1].kernel

    @initialize(pickles=st.booleans())
    def begin(self, pickles: bool) -> None:
        self.open(0, 128, pickles, False, True, False)

    @precondition(Machine.room_for_handle)
    @rule(
        which=st.integers(0, 1),
        max_bytes=st.sampled_from([1, 4, 64, 128]),
        pickles=st.booleans(),
        far=st.booleans(),
        create=st.booleans(),
        exclusive=st.booleans(),
    )
    def open(
        self,
        which: int,
        max_bytes: int,
        pickles: bool,
        far: bool,
        create: bool,
        exclusive: bool,
    ) -> None:
        key = list(self.keys)[which]
        exclusive = exclusive and create
        how = {"create": create, "exclusive": exclusive}
        kernel = self.keys[key]
        exists = kernel is not None and not kernel.removed
        if not exists and not create:
            return self.refused("DOES_NOT_EXIST", "new", key, **how)
        if exists and exclusive:
            return self.refused("EXISTS", "new", key, **how)
        if not exists:
            kernel = self.keys[key] = SysvKernel(max_bytes)
        kernel.max_bytes = max_bytes
        self.start(kernel, pickles, far, "new", key, max_bytes, named=None, **how)
        with contextlib.closing(sysvmq.Queue(key, create=False)) as look:
            self.find(look.id)
            look.detach()

    @precondition(Machine.room_for_handle)
    @rule(max_bytes=st.sampled_from([10, 80]), pickles=st.booleans())
    def open_private(self, max_bytes: int, pickles: bool) -> None:
        kernel = SysvKernel(max_bytes)
        self.start(kernel, pickles, False, "new", None, max_bytes, named=None)
        self.find(self.handles[-1].queue.id)

    @precondition(lambda self: self.ids and self.room_for_handle())
    @rule(number=picks, pickles=st.booleans(), far=st.booleans())
    def open_id(self, number: int, pickles: bool, far: bool) -> None:
        msqid, kernel = list(self.ids.items())[-1 - number % len(self.ids)]
        if kernel.removed:
            self.refused("DOES_NOT_EXIST", "from_id", msqid)
        else:
            self.start(kernel, pickles, far, "from_id", msqid, named=None)

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def close(self, number: int) -> None:
        """Close removes the queue for everybody, unless the object had let go of it before."""
        handle = self.pick(number)
        assert handle.call("close") == ("returned", None)
        handle.kernel.removed |= not handle.closed
        handle.closed = True

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def detach(self, number: int) -> None:
        handle = self.pick(number)
        assert handle.call("detach") == ("returned", None)
        handle.closed = True

    @precondition(lambda self: self.ids)
    @rule(number=picks)
    def remove(self, number: int) -> None:
        msqid, kernel = list(self.ids.items())[-1 - number % len(self.ids)]
        got = outcome(lambda: sysvmq.remove(msqid))
        if kernel.removed:
            assert got[:2] == ("error", sysvmq.QueueError.DOES_NOT_EXIST), got
        else:
            assert got == ("returned", None), got
            kernel.removed = True

    @precondition(lambda self: self.handles)
    @rule(number=picks, max_bytes=st.sampled_from([1, 3, 20, 64, 200]))
    def resize(self, number: int, max_bytes: int) -> None:
        handle = self.pick(number)
        if self.gone(handle):
            return self.see_gone(handle, "set", max_bytes=max_bytes)
        assert handle.call("set", max_bytes=max_bytes) == ("returned", None)
        handle.kernel.max_bytes = max_bytes

    @precondition(lambda self: self.handles)
    @rule(number=picks, drawn=payloads, mark=types, nowait=st.booleans(), how=patience)
    def one(self, number: int, drawn: Any, mark: int, nowait: bool, how: Any) -> None:
        self.put(number, drawn, mark, nowait, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, drawn=st.lists(payloads, max_size=6), mark=types, how=patience)
    def many(self, number: int, drawn: Any, mark: int, how: Any) -> None:
        self.put_many(number, drawn, mark, how)

    @precondition(lambda self: self.handles)
    @rule(
        number=picks,
        method=st.sampled_from(["get", "get_nowait", "receive"]),
        selection=selections,
        how=patience,
    )
    def get(self, number: int, method: str, selection: Any, how: Any) -> None:
        self.take(number, method, selection, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, most=st.none() | st.integers(1, 6), selection=selections, how=patience)
    def get_many(self, number: int, most: int | None, selection: Any, how: Any) -> None:
        self.take_many(number, most, selection, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, size=st.integers(0, 80), selection=selections, how=patience)
    def get_into(self, number: int, size: int, selection: Any, how: Any) -> None:
        self.take_into(number, size, selection, how)

    @precondition(lambda self: self.handles)
    @rule(number=picks, place=st.integers(-1, 5))
    def peek(self, number: int, place: int) -> None:
        handle = self.pick(number)
        if self.gone(handle):
            return self.see_gone(handle, "peek", place)
        if place < 0:
            expected = ("error", sysvmq.QueueError.INVALID_VALUE, None)
        elif place >= len(handle.kernel.messages):
            expected = ("empty",)
        else:
            mark, data = handle.kernel.messages[place]
            expected = outcome(lambda: (decode(handle.kernel, handle.pickles, mark, data), mark))
        assert handle.call("peek", place) == expected


# ------------------------------------------------------------------------------ the run

MACHINES = (PosixMachine, SysvMachine)


def run(seconds: float, seed: int, steps: int = 40) -> None:
    """Run examples of both machines until the time is up; what fails is raised.

    Each round has a seed of its own, one more than that of the round before.
    """
    options = settings(
        max_examples=20,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    gc.freeze()  # Each example collects garbage: without this most of the time would go into that.
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            for machine in MACHINES:
                run_state_machine_as_test(seeded(seed)(machine), settings=options)
            seed += 1
    except BaseException:
        print(f"{machine.__name__}: the same again with --seed {seed}")
        raise
    finally:
        if Machine.helper is not None:
            Machine.helper.end()
            Machine.helper = None
