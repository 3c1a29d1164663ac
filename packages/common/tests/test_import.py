"""What importing the package loads, what the first queue adds, and that no call needs more."""

import subprocess
import sys

import pytest

import kind
from kind import PACKAGE

# Without site, which loads much of its own in a virtual environment.
PRELUDE = f"""\
import sys
sys.path[:] = {sys.path!r}
before = set(sys.modules)
import {PACKAGE} as package

def loaded():
    return set(sys.modules) - before

make = getattr(package.Queue, "anonymous", package.Queue)  # System V queues are private by default
small = {kind.room(2, 100)!r}
"""

SERIALIZERS = {
    "none": "None",
    "raw": "package.RawSerializer",
    "a module": "__import__('json')",
    "pickle": "package.PickleSerializer()",
    "a subclass": "type('Own', (package.PickleSerializer,), {})",
    "a subclass that runs no code": "type('Own', (package.PickleSerializer,), {'runs_code': False})",
    "one with its loads": "type('Own', (), {'dumps': str, 'loads': package.PickleSerializer.loads})",
    "signed": "package.SignedSerializer(b'k' * 16)",
    "signed raw": "package.SignedSerializer(b'k' * 16, package.RawSerializer)",
}
RESTS_ON_PICKLE = set(SERIALIZERS) - {"raw", "a module", "signed raw"}


def run(code):
    command = [sys.executable, "-I", "-S", "-c", PRELUDE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_import_loads_errno_and_four_modules_of_its_own():
    """So neither pickle nor queue nor collections nor threading, which take ten times as long."""
    own = {f"{PACKAGE}.{name}" for name in (f"_{PACKAGE}", "_errors", "serializers")}
    assert set(run("print(*loaded())")) - {"errno"} == {PACKAGE, *own}


def test_what_is_imported_later_is_there_by_its_name():
    run("""
names = dir(package)
for name in package.__all__:
    assert name in names and getattr(package, name) is not None
assert not hasattr(package, "no_such_name")
""")
    run(f"""
from {PACKAGE} import Message, PickleSerializer, Queue
with make() as q:
    assert q.serializer is PickleSerializer
    q.put(Message("item", 1))
    message = q.receive()
    assert type(message) is type(message.item) is Message is package.Message
""")


def test_the_package_has_no_other_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        kind.mq.no_such_name  # noqa: B018 - that is what is tested


@pytest.mark.parametrize("name", SERIALIZERS)
def test_only_a_serializer_that_rests_on_pickle_loads_it(name):
    code = f"with make(serializer={SERIALIZERS[name]}): print(*loaded())"
    assert ("pickle" in run(code)) == (name in RESTS_ON_PICKLE)


@pytest.mark.parametrize("name", [name for name in SERIALIZERS if name != "one with its loads"])
def test_no_call_needs_a_file_once_its_queue_is_there(name):
    """As after chroot(2), or as a user who may not read the installation."""
    run(f"""
def ends_with(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as raised:
        assert type(raised).__name__ == error, repr(raised)
    else:
        assert False, error

with make(serializer={SERIALIZERS[name]}, **small) as q:
    item = "an item" if q.serializer.__class__ is type(sys) else b"an item"
    sys.path.clear()
    sys.meta_path.clear()
    before |= loaded()
    q.put(item)
    assert q.get() == item
    ends_with("Empty", q.get_nowait)
    ends_with("Empty", q.get, timeout=0.001)
    ends_with("Empty", q.get_many, block=False)
    q.put(item)
    assert q.receive()[0] == item
    q.put_many([item])
    assert q.get_many() == [item]
    assert q.put_many([item] * 100, block=False) < 100
    ends_with("Full", q.put, item, timeout=0.001)
    assert next(iter(q)) == item
    assert q.get_into(bytearray(1024))[0] > 0
    assert not loaded()
""")


def test_a_message_that_does_not_decode_needs_no_file():
    run("""
with make() as q:
    if hasattr(q, "id"):
        raw = package.Queue.from_id(q.id, serializer=package.RawSerializer)
    else:
        import os
        raw = package.Queue.from_fd(os.dup(q.fileno()), serializer=package.RawSerializer)
    sys.path.clear()
    sys.meta_path.clear()
    raw.put(b"no pickle")
    try:
        q.get()
    except package.DecodeError as error:
        assert error.data == b"no pickle"
    else:
        assert False
""")


def test_a_first_queue_that_comes_too_late_says_what_it_needs():
    run("""
kept = sys.path[:]
sys.path.clear()
for _ in range(2):
    try:
        make()
    except package.QueueError as error:
        assert error.errno == package.QueueError.ERROR
        assert "'queue'" in str(error) and "cannot be imported" in str(error)
        assert type(error.__cause__) is ModuleNotFoundError
    else:
        assert False
sys.path[:] = kept
with make() as q:
    q.put("in time")
    assert q.get() == "in time"
""")


@pytest.mark.parametrize("name", ["none", "one with its loads"])
def test_a_queue_that_cannot_have_pickle_is_not_made(name):
    run(f"""
sys.modules["pickle"] = None
with make(serializer=package.RawSerializer):
    try:
        make(serializer={SERIALIZERS[name]})
    except package.QueueError as error:
        assert error.errno == package.QueueError.ERROR
        assert "pickle" in str(error) and "cannot be imported" in str(error)
    else:
        assert False
""")


def test_what_a_signal_handler_raises_while_that_is_put_into_words_is_raised():
    run("""
class Raised(Exception):
    pass

def interrupt(cause):
    raise Raised

package._errors.import_failure = interrupt
sys.path.clear()
try:
    make()
except Raised:
    pass
else:
    assert False
""")


def test_what_a_signal_handler_raises_during_the_imports_is_raised():
    run("""
class Raised(TimeoutError):
    pass

class Finder:
    @staticmethod
    def find_spec(*_):
        raise Raised

sys.meta_path.insert(0, Finder)
try:
    make()
except Raised:
    pass
else:
    assert False
""")


def test_threads_may_make_the_first_queues_at_once():
    run("""
import threading
start = threading.Barrier(8)
outcomes = []

def use():
    start.wait()
    with make() as q:
        q.put(None)
        message = q.receive()
        try:
            q.get_nowait()
        except Exception as error:
            outcomes.append((type(message), type(error)))

threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
import queue
assert outcomes == [(package.Message, queue.Empty)] * 8, outcomes
""")
