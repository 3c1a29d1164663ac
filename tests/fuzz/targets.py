"""Calls with any arguments, made of bytes that atheris chooses by what they reach.

The Python of the packages and of this file is instrumented; the C is what was installed, as atheris
needs clang to see into it. Every way in which a call ends is a branch here, which leads it deeper.
Started as a script; the arguments are those of libFuzzer. Nothing that may wait does.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import pickle
import resource
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Full
from typing import Any

import atheris

with atheris.instrument_imports(include=["posixmq", "sysvmq"]):
    import posixmq
    import posixmq._errors
    import posixmq._explain
    import posixmq._limits
    import posixmq._listing
    import posixmq._usage
    import posixmq.serializers
    import sysvmq
    import sysvmq._errors
    import sysvmq._explain
    import sysvmq._limits
    import sysvmq._listing
    import sysvmq.serializers

DESCRIPTORS = 1000  # one above it is nobody's
CALLS = 16


class NoGlobals:
    """Pickles that may name nothing: what is in the queue here is anything."""

    runs_code = False
    dumps = staticmethod(pickle.dumps)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            raise pickle.UnpicklingError(f"{module}.{name}")

    @classmethod
    def loads(cls, data: bytes) -> Any:
        if len(data) > 64:  # a short one can ask for little memory only
            raise ValueError("long")
        return cls.Unpickler(io.BytesIO(data)).load()


class Rude:
    """A serializer that returns what it was told to."""

    runs_code = False
    answer: Any = b""

    def dumps(self, obj: Any) -> Any:
        return self.answer

    def loads(self, data: bytes) -> Any:
        raise self.answer if isinstance(self.answer, Exception) else ValueError(data)


RUDE = Rude()
SIGNED = (posixmq.SignedSerializer(b"k" * 16, json), sysvmq.SignedSerializer(b"k" * 16, json))
SERIALIZERS: list[Any] = [None, posixmq.RawSerializer, sysvmq.RawSerializer, json, *SIGNED]
SERIALIZERS += [NoGlobals, RUDE, 3, "pickle"]

# The serializer's own, which passes; the rest are in ended().
SERIALIZING = pickle.PicklingError


class Bytes(atheris.FuzzedDataProvider):
    """The choices of one input."""

    def one(self, values: Any) -> Any:
        return values[self.ConsumeIntInRange(0, len(values) - 1)]

    def wild(self) -> Any:
        """Return an argument of any type."""
        kind = self.ConsumeIntInRange(0, 11)
        if kind < 3:
            return self.ConsumeIntInRange(-3, 70)
        if kind == 3:
            return self.ConsumeInt(self.ConsumeIntInRange(1, 12))
        if kind == 4:
            return self.ConsumeBytes(self.ConsumeIntInRange(0, 300))
        if kind == 5:
            return self.ConsumeUnicode(self.ConsumeIntInRange(0, 300))
        if kind == 6:
            return self.ConsumeFloat()
        if kind == 7:
            return [self.wild() for _ in range(self.ConsumeIntInRange(0, 4))]
        if kind == 8:
            return bytearray(self.ConsumeIntInRange(0, 300))
        if kind == 9:
            step = self.one([-1, 1, 2])
            return memoryview(bytearray(self.ConsumeIntInRange(0, 64)))[::step]
        return self.one([None, True, False, object(), {}, NotImplemented, int, "\ud800", 2**63 - 1])

    def patience(self) -> dict[str, Any]:
        """Return block and timeout so that no call waits for long."""
        if self.ConsumeBool():
            return {"block": self.one([False, 0, None, "", []])}
        timeouts = [0, -0.0, 1e-9, 1e-4, -1, -1e300, float("nan"), "x", b"", [], 2**70, 1e300]
        return {"block": self.one([True, 1, "yes"]), "timeout": self.one(timeouts)}

    def some(self, **wild: Any) -> dict[str, Any]:
        """Leave some of these arguments out."""
        return {name: value for name, value in wild.items() if self.ConsumeBool()}


# --------------------------------------------------------------- calls that both have


@atheris.instrument_func
def ended(call: Callable[[], Any]) -> Any:
    """Make a call; each promised end is a branch, any other goes up and is a finding."""
    try:
        return call()
    except Empty:
        return "empty"
    except Full:
        return "full"
    except (posixmq.DecodeError, sysvmq.DecodeError) as error:
        str(error)
        return "undecodable"
    except (posixmq.QueueError, sysvmq.QueueError) as error:
        words = str(error)
        pickle.loads(pickle.dumps(error))
        if error.errno == posixmq.QueueError.INVALID_VALUE:
            return "invalid " + words
        if error.errno == posixmq.QueueError.TOO_BIG_MESSAGE:
            return "big " + words
        if error.errno == posixmq.QueueError.INVALID_DESCRIPTOR:
            return "closed " + words
        if error.errno == posixmq.QueueError.NO_PERMISSIONS:
            return "refused " + words
        return "error " + words
    except TypeError:
        return "type"
    except OverflowError:
        return "overflow"
    except ValueError:
        return "value"
    except BufferError:
        return "buffer"
    except MemoryError:
        return "memory"
    except SERIALIZING:
        return "serializing"


def mark(data: Bytes, family: Any) -> dict[str, Any]:
    name = "priority" if family is posixmq else "msg_type"
    return data.some(**{name: data.wild()}, pickle_protocol=data.wild())


def selection(data: Bytes, family: Any) -> dict[str, Any]:
    return {} if family is posixmq else data.some(msg_type=data.wild(), exclude=data.wild())


@atheris.instrument_func
def put(q: Any, data: Bytes, family: Any) -> Any:
    return q.put(data.wild(), **data.patience(), **mark(data, family))


@atheris.instrument_func
def put_bytes(q: Any, data: Bytes, family: Any) -> Any:
    payload = data.ConsumeBytes(data.ConsumeIntInRange(0, 70))
    return q.put_nowait(payload, **mark(data, family))


@atheris.instrument_func
def put_many(q: Any, data: Bytes, family: Any) -> Any:
    return q.put_many(data.wild(), **data.patience(), **mark(data, family))


@atheris.instrument_func
def get(q: Any, data: Bytes, family: Any) -> Any:
    return q.get(**data.patience(), **selection(data, family))


@atheris.instrument_func
def receive(q: Any, data: Bytes, family: Any) -> Any:
    return q.receive(**data.patience(), **selection(data, family))


@atheris.instrument_func
def get_nowait(q: Any, data: Bytes, family: Any) -> Any:
    return q.get_nowait(**selection(data, family))


@atheris.instrument_func
def get_many(q: Any, data: Bytes, family: Any) -> Any:
    return q.get_many(data.wild(), **data.patience(), **selection(data, family))


@atheris.instrument_func
def get_into(q: Any, data: Bytes, family: Any) -> Any:
    return q.get_into(data.wild(), **data.patience(), **selection(data, family))


@atheris.instrument_func
def peek(q: Any, data: Bytes, family: Any) -> Any:
    return q.peek(data.wild()) if family is sysvmq else q.notify(data.one([None, "x", 1.5, -1, 65]))


@atheris.instrument_func
def change(q: Any, data: Bytes, family: Any) -> Any:
    if family is posixmq:
        return q.unlink() if q.name is None else None
    names = ("mode", "uid", "gid", "max_bytes")
    return q.set(**data.some(**{name: data.wild() for name in names}))


@atheris.instrument_func
def look(q: Any, data: Bytes, family: Any) -> Any:
    q.qsize(), q.empty(), q.qattr(), q.stat(), repr(q), hash(q), q.closed, q.serializer
    return q == data.wild()


@atheris.instrument_func
def misuse(q: Any, data: Bytes, family: Any) -> Any:
    """Too many arguments, or unknown ones."""
    method = data.one(["get_nowait", "put_nowait", "get_into", "qsize", "close", "receive"])
    args = [False] * data.ConsumeIntInRange(5, 9)
    return getattr(q, method)(*args, **data.some(**{data.ConsumeUnicode(8): 1}))


@atheris.instrument_func
def end(q: Any, data: Bytes, family: Any) -> Any:
    return q.close()


@atheris.instrument_func
def again(q: Any, data: Bytes, family: Any) -> Any:
    """__init__ a second time, as a subclass might."""
    how = data.some(serializer=data.one(SERIALIZERS), create=False, spin_us=data.wild())
    with contextlib.suppress(RuntimeError):  # it is open
        q.__init__("/fuzz-none" if family is posixmq else 2**33, **how)


@atheris.instrument_func
def answer(q: Any, data: Bytes, family: Any) -> Any:
    RUDE.answer = data.one([data.wild(), ValueError("x"), KeyError(3), UnicodeError()])


CALLABLE = [put, put_bytes, put_many, get, receive, get_nowait, get_many, get_into, peek, change]
CALLABLE += [look, misuse, end, again, answer]


# ------------------------------------------------------------------------ opening

NAME = f"/fuzz-{os.getpid()}-{secrets.token_hex(3)}"


def options(data: Bytes) -> dict[str, Any]:
    return data.some(
        serializer=data.one(SERIALIZERS),
        on_signal=data.one(["raise", "retry", "x", 1]),
        spin_us=data.one([0, 5, -1, 2**70, "x", None]),
        trusted=data.one([True, False, 1, "x"]),
    )


@atheris.instrument_func
def open_posix(data: Bytes) -> Any:
    sizes = [1, 3, 8, 0, -1, 2**31, 2**64, "1", 1.0, None]
    how = data.some(maxsize=data.one(sizes), maxmsgsize=data.one([64, *sizes]), **options(data))
    if data.ConsumeBool():
        return posixmq.Queue.anonymous(**how)
    if data.ConsumeBool():
        return posixmq.Queue.from_fd(data.one([-1, "x", 2**40, DESCRIPTORS, None]), **options(data))
    how |= data.some(mode=data.wild(), readable=data.wild(), writable=data.wild())
    name = data.one([NAME, NAME + data.ConsumeUnicode(8), data.wild(), "/" + "x" * 300])
    q = posixmq.Queue(name, **how, exclusive=True)  # never somebody else's
    q.unlink()
    return q


@atheris.instrument_func
def open_sysv(data: Bytes) -> Any:
    how = data.some(max_bytes=data.one([1, 64, 200, 0, -1, 2**31, 2**64, "1", None]))
    how |= data.some(mode=data.wild(), create=True) | options(data)
    if data.ConsumeBool():
        return sysvmq.Queue(**how)
    if data.ConsumeBool():
        return sysvmq.Queue.from_id(data.one([-1, "x", 2**40, None, 2**31]), **options(data))
    return sysvmq.Queue(data.wild(), **how, exclusive=True)


@atheris.instrument_func
def functions(data: Bytes) -> Any:
    """The functions of the modules, with nothing that could be somebody else's."""
    which = data.ConsumeIntInRange(0, 3)
    if which == 0:
        return posixmq.unlink(data.one([NAME + data.ConsumeUnicode(8), 1, b"x", None, "", "/"]))
    if which == 1:
        return sysvmq.remove(data.one([-1, "x", 2**40, None, 1.5]))
    if which == 2:
        path = data.one(["/", b"/", "/no\0", data.ConsumeUnicode(300), data.wild()])
        return (
            None if type(path) is int else ended_by_system(lambda: sysvmq.ftok(path, data.wild()))
        )
    return posixmq.SignedSerializer(data.wild(), data.one(SERIALIZERS)).loads(data.ConsumeBytes(80))


def ended_by_system(call: Callable[[], Any]) -> Any:
    with contextlib.suppress(OSError):  # ftok's file
        return call()


runs = 0
descriptors = 0


def one_input(raw: bytes) -> None:
    global runs, descriptors
    data = Bytes(raw)
    family, opener = (posixmq, open_posix) if data.ConsumeBool() else (sysvmq, open_sysv)
    ended(lambda: functions(data))
    q = ended(lambda: opener(data))
    if isinstance(q, family.Queue):
        own = q.id if family is sysvmq else None
        try:
            for _ in range(CALLS):
                if not data.remaining_bytes():
                    break
                call = data.one(CALLABLE)
                ended(lambda call=call: call(q, data, family))
        finally:
            q.close()
            if own is not None:
                with contextlib.suppress(sysvmq.QueueError):
                    sysvmq.remove(own)
    runs += 1
    if runs % 2000 == 0:
        del q
        gc.collect()
        now = len(os.listdir("/proc/self/fd"))
        if descriptors and now > descriptors:
            raise AssertionError(f"{now - descriptors} descriptors more than at first")
        descriptors = now


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    corpus = Path(sys.argv[-1])
    if corpus.is_dir():  # what is found is written into it; else it is an input to run again
        os.chdir(corpus)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
